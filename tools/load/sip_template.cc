#include "tools/load/sip_template.h"

#include <charconv>

namespace sluice::load {

void SipWriter::PutHex(uint32_t number) noexcept {
  static constexpr char kDigits[] = "0123456789abcdef";
  char text[8];
  for (int i = 7; i >= 0; --i, number >>= 4) text[i] = kDigits[number & 15];
  Put(std::string_view(text, sizeof text));
}

void SipWriter::PutDecimal(uint64_t number) noexcept {
  char text[20];
  const char* const end = std::to_chars(text, text + sizeof text, number).ptr;
  Put(std::string_view(text, static_cast<size_t>(end - text)));
}

SipTemplate::Field SipTemplate::FieldOf(std::string_view name) {
  if (name == "number") return Field::kNumber;
  if (name == "cseq") return Field::kCSeq;
  if (name == "step") return Field::kStep;
  if (name == "user") return Field::kUser;
  if (name == "target") return Field::kTarget;
  if (name == "to") return Field::kTo;
  if (name == "lines") return Field::kLines;
  if (name == "body") return Field::kBody;
  return Field::kNone;
}

SipTemplate::SipTemplate(std::string_view text) {
  pieces_.emplace_back();
  while (!text.empty()) {
    const size_t open = text.find('{');
    const size_t close = open == text.npos ? text.npos : text.find('}', open);
    const Field field = close == text.npos
                            ? Field::kNone
                            : FieldOf(text.substr(open + 1, close - open - 1));
    const size_t literal = field != Field::kNone ? open
                           : open == text.npos   ? open
                                                 : open + 1;
    pieces_.back().literal += text.substr(0, literal);
    if (field == Field::kNone) {
      text = literal == text.npos ? "" : text.substr(literal);
      continue;
    }
    pieces_.back().field = field;
    pieces_.emplace_back();
    text.remove_prefix(close + 1);
  }
}

void SipTemplate::Write(const SipValues& values,
                        SipWriter* out) const noexcept {
  for (const Piece& piece : pieces_) {
    out->Put(piece.literal);
    switch (piece.field) {
      case Field::kNone: break;
      case Field::kNumber: out->PutHex(values.number); break;
      case Field::kCSeq: out->PutDecimal(values.cseq); break;
      case Field::kStep: out->Put(std::string_view(&values.step, 1)); break;
      case Field::kUser: out->Put(values.user); break;
      case Field::kTarget: out->Put(values.target); break;
      case Field::kTo: out->Put(values.to); break;
      case Field::kLines: out->Put(values.lines); break;
      case Field::kBody: out->Put(values.body); break;
    }
  }
}

}  // namespace sluice::load

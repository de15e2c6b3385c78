#include "sip/edit.h"

#include <algorithm>

#include "base/check.h"
#include "base/text.h"
#include "sip/cursor.h"

namespace sluice::sip {
namespace {

// Via, Max-Forwards, Record-Route, Route, Request-URI, Contact, body, length.
constexpr size_t kUsualChanges = 8;
constexpr size_t kUsualOctets = 512;

}  // namespace

Edit::Edit(const Message& message)
    : message_(message),
      has_length_(message.Find(HeaderId::kContentLength) != nullptr) {}

size_t Edit::OffsetOf(const char* p) const {
  const std::string_view octets = message_.octets();
  CHECK(p >= octets.data() && p <= octets.data() + octets.size());
  return static_cast<size_t>(p - octets.data());
}

// What is put in at a place goes before what is taken out there.
bool Edit::Before(const Change& a, const Change& b) {
  return a.at != b.at ? a.at < b.at : (a.removed == 0) > (b.removed == 0);
}

template <typename... Pieces>
void Edit::Add(size_t at, size_t removed, const Pieces&... pieces) {
  if (changes_.empty()) {
    changes_.reserve(kUsualChanges);
    texts_.reserve(kUsualOctets);
  }
  Change change{.at = at, .removed = removed, .text = texts_.size()};
  Append(&texts_, pieces...);
  change.size = texts_.size() - change.text;
  changes_.insert(
      std::upper_bound(changes_.begin(), changes_.end(), change, Before),
      change);
}

void Edit::Replace(std::string_view piece, std::string_view text) {
  Add(OffsetOf(piece.data()), piece.size(), text);
}

void Edit::InsertHeaderOnTop(HeaderId id, std::string_view value) {
  InsertLine(message_.Find(id), NameOf(id), value);
}

void Edit::InsertLine(const Header* at, std::string_view name,
                      std::string_view value) {
  Add(OffsetOf(at == nullptr ? message_.headers_end() : at->line.data()), 0,
      name, ": ", value, "\r\n");
}

void Edit::AppendHeader(std::string_view name, std::string_view value) {
  InsertLine(nullptr, name, value);
}

void Edit::RemoveHeaders(HeaderId id) {
  for (const Header& h : message_.headers()) {
    if (h.id == id) RemoveLine(h);
  }
}

void Edit::RemoveLine(const Header& header) { Replace(header.line, ""); }

void Edit::RemoveFirst(HeaderId id, size_t n) {
  for (const Header& h : message_.headers()) {
    if (n == 0) return;
    if (h.id != id || h.value.empty()) continue;
    std::string_view rest = h.value;
    if (FormOf(id) == HeaderForm::kList) {
      for (; n != 0 && !rest.empty(); --n) NextListValue(&rest);
    } else {
      rest = {};
      --n;
    }
    while (!rest.empty() && kLws.Has(rest.front())) rest.remove_prefix(1);
    if (rest.empty()) {
      RemoveLine(h);
    } else {
      // The values go with their commas; the line keeps what stood before them.
      Replace(h.value.substr(0, h.value.size() - rest.size()), "");
    }
  }
}

void Edit::SetHeader(HeaderId id, std::string_view value) {
  const Header* first = message_.Find(id);
  if (first == nullptr) return AppendHeader(NameOf(id), value);
  Replace(first->value, value);
  // Repetitions with the same value were let pass; now they would contradict.
  for (const Header& h : message_.headers()) {
    if (h.id == id && &h != first) RemoveLine(h);
  }
}

void Edit::SetBody(std::string_view body) {
  SetHeader(HeaderId::kContentLength, Cat(body.size()));
  Replace(message_.body(), body);
  has_length_ = true;
}

std::string Edit::Apply() const {
  const std::string_view octets = message_.octets();
  std::string length;
  const Change length_at{.at = OffsetOf(message_.headers_end())};
  if (!has_length_) {
    length = Cat(NameOf(HeaderId::kContentLength), ": ", message_.body().size(),
                 "\r\n");
  }
  const auto length_before =
      std::upper_bound(changes_.begin(), changes_.end(), length_at, Before);

  std::string out;
  out.reserve(octets.size() + texts_.size() + length.size());
  size_t copied = 0, replaced = 0;
  const auto copy_to = [&](size_t at) {
    if (at <= copied) return;
    out.append(octets.substr(copied, at - copied));
    copied = at;
  };
  for (auto change = changes_.begin();; ++change) {
    if (change == length_before) {
      copy_to(length_at.at);
      out += length;
    }
    if (change == changes_.end()) break;
    copy_to(change->at);
    if (change->removed != 0) {
      // Taking out twice is taking out; anything else would lose a text.
      CHECK(change->at >= (change->size == 0 ? replaced : copied));
      copied = std::max(copied, change->at + change->removed);
      if (change->size != 0) replaced = copied;
    }
    out.append(texts_, change->text, change->size);
  }
  copy_to(octets.size());
  return out;
}

}  // namespace sluice::sip

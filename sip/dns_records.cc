#include "sip/dns_records.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/status_macros.h"

namespace sluice::sip::dns {
namespace {

constexpr uint16_t kClassInternet = 1;
constexpr uint32_t kTtlMax = 0x7fff'ffff;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// ASCII only, whatever the locale says.
bool IsNameOctet(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' ||
         c == '_';
}

absl::Status Broken(const char* what) {
  return absl::InvalidArgumentError(what);
}

// A cursor over a message. Names may point back into what was before them
// (RFC 1035 4.1.4), and only back: so following them comes to an end.
class Reader {
 public:
  explicit Reader(std::string_view message) : message_(message) {}

  size_t left() const { return message_.size() - pos_; }
  size_t pos() const { return pos_; }

  absl::Status U8(uint8_t* out) {
    if (left() < 1) return Broken("cut short");
    *out = static_cast<uint8_t>(message_[pos_++]);
    return absl::OkStatus();
  }
  absl::Status U16(uint16_t* out) {
    uint8_t high = 0, low = 0;
    RETURN_IF_ERROR(U8(&high));
    RETURN_IF_ERROR(U8(&low));
    *out = static_cast<uint16_t>(high << 8 | low);
    return absl::OkStatus();
  }
  absl::Status U32(uint32_t* out) {
    uint16_t high = 0, low = 0;
    RETURN_IF_ERROR(U16(&high));
    RETURN_IF_ERROR(U16(&low));
    *out = uint32_t{high} << 16 | low;
    return absl::OkStatus();
  }
  absl::Status Octets(size_t n, std::string_view* out) {
    if (left() < n) return Broken("cut short");
    *out = message_.substr(pos_, n);
    pos_ += n;
    return absl::OkStatus();
  }
  absl::Status Text(std::string* out) {  // RFC 1035 3.3 <character-string>
    uint8_t length = 0;
    RETURN_IF_ERROR(U8(&length));
    std::string_view octets;
    RETURN_IF_ERROR(Octets(length, &octets));
    *out = std::string(octets);
    return absl::OkStatus();
  }

  // Into `out` the canonical name, "" for the root. `*plain` tells whether it
  // can be asked for; one that cannot is read over.
  absl::Status Name(std::string* out, bool* plain) {
    out->clear();
    *plain = true;
    size_t at = pos_;     // where the name goes on
    size_t bound = pos_;  // a pointer must lead before this
    bool jumped = false;
    for (;;) {
      if (at >= message_.size()) return Broken("a name is cut short");
      const auto length = static_cast<uint8_t>(message_[at]);
      if ((length & kPointer) == kPointer) {
        if (message_.size() - at < 2) return Broken("a name is cut short");
        const size_t target = static_cast<size_t>(length & ~kPointer) << 8 |
                              static_cast<uint8_t>(message_[at + 1]);
        if (target >= bound) return Broken("a name points ahead");
        if (!jumped) pos_ = at + 2;
        jumped = true;
        at = bound = target;
        continue;
      }
      if (length > kLabelOctetsMax) return Broken("a label of unknown kind");
      if (message_.size() - at - 1 < length) {
        return Broken("a name is cut short");
      }
      const std::string_view label = message_.substr(at + 1, length);
      at += 1u + length;
      if (length == 0) break;
      if (out->size() + 1 + label.size() > kNameOctetsMax + 1) {
        return Broken("a name is too long");
      }
      if (!out->empty()) *out += '.';
      *out += label;
      *plain &= std::all_of(label.begin(), label.end(), IsNameOctet);
    }
    if (!jumped) pos_ = at;
    *plain &= out->empty() || IsName(*out);
    absl::AsciiStrToLower(out);
    return absl::OkStatus();
  }

 private:
  static constexpr uint8_t kPointer = 0xc0;

  const std::string_view message_;
  size_t pos_ = 0;
};

// The data of one record of the type asked for. What is of no use is left out;
// what reaches over its end is an error.
absl::Status ReadData(Reader* reader, Type type, Records* records) {
  bool plain = false;
  switch (type) {
    case Type::kA: {
      std::string_view octets;
      RETURN_IF_ERROR(reader->Octets(4, &octets));
      const auto at = [&](size_t i) { return static_cast<uint8_t>(octets[i]); };
      records->addresses.push_back(IpAddress::V4(at(0), at(1), at(2), at(3)));
      return absl::OkStatus();
    }
    case Type::kAaaa: {
      std::string_view octets;
      RETURN_IF_ERROR(reader->Octets(16, &octets));
      const IpAddress ip = IpAddress::FromOctets(
          reinterpret_cast<const uint8_t*>(octets.data()));
      if (!ip.is_v4()) records->addresses.push_back(ip);
      return absl::OkStatus();
    }
    case Type::kSrv: {
      Srv srv;
      RETURN_IF_ERROR(reader->U16(&srv.priority));
      RETURN_IF_ERROR(reader->U16(&srv.weight));
      RETURN_IF_ERROR(reader->U16(&srv.port));
      RETURN_IF_ERROR(reader->Name(&srv.target, &plain));
      if (plain) records->srvs.push_back(std::move(srv));
      return absl::OkStatus();
    }
    case Type::kNaptr: {
      Naptr naptr;
      RETURN_IF_ERROR(reader->U16(&naptr.order));
      RETURN_IF_ERROR(reader->U16(&naptr.preference));
      RETURN_IF_ERROR(reader->Text(&naptr.flags));
      RETURN_IF_ERROR(reader->Text(&naptr.service));
      RETURN_IF_ERROR(reader->Text(&naptr.regexp));
      RETURN_IF_ERROR(reader->Name(&naptr.replacement, &plain));
      if (plain) records->naptrs.push_back(std::move(naptr));
      return absl::OkStatus();
    }
    case Type::kCname: break;
  }
  return Broken("not a type that is asked for");
}

struct Head {
  std::string owner;
  uint16_t type = 0;
  uint16_t record_class = 0;
  uint32_t ttl_s = 0;
  uint16_t octets = 0;
};

absl::Status ReadHead(Reader* reader, Head* head) {
  bool plain = false;
  RETURN_IF_ERROR(reader->Name(&head->owner, &plain));
  RETURN_IF_ERROR(reader->U16(&head->type));
  RETURN_IF_ERROR(reader->U16(&head->record_class));
  RETURN_IF_ERROR(reader->U32(&head->ttl_s));
  // RFC 2181 8: the top bit set means 0.
  if (head->ttl_s > kTtlMax) head->ttl_s = 0;
  return reader->U16(&head->octets);
}

}  // namespace

bool IsName(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > kNameOctetsMax) return false;
  size_t label = 0;  // where it begins
  bool number = true;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || text[i] == '.') {
      if (i == label || i - label > kLabelOctetsMax) return false;
      if (i == text.size()) return !number;
      label = i + 1;
      number = true;
      continue;
    }
    if (!IsNameOctet(text[i])) return false;
    number &= IsDigit(text[i]);
  }
  return false;
}

std::string CanonicalName(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  std::string lower(name);
  absl::AsciiStrToLower(&lower);
  return lower;
}

absl::StatusOr<Records> ParseAnswer(std::string_view message,
                                    std::string_view name, Type type) {
  Reader reader(message);
  uint16_t skipped = 0, questions = 0, answers = 0;
  RETURN_IF_ERROR(reader.U16(&skipped));  // the id
  RETURN_IF_ERROR(reader.U16(&skipped));  // flags
  RETURN_IF_ERROR(reader.U16(&questions));
  RETURN_IF_ERROR(reader.U16(&answers));
  RETURN_IF_ERROR(reader.U16(&skipped));
  RETURN_IF_ERROR(reader.U16(&skipped));
  std::string owner(name);
  bool plain = false;
  for (uint16_t i = 0; i < questions; ++i) {
    std::string asked;
    RETURN_IF_ERROR(reader.Name(&asked, &plain));
    RETURN_IF_ERROR(reader.U16(&skipped));
    RETURN_IF_ERROR(reader.U16(&skipped));
  }

  Records records;
  size_t taken = 0;
  for (uint16_t i = 0; i < answers; ++i) {
    Head head;
    RETURN_IF_ERROR(ReadHead(&reader, &head));
    const size_t end = reader.pos() + head.octets;
    const bool ours = head.record_class == kClassInternet &&
                      head.owner == owner && taken < kRecordsMax;
    if (ours && head.type == static_cast<uint16_t>(type)) {
      RETURN_IF_ERROR(ReadData(&reader, type, &records));
    } else if (ours && head.type == static_cast<uint16_t>(Type::kCname)) {
      // Servers write the chain in its order, the alias before its target's
      // records. A chain that runs in a circle just gives nothing.
      RETURN_IF_ERROR(reader.Name(&owner, &plain));
    } else {
      std::string_view data;
      RETURN_IF_ERROR(reader.Octets(head.octets, &data));
      continue;
    }
    if (reader.pos() != end) return Broken("a record of a wrong length");
    records.ttl_s = std::min(records.ttl_s, head.ttl_s);
    ++taken;
  }
  return records;
}

std::vector<IpAddress> FindInHosts(std::string_view file,
                                   std::string_view name) {
  constexpr std::string_view kBlank = " \t\r";
  std::vector<IpAddress> found;
  while (!file.empty() && found.size() < kRecordsMax) {
    std::string_view line = file.substr(0, file.find('\n'));
    file.remove_prefix(std::min(file.size(), line.size() + 1));
    line = line.substr(0, line.find('#'));
    std::optional<IpAddress> ip;
    bool first = true;
    while (!line.empty()) {
      const std::string_view word = line.substr(0, line.find_first_of(kBlank));
      line.remove_prefix(std::min(line.size(), word.size() + 1));
      if (word.empty()) continue;
      if (std::exchange(first, false)) {
        ip = IpAddress::Parse(word);
        if (!ip.has_value()) break;
      } else if (CanonicalName(word) == name) {
        found.push_back(*ip);
        break;
      }
    }
  }
  return found;
}

void OrderSrvs(std::vector<Srv>* srvs,
               absl::FunctionRef<uint64_t(uint64_t)> draw) {
  // Weight 0 first in its group: the draw meets it only with the number 0.
  std::sort(srvs->begin(), srvs->end(), [](const Srv& a, const Srv& b) {
    const bool a_drawn = a.weight != 0, b_drawn = b.weight != 0;
    return std::tie(a.priority, a_drawn, a.target, a.port, a.weight) <
           std::tie(b.priority, b_drawn, b.target, b.port, b.weight);
  });
  auto next = srvs->begin();
  while (next != srvs->end()) {
    uint64_t total = 0;
    auto end = next;
    for (; end != srvs->end() && end->priority == next->priority; ++end) {
      total += end->weight;
    }
    const uint64_t drawn = draw(total);
    uint64_t sum = 0;
    auto chosen = next;
    for (;; ++chosen) {
      sum += chosen->weight;
      if (sum >= drawn || chosen + 1 == end) break;
    }
    // To the front; the others keep their order.
    std::rotate(next, chosen, chosen + 1);
    ++next;
  }
}

std::vector<Naptr> TerminalNaptrs(std::vector<Naptr> naptrs) {
  std::erase_if(naptrs, [](const Naptr& n) {
    return !absl::EqualsIgnoreCase(n.flags, "s") || !n.regexp.empty() ||
           n.replacement.empty();
  });
  std::stable_sort(naptrs.begin(), naptrs.end(),
                   [](const Naptr& a, const Naptr& b) {
                     return std::tuple(a.order, a.preference) <
                            std::tuple(b.order, b.preference);
                   });
  return naptrs;
}

}  // namespace sluice::sip::dns

#include "control/session_journal_codec.h"

#include <span>

#include "base/check.h"
#include "base/sip_hash.h"

namespace sluice::control::journal {
namespace {

constexpr uint8_t kHasCseq = 1;
constexpr uint8_t kHalfOpenOnly = 2;

constexpr SipHashKey kCheckKey{.k0 = 0x736c756963656a6f,
                               .k1 = 0x75726e616c303031};

uint64_t CheckOf(std::string_view octets) {
  return SipHash(kCheckKey,
                 std::span(reinterpret_cast<const uint8_t*>(octets.data()),
                           octets.size()));
}

// ---- what may be in a record, said once for both ways ----------------------

const char* Wrong(const SessionKey& key) {
  if (key.call_id.size() > kIdOctets || key.id_from.size() > kIdOctets ||
      key.id_to.size() > kIdOctets) {
    return "an identifier is too long";
  }
  if (key.stage > sip::AnswerStage::kFinal) return "no such stage";
  return nullptr;
}

const char* WrongOfOffer(const SessionKey& key) {
  return key.cseq ? Wrong(key) : "the CSeq is missing";
}

const char* Wrong(const Media& medium, uint16_t base) {
  if (medium.range < 1 || medium.range > kRangeMax) return "no such range";
  if (medium.first > relay::FlowKind::kRaw ||
      medium.first == relay::FlowKind::kRtcp) {
    return "no such kind of medium";
  }
  if (medium.port + medium.range > 65536 || base + medium.range > 65536) {
    return "ports past 65535";
  }
  const bool active = medium.port != 0 && !medium.ip.is_any();
  if (base == 0 && active) return "no ports for a medium";
  return nullptr;
}

const char* Wrong(Side side, absl::Span<const Media> media,
                  absl::Span<const uint16_t> bases) {
  if (side > Side::kTo) return "no such side";
  if (media.size() > kMediaMax) return "too many media";
  if (media.size() != bases.size()) return "not a port for each medium";
  for (size_t i = 0; i < media.size(); ++i) {
    if (const char* wrong = Wrong(media[i], bases[i])) return wrong;
  }
  return nullptr;
}

const char* Wrong(const Endpoint& socket, const Endpoint& source) {
  if (socket.port == Port()) return "port 0 of ours";
  if (!source.is_none() && (source.port == Port() || source.ip.is_any())) {
    return "half a source";
  }
  return nullptr;
}

// ---- writing ---------------------------------------------------------------

// One record at the end of `out`: its length and its check are known when
// everything else is there.
class Writer {
 public:
  Writer(RecordType type, std::string* out)
      : Writer(static_cast<uint8_t>(type), out) {}
  Writer(uint8_t type, std::string* out) : out_(*out), begin_(out->size()) {
    Number(0, 4);
    Number(type, 1);
  }

  void Number(uint64_t value, int octets) {
    char bytes[8];
    for (int i = 0; i < octets; ++i) {
      bytes[i] = static_cast<char>(value >> (8 * (octets - 1 - i)) & 0xff);
    }
    out_.append(bytes, static_cast<size_t>(octets));
  }
  void Octets(std::string_view octets) { out_.append(octets); }
  void Text(std::string_view text) {
    Number(text.size(), 2);
    Octets(text);
  }
  void Ip(const IpAddress& ip) {
    out_.append(reinterpret_cast<const char*>(ip.octets().data()),
                ip.octets().size());
  }
  void At(const Endpoint& endpoint) {
    Ip(endpoint.ip);
    Number(endpoint.port.host(), 2);
  }
  void Key(const SessionKey& key, size_t uri_octets) {
    Text(key.call_id);
    Number((key.cseq ? kHasCseq : 0) | (key.half_open_only ? kHalfOpenOnly : 0),
           1);
    Number(key.cseq.value_or(0), 4);
    Number(static_cast<uint8_t>(key.stage), 1);
    Text(key.id_from);
    Text(key.id_to);
    Text(std::string_view(key.uri_from).substr(0, uri_octets));
    Text(std::string_view(key.uri_to).substr(0, uri_octets));
  }
  void Finish() {
    const size_t length = out_.size() - begin_ - kHeadOctets;
    for (size_t i = 0; i < 4; ++i) {
      out_[begin_ + i] = static_cast<char>(length >> (8 * (3 - i)) & 0xff);
    }
    Number(CheckOf(std::string_view(out_).substr(begin_)), 8);
  }
  // One of ours: it can be read again.
  bool FinishOwn() {
    Finish();
    DCHECK([&] {
      Record again;
      return Get(std::string_view(out_).substr(begin_), &again).octets ==
             out_.size() - begin_;
    }());
    return true;
  }

 private:
  std::string& out_;
  const size_t begin_;
};

// ---- reading ---------------------------------------------------------------

// Reads a payload whose check was right. What is not there reads as nothing,
// and `whole` says so in the end.
class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  uint64_t Number(size_t octets) {
    uint64_t value = 0;
    for (const char c : Octets(octets)) {
      value = value << 8 | static_cast<uint8_t>(c);
    }
    return value;
  }
  std::string_view Octets(size_t octets) {
    if (octets > in_.size()) {
      whole_ = false;
      in_ = {};
      return {};
    }
    const std::string_view taken = in_.substr(0, octets);
    in_.remove_prefix(octets);
    return taken;
  }
  void Text(size_t max, std::string* out) {
    const uint64_t length = Number(2);
    if (length > max) whole_ = false;
    out->assign(Octets(whole_ ? length : 0));
  }
  IpAddress Ip() {
    const std::string_view octets = Octets(16);
    if (octets.empty()) return IpAddress();
    return IpAddress::FromOctets(
        reinterpret_cast<const uint8_t*>(octets.data()));
  }
  Endpoint At() {
    const IpAddress ip = Ip();
    return {.ip = ip, .port = Port::FromHost(static_cast<uint16_t>(Number(2)))};
  }
  void Key(size_t uri_octets, SessionKey* key) {
    Text(kIdOctets, &key->call_id);
    const uint64_t flags = Number(1);
    const uint64_t cseq = Number(4);
    if ((flags & ~uint64_t{kHasCseq | kHalfOpenOnly}) != 0) whole_ = false;
    if ((flags & kHasCseq) != 0) {
      key->cseq = static_cast<uint32_t>(cseq);
    } else {
      key->cseq.reset();
      if (cseq != 0) whole_ = false;
    }
    key->half_open_only = (flags & kHalfOpenOnly) != 0;
    key->stage = static_cast<sip::AnswerStage>(Number(1));
    Text(kIdOctets, &key->id_from);
    Text(kIdOctets, &key->id_to);
    Text(uri_octets, &key->uri_from);
    Text(uri_octets, &key->uri_to);
  }
  // Everything was there and nothing is left.
  bool Whole() const { return whole_ && in_.empty(); }

 private:
  std::string_view in_;
  bool whole_ = true;
};

const char* GetAllocated(Reader& in, Record* record) {
  in.Key(kUriOctets, &record->key);
  record->side = static_cast<Side>(in.Number(1));
  record->local = in.Ip();
  const uint64_t count = in.Number(1);
  if (count > kMediaMax) return "too many media";
  for (uint64_t i = 0; i < count; ++i) {
    Media& medium = record->media.emplace_back();
    medium.ip = in.Ip();
    medium.port = static_cast<uint16_t>(in.Number(2));
    medium.range = static_cast<int>(in.Number(1));
    medium.first = static_cast<relay::FlowKind>(in.Number(1));
    medium.clock_hz = static_cast<uint32_t>(in.Number(4));
    medium.heard_from = in.Ip();
    record->bases.push_back(static_cast<uint16_t>(in.Number(2)));
  }
  if (const char* wrong = WrongOfOffer(record->key)) return wrong;
  return Wrong(record->side, record->media, record->bases);
}

const char* GetPayload(RecordType type, Reader& in, Record* record) {
  switch (type) {
    case RecordType::kAllocated: return GetAllocated(in, record);
    case RecordType::kActivated:
      in.Key(0, &record->key);
      return WrongOfOffer(record->key);
    case RecordType::kClosed:
      in.Key(0, &record->key);
      return Wrong(record->key);
    case RecordType::kGone:
      in.Text(kIdOctets, &record->key.call_id);
      return nullptr;
    case RecordType::kConfirmed:
      in.Text(kIdOctets, &record->key.call_id);
      record->socket = in.At();
      record->source = in.At();
      return Wrong(record->socket, record->source);
  }
  return "no such type of record";
}

}  // namespace

bool PutAllocated(const SessionKey& key, Side side, const IpAddress& local,
                  absl::Span<const Media> media,
                  absl::Span<const uint16_t> bases, std::string* out) {
  if (WrongOfOffer(key) != nullptr || Wrong(side, media, bases) != nullptr) {
    return false;
  }
  Writer writer(RecordType::kAllocated, out);
  writer.Key(key, kUriOctets);
  writer.Number(static_cast<uint8_t>(side), 1);
  writer.Ip(local);
  writer.Number(media.size(), 1);
  for (size_t i = 0; i < media.size(); ++i) {
    const Media& medium = media[i];
    writer.Ip(medium.ip);
    writer.Number(medium.port, 2);
    writer.Number(static_cast<uint8_t>(medium.range), 1);
    writer.Number(static_cast<uint8_t>(medium.first), 1);
    writer.Number(medium.clock_hz, 4);
    writer.Ip(medium.heard_from);
    writer.Number(bases[i], 2);
  }
  return writer.FinishOwn();
}

bool PutActivated(const SessionKey& key, std::string* out) {
  if (WrongOfOffer(key) != nullptr) return false;
  Writer writer(RecordType::kActivated, out);
  writer.Key(key, 0);
  return writer.FinishOwn();
}

bool PutClosed(const SessionKey& key, std::string* out) {
  if (Wrong(key) != nullptr) return false;
  Writer writer(RecordType::kClosed, out);
  writer.Key(key, 0);
  return writer.FinishOwn();
}

bool PutGone(std::string_view call_id, std::string* out) {
  if (call_id.size() > kIdOctets) return false;
  Writer writer(RecordType::kGone, out);
  writer.Text(call_id);
  return writer.FinishOwn();
}

bool PutConfirmed(std::string_view call_id, const Endpoint& socket,
                  const Endpoint& source, std::string* out) {
  if (call_id.size() > kIdOctets || Wrong(socket, source) != nullptr) {
    return false;
  }
  Writer writer(RecordType::kConfirmed, out);
  writer.Text(call_id);
  writer.At(socket);
  writer.At(source);
  return writer.FinishOwn();
}

void PutFrame(uint8_t type, std::string_view payload, std::string* out) {
  Writer writer(type, out);
  writer.Octets(payload);
  writer.Finish();
}

Got Get(std::string_view in, Record* record) {
  constexpr Got kTorn{.wrong = "it is cut short", .torn = true};
  if (in.size() < kHeadOctets) return kTorn;
  Reader head(in);
  const uint64_t length = head.Number(4);
  if (length > kPayloadOctetsMax) return {.wrong = "it is too long"};
  const size_t checked = kHeadOctets + length;
  if (in.size() < checked + kCheckOctets) return kTorn;
  Reader check(in.substr(checked));
  if (check.Number(kCheckOctets) != CheckOf(in.substr(0, checked))) {
    return {.wrong = "its check does not fit"};
  }
  record->type = static_cast<RecordType>(head.Number(1));
  record->media.clear();
  record->bases.clear();
  Reader payload(in.substr(kHeadOctets, length));
  if (const char* wrong = GetPayload(record->type, payload, record)) {
    return {.wrong = wrong};
  }
  if (!payload.Whole())
    return {.wrong = "its fields are not those of its type"};
  return {.octets = checked + kCheckOctets};
}

}  // namespace sluice::control::journal

#include "control/session_journal_codec.h"

#include <span>

#include "base/check.h"
#include "base/sip_hash.h"

namespace sluice::control::journal {
namespace {

// Flags of an offer, of a fork, of a group.
constexpr uint8_t kHasGroup = 1, kHasWays = 2;
constexpr uint8_t kUp = 1, kAcknowledged = 2, kOver = 4, kAside = 8;
constexpr uint8_t kFacesFrom = 1, kGivenUp = 2;

constexpr SipHashKey kCheckKey{.k0 = 0x736c756963656a6f,
                               .k1 = 0x75726e616c303031};

uint64_t CheckOf(std::string_view octets) {
  return SipHash(kCheckKey,
                 std::span(reinterpret_cast<const uint8_t*>(octets.data()),
                           octets.size()));
}

// ---- what may be in a record, said once for both ways ----------------------

const char* Wrong(const Medium& medium) {
  if (medium.range < 1 || medium.range > kRangeMax) return "no such range";
  if (medium.first > relay::FlowKind::kRaw ||
      medium.first == relay::FlowKind::kRtcp) {
    return "no such kind of medium";
  }
  if (medium.port + medium.range > 65536 ||
      medium.base + medium.range > 65536) {
    return "ports past 65535";
  }
  if (medium.base == 0) return "no ports for a medium";
  return nullptr;
}

const char* WrongId(std::string_view id) {
  return id.size() > kIdOctets ? "an identifier is too long" : nullptr;
}

const char* Wrong(const CallImage& call) {
  const char* wrong = WrongId(call.call_id);
  const auto note = [&wrong](const char* found) {
    if (wrong == nullptr) wrong = found;
  };
  if (call.offers.size() > kTransactionsPerCall) note("too many offers");
  for (const OfferImage& offer : call.offers) {
    note(WrongId(offer.id_from));
    if (offer.forks.size() > kForksPerTransaction) note("too many forks");
    if (offer.ways.size() > kForksPerTransaction) note("too many ways");
    for (const ForkImage& fork : offer.forks) {
      note(WrongId(fork.id_to));
      if (fork.acknowledged && !fork.up) note("nothing was acknowledged");
    }
  }
  call.ForEachGroup([&](const GroupImage& group) {
    if (group.media.size() > kMediaMax) note("too many media");
    for (const Medium& medium : group.media) note(Wrong(medium));
  });
  return wrong;
}

const char* Wrong(const Believed& believed) {
  const Endpoint& source = believed.source;
  if (believed.local.port == Port()) return "port 0 of ours";
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
  void Group(const GroupImage& group) {
    Ip(group.local);
    Number(static_cast<uint64_t>(group.made.us()), 8);
    Number((group.faces == Side::kFrom ? kFacesFrom : 0) |
               (group.given_up ? kGivenUp : 0),
           1);
    Number(group.media.size(), 1);
    for (const Medium& medium : group.media) {
      Ip(medium.ip);
      Number(medium.port, 2);
      Number(medium.range, 1);
      Number(static_cast<uint8_t>(medium.first), 1);
      Number(medium.clock_hz, 4);
      Ip(medium.heard_from);
      Number(medium.base, 2);
    }
  }
  void Offer(const OfferImage& offer) {
    Text(offer.id_from);
    Number(offer.cseq, 4);
    Number((offer.from ? kHasGroup : 0) | (offer.ways.empty() ? 0 : kHasWays),
           1);
    if (offer.from) Group(*offer.from);
    if (!offer.ways.empty()) Number(offer.ways.size(), 1);
    for (const uint64_t way : offer.ways) Number(way, 8);
    Number(offer.forks.size(), 1);
    for (const ForkImage& fork : offer.forks) {
      Text(fork.id_to);
      Number((fork.up ? kUp : 0) | (fork.acknowledged ? kAcknowledged : 0) |
                 (fork.over ? kOver : 0) | (fork.aside ? kAside : 0),
             1);
      Group(fork.group);
    }
  }
  void Finish() {
    const size_t length = out_.size() - begin_ - kHeadOctets;
    for (size_t i = 0; i < 4; ++i) {
      out_[begin_ + i] = static_cast<char>(length >> (8 * (3 - i)) & 0xff);
    }
    Number(CheckOf(std::string_view(out_).substr(begin_)), 8);
  }
  // One of ours: it can be read again, or is taken back.
  bool FinishOwn() {
    if (out_.size() - begin_ > kRecordOctetsMax - kCheckOctets) {
      out_.resize(begin_);
      return false;
    }
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
  // A count, or flags: more than `max` is none.
  uint8_t UpTo(uint8_t max) {
    const uint64_t number = Number(1);
    if (number > max) whole_ = false;
    return whole_ ? static_cast<uint8_t>(number) : uint8_t{0};
  }
  Micros Time() { return Micros(static_cast<int64_t>(Number(8))); }
  void Group(GroupImage* group) {
    group->local = Ip();
    group->made = Time();
    const uint8_t flags = UpTo(kFacesFrom | kGivenUp);
    group->faces = (flags & kFacesFrom) != 0 ? Side::kFrom : Side::kTo;
    group->given_up = (flags & kGivenUp) != 0;
    const uint8_t count = UpTo(kMediaMax);
    for (uint8_t i = 0; i < count && whole_; ++i) {
      Medium& medium = group->media.emplace_back();
      medium.ip = Ip();
      medium.port = static_cast<uint16_t>(Number(2));
      medium.range = static_cast<uint8_t>(Number(1));
      medium.first = static_cast<relay::FlowKind>(Number(1));
      medium.clock_hz = static_cast<uint32_t>(Number(4));
      medium.heard_from = Ip();
      medium.base = static_cast<uint16_t>(Number(2));
    }
  }
  void Ways(std::vector<uint64_t>* ways) {
    const uint8_t count = UpTo(kForksPerTransaction);
    if (count == 0) whole_ = false;
    for (uint8_t i = 0; i < count && whole_; ++i) ways->push_back(Number(8));
  }
  void Offer(OfferImage* offer) {
    Text(kIdOctets, &offer->id_from);
    offer->cseq = static_cast<uint32_t>(Number(4));
    const uint8_t has = UpTo(kHasGroup | kHasWays);
    if ((has & kHasGroup) != 0) Group(&offer->from.emplace());
    if ((has & kHasWays) != 0) Ways(&offer->ways);
    const uint8_t count = UpTo(kForksPerTransaction);
    for (uint8_t i = 0; i < count && whole_; ++i) {
      ForkImage& fork = offer->forks.emplace_back();
      Text(kIdOctets, &fork.id_to);
      const uint8_t flags = UpTo(kUp | kAcknowledged | kOver | kAside);
      fork.up = (flags & kUp) != 0;
      fork.acknowledged = (flags & kAcknowledged) != 0;
      fork.over = (flags & kOver) != 0;
      fork.aside = (flags & kAside) != 0;
      Group(&fork.group);
    }
  }
  void Call(CallImage* call) {
    Text(kIdOctets, &call->call_id);
    Text(kUriOctets, &call->uri_from);
    Text(kUriOctets, &call->uri_to);
    call->refused = Time();
    const uint8_t count = UpTo(kTransactionsPerCall);
    for (uint8_t i = 0; i < count && whole_; ++i) {
      Offer(&call->offers.emplace_back());
    }
  }
  // Everything was there and nothing is left.
  bool Whole() const { return whole_ && in_.empty(); }

 private:
  std::string_view in_;
  bool whole_ = true;
};

const char* GetPayload(RecordType type, Reader& in, Record* record) {
  switch (type) {
    case RecordType::kCall: in.Call(&record->call); return Wrong(record->call);
    case RecordType::kGone:
      in.Text(kIdOctets, &record->call.call_id);
      return nullptr;
    case RecordType::kConfirmed:
      in.Text(kIdOctets, &record->call.call_id);
      record->believed.local = in.At();
      record->believed.source = in.At();
      return Wrong(record->believed);
  }
  return "no such type of record";
}

}  // namespace

bool PutCall(const CallImage& call, std::string* out) {
  if (Wrong(call) != nullptr) return false;
  Writer writer(RecordType::kCall, out);
  writer.Text(call.call_id);
  writer.Text(std::string_view(call.uri_from).substr(0, kUriOctets));
  writer.Text(std::string_view(call.uri_to).substr(0, kUriOctets));
  writer.Number(static_cast<uint64_t>(call.refused.us()), 8);
  writer.Number(call.offers.size(), 1);
  for (const OfferImage& offer : call.offers) writer.Offer(offer);
  return writer.FinishOwn();
}

bool PutGone(std::string_view call_id, std::string* out) {
  if (WrongId(call_id) != nullptr) return false;
  Writer writer(RecordType::kGone, out);
  writer.Text(call_id);
  return writer.FinishOwn();
}

bool PutConfirmed(std::string_view call_id, const Believed& believed,
                  std::string* out) {
  if (WrongId(call_id) != nullptr || Wrong(believed) != nullptr) return false;
  Writer writer(RecordType::kConfirmed, out);
  writer.Text(call_id);
  writer.At(believed.local);
  writer.At(believed.source);
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
  record->call = CallImage();
  Reader payload(in.substr(kHeadOctets, length));
  if (const char* wrong = GetPayload(record->type, payload, record)) {
    return {.wrong = wrong};
  }
  if (!payload.Whole())
    return {.wrong = "its fields are not those of its type"};
  return {.octets = checked + kCheckOctets};
}

}  // namespace sluice::control::journal

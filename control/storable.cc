#include "control/storable.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace sluice::control::storable {
namespace {

constexpr uint8_t kNetworkOrderMajor2 = 0x05;
constexpr uint8_t kMinor = 0x0b;

// The tags that are data. All others are refused by not being here.
enum Tag : uint8_t {
  kObject = 0x00,
  kLongScalar = 0x01,
  kArray = 0x02,
  kHash = 0x03,
  kRef = 0x04,
  kUndef = 0x05,
  kByte = 0x08,
  kNetInt = 0x09,
  kScalar = 0x0a,
  kImmortalUndef = 0x0e,
  kYes = 0x0f,
  kNo = 0x10,
  kUtf8 = 0x17,
  kLongUtf8 = 0x18,
  kFlagHash = 0x19,
  kWeakRef = 0x1b,
  kUndefElement = 0x1f,
  kTrue = 0x22,
  kFalse = 0x23,
};

// Flags of one key of a FLAG_HASH. The first three change nothing for plain
// octets; a key that is an object of its own (08) is never written by Perl.
constexpr uint8_t kKeyUtf8 = 0x01;
constexpr uint8_t kKeyWasUtf8 = 0x02;
constexpr uint8_t kKeyLocked = 0x04;
constexpr uint8_t kKeyPlaceholder = 0x10;
constexpr uint8_t kKeyKnown =
    kKeyUtf8 | kKeyWasUtf8 | kKeyLocked | kKeyPlaceholder;

// A value's tag octet; a value with its key length; the same with key flags.
constexpr size_t kElementBytesMin = 1;
constexpr size_t kPairBytesMin = 5;
constexpr size_t kFlaggedPairBytesMin = 6;

// Reads one frame. Objects are numbered in the order of their tags; a
// back-reference is answered by reading the object's octets once more, at the
// expense of the same budgets, so nothing ever points into a half-built tree
// and what is shared on the wire is not dearer than what is not.
class Reader {
 public:
  Reader(std::string_view data, const Limits& limits)
      : data_(data),
        nodes_left_(limits.nodes_max),
        bytes_left_(limits.bytes_max),
        levels_left_(limits.levels_max) {}

  absl::StatusOr<Value> Frame() {
    uint8_t major = 0;
    uint8_t minor = 0;
    RETURN_IF_ERROR(U8(&major));
    RETURN_IF_ERROR(U8(&minor));
    if (major != kNetworkOrderMajor2) {
      return Bad("not Storable 2 in network order");
    }
    Value root;
    RETURN_IF_ERROR(SpendNodes(1));
    RETURN_IF_ERROR(Object(&root));
    if (left() != 0) return Bad("octets after the value");
    return root;
  }

 private:
  // Where object number n began, and whether it has been read to its end: a
  // reference to one that has not is a cycle.
  struct Seen {
    size_t offset = 0;
    bool whole = false;
  };

  // One object into `out`. Whoever calls has paid its node.
  absl::Status Object(Value* out) {
    const size_t offset = pos_;
    uint8_t tag = 0;
    RETURN_IF_ERROR(U8(&tag));
    if (tag == kObject) return BackReference(out);
    if (replaying_ > 0) return Tagged(tag, out);
    const size_t number = seen_.size();
    seen_.push_back({.offset = offset});
    RETURN_IF_ERROR(Tagged(tag, out));
    seen_[number].whole = true;
    return absl::OkStatus();
  }

  absl::Status Tagged(uint8_t tag, Value* out) {
    switch (tag) {
      case kUndef:
      case kImmortalUndef:
      case kUndefElement: *out = Value(); return absl::OkStatus();
      case kYes:
      case kTrue: *out = Value("1"); return absl::OkStatus();
      case kNo:
      case kFalse: *out = Value(""); return absl::OkStatus();
      case kByte: {
        uint8_t biased = 0;
        RETURN_IF_ERROR(U8(&biased));
        *out = Value(int64_t{biased} - 128);
        return absl::OkStatus();
      }
      case kNetInt: {
        uint32_t bits = 0;
        RETURN_IF_ERROR(U32(&bits));
        *out = Value(int64_t{static_cast<int32_t>(bits)});
        return absl::OkStatus();
      }
      case kScalar:
      case kUtf8: {
        uint8_t length = 0;
        RETURN_IF_ERROR(U8(&length));
        return String(length, out);
      }
      case kLongScalar:
      case kLongUtf8: {
        uint32_t length = 0;
        RETURN_IF_ERROR(U32(&length));
        return String(length, out);
      }
      case kRef:
      case kWeakRef: {
        RETURN_IF_ERROR(Enter());
        RETURN_IF_ERROR(SpendNodes(1));
        RETURN_IF_ERROR(Object(out));
        Leave();
        return absl::OkStatus();
      }
      case kArray: return Array(out);
      case kHash: return Hash(out, /*flagged=*/false);
      case kFlagHash: return Hash(out, /*flagged=*/true);
      default: return Bad(absl::StrFormat("tag %02x is not plain data", tag));
    }
  }

  absl::Status BackReference(Value* out) {
    uint32_t number = 0;
    RETURN_IF_ERROR(U32(&number));
    if (number >= seen_.size()) return Bad("reference to no object");
    if (!seen_[number].whole) return Bad("reference to what contains it");
    const size_t after = std::exchange(pos_, seen_[number].offset);
    ++replaying_;
    RETURN_IF_ERROR(Object(out));
    --replaying_;
    pos_ = after;
    return absl::OkStatus();
  }

  absl::Status Array(Value* out) {
    RETURN_IF_ERROR(Enter());
    uint32_t count = 0;
    RETURN_IF_ERROR(Count(kElementBytesMin, &count));
    Value::List list(count);
    for (Value& element : list) RETURN_IF_ERROR(Object(&element));
    *out = Value(std::move(list));
    Leave();
    return absl::OkStatus();
  }

  absl::Status Hash(Value* out, bool flagged) {
    RETURN_IF_ERROR(Enter());
    // Restricted or not: data is data.
    uint8_t hash_flags = 0;
    if (flagged) RETURN_IF_ERROR(U8(&hash_flags));
    uint32_t count = 0;
    RETURN_IF_ERROR(
        Count(flagged ? kFlaggedPairBytesMin : kPairBytesMin, &count));
    Value::Map map;
    map.reserve(count);
    for (uint32_t i = 0; i < count; ++i) {
      Value::Entry entry;
      RETURN_IF_ERROR(Object(&entry.second));
      uint8_t flags = 0;
      if (flagged) RETURN_IF_ERROR(U8(&flags));
      if ((flags & ~kKeyKnown) != 0) return Bad("unknown kind of key");
      uint32_t length = 0;
      RETURN_IF_ERROR(U32(&length));
      std::string_view key;
      RETURN_IF_ERROR(Octets(length, &key));
      // A key that the map may have but has not.
      if ((flags & kKeyPlaceholder) != 0) continue;
      entry.first = std::string(key);
      map.push_back(std::move(entry));
    }
    *out = Value::MapOf(std::move(map));
    Leave();
    return absl::OkStatus();
  }

  absl::Status String(uint32_t length, Value* out) {
    std::string_view octets;
    RETURN_IF_ERROR(Octets(length, &octets));
    *out = Value(octets);
    return absl::OkStatus();
  }

  // How many members follow, paid for before anything is reserved for them:
  // the sum of all reserved at once is never beyond the node budget.
  absl::Status Count(size_t bytes_each, uint32_t* count) {
    RETURN_IF_ERROR(U32(count));
    if (*count > left() / bytes_each) return Bad("more members than octets");
    return SpendNodes(*count);
  }

  absl::Status SpendNodes(size_t n) {
    if (n > nodes_left_) {
      return absl::ResourceExhaustedError("storable: too many values");
    }
    nodes_left_ -= n;
    return absl::OkStatus();
  }

  absl::Status Enter() {
    if (levels_left_ == 0) {
      return absl::ResourceExhaustedError("storable: nested too deep");
    }
    --levels_left_;
    return absl::OkStatus();
  }
  void Leave() { ++levels_left_; }

  absl::Status U8(uint8_t* out) {
    if (left() < 1) return Bad("cut short");
    *out = static_cast<uint8_t>(data_[pos_++]);
    return absl::OkStatus();
  }

  absl::Status U32(uint32_t* out) {
    if (left() < 4) return Bad("cut short");
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      value = value << 8 | static_cast<uint8_t>(data_[pos_++]);
    }
    *out = value;
    return absl::OkStatus();
  }

  absl::Status Octets(uint32_t length, std::string_view* out) {
    if (length > left()) return Bad("cut short");
    if (length > bytes_left_) {
      return absl::ResourceExhaustedError("storable: too many octets");
    }
    bytes_left_ -= length;
    *out = data_.substr(pos_, length);
    pos_ += length;
    return absl::OkStatus();
  }

  absl::Status Bad(std::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrFormat("storable: %s (octet %d)", what, pos_));
  }

  size_t left() const { return data_.size() - pos_; }

  const std::string_view data_;
  size_t pos_ = 0;
  size_t nodes_left_;
  size_t bytes_left_;
  int levels_left_;
  int replaying_ = 0;
  std::vector<Seen> seen_;
};

class Writer {
 public:
  explicit Writer(std::string* out) : out_(*out) {}

  void Header() {
    U8(kNetworkOrderMajor2);
    U8(kMinor);
  }

  // `value` as it stands inside a list, a map or a variable: what nests does so
  // behind a reference.
  void Member(const Value& value) {
    if (value.list() != nullptr || value.map() != nullptr) U8(kRef);
    Referent(value);
  }

  void Referent(const Value& value) {
    if (const int64_t* number = value.integer()) {
      Integer(*number);
    } else if (const std::string* bytes = value.bytes()) {
      String(*bytes);
    } else if (const Value::List* list = value.list()) {
      U8(kArray);
      U32(list->size());
      for (const Value& element : *list) Member(element);
    } else if (const Value::Map* map = value.map()) {
      U8(kHash);
      U32(map->size());
      for (const auto& [key, member] : *map) {
        Member(member);
        U32(key.size());
        out_ += key;
      }
    } else {
      U8(kUndef);
    }
  }

 private:
  void Integer(int64_t number) {
    if (number >= -128 && number <= 127) {
      U8(kByte);
      U8(static_cast<uint8_t>(number + 128));
    } else if (number >= std::numeric_limits<int32_t>::min() &&
               number <= std::numeric_limits<int32_t>::max()) {
      U8(kNetInt);
      U32(static_cast<uint32_t>(number));
    } else {
      String(absl::StrCat(number));
    }
  }

  void String(std::string_view bytes) {
    if (bytes.size() <= 255) {
      U8(kScalar);
      U8(static_cast<uint8_t>(bytes.size()));
    } else {
      U8(kLongScalar);
      U32(bytes.size());
    }
    out_ += bytes;
  }

  void U8(uint8_t value) { out_ += static_cast<char>(value); }
  void U32(size_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      out_ += static_cast<char>(value >> shift & 0xff);
    }
  }

  std::string& out_;
};

}  // namespace

Value Value::MapOf(Map entries) {
  std::stable_sort(
      entries.begin(), entries.end(),
      [](const Entry& a, const Entry& b) { return a.first < b.first; });
  // Of each run of equal keys the last.
  Map map;
  map.reserve(entries.size());
  for (Entry& entry : entries) {
    if (!map.empty() && map.back().first == entry.first) {
      map.back().second = std::move(entry.second);
    } else {
      map.push_back(std::move(entry));
    }
  }
  Value value;
  value.data_ = std::move(map);
  return value;
}

Value Value::MapOf(std::initializer_list<Entry> entries) {
  return MapOf(Map(entries));
}

const Value* Value::Find(std::string_view key) const {
  const Map* entries = map();
  if (entries == nullptr) return nullptr;
  const auto it = std::lower_bound(
      entries->begin(), entries->end(), key,
      [](const Entry& entry, std::string_view k) { return entry.first < k; });
  return it != entries->end() && it->first == key ? &it->second : nullptr;
}

absl::StatusOr<Value> Decode(std::string_view data, const Limits& limits) {
  return Reader(data, limits).Frame();
}

std::string Encode(const Value& value, Root root) {
  std::string out;
  Writer writer(&out);
  writer.Header();
  if (root == Root::kValue) {
    writer.Member(value);
  } else {
    writer.Referent(value);
  }
  return out;
}

}  // namespace sluice::control::storable

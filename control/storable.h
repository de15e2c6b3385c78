#ifndef SLUICE_CONTROL_STORABLE_H_
#define SLUICE_CONTROL_STORABLE_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

// Perl's Storable, network order (nfreeze), for input that nobody vouches for.
//
//   05 0b            major 2 in network order, a minor version
//   one object       a tag octet, then what the tag says
//
// Perl's own reader makes objects and loads classes named by the sender, and
// believes every length. This one knows data and nothing else: undef, integers,
// octet strings, lists, maps. Whatever may run or allocate more than it brought
// along is refused (classes, code, hooks, ties, regular expressions, native
// byte order), and every count is held against the octets left before it is
// used.
namespace sluice::control::storable {

// A tree of plain data.
class Value {
 public:
  using List = std::vector<Value>;
  using Entry = std::pair<std::string, Value>;
  // Sorted by key, each key once.
  using Map = std::vector<Entry>;

  Value() = default;  // undef
  // Any kind of integer, so that a literal 0 is one and not a null pointer.
  template <std::integral T>
  explicit Value(T number) : data_(static_cast<int64_t>(number)) {}
  explicit Value(std::string bytes) : data_(std::move(bytes)) {}
  explicit Value(std::string_view bytes) : data_(std::string(bytes)) {}
  explicit Value(const char* bytes) : data_(std::string(bytes)) {}
  explicit Value(List list) : data_(std::move(list)) {}
  // Entries in any order; of equal keys the last one stays.
  static Value MapOf(Map entries);
  static Value MapOf(std::initializer_list<Entry> entries);

  bool is_undef() const { return data_.index() == 0; }
  // Null when the value is of another kind.
  const int64_t* integer() const { return std::get_if<int64_t>(&data_); }
  const std::string* bytes() const { return std::get_if<std::string>(&data_); }
  const List* list() const { return std::get_if<List>(&data_); }
  const Map* map() const { return std::get_if<Map>(&data_); }
  // The entry of that key; null when there is none or this is no map.
  const Value* Find(std::string_view key) const;

  friend bool operator==(const Value& a, const Value& b) {
    return a.data_ == b.data_;
  }

 private:
  std::variant<std::monostate, int64_t, std::string, List, Map> data_;
};

// What one decode may cost. The defaults hold every frame of 128 KiB that a
// proxy can make of an SDP body, where each `lines` entry is a list of two
// strings (19 octets and four nodes for "a=sendrecv").
struct Limits {
  // Values read, with everything a back-reference repeats.
  size_t nodes_max = 32 * 1024;
  // Octets in strings and keys, with everything a back-reference repeats.
  size_t bytes_max = 256 * 1024;
  // References, lists and maps inside each other. Perl writes a nested list as
  // a reference and the list, so this is eight lists; real requests have five.
  int levels_max = 16;
};

// The value in `data`, which must be a whole frozen value and nothing after it.
// References vanish: a reference to a list is the list. InvalidArgument for
// what is no such thing, ResourceExhausted for what is beyond `limits`.
absl::StatusOr<Value> Decode(std::string_view data, const Limits& limits = {});

// What the root of a frozen value is. Perl freezes a reference; `nfreeze(\$v)`
// writes the value of $v, and a list in $v is a reference to a list, while
// `nfreeze($v)` of such a $v writes the list itself.
enum class Root {
  kValue,     // nfreeze(\$v): how the server sends a reply
  kReferent,  // nfreeze($v), $v a reference: how the client sends a request
};

// Decode(Encode(v)) == v, but for integers beyond 32 bits, which the format
// only knows as decimal strings.
std::string Encode(const Value& value, Root root = Root::kValue);

}  // namespace sluice::control::storable

#endif  // SLUICE_CONTROL_STORABLE_H_

#ifndef SLUICE_TOOLS_LOAD_SIP_TEMPLATE_H_
#define SLUICE_TOOLS_LOAD_SIP_TEMPLATE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::load {

// Writes into a room of fixed size; what does not fit makes it fail, once and
// for all.
class SipWriter {
 public:
  SipWriter(char* room, size_t octets) : room_(room), octets_(octets) {}

  void Put(std::string_view text) noexcept {
    if (text.size() > octets_ - used_) {
      failed_ = true;
      return;
    }
    // An empty view may point nowhere.
    if (text.empty()) return;
    std::memcpy(room_ + used_, text.data(), text.size());
    used_ += text.size();
  }
  // Eight digits.
  void PutHex(uint32_t number) noexcept;
  void PutDecimal(uint64_t number) noexcept;
  // Octets written; 0 when something did not fit.
  size_t size() const noexcept { return failed_ ? 0 : used_; }

 private:
  char* room_;
  size_t octets_;
  size_t used_ = 0;
  bool failed_ = false;
};

// What differs between two messages of a kind.
struct SipValues {
  uint32_t number = 0;        // {number}, {branch}, tags and Call-ID: hex
  uint32_t cseq = 1;          // {cseq}
  char step = '1';            // {step}: makes one transaction's branch another
  std::string_view user{};    // {user}
  std::string_view target{};  // {target}: a remote target (RFC 3261 12.2.1.1)
  std::string_view to{};      // {to}: the To line of a dialog
  std::string_view lines{};   // {lines}: Route, Authorization
  std::string_view body{};    // {body}: with its Content-Type and -Length
};

// A message that is written many times: literal text, cut at its fields once.
//
// Thread: any; a value.
class SipTemplate {
 public:
  SipTemplate() = default;
  // A name in braces that is none of SipValues' is left as it is written.
  explicit SipTemplate(std::string_view text);
  void Write(const SipValues& values, SipWriter* out) const noexcept;

 private:
  enum class Field : uint8_t {
    kNone,
    kNumber,
    kCSeq,
    kStep,
    kUser,
    kTarget,
    kTo,
    kLines,
    kBody
  };
  struct Piece {
    std::string literal{};
    Field field = Field::kNone;  // behind the literal
  };
  static Field FieldOf(std::string_view name);

  std::vector<Piece> pieces_;
};

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_TEMPLATE_H_

#ifndef SLUICE_SIP_MESSAGE_H_
#define SLUICE_SIP_MESSAGE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "sip/fields.h"

namespace sluice::sip {

// What a peer may make us look at (security P1). A message beyond one of these
// is refused, never cut.
inline constexpr size_t kMessageOctetsMax = 65'535;
inline constexpr size_t kHeadersMax = 256;
inline constexpr size_t kViasMax = 70;
inline constexpr size_t kContactsMax = 10;         // of one request
inline constexpr uint32_t kCSeqMax = 0x7fff'ffff;  // RFC 3261 8.1.1.5

enum class Method : uint8_t {
  kOther,
#define METHOD(id, text) id,
#include "sip/methods.def"
#undef METHOD
};
// Methods are compared with case (RFC 3261 7.1).
Method MethodOf(std::string_view text);

enum class HeaderId : uint8_t {
  kOther,
#define HEADER(id, name, compact, form) id,
#include "sip/headers.def"
#undef HEADER
};
enum class HeaderForm : uint8_t { kSingle, kList, kMany };
// By name or compact form, without regard to case.
HeaderId HeaderIdOf(std::string_view name);
std::string_view NameOf(HeaderId id);  // "" for kOther
HeaderForm FormOf(HeaderId id);        // kMany for kOther

// One header field as it stands in the message.
struct Header {
  HeaderId id = HeaderId::kOther;
  std::string_view name;   // without white space before the colon
  std::string_view value;  // trimmed; folds (RFC 3261 7.3.1) are still in it
  std::string_view line;   // all of it, with its line end(s)
};

// Why a message is refused.
struct Refusal {
  int code = 0;  // 0: it is fine; else what a request is answered with
  const char* reason = "";
  explicit operator bool() const { return code != 0; }
};

// A SIP message as views into the octets it was parsed from, which must outlive
// it. Nothing is copied or unfolded. Of the values whose grammar is checked
// those that everybody asks for are kept as they were found; the others are
// looked into by sip/fields.h and sip/uri.h, when somebody asks.
//
// One interpretation only (security P3): header names end before white space
// and colon; NUL, other control octets and a CR that no LF follows are refused
// outside the body, except behind a backslash in a quoted string, where they
// are data (RFC 3261 25.1, RFC 4475 3.1.1.2); lines end with CRLF or LF.
//
// Thread: any; a value.
class Message {
 public:
  // Its own, as the compiler's would clear the room for headers too.
  Message() noexcept {}

  // Parses one datagram, or one frame of a stream. On UDP what follows
  // Content-Length octets of body is ignored (RFC 3261 18.3).
  //
  // A refused message is filled as far as it could be read, lines that could
  // not left out, so that a request can be answered when it has what that takes
  // (Answerable). Checked here: start line and version (505), the caps above
  // and of sip/uri.h (513, 414, else 400), control octets, the single headers'
  // being single, CSeq, Content-Length, Max-Forwards and Expires being numbers
  // in range, the presence of what RFC 3261 8.1.1 demands (Max-Forwards, a
  // Via's branch and From's tag excepted: RFC 2543 had none), the method of
  // CSeq, Call-ID's being one visible word, a REGISTER's To being a SIP URI
  // (10.2), and the grammar of Via, From, To, Contact ("*" alone is one),
  // Route, Record-Route and Path (400). The Request-URI may have any scheme: it
  // is the proxy's business (416).
  Refusal Parse(std::string_view octets);

  // By what the start line begins with, also of a refused message.
  bool is_request() const { return !response_; }
  bool is_response() const { return response_; }
  // Request: its own. Response: that of its CSeq.
  Method method() const { return method_; }
  std::string_view method_text() const { return method_text_; }
  // Of a request; "" when it was refused.
  std::string_view uri() const { return uri_; }
  // Parsed; nullopt when it was refused, and of a response.
  const std::optional<Uri>& parsed_uri() const { return parsed_uri_; }
  // Of a response, 100..699; 0 when it was refused.
  int status() const { return status_; }
  std::string_view reason() const { return reason_; }

  std::span<const Header> headers() const { return headers_.all(); }
  // The first of that id, or null.
  const Header* Find(HeaderId id) const;
  std::string_view Value(HeaderId id) const {  // "" when there is none
    const Header* h = Find(id);
    return h == nullptr ? std::string_view() : h->value;
  }
  std::string_view call_id() const { return Value(HeaderId::kCallId); }
  // Of a message that was not refused they are there; else perhaps not.
  const std::optional<NameAddr>& from() const { return from_; }
  const std::optional<NameAddr>& to() const { return to_; }
  // The top one, and the one below it; nullopt when there are fewer.
  const std::optional<Via>& top_via() const { return vias_[0]; }
  const std::optional<Via>& next_via() const { return vias_[1]; }
  size_t vias() const { return via_count_; }
  uint32_t cseq() const { return cseq_; }
  // -1 when there is none.
  int max_forwards() const { return max_forwards_; }
  int64_t expires() const { return expires_; }

  // Values of a kList header in order, over all its lines, split at commas
  // outside quotes and angle brackets and trimmed. visit(std::string_view) may
  // return false to stop; returns whether it went through.
  template <typename Visit>
  bool ForEach(HeaderId id, Visit&& visit) const;
  // The n-th of them, "" when there are fewer.
  std::string_view Nth(HeaderId id, size_t n) const;
  size_t Count(HeaderId id) const;

  std::string_view start_line() const { return start_line_; }  // with its end
  // The empty line that ends the headers begins here.
  const char* headers_end() const { return headers_end_; }
  std::string_view body() const { return body_; }
  // From the first octet to the last of the body.
  std::string_view octets() const { return octets_; }

  // A request whose method and top Via could be read, and which has From, To,
  // Call-ID and CSeq, if only to be copied: a response can be made. Whether the
  // method is one that gets any (ACK does not) is the caller's to know.
  bool Answerable() const { return answerable_; }

 private:
  Refusal ParseStartLine(std::string_view line);
  Refusal ParseHeaders(std::string_view octets, size_t* at);
  Refusal CheckHeaders();
  Refusal CheckNumbers();
  Refusal CheckGrammar();
  Refusal CheckVias();
  Refusal CheckParties();
  Refusal FindBody(std::string_view octets, size_t at);

  // Room for kHeadersMax. What is not used is neither cleared nor copied: 14 kB
  // of it would cost more than most parses.
  class Headers {
   public:
    Headers() noexcept {}
    Headers(const Headers& other) noexcept { *this = other; }
    Headers& operator=(const Headers& other) noexcept {
      if (this == &other) return *this;
      count_ = other.count_;
      std::uninitialized_copy_n(other.at_, count_, at_);
      return *this;
    }
    std::span<const Header> all() const { return {at_, count_}; }
    bool full() const { return count_ == kHeadersMax; }
    // REQUIRES: not full.
    void Add(const Header& header) {
      std::construct_at(at_ + count_++, header);
    }

   private:
    size_t count_ = 0;
    union {
      Header at_[kHeadersMax];
    };
  };

  Headers headers_;
  // By HeaderId: index of the first + 1; 0: none.
  std::array<uint16_t, 32> first_{};
  std::optional<Uri> parsed_uri_;
  std::optional<NameAddr> from_, to_;
  std::optional<Via> vias_[2];
  size_t via_count_ = 0;
  std::string_view octets_, start_line_, body_, method_text_, uri_, reason_;
  const char* headers_end_ = nullptr;
  Method method_ = Method::kOther;
  bool response_ = false;
  int status_ = 0;
  uint32_t cseq_ = 0;
  int max_forwards_ = -1;
  int64_t expires_ = -1;
  bool answerable_ = false;
};

// Whether a list header has that word, without regard to case: an option tag
// (RFC 3261 19.2).
bool HasWord(const Message& message, HeaderId id, std::string_view word);

// Splits at the next comma that is outside quotes and angle brackets: returns
// the trimmed value before it and moves `rest` behind it.
std::string_view NextListValue(std::string_view* rest);

template <typename Visit>
bool Message::ForEach(HeaderId id, Visit&& visit) const {
  const Header* const first = Find(id);
  if (first == nullptr) return true;
  const Header* const end = headers().data() + headers().size();
  for (const Header* h = first; h != end; ++h) {
    if (h->id != id) continue;
    std::string_view rest = h->value;
    while (!rest.empty()) {
      if (!visit(NextListValue(&rest))) return false;
    }
  }
  return true;
}

}  // namespace sluice::sip

#endif  // SLUICE_SIP_MESSAGE_H_

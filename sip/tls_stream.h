#ifndef SLUICE_SIP_TLS_STREAM_H_
#define SLUICE_SIP_TLS_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "absl/status/status.h"

struct ssl_st;
struct ssl_ctx_st;

namespace sluice::sip {

// What became of one attempt to move octets over a non-blocking descriptor.
struct IoResult {
  enum class Kind : uint8_t {
    kDone,       // `octets` were moved
    kWantRead,   // again when the descriptor is readable
    kWantWrite,  // again when it is writable
    kEnd,        // the peer will send no more
    kFailed,     // `status` says why
  };
  Kind kind = Kind::kDone;
  size_t octets = 0;
  absl::Status status{};
};

// The same over the descriptor itself.
IoResult ReadPlain(int fd, std::span<char> into);
IoResult WritePlain(int fd, std::string_view octets);

// TLS over a connected, non-blocking descriptor that stays the caller's and
// outlives it. A peer that has gone is an error, never a SIGPIPE.
//
// Thread: one.
class TlsStream {
 public:
  // Made by TlsContext. Null where memory is out.
  static std::unique_ptr<TlsStream> Create(ssl_ctx_st* context, int fd);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  // Again until it is kDone or kFailed: PermissionDenied for a certificate that
  // is not trusted, is missing or names another, Unavailable for the rest.
  IoResult Handshake();
  IoResult Read(std::span<char> into);
  // One that could not be written is to be tried again with the same octets.
  IoResult Write(std::string_view octets);
  // Octets are decrypted already: the descriptor need not become readable.
  bool has_pending() const;
  // Says goodbye, if the kernel takes it at once.
  void SayEnd();

  ssl_st* ssl() { return ssl_; }

 private:
  struct Wire {  // what the library reads and writes by
    int fd = -1;
    bool ended = false;
    int error = 0;
  };
  friend struct WireMethods;

  explicit TlsStream(int fd) { wire_.fd = fd; }
  IoResult Result(int returned);

  Wire wire_;
  ssl_st* ssl_ = nullptr;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_TLS_STREAM_H_

#include "sip/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/net/socket.h"

namespace sluice::sip {
namespace {

int ClampInt(size_t n) {
  return static_cast<int>(std::min<size_t>(n, INT_MAX));
}

// The first of the thread's errors: what went wrong, before what followed.
std::string TakeError() {
  char text[256] = "unknown error";
  if (const unsigned long error = ERR_get_error(); error != 0) {
    const char* reason = ERR_reason_error_string(error);
    if (reason != nullptr) return reason;
    ERR_error_string_n(error, text, sizeof(text));
  }
  return text;
}

}  // namespace

IoResult ReadPlain(int fd, std::span<char> into) {
  ssize_t n;
  do {
    n = recv(fd, into.data(), into.size(), 0);
  } while (n < 0 && errno == EINTR);
  if (n > 0) return {.octets = static_cast<size_t>(n)};
  if (n == 0) return {.kind = IoResult::Kind::kEnd};
  if (errno == EAGAIN) return {.kind = IoResult::Kind::kWantRead};
  return {.kind = IoResult::Kind::kFailed,
          .status = net::ErrnoStatus(errno, "receive")};
}

IoResult WritePlain(int fd, std::string_view octets) {
  ssize_t n;
  do {
    n = send(fd, octets.data(), octets.size(), MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n >= 0) return {.octets = static_cast<size_t>(n)};
  if (errno == EAGAIN) return {.kind = IoResult::Kind::kWantWrite};
  return {.kind = IoResult::Kind::kFailed,
          .status = net::ErrnoStatus(errno, "send")};
}

// The library's own socket BIO writes with write(), which ends the process by
// SIGPIPE where nobody has set that aside.
struct WireMethods {
  using Wire = TlsStream::Wire;

  static Wire& Of(BIO* bio) { return *static_cast<Wire*>(BIO_get_data(bio)); }
  static int Read(BIO* bio, char* into, int size) {
    Wire& wire = Of(bio);
    BIO_clear_retry_flags(bio);
    const IoResult r =
        ReadPlain(wire.fd, {into, static_cast<size_t>(std::max(size, 0))});
    switch (r.kind) {
      case IoResult::Kind::kDone: return static_cast<int>(r.octets);
      case IoResult::Kind::kEnd: wire.ended = true; return 0;
      case IoResult::Kind::kWantRead:
      case IoResult::Kind::kWantWrite: BIO_set_retry_read(bio); return -1;
      case IoResult::Kind::kFailed: wire.error = errno; return -1;
    }
    return -1;
  }
  static int Write(BIO* bio, const char* from, int size) {
    Wire& wire = Of(bio);
    BIO_clear_retry_flags(bio);
    const IoResult r =
        WritePlain(wire.fd, {from, static_cast<size_t>(std::max(size, 0))});
    switch (r.kind) {
      case IoResult::Kind::kDone: return static_cast<int>(r.octets);
      case IoResult::Kind::kWantRead:
      case IoResult::Kind::kWantWrite: BIO_set_retry_write(bio); return -1;
      case IoResult::Kind::kEnd:
      case IoResult::Kind::kFailed: wire.error = errno; return -1;
    }
    return -1;
  }
  static long Control(BIO* bio, int command, long, void*) {
    switch (command) {
      case BIO_CTRL_FLUSH: return 1;
      case BIO_CTRL_EOF: return Of(bio).ended ? 1 : 0;
      default: return 0;
    }
  }
  static const BIO_METHOD* Get() {
    static const BIO_METHOD* const methods = [] {
      BIO_METHOD* m =
          BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
      CHECK(m != nullptr);
      BIO_meth_set_read(m, Read);
      BIO_meth_set_write(m, Write);
      BIO_meth_set_ctrl(m, Control);
      return m;
    }();
    return methods;
  }
};

std::unique_ptr<TlsStream> TlsStream::Create(ssl_ctx_st* context, int fd) {
  std::unique_ptr<TlsStream> made(new TlsStream(fd));
  made->ssl_ = SSL_new(context);
  BIO* bio = made->ssl_ == nullptr ? nullptr : BIO_new(WireMethods::Get());
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, &made->wire_);
  BIO_set_init(bio, 1);
  SSL_set_bio(made->ssl_, bio, bio);
  return made;
}

TlsStream::~TlsStream() { SSL_free(ssl_); }

IoResult TlsStream::Result(int returned) {
  if (returned > 0) return {.octets = static_cast<size_t>(returned)};
  switch (SSL_get_error(ssl_, returned)) {
    case SSL_ERROR_WANT_READ: return {.kind = IoResult::Kind::kWantRead};
    case SSL_ERROR_WANT_WRITE: return {.kind = IoResult::Kind::kWantWrite};
    case SSL_ERROR_ZERO_RETURN: return {.kind = IoResult::Kind::kEnd};
    case SSL_ERROR_SYSCALL:
      return {.kind = IoResult::Kind::kFailed,
              .status = wire_.error != 0
                            ? net::ErrnoStatus(wire_.error, "TLS")
                            : absl::UnavailableError("TLS: the peer hung up")};
    default: break;
  }
  const bool missing = ERR_GET_REASON(ERR_peek_error()) ==
                       SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
  const long verified = SSL_get_verify_result(ssl_);
  std::string why = absl::StrCat("TLS: ", TakeError());
  if (verified != X509_V_OK) {
    absl::StrAppend(&why, " (", X509_verify_cert_error_string(verified), ")");
  }
  const bool certificate =
      missing || (verified != X509_V_OK && !SSL_is_init_finished(ssl_));
  return {.kind = IoResult::Kind::kFailed,
          .status = certificate ? absl::PermissionDeniedError(why)
                                : absl::UnavailableError(why)};
}

// The library looks at the thread's error queue to tell what happened: each
// call begins with an empty one.
IoResult TlsStream::Handshake() {
  ERR_clear_error();
  return Result(SSL_do_handshake(ssl_));
}

IoResult TlsStream::Read(std::span<char> into) {
  ERR_clear_error();
  return Result(SSL_read(ssl_, into.data(), ClampInt(into.size())));
}

IoResult TlsStream::Write(std::string_view octets) {
  ERR_clear_error();
  return Result(SSL_write(ssl_, octets.data(), ClampInt(octets.size())));
}

bool TlsStream::has_pending() const { return SSL_pending(ssl_) > 0; }

void TlsStream::SayEnd() {
  if (!SSL_is_init_finished(ssl_)) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
}

}  // namespace sluice::sip

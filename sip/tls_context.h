#ifndef SLUICE_SIP_TLS_CONTEXT_H_
#define SLUICE_SIP_TLS_CONTEXT_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "sip/tls_stream.h"
#include "sip/transport.h"

namespace sluice::sip {

// Certificates and rules of a leg's TLS, read from files once: TLS 1.2 and
// later, ECDHE with AEAD ciphers only, no renegotiation, no compression, no
// resumption (SIP connections are long, and what is not kept cannot leak).
// Streams hold what they need of it: a newer one can take its place at any
// moment (reload).
//
// Thread: one.
class TlsContext {
 public:
  // InvalidArgument names the file and what is wrong with it.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> Load(
      const TlsOptions& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // The server's side. Null where memory is out.
  std::unique_ptr<TlsStream> Accept(int fd) const;
  // The client's side. The peer must prove to be `name`, which it is also told
  // (SNI, RFC 6066 3), or, where that is a literal, that address.
  std::unique_ptr<TlsStream> Connect(int fd, std::string_view name) const;

 private:
  TlsContext() = default;
  absl::Status Read(const TlsOptions& options);

  ssl_ctx_st* server_ = nullptr;
  ssl_ctx_st* client_ = nullptr;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_TLS_CONTEXT_H_

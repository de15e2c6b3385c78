#include "sip/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice::sip {
namespace {

absl::Status FileError(std::string_view what, const std::string& file) {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  const absl::Status status = absl::InvalidArgumentError(
      absl::StrCat(std::string(what), " ", file, ": ",
                   reason == nullptr ? "cannot be used" : reason));
  ERR_clear_error();
  return status;
}

// A key that wants a password is refused: the library would ask for it on the
// terminal and stop the loop.
int NoPassword(char*, int, int, void*) { return 0; }

absl::Status SetUp(SSL_CTX* context, const TlsOptions& options) {
  if (context == nullptr) return absl::ResourceExhaustedError("TLS: no memory");
  // Compression leaks what is beside it (CRIME); renegotiation lets a peer make
  // us work for nothing. A peer that hangs up without goodbye has only ended:
  // Content-Length says whether a message is whole.
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_NO_TICKET |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  // A queue's octets move when it grows; an idle connection holds no buffers
  // (34 KiB each, of thousands).
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_default_passwd_cb(context, NoPassword);
  // The suites of TLS 1.3 are all of this kind.
  if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
      SSL_CTX_set_num_tickets(context, 0) != 1) {
    return absl::InternalError("TLS: the library lacks what we demand");
  }

  if (options.ca.empty()) {
    if (SSL_CTX_set_default_verify_paths(context) != 1) {
      return FileError("system's", "trusted certificates");
    }
  } else if (SSL_CTX_load_verify_file(context, options.ca.c_str()) != 1) {
    return FileError("trusted certificates", options.ca);
  }
  if (options.certificate.empty()) return absl::OkStatus();
  if (SSL_CTX_use_certificate_chain_file(context,
                                         options.certificate.c_str()) != 1) {
    return FileError("TLS certificate", options.certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(context, options.key.c_str(),
                                  SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return FileError("TLS key", options.key);
  }
  return absl::OkStatus();
}

int VerifyMode(TlsOptions::ClientCertificate wanted) {
  switch (wanted) {
    case TlsOptions::ClientCertificate::kNone: return SSL_VERIFY_NONE;
    case TlsOptions::ClientCertificate::kAsk: return SSL_VERIFY_PEER;
    case TlsOptions::ClientCertificate::kRequire:
      return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  }
  return SSL_VERIFY_NONE;
}

bool Demand(SSL* ssl, const std::string& name) {
  X509_VERIFY_PARAM* param = SSL_get0_param(ssl);
  if (const std::optional<IpAddress> ip = IpAddress::Parse(name)) {
    constexpr size_t kV4At = 12;  // v4-mapped
    return ip->is_v4()
               ? X509_VERIFY_PARAM_set1_ip(param, ip->octets().data() + kV4At,
                                           4) == 1
               : X509_VERIFY_PARAM_set1_ip(param, ip->octets().data(), 16) == 1;
  }
  // RFC 5922 7.2: a wildcard names no SIP domain; 7.1: the common name counts
  // only where no alternative names are, which is the library's rule, too.
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_WILDCARDS);
  return X509_VERIFY_PARAM_set1_host(param, name.c_str(), name.size()) == 1 &&
         SSL_set_tlsext_host_name(ssl, name.c_str()) == 1;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::Load(
    const TlsOptions& options) {
  std::shared_ptr<TlsContext> made(new TlsContext);
  RETURN_IF_ERROR(made->Read(options));
  return std::shared_ptr<const TlsContext>(std::move(made));
}

absl::Status TlsContext::Read(const TlsOptions& options) {
  if (options.certificate.empty()) {
    return absl::InvalidArgumentError("TLS needs a certificate and its key");
  }
  ERR_clear_error();
  server_ = SSL_CTX_new(TLS_server_method());
  RETURN_IF_ERROR(SetUp(server_, options));
  SSL_CTX_set_verify(server_, VerifyMode(options.client), nullptr);
  if (options.client != TlsOptions::ClientCertificate::kNone &&
      !options.ca.empty()) {
    // Tells clients with several certificates which one is wanted.
    SSL_CTX_set_client_CA_list(server_,
                               SSL_load_client_CA_file(options.ca.c_str()));
  }
  client_ = SSL_CTX_new(TLS_client_method());
  RETURN_IF_ERROR(SetUp(client_, options));
  SSL_CTX_set_verify(client_, SSL_VERIFY_PEER, nullptr);
  return absl::OkStatus();
}

TlsContext::~TlsContext() {
  SSL_CTX_free(server_);
  SSL_CTX_free(client_);
}

std::unique_ptr<TlsStream> TlsContext::Accept(int fd) const {
  std::unique_ptr<TlsStream> stream = TlsStream::Create(server_, fd);
  if (stream != nullptr) SSL_set_accept_state(stream->ssl());
  return stream;
}

std::unique_ptr<TlsStream> TlsContext::Connect(int fd,
                                               std::string_view name) const {
  std::unique_ptr<TlsStream> stream = TlsStream::Create(client_, fd);
  if (stream == nullptr || !Demand(stream->ssl(), std::string(name))) {
    return nullptr;
  }
  SSL_set_connect_state(stream->ssl());
  return stream;
}

}  // namespace sluice::sip

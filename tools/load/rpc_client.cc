#include "tools/load/rpc_client.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/net/fd.h"
#include "base/net/socket.h"
#include "base/status_macros.h"

namespace sluice::load {
namespace {

constexpr uint32_t kReplyMax = 32768;

// Perl's helper sends numbers as either kind.
std::optional<int64_t> Number(const control::storable::Value& value) {
  if (value.integer() != nullptr) return *value.integer();
  int64_t number = 0;
  if (value.bytes() != nullptr && absl::SimpleAtoi(*value.bytes(), &number)) {
    return number;
  }
  return std::nullopt;
}

absl::Status SendAll(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return net::ErrnoStatus(errno, "send to the NAT helper");
    data.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status ReceiveAll(int fd, char* at, size_t size) {
  while (size > 0) {
    const ssize_t n = ::recv(fd, at, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return net::ErrnoStatus(errno, "reply of the NAT helper");
    if (n == 0) {
      return absl::UnavailableError(
          "the NAT helper closed the connection without a whole reply");
    }
    at += n;
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::Status Unexpected(const char* verb) {
  return absl::InternalError(
      absl::StrCat(verb, ": a reply that the protocol does not know"));
}

}  // namespace

absl::StatusOr<RpcClient> RpcClient::Make(std::string_view address,
                                          uint32_t timeout_ms) {
  RpcClient client;
  client.timeout_ms_ = timeout_ms;
  if (address.starts_with("unix:")) {
    client.unix_ = true;
    client.path_ = std::string(address.substr(5));
    if (client.path_.empty() ||
        client.path_.size() >= sizeof(sockaddr_un::sun_path)) {
      return absl::InvalidArgumentError("--rpc: unusable UNIX socket path");
    }
    return client;
  }
  const std::optional<Endpoint> tcp = address.starts_with("tcp:")
                                          ? Endpoint::Parse(address.substr(4))
                                          : std::nullopt;
  if (!tcp.has_value() || tcp->port == Port()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rpc: \"", std::string(address),
                     "\" is neither unix:/path nor tcp:ip:port"));
  }
  client.tcp_ = *tcp;
  return client;
}

absl::StatusOr<std::string> RpcClient::Exchange(std::string_view frame) const {
  sockaddr_storage to{};
  socklen_t length = 0;
  if (unix_) {
    sockaddr_un path{};
    path.sun_family = AF_UNIX;
    std::memcpy(path.sun_path, path_.data(), path_.size());
    std::memcpy(&to, &path, sizeof path);
    length = sizeof path;
  } else {
    length = tcp_.ToSockaddr(tcp_.family(), &to);
  }
  const int family = to.ss_family;
  net::Fd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return net::ErrnoStatus(errno, "socket");
  const timeval timeout = {timeout_ms_ / 1000,
                           static_cast<suseconds_t>(timeout_ms_ % 1000 * 1000)};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  // Ten thousand set-ups are thirty thousand connections: none may linger in
  // TIME_WAIT and hold one of our ports.
  const linger none = {1, 0};
  if (!unix_) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
  }
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), length) !=
      0) {
    return net::ErrnoStatus(
        errno, absl::StrCat("connect ", unix_ ? path_ : tcp_.ToString()));
  }
  RETURN_IF_ERROR(SendAll(fd.get(), frame));
  uint8_t size[4];
  RETURN_IF_ERROR(ReceiveAll(fd.get(), reinterpret_cast<char*>(size), 4));
  const uint32_t bytes = uint32_t{size[0]} << 24 | uint32_t{size[1]} << 16 |
                         uint32_t{size[2]} << 8 | size[3];
  if (bytes > kReplyMax) {
    return absl::InternalError(
        absl::StrCat("the NAT helper announces a reply of ", bytes, " octets"));
  }
  std::string reply(bytes, '\0');
  RETURN_IF_ERROR(ReceiveAll(fd.get(), reply.data(), reply.size()));
  return reply;
}

absl::StatusOr<RpcClient::Value> RpcClient::Ask(Value::List request) const {
  const std::string payload = control::storable::Encode(
      Value(std::move(request)), control::storable::Root::kReferent);
  std::string frame;
  for (int shift = 24; shift >= 0; shift -= 8) {
    frame.push_back(static_cast<char>(payload.size() >> shift & 0xff));
  }
  frame += payload;
  ASSIGN_OR_RETURN(const std::string reply, Exchange(frame));
  absl::StatusOr<Value> value = control::storable::Decode(reply);
  // The helper's mistake, not the command line's.
  if (!value.ok()) {
    return absl::InternalError(
        absl::StrCat("reply of the NAT helper: ", value.status().message()));
  }
  return value;
}

namespace {

control::storable::Value Basic(const RpcClient::Key& key,
                               control::storable::Value cseq) {
  using control::storable::Value;
  return Value(Value::List{Value(key.call_id), std::move(cseq),
                           Value(key.id_from), Value(key.id_to),
                           Value("sip:caller@sluiceload.invalid"),
                           Value("sip:callee@sluiceload.invalid")});
}

}  // namespace

absl::StatusOr<Endpoint> RpcClient::Allocate(const Key& key, int side,
                                             const IpAddress& relay_ip,
                                             const Endpoint& party) const {
  // An SDP of G.711 audio as Perl's proxy would hand it over.
  Value medium = Value::MapOf({{"addr", Value(party.ip.ToString())},
                               {"port", Value(absl::StrCat(party.port.host()))},
                               {"range", Value(2)},
                               {"media", Value("audio")},
                               {"proto", Value("RTP/AVP")},
                               {"fmt", Value(Value::List{Value("0")})}});
  ASSIGN_OR_RETURN(
      const Value reply,
      Ask({Value("allocate"), Basic(key, Value("1")), Value(side),
           Value(relay_ip.ToString()), Value(Value::List{medium})}));
  if (reply.is_undef()) {
    return absl::ResourceExhaustedError("allocate: the helper says undef");
  }
  const Value::List* media = reply.list();
  const Value::List* first =
      media != nullptr && media->size() == 1 ? media->front().list() : nullptr;
  if (first == nullptr || first->size() < 2 || (*first)[0].bytes() == nullptr) {
    return Unexpected("allocate");
  }
  const auto ip = IpAddress::Parse(*(*first)[0].bytes());
  const auto port = Number((*first)[1]);
  if (!ip.has_value() || !port.has_value() || *port < 1 || *port > 65534) {
    return Unexpected("allocate");
  }
  return Endpoint{*ip, Port::FromHost(static_cast<uint16_t>(*port))};
}

absl::StatusOr<bool> RpcClient::Activate(const Key& key) const {
  ASSIGN_OR_RETURN(const Value reply,
                   Ask({Value("activate"), Basic(key, Value("1"))}));
  if (reply.is_undef()) {
    return absl::FailedPreconditionError("activate: the helper says undef");
  }
  const auto number = Number(reply);
  if (!number.has_value() || (*number != 1 && *number != -1)) {
    return Unexpected("activate");
  }
  return *number == 1;
}

absl::StatusOr<int> RpcClient::Close(const Key& key) const {
  ASSIGN_OR_RETURN(const Value reply,
                   Ask({Value("close"), Basic(key, Value())}));
  if (reply.is_undef()) return 0;
  const auto number = Number(reply);
  if (!number.has_value() || *number < 1 || *number > 1'000'000) {
    return Unexpected("close");
  }
  return static_cast<int>(*number);
}

}  // namespace sluice::load

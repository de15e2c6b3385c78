#include "control/nathelper_client.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/net/socket.h"
#include "base/status_macros.h"
#include "control/nathelper_arguments.h"

namespace sluice::control {
namespace {

using sip::MediaRelay;
using storable::Value;

constexpr int64_t kPortsEnd = 65536;
constexpr size_t kChunkOctets = 16 * 1024;

// The way back of control/nathelper_arguments.h: the loose types of the RPC
// from our strict ones.
Value ToValue(const MediaRelay::Key& key) {
  return Value(Value::List{Value(key.call_id),
                           key.cseq.has_value() ? Value(*key.cseq) : Value(),
                           Value(key.id_from), Value(key.id_to),
                           Value(key.uri_from), Value(key.uri_to)});
}

const char* Protocol(MediaRelay::Media::Kind kind) {
  switch (kind) {
    case MediaRelay::Media::Kind::kRtp: return "RTP/AVP";
    case MediaRelay::Media::Kind::kSrtp: return "RTP/SAVP";
    case MediaRelay::Media::Kind::kOther: break;
  }
  return "udp";
}

// The clock is told as an SDP would: by the first format and its rtpmap.
Value ToValue(const MediaRelay::Media& medium) {
  constexpr const char* kFormat = "96";
  Value::Map map = {{"addr", Value(medium.ip.ToString())},
                    {"port", Value(medium.port)},
                    {"range", Value(medium.range)},
                    {"proto", Value(Protocol(medium.kind))}};
  if (medium.kind != MediaRelay::Media::Kind::kOther) {
    const std::string rtpmap =
        absl::StrCat("rtpmap:", kFormat, " any/", medium.clock_hz);
    map.emplace_back("fmt", Value(Value::List{Value(kFormat)}));
    map.emplace_back(
        "lines",
        Value(Value::List{Value(Value::List{Value("a"), Value(rtpmap)})}));
  }
  return Value::MapOf(std::move(map));
}

// [ip, port, number of ports] for each medium asked for, and as asked for.
absl::StatusOr<std::vector<MediaRelay::Port>> ParsePorts(
    const Value& answer, const std::vector<int>& ranges) {
  const Value::List* list = answer.list();
  if (list == nullptr || list->size() != ranges.size()) {
    return absl::InvalidArgumentError("not a list of as many media");
  }
  std::vector<MediaRelay::Port> ports;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const Value::List* entry = (*list)[i].list();
    if (entry == nullptr || entry->size() != 3) {
      return absl::InvalidArgumentError("not address, port and range");
    }
    MediaRelay::Port port;
    ASSIGN_OR_RETURN(port.ip, ParseAddress(&(*entry)[0], "the address"));
    ASSIGN_OR_RETURN(const int64_t range, ParseNumber(&(*entry)[2], "the range",
                                                      ranges[i], ranges[i]));
    ASSIGN_OR_RETURN(const int64_t number, ParseNumber(&(*entry)[1], "the port",
                                                       0, kPortsEnd - range));
    port.port = static_cast<uint16_t>(number);
    port.range = static_cast<int>(range);
    // All that is told; when it was made is not.
    port.edition = port.port;
    ports.push_back(port);
  }
  return ports;
}

std::string ErrorText(int error) {
  return std::generic_category().message(error);
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

// 0 octets for a path that no UNIX socket can have.
SocketAddress ToSocketAddress(const RpcListenAddress& where) {
  SocketAddress address;
  if (const Endpoint* endpoint = std::get_if<Endpoint>(&where)) {
    address.length = endpoint->ToSockaddr(endpoint->family(), &address.storage);
    return address;
  }
  const std::string& path = std::get<std::string>(where);
  sockaddr_un un{};
  if (path.size() >= sizeof(un.sun_path) ||
      path.find('\0') != std::string::npos) {
    return address;
  }
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, path.data(), path.size());
  std::memcpy(&address.storage, &un, sizeof(un));
  address.length = sizeof(un);
  return address;
}

}  // namespace

absl::StatusOr<std::unique_ptr<NatHelperClient>> NatHelperClient::Create(
    net::EventLoop& loop, std::string_view where, const Options& options) {
  ASSIGN_OR_RETURN(RpcListenAddress address, ParseRpcListen(where));
  if (ToSocketAddress(address).length == 0) {
    return absl::InvalidArgumentError("too long a path for a UNIX socket");
  }
  return std::unique_ptr<NatHelperClient>(new NatHelperClient(
      loop, std::move(address), std::string(where), options));
}

NatHelperClient::NatHelperClient(net::EventLoop& loop, RpcListenAddress where,
                                 std::string name, const Options& options)
    : loop_(loop),
      where_(std::move(where)),
      name_(std::move(name)),
      options_(options) {}

NatHelperClient::~NatHelperClient() {
  for (const auto& [id, request] : requests_) {
    loop_.Cancel(request->timer);
    loop_.Remove(request->fd.get());
  }
}

void NatHelperClient::Allocate(const Key& key, Side side,
                               const IpAddress& local,
                               absl::Span<const Media> media, Allocated done) {
  Value::List list;
  std::vector<int> ranges;
  for (const Media& medium : media) {
    list.push_back(ToValue(medium));
    ranges.push_back(medium.range);
  }
  Ask(Value(Value::List{Value("allocate"), ToValue(key), Value(Index(side)),
                        Value(local.ToString()), Value(std::move(list))}),
      [this, ranges = std::move(ranges),
       done = std::move(done)](absl::StatusOr<Value> answer) {
        if (!answer.ok()) return done(answer.status());
        if (answer->is_undef()) {
          return done(Refused(absl::StatusCode::kUnavailable));
        }
        auto ports = ParsePorts(*answer, ranges);
        if (!ports.ok()) return done(BadAnswer(ports.status().message()));
        ++counters_.answered;
        done(*std::move(ports));
      });
}

void NatHelperClient::Activate(const Key& key, Done done) {
  // 1: joined; -1: it was before.
  Ask(Value(Value::List{Value("activate"), ToValue(key)}),
      NumberTold(absl::StatusCode::kFailedPrecondition, -1, std::move(done)));
}

void NatHelperClient::Close(const Key& key, Done done) {
  // The protocol cannot say so: what is half open goes by time there.
  if (key.half_open_only) return done(absl::NotFoundError("not asked"));
  // How many sessions there were.
  Ask(Value(Value::List{Value("close"), ToValue(key)}),
      NumberTold(absl::StatusCode::kNotFound, 1, std::move(done)));
}

NatHelperClient::Told NatHelperClient::NumberTold(absl::StatusCode refused,
                                                  int64_t least, Done done) {
  return [this, refused, least,
          done = std::move(done)](absl::StatusOr<Value> answer) {
    if (!answer.ok()) return done(answer.status());
    if (answer->is_undef()) return done(Refused(refused));
    const auto number = ParseNumber(&*answer, "the answer", least, INT32_MAX);
    if (!number.ok()) return done(BadAnswer(number.status().message()));
    if (*number == 0) return done(BadAnswer("0 is none"));
    ++counters_.answered;
    done(absl::OkStatus());
  };
}

void NatHelperClient::Ask(const Value& value, Told told) {
  ++counters_.requests;
  const std::string payload =
      storable::Encode(value, storable::Root::kReferent);
  if (payload.size() > kRpcPayloadBytesMax) {
    ++counters_.too_long;
    return told(absl::InvalidArgumentError(
        absl::StrCat("a request of ", payload.size(), " octets for ", name_)));
  }
  if (requests_.size() >= options_.requests_max) {
    ++counters_.refused_full;
    return told(absl::ResourceExhaustedError(
        absl::StrCat(requests_.size(), " requests wait for ", name_)));
  }
  auto request = std::make_unique<Request>();
  request->out = RpcFrame(payload);
  absl::Status status = Connect(*request);
  // At once, where it can be: a turn of the loop less for each request.
  if (status.ok() && request->connected) status = Send(*request);
  if (!status.ok()) return told(status);

  const uint64_t id = ++last_id_;
  status =
      loop_.Add(request->fd.get(), request->out.empty() ? EPOLLIN : EPOLLOUT,
                [this, id](uint32_t) { OnIo(id); });
  if (!status.ok()) {
    ++counters_.refused_full;
    return told(absl::ResourceExhaustedError(status.message()));
  }
  request->told = std::move(told);
  request->timer = loop_.After(options_.timeout, [this, id] {
    ++counters_.timed_out;
    Finish(id, absl::DeadlineExceededError(
                   absl::StrCat("no answer in time from ", name_)));
  });
  requests_.emplace(id, std::move(request));
}

absl::Status NatHelperClient::Connect(Request& request) {
  const SocketAddress address = ToSocketAddress(where_);
  request.fd = net::Fd(socket(address.storage.ss_family,
                              SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!request.fd) {
    const absl::Status status = net::ErrnoStatus(errno, "socket");
    if (!absl::IsResourceExhausted(status)) {
      return Unreachable(status.message());
    }
    ++counters_.refused_full;
    return status;
  }
  if (connect(request.fd.get(),
              reinterpret_cast<const sockaddr*>(&address.storage),
              address.length) == 0) {
    request.connected = true;
    return absl::OkStatus();
  }
  // EAGAIN, of a UNIX socket: its backlog is full, and nobody will tell when it
  // is not.
  if (errno == EINPROGRESS || errno == EINTR) return absl::OkStatus();
  return Unreachable(ErrorText(errno));
}

void NatHelperClient::OnIo(uint64_t id) {
  const auto found = requests_.find(id);
  CHECK(found != requests_.end());  // its watch goes when it goes
  Request& request = *found->second;
  std::optional<Value> value;
  const absl::Status status = Advance(request, &value);
  if (!status.ok()) return Finish(id, status);
  if (value.has_value()) return Finish(id, *std::move(value));
  loop_.Modify(request.fd.get(), request.out.empty() ? EPOLLIN : EPOLLOUT);
}

absl::Status NatHelperClient::Advance(Request& request,
                                      std::optional<Value>* value) {
  if (!request.connected) {
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(request.fd.get(), SOL_SOCKET, SO_ERROR, &error, &length) !=
        0) {
      error = errno;
    }
    if (error != 0) return Unreachable(ErrorText(error));
    request.connected = true;
  }
  if (!request.out.empty()) return Send(request);
  return Receive(request, value);
}

absl::Status NatHelperClient::Send(Request& request) {
  const ssize_t n = send(request.fd.get(), request.out.data(),
                         request.out.size(), MSG_NOSIGNAL);
  if (n >= 0) {
    request.out.erase(0, static_cast<size_t>(n));
  } else if (errno != EAGAIN && errno != EINTR) {
    return Unreachable(ErrorText(errno));
  }
  return absl::OkStatus();
}

absl::Status NatHelperClient::Receive(Request& request,
                                      std::optional<Value>* value) {
  char chunk[kChunkOctets];
  const ssize_t n = recv(request.fd.get(), chunk, sizeof(chunk), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return absl::OkStatus();
  if (n < 0) return Unreachable(ErrorText(errno));
  if (n == 0) {
    return request.in.empty() ? Unreachable("closed without an answer")
                              : BadAnswer("cut short");
  }
  request.in.append(chunk, static_cast<size_t>(n));
  const int64_t frame = RpcFrameBytes(request.in);
  if (frame == 0) return absl::OkStatus();  // more is to come
  constexpr auto kFrameMax =
      static_cast<int64_t>(kRpcHeaderBytes + kRpcPayloadBytesMax);
  if (frame < 0 || frame > kFrameMax) return BadAnswer("no length for one");
  auto decoded =
      storable::Decode(std::string_view(request.in)
                           .substr(kRpcHeaderBytes, static_cast<size_t>(frame) -
                                                        kRpcHeaderBytes));
  if (!decoded.ok()) return BadAnswer(decoded.status().message());
  *value = *std::move(decoded);
  return absl::OkStatus();
}

void NatHelperClient::Finish(uint64_t id, absl::StatusOr<Value> answer) {
  const auto found = requests_.find(id);
  CHECK(found != requests_.end());
  const std::unique_ptr<Request> request = std::move(found->second);
  // Out of the table first: there is room again for whoever is told.
  requests_.erase(found);
  loop_.Cancel(request->timer);
  loop_.Remove(request->fd.get());
  request->fd.Reset();
  request->told(std::move(answer));
}

absl::Status NatHelperClient::Unreachable(absl::string_view what) {
  ++counters_.unreachable;
  return absl::UnavailableError(
      absl::StrCat("media relay at ", name_, ": ", what));
}

absl::Status NatHelperClient::BadAnswer(absl::string_view what) {
  ++counters_.bad_answers;
  return absl::DataLossError(
      absl::StrCat("answer of the media relay at ", name_, ": ", what));
}

absl::Status NatHelperClient::Refused(absl::StatusCode code) {
  ++counters_.refused;
  return absl::Status(code,
                      absl::StrCat("the media relay at ", name_, " refuses"));
}

}  // namespace sluice::control

#include "control/nathelper_rpc.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/net/fd.h"
#include "base/net/socket.h"
#include "base/status_macros.h"

namespace sluice::control {
namespace {

// Calls come in bursts; a proxy makes two or three connections a SIP message.
constexpr int kBacklog = 128;
constexpr int kSocketMode = 0600;
constexpr std::string_view kSocketName = "socket";

net::StreamServer::Options ServerOptions(const NatHelperRpc::Options& options) {
  net::StreamServer::Options server;
  server.max_connections = options.connections_max;
  server.max_frame_bytes = kRpcHeaderBytes + kRpcPayloadBytesMax;
  server.frame_timeout = options.frame_timeout;
  server.idle_timeout = options.idle_timeout;
  server.close_after_reply = true;
  return server;
}

std::string UnixPath(std::string_view path) {
  std::string full(path);
  struct stat info;
  if (!full.ends_with('/')) {
    if (::stat(full.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
      return full;
    }
    full += '/';
  }
  full += kSocketName;
  return full;
}

}  // namespace

int64_t RpcFrameBytes(std::string_view buffer) {
  if (buffer.size() < kRpcHeaderBytes) return 0;
  size_t payload = 0;
  for (size_t i = 0; i < kRpcHeaderBytes; ++i) {
    payload = payload << 8 | static_cast<uint8_t>(buffer[i]);
  }
  if (payload == 0) return -1;
  const size_t frame = kRpcHeaderBytes + payload;
  // One beyond the limit is not waited for: the server refuses its length.
  const bool too_long = payload > kRpcPayloadBytesMax;
  return buffer.size() < frame && !too_long ? 0 : static_cast<int64_t>(frame);
}

std::string RpcFrame(std::string_view payload) {
  std::string frame;
  frame.reserve(kRpcHeaderBytes + payload.size());
  for (int shift = 24; shift >= 0; shift -= 8) {
    frame += static_cast<char>(payload.size() >> shift & 0xff);
  }
  frame += payload;
  return frame;
}

absl::StatusOr<RpcListenAddress> ParseRpcListen(std::string_view text) {
  constexpr std::string_view kUnix = "unix:";
  constexpr std::string_view kTcp = "tcp:";
  std::string_view rest = text;
  const bool unix_named = rest.starts_with(kUnix);
  const bool tcp_named = rest.starts_with(kTcp);
  if (unix_named) rest.remove_prefix(kUnix.size());
  if (tcp_named) rest.remove_prefix(kTcp.size());
  if (!tcp_named && rest.find('/') != std::string_view::npos) {
    return UnixPath(rest);
  }
  if (const auto endpoint = Endpoint::Parse(rest);
      endpoint.has_value() && !unix_named) {
    return *endpoint;
  }
  return absl::InvalidArgumentError(absl::StrFormat(
      "\"%s\" is not a place to listen: use unix:/path or tcp:ip:port",
      log::Escape(text)));
}

bool RpcAcceptsPeer(const net::StreamServer::Peer& peer, uint32_t server_uid,
                    absl::Span<const Prefix> allow) {
  if (peer.unix_socket) return peer.uid == 0 || peer.uid == server_uid;
  const IpAddress& ip = peer.address.ip;
  if (allow.empty()) return ip.is_loopback();
  return std::any_of(allow.begin(), allow.end(),
                     [&ip](const Prefix& p) { return p.Contains(ip); });
}

NatHelperRpc::NatHelperRpc(net::EventLoop& loop, SessionVerbs& sessions,
                           Options options)
    : allow_(std::move(options.allow)),
      commands_(options.storable),
      verbs_(sessions, options.arguments),
      server_(
          loop, ServerOptions(options), RpcFrameBytes,
          [this](const net::StreamServer::Peer&, std::string_view frame) {
            const std::string answer =
                commands_.Answer(frame.substr(kRpcHeaderBytes));
            return answer.empty() ? answer : RpcFrame(answer);
          },
          [this](const net::StreamServer::Peer& peer) {
            return Accepts(peer);
          }) {
  verbs_.DefineIn(commands_);
}

bool NatHelperRpc::Accepts(const net::StreamServer::Peer& peer) const {
  if (RpcAcceptsPeer(peer, ::geteuid(), allow_)) return true;
  log::Line line("nathelper connection refused");
  if (peer.unix_socket) {
    line.With("uid", peer.uid).With("why", "another user's");
  } else {
    line.With("from", peer.address.ToString())
        .With("why", "not in nathelper.allow");
  }
  line.WarnLimited();
  return false;
}

absl::Status NatHelperRpc::Listen(std::string_view where) {
  ASSIGN_OR_RETURN(const RpcListenAddress address, ParseRpcListen(where));
  if (const std::string* path = std::get_if<std::string>(&address)) {
    ASSIGN_OR_RETURN(net::Fd fd, net::ListenUnix(*path, kSocketMode, kBacklog));
    RETURN_IF_ERROR(server_.Serve(std::move(fd)));
    listeners_.push_back("unix:" + *path);
    return absl::OkStatus();
  }
  const Endpoint& local = std::get<Endpoint>(address);
  ASSIGN_OR_RETURN(net::Fd fd, net::ListenTcp(local, kBacklog));
  ASSIGN_OR_RETURN(const Endpoint bound, net::LocalEndpoint(fd.get()));
  RETURN_IF_ERROR(server_.Serve(std::move(fd)));
  listeners_.push_back("tcp:" + bound.ToString());
  if (!local.ip.is_loopback()) {
    log::Line(
        "the nathelper RPC listens beyond loopback: whoever reaches it "
        "owns the media")
        .With("address", bound.ToString())
        .Warn();
  }
  return absl::OkStatus();
}

std::vector<std::pair<std::string, uint64_t>> NatHelperRpc::counters() const {
  std::vector<std::pair<std::string, uint64_t>> all = verbs_.counters();
  const CommandTable::Counters& requests = commands_.counters();
  const net::StreamServer::Counters& server = server_.counters();
  const std::pair<const char*, uint64_t> rest[] = {
      {"requests_answered", requests.answered},
      {"requests_undecodable", requests.undecodable},
      {"requests_nameless", requests.nameless},
      {"requests_unknown", requests.unknown},
      {"requests_silent", requests.silent},
      {"connections_accepted", server.accepted},
      {"connections_closed", server.closed},
      {"connections_timed_out", server.timed_out},
      {"connections_evicted", server.evicted},
      {"connections_oversized", server.oversized},
      {"connections_refused_fds", server.refused_fds},
      {"connections_refused_full", server.refused_full},
      {"connections_slow_readers", server.slow_readers},
      {"connections_bad_frames", server.bad_frames},
      {"connections_replies", server.replies},
      {"connections_peers_refused", server.peers_refused},
  };
  all.insert(all.end(), std::begin(rest), std::end(rest));
  return all;
}

}  // namespace sluice::control

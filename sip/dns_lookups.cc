#include "sip/dns_lookups.h"

#include <ares.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/net/fd.h"

namespace sluice::sip::dns {
namespace {

constexpr int kClassInternet = 1;
// What a UDP answer may be without being cut into fragments on the way.
constexpr int kUdpOctets = 1'232;

// How often c-ares looks at its timeouts while anything waits. Asking it when
// the next one is due would go through all that waits, for each that comes.
Micros TickOf(Micros timeout) {
  return std::clamp(Micros(timeout.us() / 4), Micros::Millis(10),
                    Micros::Millis(500));
}

Micros KeptFor(const absl::Status& status, const Records& records) {
  if (status.ok()) {
    return std::clamp(Micros::Seconds(records.ttl_s), Lookups::kKeptMin,
                      Lookups::kKeptMax);
  }
  return absl::IsNotFound(status) ? Lookups::kRefusalKept
                                  : Lookups::kFailureKept;
}

// The file's first octets: more names than that belong into a name server.
std::string ReadStart(const std::string& path) {
  constexpr size_t kOctetsMax = 256 * 1024;
  const net::Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::string text(fd ? kOctetsMax : 0, '\0');
  size_t used = 0;
  while (used < text.size()) {
    const ssize_t n = read(fd.get(), text.data() + used, text.size() - used);
    if (n <= 0) break;
    used += static_cast<size_t>(n);
  }
  text.resize(used);
  return text;
}

std::vector<ares_addr_port_node> ToNodes(const std::vector<Endpoint>& servers) {
  std::vector<ares_addr_port_node> nodes(servers.size());
  for (size_t i = 0; i < servers.size(); ++i) {
    ares_addr_port_node& node = nodes[i];
    const auto& octets = servers[i].ip.octets();
    node = {};
    node.next = i + 1 < nodes.size() ? &nodes[i + 1] : nullptr;
    node.family = servers[i].family();
    node.udp_port = node.tcp_port = servers[i].port.host();
    if (node.family == AF_INET) {
      std::memcpy(&node.addr.addr4, octets.data() + 12, 4);
    } else {
      std::memcpy(&node.addr.addr6, octets.data(), 16);
    }
  }
  return nodes;
}

}  // namespace

struct Lookups::Query {
  Lookups* owner;
  Key key;

  static void OnDone(void* self, int status, int, unsigned char* message,
                     int octets) {
    const std::unique_ptr<Query> query(static_cast<Query*>(self));
    query->owner->OnAnswer(
        query->key, status,
        message == nullptr
            ? std::string_view()
            : std::string_view(reinterpret_cast<const char*>(message),
                               static_cast<size_t>(std::max(octets, 0))));
  }
};

void Lookups::ChannelFreer::operator()(ares_channeldata* channel) const {
  ares_destroy(channel);
}

Lookups::Lookups(net::EventLoop& loop, const Options& options)
    : loop_(loop), options_(options) {}

absl::StatusOr<std::unique_ptr<Lookups>> Lookups::Create(
    net::EventLoop& loop, const Options& options) {
  if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
    return absl::InternalError("c-ares cannot be started");
  }
  std::unique_ptr<Lookups> lookups(new Lookups(loop, options));
  if (const absl::Status status = lookups->Init(); !status.ok()) return status;
  return lookups;
}

absl::Status Lookups::Init() {
  // No search domains: what is asked for is what the message said.
  ares_options options{};
  options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS;
  options.timeout = static_cast<int>(
      std::clamp<int64_t>(options_.timeout.us() / 1'000, 1, 60'000));
  options.tries = std::clamp(options_.tries, 1, 10);
  options.ednspsz = kUdpOctets;
  options.sock_state_cb = [](void* self, ares_socket_t fd, int readable,
                             int writable) {
    static_cast<Lookups*>(self)->Watch(fd, readable != 0, writable != 0);
  };
  options.sock_state_cb_data = this;
  ares_channel channel = nullptr;
  int status =
      ares_init_options(&channel, &options,
                        ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                            ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB);
  channel_.reset(status == ARES_SUCCESS ? channel : nullptr);
  if (status == ARES_SUCCESS && !options_.servers.empty()) {
    std::vector<ares_addr_port_node> nodes = ToNodes(options_.servers);
    status = ares_set_servers_ports(channel_.get(), nodes.data());
  }
  if (status == ARES_SUCCESS) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("name servers: ", ares_strerror(status)));
}

Lookups::~Lookups() {
  ending_ = true;
  if (timer_ != 0) loop_.Cancel(timer_);
  channel_.reset();  // gives back queries and sockets
  for (const int fd : watched_) loop_.Remove(fd);
  ares_library_cleanup();
}

void Lookups::Ask(const std::string& name, Type type, Ready ready) {
  Key key(name, type);
  if (const auto result = Find(key)) {
    ++counters_.cache_hits;
    ready(result);
    return;
  }
  std::vector<Ready>& waiting = waiting_[key];
  waiting.push_back(std::move(ready));
  if (waiting.size() > 1) return;  // asked already
  if (AskHostsFile(key)) return;
  ++counters_.queries;
  if (timer_ == 0) {
    timer_ = loop_.After(TickOf(options_.timeout), [this] { Tick(); });
  }
  // Answers at once where it has no server or no socket.
  ares_query(channel_.get(), name.c_str(), kClassInternet,
             static_cast<int>(type), Query::OnDone, new Query{this, key});
}

std::shared_ptr<const Lookups::Result> Lookups::Find(const Key& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  if (found->second->result->expires <= loop_.now()) {
    kept_.erase(found->second);
    by_key_.erase(found);
    return nullptr;
  }
  kept_.splice(kept_.begin(), kept_, found->second);
  return found->second->result;
}

bool Lookups::AskHostsFile(const Key& key) {
  if (key.second != Type::kA && key.second != Type::kAaaa) return false;
  if (options_.hosts_file.empty()) return false;
  const std::vector<IpAddress> all =
      FindInHosts(ReadStart(options_.hosts_file), key.first);
  if (all.empty()) return false;
  // A name of the file is not asked for elsewhere, whatever the family.
  Records records;
  records.ttl_s = 0;  // an edit of the file counts from the next second
  for (const IpAddress& ip : all) {
    if (ip.is_v4() == (key.second == Type::kA)) records.addresses.push_back(ip);
  }
  const absl::Status status =
      records.empty()
          ? absl::NotFoundError(absl::StrCat("not of this family: ", key.first))
          : absl::OkStatus();
  Finish(key, status, std::move(records));
  return true;
}

void Lookups::OnAnswer(const Key& key, int status, std::string_view message) {
  if (ending_) return;
  const std::string& name = key.first;
  switch (status) {
    case ARES_SUCCESS: {
      auto records = ParseAnswer(message, name, key.second);
      if (!records.ok()) {
        Finish(key,
               absl::DeadlineExceededError(
                   absl::StrCat("a broken answer for ", name, ": ",
                                records.status().message())),
               {});
        return;
      }
      // An alias and nothing behind it.
      if (records->empty()) break;
      Finish(key, absl::OkStatus(), *std::move(records));
      return;
    }
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME: break;
    default:
      if (status == ARES_ETIMEOUT) ++counters_.timeouts;
      Finish(key,
             absl::DeadlineExceededError(absl::StrCat(
                 "name servers for ", name, ": ", ares_strerror(status))),
             {});
      return;
  }
  Finish(key, absl::NotFoundError(absl::StrCat("no record for ", name)), {});
}

void Lookups::Finish(const Key& key, absl::Status status, Records records) {
  auto result = std::make_shared<Result>();
  result->expires = loop_.now() + KeptFor(status, records);
  result->status = std::move(status);
  result->records = std::move(records);
  Keep(key, result);
  const auto found = waiting_.find(key);
  CHECK(found != waiting_.end());
  // Out of the table first: they may ask again.
  const std::vector<Ready> waiting = std::move(found->second);
  waiting_.erase(found);
  for (const Ready& ready : waiting) ready(result);
}

void Lookups::Keep(const Key& key, std::shared_ptr<const Result> result) {
  while (kept_.size() >= options_.names_max && !kept_.empty()) {
    by_key_.erase(kept_.back().key);
    kept_.pop_back();
  }
  kept_.push_front({key, std::move(result)});
  by_key_[key] = kept_.begin();
}

void Lookups::Watch(int fd, bool readable, bool writable) {
  const uint32_t events =
      (readable ? uint32_t{EPOLLIN} : 0) | (writable ? uint32_t{EPOLLOUT} : 0);
  if (events == 0) {  // c-ares is about to close it
    if (watched_.erase(fd) != 0) loop_.Remove(fd);
  } else if (watched_.contains(fd)) {
    loop_.Modify(fd, events);
  } else if (loop_
                 .Add(fd, events,
                      [this, fd](uint32_t ready) { OnIo(fd, ready); })
                 .ok()) {
    watched_.insert(fd);
  }
  // One that the loop cannot take is as good as a silent server.
}

void Lookups::OnIo(int fd, uint32_t events) {
  const bool broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
  ares_process_fd(channel_.get(),
                  broken || (events & EPOLLIN) != 0 ? fd : ARES_SOCKET_BAD,
                  broken || (events & EPOLLOUT) != 0 ? fd : ARES_SOCKET_BAD);
}

void Lookups::Tick() {
  timer_ = 0;
  ares_process_fd(channel_.get(), ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  if (waiting_.empty() || timer_ != 0) return;
  timer_ = loop_.After(TickOf(options_.timeout), [this] { Tick(); });
}

}  // namespace sluice::sip::dns

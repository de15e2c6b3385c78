#include "base/net/netlink.h"

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/net/socket.h"
#include "base/status_macros.h"

namespace sluice::net::netlink {
namespace {

// The kernel fills at most 32 KiB of a dump into one datagram; what it says of
// a single device grows with its virtual functions, and stays below this.
constexpr size_t kDatagramOctetsMax = 65'536;

template <typename T>
T Load(Octets octets) {
  T value;
  std::memcpy(&value, octets.data(), sizeof(value));
  return value;
}

absl::StatusOr<Fd> OpenSocket(int protocol) {
  Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd) return ErrnoStatus(errno, "a netlink socket");
  // To a port of the kernel's choice. Until then it has port 0, and what is
  // said to all is not said to the kernel's own.
  sockaddr_nl any{};
  any.nl_family = AF_NETLINK;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(any)) !=
      0) {
    return ErrnoStatus(errno, "netlink: bind");
  }
  return fd;
}

std::unique_ptr<uint8_t[]> NewBuffer() {
  // Left as it comes: pages that no message reaches are never touched.
  return std::unique_ptr<uint8_t[]>(new uint8_t[kDatagramOctetsMax]);
}

struct Received {
  int error = 0;  // errno of recvmsg
  bool cut = false;
  bool from_kernel = false;
  Octets octets{};
};

Received ReceiveOne(int fd, uint8_t* buffer, int flags) {
  sockaddr_nl from{};
  iovec part{};
  part.iov_base = buffer;
  part.iov_len = kDatagramOctetsMax;
  msghdr header{};
  header.msg_name = &from;
  header.msg_namelen = sizeof(from);
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  ssize_t size = 0;
  do {
    size = recvmsg(fd, &header, flags);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return {.error = errno};
  return {.cut = (header.msg_flags & MSG_TRUNC) != 0,
          // Port 0 is the kernel's; another process may have written to ours.
          .from_kernel = header.msg_namelen == sizeof(from) && from.nl_pid == 0,
          .octets = {buffer, static_cast<size_t>(size)}};
}

absl::Status Damaged() {
  return absl::DataLossError("netlink: the kernel's answer is damaged");
}

// The errno of NLMSG_ERROR and of NLMSG_DONE: both begin with it, negative.
std::optional<int> ErrorOf(const Message& message) {
  const std::optional<int32_t> error = message.Header<int32_t>();
  if (!error || *error > 0 || *error < -4095) return std::nullopt;
  return -*error;
}

uint8_t Family(const IpAddress& ip) { return ip.is_v4() ? AF_INET : AF_INET6; }
uint8_t Bits(const IpAddress& ip) { return ip.is_v4() ? 32 : 128; }

template <typename T>
absl::StatusOr<int> Get(Requester& requester, Request& request, uint16_t type,
                        std::optional<T> (*read)(const Message&), T* answer) {
  bool answered = false;
  absl::StatusOr<int> said =
      requester.Ask(request, [&](const Message& message) {
        if (message.type != type) return;
        std::optional<T> got = read(message);
        if (!got) return;
        *answer = *std::move(got);
        answered = true;
      });
  // An answer, if one that cannot be read; another try would not mend it.
  if (absl::IsDataLoss(said.status())) return EBADMSG;
  if (said.ok() && *said == 0 && !answered) return EBADMSG;
  return said;
}

}  // namespace

// --- Reading ----------------------------------------------------------------

namespace {

template <typename T>
std::optional<T> Number(Octets octets) {
  if (octets.size() != sizeof(T)) return std::nullopt;
  return Load<T>(octets);
}

}  // namespace

std::optional<uint16_t> Attribute::AsU16() const {
  return Number<uint16_t>(octets);
}

std::optional<uint32_t> Attribute::AsU32() const {
  return Number<uint32_t>(octets);
}

std::optional<uint64_t> Attribute::AsU64() const {
  return Number<uint64_t>(octets);
}

std::optional<IpAddress> Attribute::AsAddress() const {
  if (octets.size() == 4) {
    return IpAddress::V4(octets[0], octets[1], octets[2], octets[3]);
  }
  if (octets.size() == 16) return IpAddress::FromOctets(octets.data());
  return std::nullopt;
}

std::optional<Mac> Attribute::AsMac() const {
  if (octets.size() != sizeof(Mac)) return std::nullopt;
  return Load<Mac>(octets);
}

std::string Attribute::AsText() const {
  return {octets.begin(), std::find(octets.begin(), octets.end(), uint8_t{0})};
}

std::optional<Attribute> Attributes::Next() {
  if (damaged_ || rest_.empty()) return std::nullopt;
  if (rest_.size() < sizeof(nlattr)) {
    damaged_ = true;
    return std::nullopt;
  }
  const auto header = Load<nlattr>(rest_);
  if (header.nla_len < sizeof(nlattr) || header.nla_len > rest_.size()) {
    damaged_ = true;
    return std::nullopt;
  }
  const Attribute attribute = {
      .type = static_cast<uint16_t>(header.nla_type & NLA_TYPE_MASK),
      .octets = rest_.subspan(sizeof(nlattr), header.nla_len - sizeof(nlattr))};
  // The last one may come without its padding.
  rest_ = rest_.subspan(std::min(Aligned(header.nla_len), rest_.size()));
  return attribute;
}

std::optional<Message> Messages::Next() {
  if (damaged_ || rest_.empty()) return std::nullopt;
  if (rest_.size() < sizeof(nlmsghdr)) {
    damaged_ = true;
    return std::nullopt;
  }
  const auto header = Load<nlmsghdr>(rest_);
  if (header.nlmsg_len < sizeof(nlmsghdr) || header.nlmsg_len > rest_.size()) {
    damaged_ = true;
    return std::nullopt;
  }
  const Message message = {
      .type = header.nlmsg_type,
      .flags = header.nlmsg_flags,
      .sequence = header.nlmsg_seq,
      .payload =
          rest_.subspan(sizeof(nlmsghdr), header.nlmsg_len - sizeof(nlmsghdr))};
  rest_ = rest_.subspan(std::min(Aligned(header.nlmsg_len), rest_.size()));
  return message;
}

std::optional<Route> ReadRoute(const Message& message) {
  const auto header = message.Header<rtmsg>();
  if (!header) return std::nullopt;
  Route route = {.type = header->rtm_type, .flags = header->rtm_flags};
  Attributes attributes = message.AttributesAfter<rtmsg>();
  while (const auto attribute = attributes.Next()) {
    switch (attribute->type) {
      case RTA_OIF: {
        const auto ifindex = attribute->AsU32();
        if (!ifindex || *ifindex > INT32_MAX) return std::nullopt;
        route.ifindex = static_cast<int>(*ifindex);
        break;
      }
      case RTA_GATEWAY:
        route.gateway = attribute->AsAddress();
        if (!route.gateway) return std::nullopt;
        break;
      case RTA_VIA: {
        // A gateway of the other family: its family in two octets, and itself.
        if (attribute->octets.size() < sizeof(uint16_t)) return std::nullopt;
        const auto family = Load<uint16_t>(attribute->octets);
        const Attribute address = {
            .octets = attribute->octets.subspan(sizeof(uint16_t))};
        const size_t wanted = family == AF_INET    ? 4
                              : family == AF_INET6 ? 16
                                                   : SIZE_MAX;
        if (address.octets.size() != wanted) return std::nullopt;
        route.gateway = address.AsAddress();
        break;
      }
      case RTA_METRICS: {
        Attributes metrics(attribute->octets);
        while (const auto metric = metrics.Next()) {
          if (metric->type != RTAX_MTU) continue;
          const auto mtu = metric->AsU32();
          if (!mtu) return std::nullopt;
          route.mtu = *mtu;
        }
        if (metrics.damaged()) return std::nullopt;
        break;
      }
      default: break;
    }
  }
  if (attributes.damaged()) return std::nullopt;
  return route;
}

std::optional<Neighbour> ReadNeighbour(const Message& message) {
  const auto header = message.Header<ndmsg>();
  if (!header) return std::nullopt;
  if (header->ndm_family != AF_INET && header->ndm_family != AF_INET6) {
    return std::nullopt;
  }
  Neighbour neighbour = {.ifindex = header->ndm_ifindex,
                         .state = header->ndm_state};
  bool addressed = false;
  Attributes attributes = message.AttributesAfter<ndmsg>();
  while (const auto attribute = attributes.Next()) {
    if (attribute->type == NDA_DST) {
      const auto ip = attribute->AsAddress();
      if (!ip) return std::nullopt;
      neighbour.ip = *ip;
      addressed = true;
    } else if (attribute->type == NDA_LLADDR) {
      neighbour.mac = attribute->AsMac();
    }
  }
  if (attributes.damaged() || !addressed) return std::nullopt;
  return neighbour;
}

std::optional<Link> ReadLink(const Message& message) {
  const auto header = message.Header<ifinfomsg>();
  if (!header) return std::nullopt;
  Link link = {.ifindex = header->ifi_index,
               .hardware = header->ifi_type,
               .flags = header->ifi_flags};
  Attributes attributes = message.AttributesAfter<ifinfomsg>();
  while (const auto attribute = attributes.Next()) {
    switch (attribute->type) {
      case IFLA_IFNAME: link.name = attribute->AsText(); break;
      case IFLA_ADDRESS: link.mac = attribute->AsMac(); break;
      case IFLA_MTU: {
        const auto mtu = attribute->AsU32();
        if (!mtu) return std::nullopt;
        link.mtu = *mtu;
        break;
      }
      default: break;
    }
  }
  if (attributes.damaged()) return std::nullopt;
  return link;
}

// --- Asking -----------------------------------------------------------------

Request::Request(uint16_t type, uint16_t flags) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
  Put(&header, sizeof(header));
}

void Request::Put(const void* octets, size_t size) {
  CHECK(size_ + Aligned(size) <= octets_.size());
  std::memcpy(octets_.data() + size_, octets, size);
  size_ += Aligned(size);
}

Request& Request::Add(uint16_t type, Octets octets) {
  nlattr header{};
  header.nla_len = static_cast<uint16_t>(sizeof(header) + octets.size());
  header.nla_type = type;
  Put(&header, sizeof(header));
  Put(octets.data(), octets.size());
  return *this;
}

Request& Request::AddU8(uint16_t type, uint8_t value) {
  return Add(type, {&value, 1});
}

Request& Request::AddU32(uint16_t type, uint32_t value) {
  std::array<uint8_t, sizeof(value)> octets;
  std::memcpy(octets.data(), &value, sizeof(value));
  return Add(type, octets);
}

Request& Request::AddAddress(uint16_t type, const IpAddress& ip) {
  const Octets octets = ip.octets();
  return Add(type, ip.is_v4() ? octets.last(4) : octets);
}

Octets Request::Finish(uint32_t sequence) {
  auto header = Load<nlmsghdr>(octets_);
  header.nlmsg_len = static_cast<uint32_t>(size_);
  header.nlmsg_seq = sequence;
  std::memcpy(octets_.data(), &header, sizeof(header));
  return Octets(octets_).first(size_);
}

bool Request::wants_ack() const {
  return (Load<nlmsghdr>(octets_).nlmsg_flags & NLM_F_ACK) != 0;
}

bool Request::wants_dump() const {
  return (Load<nlmsghdr>(octets_).nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
}

Requester::Requester(Fd fd) : fd_(std::move(fd)), buffer_(NewBuffer()) {}

absl::StatusOr<Requester> Requester::Open(int protocol) {
  ASSIGN_OR_RETURN(Fd fd, OpenSocket(protocol));
  timeval wait{};
  wait.tv_usec = kAnswerWaitMs * 1000;
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0) {
    return ErrnoStatus(errno, "netlink: SO_RCVTIMEO");
  }
  return Requester(std::move(fd));
}

absl::StatusOr<int> Requester::Ask(Request& request, Visit visit) {
  const Octets octets = request.Finish(++sequence_);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent = 0;
  do {
    sent = sendto(fd_.get(), octets.data(), octets.size(), 0,
                  reinterpret_cast<const sockaddr*>(&kernel), sizeof(kernel));
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return ErrnoStatus(errno, "netlink: asking the kernel");

  bool changed_meanwhile = false;
  for (;;) {
    const Received got = ReceiveOne(fd_.get(), buffer_.get(), 0);
    if (got.error == EAGAIN) {
      return absl::DeadlineExceededError(
          "netlink: the kernel has not answered a request");
    }
    if (got.error != 0) {
      return ErrnoStatus(got.error, "netlink: reading the kernel's answer");
    }
    if (!got.from_kernel) continue;
    if (got.cut) return Damaged();
    Messages messages(got.octets);
    while (const auto message = messages.Next()) {
      // What is left of a request that was given up.
      if (message->sequence != sequence_) continue;
      if ((message->flags & NLM_F_DUMP_INTR) != 0) changed_meanwhile = true;
      if (message->type == NLMSG_NOOP) continue;
      if (message->type == NLMSG_ERROR || message->type == NLMSG_DONE) {
        const auto error = ErrorOf(*message);
        if (!error) return Damaged();
        if (changed_meanwhile) {
          return absl::AbortedError(
              "netlink: what was listed changed meanwhile");
        }
        return *error;
      }
      visit(*message);
      if (!request.wants_dump() && !request.wants_ack()) return 0;
    }
    if (messages.damaged()) return Damaged();
  }
}

absl::StatusOr<int> GetRoute(Requester& requester, const IpAddress& from,
                             const IpAddress& to, Route* answer) {
  rtmsg header{};
  header.rtm_family = Family(to);
  header.rtm_dst_len = Bits(to);
  if (!from.is_any()) header.rtm_src_len = Bits(from);
  Request request(RTM_GETROUTE, 0, header);
  request.AddAddress(RTA_DST, to).AddU8(RTA_IP_PROTO, IPPROTO_UDP);
  if (!from.is_any()) request.AddAddress(RTA_SRC, from);
  return Get(requester, request, RTM_NEWROUTE, ReadRoute, answer);
}

absl::StatusOr<int> GetLink(Requester& requester, int ifindex, Link* answer) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = ifindex;
  Request request(RTM_GETLINK, 0, header);
  // What it has counted is the longest part, and not wanted.
  request.AddU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  return Get(requester, request, RTM_NEWLINK, ReadLink, answer);
}

absl::StatusOr<int> GetNeighbour(Requester& requester, int ifindex,
                                 const IpAddress& ip, Neighbour* answer) {
  ndmsg header{};
  header.ndm_family = Family(ip);
  header.ndm_ifindex = ifindex;
  Request request(RTM_GETNEIGH, 0, header);
  request.AddAddress(NDA_DST, ip);
  return Get(requester, request, RTM_NEWNEIGH, ReadNeighbour, answer);
}

absl::StatusOr<int> UseNeighbour(Requester& requester, int ifindex,
                                 const IpAddress& ip) {
  ndmsg header{};
  header.ndm_family = Family(ip);
  header.ndm_ifindex = ifindex;
  header.ndm_flags = NTF_USE;
  Request request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, header);
  request.AddAddress(NDA_DST, ip);
  return requester.Ask(request, [](const Message&) {});
}

Listener::Listener(Fd fd) : fd_(std::move(fd)), buffer_(NewBuffer()) {}

absl::StatusOr<Listener> Listener::Open(std::span<const unsigned> groups,
                                        std::span<const unsigned> optional,
                                        int buffer_bytes) {
  ASSIGN_OR_RETURN(Fd fd, OpenSocket(NETLINK_ROUTE));
  // Past the system's limit where we may; what is too small costs a resync now
  // and then, so being refused is no error.
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes,
                 sizeof(buffer_bytes)) != 0) {
    (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &buffer_bytes,
                     sizeof(buffer_bytes));
  }
  const auto join = [&fd](unsigned group) {
    return setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group,
                      sizeof(group)) == 0;
  };
  for (const unsigned group : groups) {
    if (!join(group)) {
      return ErrnoStatus(errno, "netlink: listening to the kernel's changes");
    }
  }
  for (const unsigned group : optional) (void)join(group);
  return Listener(std::move(fd));
}

Listener::Heard Listener::Receive(Visit visit) {
  for (;;) {
    const Received got = ReceiveOne(fd_.get(), buffer_.get(), MSG_DONTWAIT);
    if (got.error == EAGAIN) return Heard::kNothing;
    if (got.error != 0) return Heard::kLost;  // ENOBUFS: the queue ran over
    if (!got.from_kernel) continue;
    if (got.cut) return Heard::kLost;
    Messages messages(got.octets);
    while (const auto message = messages.Next()) {
      if (message->type >= NLMSG_MIN_TYPE) visit(*message);
    }
    return messages.damaged() ? Heard::kLost : Heard::kMessages;
  }
}

}  // namespace sluice::net::netlink

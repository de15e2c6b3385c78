#include "base/net/netlink.h"

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace sluice::net::netlink {
namespace {

using Bytes = std::vector<uint8_t>;

template <typename T>
void Append(Bytes* out, const T& value) {
  const auto* octets = reinterpret_cast<const uint8_t*>(&value);
  out->insert(out->end(), octets, octets + sizeof(value));
}

// `length` in place of the true one.
Bytes AttributeBytes(uint16_t type, const Bytes& octets,
                     std::optional<uint16_t> length = std::nullopt) {
  Bytes out;
  Append(&out, length.value_or(static_cast<uint16_t>(4 + octets.size())));
  Append(&out, type);
  out.insert(out.end(), octets.begin(), octets.end());
  out.resize(Aligned(out.size()));
  return out;
}

template <typename T>
Bytes Of(const T& value) {
  Bytes out;
  Append(&out, value);
  return out;
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes MessageBytes(uint16_t type, const Bytes& payload,
                   std::optional<uint32_t> length = std::nullopt) {
  nlmsghdr header{};
  header.nlmsg_len =
      length.value_or(static_cast<uint32_t>(sizeof(header) + payload.size()));
  header.nlmsg_type = type;
  header.nlmsg_seq = 7;
  Bytes out = Of(header) + payload;
  out.resize(Aligned(out.size()));
  return out;
}

Message First(const Bytes& bytes) {
  Messages messages(bytes);
  const auto message = messages.Next();
  EXPECT_TRUE(message);
  return message.value_or(Message{});
}

Bytes RouteBytes(const Bytes& attributes) {
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_type = RTN_UNICAST;
  return MessageBytes(RTM_NEWROUTE, Of(header) + attributes);
}

Bytes NeighbourBytes(const Bytes& attributes, uint8_t family = AF_INET) {
  ndmsg header{};
  header.ndm_family = family;
  header.ndm_ifindex = 3;
  header.ndm_state = NUD_STALE;
  return MessageBytes(RTM_NEWNEIGH, Of(header) + attributes);
}

Bytes LinkBytes(const Bytes& attributes) {
  ifinfomsg header{};
  header.ifi_index = 4;
  header.ifi_type = 1;
  header.ifi_flags = 0x11;
  return MessageBytes(RTM_NEWLINK, Of(header) + attributes);
}

const Bytes kIp4 = {192, 0, 2, 1};
const Bytes kIp6 = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
const Bytes kMac = {2, 0, 0, 0, 0, 9};

// --- Attributes and messages -----------------------------------------------

TEST(AttributesTest, AreReadInOrderWithTheirPaddingSkipped) {
  const Bytes bytes = AttributeBytes(1, {9}) + AttributeBytes(2, {}) +
                      AttributeBytes(3 | NLA_F_NESTED, {7, 8});
  Attributes attributes(bytes);
  auto one = attributes.Next();
  ASSERT_TRUE(one);
  EXPECT_EQ(one->type, 1);
  EXPECT_TRUE(std::ranges::equal(one->octets, Bytes{9}));
  auto two = attributes.Next();
  ASSERT_TRUE(two);
  EXPECT_EQ(two->type, 2);
  EXPECT_TRUE(two->octets.empty());
  auto three = attributes.Next();
  ASSERT_TRUE(three);
  EXPECT_EQ(three->type, 3);
  EXPECT_TRUE(std::ranges::equal(three->octets, Bytes{7, 8}));
  EXPECT_FALSE(attributes.Next());
  EXPECT_FALSE(attributes.damaged());
}

TEST(AttributesTest, TheLastMayComeWithoutItsPadding) {
  Bytes bytes = AttributeBytes(1, {9});
  bytes.resize(5);
  Attributes attributes(bytes);
  const auto one = attributes.Next();
  ASSERT_TRUE(one);
  EXPECT_EQ(one->octets.size(), 1u);
  EXPECT_FALSE(attributes.Next());
  EXPECT_FALSE(attributes.damaged());
}

TEST(AttributesTest, LengthsThatDoNotAddUpEndTheReading) {
  struct Row {
    const char* what;
    Bytes bytes;
  };
  const Row rows[] = {
      {"a length of 0", AttributeBytes(1, kIp4, 0)},
      {"shorter than its own header", AttributeBytes(1, kIp4, 3)},
      {"an octet beyond the end", AttributeBytes(1, kIp4, 9)},
      {"far beyond the end", AttributeBytes(1, kIp4, 0xffff)},
      {"half a header", {8, 0, 1}},
      {"half a header after a whole one", AttributeBytes(5, {}) + Bytes{8, 0}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    Attributes attributes(row.bytes);
    auto attribute = attributes.Next();
    if (attribute && attribute->type == 5) attribute = attributes.Next();
    EXPECT_FALSE(attribute);
    EXPECT_TRUE(attributes.damaged());
    EXPECT_FALSE(attributes.Next());
  }
}

TEST(AttributesTest, AValueOfAnotherLengthIsNone) {
  const Bytes five(5);
  EXPECT_FALSE(Attribute{.octets = five}.AsU32());
  EXPECT_FALSE(Attribute{.octets = five}.AsAddress());
  EXPECT_FALSE(Attribute{.octets = five}.AsMac());
  EXPECT_FALSE(Attribute{}.AsU32());
  EXPECT_EQ(Attribute{}.AsText(), "");
  const Bytes unended = {'e', 't', 'h'}, ended = {'l', 'o', 0, 'x'};
  EXPECT_EQ(Attribute{.octets = unended}.AsText(), "eth");
  EXPECT_EQ(Attribute{.octets = ended}.AsText(), "lo");
  EXPECT_EQ(Attribute{.octets = kIp4}.AsAddress()->ToString(), "192.0.2.1");
  EXPECT_EQ(Attribute{.octets = kIp6}.AsAddress()->ToString(), "2001:db8::9");
}

TEST(MessagesTest, AreReadInOrderWithTheirPaddingSkipped) {
  const Bytes bytes =
      MessageBytes(20, {1, 2, 3}) + MessageBytes(21, {}) + MessageBytes(22, {});
  Messages messages(bytes);
  auto message = messages.Next();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->type, 20);
  EXPECT_EQ(message->sequence, 7u);
  EXPECT_EQ(message->payload.size(), 3u);
  EXPECT_FALSE(message->Header<uint32_t>());
  EXPECT_FALSE(message->AttributesAfter<uint32_t>().Next());
  EXPECT_EQ(messages.Next()->type, 21);
  EXPECT_EQ(messages.Next()->type, 22);
  EXPECT_FALSE(messages.Next());
  EXPECT_FALSE(messages.damaged());
}

TEST(MessagesTest, LengthsThatDoNotAddUpEndTheReading) {
  for (const Bytes& bytes :
       {MessageBytes(20, kIp4, 0), MessageBytes(20, kIp4, 15),
        MessageBytes(20, kIp4, 21), MessageBytes(20, kIp4, UINT32_MAX),
        Bytes(15)}) {
    Messages messages(bytes);
    EXPECT_FALSE(messages.Next());
    EXPECT_TRUE(messages.damaged());
    EXPECT_FALSE(messages.Next());
  }
}

// --- What is said ----------------------------------------------------------

TEST(ReadRouteTest, TakesDeviceGatewayAndMtu) {
  const Bytes bytes = RouteBytes(
      AttributeBytes(RTA_OIF, Of(uint32_t{4})) +
      AttributeBytes(RTA_GATEWAY, kIp4) +
      AttributeBytes(RTA_METRICS | NLA_F_NESTED,
                     AttributeBytes(RTAX_WINDOW, Of(uint32_t{1})) +
                         AttributeBytes(RTAX_MTU, Of(uint32_t{1400}))));
  const auto route = ReadRoute(First(bytes));
  ASSERT_TRUE(route);
  EXPECT_EQ(route->type, RTN_UNICAST);
  EXPECT_EQ(route->ifindex, 4);
  ASSERT_TRUE(route->gateway);
  EXPECT_EQ(route->gateway->ToString(), "192.0.2.1");
  EXPECT_EQ(route->mtu, 1400u);
}

TEST(ReadRouteTest, TakesAGatewayOfTheOtherFamily) {
  const auto route = ReadRoute(First(
      RouteBytes(AttributeBytes(RTA_VIA, Of(uint16_t{AF_INET6}) + kIp6))));
  ASSERT_TRUE(route && route->gateway);
  EXPECT_EQ(route->gateway->ToString(), "2001:db8::9");
  EXPECT_EQ(route->ifindex, 0);
  EXPECT_EQ(route->mtu, 0u);
}

TEST(ReadRouteTest, RefusesWhatIsDamaged) {
  const Bytes oif = AttributeBytes(RTA_OIF, Of(uint32_t{4}));
  for (const Bytes& attributes : {
           AttributeBytes(RTA_OIF, {4}),
           AttributeBytes(RTA_OIF, Of(uint32_t{0x8000'0000})),
           AttributeBytes(RTA_GATEWAY, {}),
           AttributeBytes(RTA_GATEWAY, kMac),
           AttributeBytes(RTA_VIA, {}),
           AttributeBytes(RTA_VIA, {2}),
           AttributeBytes(RTA_VIA, Of(uint16_t{AF_INET6}) + kIp4),
           AttributeBytes(RTA_VIA, Of(uint16_t{AF_INET}) + kIp6),
           AttributeBytes(RTA_VIA, Of(uint16_t{99}) + kIp4),
           AttributeBytes(RTA_METRICS, AttributeBytes(RTAX_MTU, {1, 2})),
           AttributeBytes(RTA_METRICS, AttributeBytes(RTAX_MTU, kIp4, 0)),
           AttributeBytes(RTA_METRICS, AttributeBytes(RTAX_MTU, kIp4, 12)),
           oif + AttributeBytes(RTA_GATEWAY, kIp4, 0),
           oif + AttributeBytes(RTA_GATEWAY, kIp4, 9),
           oif + Bytes{1, 0},
       }) {
    EXPECT_FALSE(ReadRoute(First(RouteBytes(attributes))));
  }
  EXPECT_FALSE(ReadRoute(First(MessageBytes(RTM_NEWROUTE, Bytes(11)))));
}

TEST(ReadNeighbourTest, TakesAddressStateAndMac) {
  const Bytes dst = AttributeBytes(NDA_DST, kIp4);
  const auto neighbour = ReadNeighbour(
      First(NeighbourBytes(dst + AttributeBytes(NDA_LLADDR, kMac))));
  ASSERT_TRUE(neighbour);
  EXPECT_EQ(neighbour->ifindex, 3);
  EXPECT_EQ(neighbour->ip.ToString(), "192.0.2.1");
  EXPECT_EQ(neighbour->state, NUD_STALE);
  EXPECT_EQ(neighbour->mac, (Mac{2, 0, 0, 0, 0, 9}));
  // A tunnel's is no MAC.
  const auto tunnelled = ReadNeighbour(
      First(NeighbourBytes(dst + AttributeBytes(NDA_LLADDR, kIp4))));
  ASSERT_TRUE(tunnelled);
  EXPECT_FALSE(tunnelled->mac);
}

TEST(ReadNeighbourTest, RefusesWhatIsDamagedOrOfABridge) {
  const Bytes dst = AttributeBytes(NDA_DST, kIp4);
  EXPECT_FALSE(ReadNeighbour(First(NeighbourBytes({}))));
  EXPECT_FALSE(ReadNeighbour(First(NeighbourBytes(dst, AF_BRIDGE))));
  EXPECT_FALSE(
      ReadNeighbour(First(NeighbourBytes(AttributeBytes(NDA_DST, kMac)))));
  EXPECT_FALSE(ReadNeighbour(
      First(NeighbourBytes(dst + AttributeBytes(NDA_LLADDR, kMac, 0)))));
  EXPECT_FALSE(ReadNeighbour(First(MessageBytes(RTM_NEWNEIGH, Bytes(11)))));
}

TEST(ReadLinkTest, TakesNameMacAndMtu) {
  const auto link =
      ReadLink(First(LinkBytes(AttributeBytes(IFLA_IFNAME, {'v', '0', 0}) +
                               AttributeBytes(IFLA_ADDRESS, kMac) +
                               AttributeBytes(IFLA_MTU, Of(uint32_t{1500})))));
  ASSERT_TRUE(link);
  EXPECT_EQ(link->ifindex, 4);
  EXPECT_EQ(link->hardware, 1);
  EXPECT_EQ(link->flags, 0x11u);
  EXPECT_EQ(link->name, "v0");
  EXPECT_EQ(link->mac, (Mac{2, 0, 0, 0, 0, 9}));
  EXPECT_EQ(link->mtu, 1500u);
}

TEST(ReadLinkTest, RefusesWhatIsDamaged) {
  EXPECT_FALSE(ReadLink(First(LinkBytes(AttributeBytes(IFLA_MTU, {1, 2, 3})))));
  EXPECT_FALSE(
      ReadLink(First(LinkBytes(AttributeBytes(IFLA_ADDRESS, kMac, 2)))));
  EXPECT_FALSE(ReadLink(First(MessageBytes(RTM_NEWLINK, Bytes(15)))));
}

// Cut anywhere, or with any octet another one, nothing is read that is not
// there (for a sanitizer to see) and the reading ends.
TEST(ReadTest, NoDamageLeadsItAstray) {
  const Bytes whole =
      RouteBytes(AttributeBytes(RTA_OIF, Of(uint32_t{4})) +
                 AttributeBytes(RTA_VIA, Of(uint16_t{AF_INET6}) + kIp6) +
                 AttributeBytes(RTA_METRICS,
                                AttributeBytes(RTAX_MTU, Of(uint32_t{9})))) +
      NeighbourBytes(AttributeBytes(NDA_DST, kIp6) +
                     AttributeBytes(NDA_LLADDR, kMac)) +
      LinkBytes(AttributeBytes(IFLA_IFNAME, {'v', '0', 0}) +
                AttributeBytes(IFLA_ADDRESS, kMac));
  const auto read_all = [](const Bytes& bytes) {
    size_t read = 0;
    Messages messages(bytes);
    while (const auto message = messages.Next()) {
      // Whatever type it says.
      (void)ReadRoute(*message);
      (void)ReadNeighbour(*message);
      (void)ReadLink(*message);
      ++read;
    }
    EXPECT_LE(read, bytes.size() / sizeof(nlmsghdr));
    return read;
  };
  EXPECT_EQ(read_all(whole), 3u);
  for (size_t size = 0; size < whole.size(); ++size) {
    // On the heap and of that very size.
    EXPECT_LT(read_all(Bytes(whole.begin(),
                             whole.begin() + static_cast<ptrdiff_t>(size))),
              3u);
  }
  std::mt19937_64 random(20'261);
  for (int round = 0; round < 20'000; ++round) {
    Bytes spoilt = whole;
    for (int i = 0; i < 3; ++i) {
      spoilt[random() % spoilt.size()] = static_cast<uint8_t>(random());
    }
    read_all(spoilt);
  }
}

// --- The kernel ------------------------------------------------------------

TEST(RequestTest, IsWhatItsReaderReads) {
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_type = RTN_UNICAST;
  Request request(RTM_GETROUTE, NLM_F_ACK, header);
  request.AddU32(RTA_OIF, 4)
      .AddU8(RTA_IP_PROTO, 17)
      .AddAddress(RTA_GATEWAY, IpAddress::V4(192, 0, 2, 1));
  EXPECT_TRUE(request.wants_ack());
  EXPECT_FALSE(request.wants_dump());
  Messages messages(request.Finish(5));
  const auto message = messages.Next();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->type, RTM_GETROUTE);
  EXPECT_EQ(message->flags, NLM_F_REQUEST | NLM_F_ACK);
  EXPECT_EQ(message->sequence, 5u);
  const auto route = ReadRoute(*message);
  ASSERT_TRUE(route && route->gateway);
  EXPECT_EQ(route->ifindex, 4);
  EXPECT_EQ(route->gateway->ToString(), "192.0.2.1");
  EXPECT_FALSE(messages.Next());
  EXPECT_FALSE(messages.damaged());
}

// Reading needs no rights, and every network namespace has a loopback device.
TEST(RequesterTest, AsksForOneForAllAndForNone) {
  auto requester = Requester::Open(NETLINK_ROUTE);
  ASSERT_TRUE(requester.ok()) << requester.status();
  ifinfomsg header{};
  std::vector<Link> listed;
  Request list(RTM_GETLINK, NLM_F_DUMP, header);
  EXPECT_TRUE(list.wants_dump());
  auto said = requester->Ask(list, [&](const Message& message) {
    const auto link = ReadLink(message);
    ASSERT_TRUE(link);
    listed.push_back(*link);
  });
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_EQ(*said, 0);
  const auto loopback = std::ranges::find(listed, "lo", &Link::name);
  ASSERT_NE(loopback, listed.end());

  header.ifi_index = loopback->ifindex;
  std::vector<Link> one;
  Request get(RTM_GETLINK, 0, header);
  said = requester->Ask(get, [&](const Message& message) {
    one.push_back(ReadLink(message).value_or(Link{}));
  });
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_EQ(*said, 0);
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].name, "lo");

  header.ifi_index = INT32_MAX;
  Request none(RTM_GETLINK, 0, header);
  said = requester->Ask(none, [](const Message&) { FAIL(); });
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_EQ(*said, ENODEV);
}

TEST(RequesterTest, GivesUpWhenThereIsNoAnswerAndTheNextRequestHasItsOwn) {
  auto requester = Requester::Open(NETLINK_ROUTE);
  ASSERT_TRUE(requester.ok()) << requester.status();
  // The kernel passes over a message of a control type without a word.
  Request unanswered(NLMSG_NOOP, 0, ifinfomsg{});
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      requester->Ask(unanswered, [](const Message&) { FAIL(); }).status()));
  ifinfomsg header{};
  header.ifi_index = INT32_MAX;
  Request next(RTM_GETLINK, 0, header);
  const auto said = requester->Ask(next, [](const Message&) { FAIL(); });
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_EQ(*said, ENODEV);
}

TEST(ListenerTest, RefusesAGroupThatThereIsNotUnlessItIsOptional) {
  const unsigned link[] = {RTNLGRP_LINK};
  const unsigned none[] = {4096};
  EXPECT_FALSE(Listener::Open(none, {}, 4096).ok());
  auto listener = Listener::Open(link, none, 4096);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(listener->Receive([](const Message&) {}),
            Listener::Heard::kNothing);
}

}  // namespace
}  // namespace sluice::net::netlink

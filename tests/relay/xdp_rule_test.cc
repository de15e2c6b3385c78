#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "relay/xdp/rule.h"
#include "tests/relay/xdp_packet.h"

namespace sluice::relay::xdp {
namespace {

using ::testing::HasSubstr;

Endpoint At(const char* text) { return *Endpoint::Parse(text); }

RuleSpec Spec(bool in6, bool out6) {
  return {.from = At(in6 ? "[2001:db8:1::5]:5004" : "192.0.2.5:5004"),
          .at = At(in6 ? "[2001:db8::1]:10000" : "198.51.100.1:10000"),
          .out = At(out6 ? "[2001:db8::2]:10002" : "198.51.100.2:10002"),
          .to = At(out6 ? "[2001:db8:2::7]:6004" : "203.0.113.7:6004")};
}

uint16_t Be16(const Frame& f, size_t at) {
  return static_cast<uint16_t>(f[at] << 8 | f[at + 1]);
}

// RFC 1624 in big-endian, from the rule's sum as it lies in memory.
uint16_t Apply(uint16_t checksum, uint16_t delta) {
  const auto big = static_cast<uint16_t>(Port::FromNetwork(delta).host());
  uint32_t sum = static_cast<uint16_t>(~checksum) + uint32_t{big};
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

TEST(XdpRule, L4DeltaTurnsEachChecksumIntoTheOneMadeFromScratch) {
  std::mt19937_64 random(1);
  for (bool in6 : {false, true}) {
    for (bool out6 : {false, true}) {
      const RuleSpec spec = Spec(in6, out6);
      const auto rule = MakeRule(spec);
      ASSERT_TRUE(rule.ok()) << rule.status();
      for (int i = 0; i < 500; ++i) {
        std::vector<uint8_t> payload(1 + random() % 200);
        for (uint8_t& octet : payload) octet = static_cast<uint8_t>(random());
        const Packet in{.from = spec.from, .to = spec.at, .payload = payload};
        const Packet out{.from = spec.out, .to = spec.to, .payload = payload};
        uint16_t got =
            Apply(Be16(in.Bytes(), 14 + in.ip_header() + 6), rule->l4_delta);
        if (got == 0) got = 0xffff;
        ASSERT_EQ(got, Be16(out.Bytes(), 14 + out.ip_header() + 6));
      }
    }
  }
}

TEST(XdpRule, L3DeltaHasTheHopInIt) {
  const RuleSpec spec = Spec(false, false);
  const auto rule = MakeRule(spec);
  ASSERT_TRUE(rule.ok()) << rule.status();
  for (uint32_t id = 0; id < 65536; id += 13) {
    Packet in{.from = spec.from,
              .to = spec.at,
              .ttl = static_cast<uint8_t>(1 + id % 255),
              .id = static_cast<uint16_t>(id)};
    Packet out = in;
    out.from = spec.out;
    out.to = spec.to;
    --out.ttl;
    ASSERT_EQ(Apply(Be16(in.Bytes(), 24), rule->l3_delta),
              Be16(out.Bytes(), 24));
  }
}

TEST(XdpRule, L3DeltaOfSixToFourIsTheNewHeaderButForWhatVaries) {
  const RuleSpec spec = Spec(true, false);
  const auto rule = MakeRule(spec);
  ASSERT_TRUE(rule.ok()) << rule.status();
  const Packet out{.from = spec.out, .to = spec.to, .tos = 0, .ttl = 0};
  Frame f = out.Bytes();
  Packet::Set16(f, 16, 0);  // the length
  Packet::Set16(f, 24, 0);  // the checksum
  EXPECT_EQ(static_cast<uint16_t>(~Packet::Checksum({f.data() + 14, 20})),
            Port::FromNetwork(rule->l3_delta).host());
}

TEST(XdpRule, HasWhatThePacketIsComparedWithAndBecomes) {
  RuleSpec spec = Spec(false, true);
  spec.local = 3;
  spec.nexthop = 4;
  spec.profile = 5;
  spec.flags = kRuleMirror | kRuleForwardRtcp;
  spec.dscp = 46;
  spec.gap_ns = 7;
  spec.burst_ns = 8;
  spec.cookie = 9;
  const auto rule = MakeRule(spec);
  ASSERT_TRUE(rule.ok()) << rule.status();
  EXPECT_EQ(rule->state, kRuleOff);
  EXPECT_EQ(rule->source[0], ToAbi(spec.from.ip).words[0]);
  EXPECT_EQ(rule->source[1], 0u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(rule->destination[i], ToAbi(spec.to.ip).words[i]);
  }
  EXPECT_EQ(rule->source_port_be, spec.from.port.network());
  EXPECT_EQ(rule->new_source_port_be, spec.out.port.network());
  EXPECT_EQ(rule->new_destination_port_be, spec.to.port.network());
  EXPECT_EQ(rule->local, 3);
  EXPECT_EQ(rule->nexthop, 4);
  EXPECT_EQ(rule->profile, 5);
  EXPECT_EQ(rule->flags,
            kRuleMirror | kRuleForwardRtcp | kRuleOut6 | kRuleSetDscp);
  EXPECT_EQ(rule->tos, 46 << 2);
  EXPECT_EQ(rule->gap_ns, 7u);
  EXPECT_EQ(rule->burst_ns, 8u);
  EXPECT_EQ(rule->cookie, 9u);
}

TEST(XdpRule, RefusesWhatNoPacketCanBeAndSaysWhich) {
  const struct {
    void (*change)(RuleSpec&);
    const char* says;
  } rows[] = {
      {[](RuleSpec& s) { s.from.port = Port(); }, "'from'"},
      {[](RuleSpec& s) { s.at.ip = IpAddress::V4(0, 0, 0, 0); }, "'at'"},
      {[](RuleSpec& s) { s.out.port = Port(); }, "'out'"},
      {[](RuleSpec& s) { s.to.ip = IpAddress::V4(224, 0, 0, 1); }, "'to'"},
      {[](RuleSpec& s) { s.from = At("[2001:db8::9]:1"); }, "one family"},
      {[](RuleSpec& s) { s.out = At("[2001:db8::9]:1"); }, "one family"},
      {[](RuleSpec& s) { s.local = kLocalsMax; }, "local 256"},
      {[](RuleSpec& s) { s.nexthop = kNextHopsMax; }, "next hop 4096"},
      {[](RuleSpec& s) { s.profile = kProfilesMax; }, "profile 256"},
      {[](RuleSpec& s) { s.dscp = 64; }, "not 64"},
      {[](RuleSpec& s) { s.gap_ns = 1, s.burst_ns = UINT32_MAX; }, "4.29 s"},
  };
  for (const auto& row : rows) {
    RuleSpec spec = Spec(false, false);
    row.change(spec);
    const auto rule = MakeRule(spec);
    ASSERT_FALSE(rule.ok()) << row.says;
    EXPECT_EQ(rule.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(rule.status().message()), HasSubstr(row.says));
  }
}

TEST(XdpRule, ProfileCountsTicksOfTheClock) {
  for (uint32_t hz : {8'000u, 16'000u, 48'000u, 90'000u}) {
    const Profile profile = MakeProfile(hz);
    EXPECT_EQ(profile.clock_hz, hz);
    // An hour, to a tenth of a second's ticks.
    const uint64_t ns = 3'600'000'000'000;
    EXPECT_NEAR(static_cast<double>(profile.ticks_per_ns_q32) *
                    static_cast<double>(ns) / 4294967296.0,
                3600.0 * hz, hz / 10.0);
  }
}

}  // namespace
}  // namespace sluice::relay::xdp

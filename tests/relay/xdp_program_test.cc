// The forwarding program in the kernel: a frame in, a verdict and a frame out
// (BPF_PROG_TEST_RUN). What must come out is made by tests/relay/xdp_packet.h.

#include <sys/syscall.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "relay/xdp/program.h"
#include "relay/xdp/rule.h"
#include "rtp/stream_stats.h"
#include "tests/relay/xdp_fixtures.h"
#include "tests/relay/xdp_packet.h"

namespace sluice::relay::xdp {
namespace {

using ::testing::HasSubstr;
using Hook = Program::Hook;

// XDP_* and TC_ACT_*, of the kernel's headers.
constexpr int kXdpActions[] = {2, 1, 3, 4};  // pass, drop, transmit, redirect
constexpr int kTcActions[] = {-1, 2, 7, 7};

constexpr bool IsPass(int v) { return v < k_drop_wrong_source; }
constexpr bool IsDrop(int v) { return !IsPass(v) && v < k_send_transmit; }
int Action(Hook hook, int verdict) {
  const int which = IsPass(verdict)              ? 0
                    : IsDrop(verdict)            ? 1
                    : verdict == k_send_transmit ? 2
                                                 : 3;
  return hook == Hook::kXdp ? kXdpActions[which] : kTcActions[which];
}

// --- The model ---------------------------------------------------------------

constexpr uint32_t kLoopback = 1;
constexpr uint32_t kBase4 = 0, kBase6 = kPorts, kCells = 2 * kPorts;
constexpr uint8_t kMacs[12] = {2, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 8};

uint32_t CellOf(bool in6) { return (in6 ? kBase6 : kBase4) + 2; }

// What the rule makes of the packet.
Packet Forwarded(const Packet& in, const RuleSpec& spec, Hook hook) {
  const bool in6 = !in.from.ip.is_v4(), out6 = !spec.to.ip.is_v4();
  Packet out = in;
  std::copy(kMacs, kMacs + 6, out.to_mac.begin());
  std::copy(kMacs + 6, kMacs + 12, out.from_mac.begin());
  out.from = spec.out;
  out.to = spec.to;
  --out.ttl;
  if (spec.dscp >= 0) {
    out.tos = static_cast<uint8_t>(spec.dscp << 2 | (in.tos & 3));
  }
  if (in6 && !out6) {
    out.id = 0;
    out.dont_fragment = true;
  }
  if (!in6 && out6) out.flow_label = 0;
  if (hook == Hook::kXdp && !out6 && (spec.flags & kRuleNoChecksum) != 0) {
    out.udp_checksum = false;
  }
  return out;
}

class XdpProgram : public ::testing::Test {
 protected:
  static void TearDownTestSuite() { program_.reset(); }

  void SetUp() override {
    if (program_ == nullptr) {
      auto loaded = Program::Load({.cells = kCells, .mirror_bytes = 4096});
      // As in xdp_loader_test.cc.
      if (CannotRunHere(loaded.status())) GTEST_SKIP() << loaded.status();
      ASSERT_TRUE(loaded.ok()) << loaded.status();
      program_ = *std::move(loaded);
    }
    ASSERT_TRUE(
        program_->SetRange(Spec(false, false).at.ip, 10'000, kPorts, kBase4)
            .ok());
    ASSERT_TRUE(
        program_->SetRange(Spec(true, true).at.ip, 10'000, kPorts, kBase6)
            .ok());
    for (bool out6 : {false, true}) {
      ASSERT_TRUE(program_->SetLocal(out6, Spec(out6, out6).out.ip).ok());
    }
    Profile profile = MakeProfile(8000);
    profile.pass_payload_types[kPassedType / 64] |= uint64_t{1}
                                                    << (kPassedType % 64);
    ASSERT_TRUE(program_->SetProfile(0, profile).ok());
    SetHop(kHairpin, kLoopback, 0);
    SetHop(kAcross, kLoopback, kNextHopNeverTransmit);
    SetHop(kUnresolved, 0, 0);
    SetHop(kGone, kLoopback, kNextHopNeverTransmit);
    ForgetDevice(kGone);
    for (uint32_t cell = 0; cell < kCells; ++cell) program_->Retire(cell);
    const auto drained =
        program_->DrainMirror([](const Mirrored&, std::span<const uint8_t>) {});
    ASSERT_TRUE(drained.ok());
  }

  void SetHop(uint16_t place, uint32_t ifindex, uint16_t flags) {
    NextHop hop{};
    std::copy(kMacs, kMacs + sizeof(kMacs), hop.macs);
    hop.ifindex = ifindex;
    hop.mtu = kMtu;
    hop.flags = flags;
    const absl::Status status = program_->SetNextHop(place, hop);
    ASSERT_TRUE(status.ok()) << status;
  }
  // As the kernel does when a device goes away (BPF_MAP_DELETE_ELEM = 3).
  void ForgetDevice(uint32_t place) {
    struct {
      uint32_t map;
      uint32_t unused;
      uint64_t key, value, flags;
    } args{static_cast<uint32_t>(program_->MapDescriptor("tx_ports")), 0,
           reinterpret_cast<uint64_t>(&place), 0, 0};
    ASSERT_EQ(syscall(SYS_bpf, 3, &args, sizeof(args)), 0);
  }

  void Install(bool in6, const RuleSpec& spec) {
    const auto rule = MakeRule(spec);
    ASSERT_TRUE(rule.ok()) << rule.status();
    program_->Retire(CellOf(in6));
    program_->Install(CellOf(in6), *rule);
  }

  // Runs one frame, checks the law (one way out a packet) and the action, and
  // returns the verdict.
  int Through(Hook hook, const Frame& frame, Frame* out,
              const Program::RunOptions& options = {}) {
    const auto before = program_->Counters();
    const auto run = program_->TestRun(hook, frame, options);
    const auto after = program_->Counters();
    EXPECT_TRUE(run.ok()) << run.status();
    if (!run.ok() || !before.ok() || !after.ok()) return -1;
    int verdict = -1;
    uint64_t ways = 0;
    for (int i = 0; i < kWaysOut; ++i) {
      const auto n = static_cast<size_t>(i);
      ways += (*after)[n] - (*before)[n];
      if ((*after)[n] != (*before)[n]) verdict = i;
    }
    EXPECT_EQ(ways, 1u);
    if (verdict < 0) return -1;
    EXPECT_EQ(run->action, Action(hook, verdict));
    if (IsPass(verdict)) {
      EXPECT_EQ(run->frame, frame) << "touched";
    }
    *out = run->frame;
    return verdict;
  }
  uint64_t Counter(int which) {
    return (*program_->Counters())[static_cast<size_t>(which)];
  }

  static std::unique_ptr<Program> program_;
};
std::unique_ptr<Program> XdpProgram::program_;

// --- A fixture for every verdict ---------------------------------------------

TEST_F(XdpProgram, EachFixtureHasItsVerdictAndItsBytes) {
  for (const Fixture& fixture : Fixtures()) {
    for (unsigned crossing = 0; crossing < 4; ++crossing) {
      if ((fixture.crossings >> crossing & 1) == 0) continue;
      const bool in6 = (crossing & 2) != 0, out6 = (crossing & 1) != 0;
      for (Hook hook : {Hook::kXdp, Hook::kTc}) {
        const bool tc = hook == Hook::kTc;
        if ((fixture.hooks & (tc ? kOnTc : kOnXdp)) == 0) continue;
        SCOPED_TRACE(std::string(fixture.name) + (in6 ? " 6" : " 4") + "->" +
                     (out6 ? "6" : "4") + (tc ? " tc" : " xdp"));
        Scene scene{.rule = Spec(in6, out6)};
        scene.packet = From(scene.rule);
        fixture.change(scene);
        Install(in6, scene.rule);
        if (!scene.installed) program_->Retire(CellOf(in6));
        Frame frame = scene.packet.Bytes();
        if (scene.spoil) scene.spoil(frame);

        Frame out;
        const int verdict = Through(hook, frame, &out, scene.run);
        ASSERT_GE(verdict, 0);
        const int wanted = tc && fixture.verdict == k_send_transmit
                               ? int{k_send_redirect}
                               : int{fixture.verdict};
        EXPECT_STREQ(kVerdictNames[static_cast<size_t>(verdict)].name,
                     kVerdictNames[static_cast<size_t>(wanted)].name);
        const Stats stats = program_->ReadStats(CellOf(in6));
        const bool sent = verdict >= k_send_transmit;
        EXPECT_EQ(stats.packets, sent || verdict == k_drop_refused ? 1u : 0u);
        EXPECT_EQ(stats.dropped, IsDrop(verdict) ? 1u : 0u);
        if (sent) {
          EXPECT_EQ(out, Forwarded(scene.packet, scene.rule, hook).Bytes());
          EXPECT_EQ(stats.bytes, scene.packet.payload.size());
        }
      }
    }
  }
}

TEST_F(XdpProgram, EachVerdictHasAFixture) {
  // These take more than one packet: below.
  std::set<int> reached = {k_drop_rate, k_pass_joining};
  for (const Fixture& fixture : Fixtures()) reached.insert(fixture.verdict);
  for (int i = 0; i < kWaysOut; ++i) {
    EXPECT_TRUE(reached.contains(i))
        << kVerdictNames[static_cast<size_t>(i)].name;
  }
}

TEST_F(XdpProgram, RateLimitLetsTheBurstThroughAndDropsTheRest) {
  for (Hook hook : {Hook::kXdp, Hook::kTc}) {
    RuleSpec spec = Spec(false, false);
    spec.gap_ns = 2'000'000'000;
    spec.burst_ns = 2'000'000'000;
    Install(false, spec);
    const Frame frame = From(spec).Bytes();
    Frame out;
    EXPECT_GE(Through(hook, frame, &out), k_send_transmit);
    EXPECT_GE(Through(hook, frame, &out), k_send_transmit);
    EXPECT_EQ(Through(hook, frame, &out), k_drop_rate);
    EXPECT_EQ(out, frame);
    const Stats stats = program_->ReadStats(CellOf(false));
    EXPECT_EQ(stats.packets, 2u);
    EXPECT_EQ(stats.dropped, 1u);
    EXPECT_EQ(stats.received, 2u);
  }
}

// --- The fence between the socket path and this one --------------------------

TEST_F(XdpProgram, AJoiningFlowIsForwardedOnceTheSocketHasSentWhatItWasGiven) {
  for (unsigned crossing = 0; crossing < 4; ++crossing) {
    const bool in6 = (crossing & 2) != 0, out6 = (crossing & 1) != 0;
    for (Hook hook : {Hook::kXdp, Hook::kTc}) {
      SCOPED_TRACE(crossing);
      const RuleSpec spec = Spec(in6, out6);
      const uint32_t cell = CellOf(in6);
      program_->Retire(cell);
      program_->Join(cell, *MakeRule(spec));
      Frame out;
      const auto verdict = [&](uint16_t sequence, uint32_t ssrc = 7) {
        Packet packet = From(spec);
        packet.payload = RtpPacket{.sequence = sequence, .ssrc = ssrc}.Bytes();
        return Through(hook, packet.Bytes(), &out);
      };
      // The gate says what was sent before any of these came.
      program_->SetGate(cell, 65'534);
      EXPECT_EQ(verdict(65'535), k_pass_joining);
      EXPECT_EQ(verdict(0), k_pass_joining);
      // One behind: 0 is under way.
      program_->SetGate(cell, 65'535);
      EXPECT_EQ(verdict(1), k_pass_joining);
      // The number fits, the source has begun anew.
      program_->SetGate(cell, 1);
      EXPECT_EQ(verdict(2, 8), k_pass_joining);
      program_->SetGate(cell, 2);
      EXPECT_FALSE(program_->Joined(cell));
      EXPECT_GE(verdict(3, 8), k_send_transmit);
      EXPECT_TRUE(program_->Joined(cell));
      // From here on the gate says nothing, and the books begin.
      EXPECT_GE(verdict(6, 8), k_send_transmit);
      EXPECT_GE(verdict(5, 8), k_send_transmit);
      const Stats stats = program_->ReadStats(cell);
      EXPECT_EQ(stats.packets, 3u);
      EXPECT_EQ(stats.received, 3u);
      EXPECT_EQ(stats.expected, 4u);
      EXPECT_EQ(stats.late, 1u);
      EXPECT_EQ(stats.ssrc, 8u);
      EXPECT_EQ(stats.ssrc_changes, 0u);
    }
  }
}

TEST_F(XdpProgram, AJoiningFlowWaitsWithTheFirstPacketThatPasses) {
  // Nothing may go behind a packet that went up for another reason.
  RuleSpec spec = Spec(false, false);
  spec.nexthop = kUnresolved;
  const uint32_t cell = CellOf(false);
  program_->Join(cell, *MakeRule(spec));
  Frame out;
  const auto verdict = [&](uint16_t sequence) {
    Packet packet = From(spec);
    packet.payload = RtpPacket{.sequence = sequence}.Bytes();
    return Through(Hook::kXdp, packet.Bytes(), &out);
  };
  EXPECT_EQ(verdict(1), k_pass_joining);
  program_->SetGate(cell, 1);
  EXPECT_EQ(verdict(2), k_pass_no_nexthop);
  EXPECT_FALSE(program_->Joined(cell));
  EXPECT_EQ(verdict(3), k_pass_joining);
}

TEST_F(XdpProgram, WhatIsNoRtpNeverJoins) {
  RuleSpec spec = Spec(false, false);
  spec.flags |= kRuleAnyPayload;
  program_->Join(CellOf(false), *MakeRule(spec));
  program_->SetGate(CellOf(false), 0);
  Packet packet = From(spec);
  packet.payload = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  Frame out;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Through(Hook::kXdp, packet.Bytes(), &out), k_pass_joining);
  }
}

// --- Against the model -------------------------------------------------------

TEST_F(XdpProgram, RandomPacketsComeOutAsTheModelHasThem) {
  std::mt19937_64 random(20261122);
  const auto octet = [&random] { return static_cast<uint8_t>(random()); };
  const auto ip = [&](bool v6) {
    uint8_t o[16] = {};
    if (!v6) return IpAddress::V4(1 + octet() % 223, octet(), octet(), octet());
    for (uint8_t& one : o) one = octet();
    o[0] = 0x20;
    return IpAddress::FromOctets(o);
  };
  const auto endpoint = [&](bool v6) {
    return Endpoint{
        ip(v6), Port::FromHost(static_cast<uint16_t>(1 + random() % 65535))};
  };
  for (int i = 0; i < 4000; ++i) {
    const bool in6 = (i & 1) != 0, out6 = (i & 2) != 0;
    const Hook hook = (i & 4) != 0 ? Hook::kTc : Hook::kXdp;
    SCOPED_TRACE(i);
    RuleSpec spec{.from = endpoint(in6),
                  .at = endpoint(in6),
                  .out = endpoint(out6),
                  .to = endpoint(out6),
                  .local = 9,
                  .nexthop = (i & 8) != 0 ? kHairpin : kAcross};
    if (random() % 3 == 0) spec.dscp = static_cast<int>(random() % 64);
    if (random() % 5 == 0) spec.flags |= kRuleNoChecksum;
    RtpPacket rtp{.type = static_cast<uint8_t>(random() % 64),
                  .sequence = static_cast<uint16_t>(random()),
                  .timestamp = static_cast<uint32_t>(random()),
                  .ssrc = static_cast<uint32_t>(random()),
                  .rest = std::vector<uint8_t>(random() % 1200)};
    for (uint8_t& one : rtp.rest) one = octet();
    Packet packet{.from = spec.from,
                  .to = spec.at,
                  .tos = octet(),
                  .ttl = static_cast<uint8_t>(2 + random() % 254),
                  .id = static_cast<uint16_t>(random()),
                  .dont_fragment = random() % 2 == 0,
                  .flow_label = static_cast<uint32_t>(random() % (1 << 20)),
                  .payload = rtp.Bytes(),
                  .padding = std::vector<uint8_t>(random() % 8)};
    if (!in6 && !out6) packet.udp_checksum = random() % 4 != 0;
    if (in6) packet.id = 0;

    ASSERT_TRUE(program_->SetLocal(9, spec.out.ip).ok());
    ASSERT_TRUE(
        program_->SetRange(spec.at.ip, spec.at.port.host(), 1, CellOf(in6))
            .ok());
    Install(in6, spec);
    Frame out;
    EXPECT_GE(Through(hook, packet.Bytes(), &out), k_send_transmit);
    ASSERT_EQ(out, Forwarded(packet, spec, hook).Bytes());
    ASSERT_TRUE(program_->RemoveRange(spec.at.ip).ok());
  }
}

TEST_F(XdpProgram, SpoiltPacketsPassUntouchedOrLeaveAsTheyWereSpoilt) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 4000; ++i) {
    const bool in6 = (i & 1) != 0, out6 = (i & 2) != 0;
    const Hook hook = (i & 4) != 0 ? Hook::kTc : Hook::kXdp;
    SCOPED_TRACE(i);
    const RuleSpec spec = Spec(in6, out6);
    Install(in6, spec);
    Frame frame = From(spec).Bytes();
    const size_t headers = 14 + (in6 ? 40u : 20u) + 8 + 12;
    const size_t at = random() % headers;
    frame[at] ^= static_cast<uint8_t>(1 + random() % 255);
    if (random() % 4 == 0) {
      // Shorter ones the kernel does not take for a test at the tc hook.
      const size_t least = headers - 20;
      frame.resize(least + random() % (frame.size() - least));
    }
    Frame out;
    // Through() holds that what passes was not touched.
    const int verdict = Through(hook, frame, &out);
    ASSERT_GE(verdict, 0);
    if (verdict < k_send_transmit) continue;
    // What leaves has the payload that came, and all of it.
    const size_t in_payload = headers - 12;
    const size_t out_payload = 14 + (out6 ? 40u : 20u) + 8;
    ASSERT_EQ(out.size() - out_payload, frame.size() - in_payload);
    EXPECT_TRUE(std::equal(out.begin() + static_cast<ptrdiff_t>(out_payload),
                           out.end(),
                           frame.begin() + static_cast<ptrdiff_t>(in_payload)));
  }
}

// One fold fewer is wrong for some three of 65,536 sums: just those are tried,
// and a few others. Sums are in memory's order, as the program has them.
bool CarriesTwice(uint32_t sum) {
  return (sum & 0xffff) + (sum >> 16) > 0xffff;
}
uint16_t Big(uint32_t host) {
  return Port::FromHost(static_cast<uint16_t>(host)).network();
}
bool HeaderIsGood(const Frame& f) {
  return Packet::Checksum({f.data() + 14, 20}) == 0;
}

TEST_F(XdpProgram, ANewHeadersChecksumIsFoldedTwice) {
  int twice = 0;
  for (uint32_t n = 0; n < 65'536; ++n) {
    // The sum takes every value through the receiver's address.
    RuleSpec spec = Spec(true, false);
    spec.dscp = 63;
    spec.to.ip = IpAddress::V4(203, 0, static_cast<uint8_t>(n >> 8),
                               static_cast<uint8_t>(n));
    const auto rule = MakeRule(spec);
    ASSERT_TRUE(rule.ok());
    Packet packet = From(spec);
    packet.tos = 3;
    packet.ttl = 255;
    const bool carries = CarriesTwice(
        uint32_t{rule->l3_delta} + Big(0xff) +
        Big(static_cast<uint32_t>(28 + packet.payload.size())) + Big(254 << 8));
    if (!carries && n % 1024 != 0) continue;
    twice += carries;
    program_->Retire(CellOf(true));
    program_->Install(CellOf(true), *rule);
    for (Hook hook : {Hook::kXdp, Hook::kTc}) {
      Frame out;
      ASSERT_GE(Through(hook, packet.Bytes(), &out), k_send_transmit);
      ASSERT_TRUE(HeaderIsGood(out)) << n;
    }
  }
  EXPECT_GT(twice, 0);
}

TEST_F(XdpProgram, AChangedHeadersChecksumIsFoldedTwice) {
  int twice = 0;
  for (int dscp : {0, 63}) {
    RuleSpec spec = Spec(false, false);
    spec.dscp = dscp;
    Install(false, spec);
    const auto rule = MakeRule(spec);
    ASSERT_TRUE(rule.ok());
    Packet packet = From(spec);
    packet.tos = dscp == 0 ? 0xff : 0;
    const uint32_t tos = static_cast<uint32_t>(dscp) << 2 | (packet.tos & 3u);
    const Frame first = packet.Bytes();
    const uint32_t without_id =
        static_cast<uint32_t>(first[24] << 8 | first[25]);
    for (uint32_t n = 0; n < 65'536; ++n) {
      // The old checksum takes every value through the identification.
      const uint32_t sum = 0xffffu - without_id + n;
      const uint32_t old = 0xffff - ((sum & 0xffff) + (sum >> 16));
      const bool carries =
          CarriesTwice((0xffffu & ~Big(old)) + rule->l3_delta +
                       (0xffffu & ~Big(packet.tos)) + Big(tos));
      if (!carries && n % 1024 != 0) continue;
      twice += carries;
      packet.id = static_cast<uint16_t>(n);
      const Frame frame = packet.Bytes();
      ASSERT_EQ(frame[24] << 8 | frame[25], static_cast<int>(old));
      for (Hook hook : {Hook::kXdp, Hook::kTc}) {
        Frame out;
        ASSERT_GE(Through(hook, frame, &out), k_send_transmit);
        ASSERT_TRUE(HeaderIsGood(out)) << n;
      }
    }
  }
  EXPECT_GT(twice, 0);
}

// RFC 768: a sum of 0 is sent as all ones, and 0 means none.
TEST_F(XdpProgram, AUdpChecksumOfZeroIsSentAsAllOnes) {
  for (bool out6 : {false, true}) {
    const RuleSpec spec = Spec(false, out6);
    Install(false, spec);
    Packet packet = From(spec);
    packet.payload.resize(14);
    const auto with = [&packet](int word) {
      packet.payload[12] = static_cast<uint8_t>(word >> 8);
      packet.payload[13] = static_cast<uint8_t>(word);
      return packet;
    };
    const auto checksum = [](const Packet& p) {
      const Frame f = p.Bytes();
      const size_t at = 14 + p.ip_header() + 6;
      return f[at] << 8 | f[at + 1];
    };
    // A word that makes the sum all ones is the checksum of the rest.
    const int in = checksum(with(0));
    const int out = checksum(Forwarded(with(0), spec, Hook::kTc));
    ASSERT_EQ(checksum(with(in)), 0xffff);
    ASSERT_EQ(checksum(Forwarded(with(out), spec, Hook::kTc)), 0xffff);
    for (int word : {in - 1, in, in + 1, out - 1, out, out + 1}) {
      for (Hook hook : {Hook::kXdp, Hook::kTc}) {
        Frame got;
        ASSERT_GE(Through(hook, with(word).Bytes(), &got), k_send_transmit);
        ASSERT_EQ(got, Forwarded(with(word), spec, hook).Bytes()) << word;
      }
    }
  }
}

// The kernel keeps the device's sum of a frame (CHECKSUM_COMPLETE) and holds it
// against the frame at the end of such a run.
TEST_F(XdpProgram, KeepsTheDevicesSumOfTheFrameAtTheTcHook) {
  for (bool in6 : {false, true}) {
    for (bool out6 : {false, true}) {
      SCOPED_TRACE(std::string(in6 ? "6" : "4") + "->" + (out6 ? "6" : "4"));
      RuleSpec spec = Spec(in6, out6);
      spec.dscp = 46;
      Install(in6, spec);
      const Packet packet = From(spec);
      const auto run = program_->TestRun(Hook::kTc, packet.Bytes(),
                                         {.complete_checksum = true});
      // The flag for it is newer than the oldest kernel that the program runs
      // on, and one that does not know it refuses it so.
      if (absl::IsInvalidArgument(run.status())) {
        GTEST_SKIP() << "this kernel has no such test run";
      }
      ASSERT_TRUE(run.ok()) << run.status();
      EXPECT_EQ(run->frame, Forwarded(packet, spec, Hook::kTc).Bytes());
    }
  }
}

// --- The books ---------------------------------------------------------------

TEST_F(XdpProgram, KeepsTheBooksOfStreamStats) {
  std::mt19937_64 random(7);
  for (int stream = 0; stream < 40; ++stream) {
    SCOPED_TRACE(stream);
    const Hook hook = stream % 2 == 0 ? Hook::kXdp : Hook::kTc;
    const RuleSpec spec = Spec(false, false);
    Install(false, spec);
    rtp::StreamStats books;
    books.Reset(8000);
    RtpPacket rtp{.sequence = static_cast<uint16_t>(65'530 + stream),
                  .timestamp = static_cast<uint32_t>(random())};
    for (int i = 0; i < 120; ++i) {
      switch (random() % 12) {
        case 0: rtp.sequence = static_cast<uint16_t>(rtp.sequence - 3); break;
        case 1: break;  // again
        case 2: rtp.sequence = static_cast<uint16_t>(rtp.sequence + 7); break;
        case 3:
          if (random() % 4 == 0) rtp.sequence = static_cast<uint16_t>(random());
          break;
        case 4:
          if (random() % 4 == 0) ++rtp.ssrc;
          break;
        case 5:
          if (random() % 4 == 0) rtp.timestamp += 40'000;  // the clock set anew
          break;
        default: ++rtp.sequence;
      }
      rtp.timestamp += static_cast<uint32_t>(random() % 300);
      Packet packet = From(spec);
      packet.payload = rtp.Bytes();
      const auto run = program_->TestRun(hook, packet.Bytes());
      ASSERT_TRUE(run.ok()) << run.status();
      const Stats stats = program_->ReadStats(CellOf(false));
      books.OnRtp({.ssrc = rtp.ssrc,
                   .timestamp = rtp.timestamp,
                   .sequence = rtp.sequence},
                  Micros(static_cast<int64_t>(stats.last_ns / 1000)));
      const rtp::StreamQuality want = books.Quality();
      ASSERT_EQ(stats.packets, static_cast<uint64_t>(i) + 1);
      ASSERT_EQ(stats.ssrc, want.ssrc) << i;
      ASSERT_EQ(stats.ssrc_changes, want.ssrc_changes) << i;
      ASSERT_EQ(stats.received, want.received) << i;
      ASSERT_EQ(stats.expected, want.expected) << i;
      ASSERT_EQ(stats.late, want.reordered + want.duplicates) << i;
      // In ticks. The two round the clock differently, by one at most.
      ASSERT_NEAR(stats.jitter_q4 / 16.0, want.jitter_ms * 8, 2.0) << i;
    }
  }
}

TEST_F(XdpProgram, SequenceNumbersAreExtended) {
  Install(false, Spec(false, false));
  for (uint16_t sequence : {65'534, 65'535, 0, 1}) {
    Packet packet = From(Spec(false, false));
    packet.payload = RtpPacket{.sequence = sequence}.Bytes();
    ASSERT_TRUE(program_->TestRun(Hook::kXdp, packet.Bytes()).ok());
  }
  EXPECT_EQ(program_->ReadStats(CellOf(false)).ext_seq, 0x10001u);
}

// A rule cannot inherit the books of the one before it, nor a stranger write
// into them.
TEST_F(XdpProgram, BooksBeginWithTheRuleAndHearNoStranger) {
  const RuleSpec spec = Spec(true, false);
  Install(true, spec);
  Frame out;
  EXPECT_EQ(Through(Hook::kXdp, From(spec).Bytes(), &out), k_send_transmit);
  Install(true, spec);
  Packet stranger = From(spec);
  stranger.from.port = Port::FromHost(1);
  EXPECT_EQ(Through(Hook::kXdp, stranger.Bytes(), &out), k_pass_wrong_source);
  const Stats stats = program_->ReadStats(CellOf(true));
  EXPECT_EQ(stats.packets + stats.last_ns + stats.expected + stats.dropped, 0u);
}

// --- The mirror --------------------------------------------------------------

TEST_F(XdpProgram, MirrorsTheFrameAsItCameIn) {
  for (size_t rest : {0u, 160u, 1000u}) {
    for (Hook hook : {Hook::kXdp, Hook::kTc}) {
      RuleSpec spec = Spec(false, true);
      spec.flags |= kRuleMirror;
      spec.cookie = 0xfeed;
      Install(false, spec);
      Packet packet = From(spec);
      packet.payload = RtpPacket{.rest = std::vector<uint8_t>(rest, 7)}.Bytes();
      const uint64_t mirrored = Counter(k_event_mirrored);
      Frame out;
      ASSERT_GE(Through(hook, packet.Bytes(), &out), k_send_transmit);
      EXPECT_EQ(Counter(k_event_mirrored), mirrored + 1);
      Frame copy;
      const auto seen = program_->DrainMirror(
          [&](const Mirrored& head, std::span<const uint8_t> octets) {
            EXPECT_EQ(head.cookie, 0xfeedu);
            EXPECT_EQ(head.length, packet.Bytes().size());
            EXPECT_EQ(head.ns, program_->ReadStats(CellOf(false)).last_ns);
            copy.assign(octets.begin(), octets.end());
          });
      ASSERT_TRUE(seen.ok()) << seen.status();
      EXPECT_EQ(*seen, 1);
      EXPECT_EQ(copy, packet.Bytes());
    }
  }
}

TEST_F(XdpProgram, TheMirrorIsTurnedOnAndOffUnderARuleInForce) {
  RuleSpec spec = Spec(false, false);
  spec.flags |= kRuleSetDscp;
  Install(false, spec);
  const auto copies = [&] {
    Frame out;
    EXPECT_EQ(Through(Hook::kXdp, From(spec).Bytes(), &out), k_send_transmit);
    const auto seen =
        program_->DrainMirror([](const Mirrored&, std::span<const uint8_t>) {});
    EXPECT_TRUE(seen.ok()) << seen.status();
    return seen.value_or(-1);
  };
  const uint16_t before = program_->ReadRule(CellOf(false)).flags;
  EXPECT_EQ(copies(), 0);
  program_->SetMirror(CellOf(false), true);
  EXPECT_EQ(copies(), 1);
  EXPECT_EQ(program_->ReadRule(CellOf(false)).flags, before | kRuleMirror);
  program_->SetMirror(CellOf(false), false);
  EXPECT_EQ(copies(), 0);
  EXPECT_EQ(program_->ReadRule(CellOf(false)).flags, before);
  EXPECT_EQ(program_->ReadStats(CellOf(false)).packets, 3u);
}

TEST_F(XdpProgram, AFullMirrorIsCountedAndDelaysNobody) {
  RuleSpec spec = Spec(false, false);
  spec.flags |= kRuleMirror;
  Install(false, spec);
  Packet packet = From(spec);
  packet.payload = RtpPacket{.rest = std::vector<uint8_t>(1000)}.Bytes();
  const uint64_t lost = Counter(k_event_mirror_lost);
  Frame out;
  for (int i = 0; i < 4; ++i) {  // of 2 KiB and 8 octets each, into 4 KiB
    EXPECT_EQ(Through(Hook::kXdp, packet.Bytes(), &out), k_send_transmit);
  }
  EXPECT_EQ(Counter(k_event_mirror_lost), lost + 3);
}

}  // namespace
}  // namespace sluice::relay::xdp

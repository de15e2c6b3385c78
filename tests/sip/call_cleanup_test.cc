#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/sip/scripted_peer.h"

// The agent itself: what it is made of, its loop and timers, and that nothing
// of it is left behind.
namespace sluice::sip {
namespace {

using ::testing::HasSubstr;

size_t Descriptors() {
  const std::filesystem::directory_iterator open("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(open), end(open)));
}
size_t Allocated() { return ::mallinfo2().uordblks; }

class CallCleanup : public ScriptWorld {
 protected:
  // Another agent at the peer, through one call as `state` says.
  enum class Upto { kNothing, kCalling, kRinging, kUp, kHeld, kCame, kOver };
  void Live(Upto upto) {
    auto agent = Make("other", peer_.host());
    peer_.Face(At(*agent));
    peer_.Forget();
    int cleanups = 0;
    CallParams params;
    params.rtp_timeout = Micros();
    params.init_media = Rtp::Tone(440);
    params.cb_cleanup = [&](Call&) { ++cleanups; };
    std::shared_ptr<Call> call;
    if (upto == Upto::kCame) {
      Simple::ListenArgs args;
      args.cb_create = [&](Call& c, const Message&) {
        call = c.shared_from_this();
        return true;
      };
      args.call = params;
      args.call.auto_answer = false;
      ASSERT_TRUE(agent->Listen(std::move(args)).ok());
      peer_.Ask({.said = {.body = SdpAt(30'000)}});
      ASSERT_TRUE(RunUntil([&] { return call != nullptr; }));
      ASSERT_TRUE(call->Ring({.media = true}).ok());
      Turn();
    } else if (upto != Upto::kNothing) {
      auto made = agent->Invite("peer", params);
      ASSERT_TRUE(made.ok());
      call = *std::move(made);
      const std::string invite = Hear("INVITE");
      if (upto == Upto::kRinging) peer_.Answer(invite, 180);
      if (upto > Upto::kRinging) {
        peer_.Answer(invite, 200, {.body = SdpAt(30'000)});
        Hear("ACK");
      }
      if (upto == Upto::kHeld) {
        ASSERT_TRUE(call->Hold().ok());
        peer_.Answer(Hear("INVITE", 1), 200,
                     {.body = SdpAt(30'000, "recvonly", 2)});
        Hear("ACK", 1);
      }
      if (upto == Upto::kOver) {
        ASSERT_TRUE(call->Bye().ok());
        peer_.Answer(Hear("BYE"), 200);
        ASSERT_TRUE(RunUntil([&] { return agent->calls() == 0; }));
      }
      RunFor(Micros::Millis(100));
    }
    agent->AddTimer(
        Micros::Seconds(1), [] {}, Micros::Seconds(1));
    agent->Cleanup();
    EXPECT_EQ(agent->calls(), 0u);
    EXPECT_TRUE(agent->Listening().empty());
    EXPECT_FALSE(agent->Invite("peer", {}).ok());
    EXPECT_FALSE(agent->Register({}).ok());
    EXPECT_FALSE(agent->Listen({}).ok());
    agent->Cleanup();  // twice is once
    agent.reset();
    EXPECT_EQ(cleanups, call ? 1 : 0);
    if (call) {
      // Whoever holds it longer may ask it, and begin nothing.
      EXPECT_EQ(call->state(), Call::State::kEnded);
      EXPECT_FALSE(call->call_id().empty());
      EXPECT_FALSE(call->peer().empty());
      EXPECT_EQ(call->media(), nullptr);
      EXPECT_FALSE(call->Bye().ok());
      EXPECT_FALSE(call->Cancel().ok());
      EXPECT_FALSE(call->Answer().ok());
      EXPECT_FALSE(call->Reject(486).ok());
      EXPECT_FALSE(call->Ring({.media = true, .reliable = true}).ok());
      EXPECT_FALSE(call->Reinvite().ok());
      EXPECT_FALSE(call->Reinvite({}).ok());
      EXPECT_FALSE(call->Hold().ok());
      EXPECT_FALSE(call->Resume().ok());
      EXPECT_FALSE(call->Update().ok());
      EXPECT_FALSE(call->Dtmf("1").ok());
      EXPECT_FALSE(call->Send({.method = "INFO"}, {}).ok());
      call->SetParam({});
    }
    Turn();
    peer_.Forget();
  }
};

TEST_F(CallCleanup, LeavesNoDescriptorAndNoOctetBehind) {
  for (const Upto upto : {Upto::kNothing, Upto::kCalling, Upto::kRinging,
                          Upto::kUp, Upto::kHeld, Upto::kCame, Upto::kOver}) {
    SCOPED_TRACE(static_cast<int>(upto));
    // What is allocated once for ever is by then.
    for (int i = 0; i < 3; ++i) Live(upto);
    const size_t descriptors = Descriptors();
    const size_t allocated = Allocated();
    for (int i = 0; i < 20; ++i) Live(upto);
    EXPECT_EQ(Descriptors(), descriptors);
    // Tables of the loop and of the test may grow; a call or a socket of each
    // round would be more.
    EXPECT_LT(Allocated(), allocated + 20 * 512);
  }
}

TEST_F(CallCleanup, EachBadArgumentIsNamed) {
  struct Row {
    std::string_view name;
    std::function<void(Simple::Options&)> spoil;
  };
  for (const Row& row : {
           Row{"outgoing_proxy",
               [](auto& o) { o.outgoing_proxy = "not an address"; }},
           Row{"registrar", [](auto& o) { o.registrar = "<>"; }},
           Row{"legs", [](auto& o) { o.legs.clear(); }},
           Row{"listens", [](auto& o) { o.legs = {"udp:nowhere at all"}; }},
           Row{"listens nowhere",
               [](auto& o) { o.legs = {Simple::LegOptions()}; }},
           Row{"dst", [](auto& o) { o.legs[0].dst = "somewhere"; }},
           Row{"domain2proxy",
               [](auto& o) {
                 o.domain2proxy = {{"a.example", "<>"}};
               }},
           Row{"port",
               [](auto& o) {
                 o.rtp_ports = {5, 5};
               }},
           Row{"from", [](auto& o) { o.from = "<sip:"; }},
           Row{"contact", [](auto& o) { o.contact = "no uri\r\nX: y"; }},
       }) {
    SCOPED_TRACE(row.name);
    Simple::Options options = OptionsOf("me");
    options.legs = {"udp:127.0.0.1:0"};
    row.spoil(options);
    const auto made = Simple::Create(std::move(options));
    EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(made.status().message()),
                HasSubstr(std::string(row.name)));
  }
}

TEST_F(CallCleanup, InviteNamesWhatIsWrongAndErrorKeepsIt) {
  struct Row {
    std::string who;
    CallParams params;
    std::string_view word;
  };
  std::vector<Row> rows;
  rows.push_back({"", {}, "nobody"});
  rows.push_back({"<tel:+1>", {}, "nobody"});
  rows.push_back({"a b c@<", {}, "nobody"});
  rows.push_back({"peer", {.from = "<"}, "nobody"});
  rows.push_back({"peer", {.leg = "third"}, "third"});
  rows.push_back({"peer", {.contact = "a\r\nb"}, "contact"});
  rows.push_back({"peer", {.route = {"no route"}}, "route"});
  rows.push_back({"peer", {.sip_header = {{"X", "a\r\nEvil: 1"}}}, "X"});
  for (Row& row : rows) {
    SCOPED_TRACE(Cat(row.who, " ", row.word));
    const auto call = ua_->Invite(row.who, std::move(row.params));
    ASSERT_FALSE(call.ok());
    EXPECT_EQ(call.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(call.status().message()),
                HasSubstr(std::string(row.word)));
    EXPECT_EQ(ua_->Error(), call.status());
    EXPECT_EQ(ua_->calls(), 0u);
  }
}

TEST_F(CallCleanup, TheLoopEndsForItsReasonsAndSaysWhich) {
  bool stop = false;
  const bool never = false;
  // Time goes on by the turns' own doing.
  ua_->AddTimer(Micros(), [&] { stop = true; });
  EXPECT_TRUE(ua_->Loop(Micros::Seconds(1), {&never, &stop}));
  EXPECT_TRUE(ua_->Loop(Micros::Seconds(1), {&stop}));  // already
  ua_->AddTimer(Micros(), [&] {
    now_ = now_ + Micros::Seconds(2);
    ua_->AddTimer(Micros(), [] {});  // or the next turn would wait for real
  });
  EXPECT_FALSE(ua_->Loop(Micros::Seconds(1), {&never}));
  ua_->AddTimer(Micros(), [&] { ua_->Stop(); });
  EXPECT_FALSE(ua_->Loop(Micros::Seconds(1), {&never}));
  ua_->AddTimer(Micros(), [&] { ua_->Stop(); });
  EXPECT_FALSE(ua_->Loop());
}

TEST_F(CallCleanup, TimersRepeatAndAreTakenBackAnywhere) {
  int once = 0, often = 0, never = 0;
  uint64_t own = 0;
  ua_->AddTimer(Micros::Seconds(1), [&] { ++once; });
  ua_->AddTimer(
      Micros::Seconds(1), [&] { ++often; }, Micros::Seconds(2));
  own = ua_->AddTimer(
      Micros::Seconds(1),
      [&] {
        if (++never == 2) ua_->CancelTimer(own);
      },
      Micros::Seconds(1));
  const uint64_t cancelled =
      ua_->AddTimer(Micros::Seconds(1), [&] { once += 100; });
  ua_->CancelTimer(cancelled);
  ua_->CancelTimer(cancelled);
  ua_->CancelTimer(0);
  ua_->CancelTimer(999'999);
  RunFor(Micros::Millis(6'500), Micros::Millis(100));
  EXPECT_EQ(once, 1);
  EXPECT_EQ(often, 3);  // 1, 3, 5 s
  EXPECT_EQ(never, 2);
}

TEST_F(CallCleanup, CleanupMayComeFromATimer) {
  int after = 0;
  ua_->AddTimer(
      Micros::Seconds(1), [&] { ua_->Cleanup(); }, Micros::Seconds(1));
  ua_->AddTimer(Micros::Seconds(2), [&] { ++after; });
  Establish(Told());
  RunFor(Micros::Seconds(4), Micros::Millis(50));
  EXPECT_EQ(after, 0);
  EXPECT_EQ(TimesTold("cleanup"), 1u);
  EXPECT_EQ(peer_.Count("BYE"), 1u);  // without waiting for an answer
  EXPECT_EQ(call_->state(), Call::State::kEnded);
}

TEST_F(CallCleanup, AnswersOptionsWithTheHeadersGiven) {
  Simple::Options options = OptionsOf("opt");
  options.legs = {"udp:127.0.0.1:0"};
  options.options = {{"allow", "INVITE"}, {"X-Mine", "yes"}};
  auto agent = Simple::Create(std::move(options));
  ASSERT_TRUE(agent.ok()) << agent.status();
  peer_.Face(At(**agent));
  peer_.Ask({.method = "OPTIONS"});
  const std::string ok = Hear("200 OPTIONS");
  EXPECT_EQ(LineOf(ok, "allow: "), "allow: INVITE");
  EXPECT_EQ(LineOf(ok, "Allow: "), "");
  EXPECT_EQ(LineOf(ok, "X-Mine: "), "X-Mine: yes");
  EXPECT_EQ(LineOf(ok, "Accept: "), "Accept: application/sdp");
  EXPECT_NE(LineOf(ok, "Supported: "), "");
  peer_.Ask({.method = "SUBSCRIBE", .call_id = "2"});
  EXPECT_NE(LineOf(Hear("405 SUBSCRIBE"), "Allow: "), "");
}

TEST_F(CallCleanup, TracesEachMessageBothWays) {
  Simple::Options options = OptionsOf("traced");
  options.legs = {"udp:127.0.0.1:0"};
  std::vector<std::string> seen;
  options.trace = [&](bool in, const Peer&, std::string_view octets) {
    seen.push_back(Cat(in ? "<" : ">", ScriptedPeer::NameOf(octets)));
  };
  auto agent = Simple::Create(std::move(options));
  ASSERT_TRUE(agent.ok()) << agent.status();
  peer_.Face(At(**agent));
  peer_.Ask({.method = "OPTIONS"});
  Hear("200 OPTIONS");
  EXPECT_THAT(seen, ::testing::ElementsAre("<OPTIONS", ">200 OPTIONS"));
}

}  // namespace
}  // namespace sluice::sip

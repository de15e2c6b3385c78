#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/sip/scripted_peer.h"

// A callback may tell its call to do anything (sip/call.h): in each of them
// each of these is done, and the call ends once and whole all the same.
namespace sluice::sip {
namespace {

struct Deed {
  std::string_view name;
  std::function<void(Call&)> act;
};

// Anything, whether it is in order there or not.
std::vector<Deed> Deeds() {
  return {
      {"Bye", [](Call& c) { (void)c.Bye(); }},
      {"Bye twice",
       [](Call& c) {
         (void)c.Bye([](Call& again, const CallResult&) { (void)again.Bye(); });
         (void)c.Bye();
       }},
      {"Cancel", [](Call& c) { (void)c.Cancel(); }},
      {"Reject", [](Call& c) { (void)c.Reject(603); }},
      {"Answer", [](Call& c) { (void)c.Answer(); }},
      {"Ring",
       [](Call& c) { (void)c.Ring({.media = true, .reliable = true}); }},
      {"Reinvite", [](Call& c) { (void)c.Reinvite(); }},
      {"Reinvite anew", [](Call& c) { (void)c.Reinvite(c.params()); }},
      {"Hold", [](Call& c) { (void)c.Hold(); }},
      {"Update", [](Call& c) { (void)c.Update(); }},
      {"Send", [](Call& c) { (void)c.Send({.method = "INFO"}, {}); }},
      {"Dtmf", [](Call& c) { (void)c.Dtmf("1"); }},
      {"SetParam", [](Call& c) { c.SetParam(c.params()); }},
  };
}

class CallCallback : public ScriptWorld {
 protected:
  // Where the deed is done; each time, up to kOften (a call that offers anew
  // whenever its offer is answered would not end).
  static constexpr int kOften = 3;
  // Every callback of `params` does `deed`, if it is `where`.
  CallParams Hostile(const std::string& where, const Deed& deed) {
    cleanups_ = 0;
    left_ = kOften;
    reached_ = false;
    const auto at = [this, where, deed](std::string_view name, Call& call) {
      if (name != where || left_ == 0) return;
      --left_;
      reached_ = true;
      deed.act(call);
    };
    CallParams params;
    params.rtp_timeout = Micros();
    params.init_media = [at](Call& c, rtp::Session&) {
      at("init_media", c);
      return absl::OkStatus();
    };
    params.cb_final = [at](Call& c, const CallResult&) { at("final", c); };
    params.cb_preliminary = [at](Call& c, const Message&) {
      at("preliminary", c);
    };
    params.cb_established = [at](Call& c) { at("established", c); };
    params.cb_invite = [at](Call& c, const Message&) {
      at("invite", c);
      return true;
    };
    params.cb_notify = [at](Call& c, const Message&) { at("notify", c); };
    params.cb_noanswer = [at](Call& c) { at("noanswer", c); };
    params.recv_bye = [at](Call& c) { at("recv_bye", c); };
    params.send_bye = [at](Call& c, const CallResult&) { at("send_bye", c); };
    params.cb_cleanup = [this, at](Call& c) {
      ++cleanups_;
      at("cleanup", c);
    };
    return params;
  }
  // A peer that agrees to everything.
  void AgreeToAll() {
    peer_.OnMessage([this](const std::string& text) {
      Message m;
      if (m.Parse(text) || m.is_response()) {
        if (m.is_response() && m.method() == Method::kInvite &&
            m.status() >= 200 && m.status() < 300) {
          peer_.Within(text,
                       {.method = "ACK", .cseq = static_cast<int>(m.cseq())});
        }
        return;
      }
      switch (m.method()) {
        case Method::kAck: return;
        case Method::kInvite:
          if (m.to()->tag.empty()) peer_.Answer(text, 180);
          return peer_.Answer(text, 200,
                              {.body = SdpAt(30'000, "sendrecv", ++version_)});
        case Method::kUpdate:
          return peer_.Answer(text, 200,
                              {.body = SdpAt(30'000, "sendrecv", ++version_)});
        default: return peer_.Answer(text, 200);
      }
    });
  }
  void ExpectEnd(std::string_view what) {
    if (call_ && call_->state() != Call::State::kEnded) (void)call_->Bye();
    EXPECT_TRUE(RunUntil([&] { return Over(); })) << what;
    RunFor(Micros::Millis(50));
    EXPECT_EQ(cleanups_, 1) << what;
    EXPECT_EQ(call_->state(), Call::State::kEnded) << what;
    EXPECT_FALSE(call_->Bye().ok()) << what;
    EXPECT_TRUE(call_->media() == nullptr || !call_->media()->started())
        << what;
  }

  int cleanups_ = 0;
  int left_ = 0;
  int version_ = 1;
  bool reached_ = false;
};

TEST_F(CallCallback, AnythingInAnyCallbackOfACallThatWeMake) {
  AgreeToAll();
  for (const char* where : {"init_media", "final", "preliminary", "established",
                            "send_bye", "cleanup"}) {
    for (const Deed& deed : Deeds()) {
      SCOPED_TRACE(Cat(deed.name, " in ", where));
      auto call = ua_->Invite("peer", Hostile(where, deed));
      ASSERT_TRUE(call.ok());
      call_ = *std::move(call);
      RunFor(Micros::Millis(100));
      ExpectEnd("made");
      EXPECT_TRUE(reached_);
    }
  }
}

TEST_F(CallCallback, AnythingInAnyCallbackOfACallThatComes) {
  AgreeToAll();
  int n = 0;
  for (const char* where : {"init_media", "invite", "final", "established",
                            "recv_bye", "notify", "cleanup"}) {
    for (const Deed& deed : Deeds()) {
      SCOPED_TRACE(Cat(deed.name, " in ", where));
      call_.reset();
      peer_.Forget();
      Listen(Hostile(where, deed));
      peer_.Ask(
          {.call_id = Cat("hostile-", ++n),
           .said = {.more = "Supported: 100rel\r\n", .body = SdpAt(30'000)}});
      ASSERT_TRUE(RunUntil([&] { return call_ != nullptr; }));
      RunFor(Micros::Millis(100));
      // A reliable 1xx of the deed has its PRACK, so that all goes on.
      if (const std::string rang = peer_.Last("183 INVITE");
          LineOf(rang, "RSeq: ") != "") {
        peer_.Within(
            rang, {.method = "PRACK",
                   .cseq = 2,
                   .said = {.more = Cat("RAck: ", Value(rang, HeaderId::kRSeq),
                                        " 1 INVITE\r\n")}});
        RunFor(Micros::Millis(100));
      }
      if (const std::string answer = peer_.Last("200 INVITE"); answer != "") {
        peer_.Within(answer, {.method = "NOTIFY", .cseq = 10});
        RunFor(Micros::Millis(50));
        peer_.Within(answer, {.method = "BYE", .cseq = 11});
        RunFor(Micros::Millis(50));
        EXPECT_TRUE(reached_);
      }
      ExpectEnd("came");
    }
  }
}

TEST_F(CallCallback, AnythingWhenNobodyAnswers) {
  for (const Deed& deed : Deeds()) {
    SCOPED_TRACE(deed.name);
    peer_.Forget();
    CallParams params = Hostile("noanswer", deed);
    params.ring_time = Micros::Seconds(1);
    const std::string invite = Begin(std::move(params));
    peer_.Answer(invite, 180);
    peer_.Answer(Hear("CANCEL"), 200);
    peer_.Answer(invite, 487);
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
    EXPECT_TRUE(reached_);
    EXPECT_EQ(cleanups_, 1);
  }
}

// What runs is not taken away under its own feet.
TEST_F(CallCallback, ACallbackThatChangesTheParametersOutlivesThat) {
  AgreeToAll();
  const auto alive = std::make_shared<int>(7);
  int seen = 0;
  const auto guard = [alive, &seen](Call& call) {
    const std::weak_ptr<int> mine = alive;
    CallParams next;
    next.rtp_timeout = Micros();
    call.SetParam(std::move(next));
    // The test's, that in `guard`, and that of the function that runs.
    EXPECT_GE(mine.use_count(), 3);
    ++seen;
  };
  for (int where = 0; where < 4; ++where) {
    SCOPED_TRACE(where);
    CallParams params;
    params.rtp_timeout = Micros();
    if (where == 0) {
      params.init_media = [guard](Call& c, rtp::Session&) {
        guard(c);
        return absl::OkStatus();
      };
    }
    if (where == 1) {
      params.cb_final = [guard](Call& c, const CallResult&) { guard(c); };
    }
    if (where == 2) {
      params.cb_preliminary = [guard](Call& c, const Message&) { guard(c); };
    }
    if (where == 3) params.cb_established = [guard](Call& c) { guard(c); };
    auto call = ua_->Invite("peer", std::move(params));
    ASSERT_TRUE(call.ok());
    ASSERT_TRUE(RunUntil([&] {
      return (*call)->state() == Call::State::kEstablished && seen == where + 1;
    }));
    (void)(*call)->Bye();
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
  }
}

TEST_F(CallCallback, ParametersWithoutALoginMayComeWhileOneIsAskedFor) {
  CallParams params = Told();
  params.auth = Credentials("me", "secret");
  const std::string invite = Begin(std::move(params));
  call_->SetParam(Told());
  peer_.Answer(invite, 401,
               {.contact = "",
                .more = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", "
                        "qop=\"auth\"\r\n"});
  // With the one that began it, or refused for want of one.
  ASSERT_TRUE(RunUntil([&] { return Over() || peer_.Count("INVITE") == 2; }));
  EXPECT_LE(Finals(), 1u);
}

TEST_F(CallCallback, WhatInitMediaRefusesEndsTheCallWithItsReason) {
  AgreeToAll();
  CallParams params = Told();
  params.init_media = [](Call&, rtp::Session&) {
    return absl::NotFoundError("no such sound");
  };
  const CallParams same = params;
  auto call = ua_->Invite("peer", std::move(params));
  ASSERT_TRUE(call.ok());
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(TimesTold("cleanup"), 1u);
  EXPECT_EQ(Finals(), 1u);
  EXPECT_NE(ua_->Error().message().find("no such sound"),
            std::string_view::npos);
  told_.clear();
  Listen(same);
  peer_.Ask({.said = {.body = SdpAt(30'000)}});
  ASSERT_TRUE(RunUntil([&] { return TimesTold("cleanup") == 1; }));
  EXPECT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(TimesTold("established"), 0u);
  EXPECT_LE(Finals(), 1u);
}

}  // namespace
}  // namespace sluice::sip

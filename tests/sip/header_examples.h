#ifndef SLUICE_TESTS_SIP_HEADER_EXAMPLES_H_
#define SLUICE_TESTS_SIP_HEADER_EXAMPLES_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <initializer_list>
#include <iostream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "rtp/files.h"
#include "rtp/tone.h"
#include "sip/message.h"
#include "sip/simple.h"
#include "tests/base/temp_folder.h"

namespace sluice::sip {

// The world of the examples in headers (tools/header_examples.py): they run on
// the test's thread, and with whom they speak on another, in real time.
//
//   example: ua, call, server             thread: proxy_   registrar, proxy
//     "me"  --REGISTER, INVITE-->                 you_     echoes, calls
//                                                 sleeper_ rings, no more
//     server  <--REGISTER, INVITE--               guest_   of that server
//
// What an example says and what it is here:
//
//   "192.0.2.10"       the registrar and proxy of example.com
//   "192.0.2.1:5060"   an address of our own: loopback, any port
//   "192.0.2.20:5060"  where you_ is reached without a proxy
//   hello.wav          a tenth of a second of tone
//   users.txt          logins of you and me, password "secret"
//   missing.wav        is not there
//   answer.wav         is made, with sound in it
//   location.db, and other names: files that may be made
//
// "you" answers at once and sends back what it hears, "sleeper" rings, anybody
// else is not found. Where an example listens, "you" calls it until it has an
// answer that is final, says digits, and hangs up unless the example does.
class HeaderExample : public ::testing::Test {
 protected:
  HeaderExample() {
    proxy_ = Make({.legs = {"udp:127.0.0.1:0"},
                   .domain = "example.com",
                   .loop = &loop_,
                   .trace = [this](bool, const Peer&, std::string_view octets) {
                     Trace(octets);
                   }});
    const auto gate = proxy_->CreateAuth({.user2pass = {{"me", "secret"},
                                                        {"you", "secret"},
                                                        {"sleeper", "secret"}},
                                          .realm = "example.com",
                                          .methods = {"REGISTER"}});
    const auto registrar =
        proxy_->CreateRegistrar({.domains = {"example.com"}});
    const auto forward = proxy_->CreateStatelessProxy({.trusted = true});
    EXPECT_TRUE(gate.ok() && registrar.ok() && forward.ok());
    EXPECT_TRUE(proxy_->CreateChain({*gate, *registrar, *forward}, {}).ok());
    you_ = Member("you");
    EXPECT_TRUE(
        you_->Listen({.call = {.sip_header = {{"X-Example", "you"}},
                               .init_media = Rtp::MediaRecvEcho(),
                               .cb_dtmf = [this](Call&, char digit,
                                                 auto) { digits_ += digit; }}})
            .ok());
    sleeper_ = Member("sleeper");
    EXPECT_TRUE(sleeper_
                    ->Listen({.cb_create =
                                  [](Call& call, const Message&) {
                                    return call.Ring().ok();
                                  },
                              .call = {.auto_answer = false}})
                    .ok());
    auto hello = rtp::OpenSink(folder_ / "hello.wav");
    EXPECT_TRUE(hello.ok()) << hello.status();
    uint8_t octets[800];
    rtp::ToneSource(440)->Read(rtp::Codec::kPcmu, octets);
    (*hello)->Write(rtp::Codec::kPcmu, octets);
    EXPECT_TRUE((*hello)->Close().ok());
    std::FILE* const users = std::fopen((folder_ / "users.txt").c_str(), "w");
    std::fputs("you:sluice:secret\nme:sluice:secret\n", users);
    std::fclose(users);
    std::filesystem::permissions(folder_ / "users.txt",
                                 std::filesystem::perms::owner_read);
    // Nothing that an example waits for takes so long; without this one that
    // waits for what cannot come would stop all others.
    loop_.After(kHangs, [this] {
      std::cerr << "the example hangs: what it waits for did not come, after\n";
      for (const auto& seen : seen_) {
        std::cerr << seen->octets.substr(0, seen->octets.find('\r')) << "\n";
      }
      std::abort();
    });
    thread_ = std::thread([this] { loop_.Run(); });
  }
  ~HeaderExample() override {
    EXPECT_TRUE(ended_) << "the example was left before its end";
    loop_.Stop();
    thread_.join();
  }

  // ---- what the generated tests call

  // `text` as the table above has it.
  std::string Here(std::string_view text) {
    std::string out(text);
    const auto replace = [&out](std::string_view what, const std::string& by) {
      const size_t at = out.find(what);
      if (at != std::string::npos) out.replace(at, what.size(), by);
      return at != std::string::npos;
    };
    if (replace("192.0.2.10", Address(*proxy_)) ||
        replace("192.0.2.1:5060", "127.0.0.1:0") ||
        replace("192.0.2.20:5060", Address(*you_))) {
      return out;
    }
    EXPECT_EQ(out.find_first_of(":/@"), std::string::npos)
        << out << ": the table of tests/sip/header_examples.h has no such";
    const std::string file = folder_ / out;
    if (out == "answer.wav") recorded_.push_back(file);
    return file;
  }
  std::unique_ptr<Simple> Phone() {
    std::unique_ptr<Simple> ua = Make({.outgoing_proxy = Address(*proxy_),
                                       .registrar = Address(*proxy_),
                                       .auth = Credentials("me", "secret"),
                                       .domain = "example.com",
                                       .from = "me",
                                       .rtp_ports = {30'000, 30'999}});
    const auto granted = ua->Register({});
    EXPECT_TRUE(granted.ok()) << granted.status();
    return ua;
  }
  std::shared_ptr<Call> CallUp(Simple& ua) {
    bool up = false;
    const auto call =
        ua.Invite("you", {.init_media = Rtp::Tone(440),
                          .cb_established = [&](Call&) { up = true; }});
    EXPECT_TRUE(call.ok() && ua.Loop(kSoon, {&up})) << ua.Error();
    CallParams params = (*call)->params();
    params.cb_established = {};
    (*call)->SetParam(params);
    return *call;
  }
  std::unique_ptr<Simple> Server() {
    auto server = Make({.legs = {"udp:127.0.0.1:0"}, .domain = "example.com"});
    server_ = Address(*server);
    return server;
  }

  // The example begins, with this agent, and will use these functions and
  // fields.
  void Begin(Simple* agent, std::initializer_list<std::string_view> words) {
    words_ = words;
    OnThread([&] {
      seen_.clear();
      digits_.clear();
      if (Uses("Listen")) {
        CallMe();
      } else if (agent != nullptr && Address(*agent) == server_) {
        Visit(*agent);
      }
    });
  }
  template <typename T>
  void Judge(const char*, const T&) {}
  void Judge(const char* name, const bool& value) {
    EXPECT_TRUE(value) << name << " is false in the end";
  }
  void Judge(std::string_view name, const absl::Status& value) {
    if (name == "why") {
      EXPECT_FALSE(value.ok()) << "nothing went wrong";
    } else {
      EXPECT_TRUE(value.ok()) << name << ": " << value;
    }
  }
  template <typename T>
  void Judge(const char* name, const absl::StatusOr<T>& value) {
    Judge(name, value.status());
  }
  // It is over: what it said has been heard, and nothing of it is left.
  void End() {
    ended_ = true;
    for (const Claim& claim : Claims()) {
      if (!Uses(claim.word)) continue;
      EXPECT_TRUE(Soon([&] { return claim.holds(); }))
          << claim.word << ": nobody has seen " << claim.what;
    }
    OnThread([this] {
      over_ = true;
      guest_.reset();
    });
    EXPECT_TRUE(Soon([this] { return you_->calls() + sleeper_->calls() == 0; }))
        << "a call is left";
    for (const std::string& file : recorded_) {
      std::error_code none;
      const auto octets = std::filesystem::file_size(file, none);
      EXPECT_TRUE(!none && octets > kWavHead) << file << ": nothing recorded";
    }
  }

 private:
  static constexpr Micros kSoon = Micros::Seconds(10);
  static constexpr uintmax_t kWavHead = 44;
  static constexpr Micros kHangs = Micros::Seconds(20);

  struct Seen {
    std::string octets;
    int status = 0;
    std::string method;
    std::string_view body;
    bool in_call = false;  // within a dialog
  };
  // What a word of an example comes to; asked on the thread.
  struct Claim {
    std::string_view word;
    std::string_view what;
    std::function<bool()> holds;
  };

  std::vector<Claim> Claims() {
    using Sees = std::function<bool(const Seen&)>;
    const auto any = [this](Sees sees) {
      return [this, sees = std::move(sees)] {
        return std::any_of(seen_.begin(), seen_.end(),
                           [&](const auto& seen) { return sees(*seen); });
      };
    };
    const auto request = [&](std::string_view method, bool in_call) {
      return any([=](const Seen& s) {
        return s.status == 0 && s.method == method && s.in_call == in_call;
      });
    };
    const auto answer = [&](std::string_view method, int from, int to) {
      return any([=](const Seen& s) {
        return s.method == method && s.status >= from && s.status <= to;
      });
    };
    const auto says = [&](std::string_view method, std::string_view text) {
      return any([=](const Seen& s) {
        return s.status == 0 && s.method == method &&
               s.body.find(text) != s.body.npos;
      });
    };
    // An agent that has been cleaned up says no more.
    const bool gone = Uses("Cleanup");
    std::vector<Claim> claims = {
        {"Invite", "an INVITE", request("INVITE", false)},
        {"Reinvite", "a 200 to another INVITE", request("INVITE", true)},
        {"Hold", "an offer with a=sendonly", says("INVITE", "a=sendonly")},
        {"Resume", "an offer with a=sendrecv", says("INVITE", "a=sendrecv")},
        {"Update", "the 200 to an UPDATE", answer("UPDATE", 200, 200)},
        {"Cancel", "the 487 of a CANCEL", answer("INVITE", 487, 487)},
        {"Bye", "the 200 to a BYE", answer("BYE", 200, 200)},
        {"Send", "the 200 to a MESSAGE", answer("MESSAGE", 200, 200)},
        {"Ring", "a 180 or 183", answer("INVITE", 180, 183)},
        {"Answer", "a 200 to an INVITE", answer("INVITE", 200, 200)},
        {"Reject", "a refusal", answer("INVITE", 400, 699)},
        {"Dtmf", "digits", [this] { return !digits_.empty(); }},
        {"sdp_on_ack", "an answer in the ACK", says("ACK", "m=audio")},
        {"sip_header", "the header field", any([](const Seen& s) {
           return s.status == 0 && s.octets.find("Subject: ") != s.octets.npos;
         })},
        {"user2pass", "a challenge",
         any([](const Seen& s) { return s.status == 401 || s.status == 407; })},
        {"CreateAuth", "a challenge", answer("REGISTER", 401, 401)},
        {"CreateRegistrar", "a registration", answer("REGISTER", 200, 200)},
        {"CreateStatelessProxy", "a call through it",
         [this] { return visited_; }}};
    if (!gone) {
      claims.push_back(
          {"Register", "a 200 to a REGISTER", answer("REGISTER", 200, 200)});
    }
    return claims;
  }

  static std::unique_ptr<Simple> Make(Simple::Options options) {
    auto made = Simple::Create(std::move(options));
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
  static std::string Address(const Simple& agent) {
    return agent.Listening().front().substr(4);  // after "udp:"
  }
  // Of those on the thread, before it runs.
  std::unique_ptr<Simple> Member(const std::string& name) {
    std::unique_ptr<Simple> agent =
        Make({.outgoing_proxy = Address(*proxy_),
              .registrar = Address(*proxy_),
              .auth = Credentials(name, "secret"),
              .domain = "example.com",
              .from = name,
              .loop = &loop_,
              .rtp_ports = {31'000, 31'999},
              .trace = [this](bool, const Peer&, std::string_view octets) {
                Trace(octets);
              }});
    const auto granted = agent->Register({});
    EXPECT_TRUE(granted.ok()) << granted.status();
    return agent;
  }
  void Trace(std::string_view octets) {
    auto seen = std::make_unique<Seen>();
    seen->octets = std::string(octets);
    Message m;
    if (m.Parse(seen->octets)) return;
    seen->status = m.is_response() ? m.status() : 0;
    seen->method = std::string(m.method_text());
    seen->body = m.body();
    seen->in_call = !m.to()->tag.empty();
    seen_.push_back(std::move(seen));
  }

  bool Uses(std::string_view word) const {
    return std::find(words_.begin(), words_.end(), word) != words_.end();
  }
  void OnThread(const std::function<void()>& task) {
    std::promise<void> done;
    ASSERT_TRUE(loop_.Post([&] {
      task();
      done.set_value();
    }));
    done.get_future().wait();
  }
  bool Soon(const std::function<bool()>& so) {
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::microseconds(kSoon.us());
    for (;;) {
      bool is = false;
      OnThread([&] { is = so(); });
      if (is || std::chrono::steady_clock::now() > end) return is;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }

  // You call the example, again while it is not ready.
  void CallMe() {
    CallParams params{.auth = Credentials("you", "secret"),
                      .sip_header = {{"Subject", "lunch"}},
                      .init_media = Rtp::Tone(440)};
    params.cb_final = [this](Call&, const CallResult& result) {
      if (result.code != 480 && result.code != 404) return;
      loop_.After(Micros::Millis(5), [this] {
        if (!over_) CallMe();
      });
    };
    params.cb_established = [this](Call& call) {
      (void)call.Dtmf("1", 40);
      loop_.After(kSpeaks, [weak = call.weak_from_this()] {
        if (const auto up = weak.lock()) (void)up->Bye();
      });
    };
    EXPECT_TRUE(you_->Invite("me", std::move(params)).ok()) << you_->Error();
  }
  static constexpr Micros kSpeaks = Micros::Millis(300);

  // A guest registers at the example's server where it may, calls you through
  // it where it can, and lets the server end.
  void Visit(Simple& server) {
    guest_ = Make({.outgoing_proxy = server_,
                   .registrar = server_,
                   .auth = Credentials("me", "secret"),
                   .domain = "example.com",
                   .from = "me",
                   .loop = &loop_,
                   .rtp_ports = {32'000, 32'999},
                   .trace = [this](bool, const Peer&, std::string_view octets) {
                     Trace(octets);
                   }});
    const auto call = [this, &server] {
      if (!Uses("CreateStatelessProxy")) return server.Stop();
      (void)guest_->Invite("sip:you@" + Address(*you_),
                           {.cb_established = [](Call& up) { (void)up.Bye(); },
                            .cb_cleanup =
                                [this, &server](Call& up) {
                                  EXPECT_TRUE(up.result().ok())
                                      << up.result().reason;
                                  visited_ = true;
                                  server.Stop();
                                }});
    };
    // That it is answered also says that the server is in its loop.
    (void)guest_->Register(
        {.cb_final = [this, call](const absl::StatusOr<uint32_t>& granted) {
          if (Uses("CreateRegistrar")) {
            EXPECT_TRUE(granted.ok()) << granted.status();
          }
          call();
        }});
  }

  TempFolder folder_;
  net::EventLoop loop_;
  // The thread's from its beginning to its end.
  std::vector<std::unique_ptr<Seen>> seen_;
  std::string digits_;  // that you_ has heard
  std::unique_ptr<Simple> proxy_, you_, sleeper_, guest_;
  bool over_ = false;
  bool visited_ = false;

  std::vector<std::string> recorded_;
  std::string server_;  // where the example's listens
  std::vector<std::string_view> words_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_HEADER_EXAMPLES_H_

#ifndef SLUICE_TESTS_SIP_SCRIPTED_PEER_H_
#define SLUICE_TESTS_SIP_SCRIPTED_PEER_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/net/datagram_socket.h"
#include "base/net/event_loop.h"
#include "base/net/socket.h"
#include "base/text.h"
#include "sip/fields.h"
#include "sip/message.h"
#include "tests/sip/phone.h"
#include "tests/sip/simple_world.h"

namespace sluice::sip {

// A party that says what the test writes and keeps what it hears: forks, odd
// answers, and what no agent of ours would do. One UDP socket on the loop of
// the agent that it faces.
class ScriptedPeer {
 public:
  explicit ScriptedPeer(net::EventLoop& loop) {
    auto fd = net::OpenUdp(*Endpoint::Parse("127.0.0.1:0"), {});
    EXPECT_TRUE(fd.ok()) << fd.status();
    auto socket = net::DatagramSocket::Create(
        loop, *std::move(fd), [this](const Endpoint&, std::string_view octets) {
          heard_.emplace_back(octets);
          if (on_message_) on_message_(std::string(octets));
        });
    EXPECT_TRUE(socket.ok()) << socket.status();
    socket_ = *std::move(socket);
  }

  std::string host() const { return socket_->local().ToString(); }
  void Face(const Endpoint& agent) { agent_ = agent; }
  // Hears each message after it has been kept.
  void OnMessage(std::function<void(const std::string&)> hear) {
    on_message_ = std::move(hear);
  }
  void Send(std::string_view octets) {
    const absl::Status sent = socket_->Send(agent_, octets);
    EXPECT_TRUE(sent.ok()) << sent;
  }

  // ---- what came: "INVITE", "200 BYE"
  static std::string NameOf(std::string_view text) {
    Message m;
    if (m.Parse(text)) return "?";
    return Cat(m.is_response() ? Cat(m.status(), " ") : std::string(),
               m.method_text());
  }
  const std::vector<std::string>& heard() const { return heard_; }
  std::vector<std::string> Story() const {
    std::vector<std::string> out;
    for (const std::string& text : heard_) out.push_back(NameOf(text));
    return out;
  }
  size_t Count(std::string_view name) const {
    return static_cast<size_t>(
        std::count_if(heard_.begin(), heard_.end(),
                      [&](const auto& text) { return NameOf(text) == name; }));
  }
  // "" when there is none.
  std::string Nth(std::string_view name, size_t n) const {
    for (const std::string& text : heard_) {
      if (NameOf(text) == name && n-- == 0) return text;
    }
    return "";
  }
  std::string Last(std::string_view name) const {
    const size_t count = Count(name);
    return count == 0 ? "" : Nth(name, count - 1);
  }
  void Forget() { heard_.clear(); }

  // ---- what is said
  struct Said {
    std::string tag = "peer";
    std::string contact = "peer";  // user part, or a URI; "" : none
    std::string more = "";         // whole lines
    std::string body = "";
    std::string type = "application/sdp";
    std::string reason = "Whatever";
  };
  std::string UriOf(std::string_view user) const {
    return user.starts_with("sip:") ? std::string(user)
                                    : Cat("sip:", user, "@", host());
  }
  std::string WriteAnswer(const std::string& request, int code,
                          const Said& said) const {
    std::string text = Cat("SIP/2.0 ", code, " ", said.reason, "\r\n");
    for (const std::string& via : Values(request, HeaderId::kVia)) {
      Append(&text, "Via: ", via, "\r\n");
    }
    const std::string to = Value(request, HeaderId::kTo);
    Append(&text, "From: ", Value(request, HeaderId::kFrom), "\r\nTo: ", to);
    if (to.find(kTag) == std::string::npos && !said.tag.empty()) {
      Append(&text, kTag, said.tag);
    }
    Append(&text, "\r\nCall-ID: ", Value(request, HeaderId::kCallId),
           "\r\nCSeq: ", Value(request, HeaderId::kCSeq), "\r\n");
    return Cat(text, Rest(said));
  }
  void Answer(const std::string& request, int code, const Said& said) {
    Send(WriteAnswer(request, code, said));
  }
  void Answer(const std::string& request, int code) {
    Answer(request, code, Said());
  }

  // Within the dialog that `known` shows: a message that came, or an answer of
  // the peer. `branch` "" : a new one.
  struct Asked {
    std::string method;
    int cseq = 1;
    Said said{};
    std::string branch = "";
    std::string to_tag = "?";  // "?" : the agent's
  };
  std::string WriteWithin(const std::string& known, const Asked& asked) {
    Message m;
    EXPECT_FALSE(m.Parse(known)) << known;
    // Of the agent; what the peer answered shows the dialog as a request of
    // the agent does.
    const bool response =
        m.is_response() &&
        Value(known, HeaderId::kVia).find(host()) != std::string::npos;
    const std::string agent(response ? m.to()->tag : m.from()->tag);
    const std::string our_value =
        Value(known, response ? HeaderId::kFrom : HeaderId::kTo);
    const std::string their_value =
        Value(known, response ? HeaderId::kTo : HeaderId::kFrom);
    const auto us = NameAddr::Parse(our_value);
    const auto they = NameAddr::Parse(their_value);
    std::string target = m.is_response() && !response ? "" : ContactUri(known);
    if (target.empty()) target = Cat("sip:me@", agent_.ToString());
    const std::string from_tag = response          ? std::string(m.from()->tag)
                                 : us->tag.empty() ? asked.said.tag
                                                   : std::string(us->tag);
    const std::string to_tag = asked.to_tag == "?" ? agent : asked.to_tag;
    return Write({.method = asked.method,
                  .uri = target,
                  .from = Cat("<", us->uri_text, ">;tag=", from_tag),
                  .to = Cat("<", they->uri_text, ">",
                            to_tag.empty() ? "" : Cat(";tag=", to_tag)),
                  .call_id = Value(known, HeaderId::kCallId),
                  .cseq = asked.cseq,
                  .branch = asked.branch,
                  .said = asked.said});
  }
  // Returns what was sent.
  std::string Within(const std::string& known, const Asked& asked) {
    std::string text = WriteWithin(known, asked);
    Send(text);
    return text;
  }

  struct Outside {
    std::string method = "INVITE";
    std::string uri = "sip:me@example.com";
    std::string from = "<sip:peer@example.com>;tag=peer";
    std::string to = "<sip:me@example.com>";
    std::string call_id = "call-1";
    int cseq = 1;
    std::string branch = "";
    Said said{};
  };
  std::string Write(const Outside& ask) {
    const std::string branch =
        ask.branch.empty() ? Cat("z9hG4bKpeer", ++branches_) : ask.branch;
    return Cat(ask.method, " ", ask.uri, " SIP/2.0\r\nVia: SIP/2.0/UDP ",
               host(), ";branch=", branch,
               ";rport\r\nMax-Forwards: 70\r\nFrom: ", ask.from,
               "\r\nTo: ", ask.to, "\r\nCall-ID: ", ask.call_id,
               "\r\nCSeq: ", ask.cseq, " ", ask.method, "\r\n", Rest(ask.said));
  }
  std::string Ask(const Outside& ask) {
    std::string text = Write(ask);
    Send(text);
    return text;
  }

 private:
  std::string Rest(const Said& said) const {
    std::string text;
    if (!said.contact.empty()) {
      Append(&text, "Contact: <", UriOf(said.contact), ">\r\n");
    }
    text += said.more;
    if (!said.body.empty()) {
      Append(&text, "Content-Type: ", said.type, "\r\n");
    }
    return Cat(text, "Content-Length: ", said.body.size(), "\r\n\r\n",
               said.body);
  }

  std::unique_ptr<net::DatagramSocket> socket_;
  Endpoint agent_{};
  std::function<void(const std::string&)> on_message_;
  std::vector<std::string> heard_;
  int branches_ = 0;
};

// A description as the peer gives it.
inline std::string SdpAt(int port, std::string_view direction = "sendrecv",
                         int version = 1, std::string_view formats = "0 101") {
  return Cat("v=0\r\no=peer 1 ", version,
             " IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
             "m=audio ",
             port, " RTP/AVP ", formats,
             "\r\na=rtpmap:101 telephone-event/8000\r\na=", direction, "\r\n");
}

// An agent of ours, which the peer faces, with its clock; what its calls told
// stands in `told_`.
class ScriptWorld : public SimpleWorld {
 protected:
  ScriptWorld() : peer_(loop_) {
    ua_ = Make("me", peer_.host());
    peer_.Face(At(*ua_));
  }
  // The end of what the others still have is told before `told_` goes.
  ~ScriptWorld() override {
    if (alice_ != nullptr) alice_->Cleanup();
    if (bob_ != nullptr) bob_->Cleanup();
  }

  // `params` with callbacks that tell.
  CallParams Told(CallParams params = {}) {
    params.rtp_timeout = Micros();
    params.cb_final = [this](Call&, const CallResult& result) {
      told_.push_back(Cat("final ", result.code));
    };
    params.cb_preliminary = [this](Call&, const Message& m) {
      told_.push_back(Cat("preliminary ", m.status()));
    };
    params.cb_established = [this](Call&) { told_.push_back("established"); };
    params.cb_noanswer = [this](Call&) { told_.push_back("noanswer"); };
    params.recv_bye = [this](Call&) { told_.push_back("bye came"); };
    params.send_bye = [this](Call&, const CallResult& result) {
      told_.push_back(Cat("bye answered ", result.code));
    };
    params.cb_cleanup = [this](Call&) { told_.push_back("cleanup"); };
    return params;
  }
  size_t TimesTold(std::string_view what) const {
    return static_cast<size_t>(std::count(told_.begin(), told_.end(), what));
  }

  // How often the final answer was told, whatever it was.
  size_t Finals() const {
    return static_cast<size_t>(std::count_if(
        told_.begin(), told_.end(),
        [](const auto& what) { return what.starts_with("final "); }));
  }

  // Everything that is under way has arrived, without time going on.
  void Turn() {
    for (int i = 0; i < 16; ++i) loop_.RunOnce(Micros());
  }
  // What the peer hears next of that name; "" and a failure when nothing comes.
  std::string Hear(std::string_view name, size_t n = 0) {
    const bool came =
        RunUntil([&] { return peer_.Count(name) > n; }, Micros::Seconds(40));
    EXPECT_TRUE(came) << "no " << name << " " << n << " came, but "
                      << ::testing::PrintToString(peer_.Story());
    return peer_.Nth(name, n);
  }

  // The agent calls; returns its INVITE.
  std::string Begin(CallParams params = {}) {
    auto call = ua_->Invite("peer", std::move(params));
    EXPECT_TRUE(call.ok()) << call.status();
    if (!call.ok()) return "";
    call_ = *std::move(call);
    return Hear("INVITE", 0);
  }
  // ... and is answered. What the peer heard so far is forgotten.
  void Establish(CallParams params = {}) {
    invite_ = Begin(std::move(params));
    answer_ = peer_.WriteAnswer(invite_, 200, {.body = SdpAt(30'000)});
    peer_.Send(answer_);
    ack_ = Hear("ACK");
    ASSERT_EQ(call_->state(), Call::State::kEstablished) << ua_->Error();
    peer_.Forget();
  }
  // Calls are taken, with `params`.
  void Listen(CallParams params = {}) {
    Simple::ListenArgs args;
    args.cb_create = [this](Call& call, const Message&) {
      call_ = call.shared_from_this();
      return true;
    };
    args.call = std::move(params);
    ASSERT_TRUE(ua_->Listen(std::move(args)).ok());
  }
  // The peer calls and has its 200 acknowledged.
  void BeCalled(CallParams params = {}) {
    Listen(std::move(params));
    invite_ = peer_.Ask({.said = {.body = SdpAt(30'000)}});
    answer_ = Hear("200 INVITE");
    peer_.Within(answer_, {.method = "ACK", .cseq = 1});
    Turn();
    ASSERT_EQ(call_->state(), Call::State::kEstablished) << ua_->Error();
    peer_.Forget();
  }
  bool Over() const { return ua_->calls() == 0; }

  // Before the agent, whose end is told as well.
  std::vector<std::string> told_;
  ScriptedPeer peer_;
  std::unique_ptr<Simple> ua_;
  std::shared_ptr<Call> call_;
  std::string invite_, answer_, ack_;
};

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_SCRIPTED_PEER_H_

#ifndef SLUICE_SIP_CALL_H_
#define SLUICE_SIP_CALL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/address.h"
#include "base/types.h"
#include "rtp/dtmf.h"
#include "rtp/g711.h"
#include "rtp/session.h"
#include "sip/credentials.h"
#include "sip/message.h"

namespace sluice::sip {

class Call;

// Sets up what a call plays, records or sends back, when its media is agreed
// for the first time, and when it is another one by then (SetParam, Reinvite).
// What it returns as an error ends the call.
// sip/rtp.h makes the usual ones.
using InitMedia = std::function<absl::Status(Call&, rtp::Session&)>;

// How something of a call ended: a status code of SIP, ours for what no message
// said (408 nobody answered, 503 nobody could be reached), and its words.
struct CallResult {
  int code = 0;
  std::string reason{};
  bool ok() const { return code >= 200 && code < 300; }
};

// What a call is to do, by the seeds' names. A copy stands in the call;
// Call::SetParam changes it.
//
// Example: the called one offers, we answer in the ACK
//   bool over = false;
//   ua->Invite("you", {.init_media = Rtp::Tone(440),
//                      .sdp_on_ack = true,
//                      .cb_established = [](Call& call) { call.Bye(); },
//                      .cb_cleanup = [&](Call&) { over = true; }});
//   ua->Loop(Micros::Seconds(60), {&over});
//
// Example: A-law or nothing, with header fields, and what the peer said
//   bool over = false;
//   ua->Invite("you",
//              {.sip_header = {{"Subject", "lunch"}},
//               .rtp_param = {.codecs = {rtp::Codec::kPcma}, .ptime_ms = 30},
//               .cb_established = [](Call& call) { call.Bye(); },
//               .send_bye =
//                   [&](Call& call, const CallResult& result) {
//                     over = result.ok() && call.media()->agreed().codec ==
//                                               rtp::Codec::kPcma;
//                   }});
//   ua->Loop(Micros::Seconds(60), {&over});
//
// Example: digits that are heard
//   std::string digits;
//   bool over = false;
//   ua->Listen({.cb_cleanup = [&](Call&) { over = true; },
//               .call = {.cb_dtmf = [&](Call&, char digit, rtp::DtmfMethod) {
//                 digits += digit;
//               }}});
//   ua->Loop(Micros::Seconds(60), {&over});
//   bool heard = !digits.empty();
//
struct CallParams {
  // ---- who and where; "" : what Simple was given
  std::string from{}, contact{};
  std::string leg{};                 // by name, of Simple's
  std::vector<std::string> route{};  // Route values, topmost first
  std::optional<Credentials> auth{};
  // Header fields of the INVITE, or of the answers: name and value.
  std::vector<std::pair<std::string, std::string>> sip_header{};

  // ---- media
  InitMedia init_media{};
  struct RtpParam {                    // in order of wish
    std::vector<rtp::Codec> codecs{};  // in order of wish; none: PCMU, PCMA
    int ptime_ms = 20;
    uint8_t event_type = 101;  // telephone-event (RFC 4733); 0: none
  } rtp_param{};
  // Media goes back to where the peer's comes from, for peers behind a NAT
  // (the seeds' asymetric_rtp, the other way round). False: to where the
  // description says, and is heard from that address only.
  bool symmetric_rtp = false;
  // A description of the caller's own making instead of ours; then media is the
  // caller's business, and init_media is not called.
  std::string sdp{};
  bool sdp_on_ack = false;  // no offer in the INVITE: ours goes in the ACK
  // The next offer or answer of ours holds by c=0.0.0.0, the old way, once (the
  // seeds'). held() does not count it; Call::Hold is the other way.
  bool call_on_hold = false;
  // Silence of the peer for so long ends the call (the seeds' 10 s); 0: never.
  // Where only we send 60 s at least, and reports count; while either holds it
  // may be silent. Who only rings is not sent to behind such 60 s, until he
  // answers.
  Micros rtp_timeout = Micros::Seconds(10);

  // ---- calling
  // Taken back when nobody has answered by then, refused (480) when we have
  // not; 0: never.
  Micros ring_time = Micros::Seconds(180);
  // 301, 302 and 305; others are the program's (cb_final).
  bool follow_redirects = true;

  // ---- being called
  // False: the call rings until Answer() or Reject().
  bool auto_answer = true;

  // ---- DTMF
  // How digits are sent, the first that the peer takes, and heard; none: by
  // event, else in the band.
  std::vector<rtp::DtmfMethod> dtmf_methods{};

  // ---- callbacks; all on the loop's thread, a Call may be told to do anything
  // in them but to go away
  // The INVITE (each, re-INVITEs too) has its final answer.
  std::function<void(Call&, const CallResult&)> cb_final{};
  std::function<void(Call&, const Message&)> cb_preliminary{};  // 101..199
  std::function<void(Call&)> cb_established{};                  // ACK is there
  // An INVITE of the peer, also within the call. False refuses it (488).
  std::function<bool(Call&, const Message&)> cb_invite{};
  std::function<void(Call&, char digit, rtp::DtmfMethod)> cb_dtmf{};
  std::function<void(Call&, const Message&)> cb_notify{};
  std::function<void(Call&)> cb_noanswer{};  // ring_time is over
  std::function<void(Call&)> recv_bye{};     // the peer hung up
  std::function<void(Call&, const CallResult&)> send_bye{};  // ours is answered
  // The last there is: nothing of the call is used any more.
  std::function<void(Call&)> cb_cleanup{};
};

// One call of ours: an INVITE dialog (RFC 3261 12, 13, 14), its offers and
// answers (RFC 3264), and the RTP of its audio (rtp/session.h).
//
//   Simple::Invite                        Simple::Listen
//     kCalling --1xx--> kRinging            kRinging  (auto_answer: not seen)
//        |                 |                   | Answer()
//        +------2xx--------+                   v
//                 |                        kAnswered --ACK--> kEstablished
//                 v                            |                   |
//            kEstablished                      +--no ACK, 32 s-->  |
//                 |                                                |
//                 +----- Bye(), BYE, silence of the media ---------+-> kEnded
//        Cancel(), Reject(), 3xx-6xx, nobody answers --------------> kEnded
//
// Made by Simple, which keeps it until it has ended; whoever holds the pointer
// longer may ask what it was (but params() and media(), which are gone then),
// and what of it begins something is refused (FailedPrecondition).
//
// In the examples, which are all run as tests, `ua` is a Simple that has
// registered (sip/simple.h), `call` a call of it that is up.
//
// Example: what a call is
//   std::cout << call->call_id() << (call->incoming() ? " from " : " to ")
//             << call->peer() << ": " << call->result().code << "\n";
//   bool up = call->state() == Call::State::kEstablished;
//   bool loud = !call->held() && !call->held_by_peer() && call->error().ok();
//
// Thread: the loop's.
class Call : public std::enable_shared_from_this<Call> {
 public:
  enum class State : uint8_t {
    kCalling,
    kRinging,
    kAnswered,
    kEstablished,
    kEnded
  };
  using Done = std::function<void(Call&, const CallResult&)>;

  virtual ~Call() = default;

  // OK from what follows means that it is begun; a callback tells how it ended.
  // FailedPrecondition: the state has no place for it (no call, an offer is
  // under way, nobody rings). InvalidArgument: an argument is none. The words
  // say which.

  // Example: another codec
  //   bool agreed = false;
  //   CallParams params = call->params();
  //   params.rtp_param.codecs = {rtp::Codec::kPcma};
  //   params.cb_final = [&](Call& c, const CallResult& result) {
  //     agreed = result.ok() &&
  //              c.media()->agreed().codec == rtp::Codec::kPcma;
  //   };
  //   call->Reinvite(params);
  //   ua->Loop(Micros::Seconds(60), {&agreed});
  //
  // Offers anew: with other parameters, or the same ones. 491 is tried again
  // (RFC 3261 14.1).
  virtual absl::Status Reinvite(const CallParams& params) = 0;
  virtual absl::Status Reinvite() = 0;
  // Example: hold, and go on
  //   bool held = false, back = false;
  //   CallParams params = call->params();
  //   params.cb_final = [&](Call& c, const CallResult& result) {
  //     if (result.ok()) (c.held() ? held : back) = true;
  //   };
  //   call->SetParam(params);
  //   call->Hold();
  //   ua->Loop(Micros::Seconds(60), {&held});
  //   call->Resume();
  //   ua->Loop(Micros::Seconds(60), {&back});
  //
  // The peer is to send nothing (a=sendonly), and back.
  virtual absl::Status Hold() = 0;
  virtual absl::Status Resume() = 0;
  // Example: another codec, without an INVITE
  //   CallParams params = call->params();
  //   params.rtp_param.codecs = {rtp::Codec::kPcma};
  //   call->SetParam(params);
  //   bool agreed = false;
  //   call->Update([&](Call& c, const CallResult& result) {
  //     agreed = result.ok() &&
  //              c.media()->agreed().codec == rtp::Codec::kPcma;
  //   });
  //   ua->Loop(Micros::Seconds(60), {&agreed});
  //
  // UPDATE (RFC 3311) with an offer, also while it rings. What was refused
  // leaves the media as it was.
  virtual absl::Status Update(Done done = {}) = 0;
  // Example: think better of it
  //   bool ringing = false, over = false;
  //   const auto asked = ua->Invite(
  //       "sleeper",
  //       {.cb_preliminary = [&](Call&, const Message&) { ringing = true; },
  //        .cb_cleanup = [&](Call&) { over = true; }});
  //   ua->Loop(Micros::Seconds(60), {&ringing});
  //   (*asked)->Cancel();
  //   ua->Loop(Micros::Seconds(60), {&over});  // result().code is 487
  //
  // Takes back an INVITE that has no final answer; what crosses it on the way
  // is acknowledged and hung up. cb_final hears 487, or what came.
  virtual absl::Status Cancel() = 0;
  // Example: hang up
  //   bool over = false;
  //   call->Bye([&](Call&, const CallResult& answer) { over = answer.ok(); });
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  // Hangs up; `done`, or send_bye, hears the answer. While it rings: Cancel, or
  // a refusal.
  virtual absl::Status Bye(Done done = {}) = 0;
  // Example: a message beside the sound
  //   bool taken = false;
  //   call->Send({.method = "MESSAGE",
  //               .content_type = "text/plain",
  //               .body = "hello"},
  //              [&](Call&, const CallResult& answer) {
  //                taken = answer.ok();
  //              });
  //   ua->Loop(Micros::Seconds(60), {&taken});
  //
  // Any other request within the dialog, with header fields and a body of the
  // caller's making: INFO, NOTIFY, MESSAGE, OPTIONS.
  struct Request {
    std::string method;
    std::vector<std::pair<std::string, std::string>> headers{};
    std::string content_type{}, body{};
  };
  virtual absl::Status Send(const Request& request, Done done) = 0;

  // ---- of a call that came in
  //
  // Example: ring first, answer then
  //   bool over = false;
  //   ua->Listen({.cb_create =
  //                   [&](Call& call, const Message&) {
  //                     call.Ring();
  //                     const auto c = call.shared_from_this();
  //                     ua->AddTimer(Micros::Millis(50), [c] { c->Answer(); });
  //                     return true;
  //                   },
  //               .cb_cleanup = [&](Call&) { over = true; },
  //               .call = {.auto_answer = false}});
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  // Example: not now
  //   bool over = false;
  //   ua->Listen({.cb_create =
  //                   [](Call& call, const Message&) {
  //                     return call.Reject(486, "in a meeting").ok();
  //                   },
  //               .cb_cleanup = [&](Call&) { over = true; }});
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  // 180, or 183 with the description. FailedPrecondition also while the last
  // reliable one has no PRACK.
  struct Ringing {
    bool media = false;     // flows before the call is answered
    bool reliable = false;  // where the peer can (RFC 3262); it may insist
  };
  virtual absl::Status Ring(Ringing how) = 0;
  absl::Status Ring() { return Ring(Ringing()); }
  // While a reliable 1xx waits for its PRACK this is remembered, and done then.
  // FailedPrecondition also where the offer has nothing for us: it has been
  // refused.
  virtual absl::Status Answer() = 0;
  // 300 to 699, else InvalidArgument. "" : the reason that the code has.
  virtual absl::Status Reject(int code, std::string_view reason = {}) = 0;

  // Example: dial on
  //   call->Dtmf("42#", 60);
  //   while (call->media()->digits_waiting() > 0) {
  //     ua->Loop(Micros::Millis(10), {});
  //   }
  //
  // Plays digits 0-9 * # A-D, with the first of dtmf_methods that the peer
  // takes, 40 to 8000 ms each. InvalidArgument names the digit that is none, or
  // the duration. ResourceExhausted: rtp::Session::kDigitsMax are waiting.
  // FailedPrecondition: no sound, or no method that the peer takes.
  virtual absl::Status Dtmf(std::string_view digits,
                            int duration_ms = rtp::kDtmfDurationMs) = 0;

  // Example: change what is done at the end
  //   bool over = false;
  //   CallParams params = call->params();
  //   params.cb_cleanup = [&](Call&) { over = true; };
  //   call->SetParam(params);
  //   call->Bye();
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  // The parameters as they are; what is changed holds from the next message or
  // event on. Parameters that are none change nothing: Simple::Error() names
  // them.
  virtual const CallParams& params() const = 0;
  virtual void SetParam(CallParams params) = 0;

  virtual State state() const = 0;
  virtual const CallResult& result() const = 0;  // of the last INVITE
  // Why it was ended where no message says so; DeadlineExceeded: silence of the
  // peer, or no ACK. OK: it is not over, or a message said so.
  virtual const absl::Status& error() const = 0;
  virtual const std::string& call_id() const = 0;
  virtual const std::string& peer() const = 0;  // its URI: To, or From
  virtual bool incoming() const = 0;
  virtual bool held() const = 0;  // by us
  virtual bool held_by_peer() const = 0;
  // Example: how well it is heard
  //   while (call->media()->received().packets < 10) {
  //     ua->Loop(Micros::Millis(10), {});
  //   }
  //   const rtp::StreamQuality heard = call->media()->quality();
  //   std::cout << heard.lost << " of " << heard.expected << " lost, jitter "
  //             << heard.jitter_ms << " ms\n";
  //   bool all_came = heard.lost == 0;
  //
  // Null until there is a description of ours, with `sdp`, and when cb_cleanup
  // has returned: its books are read there, at the latest.
  virtual rtp::Session* media() = 0;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_CALL_H_

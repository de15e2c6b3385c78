#ifndef SLUICE_SIP_USER_CALL_H_
#define SLUICE_SIP_USER_CALL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "base/net/event_loop.h"
#include "rtp/media_loop.h"
#include "sip/audio_sdp.h"
#include "sip/call.h"
#include "sip/credentials.h"
#include "sip/dialog.h"
#include "sip/dispatcher.h"
#include "sip/offer_answer.h"
#include "sip/requester.h"
#include "sip/transactions.h"

namespace sluice::sip {

class UserCall;

// The methods that a call of ours takes.
inline constexpr std::string_view kAllow =
    "INVITE, ACK, CANCEL, OPTIONS, BYE, PRACK, UPDATE, INFO, MESSAGE, NOTIFY";

// The line of a body that is a description of ours, "" for none.
std::string_view SdpType(std::string_view body);
// The description in a message; nullopt: there is none.
std::optional<std::string_view> SdpOf(const Message& message);
CallResult ResultOf(const Message& response);

// What the calls of one user agent share.
struct CallWorld {
  net::EventLoop& loop;
  Dispatcher& dispatcher;
  Transactions& transactions;
  Requester& requester;
  rtp::MediaLoop& media;
  Credentials auth;
  std::string contact;                           // URI; "" : by leg
  std::string user_agent;                        // "" : not said
  std::function<bool(const Endpoint&)> allowed;  // may sound be sent there
  // A dialog is to be found by Call-ID and our tag.
  std::function<void(UserCall&)> enter;
  // Nothing of it is up any more: let go after this turn.
  std::function<void(UserCall&)> leave;
  std::function<void(absl::Status)> error;
  // Of all calls that exist, those that are over included.
  absl::flat_hash_set<UserCall*> all{};
};

// Call as Simple makes it. An INVITE that forks has a dialog for each tag that
// answers; the first 2xx has the call, later ones are acknowledged and hung up.
//
// Thread: the loop's.
class UserCall final : public Call {
 public:
  // ACKs of 2xx that are kept; the oldest goes.
  static constexpr size_t kAckedMax = 32;
  // Of one ACK: no UAS has reason to repeat its 2xx more often in 64 * T1.
  static constexpr int kAckRepeatsMax = 12;

  UserCall(CallWorld& world, CallParams params);
  ~UserCall() override;

  // What both parties are called: From and To values without tags.
  struct Parties {
    std::string local, remote;
    std::string uri;   // Request-URI
    std::string user;  // of our Contact
    Leg* leg = nullptr;
  };
  // Begins to call. The caller enters it in its table.
  absl::Status Invite(Parties parties);
  // Is called: `server` is the transaction of the INVITE. `user`: of our
  // Contact.
  void Invited(const Incoming& in, Transactions::Id server,
               std::string_view local_tag, std::string_view user,
               const std::function<bool(Call&, const Message&)>& create);
  // A request of its dialog that no transaction knows.
  void Receive(const Incoming& in);
  // The CANCEL of that INVITE, which has been answered.
  void Cancelled(Transactions::Id invite);
  // Hangs up without waiting, lets go of the world.
  void Release();
  // After the end: its ports go back, and what its callbacks hold.
  void LetGo() {
    media_.reset();
    // Who we are may still be asked, by what crossed the end.
    params_ = CallParams{.auth = std::move(params_.auth)};
  }
  // InvalidArgument names the parameter.
  static absl::Status CheckParams(const CallParams& params);
  // Why an INVITE without a dialog is none that could be answered; nullopt: it
  // is one.
  struct Judgement {
    int code = 0;
    std::string headers{};
  };
  static std::optional<Judgement> Judge(const Message& invite,
                                        const CallParams& params);

  const std::string& local_tag() const { return dialog_.local_tag; }
  // Of the party that called.
  const std::string& caller_tag() const { return caller_tag_; }

  absl::Status Reinvite(const CallParams& params) override;
  absl::Status Reinvite() override;
  absl::Status Hold() override { return SetHold(true); }
  absl::Status Resume() override { return SetHold(false); }
  absl::Status Update(Done done) override;
  absl::Status Cancel() override;
  absl::Status Bye(Done done) override;
  absl::Status Send(const Request& request, Done done) override;
  using Call::Ring;
  absl::Status Ring(Ringing how) override;
  absl::Status Answer() override;
  absl::Status Reject(int code, std::string_view reason) override;
  absl::Status Dtmf(std::string_view digits, int duration_ms) override;
  const CallParams& params() const override { return params_; }
  void SetParam(CallParams params) override;
  State state() const override { return state_; }
  const CallResult& result() const override { return result_; }
  const absl::Status& error() const override { return error_; }
  const std::string& call_id() const override { return dialog_.call_id; }
  const std::string& peer() const override { return peer_; }
  bool incoming() const override { return incoming_; }
  bool held() const override { return held_; }
  bool held_by_peer() const override { return agreed_.held_by_peer; }
  rtp::Session* media() override { return media_.get(); }

 private:
  using Carrier = OfferAnswer::Carrier;
  using Means = OfferAnswer::Means;
  // Early dialogs of one INVITE; a fork beyond is answered as if it had not
  // been heard.
  static constexpr size_t kForksMax = 16;

  // An early dialog of our first INVITE.
  struct Fork {
    Dialog dialog;
    OfferAnswer offers{};
    uint32_t rseq = 0;  // of the last reliable 1xx (RFC 3262)
    bool prack_open = false;
  };
  // The ACK of a 2xx, for each time that comes.
  struct Acked {
    std::string remote_tag;
    uint32_t cseq = 0;
    std::string octets{};  // "" : it waits for a name
    std::optional<Router::Way> way{};
    int repeats = 0;
  };
  // ---- calling (user_call_out.cc)
  absl::Status SendInvite();
  OutgoingRequest WriteInvite(const Requester::Attempt& attempt,
                              const std::string& body);
  void OnInviteResponse(const Incoming& in, bool first);
  void OnProvisional(const Incoming& in, std::string_view tag);
  void OnAnswered(const Incoming& in, bool first);
  void OnInviteFailed(const CallResult& result);
  void SendAck(const Dialog& dialog, uint32_t cseq, const std::string& body);
  void SendPrack(std::string_view tag, uint32_t rseq, const Message& reliable,
                 const std::string& body);
  void EndNameless();
  // Another branch of the fork has the call.
  void EndFork(const Dialog& dialog, uint32_t cseq);
  bool TakeFork(const Message& response);

  // ---- being called (user_call_in.cc)
  void OnInvite(const Incoming& in);
  void OnAck(const Incoming& in);
  void OnBye(const Incoming& in);
  void OnPrack(const Incoming& in);
  void OnUpdate(const Incoming& in);
  void OnOther(const Incoming& in);
  // A transaction for a request within the dialog; 0: it has been answered.
  Transactions::Id AcceptRequest(const Incoming& in);
  void Refuse(Transactions::Id id, int code, std::string_view headers = {});
  absl::Status SendFinal();
  void SendProvisional(int code, bool with_media, bool reliable);
  void ArmFinal();
  void ArmProvisional();

  // ---- requests within the dialog (user_call.cc)
  struct Inside {
    std::string method;
    std::string headers{};
    std::string body{};
    std::function<void(const Incoming&)> response{};
    std::function<void(int code, std::string_view reason)> failed{};
  };
  void SendInside(const Dialog& dialog, Inside inside);
  // What has overtaken a PRACK would have it refused (RFC 3261 12.2.2).
  bool PrackOpen(std::string_view tag) const;
  void SendWaiting();
  absl::Status SetHold(bool held);
  void SendBye(Done done);
  // The dialog with that party, and its offers; null: there is none.
  Dialog* DialogOf(std::string_view tag);
  OfferAnswer* OffersOf(std::string_view tag);
  // The one to speak in: established, or the last early one. "" : none.
  std::string_view PartyTag() const;
  // What a response or a request of ours says of us.
  std::string OurHeaders(const Leg::Address& own) const;
  std::string ContactOf(const Leg::Address& own) const;
  const Credentials& credentials() const;
  std::shared_ptr<UserCall> Self() {
    return std::static_pointer_cast<UserCall>(shared_from_this());
  }
  // A callback as it is now: it may take its own place (SetParam).
  template <typename Callback, typename... Args>
  static auto Tell(Callback callback, Args&&... args) {
    return callback(std::forward<Args>(args)...);
  }
  // The outcome of an INVITE, once.
  void TellFinal();
  void Fail(absl::Status why);  // hangs up, with the reason
  void StopTimers();
  void End();     // nothing is said any more; media stops
  void Finish();  // nothing is waited for any more

  // ---- descriptions (user_call_media.cc)
  // What the description of a message, or that there is none, came to.
  struct Heard {
    bool agreed = false;   // something new is: Begin()
    std::string answer{};  // to say, where it was an offer
    int refused = 0;       // the code, where that offer has nothing for us
    bool missing = false;  // one was due
    absl::Status media{};  // its answer does not fit our offer
  };
  Heard Hear(OfferAnswer& offers, Carrier carrier, const Message& message);
  absl::Status OpenMedia(const Leg& leg);
  std::string MakeOffer();
  // nullopt: it cannot be answered (a code in `refused`).
  std::optional<std::string> MakeAnswer(std::string_view offer, int* refused);
  static bool CanAnswer(std::string_view offer, const CallParams& params,
                        int* refused);
  absl::Status TakeAnswer(std::string_view answer);
  // Media, by what was agreed. Calls init_media, which may do anything: only
  // when what was agreed has been said.
  absl::Status Begin();
  void StopMedia();
  void WatchMedia();
  void HearDigits();
  AudioOurs OursNow();
  void RollBack();  // to what stood before our offer

  CallWorld* world_;  // null: released
  CallParams params_;
  State state_ = State::kCalling;
  CallResult result_{};
  absl::Status error_{};
  bool incoming_ = false;
  bool finished_ = false;
  bool established_ = false;  // once
  bool final_due_ = false;    // cb_final, of an INVITE
  bool cancelled_ = false;
  bool bye_sent_ = false;
  bool bye_wanted_ = false;  // as soon as the ACK is there
  Done bye_done_{};
  Parties parties_{};
  std::string peer_{};
  Leg* leg_ = nullptr;
  Uri::Scheme contact_scheme_ = Uri::Scheme::kSip;

  // Of an outgoing call without a 2xx: the INVITE's.
  Dialog dialog_{};
  Dialog base_{};  // the INVITE's, of which forks are made
  OfferAnswer offers_{};
  Challenges challenges_{};

  // Outgoing INVITE.
  Requester::Id request_ = 0;
  std::string invite_credentials_{};  // its ACK has the same (22.1)
  bool redirected_ = false;           // its INVITE: who asks us is anybody
  std::vector<Fork> forks_{};
  // Behind the PRACK of an early dialog, by its tag.
  std::vector<std::pair<std::string, Inside>> waiting_{};
  std::vector<Acked> acked_{};
  net::EventLoop::TimerId ring_timer_ = 0, retry_timer_ = 0;
  // A 491 is tried again so often.
  static constexpr int kGlaresMax = 5;
  int glares_ = 0;
  size_t forks_ended_ = 0;
  bool prack_open_ = false;  // of a re-INVITE
  uint32_t rseq_ = 0;        // of the last reliable 1xx to a re-INVITE

  // INVITE that came.
  Transactions::Id server_ = 0;
  const Leg::Address* own_ = nullptr;  // on which it came
  bool supports_100rel_ = false, requires_100rel_ = false;
  std::string caller_tag_{};
  std::string offered_{};      // its description; "" : none
  std::string answered_{};     // what we have said of it
  std::string routes_line_{};  // Record-Route of the INVITE, for its answers
  std::string final_headers_{}, final_body_{};
  uint32_t server_cseq_ = 0;  // of that INVITE
  std::optional<Repeater> final_{};
  net::EventLoop::TimerId final_timer_ = 0;
  struct Provisional {
    uint32_t rseq = 0;
    uint32_t cseq = 0;
    int code = 0;
    std::string headers{}, body{};
    Repeater repeater;
  };
  std::optional<Provisional> provisional_{};  // without its PRACK
  uint32_t last_rseq_ = 0;
  bool answer_wanted_ = false;  // when the PRACK is there
  net::EventLoop::TimerId provisional_timer_ = 0;

  // Media.
  std::unique_ptr<rtp::Session> media_;
  AudioOurs ours_{};  // offered or answered last
  AudioOurs ours_before_{};
  AudioAgreed agreed_{};
  std::string description_{};  // of ours, agreed on
  bool described_ = false;     // our last offer is the program's own
  uint64_t version_ = 0, session_id_ = 0;
  bool held_ = false, held_before_ = false;
  bool begun_ = false;  // init_media has been called
  bool digits_heard_ = false;
  Micros quiet_since_{};
  net::EventLoop::TimerId watch_timer_ = 0;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_USER_CALL_H_

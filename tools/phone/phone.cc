#include "tools/phone/phone.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "rtp/tone.h"
#include "sip/rtp.h"
#include "tools/phone/report.h"

namespace sluice::phone {
namespace {

// How exactly the steps of a call are timed, and how often the terminal's last
// line is drawn.
constexpr Micros kTick = Micros::Millis(50);
constexpr uint32_t kTicksALine = 20;
// For the answers to our BYEs, and then once more for the registrar's.
constexpr Micros kGoodbye = Micros::Seconds(2);
// Of one call: those beyond are said, and not kept.
constexpr size_t kDigitsKept = 1'000;
constexpr int kBusyHere = 486;
constexpr int kTerminated = 487;

bool Answers(Role role) { return role == Role::kAnswer || role == Role::kEcho; }

double ToSeconds(Micros time) { return static_cast<double>(time.us()) / 1e6; }

Script::Steps StepsOf(const Options& o) {
  return {.digits = !o.dtmf.empty(),
          .hold_after = ToMicros(o.hold_after_s),
          .resume_after = ToMicros(o.resume_after_s),
          .duration = ToMicros(o.duration_s),
          // Who is called stays until the caller hangs up.
          .ends_when_done = o.role == Role::kCall,
          .plays = !o.play.empty() && o.repeat > 0};
}

}  // namespace

Phone::Phone(Options options, Plan plan)
    : options_(std::move(options)),
      plan_(std::move(plan)),
      screen_(options_.quiet) {}

Phone::~Phone() {
  // The agent may speak while it goes.
  agent_.reset();
}

absl::StatusOr<std::unique_ptr<Phone>> Phone::Create(Options options) {
  ASSIGN_OR_RETURN(Plan plan, MakePlan(options));
  std::unique_ptr<Phone> phone(new Phone(std::move(options), std::move(plan)));
  sip::Simple::Options agent = phone->plan_.agent;
  if (phone->options_.trace) {
    agent.trace = [screen = &phone->screen_](bool in, const sip::Peer& peer,
                                             std::string_view octets) {
      screen->Message(Cat(in ? "from " : "to ", peer.address.ToString()),
                      octets);
    };
  }
  ASSIGN_OR_RETURN(phone->agent_, sip::Simple::Create(std::move(agent)));
  for (const std::string& where : phone->agent_->Listening()) {
    phone->screen_.Line(Cat("at ", where));
  }
  return phone;
}

absl::Status Phone::Run(Interrupt& interrupt) {
  net::EventLoop& loop = agent_->loop();
  RETURN_IF_ERROR(loop.Add(interrupt.fd(), EPOLLIN, [&](uint32_t) {
    interrupt.Clear();
    OnInterrupt(Interrupt::Count());
  }));
  tick_ = loop.Every(kTick, [this] { OnTick(); });
  if (options_.role == Role::kRegister || options_.do_register) {
    Register();
  } else if (absl::Status begun = Begin(); !begun.ok()) {
    trouble_ = std::move(begun);
    over_ = true;
  }
  if (!over_) agent_->Loop(Micros(), {&over_});
  for (auto& [call, track] : tracks_) Sample(*track);
  loop.Cancel(tick_);
  loop.Remove(interrupt.fd());
  agent_->Cleanup();
  screen_.Clear();
  return trouble_;
}

std::vector<CallRecord> Phone::calls() const {
  std::vector<CallRecord> records(ended_.begin(), ended_.end());
  for (const auto& [call, track] : tracks_) records.push_back(track->record);
  std::sort(records.begin(), records.end(),
            [](const CallRecord& a, const CallRecord& b) {
              return a.number < b.number;
            });
  return records;
}

absl::Status Phone::Begin() {
  begun_ = true;
  if (options_.role == Role::kRegister) {
    if (!options_.stay) Finish();
    return absl::OkStatus();
  }
  return Answers(options_.role) ? Listen() : CallAll();
}

absl::Status Phone::Listen() {
  sip::Simple::ListenArgs args;
  args.call = Params();
  args.cb_create = [this](sip::Call& call, const sip::Message&) {
    OnIncoming(call);
    return true;
  };
  RETURN_IF_ERROR(agent_->Listen(std::move(args)));
  screen_.Line("waiting for calls");
  return absl::OkStatus();
}

absl::Status Phone::CallAll() {
  const uint32_t count = std::max(options_.count, 1u);
  for (uint32_t i = 0; i < count; ++i) {
    absl::StatusOr<std::shared_ptr<sip::Call>> call =
        agent_->Invite(options_.whom, Params());
    if (call.ok()) {
      Track& track = TrackOf(**call);
      Say(track, "calling");
      continue;
    }
    // Of many that do not find a port, the others still talk.
    if (i == 0) return call.status();
    screen_.Line(
        Cat("call ", i + 1, ": ", std::string(call.status().message())));
    trouble_ = call.status();
    break;
  }
  return absl::OkStatus();
}

void Phone::Register() {
  registration_ = RegistrationRecord{};
  registration_->registrar = plan_.agent.registrar;
  const bool stays = options_.role != Role::kRegister || options_.stay;
  const auto begun = agent_->Register(
      {.expires = options_.expires_s,
       .refresh = stays,
       .cb_final = [this](const absl::StatusOr<uint32_t>& expires) {
         OnRegistered(expires);
       }});
  if (!begun.ok()) OnRegistered(begun.status());
}

void Phone::OnRegistered(const absl::StatusOr<uint32_t>& expires) {
  registration_->answered = true;
  if (finishing_) {
    registration_->removed = expires.ok();
    over_ = true;
    return;
  }
  registration_->ok = expires.ok();
  if (expires.ok()) {
    registration_->removed = options_.expires_s == 0;
    registration_->expires_s = *expires;
    registration_->error = absl::OkStatus();
    if (!begun_) {
      screen_.Line(registration_->removed
                       ? "registration removed"
                       : Cat("registered for ", *expires, " s"));
    }
  } else {
    registration_->error = expires.status();
    screen_.Line(
        Cat("not registered: ", std::string(expires.status().message())));
  }
  // A refresh that fails is tried again by the library, unless the password is
  // refused; calls go on.
  if (begun_ || stopping_) return;
  if (!expires.ok()) {
    over_ = true;
    return;
  }
  if (absl::Status begun = Begin(); !begun.ok()) {
    trouble_ = std::move(begun);
    Finish();
  }
}

void Phone::Finish() {
  if (finishing_) return;
  finishing_ = true;
  const bool stays = options_.role != Role::kRegister || options_.stay;
  if (!registration_ || !registration_->ok || registration_->removed ||
      !stays) {
    over_ = true;
    return;
  }
  Unregister();
}

void Phone::Unregister() {
  give_up_ = agent_->loop().now() + kGoodbye;
  const auto begun = agent_->Register(
      {.expires = 0,
       .cb_final = [this](const absl::StatusOr<uint32_t>& expires) {
         OnRegistered(expires);
       }});
  if (!begun.ok()) over_ = true;
}

sip::CallParams Phone::Params() {
  sip::CallParams params = plan_.call;
  params.init_media = [this](sip::Call& call, rtp::Session& session) {
    Track& track = TrackOf(call);
    // The same one each time, or a call that is taken back from hold would
    // begin its files anew.
    if (!track.media) track.media = MediaOf(track);
    absl::Status done = track.media(call, session);
    if (!done.ok()) track.record.error = std::string(done.message());
    return done;
  };
  params.cb_final = [this](sip::Call& call, const sip::CallResult& result) {
    OnFinal(call, result);
  };
  params.cb_preliminary = [this](sip::Call& call, const sip::Message& message) {
    Say(TrackOf(call), Cat(message.status(), " ", message.reason()));
  };
  params.cb_established = [this](sip::Call& call) { OnEstablished(call); };
  params.cb_dtmf = [this](sip::Call& call, char digit, rtp::DtmfMethod method) {
    Track& track = TrackOf(call);
    if (track.record.digits.size() < kDigitsKept) {
      track.record.digits.push_back({digit, method});
    }
    Say(track,
        Cat("digit ", std::string(1, digit), " (", OptionName(method), ")"));
  };
  params.cb_noanswer = [this](sip::Call& call) {
    TrackOf(call).record.gave_up_ringing = true;
  };
  params.recv_bye = [this](sip::Call& call) {
    Track& track = TrackOf(call);
    Sample(track);
    if (track.record.ended_by == EndedBy::kNobody) {
      track.record.ended_by = EndedBy::kPeer;
    }
  };
  params.cb_cleanup = [this](sip::Call& call) { OnCleanup(call); };
  return params;
}

sip::InitMedia Phone::MediaOf(Track& track) {
  const std::string record = FileOfCall(options_.record, track.record.number);
  if (options_.role == Role::kEcho) return sip::Rtp::MediaRecvEcho(record);
  sip::Rtp::Sounds sounds{
      .play = options_.play, .repeat = options_.repeat, .record = record};
  if (options_.tone_hz > 0) {
    sounds.source = [hz = options_.tone_hz] { return rtp::ToneSource(hz); };
  }
  sounds.played = [this](sip::Call& call) { TrackOf(call).script.OnPlayed(); };
  return sip::Rtp::SendRecv(std::move(sounds));
}

Phone::Track& Phone::TrackOf(sip::Call& call) {
  std::unique_ptr<Track>& track = tracks_[&call];
  if (track == nullptr) {
    track.reset(new Track{.call = call.shared_from_this(),
                          .record = {},
                          .media = {},
                          .script = Script(StepsOf(options_))});
    track->record.number = ++numbers_;
    track->record.call_id = call.call_id();
    track->record.peer = call.peer();
    track->record.incoming = call.incoming();
  }
  return *track;
}

void Phone::OnIncoming(sip::Call& call) {
  Say(TrackOf(call), "is calling");
  // Behind what the library still does with the INVITE.
  agent_->loop().After(Micros(),
                       [this, weak = std::weak_ptr(call.shared_from_this())] {
                         if (const auto held = weak.lock())
                           Take(TrackOf(*held));
                       });
}

void Phone::Take(Track& track) {
  sip::Call& call = *track.call;
  if (call.state() == sip::Call::State::kEnded) return;
  const auto refuse = [&](int code) {
    track.record.ended_by = EndedBy::kUs;
    if (const absl::Status said = call.Reject(code); !said.ok()) {
      track.record.error = std::string(said.message());
    }
  };
  if (stopping_ || (options_.count > 0 && taken_ >= options_.count) ||
      (options_.lines > 0 && LinesInUse() > options_.lines)) {
    return refuse(kBusyHere);
  }
  ++taken_;
  if (options_.refuse != 0) return refuse(options_.refuse);
  const auto answer = [](Track& waiting) {
    if (waiting.call->state() != sip::Call::State::kRinging) return;
    if (const absl::Status said = waiting.call->Answer(); !said.ok()) {
      waiting.record.error = std::string(said.message());
    }
  };
  if (options_.ring_s <= 0) return answer(track);
  if (const absl::Status said = call.Ring(); !said.ok()) {
    track.record.error = std::string(said.message());
  }
  agent_->loop().After(ToMicros(options_.ring_s),
                       [this, answer, weak = std::weak_ptr(track.call)] {
                         const auto held = weak.lock();
                         if (held == nullptr) return;
                         const auto at = tracks_.find(held.get());
                         if (at != tracks_.end()) answer(*at->second);
                       });
}

void Phone::OnFinal(sip::Call& call, const sip::CallResult& result) {
  Track& track = TrackOf(call);
  const std::string text = Cat(result.code, " ", result.reason);
  if (track.record.established) {
    Say(track, Cat(call.held() ? "on hold: " : "offered anew: ", text));
    return;
  }
  track.record.result = result;
  Say(track, text);
}

void Phone::OnEstablished(sip::Call& call) {
  Track& track = TrackOf(call);
  if (track.record.established) return;
  track.record.established = true;
  track.established_at = agent_->loop().now();
  if (track.record.result.code == 0) track.record.result = call.result();
  Sample(track);
  const rtp::Session* media = call.media();
  Say(track, media == nullptr || !media->started()
                 ? "established, without media"
                 : Cat("established, ", rtp::Name(media->agreed().codec),
                       " to ", media->remote().ToString()));
}

void Phone::OnCleanup(sip::Call& call) {
  Track& track = TrackOf(call);
  track.left = true;
  Close(track);
}

void Phone::Close(Track& track) {
  if (track.over) return;
  const sip::Call& call = *track.call;
  Sample(track);
  CallRecord& record = track.record;
  record.state = sip::Call::State::kEnded;
  if (record.result.code == 0) record.result = call.result();
  if (record.ended_by == EndedBy::kNobody) {
    record.ended_by = WhoEnded(record, call);
    if (record.established && record.error.empty()) {
      record.error = call.result().reason;
    }
  }
  Say(track, absl::StrFormat("ended by %s after %.1f s", Name(record.ended_by),
                             record.duration_s));
  track.over = true;
}

EndedBy Phone::WhoEnded(const CallRecord& record, const sip::Call& call) {
  if (record.established) {
    return absl::IsDeadlineExceeded(call.error()) ? EndedBy::kSilence
                                                  : EndedBy::kFailure;
  }
  // A caller gave up, or the library refused what it cannot do.
  if (record.incoming && record.result.code == kTerminated) {
    return EndedBy::kPeer;
  }
  return record.incoming && record.result.code >= 300 ? EndedBy::kUs
                                                      : EndedBy::kFailure;
}

// How it is now; what it was when it is over stays.
void Phone::Sample(Track& track) {
  CallRecord& record = track.record;
  if (track.over) return;
  record.state = track.call->state();
  record.held = track.call->held();
  record.held_by_peer = track.call->held_by_peer();
  if (record.established && record.state != sip::Call::State::kEnded) {
    record.duration_s = ToSeconds(agent_->loop().now() - track.established_at);
  }
  if (const rtp::Session* media = track.call->media()) {
    MediaRecord now = MediaRecordOf(*media);
    if (!media->started() && record.media) {
      now.codec = record.media->codec;
      now.remote = record.media->remote;
    }
    record.media = std::move(now);
  }
}

void Phone::OnInterrupt(int count) {
  if (count > 1) {
    over_ = true;
    return;
  }
  stopping_ = true;
  give_up_ = agent_->loop().now() + kGoodbye;
  for (auto& [call, track] : tracks_) HangUp(*track);
  EndIfDone();
}

void Phone::HangUp(Track& track) {
  if (track.over || track.call->state() == sip::Call::State::kEnded) return;
  Sample(track);
  if (track.record.ended_by == EndedBy::kNobody) {
    track.record.ended_by = EndedBy::kUs;
  }
  if (const absl::Status said = track.call->Bye(); !said.ok()) {
    screen_.Line(Cat("hang up: ", std::string(said.message())));
  }
}

void Phone::OnTick() {
  std::vector<Track*> live;
  for (auto it = tracks_.begin(); it != tracks_.end();) {
    const auto now = it++;
    if (now->second->left) {
      ended_.push_back(std::move(now->second->record));
      if (ended_.size() > kRecordsMax) ended_.pop_front();
      tracks_.erase(now);
    } else if (!now->second->over) {
      live.push_back(now->second.get());
    }
  }
  for (Track* track : live) {
    Sample(*track);
    Advance(*track);
  }
  if (screen_.live() && ++ticks_ % kTicksALine == 0) {
    screen_.Live(LiveLine(calls()));
  }
  EndIfDone();
}

void Phone::Advance(Track& track) {
  if (track.call->state() == sip::Call::State::kEnded) {
    // Our BYE is repeated for half a minute; nobody has to wait for that.
    const Micros now = agent_->loop().now();
    if (track.ended_at == Micros()) track.ended_at = now;
    if (now - track.ended_at >= kGoodbye) Close(track);
    return;
  }
  if (track.call->state() != sip::Call::State::kEstablished || stopping_ ||
      !track.record.established) {
    return;
  }
  sip::Call& call = *track.call;
  const bool sending =
      call.media() != nullptr && call.media()->digits_waiting() > 0;
  absl::Status done;
  switch (
      track.script.Next(agent_->loop().now() - track.established_at, sending)) {
    case Script::Due::kNothing: return;
    case Script::Due::kDigits: done = call.Dtmf(options_.dtmf); break;
    case Script::Due::kHold:
      Say(track, "hold");
      done = call.Hold();
      break;
    case Script::Due::kResume:
      Say(track, "resume");
      done = call.Resume();
      break;
    case Script::Due::kHangUp: return HangUp(track);
  }
  if (!done.ok()) {
    track.record.error = std::string(done.message());
    Say(track, track.record.error);
  }
}

size_t Phone::LinesInUse() const {
  return static_cast<size_t>(
      std::count_if(tracks_.begin(), tracks_.end(),
                    [](const auto& entry) { return !entry.second->over; }));
}

void Phone::EndIfDone() {
  if (over_) return;
  const Micros now = agent_->loop().now();
  if (finishing_) {
    if (now >= give_up_) over_ = true;
    return;
  }
  const bool quiet =
      std::all_of(tracks_.begin(), tracks_.end(),
                  [](const auto& entry) { return entry.second->over; });
  if (stopping_) {
    if (quiet || now >= give_up_) Finish();
    return;
  }
  if (!begun_ || !quiet) return;
  const bool enough = options_.role == Role::kCall ||
                      (Answers(options_.role) && options_.count > 0 &&
                       taken_ >= options_.count);
  if (enough) Finish();
}

void Phone::Say(const Track& track, std::string_view text) {
  const bool several =
      options_.role == Role::kCall ? options_.count > 1 : options_.count != 1;
  screen_.Line(Cat(several ? Cat("call ", track.record.number, ", ") : "",
                   track.record.peer, ": ", text));
}

}  // namespace sluice::phone

#ifndef SLUICE_SIP_SIMPLE_H_
#define SLUICE_SIP_SIMPLE_H_

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/net/event_loop.h"
#include "base/types.h"
#include "sip/authorize.h"
#include "sip/call.h"
#include "sip/credentials.h"
#include "sip/handler.h"
#include "sip/media_relay.h"
#include "sip/registrar.h"
#include "sip/rtp.h"
#include "sip/transaction.h"
#include "sip/transport.h"

namespace sluice::sip {

// SIP applications in a few lines (the seeds' Simple): a user agent that
// registers, calls and is called, or a registrar and proxy, on the very parser,
// transports, router and timers of the daemon.
//
// In the examples, which are all run as tests, `ua` is a Simple that has been
// made as in the first and has registered, `server` one that listens at an
// address of ours; names are those of sluice and sluice::sip.
//
// Thread: that of its loop, which is Loop()'s caller.
class Simple {
 public:
  struct LegOptions {
    std::string name{};  // "" : "leg0", "leg1", ...
    // "udp:192.0.2.1:5060", "tcp:[2001:db8::1]:5060", "192.0.2.1",
    // "sip:192.0.2.1:5060;transport=tcp". Without a port 5060 (tls: 5061), 0:
    // any. Several, one a transport and family, make one leg.
    std::vector<std::string> listen{};
    std::string dst{};  // "address:port": everything goes there and comes from
                        // there, whatever it says
    TlsOptions tls{};
    LegOptions() = default;
    LegOptions(const char* where) : listen{where} {}
    LegOptions(std::string where) : listen{std::move(where)} {}
  };
  // By the seeds' names.
  struct Options {
    // "address[:port]", "host[:port]" or a SIP URI: all requests go there.
    // Without legs one is made that reaches it.
    std::string outgoing_proxy{};
    std::string registrar{};  // the same; where Register() goes
    std::vector<LegOptions> legs{};
    Credentials auth{};
    std::string domain{};   // completes what has no "@"
    std::string from{};     // "me", "sip:me@example.com", "\"Me\" <sip:...>"
    std::string contact{};  // URI; "" : the user of `from` at the leg's address
    // Header fields of answers to OPTIONS: the given ones replace the defaults
    // (Allow, Accept, Accept-Encoding, Accept-Language, Supported).
    std::vector<std::pair<std::string, std::string>> options{};
    std::vector<std::string> route{};  // Route values of what we begin
    // Domain ("*.example.com", "*") -> "sip:proxy:port".
    std::vector<std::pair<std::string, std::string>> domain2proxy{};
    // ---- beyond the seeds
    net::EventLoop* loop = nullptr;  // borrowed; null: its own
    std::string user_agent = "Sluice";
    TransactionTimers timers{};
    // Each takes two descriptors: for many the program raises RLIMIT_NOFILE.
    size_t calls_max = 1'000;
    // RTP ports of the calls, of which the first is even.
    std::pair<uint16_t, uint16_t> rtp_ports{2000, 12000};
    // Requests and sound are only sent there; null: anywhere but to nobody's
    // address.
    std::function<bool(const Endpoint&)> allowed{};
    // Sees every message.
    std::function<void(bool in, const Peer& peer, std::string_view octets)>
        trace{};
  };

  // Example: a phone
  //   auto made = Simple::Create({.outgoing_proxy = "192.0.2.10",
  //                               .registrar = "192.0.2.10",
  //                               .auth = Credentials("me", "secret"),
  //                               .domain = "example.com",
  //                               .from = "me"});
  //   if (!made.ok()) {
  //     std::cerr << made.status() << "\n";  // what is wrong, in words
  //     return;
  //   }
  //   const std::unique_ptr<Simple> ua = *std::move(made);
  //   const auto granted = ua->Register({});
  //
  // Example: a station at an address of its own
  //   const auto server = Simple::Create(
  //       {.legs = {"udp:192.0.2.1:5060", "tcp:192.0.2.1:5060"},
  //        .domain = "example.com",
  //        .options = {{"Accept-Language", "en, de"}}});
  //   for (const std::string& where : (*server)->Listening()) {
  //     std::cout << where << "\n";
  //   }
  //
  // InvalidArgument names the argument; else what sockets said (AlreadyExists:
  // a port is taken). Legs listen when this returns.
  static absl::StatusOr<std::unique_ptr<Simple>> Create(Options options);
  // Cleanup(), then the rest.
  virtual ~Simple() = default;

  struct RegisterArgs {
    std::string registrar{}, from{}, contact{}, leg{};  // "" : of Options
    std::optional<Credentials> auth{};
    uint32_t expires = 900;  // seconds asked for; 0: removes
    // Registers again before it ends, until Cleanup(), expires = 0 or a refused
    // password (PermissionDenied). What failed is tried again in 30 s, or later
    // where the registrar says so.
    bool refresh = false;
    // Each answer that is final; none: Register() waits for the first.
    std::function<void(const absl::StatusOr<uint32_t>&)> cb_final{};
  };
  // Example: register, and wait for the answer
  //   const auto granted = ua->Register({.expires = 600});
  //   if (granted.ok()) std::cout << "for " << *granted << " s\n";
  //
  // Example: stay registered
  //   bool registered = false;
  //   ua->Register({.refresh = true,
  //                 .cb_final = [&](const absl::StatusOr<uint32_t>& granted) {
  //                   registered = granted.ok();  // again each time
  //                 }});
  //   ua->Loop(Micros::Seconds(10), {&registered});
  //
  // Example: be there no more
  //   const auto removed = ua->Register({.expires = 0});
  //
  // The seconds that the registrar granted; 0 when there is a callback. Without
  // one it turns the loop, so not in a callback (FailedPrecondition). The
  // error has its code: PermissionDenied (401, 403, 407), NotFound (404),
  // DeadlineExceeded (408), Unavailable (503, no way there), else Aborted, with
  // the code and words of the answer.
  virtual absl::StatusOr<uint32_t> Register(RegisterArgs args) = 0;

  // Example: call, play a file, record what is heard, and hang up
  //   bool over = false;
  //   ua->Invite("you",
  //              {.init_media =
  //                   Rtp::SendRecv({.play = "hello.wav",
  //                                  .record = "answer.wav",
  //                                  .played = [](Call& c) { c.Bye(); }}),
  //               .cb_cleanup = [&](Call&) { over = true; }});
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  // Example: why a call was not answered
  //   bool over = false;
  //   ua->Invite("nobody", {.cb_final = [&](Call&, const CallResult& result) {
  //                std::cout << result.code << " " << result.reason << "\n";
  //                over = !result.ok();  // 404 Not Found
  //              }});
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  // Example: ring for a while only
  //   bool noanswer = false, over = false;
  //   ua->Invite("sleeper", {.sip_header = {{"Subject", "lunch"}},
  //                          .ring_time = Micros::Millis(200),
  //                          .cb_noanswer = [&](Call&) { noanswer = true; },
  //                          .cb_cleanup = [&](Call&) { over = true; }});
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  // Calls. Who: "you" (at the domain), "you@example.com", a SIP URI, or a whole
  // To value. InvalidArgument for what is none; ResourceExhausted: calls_max,
  // no RTP port.
  virtual absl::StatusOr<std::shared_ptr<Call>> Invite(std::string_view who,
                                                       CallParams params) = 0;

  struct AuthArgs {
    // user:realm:password lines, or a database (sip/digest.h); a file of mode
    // 0600 or 0640.
    std::string users{};
    // Or, in place of them, who may log in with what password.
    std::vector<std::pair<std::string, std::string>> user2pass{};
    std::string realm = "sluice";
    std::string opaque{};
    std::vector<DigestAlgorithm> algorithms{DigestAlgorithm::kSha256,
                                            DigestAlgorithm::kMd5};
    std::vector<std::string> methods{};  // empty: all
    bool i_am_proxy = false;
  };
  struct ListenArgs {
    // Whether an INVITE is looked at: the value of From, the request. False:
    // 403.
    std::function<bool(std::string_view from, const Message&)> filter{};
    // A call is about to be answered; false: 480.
    std::function<bool(Call&, const Message&)> cb_create{};
    std::function<void(Call&)> cb_established{}, cb_cleanup{};
    // Callers have to log in (the seeds' auth_*).
    std::optional<AuthArgs> auth{};
    CallParams call{};  // of each call that comes
  };
  // Example: answer with an echo
  //   bool established = false, over = false;
  //   ua->Listen({.cb_established = [&](Call&) { established = true; },
  //               .cb_cleanup = [&](Call&) { over = true; },
  //               .call = {.init_media = Rtp::MediaRecvEcho("answer.wav")}});
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  // Example: choose who is answered, and with what
  //   bool over = false;
  //   ua->Listen({.filter =
  //                   [](std::string_view from, const Message&) {
  //                     return from.find("@example.com") != from.npos;
  //                   },
  //               .cb_create =
  //                   [](Call& call, const Message& invite) {
  //                     CallParams params = call.params();
  //                     params.init_media = Rtp::Tone(440);
  //                     call.SetParam(params);
  //                     return !invite.body().empty();
  //                   },
  //               .cb_cleanup = [&](Call&) { over = true; }});
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  // Example: callers have to log in
  //   bool over = false;
  //   ua->Listen({.cb_cleanup = [&](Call&) { over = true; },
  //               .auth = Simple::AuthArgs{.user2pass = {{"you", "secret"}},
  //                                        .realm = "friends of me"},
  //               .call = {.init_media = Rtp::MediaRecvEcho()}});
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  // From here on calls are taken, on all legs. Does not wait. 486 beyond
  // calls_max, 503 and 513 for what would be too much to keep.
  virtual absl::Status Listen(ListenArgs args) = 0;

  // ---- stations of a chain. Each stands in force on all legs alone as soon as
  // it is made, as in the seeds; CreateChain puts several in order. Simple's.
  //
  // Example: a registrar and proxy for users who have logged in
  //   const auto gate = server->CreateAuth({.users = "users.txt"});
  //   const auto registrar = server->CreateRegistrar(
  //       {.domains = {"example.com"}, .database = "location.db"});
  //   const auto proxy = server->CreateStatelessProxy({});
  //   server->CreateChain({*gate, *registrar, *proxy}, {});
  //   server->Loop();  // until Stop()
  //
  // Example: a registrar alone, behind a password
  //   const auto registrar = server->CreateRegistrar(
  //       {.domains = {"example.com"},
  //        .min_expires = 60,
  //        .max_expires = 3600,
  //        .auth = Simple::AuthArgs{.user2pass = {{"me", "secret"}}}});
  //   server->Loop();
  //
  // Example: a proxy that leads anybody anywhere
  //   const auto proxy = server->CreateStatelessProxy({.trusted = true});
  //   server->Loop();
  //
  // Example: a chain for some methods, with a filter
  //   const auto registrar =
  //       server->CreateRegistrar({.domains = {"example.com"}});
  //   size_t seen = 0;
  //   server->CreateChain({*registrar},
  //                       {.methods = {"REGISTER"},
  //                        .filter = [&](const Incoming& in) {
  //                          return ++seen > 0 && in.leg.name == "leg0";
  //                        }});
  //   server->Loop();
  //   bool filtered = seen > 0;
  //
  virtual absl::StatusOr<Handler*> CreateAuth(AuthArgs args) = 0;
  struct RegistrarArgs {
    std::vector<std::string> domains{};
    uint32_t min_expires = 30, max_expires = 300;
    size_t max_contacts = 10;
    std::string database{};  // "" : in memory
    std::optional<AuthArgs> auth{};
  };
  virtual absl::StatusOr<Handler*> CreateRegistrar(RegistrarArgs args) = 0;
  struct ProxyArgs {
    std::vector<std::string> domains{};  // ours, besides the registrar's
    bool force_rewrite = false;
    bool rewrite_contact = true;
    // Its parties may call anybody (no security P16): on loopback, or behind
    // CreateAuth.
    bool trusted = false;
    MediaRelay* nathelper = nullptr;  // borrowed; of what goes from leg to leg
    std::optional<AuthArgs> auth{};
  };
  virtual absl::StatusOr<Handler*> CreateStatelessProxy(ProxyArgs args) = 0;
  struct ChainArgs {
    std::vector<std::string> methods{};  // empty: all
    std::function<bool(const Incoming&)> filter{};
  };
  virtual absl::StatusOr<Handler*> CreateChain(std::vector<Handler*> objects,
                                               ChainArgs args) = 0;

  // Example: until something has happened, but not longer than a minute
  //   bool registered = false;
  //   ua->Register({.cb_final = [&](const absl::StatusOr<uint32_t>& granted) {
  //     registered = granted.ok();
  //   }});
  //   const bool in_time = ua->Loop(Micros::Seconds(60), {&registered});
  //
  // Example: until somebody says stop
  //   ua->AddTimer(Micros::Millis(20), [&] { ua->Stop(); });
  //   ua->Loop();
  //
  // Turns the loop until one of `stop` is true (true is returned), `timeout` is
  // over (0: never), or Stop(). In a callback: false at once, and Error().
  virtual bool Loop(Micros timeout,
                    std::initializer_list<const bool*> stop) = 0;
  bool Loop() { return Loop(Micros(), {}); }  // until Stop()
  // Ends the Loop() that runs, or the next one; one that ends by itself has
  // used it up. Any thread, also in a signal handler.
  virtual void Stop() = 0;
  // Example: three times, and no more
  //   int times = 0;
  //   bool thrice = false;
  //   uint64_t timer = 0;
  //   timer = ua->AddTimer(Micros::Millis(20), [&] {
  //     if (++times < 3) return;
  //     thrice = true;
  //     ua->CancelTimer(timer);
  //   }, Micros::Millis(10));
  //   ua->Loop(Micros::Seconds(60), {&thrice});
  //
  // First after `when`, then every `repeat` (0: once). For CancelTimer; 0
  // behind Cleanup().
  virtual uint64_t AddTimer(Micros when, std::function<void()> callback,
                            Micros repeat = {}) = 0;
  virtual void CancelTimer(uint64_t timer) = 0;

  // Example: the end before the end
  //   ua->Cleanup();
  //   bool over = call->state() == Call::State::kEnded;
  //   const absl::Status why = ua->Register({}).status();  // none is there
  //
  // Hangs up what is up, without waiting for answers (an INVITE that nobody has
  // answered yet cannot be taken back so: its party hears nothing more), ends
  // timers, closes sockets: nothing is left of it on the loop. The registration
  // stays. In a callback it takes place when that turn is over; the agent
  // itself must not be destroyed in one.
  virtual void Cleanup() = 0;

  // Example: what went wrong in the middle of a call
  //   bool over = false;
  //   ua->Invite("you", {.init_media = Rtp::SendRecv("missing.wav"),
  //                      .cb_cleanup = [&](Call&) { over = true; }});
  //   ua->Loop(Micros::Seconds(60), {&over});
  //   const absl::Status why = ua->Error();  // missing.wav: ...
  //
  // What was said last to be wrong: also what no call returned, such as a sound
  // file that could not be read in the middle of a call.
  virtual const absl::Status& Error() const = 0;

  // Where the legs listen, "udp:192.0.2.1:5060".
  virtual std::vector<std::string> Listening() const = 0;
  // That are not over.
  //
  // Example: turn the loop oneself, until all calls are over
  //   const auto call = ua->Invite("sleeper", {});
  //   ua->AddTimer(Micros::Millis(50), [&] { (*call)->Cancel(); });
  //   while (ua->calls() > 0) ua->loop().RunOnce(Micros::Seconds(1));
  virtual size_t calls() const = 0;
  // Example: two agents on one loop
  //   const auto other = Simple::Create(
  //       {.legs = {"udp:192.0.2.1:5060"}, .loop = &ua->loop()});
  //   bool over = false;
  //   (*other)->Invite("sip:you@192.0.2.20:5060",
  //                    {.cb_established = [](Call& call) { call.Bye(); },
  //                     .cb_cleanup = [&](Call&) { over = true; }});
  //   ua->Loop(Micros::Seconds(60), {&over});
  virtual net::EventLoop& loop() = 0;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_SIMPLE_H_

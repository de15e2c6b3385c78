#include "sip/registration.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "base/text.h"
#include "sip/fields.h"

namespace sluice::sip {
absl::Status StatusOfCode(int code, std::string_view reason) {
  const std::string what = Cat(code, " ", reason);
  switch (code) {
    case 401:
    case 403:
    case 407: return absl::PermissionDeniedError(what);
    case 404: return absl::NotFoundError(what);
    case 408: return absl::DeadlineExceededError(what);
    case 503: return absl::UnavailableError(what);
    default: return absl::AbortedError(what);
  }
}

namespace {

// Seconds, before its comment and parameters (RFC 3261 20.33); 0: not said.
int64_t RetryAfterOf(const Message& response) {
  const std::string_view text = response.Value(HeaderId::kRetryAfter);
  const auto seconds = ParseNumber(
      text.substr(0, text.find_first_not_of("0123456789")), UINT32_MAX);
  return static_cast<int64_t>(seconds.value_or(0));
}

}  // namespace

Registration::Registration(net::EventLoop& loop, Requester& requester,
                           Plan plan)
    : loop_(loop), requester_(requester), plan_(std::move(plan)) {
  series_.call_id = RandomHex(16);
  series_.local_tag = RandomHex(8);
  series_.local = series_.remote = plan_.value;
  series_.routes = plan_.routes;
}

Registration::~Registration() {
  loop_.Cancel(timer_);
  requester_.Abandon(request_);
}

bool Registration::Is(const Plan& plan) const {
  return plan.registrar == plan_.registrar && plan.value == plan_.value &&
         plan.contact == plan_.contact && plan.leg == plan_.leg;
}

void Registration::Register(uint32_t expires, bool refresh, Credentials who,
                            Done done) {
  loop_.Cancel(std::exchange(timer_, 0));
  requester_.Abandon(std::exchange(request_, 0));
  expires_ = expires;
  refresh_ = refresh && expires != 0;
  briefer_ = false;
  who_ = std::move(who);
  challenges_ = Challenges();
  done_ = std::move(done);
  Send();
}

void Registration::Send() {
  const std::string next =
      series_.routes.empty() ? plan_.registrar
                             : std::string(UriOfRoute(series_.routes.front()));
  // The domain that is registered in, without its user (10.2).
  const auto aor = Uri::Parse(plan_.aor);
  series_.remote_target =
      Cat(aor->scheme_text, ":", aor->host,
          aor->port == 0 ? std::string() : Cat(":", aor->port));
  request_ = requester_.Start(
      {.next_hop = next,
       .method = "REGISTER",
       .uri = series_.remote_target,
       .call_id = series_.call_id,
       .leg = plan_.leg,
       .credentials = who_,
       .challenges = &challenges_,
       .follow = true,
       .write = [this](const Requester::Attempt& a) { return Write(a); },
       .response =
           [this](const Incoming& in) {
             if (in.message.status() >= 200) OnResponse(in.message);
           },
       .failed =
           [this](int code, std::string_view reason) {
             request_ = 0;
             retry_after_ = kRetryAfter;
             Tell(StatusOfCode(code, reason));
           }});
}

OutgoingRequest Registration::Write(const Requester::Attempt& attempt) {
  contact_ = plan_.contact.empty()
                 ? ContactAt(plan_.user, attempt.own, SchemeFor(plan_.aor))
                 : plan_.contact;
  std::string headers;
  if (!attempt.route.empty()) {
    Append(&headers, "Route: ", attempt.route, "\r\n");
  }
  Append(&headers, attempt.credentials, "Contact: <", contact_,
         ">\r\nExpires: ", expires_, "\r\n");
  if (!plan_.user_agent.empty()) {
    Append(&headers, "User-Agent: ", plan_.user_agent, "\r\n");
  }
  return series_.Request("REGISTER", ++series_.local_cseq, headers, {},
                         attempt.uri);
}

uint32_t Registration::Granted(const Message& response) const {
  const auto ours = Uri::Parse(contact_);
  std::optional<uint64_t> granted;
  response.ForEach(HeaderId::kContact, [&](std::string_view text) {
    const auto contact = NameAddr::Parse(text);
    if (!contact || !ours || !SameUri(contact->uri, *ours)) return true;
    const auto expires = contact->params.Get("expires");
    if (!expires) return true;
    if (const auto seconds = ParseNumber(*expires, UINT32_MAX)) {
      granted = std::min(granted.value_or(*seconds), *seconds);
    }
    return true;
  });
  if (granted) return static_cast<uint32_t>(*granted);
  if (response.expires() >= 0) {
    return static_cast<uint32_t>(
        std::min<int64_t>(response.expires(), UINT32_MAX));
  }
  return expires_;
}

void Registration::OnResponse(const Message& response) {
  request_ = 0;
  const int status = response.status();
  if (status < 300) {
    const uint32_t granted = Granted(response);
    if (granted != 0 || expires_ == 0) return Tell(granted);
    retry_after_ = kRetryAfter;
    return Tell(absl::AbortedError("the registrar has granted no time"));
  }
  if (status == 423 && !briefer_) {
    const auto least =
        ParseNumber(response.Value(HeaderId::kMinExpires), UINT32_MAX);
    if (least && *least > expires_ && *least <= kLongestWait) {
      briefer_ = true;
      expires_ = static_cast<uint32_t>(*least);
      return Send();
    }
  }
  retry_after_ = std::clamp(RetryAfterOf(response), kRetryAfter, kLongestWait);
  Tell(StatusOfCode(status, response.reason()));
}

void Registration::Tell(const absl::StatusOr<uint32_t>& result) {
  // A wrong password is said once (22.2): whoever has a better one registers
  // anew.
  if (absl::IsPermissionDenied(result.status())) refresh_ = false;
  if (refresh_) {
    // In time for several tries; at least every second round trip is spared.
    Micros pause = Micros::Seconds(retry_after_);
    if (result.ok()) {
      const int64_t us = int64_t{*result} * 1'000'000;
      pause = std::clamp(Micros(us - std::min<int64_t>(us / 4, 60'000'000)),
                         Micros::Seconds(kBriefestWait),
                         Micros::Seconds(kLongestWait));
    }
    timer_ = loop_.After(pause, [this] {
      timer_ = 0;
      challenges_.Accepted();
      Send();
    });
  }
  // What is told may begin another, or end this.
  const Done done = done_;
  if (done) done(result);
}

}  // namespace sluice::sip

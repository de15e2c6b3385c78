#include "tools/phone/options.h"

#include <cstdlib>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/net/socket.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "sip/uri.h"

namespace sluice::phone {
namespace {

constexpr const char* kPasswordVariable = "SLUICEPHONE_PASSWORD";
constexpr size_t kPasswordMax = 1024;

absl::Status Wrong(std::string_view option, std::string_view text,
                   std::string_view why) {
  return absl::InvalidArgumentError(Cat(option, ": \"", text, "\" is ", why));
}

absl::StatusOr<std::string> PasswordOf(const Options& o) {
  if (!o.password.empty() && !o.password_file.empty()) {
    return absl::InvalidArgumentError(
        "--password and --password-file: one of them");
  }
  if (!o.password.empty()) return o.password;
  if (!o.password_file.empty()) return ReadPassword(o.password_file);
  const char* told = std::getenv(kPasswordVariable);
  return std::string(told == nullptr ? "" : told);
}

// Behind a proxy it is the domain that is registered at.
std::string RegistrarOf(const Options& o) {
  const size_t at = o.from.find('@');
  if (at == o.from.npos) return o.domain.empty() ? o.proxy : o.domain;
  return o.from.substr(at + 1, o.from.find_first_of(">;?", at) - at - 1);
}

absl::Status AddAccount(const Options& o, sip::Simple::Options& agent) {
  agent.outgoing_proxy = o.proxy;
  agent.registrar = o.registrar;
  agent.domain = o.domain;
  agent.from = o.from.empty() ? "sluicephone" : o.from;
  agent.contact = o.contact;
  ASSIGN_OR_RETURN(const std::string password, PasswordOf(o));
  const std::string user = o.auth_user.empty() ? UserOf(o.from) : o.auth_user;
  if (!password.empty()) {
    if (user.empty()) {
      return absl::InvalidArgumentError(
          "a password needs a user: --user, or --auth-user");
    }
    agent.auth = sip::Credentials(user, password);
  }
  if (o.do_register || o.role == Role::kRegister) {
    if (o.registrar.empty() && o.proxy.empty()) {
      return absl::InvalidArgumentError(
          "to register takes --registrar, or --proxy");
    }
    if (o.from.empty()) {
      return absl::InvalidArgumentError("to register takes --user");
    }
    if (agent.registrar.empty()) agent.registrar = RegistrarOf(o);
  }
  return absl::OkStatus();
}

// Of a call that goes straight to its URI: the address that faces it.
absl::StatusOr<std::string> LegTowards(std::string_view whom) {
  if (const size_t open = whom.find('<'); open != whom.npos) {
    whom = whom.substr(open + 1, whom.find('>', open) - open - 1);
  }
  const bool has_scheme = EqualsNoCase(whom.substr(0, 4), "sip:") ||
                          EqualsNoCase(whom.substr(0, 5), "sips:");
  const std::string text = Cat(has_scheme ? "" : "sip:", whom);
  const auto uri = sip::Uri::Parse(text);
  const auto ip = uri ? uri->ip() : std::nullopt;
  if (!ip) {
    return absl::InvalidArgumentError(
        Cat("the way to \"", whom,
            "\" is not known before its name is: --proxy, or --leg "
            "udp:ADDRESS:0"));
  }
  ASSIGN_OR_RETURN(
      const IpAddress source,
      net::SourceTowards(
          {.ip = *ip, .port = Port::FromHost(uri->port_or_default())}));
  const auto transport = uri->Param("transport");
  return Cat(transport ? Lower(*transport) : std::string("udp"), ":",
             Endpoint{.ip = source, .port = Port()}.ToString());
}

absl::Status AddLegs(const Options& o, sip::Simple::Options& agent) {
  for (const std::string& text : o.legs) {
    sip::Simple::LegOptions leg;
    leg.listen = absl::StrSplit(text, ',', absl::SkipEmpty());
    if (leg.listen.empty()) return Wrong("--leg", text, "no address");
    leg.tls = {
        .certificate = o.tls_certificate, .key = o.tls_key, .ca = o.tls_ca};
    agent.legs.push_back(std::move(leg));
  }
  const bool tls =
      !o.tls_certificate.empty() || !o.tls_key.empty() || !o.tls_ca.empty();
  if (tls && o.legs.empty()) {
    return absl::InvalidArgumentError(
        "--tls-*: name the leg it is for, --leg tls:ADDRESS:PORT");
  }
  if (o.role == Role::kCall && o.legs.empty() && o.proxy.empty() &&
      o.registrar.empty()) {
    ASSIGN_OR_RETURN(std::string leg, LegTowards(o.whom));
    agent.legs.emplace_back(std::move(leg));
  }
  const bool answers = o.role == Role::kAnswer || o.role == Role::kEcho;
  if (answers && o.legs.empty() && o.proxy.empty() && o.registrar.empty()) {
    return absl::InvalidArgumentError(
        "where to be called: --leg udp:ADDRESS:PORT");
  }
  return absl::OkStatus();
}

absl::Status AddMedia(const Options& o, sip::CallParams& call) {
  ASSIGN_OR_RETURN(call.rtp_param.codecs, ParseCodecs(o.codecs));
  call.rtp_param.ptime_ms = o.ptime_ms;
  call.symmetric_rtp = o.latch;
  call.rtp_timeout = ToMicros(o.silence_s);
  ASSIGN_OR_RETURN(const rtp::DtmfMethod method,
                   ParseDtmfMethod(o.dtmf_method));
  call.dtmf_methods = {method};
  // The other way digits are heard all the same, and sent where the peer takes
  // no events.
  call.dtmf_methods.push_back(method == rtp::DtmfMethod::kRfc4733
                                  ? rtp::DtmfMethod::kInBand
                                  : rtp::DtmfMethod::kRfc4733);
  for (const char digit : o.dtmf) {
    if (!rtp::EventOfDigit(digit)) {
      return Wrong("--dtmf", o.dtmf, "not made of 0-9 * # A-D");
    }
  }
  if (!o.play.empty() && o.tone_hz > 0) {
    return absl::InvalidArgumentError("--play and --tone: one of them");
  }
  if (o.role == Role::kEcho && (!o.play.empty() || o.tone_hz > 0)) {
    return absl::InvalidArgumentError(
        "echo sends back what it hears: no --play, no --tone (see answer)");
  }
  if (o.resume_after_s > 0 && o.hold_after_s <= 0) {
    return absl::InvalidArgumentError(
        "--resume-after counts from the hold: --hold-after, too");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::pair<uint16_t, uint16_t>> ParsePorts(
    std::string_view text) {
  const size_t dash = text.find('-');
  uint32_t first = 0, last = 0;
  if (dash == text.npos ||
      !absl::SimpleAtoi(std::string(text.substr(0, dash)), &first) ||
      !absl::SimpleAtoi(std::string(text.substr(dash + 1)), &last) ||
      first < 1024 || last > 65535 || first >= last) {
    return Wrong("--rtp-ports", text,
                 "not FIRST-LAST, two ports from 1024 to 65535");
  }
  return std::pair(static_cast<uint16_t>(first), static_cast<uint16_t>(last));
}

absl::StatusOr<std::vector<rtp::Codec>> ParseCodecs(std::string_view text) {
  std::vector<rtp::Codec> codecs;
  for (const std::string& name :
       std::vector<std::string>(absl::StrSplit(std::string(text), ','))) {
    const auto codec = rtp::CodecOfName(name);
    if (!codec) return Wrong("--codec", name, "neither pcmu nor pcma");
    for (const rtp::Codec earlier : codecs) {
      if (earlier == *codec) return Wrong("--codec", name, "there twice");
    }
    codecs.push_back(*codec);
  }
  return codecs;
}

absl::StatusOr<rtp::DtmfMethod> ParseDtmfMethod(std::string_view text) {
  if (text == "rfc4733") return rtp::DtmfMethod::kRfc4733;
  if (text == "inband") return rtp::DtmfMethod::kInBand;
  return Wrong("--dtmf-method", text, "neither rfc4733 nor inband");
}

std::string UserOf(std::string_view from) {
  if (const size_t open = from.rfind('<'); open != from.npos) {
    from.remove_prefix(open + 1);
  }
  for (const std::string_view scheme : {"sip:", "sips:"}) {
    if (from.size() >= scheme.size() &&
        EqualsNoCase(from.substr(0, scheme.size()), scheme)) {
      from.remove_prefix(scheme.size());
    }
  }
  return std::string(from.substr(0, from.find_first_of("@>;")));
}

absl::StatusOr<std::string> ReadPassword(const std::string& path) {
  std::ifstream file(path == "-" ? "/dev/stdin" : path);
  std::string line;
  if (!file) {
    return absl::InvalidArgumentError(
        Cat("--password-file: cannot read ", path));
  }
  std::getline(file, line);
  while (!line.empty() && line.back() == '\r') line.pop_back();
  if (line.empty() || line.size() > kPasswordMax) {
    return absl::InvalidArgumentError(
        Cat("--password-file: the first line of ", path,
            line.empty() ? " is empty" : " is too long"));
  }
  return line;
}

std::string FileOfCall(std::string_view name, size_t number) {
  if (name.empty()) return "";
  if (const size_t at = name.find("{}"); at != name.npos) {
    return Cat(name.substr(0, at), number, name.substr(at + 2));
  }
  if (number <= 1) return std::string(name);
  const size_t slash = name.rfind('/');
  const size_t dot = name.rfind('.');
  const bool ending =
      dot != name.npos && dot != 0 && (slash == name.npos || dot > slash + 1);
  const size_t cut = ending ? dot : name.size();
  return Cat(name.substr(0, cut), "-", number, name.substr(cut));
}

absl::StatusOr<Plan> MakePlan(const Options& o) {
  Plan plan;
  RETURN_IF_ERROR(AddAccount(o, plan.agent));
  RETURN_IF_ERROR(AddLegs(o, plan.agent));
  RETURN_IF_ERROR(AddMedia(o, plan.call));
  ASSIGN_OR_RETURN(plan.agent.rtp_ports, ParsePorts(o.rtp_ports));
  plan.agent.user_agent = "sluicephone/" SLUICE_VERSION;
  plan.call.sdp_on_ack = o.delayed_offer;
  if (o.role == Role::kCall) {
    plan.call.ring_time = ToMicros(o.ring_s);
  } else {
    plan.call.auto_answer = false;
    plan.call.ring_time = Micros();  // the phone rings by a timer of its own
  }
  return plan;
}

Micros ToMicros(double seconds) {
  return Micros(static_cast<int64_t>(seconds * 1e6));
}

}  // namespace sluice::phone

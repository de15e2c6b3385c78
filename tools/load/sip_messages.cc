#include "tools/load/sip_messages.h"

#include "base/text.h"

namespace sluice::load {
namespace {

struct ScenarioName {
  SipScenario scenario;
  std::string_view name, method;
};
constexpr ScenarioName kScenarios[] = {
    {SipScenario::kOptions, "options", "OPTIONS"},
    {SipScenario::kMessage, "message", "MESSAGE"},
    {SipScenario::kRegister, "register", "REGISTER"},
    {SipScenario::kCall, "call", "INVITE"},
};
const ScenarioName& Row(SipScenario scenario) {
  return kScenarios[static_cast<size_t>(scenario)];
}

std::string Hex(uint32_t number) {
  char text[8];
  SipWriter(text, sizeof text).PutHex(number);
  return std::string(text, sizeof text);
}

// What says by which transport a URI is reached; UDP is the default.
std::string_view UriEnd(sip::Transport transport) {
  switch (transport) {
    case sip::Transport::kUdp: return "";
    case sip::Transport::kTcp: return ";transport=tcp";
    case sip::Transport::kTls: return ";transport=tls";
  }
  return "";
}

// In the descriptions of calls without media, to which nobody sends.
constexpr Port kUacPort = Port::FromHost(40000);
constexpr Port kUasPort = Port::FromHost(40002);

// One audio stream of G.711, offered or answered (RFC 8866, RFC 3264).
std::string Sdp(const Endpoint& local) {
  const std::string address =
      Cat(local.ip.is_v4() ? "IP4 " : "IP6 ", local.ip.ToString());
  return Cat("v=0\r\no=- 1 1 IN ", address, "\r\ns=-\r\nc=IN ", address,
             "\r\nt=0 0\r\nm=audio ", local.port.host(),
             " RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
             "a=ptime:20\r\na=sendrecv\r\n");
}

std::string Body(std::string_view type, std::string_view body) {
  return type.empty()
             ? std::string("Content-Length: 0\r\n\r\n")
             : Cat("Content-Type: ", type, "\r\nContent-Length: ", body.size(),
                   "\r\n\r\n", body);
}

// {step} tells the transactions of one number apart.
std::string Request(const SipParties& p, std::string_view method,
                    std::string_view uri, std::string_view to_line,
                    std::string_view rest) {
  const std::string run = Hex(p.run);
  return Cat(method, " ", uri, " SIP/2.0\r\nVia: SIP/2.0/",
             sip::NameOf(p.transport), " ", p.uac.ToString(),
             ";branch=", sip::Via::kMagic, run, "{number}{step};rport\r\n",
             "Max-Forwards: 70\r\n{lines}From: <sip:{user}@", p.domain,
             ">;tag=", run, "{number}\r\n", to_line, "Call-ID: ", run,
             "-{number}", kSipCallIdEnd, "\r\nCSeq: {cseq} ", method, "\r\n",
             rest);
}

}  // namespace

std::string SipAudioBody(const Endpoint& local) {
  return Body("application/sdp", Sdp(local));
}

std::string_view NameOf(SipScenario scenario) { return Row(scenario).name; }

std::optional<SipScenario> SipScenarioOf(std::string_view name) {
  for (const ScenarioName& row : kScenarios) {
    if (row.name == name) return row.scenario;
  }
  return std::nullopt;
}

SipRequests::SipRequests(const SipParties& p) : method(Row(p.scenario).method) {
  const std::string_view end = UriEnd(p.transport);
  const bool registers = p.scenario == SipScenario::kRegister;
  const std::string uri = registers ? Cat("sip:", p.domain)
                          : p.to.empty()
                              ? Cat("sip:{user}@", p.uas.ToString(), end)
                              : Cat("sip:{user}@", p.to, end);
  const std::string to = Cat(
      "To: <sip:{user}@", registers || p.to.empty() ? p.domain : p.to, ">\r\n");
  const std::string contact =
      Cat("Contact: <sip:{user}@",
          registers && !p.contact.empty() ? p.contact : p.uac.ToString(), end,
          ">\r\n");
  std::string rest;
  switch (p.scenario) {
    case SipScenario::kOptions:
      rest = Cat(contact, "Accept: application/sdp\r\n", Body("", ""));
      break;
    case SipScenario::kMessage:
      rest = Body("text/plain",
                  "Message {number} of a load generator: nobody will read it.");
      // The number is as long when it is written.
      static_assert(std::string_view("{number}").size() == 8);
      break;
    case SipScenario::kRegister:
      rest = Cat(contact, "Expires: ", p.expires_s, "\r\n", Body("", ""));
      break;
    case SipScenario::kCall:
      rest = Cat(contact, p.media ? std::string("{body}")
                                  : SipAudioBody({p.uac.ip, kUacPort}));
      break;
  }
  request_uri = SipTemplate(uri);
  first = SipTemplate(Request(p, method, uri, to, rest));
  const std::string nothing = Body("", "");
  refused_ack = SipTemplate(Request(p, "ACK", uri, "{to}", nothing));
  ack = SipTemplate(Request(p, "ACK", "{target}", "{to}", nothing));
  bye = SipTemplate(Request(p, "BYE", "{target}", "{to}", nothing));
}

SipResponses::SipResponses(const SipParties& p)
    : tag_(Cat(";tag=", Hex(p.run), "uas")),
      contact_(Cat("Contact: <sip:uas@", p.uas.ToString(), UriEnd(p.transport),
                   ">\r\n")),
      sdp_(SipAudioBody({p.uas.ip, p.media ? Port() : kUasPort})) {}

void SipResponses::Write(const SipScan& request, int code,
                         std::string_view body, SipWriter* out) const noexcept {
  out->Put("SIP/2.0 ");
  out->PutDecimal(static_cast<uint64_t>(code));
  out->Put(" ");
  out->Put(SipReason(code));
  out->Put("\r\n");
  for (std::string_view line : request.vias()) out->Put(line);
  const bool invite = request.method == "INVITE";
  if (invite) {
    // RFC 3261 12.1.1: what the dialog's requests will travel by.
    for (std::string_view line : request.record_routes()) out->Put(line);
  }
  out->Put(request.from_line);
  if (HasSipTag(request.to_line)) {
    out->Put(request.to_line);
  } else {
    std::string_view to = request.to_line;
    while (to.ends_with('\n') || to.ends_with('\r')) to.remove_suffix(1);
    out->Put(to);
    out->Put(tag_);
    out->Put("\r\n");
  }
  out->Put(request.call_id_line);
  out->Put(request.cseq_line);
  if (code < 300) out->Put(contact_);
  out->Put(!invite || code != 200 ? "Content-Length: 0\r\n\r\n"
           : body.empty()         ? std::string_view(sdp_)
                                  : body);
}

std::string_view SipReason(int code) {
  switch (code) {
    case 180: return "Ringing";
    case 200: return "OK";
    case 404: return "Not Found";
    case 481: return "Call/Transaction Does Not Exist";
    case 486: return "Busy Here";
    case 503: return "Service Unavailable";
    default: return "As Told";
  }
}

}  // namespace sluice::load

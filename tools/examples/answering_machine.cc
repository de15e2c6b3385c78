// Answers each call with a greeting and keeps what the caller says in a file of
// its own, message-1.wav and so on.
#include <cstdio>

#include "sip/rtp.h"
#include "sip/simple.h"

int main(int argc, char** argv) {
  using namespace sluice::sip;
  const bool account = argc == 7;
  if (argc != 3 && !account) {
    std::fputs("usage: LEG GREETING [PROXY DOMAIN USER PASSWORD]\n", stderr);
    return 2;
  }
  Simple::Options options{.legs = {argv[1]}};  // udp:192.0.2.1:5060
  if (account) {
    options.outgoing_proxy = argv[3];
    options.registrar = options.domain = argv[4];
    options.from = argv[5];
    options.auth = Credentials(argv[5], argv[6]);
  }
  auto phone = Simple::Create(options);
  absl::Status ok = phone.status();
  if (ok.ok() && account) ok = (*phone)->Register({.refresh = true}).status();
  int messages = 0;
  const auto called = [&](Call& call, const Message&) {
    CallParams params = call.params();
    params.init_media = Rtp::SendRecv(
        argv[2], "message-" + std::to_string(++messages) + ".wav");
    call.SetParam(params);
    return true;
  };
  if (ok.ok()) ok = (*phone)->Listen({.cb_create = called});
  std::fprintf(stderr, "%s\n", ok.ok() ? "ready" : ok.ToString().c_str());
  if (!ok.ok()) return 1;
  (*phone)->Loop();
}

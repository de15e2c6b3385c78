// Sends back to each caller what it hears.
#include <cstdio>
#include <string>

#include "sip/rtp.h"
#include "sip/simple.h"

int main(int argc, char** argv) {
  using namespace sluice::sip;
  if (argc < 2) {
    std::fputs("usage: echo_service LEG...\n", stderr);
    return 2;
  }
  Simple::Options options;
  options.legs.assign(argv + 1, argv + argc);  // udp:192.0.2.1:5060
  options.from = "echo";
  auto phone = Simple::Create(options);
  absl::Status status = phone.status();
  if (status.ok()) {
    status = (*phone)->Listen({.call = {.init_media = Rtp::MediaRecvEcho()}});
  }
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  for (const std::string& leg : (*phone)->Listening()) std::puts(leg.c_str());
  std::fflush(stdout);
  (*phone)->Loop();
}

// Registrar and proxy of a domain, for those on its leg.
#include <cstdio>

#include "sip/simple.h"

int main(int argc, char** argv) {
  using namespace sluice::sip;
  if (argc != 3)
    return std::fputs("usage: registrar_proxy LEG DOMAIN\n", stderr), 2;
  auto simple = Simple::Create({.legs = {argv[1]}, .domain = argv[2]});
  if (!simple.ok())
    return std::fprintf(stderr, "%s\n", simple.status().ToString().c_str()), 1;
  Simple& ua = **simple;
  auto registrar = ua.CreateRegistrar({.domains = {argv[2]}});
  auto proxy = ua.CreateStatelessProxy({.domains = {argv[2]}, .trusted = true});
  if (!registrar.ok() || !proxy.ok()) return 1;
  if (!ua.CreateChain({*registrar, *proxy}, {}).ok()) return 1;
  for (const std::string& leg : ua.Listening()) std::puts(leg.c_str());
  std::fflush(stdout);
  ua.Loop();
}

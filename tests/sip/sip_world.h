#ifndef SLUICE_TESTS_SIP_SIP_WORLD_H_
#define SLUICE_TESTS_SIP_SIP_WORLD_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/net/event_loop.h"
#include "base/text.h"
#include "sip/dispatcher.h"
#include "sip/fields.h"
#include "sip/keys.h"
#include "sip/leg.h"
#include "sip/media_nat.h"
#include "sip/router.h"
#include "sip/stateless_proxy.h"
#include "sip/transport.h"
#include "tests/sip/fake_relay.h"
#include "tests/sip/phone.h"

namespace sluice::sip {

// The SIP floor with real sockets on the loopback and a clock of its own. Legs
// are added, options are set, then Start() puts the proxy into each chain; a
// test may put others before it.
class SipWorld final : public Turner {
 public:
  SipWorld() : loop([this] { return now; }) {}

  Leg& AddLeg(const std::string& name, const char* ip,
              const std::vector<Transport>& transports = {Transport::kUdp,
                                                          Transport::kTcp}) {
    auto leg = std::make_unique<Leg>();
    leg->index = static_cast<uint8_t>(legs.size());
    leg->name = name;
    leg->media = *IpAddress::Parse(ip);
    leg->trusted = true;  // most tests are not about who may
    LegTransport::Options options;
    options.name = name;
    for (const Transport t : transports) {
      options.listen.emplace_back(t, Endpoint{*IpAddress::Parse(ip), Port()});
    }
    leg->sockets = std::make_unique<LegTransport>(
        loop, std::move(options),
        [this, l = leg.get()](const Peer& from, std::string_view octets) {
          dispatcher->OnMessage(*l, from, octets);
        });
    EXPECT_TRUE(leg->sockets->Listen().ok());
    for (const auto& [transport, bound] : leg->sockets->listeners()) {
      std::string host = bound.ip.ToString();
      if (!bound.ip.is_v4()) host = Cat("[", host, "]");
      leg->addresses.push_back({.transport = transport,
                                .bound = bound,
                                .host = host,
                                .port = bound.port.host()});
    }
    legs.push_back(std::move(leg));
    return *legs.back();
  }

  void Start() {
    dispatcher =
        std::make_unique<Dispatcher>(legs, keys, [this] { return now; });
    router = std::make_unique<Router>(legs, resolver, router_options);
    if (with_media) media = std::make_unique<MediaNat>(relay, keys);
    proxy = std::make_unique<StatelessProxy>(*dispatcher, *router, keys,
                                             media.get(), proxy_options);
    for (const auto& leg : legs) dispatcher->SetChain(*leg, {proxy.get()});
  }
  void SetChains(const std::vector<Handler*>& chain) {
    for (const auto& leg : legs) dispatcher->SetChain(*leg, chain);
  }

  void Turn() override { loop.RunOnce(Micros::Millis(5)); }
  void Settle() override {
    for (int i = 0; i < 20; ++i) loop.RunOnce(Micros(0));
  }

  uint64_t Drops(SipDrop reason) const {
    return dispatcher->counters().drops[static_cast<size_t>(reason)];
  }
  const SipCounters& counters() const { return dispatcher->counters(); }
  // Everything that came has ended in exactly one way.
  void ExpectLaw() {
    Settle();
    const SipCounters& c = counters();
    uint64_t drops = 0;
    for (const uint64_t n : c.drops) drops += n;
    EXPECT_EQ(c.requests_in + c.responses_in,
              c.requests_forwarded + c.responses_forwarded + c.replies + drops)
        << "in " << c.requests_in << "+" << c.responses_in << ", forwarded "
        << c.requests_forwarded << "+" << c.responses_forwarded << ", replies "
        << c.replies << ", drops " << drops;
  }

  Micros now = Micros::Seconds(1'000);
  net::EventLoop loop;
  Keys keys = Keys::FromSecrets({"the secret of a test"});
  Legs legs;
  Resolver* resolver = nullptr;
  Router::Options router_options{
      .domains = {"example.com"}, .domain2proxy = {}, .allowed = {}};
  StatelessProxy::Options proxy_options{};
  bool with_media = false;
  FakeRelay relay;
  std::unique_ptr<Dispatcher> dispatcher;
  std::unique_ptr<Router> router;
  std::unique_ptr<MediaNat> media;
  std::unique_ptr<StatelessProxy> proxy;
};

inline std::string Named(const Leg& leg, Transport t = Transport::kUdp) {
  for (const Leg::Address& a : leg.addresses) {
    if (a.transport == t) return Cat(a.host, ":", a.port);
  }
  return "";
}

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_SIP_WORLD_H_

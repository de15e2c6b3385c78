#include "sip/stack.h"

#include <cstring>
#include <optional>

#include "base/status_macros.h"
#include "base/text.h"
#include "sip/bad_frame.h"

namespace sluice::sip {

std::optional<std::pair<Transport, Endpoint>> ParseListener(
    std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto transport = TransportOf(text.substr(0, colon));
  const auto endpoint = Endpoint::Parse(text.substr(colon + 1));
  if (!transport || !endpoint) return std::nullopt;
  return std::pair(*transport, *endpoint);
}

std::string HostOf(const IpAddress& ip) {
  const std::string text = ip.ToString();
  return ip.is_v4() ? text : Cat("[", text, "]");
}

absl::StatusOr<std::unique_ptr<Stack>> Stack::Create(net::EventLoop& loop,
                                                     const Keys& keys,
                                                     std::vector<LegPlan> legs,
                                                     Router::Options routes) {
  std::unique_ptr<Stack> stack(new Stack);
  for (LegPlan& plan : legs) {
    plan.leg->index = static_cast<uint8_t>(stack->legs_.size());
    stack->legs_.push_back(std::move(plan.leg));
    stack->advertise_.push_back(plan.advertise);
  }
  // Nodes that share keys draw alike, and so does this one after a restart:
  // the ACK of a call goes where its INVITE went.
  Resolver::Options names;
  const std::string seed = keys.Derive("resolver");
  std::memcpy(&names.seed, seed.data(), sizeof names.seed);
  ASSIGN_OR_RETURN(stack->resolver_, Resolver::Create(loop, names));
  for (size_t i = 0; i < legs.size(); ++i) {
    stack->MakeSockets(loop, keys, *stack->legs_[i], std::move(legs[i].sockets),
                       routes);
  }
  stack->router_ = std::make_unique<Router>(
      stack->legs_, stack->resolver_.get(), std::move(routes));
  stack->dispatcher_ = std::make_unique<Dispatcher>(
      stack->legs_, keys, [&loop] { return loop.now(); });
  return stack;
}

void Stack::MakeSockets(net::EventLoop& loop, const Keys& keys, Leg& leg,
                        LegTransport::Options options,
                        const Router::Options& routes) {
  leg.sockets = std::make_unique<LegTransport>(
      loop, std::move(options),
      [this, &leg](const Peer& peer, std::string_view octets) {
        dispatcher_->OnMessage(leg, peer, octets);
      });
  leg.sockets->SetAnswerPolicy(routes.allowed);
  // It is no message: no chain sees it.
  leg.sockets->SetRefuser(
      [&keys](const Peer& peer, std::string_view header, int code) {
        return AnswerToBadFrame(keys, peer, header, code);
      });
}

absl::Status Stack::Listen() {
  for (size_t i = 0; i < legs_.size(); ++i) {
    Leg& leg = *legs_[i];
    RETURN_IF_ERROR(leg.sockets->Listen());
    const IpAddress& advertise = advertise_[i];
    for (const auto& [transport, bound] : leg.sockets->listeners()) {
      leg.addresses.push_back(
          {.transport = transport,
           .bound = bound,
           .host = HostOf(advertise == IpAddress() ? bound.ip : advertise),
           .port = bound.port.host()});
    }
  }
  return absl::OkStatus();
}

}  // namespace sluice::sip

#include "control/local_relay.h"

#include <vector>

namespace sluice::control {
namespace {

SessionKey KeyOf(const sip::MediaRelay::Key& key) {
  return {.call_id = key.call_id,
          .cseq = key.cseq,
          .id_from = key.id_from,
          .id_to = key.id_to,
          .uri_from = key.uri_from,
          .uri_to = key.uri_to,
          .branch = key.branch,
          .half_open_only = key.half_open_only,
          .stage = key.stage};
}

relay::FlowKind KindOf(sip::MediaRelay::Media::Kind kind) {
  using Kind = sip::MediaRelay::Media::Kind;
  switch (kind) {
    case Kind::kRtp: return relay::FlowKind::kRtp;
    case Kind::kSrtp: return relay::FlowKind::kSrtp;
    case Kind::kOther: return relay::FlowKind::kRaw;
  }
  return relay::FlowKind::kRaw;
}

}  // namespace

void LocalRelay::Allocate(const Key& key, Side side, const IpAddress& local,
                          absl::Span<const Media> media, Allocated done) {
  std::vector<control::Media> wanted;
  for (const Media& m : media) {
    wanted.push_back({.ip = m.ip,
                      .port = m.port,
                      .range = m.range,
                      .first = KindOf(m.kind),
                      .clock_hz = m.clock_hz,
                      .heard_from = m.heard_from});
  }
  const auto got = verbs_.Allocate(KeyOf(key), side, local, wanted);
  if (!got.ok()) return done(got.status());
  std::vector<Port> ports;
  for (const Allocation& a : *got) {
    ports.push_back({.ip = a.ip,
                     .port = a.port,
                     .range = a.range,
                     .edition = static_cast<uint64_t>(a.made.us()) / 1000});
  }
  done(std::move(ports));
}

void LocalRelay::Activate(const Key& key, Done done) {
  done(verbs_.Activate(KeyOf(key)).status());
}

void LocalRelay::Close(const Key& key, Done done) {
  done(verbs_.Close(KeyOf(key)).status());
}

}  // namespace sluice::control

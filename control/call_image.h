#ifndef SLUICE_CONTROL_CALL_IMAGE_H_
#define SLUICE_CONTROL_CALL_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/address.h"
#include "base/types.h"
#include "control/call.h"

namespace sluice::control {

// What of a call outlives the process that made it: a Call (call.h) without
// slots, timers and clocks, complete enough to be made again from it on the
// same ports. What was only said of it, and what it once had, is not in it.
struct GroupImage {
  IpAddress local{};  // our interface's, as bound
  std::vector<Medium> media{};
  Micros made{};
  Side faces = Side::kTo;
  bool given_up = false;
  friend bool operator==(const GroupImage&, const GroupImage&) = default;
};
struct ForkImage {
  std::string id_to{};
  GroupImage group{};
  bool up = false;            // has a session
  bool acknowledged = false;  // and its answer was acknowledged
  bool over = false;
  bool aside = false;
  friend bool operator==(const ForkImage&, const ForkImage&) = default;
};
struct OfferImage {
  std::string id_from{};
  uint32_t cseq = 0;
  std::optional<GroupImage> from{};
  std::vector<ForkImage> forks{};
  std::vector<uint64_t> ways{};
  friend bool operator==(const OfferImage&, const OfferImage&) = default;
};
struct CallImage {
  std::string call_id{};
  std::string uri_from{}, uri_to{};
  Micros refused{};
  std::vector<OfferImage> offers{};
  friend bool operator==(const CallImage&, const CallImage&) = default;

  // Whether this port of ours is one of its.
  bool Has(const Endpoint& local) const;
  // act(const GroupImage&), in the order of the offers.
  template <typename Do>
  void ForEachGroup(Do&& act) const {
    for (const OfferImage& offer : offers) {
      if (offer.from) act(*offer.from);
      for (const ForkImage& fork : offer.forks) act(fork.group);
    }
  }
};

// A call of more offers and answers has no image that is told: to copy it at
// every verb would let one call hold up the others.
inline constexpr size_t kGroupsPerImage = 128;

// Who is believed on a port of ours.
struct Believed {
  Endpoint local{};
  Endpoint source{};
  friend bool operator==(const Believed&, const Believed&) = default;
};

// Where the sockets of a group begin: no others of the call begin there, so
// groups that do have the same ones. None: it has no media.
std::optional<Endpoint> FirstPort(const IpAddress& local,
                                  const std::vector<Medium>& media);

// Whether it is one call, whatever wrote it: nothing in it twice, no session
// without its halves, no port in two places, no socket that faces both ways.
// Limits, interfaces and targets are the manager's to judge. InvalidArgument,
// in words.
absl::Status CheckImage(const CallImage& image);

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_CALL_IMAGE_H_

#ifndef SLUICE_TOOLS_LOAD_RPC_CLIENT_H_
#define SLUICE_TOOLS_LOAD_RPC_CLIENT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "control/storable.h"

namespace sluice::load {

// Asks a NAT helper, ours or Perl's, for sessions. A connection a request, as
// its protocol wants; blocking, with a deadline.
//
// Thread: any number, each call by itself.
class RpcClient {
 public:
  // "unix:/path" or "tcp:ip:port".
  static absl::StatusOr<RpcClient> Make(std::string_view address,
                                        uint32_t timeout_ms);

  // Who a request is about. The cseq is 1 throughout.
  struct Key {
    std::string call_id, id_from, id_to;
  };

  // Ports for a party's SDP that named `party`; what to announce in its place
  // to the other one. `side` is 0 for the offer, 1 for the answer.
  // ResourceExhausted when the helper says undef.
  absl::StatusOr<Endpoint> Allocate(const Key& key, int side,
                                    const IpAddress& relay_ip,
                                    const Endpoint& party) const;
  // Whether it is new. FailedPrecondition when the helper says undef.
  absl::StatusOr<bool> Activate(const Key& key) const;
  // How many sessions were closed; 0 when the helper knew none.
  absl::StatusOr<int> Close(const Key& key) const;

 private:
  using Value = control::storable::Value;

  absl::StatusOr<Value> Ask(Value::List request) const;
  absl::StatusOr<std::string> Exchange(std::string_view frame) const;

  bool unix_ = false;
  std::string path_;
  Endpoint tcp_{};
  uint32_t timeout_ms_ = 0;
};

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_RPC_CLIENT_H_

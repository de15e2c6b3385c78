#ifndef SLUICE_CONTROL_NATHELPER_CLIENT_H_
#define SLUICE_CONTROL_NATHELPER_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "base/net/event_loop.h"
#include "base/net/fd.h"
#include "base/types.h"
#include "control/nathelper_rpc.h"
#include "control/storable.h"
#include "sip/media_relay.h"

namespace sluice::control {

// The media relay of another node (or of this one, in another process), over
// the NATHelper RPC: the other end of NatHelperRpc, and of the original's
// server. A connection for each request:
//
//   kConnecting --> kSending --> kReceiving --> told
//        |              |             |
//        +--------------+-------------+--> told why not; the deadline is one
//                                          for all three
//
// Nothing waits but the loop. The server is not believed: its answer is bounded
// and must be exactly what was asked for.
//
// A callback is called exactly once, perhaps before the verb returns (no room,
// nobody there); but never after the end of this object, which a callback must
// not bring about.
//
//   ResourceExhausted   requests_max are under way, or no descriptor
//   Unavailable         nobody listens, the connection was closed without an
//                       answer, or the relay refused to allocate (it does not
//                       say why)
//   FailedPrecondition  Activate: refused, as with one side or none
//   NotFound            Close: refused, as when there was nothing
//   DeadlineExceeded    no whole answer in time
//   DataLoss            an answer that is none
//   InvalidArgument     a request longer than the RPC allows
//
// Thread: control only.
class NatHelperClient : public sip::MediaRelay {
 public:
  struct Options {
    Micros timeout = Micros::Seconds(2);
    // The server's own bound on connections (NatHelperRpc::Options).
    size_t requests_max = 64;
  };
  // Monotonic; each request ends as exactly one of those behind the first.
  struct Counters {
    uint64_t requests = 0;
    uint64_t answered = 0;
    uint64_t refused = 0;       // the relay said no
    uint64_t refused_full = 0;  // requests_max, or no descriptor
    uint64_t timed_out = 0;
    uint64_t unreachable = 0;  // no connection, or closed without an answer
    uint64_t bad_answers = 0;
    uint64_t too_long = 0;  // not sent
  };

  // `where` as ParseRpcListen has it: "unix:PATH", "tcp:ADDR:PORT".
  // InvalidArgument says what is wrong. `loop` outlives this.
  static absl::StatusOr<std::unique_ptr<NatHelperClient>> Create(
      net::EventLoop& loop, std::string_view where, const Options& options);
  ~NatHelperClient() override;
  NatHelperClient(const NatHelperClient&) = delete;
  NatHelperClient& operator=(const NatHelperClient&) = delete;

  void Allocate(const Key& key, Side side, const IpAddress& local,
                absl::Span<const Media> media, Allocated done) override;
  void Activate(const Key& key, Done done) override;
  void Close(const Key& key, Done done) override;

  size_t pending() const { return requests_.size(); }
  const Counters& counters() const { return counters_; }

 private:
  // What came: a value, or why there is none.
  using Told = std::function<void(absl::StatusOr<storable::Value>)>;
  struct Request {
    net::Fd fd;
    bool connected = false;
    std::string out;  // not yet sent
    std::string in;   // at most a frame
    net::EventLoop::TimerId timer = 0;
    Told told;
  };

  NatHelperClient(net::EventLoop& loop, RpcListenAddress where,
                  std::string name, const Options& options);
  void Ask(const storable::Value& request, Told told);
  // Connected, or on the way, or why not.
  absl::Status Connect(Request& request);
  void OnIo(uint64_t id);
  // What can be done now; kOk: there is more to wait for.
  absl::Status Advance(Request& request, std::optional<storable::Value>* value);
  absl::Status Send(Request& request);
  absl::Status Receive(Request& request, std::optional<storable::Value>* value);
  void Finish(uint64_t id, absl::StatusOr<storable::Value> answer);
  // For a verb that answers with a number and nothing else.
  Told NumberTold(absl::StatusCode refused, int64_t least, Done done);

  // Each counts what it names and says it.
  absl::Status Unreachable(absl::string_view what);
  absl::Status BadAnswer(absl::string_view what);
  absl::Status Refused(absl::StatusCode code);

  // Fixed after construction.
  net::EventLoop& loop_;
  const RpcListenAddress where_;
  const std::string name_;  // for messages
  const Options options_;

  absl::flat_hash_map<uint64_t, std::unique_ptr<Request>> requests_;
  uint64_t last_id_ = 0;
  Counters counters_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_NATHELPER_CLIENT_H_

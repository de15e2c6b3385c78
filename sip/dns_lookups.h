#ifndef SLUICE_SIP_DNS_LOOKUPS_H_
#define SLUICE_SIP_DNS_LOOKUPS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/event_loop.h"
#include "base/types.h"
#include "sip/dns_records.h"

struct ares_channeldata;

namespace sluice::sip::dns {

// One question to the name servers at a time for each name and type, and their
// answers for as long as they hold:
//
//   Ask --> cache --> (hosts file) --> c-ares --> ParseAnswer --> cache
//             |                                                     |
//             +----------------------> Ready <----------------------+
//
// c-ares does servers, tries, timeouts, EDNS and, for truncated answers, TCP;
// its sockets are watched by our loop.
//
// Thread: the loop's.
class Lookups {
 public:
  // How long an answer is kept: its TTL between these two, a refusal (no such
  // name, no such record) always the same time, a failure of the servers only
  // as long as it takes not to ask them for every retransmission.
  static constexpr Micros kKeptMin = Micros::Seconds(1);
  static constexpr Micros kKeptMax = Micros::Seconds(3'600);
  static constexpr Micros kRefusalKept = Micros::Seconds(30);
  static constexpr Micros kFailureKept = Micros::Seconds(5);

  struct Options {
    std::vector<Endpoint> servers{};  // empty: the system's (resolv.conf)
    std::string
        hosts_file{};  // names that are asked for nowhere else; "": none
    Micros timeout{};  // of the first try; each further one takes twice as long
    int tries = 1;
    size_t names_max = 0;
  };
  // NotFound, DeadlineExceeded (the servers are silent or broken), or OK and at
  // least one record.
  struct Result {
    absl::Status status;
    Records records;
    Micros expires{};
  };
  using Ready = std::function<void(std::shared_ptr<const Result>)>;
  struct Counters {  // monotonic
    uint64_t cache_hits = 0, queries = 0, timeouts = 0;
  };

  // `loop` outlives it.
  static absl::StatusOr<std::unique_ptr<Lookups>> Create(
      net::EventLoop& loop, const Options& options);
  ~Lookups();
  Lookups(const Lookups&) = delete;
  Lookups& operator=(const Lookups&) = delete;

  // `ready` is called once, perhaps before this returns; never after the end of
  // this object, which must not be brought about by it. REQUIRES: IsName(name),
  // canonical.
  void Ask(const std::string& name, Type type, Ready ready);

  const Counters& counters() const { return counters_; }
  size_t names() const { return kept_.size(); }  // in the cache

 private:
  using Key = std::pair<std::string, Type>;
  struct Kept {
    Key key;
    std::shared_ptr<const Result> result;
  };
  struct Query;  // what c-ares hands back to us
  struct ChannelFreer {
    void operator()(ares_channeldata* channel) const;
  };

  Lookups(net::EventLoop& loop, const Options& options);
  absl::Status Init();
  std::shared_ptr<const Result> Find(const Key& key);
  // Whether the hosts file knows the name; then it has been answered.
  bool AskHostsFile(const Key& key);
  void OnAnswer(const Key& key, int status, std::string_view message);
  void Finish(const Key& key, absl::Status status, Records records);
  void Keep(const Key& key, std::shared_ptr<const Result> result);
  void Watch(int fd, bool readable, bool writable);
  void OnIo(int fd, uint32_t events);
  void Tick();

  // Fixed after construction.
  net::EventLoop& loop_;
  const Options options_;

  absl::flat_hash_map<Key, std::vector<Ready>> waiting_;
  std::list<Kept> kept_;  // the lately used first
  absl::flat_hash_map<Key, std::list<Kept>::iterator> by_key_;
  absl::flat_hash_set<int> watched_;
  net::EventLoop::TimerId timer_ = 0;  // not 0 while anything waits
  bool ending_ = false;
  Counters counters_;
  std::unique_ptr<ares_channeldata, ChannelFreer> channel_;
};

}  // namespace sluice::sip::dns

#endif  // SLUICE_SIP_DNS_LOOKUPS_H_

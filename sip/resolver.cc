#include "sip/resolver.h"

#include <sys/random.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "sip/dns_lookups.h"
#include "sip/dns_records.h"

namespace sluice::sip {
namespace {

using dns::Lookups;
using dns::Naptr;
using dns::Srv;
using dns::Type;

// RFC 3263 4.1 (NAPTR services), 4.2 (SRV names); RFC 3261 19.1.2 (ports).
struct Service {
  Transport transport;
  const char* naptr;
  const char* srv_prefix;
  uint16_t default_port;
};
constexpr Service kServices[] = {
    {Transport::kUdp, "SIP+D2U", "_sip._udp.", 5060},
    {Transport::kTcp, "SIP+D2T", "_sip._tcp.", 5060},
    {Transport::kTls, "SIPS+D2T", "_sips._tcp.", 5061},
};

const Service& ServiceOf(Transport transport) {
  const auto* found = std::find_if(
      std::begin(kServices), std::end(kServices),
      [&](const Service& service) { return service.transport == transport; });
  CHECK(found != std::end(kServices));
  return *found;
}

// SplitMix64: draws need to be fair, not secret.
class Rng {
 public:
  explicit Rng(uint64_t seed = 0) : state_(seed) {}
  uint64_t UpTo(uint64_t most) {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    // Weights sum up to 2^21 at most: what the remainder favours is nothing.
    return z % (most + 1);
  }

 private:
  uint64_t state_;
};

absl::StatusOr<uint64_t> SeedFromKernel() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
    return absl::InternalError("the random source gives nothing");
  }
  return seed;
}

// Whose name it is: its last two labels, or it itself when it has no more.
std::string_view DomainOf(std::string_view host) {
  const size_t last = host.rfind('.');
  if (last == std::string_view::npos || last == 0) return host;
  const size_t dot = host.rfind('.', last - 1);
  return dot == std::string_view::npos ? host : host.substr(dot + 1);
}

// What the question lets us speak, the preferred first.
std::vector<Transport> Candidates(const Resolver::Question& question) {
  std::vector<Transport> candidates;
  for (const Service& service : kServices) {
    const Transport transport = service.transport;
    const auto& allowed = question.allowed;
    if (!allowed.empty() &&
        std::find(allowed.begin(), allowed.end(), transport) == allowed.end()) {
      continue;
    }
    // sips over TCP is TLS (RFC 3261 26.2.2); over UDP it is nothing.
    const bool wanted =
        question.sips
            ? transport == Transport::kTls &&
                  question.transport.value_or(transport) != Transport::kUdp
            : question.transport.value_or(transport) == transport;
    if (wanted) candidates.push_back(transport);
  }
  return candidates;
}

}  // namespace

class Resolver::Impl {
 public:
  Impl(std::unique_ptr<Lookups> lookups, uint64_t seed)
      : seed_(seed), chance_(seed), lookups_(std::move(lookups)) {}

  void Resolve(const Question& question, Answer answer);
  Counters counters() const {
    Counters all = counters_;
    all.cache_hits = lookups_->counters().cache_hits;
    all.queries = lookups_->counters().queries;
    all.timeouts = lookups_->counters().timeouts;
    return all;
  }
  size_t names() const { return lookups_->names(); }

 private:
  using Result = std::shared_ptr<const Lookups::Result>;
  using Key = std::pair<std::string, Type>;
  struct Target {
    Transport transport;
    std::string host;
    uint16_t port = 0;
  };
  // A question on its way:
  //
  //   kNaptr --> kSrv --> kAddress --> answered
  //
  // beginning wherever the question allows.
  struct Job {
    std::string domain;
    enum class Stage { kNaptr, kSrv, kAddress };
    Question question;
    std::string host;  // canonical
    Answer answer;
    Rng rng;
    std::vector<Transport> candidates;
    Stage stage = Stage::kNaptr;
    std::vector<Transport> services;  // kSrv: of each lookup
    std::vector<Target> targets;      // kAddress
    std::vector<Result> results;      // of this stage's lookups
    size_t waiting = 0;               // of them
    // Why there is nothing, where that is not that there is no record.
    absl::Status failure;
  };

  // False: there is none, and who asks for that domain may not make it.
  bool MakeRoom(const std::string& domain);
  // Out of the tables; null: it has gone.
  std::unique_ptr<Job> Take(uint64_t id);
  void Ask(uint64_t id, Job& job, const std::vector<Key>& keys);
  void OnResult(uint64_t id, size_t lookup, const Result& result);
  void OnStage(uint64_t id, Job& job);
  void AskSrv(uint64_t id, Job& job,
              std::vector<std::pair<Transport, std::string>> services);
  void AskDefaultSrv(uint64_t id, Job& job);
  void AskHost(uint64_t id, Job& job, uint16_t port);
  void AskAddresses(uint64_t id, Job& job);
  void OnNaptr(uint64_t id, Job& job);
  void OnSrv(uint64_t id, Job& job);
  void OnAddresses(uint64_t id, Job& job);
  void Finish(uint64_t id, absl::StatusOr<std::vector<Destination>> answer);

  const uint64_t seed_;
  Rng chance_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Job>> jobs_;
  // The numbers of its jobs, the oldest first; none empty.
  absl::flat_hash_map<std::string, std::set<uint64_t>> domains_;
  uint64_t last_id_ = 0;
  // Lookups under way that nobody waits for: of jobs that were given up.
  size_t orphans_ = 0;
  Counters counters_;
  std::unique_ptr<Lookups> lookups_;
};

void Resolver::Impl::Resolve(const Question& question, Answer answer) {
  ++counters_.questions;
  std::vector<Transport> candidates = Candidates(question);
  const std::optional<IpAddress> literal = IpAddress::Parse(question.host);
  absl::Status refusal;
  if (!literal.has_value() && !dns::IsName(question.host)) {
    refusal = absl::InvalidArgumentError("no name that could be asked for");
  } else if (candidates.empty()) {
    refusal = absl::NotFoundError("no transport that our legs speak");
  } else if (literal.has_value() &&
             !(literal->is_v4() ? question.ipv4 : question.ipv6)) {
    refusal = absl::NotFoundError("an address family that our legs have not");
  }
  if (!refusal.ok()) {
    ++counters_.failures;
    answer(refusal);
    return;
  }
  if (literal.has_value()) {
    const Service& service = ServiceOf(candidates.front());
    Destination only{
        .transport = service.transport,
        .address = {*literal,
                    Port::FromHost(question.port != 0 ? question.port
                                                      : service.default_port)}};
    if (only.transport == Transport::kTls) only.tls_name = question.host;
    answer(std::vector<Destination>{std::move(only)});
    return;
  }
  std::string host = dns::CanonicalName(question.host);
  std::string domain(DomainOf(host));
  // Whoever is given up may ask again at once.
  while (jobs_.size() >= kPendingMax) {
    if (MakeRoom(domain)) continue;
    ++counters_.refused_full;
    answer(absl::ResourceExhaustedError("too many names are being resolved"));
    return;
  }
  const uint64_t id = ++last_id_;
  Job& job = *jobs_.emplace(id, std::make_unique<Job>()).first->second;
  domains_[domain].insert(id);
  job.domain = std::move(domain);
  job.question = question;
  job.host = std::move(host);
  job.answer = std::move(answer);
  job.rng = Rng(question.draw != 0 ? seed_ ^ question.draw
                                   : chance_.UpTo(UINT64_MAX - 1));
  job.candidates = std::move(candidates);
  if (question.port != 0) {
    AskHost(id, job, question.port);
  } else if (question.transport.has_value()) {
    AskDefaultSrv(id, job);
  } else {
    job.stage = Job::Stage::kNaptr;
    Ask(id, job, {{job.host, Type::kNaptr}});
  }
}

bool Resolver::Impl::MakeRoom(const std::string& domain) {
  // What was given up is still being asked for. It is bounded by itself.
  if (orphans_ >= kPendingMax) return false;
  const auto most = std::max_element(domains_.begin(), domains_.end(),
                                     [](const auto& a, const auto& b) {
                                       return a.second.size() < b.second.size();
                                     });
  const auto own = domains_.find(domain);
  const size_t has = own == domains_.end() ? 0 : own->second.size();
  // Less than one fewer: two domains would give up each other's in turns.
  if (has + 1 >= most->second.size()) return false;
  const std::unique_ptr<Job> job = Take(*most->second.begin());
  orphans_ += job->waiting;
  ++counters_.given_up;
  job->answer(absl::ResourceExhaustedError(
      "too many names of that domain are being resolved"));
  return true;
}

std::unique_ptr<Resolver::Impl::Job> Resolver::Impl::Take(uint64_t id) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return nullptr;
  std::unique_ptr<Job> job = std::move(found->second);
  jobs_.erase(found);
  const auto domain = domains_.find(job->domain);
  domain->second.erase(id);
  if (domain->second.empty()) domains_.erase(domain);
  return job;
}

// The last thing done with `job`: it may be answered when this returns.
void Resolver::Impl::Ask(uint64_t id, Job& job, const std::vector<Key>& keys) {
  job.results.assign(keys.size(), nullptr);
  // One more, that it is not over before all are asked.
  job.waiting = keys.size() + 1;
  for (size_t i = 0; i < keys.size(); ++i) {
    lookups_->Ask(
        keys[i].first, keys[i].second,
        [this, id, i](const Result& result) { OnResult(id, i, result); });
  }
  // Another's answer may have come meanwhile, and this one been given up.
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) {
    --orphans_;
    return;
  }
  if (--found->second->waiting == 0) OnStage(id, *found->second);
}

void Resolver::Impl::OnResult(uint64_t id, size_t lookup,
                              const Result& result) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) {  // given up
    CHECK(orphans_ > 0);
    --orphans_;
    return;
  }
  Job& job = *found->second;
  job.results[lookup] = result;
  if (absl::IsDeadlineExceeded(result->status)) job.failure = result->status;
  if (--job.waiting == 0) OnStage(id, job);
}

void Resolver::Impl::OnStage(uint64_t id, Job& job) {
  switch (job.stage) {
    case Job::Stage::kNaptr: return OnNaptr(id, job);
    case Job::Stage::kSrv: return OnSrv(id, job);
    case Job::Stage::kAddress: return OnAddresses(id, job);
  }
}

void Resolver::Impl::OnNaptr(uint64_t id, Job& job) {
  std::vector<std::pair<Transport, std::string>> services;
  for (const Naptr& naptr :
       dns::TerminalNaptrs(job.results.front()->records.naptrs)) {
    for (const Transport transport : job.candidates) {
      if (services.size() < kTargetsMax &&
          absl::EqualsIgnoreCase(naptr.service, ServiceOf(transport).naptr)) {
        services.emplace_back(transport, naptr.replacement);
      }
    }
  }
  if (services.empty()) {
    AskDefaultSrv(id, job);
  } else {
    AskSrv(id, job, std::move(services));
  }
}

void Resolver::Impl::AskDefaultSrv(uint64_t id, Job& job) {
  std::vector<std::pair<Transport, std::string>> services;
  for (const Transport transport : job.candidates) {
    std::string name = ServiceOf(transport).srv_prefix + job.host;
    // A host so long that its service can have no name.
    if (!dns::IsName(name)) continue;
    services.emplace_back(transport, std::move(name));
  }
  AskSrv(id, job, std::move(services));
}

void Resolver::Impl::AskSrv(
    uint64_t id, Job& job,
    std::vector<std::pair<Transport, std::string>> services) {
  job.stage = Job::Stage::kSrv;
  std::vector<Key> keys;
  for (auto& [transport, name] : services) {
    job.services.push_back(transport);
    keys.emplace_back(std::move(name), Type::kSrv);
  }
  Ask(id, job, keys);
}

void Resolver::Impl::OnSrv(uint64_t id, Job& job) {
  bool any = false;
  for (size_t i = 0; i < job.results.size(); ++i) {
    std::vector<Srv> srvs = job.results[i]->records.srvs;
    any |= !srvs.empty();
    dns::OrderSrvs(&srvs, [&](uint64_t most) { return job.rng.UpTo(most); });
    for (Srv& srv : srvs) {
      if (srv.target.empty() || srv.port == 0) continue;
      if (job.targets.size() == kTargetsMax) break;
      job.targets.push_back({job.services[i], std::move(srv.target), srv.port});
    }
  }
  if (any) {
    AskAddresses(id, job);
  } else {
    AskHost(id, job, ServiceOf(job.candidates.front()).default_port);
  }
}

void Resolver::Impl::AskHost(uint64_t id, Job& job, uint16_t port) {
  job.targets.push_back({job.candidates.front(), job.host, port});
  AskAddresses(id, job);
}

void Resolver::Impl::AskAddresses(uint64_t id, Job& job) {
  job.stage = Job::Stage::kAddress;
  std::vector<Key> keys;
  for (const Target& target : job.targets) {
    if (job.question.ipv6) keys.emplace_back(target.host, Type::kAaaa);
    if (job.question.ipv4) keys.emplace_back(target.host, Type::kA);
  }
  Ask(id, job, keys);
}

void Resolver::Impl::OnAddresses(uint64_t id, Job& job) {
  const size_t families =
      job.targets.empty() ? 0 : job.results.size() / job.targets.size();
  std::vector<Destination> all;
  for (size_t i = 0; i < job.results.size(); ++i) {
    const Target& target = job.targets[i / families];
    std::vector<IpAddress> ips = job.results[i]->records.addresses;
    std::sort(ips.begin(), ips.end());
    if (!ips.empty()) {
      const auto first = static_cast<ptrdiff_t>(job.rng.UpTo(ips.size() - 1));
      std::rotate(ips.begin(), ips.begin() + first, ips.end());
    }
    for (const IpAddress& ip : ips) {
      Destination destination{.transport = target.transport,
                              .address = {ip, Port::FromHost(target.port)}};
      if (target.transport == Transport::kTls) destination.tls_name = job.host;
      if (all.size() < kDestinationsMax &&
          std::find(all.begin(), all.end(), destination) == all.end()) {
        all.push_back(std::move(destination));
      }
    }
  }
  if (!all.empty()) {
    Finish(id, std::move(all));
  } else if (!job.failure.ok()) {
    Finish(id, job.failure);
  } else {
    Finish(id, absl::NotFoundError(
                   absl::StrCat("nothing answers SIP for ", job.host)));
  }
}

void Resolver::Impl::Finish(uint64_t id,
                            absl::StatusOr<std::vector<Destination>> answer) {
  const std::unique_ptr<Job> job = Take(id);
  CHECK(job != nullptr);
  if (!answer.ok()) ++counters_.failures;
  job->answer(std::move(answer));
}

Resolver::Resolver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Resolver::~Resolver() = default;

absl::StatusOr<std::unique_ptr<Resolver>> Resolver::Create(
    net::EventLoop& loop, const Options& options) {
  uint64_t seed = options.seed;
  if (seed == 0) {
    ASSIGN_OR_RETURN(seed, SeedFromKernel());
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Lookups> lookups,
                   Lookups::Create(loop, {.servers = options.servers,
                                          .hosts_file = options.hosts_file,
                                          .timeout = options.timeout,
                                          .tries = options.tries,
                                          .names_max = kNamesMax}));
  return std::unique_ptr<Resolver>(
      new Resolver(std::make_unique<Impl>(std::move(lookups), seed)));
}

void Resolver::Resolve(const Question& question, Answer answer) {
  impl_->Resolve(question, std::move(answer));
}

Resolver::Counters Resolver::counters() const { return impl_->counters(); }
size_t Resolver::names() const { return impl_->names(); }

}  // namespace sluice::sip

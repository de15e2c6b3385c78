#include "relay/port_pool.h"

#include <errno.h>
#include <sys/random.h>

#include <algorithm>
#include <fstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace sluice::relay {
namespace {

// Runs longer than a pair are tried this often at random places before the
// range is walked: in a pool that is mostly free the first try fits.
constexpr int kRandomTries = 16;

uint64_t KernelSeed() {
  uint64_t seed = 0;
  ssize_t n = 0;
  do {
    n = getrandom(&seed, sizeof(seed), 0);
  } while (n < 0 && errno == EINTR);
  CHECK(n == sizeof(seed));  // the kernel never gives fewer for so few
  return seed;
}

}  // namespace

PortPool::PortPool(const Options& options)
    : first_(options.first),
      quarantine_(options.quarantine),
      random_(options.seed != 0 ? options.seed : KernelSeed()) {
  CHECK(options.first.host() != 0 && options.first.is_even());
  CHECK(!options.last.is_even() && options.first < options.last);
  const Offset ports = options.last.host() - options.first.host() + 1u;
  state_.assign(ports, State::kFree);
  place_.resize(ports / 2);
  whole_.reserve(ports / 2);
  half_.reserve(ports / 2);
  rest_.port.resize(ports);
  rest_.until.resize(ports);
  for (Offset pair = 0; pair < ports / 2; ++pair) {
    Insert(whole_, static_cast<Pair>(pair));
  }
}

absl::StatusOr<Port> PortPool::Take(int count, Micros now) {
  if (count < 1 || count > kRunMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a run is 1 to ", kRunMax, " ports, not ", count));
  }
  EndQuarantines(now);
  const std::optional<Offset> start =
      count == 1 ? FindSingle() : FindRun(count);
  if (!start) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "no run of ", count, " free ports among ", size(), " from ",
        first_.host(), " on: ", taken_, " taken, ", resting_, " resting"));
  }
  for (int i = 0; i < count; ++i) {
    Move(*start + static_cast<Offset>(i), State::kTaken);
  }
  taken_ += static_cast<uint32_t>(count);
  return PortAt(*start);
}

absl::Status PortPool::TakeThese(Port first, int count, Micros now) {
  EndQuarantines(now);
  if (count < 1 || count > kRunMax || first < first_ ||
      first.host() - first_.host() + static_cast<uint32_t>(count) > size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        count, " ports from ", first.host(), " on are not of the range"));
  }
  const Offset start = first.host() - first_.host();
  if (FreeFrom(start, count) < count) {
    return absl::AlreadyExistsError(
        absl::StrCat("of ", count, " ports from ", first.host(),
                     " on one is taken or resting"));
  }
  for (int i = 0; i < count; ++i) {
    Move(start + static_cast<Offset>(i), State::kTaken);
  }
  taken_ += static_cast<uint32_t>(count);
  return absl::OkStatus();
}

void PortPool::Release(Port port, Micros now) {
  CHECK(IsTaken(port));
  EndQuarantines(now);
  const Offset offset = port.host() - first_.host();
  Move(offset, State::kQuarantined);
  --taken_;
  const uint32_t tail = (rest_head_ + resting_) % size();
  rest_.port[tail] = static_cast<uint16_t>(offset);
  rest_.until[tail] = now + quarantine_;
  ++resting_;
}

void PortPool::EndQuarantines(Micros now) {
  while (resting_ > 0 && rest_.until[rest_head_] <= now) {
    Move(rest_.port[rest_head_], State::kFree);
    rest_head_ = (rest_head_ + 1) % size();
    --resting_;
  }
}

bool PortPool::IsTaken(Port port) const {
  if (port < first_) return false;
  const Offset offset = static_cast<Offset>(port.host() - first_.host());
  return offset < size() && state_[offset] == State::kTaken;
}

// SplitMix64: eight octets of state, and no place of the sequence looks like
// its neighbour. The high half times the range needs no division.
uint32_t PortPool::Random(uint32_t below) {
  random_ += 0x9e3779b97f4a7c15;
  uint64_t z = random_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  z ^= z >> 31;
  return static_cast<uint32_t>(((z >> 32) * below) >> 32);
}

Port PortPool::PortAt(Offset offset) const {
  return Port::FromHost(static_cast<uint16_t>(first_.host() + offset));
}

int PortPool::FreeFrom(Offset start, int count) const {
  int n = 0;
  while (n < count && state_[start + static_cast<Offset>(n)] == State::kFree) {
    ++n;
  }
  return n;
}

std::optional<PortPool::Offset> PortPool::FindSingle() {
  if (!whole_.empty()) {
    return 2 * whole_[Random(static_cast<uint32_t>(whole_.size()))];
  }
  if (half_.empty()) return std::nullopt;
  const Offset even = 2 * half_[Random(static_cast<uint32_t>(half_.size()))];
  return state_[even] == State::kFree ? even : even + 1;
}

std::optional<PortPool::Offset> PortPool::FindRun(int count) {
  const Offset length = static_cast<Offset>(count);
  if (whole_.empty() || length > size()) return std::nullopt;
  const Offset starts_end = size() - length + 1;
  for (int i = 0; i < kRandomTries; ++i) {
    const Offset start =
        2 * whole_[Random(static_cast<uint32_t>(whole_.size()))];
    if (start < starts_end && FreeFrom(start, count) == count) return start;
  }
  // Walks the starts in [begin, end); what is not free is not looked at again.
  const auto walk = [&](Offset begin, Offset end) -> std::optional<Offset> {
    for (Offset start = begin; start < std::min(end, starts_end);) {
      const int n = FreeFrom(start, count);
      if (n == count) return start;
      start = (start + static_cast<Offset>(n)) / 2 * 2 + 2;
    }
    return std::nullopt;
  };
  const Offset middle = 2 * Random(size() / 2);
  if (const auto found = walk(middle, size())) return found;
  return walk(0, middle);
}

int PortPool::FreeHalves(Pair pair) const {
  return (state_[2 * pair] == State::kFree) +
         (state_[2 * pair + 1] == State::kFree);
}

void PortPool::Move(Offset offset, State state) {
  const auto pair = static_cast<Pair>(offset / 2);
  const int before = FreeHalves(pair);
  state_[offset] = state;
  const int after = FreeHalves(pair);
  if (before == after) return;
  if (before == 2) Remove(whole_, pair);
  if (before == 1) Remove(half_, pair);
  if (after == 2) Insert(whole_, pair);
  if (after == 1) Insert(half_, pair);
}

void PortPool::Insert(std::vector<Pair>& list, Pair pair) {
  place_[pair] = static_cast<Pair>(list.size());
  list.push_back(pair);
}

void PortPool::Remove(std::vector<Pair>& list, Pair pair) {
  const Pair last = list.back();
  list[place_[pair]] = last;
  place_[last] = place_[pair];
  list.pop_back();
}

bool PortPool::Validate() const {
  const auto in_state = [this](State state) {
    return static_cast<uint32_t>(
        std::count(state_.begin(), state_.end(), state));
  };
  if (in_state(State::kTaken) != taken_) return false;
  if (in_state(State::kQuarantined) != resting_) return false;
  if (in_state(State::kFree) != free()) return false;

  // Each resting port stands in the ring once.
  std::vector<bool> rests(size());
  for (uint32_t i = 0; i < resting_; ++i) {
    const uint16_t offset = rest_.port[(rest_head_ + i) % size()];
    if (state_[offset] != State::kQuarantined || rests[offset]) return false;
    rests[offset] = true;
  }
  // Each pair stands in the list for what it has to give, and knows where.
  size_t listed = 0;
  for (Offset i = 0; i < size() / 2; ++i) {
    const auto pair = static_cast<Pair>(i);
    const int halves = FreeHalves(pair);
    if (halves == 0) continue;
    const std::vector<Pair>& list = halves == 2 ? whole_ : half_;
    if (place_[pair] >= list.size() || list[place_[pair]] != pair) return false;
    ++listed;
  }
  return listed == whole_.size() + half_.size();
}

namespace {

struct Range {
  uint32_t first = 0;
  uint32_t last = 0;
};

// Lines of the kernel's list of set-aside ports: "8080,9148,20000-30000".
std::vector<Range> ReadReserved(const std::string& path) {
  std::vector<Range> ranges;
  std::ifstream file(path);
  Range range;
  while (file >> range.first) {
    range.last = range.first;
    if (file.peek() == '-') {
      file.get();
      if (!(file >> range.last)) break;
    }
    ranges.push_back(range);
    if (file.peek() == ',') file.get();
  }
  return ranges;
}

bool Covered(Range wanted, const std::vector<Range>& ranges) {
  for (uint32_t port = wanted.first; port <= wanted.last; ++port) {
    const bool found = std::any_of(
        ranges.begin(), ranges.end(),
        [port](Range r) { return r.first <= port && port <= r.last; });
    if (!found) return false;
  }
  return true;
}

}  // namespace

std::optional<std::string> EphemeralOverlap(Port first, Port last,
                                            const std::string& range_file,
                                            const std::string& reserved_file) {
  std::ifstream file(range_file);
  Range ephemeral;
  if (!(file >> ephemeral.first >> ephemeral.last)) return std::nullopt;
  const Range shared = {
      .first = std::max<uint32_t>(first.host(), ephemeral.first),
      .last = std::min<uint32_t>(last.host(), ephemeral.last)};
  if (shared.first > shared.last) return std::nullopt;
  if (Covered(shared, ReadReserved(reserved_file))) return std::nullopt;
  return absl::StrCat(
      "relay ports ", first.host(), "-", last.host(), " overlap ",
      ephemeral.first, "-", ephemeral.last,
      ", from which the kernel gives ports to other programs' connections "
      "(net.ipv4.ip_local_port_range): calls will find ports in use. Choose "
      "other ports, or set net.ipv4.ip_local_reserved_ports = ",
      shared.first, "-", shared.last);
}

}  // namespace sluice::relay

#include "relay/port_pool.h"

#include <unistd.h>

#include <cstdio>
#include <deque>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice::relay {
namespace {

constexpr Micros kStart = Micros::Seconds(1000);
constexpr Micros kRest = Micros::Seconds(2);

Port P(int port) { return Port::FromHost(static_cast<uint16_t>(port)); }

PortPool Pool(int first, int last, uint64_t seed = 1) {
  return PortPool(
      {.first = P(first), .last = P(last), .quarantine = kRest, .seed = seed});
}

int Taken(PortPool& pool, int count, Micros now = kStart) {
  const auto port = pool.Take(count, now);
  return port.ok() ? port->host() : -1;
}

TEST(PortPool, GivesEveryPairOnceAndThenRefuses) {
  PortPool pool = Pool(10'000, 10'099);
  std::set<int> given;
  for (int i = 0; i < 50; ++i) {
    const int port = Taken(pool, 2);
    ASSERT_EQ(port % 2, 0);
    ASSERT_TRUE(port >= 10'000 && port <= 10'098) << port;
    ASSERT_TRUE(given.insert(port).second) << port;
    ASSERT_TRUE(pool.IsTaken(P(port)) && pool.IsTaken(P(port + 1)));
  }
  EXPECT_EQ(pool.free(), 0u);
  const auto refused = pool.Take(2, kStart);
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  EXPECT_EQ(refused.status().message(),
            "no run of 2 free ports among 100 from 10000 on: 100 taken, 0 "
            "resting");
  EXPECT_TRUE(pool.Validate());
}

TEST(PortPool, ReachesBothEndsOfThePortNumbers) {
  PortPool pool = Pool(2, 65'535);
  EXPECT_EQ(pool.size(), 65'534u);
  std::set<int> given;
  while (pool.free() > 0) given.insert(Taken(pool, 2));
  EXPECT_EQ(given.size(), 32'767u);
  EXPECT_EQ(*given.begin(), 2);
  EXPECT_EQ(*given.rbegin(), 65'534);
  for (const int port : given) {
    pool.Release(P(port), kStart);
    pool.Release(P(port + 1), kStart);
  }
  pool.EndQuarantines(kStart + kRest);
  EXPECT_EQ(pool.free(), 65'534u);
  EXPECT_TRUE(pool.Validate());
}

TEST(PortPool, AReleasedPortRestsBeforeItIsGivenAgain) {
  PortPool pool = Pool(10'000, 10'001);
  ASSERT_EQ(Taken(pool, 2), 10'000);
  pool.Release(P(10'001), kStart);
  EXPECT_FALSE(pool.IsTaken(P(10'001)));
  EXPECT_EQ(pool.taken(), 1u);
  EXPECT_EQ(pool.quarantined(), 1u);
  pool.Release(P(10'000), kStart + Micros::Seconds(1));
  EXPECT_EQ(Taken(pool, 2, kStart + kRest), -1);
  EXPECT_EQ(pool.quarantined(), 1u);  // the odd one is free by now
  EXPECT_EQ(Taken(pool, 2, kStart + Micros::Seconds(3) - Micros(1)), -1);
  EXPECT_EQ(Taken(pool, 2, kStart + Micros::Seconds(3)), 10'000);
}

TEST(PortPool, ARejectedPortRestsToo) {
  PortPool pool = Pool(10'000, 10'001);
  ASSERT_EQ(Taken(pool, 2), 10'000);
  pool.Reject(P(10'000), kStart);
  pool.Reject(P(10'001), kStart);
  EXPECT_EQ(Taken(pool, 2, kStart), -1);
  EXPECT_EQ(Taken(pool, 2, kStart + kRest), 10'000);
}

TEST(PortPool, SinglesTakeEvenPortsUntilThereAreNoWholePairs) {
  PortPool pool = Pool(10'000, 10'019);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Taken(pool, 1) % 2, 0);
  EXPECT_EQ(Taken(pool, 2), -1);  // ten odd ports are free, and no pair
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Taken(pool, 1) % 2, 1);
  EXPECT_EQ(Taken(pool, 1), -1);
  EXPECT_TRUE(pool.Validate());
}

TEST(PortPool, AHalfOfAnEvenPortIsFoundToo) {
  PortPool pool = Pool(10'000, 10'001);
  ASSERT_EQ(Taken(pool, 2), 10'000);
  pool.Release(P(10'000), kStart);
  EXPECT_EQ(Taken(pool, 1, kStart + kRest), 10'000);
}

TEST(PortPool, FindsTheOnlyRunThereIs) {
  // Everything is taken but for one gap of `count` ports.
  for (const int count : {2, 3, 4, 7, 8, 63, 64}) {
    for (int gap = 0; gap + count <= 200; gap += 2) {
      PortPool pool = Pool(10'000, 10'199, static_cast<uint64_t>(gap + 1));
      while (Taken(pool, 2) != -1) {
      }
      for (int i = 0; i < count; ++i) pool.Release(P(10'000 + gap + i), kStart);
      ASSERT_EQ(Taken(pool, count + 1, kStart + kRest), -1) << count;
      ASSERT_EQ(Taken(pool, count, kStart + kRest), 10'000 + gap) << count;
      ASSERT_TRUE(pool.Validate());
    }
  }
}

TEST(PortPool, ARunNeverBeginsOnAnOddPort) {
  PortPool pool = Pool(10'000, 10'003);
  ASSERT_NE(Taken(pool, 4), -1);
  for (const int port : {10'001, 10'002, 10'003}) pool.Release(P(port), kStart);
  EXPECT_EQ(Taken(pool, 3, kStart + kRest), -1);
  EXPECT_EQ(Taken(pool, 2, kStart + kRest), 10'002);
}

TEST(PortPool, GivesTheVeryPortsThatAreAskedFor) {
  PortPool pool = Pool(10'000, 10'009);
  EXPECT_TRUE(pool.TakeThese(P(10'004), 2, kStart).ok());
  EXPECT_TRUE(pool.TakeThese(P(10'001), 1, kStart).ok());
  EXPECT_TRUE(pool.TakeThese(P(10'006), 4, kStart).ok());
  EXPECT_TRUE(pool.Validate());
  EXPECT_EQ(pool.taken(), 7u);
  for (const auto& [port, count] :
       {std::pair{10'005, 1}, std::pair{10'000, 2}, std::pair{10'003, 3}}) {
    EXPECT_TRUE(absl::IsAlreadyExists(pool.TakeThese(P(port), count, kStart)))
        << port;
  }
  for (const auto& [port, count] :
       {std::pair{9'999, 2}, std::pair{10'009, 2}, std::pair{10'002, 0},
        std::pair{10'002, 65}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(pool.TakeThese(P(port), count, kStart)))
        << port;
  }
  EXPECT_EQ(pool.taken(), 7u);
  // A resting one is taken only when it has rested.
  pool.Release(P(10'001), kStart);
  EXPECT_TRUE(absl::IsAlreadyExists(pool.TakeThese(P(10'001), 1, kStart)));
  EXPECT_TRUE(pool.TakeThese(P(10'001), 1, kStart + kRest).ok());
  EXPECT_EQ(Taken(pool, 2, kStart + kRest), 10'002);
  EXPECT_TRUE(pool.Validate());
}

TEST(PortPool, RefusesRunsThatAreNone) {
  PortPool pool = Pool(10'000, 10'199);
  for (const int count : {-1, 0, 65, 1'000'000'000}) {
    EXPECT_TRUE(absl::IsInvalidArgument(pool.Take(count, kStart).status()));
  }
  EXPECT_EQ(Taken(pool, 64) % 2, 0);
  PortPool small = Pool(10'000, 10'003);
  EXPECT_EQ(Taken(small, 5), -1);
  EXPECT_EQ(Taken(small, 64), -1);
  EXPECT_EQ(Taken(small, 4), 10'000);
}

TEST(PortPool, ForeignPortsAreNotTaken) {
  PortPool pool = Pool(10'000, 10'001);
  ASSERT_EQ(Taken(pool, 2), 10'000);
  for (const int port : {0, 1, 9'998, 9'999, 10'002, 65'535}) {
    EXPECT_FALSE(pool.IsTaken(P(port))) << port;
  }
}

TEST(PortPoolDeathTest, EndsTheProcessOnAPortGivenBackTwice) {
  PortPool pool = Pool(10'000, 10'001);
  EXPECT_DEATH(pool.Release(P(10'000), kStart), "IsTaken");
  EXPECT_DEATH(pool.Release(P(9'999), kStart), "IsTaken");
}

TEST(PortPool, TheSeedAloneDecidesTheOrder) {
  const auto first_ten = [](uint64_t seed) {
    PortPool pool = Pool(10'000, 59'999, seed);
    std::vector<int> ports;
    for (int i = 0; i < 10; ++i) ports.push_back(Taken(pool, 2));
    return ports;
  };
  EXPECT_EQ(first_ten(7), first_ten(7));
  EXPECT_NE(first_ten(7), first_ten(8));
  EXPECT_NE(first_ten(0), first_ten(0));  // from the kernel
}

// A stranger who saw one port must not know the next.
TEST(PortPool, SpreadsTheFirstChoiceOverTheWholeRange) {
  for (const int count : {1, 2, 3, 8}) {
    std::vector<int> hits(10);
    for (uint64_t seed = 1; seed <= 10'000; ++seed) {
      PortPool pool = Pool(10'000, 10'999, seed);
      ++hits[static_cast<size_t>(Taken(pool, count) - 10'000) / 100];
    }
    for (const int hit : hits) {
      EXPECT_GT(hit, 800) << count;
      EXPECT_LT(hit, 1200) << count;
    }
  }
}

// Goal: L5. free + taken + quarantined == size, whatever is taken and given
// back when; nothing is given twice; a refusal is never wrong.
// Method: random work on the pool and on sets of ports, side by side, under a
// virtual clock and printed seeds.
class Model {
 public:
  Model(int first, int last) : first_(first), last_(last) {
    for (int port = first; port <= last; ++port) free.insert(port);
  }
  void Advance(Micros now) {
    while (!resting.empty() && resting.front().second <= now) {
      free.insert(resting.front().first);
      resting.pop_front();
    }
  }
  bool HasRun(int start, int count) const {
    for (int i = 0; i < count; ++i) {
      if (!free.contains(start + i)) return false;
    }
    return true;
  }
  bool HasAnyRun(int count) const {
    if (count == 1) return !free.empty();
    for (int start = first_; start <= last_; start += 2) {
      if (HasRun(start, count)) return true;
    }
    return false;
  }

  std::set<int> free;
  std::vector<int> taken;
  std::deque<std::pair<int, Micros>> resting;

 private:
  int first_;
  int last_;
};

TEST(PortPool, AgreesWithSetsOfPorts) {
  constexpr int kCounts[] = {1, 1, 2, 2, 2, 2, 3, 4, 5, 8, 16, 64};
  uint64_t given = 0, refused = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const int last = 20'000 + 2 * static_cast<int>(random() % 150) + 1;
    PortPool pool = Pool(20'000, last, seed);
    Model model(20'000, last);
    Micros now = kStart;
    for (int step = 0; step < 4000; ++step) {
      now = now + Micros::Millis(static_cast<int64_t>(random() % 40));
      // Full by the end of a wave, nearly empty at its foot.
      const bool filling = step / 500 % 2 == 0;
      if (random() % 100 < (filling ? 60u : 25u)) {
        const int count = kCounts[random() % std::size(kCounts)];
        const auto port = pool.Take(count, now);
        model.Advance(now);
        if (!port.ok()) {
          ++refused;
          ASSERT_TRUE(absl::IsResourceExhausted(port.status()));
          ASSERT_FALSE(model.HasAnyRun(count)) << count;
          continue;
        }
        ++given;
        ASSERT_TRUE(model.HasRun(port->host(), count)) << count;
        if (!port->is_even()) {
          ASSERT_EQ(count, 1);
          ASSERT_FALSE(model.HasAnyRun(2));
        }
        for (int i = 0; i < count; ++i) {
          model.free.erase(port->host() + i);
          model.taken.push_back(port->host() + i);
        }
      } else {
        for (uint64_t n = random() % 6; n > 0 && !model.taken.empty(); --n) {
          std::swap(model.taken[random() % model.taken.size()],
                    model.taken.back());
          const int port = model.taken.back();
          model.taken.pop_back();
          ASSERT_TRUE(pool.IsTaken(P(port)));
          pool.Release(P(port), now);
          model.Advance(now);
          model.resting.emplace_back(port, now + kRest);
          ASSERT_FALSE(pool.IsTaken(P(port)));
        }
      }
      ASSERT_EQ(pool.taken(), model.taken.size());
      ASSERT_EQ(pool.free() + pool.taken() + pool.quarantined(), pool.size());
      if (step % 16 == 0) {
        pool.EndQuarantines(now);
        model.Advance(now);
        ASSERT_EQ(pool.free(), model.free.size());
        ASSERT_EQ(pool.quarantined(), model.resting.size());
        ASSERT_TRUE(pool.Validate());
      }
    }
    for (const int port : model.taken) pool.Release(P(port), now);
    pool.EndQuarantines(now + kRest);
    ASSERT_EQ(pool.free(), pool.size());
    ASSERT_TRUE(pool.Validate());
  }
  EXPECT_GT(given, 10'000u);
  EXPECT_GT(refused, 1'000u);
}

// The kernel's ephemeral range.

// A file for as long as the test looks at it; other runs have their own.
class Written {
 public:
  explicit Written(const char* text) {
    static int files = 0;
    path_ = testing::TempDir() + "port_pool_test." + std::to_string(getpid()) +
            "." + std::to_string(files++);
    std::ofstream(path_) << text;
  }
  ~Written() { std::remove(path_.c_str()); }
  Written(const Written&) = delete;
  Written& operator=(const Written&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::optional<std::string> Overlap(const char* range, const char* reserved) {
  return EphemeralOverlap(P(10'000), P(59'999), Written(range).path(),
                          Written(reserved).path());
}

struct OverlapCase {
  const char* name = "";
  const char* range = "32768\t60999\n";
  const char* reserved = "\n";
  bool warns = false;
};

TEST(EphemeralOverlap, WarnsOfPortsThatOthersMayBeGiven) {
  const OverlapCase kCases[] = {
      {.name = "Debian as it comes", .warns = true},
      {.name = "range behind ours", .range = "60000\t60999\n"},
      {.name = "one port shared above", .range = "59999 60999", .warns = true},
      {.name = "range before ours", .range = "1024\t9999\n"},
      {.name = "one port shared below", .range = "1024\t10000", .warns = true},
      {.name = "range inside ours", .range = "20000 20001", .warns = true},
      {.name = "ours set aside", .reserved = "10000-59999\n"},
      {.name = "what is shared set aside", .reserved = "80,32768-65535\n"},
      {.name = "set aside in pieces", .reserved = "32768-40000,40001-60000\n"},
      {.name = "all but one set aside",
       .reserved = "32768-40000,40002-60000\n",
       .warns = true},
      {.name = "single ports set aside",
       .range = "20000 20001",
       .reserved = "20000,20001\n"},
      {.name = "one of two set aside",
       .range = "20000 20001",
       .reserved = "20000\n",
       .warns = true},
      {.name = "a torn list", .reserved = "32768-", .warns = true},
      {.name = "the kernel says nothing", .range = ""},
      {.name = "the kernel says nonsense", .range = "many ports"},
  };
  for (const OverlapCase& c : kCases) {
    const auto warning = Overlap(c.range, c.reserved);
    EXPECT_EQ(warning.has_value(), c.warns) << c.name;
  }
}

TEST(EphemeralOverlap, SaysWhatToDo) {
  const auto warning = Overlap("32768\t60999\n", "\n");
  ASSERT_TRUE(warning.has_value());
  EXPECT_EQ(*warning,
            "relay ports 10000-59999 overlap 32768-60999, from which the "
            "kernel gives ports to other programs' connections "
            "(net.ipv4.ip_local_port_range): calls will find ports in use. "
            "Choose other ports, or set net.ipv4.ip_local_reserved_ports = "
            "32768-59999");
}

TEST(EphemeralOverlap, IsSilentWhereTheFilesAreMissing) {
  const std::string missing = testing::TempDir() + "no/such/file";
  EXPECT_FALSE(
      EphemeralOverlap(P(10'000), P(59'999), missing, missing).has_value());
  // Nothing set aside is what a missing second file means.
  EXPECT_TRUE(EphemeralOverlap(P(10'000), P(59'999),
                               Written("32768\t60999\n").path(), missing)
                  .has_value());
}

}  // namespace
}  // namespace sluice::relay

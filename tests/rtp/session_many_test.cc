// A thousand calls of one loop.
#include <dirent.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "gtest/gtest.h"
#include "rtp/session.h"
#include "tests/rtp/session_world.h"

namespace {

std::atomic<uint64_t> g_allocations{0};

}  // namespace

void* operator new(size_t size) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace sluice::rtp {
namespace {

constexpr int kSessions = 1000;

size_t OpenDescriptors() {
  size_t count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

// Counts what it hears.
class CountingSink : public AudioSink {
 public:
  explicit CountingSink(uint64_t* octets) : octets_(octets) {}
  void Write(Codec, std::span<const uint8_t> octets) override {
    *octets_ += octets.size();
  }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  uint64_t* const octets_;
};

class ForeverSource : public AudioSource {
 public:
  size_t Read(Codec, std::span<uint8_t> octets) override {
    for (uint8_t& octet : octets) octet = next_++;
    return octets.size();
  }

 private:
  uint8_t next_ = 0;
};

TEST(ManySessions, APacketMakesNoAllocationAndNothingIsLeftBehind) {
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
  if (files.rlim_cur < 2 * kSessions + 100) {
    GTEST_SKIP() << "may open " << files.rlim_cur << " descriptors only, "
                 << 2 * kSessions + 100 << " are needed: ulimit -n";
  }
  SessionWorld world;
  const size_t before = OpenDescriptors();
  uint64_t heard = 0;
  {
    std::vector<std::unique_ptr<Session>> sessions;
    for (int i = 0; i < kSessions; ++i) {
      sessions.push_back(world.Open());
      sessions.back()->SetSource(std::make_unique<ForeverSource>());
      ASSERT_TRUE(sessions.back()
                      ->SetSink(std::make_unique<CountingSink>(&heard))
                      .ok());
      sessions.back()->OnDtmf([](char, DtmfMethod) {});
    }
    for (size_t i = 0; i < kSessions; ++i) {
      ASSERT_TRUE(sessions[i]->Start({.remote = At(*sessions[i ^ 1])}).ok());
    }
    EXPECT_EQ(world.media.sessions(), static_cast<size_t>(kSessions));
    world.turns = 20;  // at most 64 sockets are read in one
    world.Advance(Micros::Millis(200));
    const uint64_t allocations = g_allocations.load();
    const uint64_t heard_before = heard;
    world.Advance(Micros::Millis(500));
    EXPECT_EQ(g_allocations.load() - allocations, 0u);
    EXPECT_EQ(heard - heard_before, kSessions * 500u * kSamplesPerMs);
    for (const auto& session : sessions) {
      EXPECT_EQ(session->quality().lost, 0);
      EXPECT_EQ(session->drops().unsent, 0u);
    }
  }
  EXPECT_EQ(world.media.sessions(), 0u);
  EXPECT_EQ(OpenDescriptors(), before);
}

}  // namespace
}  // namespace sluice::rtp

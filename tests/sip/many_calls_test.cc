// A thousand calls of one process at once, and nothing of them afterwards.

#include <dirent.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>

#include <memory>
#include <vector>

#include "sip/simple.h"
#include "tests/sip/simple_world.h"

namespace sluice::sip {
namespace {

constexpr size_t kCalls = 1'000;

size_t Descriptors() {
  size_t n = 0;
  DIR* const folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++n;
  closedir(folder);
  return n;
}
size_t HeapOctets() { return mallinfo2().uordblks; }

class ManyCalls : public SimpleWorld {
 protected:
  void SetUp() override {
    rlimit limit{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    // RTP and RTCP of both parties.
    if (limit.rlim_max < 4 * kCalls + 100) {
      GTEST_SKIP() << "a process may have " << limit.rlim_max
                   << " descriptors here, which are not enough";
    }
    limit.rlim_cur = limit.rlim_max;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  }

  // What each of them heard; the calls go on.
  void MakeAndHear(size_t calls) {
    ASSERT_TRUE(
        bob_->Listen({.call = {.init_media = Rtp::MediaRecvEcho()}}).ok());
    for (size_t i = 0; i < calls; ++i) {
      auto call = alice_->Invite("bob", {.init_media = Rtp::Tone(440)});
      ASSERT_TRUE(call.ok()) << i << " " << call.status();
      calls_.push_back(*std::move(call));
      // A burst of a thousand would not fit into a socket's buffer.
      if (i % 50 == 49) Settle();
    }
    ASSERT_TRUE(RunUntil([&] {
      for (const auto& call : calls_) {
        if (call->state() != Call::State::kEstablished) return false;
      }
      return true;
    }));
    RunFor(Micros::Seconds(1));
    for (const auto& call : calls_) {
      EXPECT_GE(call->media()->received().packets, 40u);
      EXPECT_EQ(call->media()->quality().lost, 0);
    }
  }

  std::vector<std::shared_ptr<Call>> calls_;
};

TEST_F(ManyCalls, SpeakAtOnceAndLeaveNothingBehind) {
  alice_.reset();
  bob_.reset();
  Settle();
  const size_t descriptors = Descriptors();
  size_t octets = 0;
  // The first rounds make what the loop and the libraries keep for good.
  for (int round = 0; round < 4; ++round) {
    const bool hang_up = round % 2 == 0;
    alice_ = Make("alice", wire_.near());
    bob_ = Make("bob", wire_.far());
    wire_.Connect(At(*alice_), At(*bob_));
    MakeAndHear(kCalls);
    EXPECT_GE(Descriptors(), descriptors + 4 * kCalls);
    if (hang_up) {
      for (const auto& call : calls_) {
        EXPECT_TRUE(call->Bye().ok());
        Settle();
      }
      EXPECT_TRUE(
          RunUntil([&] { return alice_->calls() == 0 && bob_->calls() == 0; }));
    }
    alice_->Cleanup();
    bob_->Cleanup();
    calls_.clear();
    alice_.reset();
    bob_.reset();
    Settle();
    wire_.Forget();
    EXPECT_EQ(Descriptors(), descriptors);
    if (round < 2) octets = HeapOctets();
    // 32 octets a call: far below what one has.
    EXPECT_LT(HeapOctets(), octets + 32 * kCalls);
  }
}

}  // namespace
}  // namespace sluice::sip

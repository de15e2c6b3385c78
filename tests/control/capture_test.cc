// Goal: a capture holds what the plane has copied of one call, in the order of
// time, ends when it should and watches nothing afterwards; a reader that falls
// behind costs packets of its own, which are counted, and nothing else.
// Method: a plane of copies made by hand, a loop whose time is moved.

#include "control/capture.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/capture_stream.h"
#include "control/pcap.h"
#include "tests/fakes/fake_media_plane.h"

namespace sluice::control {
namespace {

constexpr uint32_t kPacketBytes = 200;

std::string ReadAll(CaptureStream& stream) {
  std::string out;
  for (size_t before = 1; before != out.size();) {
    before = out.size();
    stream.Take(1000, &out);
  }
  return out;
}

// ---- the buffer between the threads -----------------------------------------

TEST(CaptureStream, GivesWhatWasPutInAndThenItsEnd) {
  CaptureStream stream(3, "head");
  EXPECT_EQ(stream.number(), 3u);
  std::string out;
  EXPECT_TRUE(stream.Take(3, &out));
  EXPECT_EQ(out, "hea");
  EXPECT_TRUE(stream.Push("one"));
  EXPECT_TRUE(stream.Take(100, &out));
  EXPECT_EQ(out, "headone");
  EXPECT_TRUE(stream.Push("two"));
  stream.End();
  EXPECT_FALSE(stream.Push("three"));
  EXPECT_TRUE(stream.Take(2, &out));
  EXPECT_FALSE(stream.Take(2, &out));
  EXPECT_EQ(out, "headonetwo");
  EXPECT_FALSE(stream.Take(2, &out));
}

TEST(CaptureStream, SamplesWhenHalfFullAndRefusesWhenFull) {
  CaptureStream stream(1, "");
  const std::string record(1024, 'x');
  const size_t half = CaptureStream::kBytesMax / 2 / record.size();
  for (size_t i = 0; i <= half; ++i) EXPECT_TRUE(stream.Push(record)) << i;
  size_t taken = 0;
  const size_t tries = CaptureStream::kSampleOf * 100;
  for (size_t i = 0; i < tries; ++i) taken += stream.Push(record);
  EXPECT_EQ(taken, 100u);
  for (size_t i = 0; i < 100 * tries; ++i) taken += stream.Push(record);
  std::string out;
  EXPECT_TRUE(stream.Take(CaptureStream::kBytesMax * 2, &out));
  EXPECT_EQ(out.size(), CaptureStream::kBytesMax);
  EXPECT_EQ(out.size(), (half + 1 + taken) * record.size());
  EXPECT_TRUE(stream.Push(record));  // there is room again
}

// ---- the capture ------------------------------------------------------------

class CaptureTest : public ::testing::Test {
 protected:
  CaptureTest() { calls_["call"] = {.shard = 1, .flows = {{4, 1}, {5, 1}}}; }
  std::shared_ptr<CaptureStream> Start(const CaptureRequest& request) {
    auto stream = capture_.Start(request);
    EXPECT_TRUE(stream.ok()) << stream.status();
    return stream.ok() ? *stream : nullptr;
  }
  // A packet that came in by now, of which the octets are all `mark`.
  void Copy(uint8_t mark, Micros ago = {}) {
    plane_.copies.push_back(
        {.at = time_ - ago,
         .octets = std::vector<uint8_t>(kPacketBytes, mark)});
  }
  void Advance(Micros by) {
    for (const Micros end = time_ + by; time_ < end;) {
      time_ = std::min(time_ + Capture::kLook, end);
      loop_.RunOnce(Micros());
    }
  }
  static std::string Marks(const std::string& pcap) {
    constexpr size_t kRecord = kPcapRecordHeadBytes + kPacketBytes;
    EXPECT_EQ(pcap.substr(0, kPcapHeadBytes), PcapHead());
    EXPECT_EQ((pcap.size() - kPcapHeadBytes) % kRecord, 0u);
    std::string marks;
    for (size_t at = kPcapHeadBytes; at < pcap.size(); at += kRecord) {
      marks += pcap[at + kRecord - 1];
    }
    return marks;
  }
  using Watched = std::vector<FakeMediaPlane::Watched>;

  Micros time_ = Micros::Seconds(1000);
  net::EventLoop loop_{[this] { return time_; }};
  FakeMediaPlane plane_{2};
  std::map<std::string, CallFlows> calls_;
  Capture capture_{plane_, loop_,
                   [this](const std::string& id) -> absl::StatusOr<CallFlows> {
                     const auto it = calls_.find(id);
                     if (it == calls_.end()) {
                       return absl::NotFoundError("no such call");
                     }
                     return it->second;
                   },
                   [this] { return time_ + Micros::Seconds(1'000'000); }};
};

TEST_F(CaptureTest, WatchesTheCallsFlowsUntilItsTimeIsOver) {
  const auto stream = Start({.call_id = "call", .seconds = 2});
  EXPECT_EQ(plane_.watched, (Watched{{1, {4, 1}, true}, {1, {5, 1}, true}}));
  Copy('a');
  Advance(Micros::Millis(1900));
  EXPECT_TRUE(capture_.view().running);
  Copy('b');
  Advance(Micros::Millis(200));
  EXPECT_EQ(Marks(ReadAll(*stream)), "ab");
  const CaptureView view = capture_.view();
  EXPECT_FALSE(view.running);
  EXPECT_EQ(view.number, stream->number());
  EXPECT_EQ(view.call_id, "call");
  EXPECT_EQ(view.ended, "the time is over");
  EXPECT_EQ(view.packets, 2u);
  EXPECT_EQ(view.lost, 0u);
  ASSERT_EQ(plane_.watched.size(), 4u);
  EXPECT_FALSE(plane_.watched[2].on || plane_.watched[3].on);
  // Nothing looks any more.
  Copy('c');
  Advance(Micros::Seconds(1));
  EXPECT_EQ(plane_.copies.size(), 1u);
}

TEST_F(CaptureTest, StampsPacketsWithTheWallClock) {
  const auto stream = Start({.call_id = "call"});
  Copy('a', Micros(7));
  Advance(Capture::kLook);
  std::string expected = PcapHead();
  AppendPcapRecord(Micros::Seconds(1'001'000) - Micros(7), kPacketBytes,
                   std::vector<uint8_t>(kPacketBytes, 'a'), &expected);
  EXPECT_EQ(ReadAll(*stream), expected);
}

TEST_F(CaptureTest, PutsBothPathsInTheOrderOfTime) {
  const auto stream = Start({.call_id = "call"});
  Copy('b', Micros(10));
  Copy('d', Micros(0));
  Copy('a', Micros(20));
  Copy('c', Micros(5));
  Advance(Capture::kLook);
  EXPECT_EQ(Marks(ReadAll(*stream)), "abcd");
}

TEST_F(CaptureTest, FollowsFlowsThatOpenAndTheCallToItsEnd) {
  const auto stream = Start({.call_id = "call"});
  calls_["call"].flows = {{5, 1}, {4, 2}};
  Advance(Capture::kLook);
  ASSERT_EQ(plane_.watched.size(), 3u);
  EXPECT_EQ(plane_.watched[2], (FakeMediaPlane::Watched{1, {4, 2}, true}));
  Advance(Capture::kLook);
  EXPECT_EQ(plane_.watched.size(), 3u);
  Copy('z');
  calls_.clear();
  Advance(Capture::kLook);
  EXPECT_EQ(Marks(ReadAll(*stream)), "z");
  EXPECT_EQ(capture_.view().ended, "the call is over");
}

TEST_F(CaptureTest, EndsWhenItsReaderLetsGo) {
  auto stream = Start({.call_id = "call", .seconds = 3600});
  Advance(Micros::Seconds(1));
  EXPECT_TRUE(capture_.view().running);
  stream.reset();
  Advance(Capture::kLook);
  EXPECT_EQ(capture_.view().ended, "its reader has gone");
  EXPECT_FALSE(plane_.watched.back().on);
}

TEST_F(CaptureTest, FinishedItHasWhatIsThereByThen) {
  const auto stream = Start({.call_id = "call"});
  Copy('a');
  capture_.Finish("told so");
  EXPECT_EQ(Marks(ReadAll(*stream)), "a");
  EXPECT_EQ(capture_.view().ended, "told so");
  capture_.Finish("again");
  EXPECT_EQ(capture_.view().ended, "told so");
}

TEST_F(CaptureTest, OneAtATimeAndOnlyOfCallsThereAre) {
  EXPECT_EQ(capture_.view().number, 0u);
  EXPECT_EQ(capture_.Start({.call_id = "x"}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(plane_.watched.empty());
  auto stream = Start({.call_id = "call"});
  const auto second = capture_.Start({.call_id = "call"});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(second.status().message().find("another capture runs"),
            absl::string_view::npos);
  EXPECT_TRUE(capture_.view().running);
  // The place is free as soon as its reader has gone.
  stream.reset();
  stream = Start({.call_id = "call"});
  EXPECT_EQ(stream->number(), 2u);
}

TEST_F(CaptureTest, TheFileIsNoLongerThanItMayBe) {
  constexpr uint64_t kRecord = kPcapRecordHeadBytes + kPacketBytes;
  const auto stream =
      Start({.call_id = "call", .bytes = kPcapHeadBytes + 2 * kRecord + 1});
  for (uint8_t mark : {'a', 'b', 'c'}) Copy(mark);
  Advance(Capture::kLook);
  EXPECT_EQ(Marks(ReadAll(*stream)), "ab");
  const CaptureView view = capture_.view();
  EXPECT_EQ(view.ended, "the file has its octets");
  EXPECT_EQ(view.bytes, kPcapHeadBytes + 2 * kRecord);
}

TEST_F(CaptureTest, CountsWhatWasLostAndForgetsWhatWasBefore) {
  plane_.copies_lost = 5;
  Copy('x');  // of an earlier one
  const auto stream = Start({.call_id = "call"});
  Advance(Capture::kLook);
  plane_.copies_lost = 8;
  EXPECT_EQ(capture_.view().lost, 3u);
  constexpr uint64_t kMany = 10'000;  // more than the buffer holds
  for (uint64_t i = 0; i < kMany; ++i) Copy('y');
  Advance(Capture::kLook);
  capture_.Stop("enough");
  const CaptureView view = capture_.view();
  EXPECT_EQ(view.packets + view.lost, kMany + 3);
  EXPECT_GT(view.lost, 3u);
  EXPECT_EQ(Marks(ReadAll(*stream)), std::string(view.packets, 'y'));
}

}  // namespace
}  // namespace sluice::control

#include "rtp/stream_stats.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <queue>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace sluice::rtp {
namespace {

constexpr uint32_t kHz = 8000;
constexpr uint32_t kSsrc = 0x5109;

// A party that sends 20 ms of G.711 a packet to fresh books.
struct Party {
  explicit Party(uint32_t hz = kHz) : clock_hz(hz) { stats.Reset(hz); }

  // `late`: beyond the even beat of one packet each 20 ms.
  void Send(int sequence, Micros late = Micros(0), uint32_t ssrc = kSsrc) {
    stats.OnRtp({.ssrc = ssrc,
                 .timestamp = static_cast<uint32_t>(sequence) * clock_hz / 50,
                 .sequence = static_cast<uint16_t>(sequence)},
                Micros::Seconds(1000) + Micros::Millis(20 * sequence) + late);
  }
  void SendAll(int first, int last) {
    for (int i = first; i <= last; ++i) Send(i);
  }

  uint32_t clock_hz;
  StreamStats stats{};
};

struct SequenceCase {
  const char* name = "";
  std::vector<int> sequences{};
  uint64_t received = 0;
  uint64_t expected = 0;
  uint64_t reordered = 0;
  uint64_t duplicates = 0;
};

const SequenceCase kSequenceCases[] = {
    {.name = "nothing"},
    {.name = "one", .sequences = {7}, .received = 1, .expected = 1},
    {.name = "in order", .sequences = {7, 8, 9}, .received = 3, .expected = 3},
    {.name = "one lost", .sequences = {7, 9}, .received = 2, .expected = 3},
    {.name = "around the end of the numbers",
     .sequences = {65534, 65535, 65536, 65537},
     .received = 4,
     .expected = 4},
    {.name = "one lost at the end of the numbers",
     .sequences = {65535, 65537},
     .received = 2,
     .expected = 3},
    {.name = "two changed places",
     .sequences = {7, 9, 8, 10},
     .received = 4,
     .expected = 4,
     .reordered = 1},
    {.name = "changed places at the end of the numbers",
     .sequences = {65535, 65537, 65536},
     .received = 3,
     .expected = 3,
     .reordered = 1},
    {.name = "the newest twice",
     .sequences = {7, 8, 8},
     .received = 3,
     .expected = 2,
     .duplicates = 1},
    {.name = "an older one twice",
     .sequences = {7, 8, 9, 8},
     .received = 4,
     .expected = 3,
     .duplicates = 1},
    {.name = "a late one twice",
     .sequences = {7, 9, 8, 8},
     .received = 4,
     .expected = 3,
     .reordered = 1,
     .duplicates = 1},
    {.name = "twice, 63 behind",
     .sequences = {7, 70, 7},
     .received = 3,
     .expected = 64,
     .duplicates = 1},
    {.name = "twice, 64 behind: too old to tell",
     .sequences = {7, 71, 7},
     .received = 3,
     .expected = 65,
     .reordered = 1},
    {.name = "before the first one",
     .sequences = {7, 6},
     .received = 2,
     .expected = 1,
     .reordered = 1},
    {.name = "99 behind is late",
     .sequences = {200, 101},
     .received = 2,
     .expected = 1,
     .reordered = 1},
    {.name = "100 behind is a jump",
     .sequences = {200, 100, 201},
     .received = 2,
     .expected = 2},
    {.name = "2999 ahead is a gap",
     .sequences = {1, 3000},
     .received = 2,
     .expected = 3000},
    {.name = "3000 ahead is a jump",
     .sequences = {1, 3001, 2},
     .received = 2,
     .expected = 2},
    {.name = "two in a row after a jump: a new beginning",
     .sequences = {1, 2, 30'000, 30'001, 30'002},
     .received = 5,
     .expected = 5},
    {.name = "a new beginning lower down",
     .sequences = {30'000, 30'001, 5, 6, 7},
     .received = 5,
     .expected = 5},
    {.name = "a new beginning at the end of the numbers",
     .sequences = {30'000, 65'535, 65'536, 65'537},
     .received = 4,
     .expected = 4},
    {.name = "a jump repeated is no beginning",
     .sequences = {1, 30'000, 30'000, 2},
     .received = 2,
     .expected = 2},
    {.name = "two jumps apart are no beginning",
     .sequences = {1, 30'000, 40'000, 50'000, 2},
     .received = 2,
     .expected = 2},
    {.name = "a jump to 0 is one jump",
     .sequences = {30'000, 0, 30'001},
     .received = 2,
     .expected = 2},
};

TEST(StreamStats, JudgesSequenceNumbersByRfc3550A1) {
  for (const SequenceCase& c : kSequenceCases) {
    Party party;
    for (const int sequence : c.sequences) party.Send(sequence);
    const StreamQuality q = party.stats.Quality();
    EXPECT_EQ(q.received, c.received) << c.name;
    EXPECT_EQ(q.expected, c.expected) << c.name;
    EXPECT_EQ(q.lost, static_cast<int64_t>(c.expected - c.received)) << c.name;
    EXPECT_EQ(q.reordered, c.reordered) << c.name;
    EXPECT_EQ(q.duplicates, c.duplicates) << c.name;
  }
}

TEST(StreamStats, BooksNeverResetJudgeJumpsToo) {
  StreamStats stats;
  stats.OnRtp({.ssrc = 1, .sequence = 30'000}, Micros(1));
  stats.OnRtp({.ssrc = 1, .sequence = 0}, Micros(2));
  EXPECT_EQ(stats.Quality().received, 1u);
}

TEST(StreamStats, CountsTheSourceZeroToo) {
  Party party;
  party.Send(20'000, Micros(0), 0);
  EXPECT_EQ(party.stats.Quality().received, 1u);
  EXPECT_EQ(party.stats.Quality().ssrc_changes, 0u);
}

TEST(StreamStats, KeepsWhatWasExpectedOfEarlierSources) {
  Party party;
  party.SendAll(1, 10);
  party.Send(12);  // 11 is lost
  party.Send(50'000, Micros(0), 2);
  party.Send(50'001, Micros(0), 2);
  party.Send(13);  // the first again: it begins anew
  const StreamQuality q = party.stats.Quality();
  EXPECT_EQ(q.ssrc, kSsrc);
  EXPECT_EQ(q.ssrc_changes, 2u);
  EXPECT_EQ(q.received, 14u);
  EXPECT_EQ(q.expected, 15u);
  EXPECT_EQ(q.lost, 1);
}

TEST(StreamStats, AJumpSeenBeforeAnotherSourceConfirmsNothingAfter) {
  Party party;
  party.Send(1);
  party.Send(30'000);
  party.Send(1, Micros(0), 2);
  party.Send(30'001, Micros(0), 2);
  EXPECT_EQ(party.stats.Quality().received, 2u);
}

TEST(StreamStats, WhatTookAnotherWayIsNotLost) {
  StreamStats stats;
  stats.Reset(8000);
  stats.Pause();  // nothing heard yet: nothing to go on from
  int64_t at = 1'000'000;
  const auto hear = [&](uint32_t ssrc, uint16_t sequence) {
    stats.OnRtp({.ssrc = ssrc,
                 .timestamp = uint32_t{sequence} * 160,
                 .sequence = sequence},
                Micros(at += 20'000));
  };
  for (uint16_t s = 10; s < 14; ++s) hear(7, s);
  stats.Pause();
  stats.Pause();
  EXPECT_EQ(stats.Quality().ssrc, 7u);
  hear(7, 900);  // seen as a loss of 886 without it
  hear(7, 902);
  const StreamQuality q = stats.Quality();
  EXPECT_EQ(q.ssrc, 7u);
  EXPECT_EQ(q.received, 6u);
  EXPECT_EQ(q.lost, 1);
  EXPECT_EQ(q.ssrc_changes, 0u);
  hear(8, 1);
  EXPECT_EQ(stats.Quality().ssrc_changes, 1u);
}

TEST(StreamStats, ResetForgetsEverything) {
  Party party;
  party.SendAll(1, 10);
  party.Send(30, Micros::Millis(30));
  party.Send(30);
  party.stats.OnSenderReport(77, Micros(5));
  party.stats.SetRtt(9);
  party.stats.Reset(kHz);
  const StreamQuality q = party.stats.Quality();
  EXPECT_EQ(q.ssrc, 0u);
  EXPECT_EQ(q.received + q.expected + q.reordered + q.duplicates, 0u);
  EXPECT_EQ(q.jitter_ms, 0);
  EXPECT_EQ(q.rtt_ms, 0);
  EXPECT_EQ(party.stats.RoundTrip(77, 0, Micros(6)), 0u);
}

TEST(StreamStats, AnEvenBeatHasNoJitter) {
  for (const uint32_t hz : {8000u, 16000u, 48000u, 90000u}) {
    Party party(hz);
    party.SendAll(1, 5000);
    // One tick of the clock is as fine as it gets.
    EXPECT_LE(party.stats.Quality().jitter_ms, 1000.0 / hz) << hz;
  }
}

TEST(StreamStats, AlternatingDelayBecomesTheJitter) {
  for (const uint32_t hz : {8000u, 16000u, 48000u, 90000u}) {
    Party party(hz);
    for (int i = 0; i < 400; ++i) {
      party.Send(i, Micros::Millis(i % 2 == 0 ? 0 : 6));
    }
    EXPECT_NEAR(party.stats.Quality().jitter_ms, 6, 0.2) << hz;
  }
}

TEST(StreamStats, OneLatePacketCountsASixteenthTwice) {
  Party party;
  party.SendAll(0, 9);
  party.Send(10, Micros::Millis(16));
  EXPECT_NEAR(party.stats.Quality().jitter_ms, 1.0, 0.01);
  party.Send(11);  // and the way back
  EXPECT_NEAR(party.stats.Quality().jitter_ms, 1.0 * 15 / 16 + 1.0, 0.01);
}

TEST(StreamStats, AnotherSourceBeginsWithoutJitter) {
  Party party;
  for (int i = 0; i < 100; ++i) party.Send(i, Micros::Millis(i % 2 * 10));
  ASSERT_GT(party.stats.Quality().jitter_ms, 5);
  party.Send(7, Micros(0), 2);
  EXPECT_EQ(party.stats.Quality().jitter_ms, 0);
}

TEST(StreamStats, AClockSetAnewIsNoJitterButALateSecondIs) {
  for (const auto& [shift_s, want_ms] :
       {std::pair(5, 0.0), {60, 0.0}, {3, 3000.0 / 16}}) {
    for (const int sign : {1, -1}) {
      Party party;
      party.SendAll(0, 9);
      party.Send(10, Micros::Seconds(sign * shift_s));
      EXPECT_NEAR(party.stats.Quality().jitter_ms, want_ms, 0.1) << shift_s;
      // The new beat is the measure from now on.
      party.Send(11, Micros::Seconds(sign * shift_s));
      EXPECT_NEAR(party.stats.Quality().jitter_ms, want_ms * 15 / 16, 0.1)
          << shift_s;
    }
  }
}

TEST(StreamStats, ANewBeginningOfTheNumbersMeasuresFromItsOwnTimestamps) {
  Party party;
  party.SendAll(0, 9);
  // The same SSRC, other numbers and a timestamp two seconds off.
  party.Send(20'000, Micros::Seconds(2));
  party.Send(20'001, Micros::Seconds(2));
  party.Send(20'002, Micros::Seconds(2));
  EXPECT_EQ(party.stats.Quality().received, 13u);
  EXPECT_EQ(party.stats.Quality().jitter_ms, 0);
}

TEST(StreamStats, WithoutAClockThereIsNoJitter) {
  Party party(0);
  for (int i = 0; i < 100; ++i) {
    party.stats.OnRtp({.ssrc = 1,
                       .timestamp = static_cast<uint32_t>(i) * 0x9e3779b9u,
                       .sequence = static_cast<uint16_t>(i)},
                      Micros::Millis(i * i));
  }
  EXPECT_EQ(party.stats.Quality().jitter_ms, 0);
  EXPECT_EQ(party.stats.Quality().received, 100u);
}

TEST(StreamStats, AClockOfAnyRateIsHarmless) {
  Party party(~0u);
  for (int i = 0; i < 1000; ++i) {
    party.stats.OnRtp({.ssrc = 1,
                       .timestamp = i % 2 == 0 ? 0u : 0x7fffffffu,
                       .sequence = static_cast<uint16_t>(i)},
                      Micros(INT64_MAX - 1000 + i));
  }
  const double jitter_ms = party.stats.Quality().jitter_ms;
  EXPECT_GE(jitter_ms, 0);
  EXPECT_LE(jitter_ms, 501);  // 2^31 ticks of 4 GHz
}

// The round trip.

// A second in the units of dlsr.
constexpr uint32_t kSecond = 65'536;

struct RoundTripCase {
  const char* name = "";
  uint32_t lsr = 0x1111;
  uint32_t dlsr = 0;
  Micros after{};  // the newest report went by
  uint32_t want_us = 0;
};

const RoundTripCase kRoundTripCases[] = {
    {.name = "the peer waited a second, the road took 40 ms",
     .dlsr = kSecond,
     .after = Micros::Millis(1040),
     .want_us = 40'000},
    {.name = "the report before the newest",
     .lsr = 0x2222,
     .dlsr = kSecond,
     .after = Micros::Millis(1040),
     .want_us = 5'040'000},
    {.name = "older than both",
     .lsr = 0x3333,
     .dlsr = kSecond,
     .after = Micros::Millis(1040)},
    {.name = "never ours", .lsr = 0x4444, .after = Micros::Millis(1)},
    {.name = "the peer has seen no report",
     .lsr = 0,
     .after = Micros::Millis(1)},
    {.name = "nearer than its clock can tell",
     .dlsr = kSecond,
     .after = Micros::Millis(998),
     .want_us = 1},
    {.name = "waited longer than was time",
     .dlsr = 2 * kSecond,
     .after = Micros::Millis(1000)},
    {.name = "the longest wait there is", .dlsr = ~0u, .after = Micros(1)},
    {.name = "ten seconds",
     .after = Micros::Seconds(10),
     .want_us = 10'000'000},
    {.name = "nobody waits that long", .after = Micros(10'000'001)},
};

TEST(StreamStats, RoundTripComesFromTheReportThatIsAnswered) {
  for (const RoundTripCase& c : kRoundTripCases) {
    Party party;
    const Micros newest = Micros::Seconds(100);
    party.stats.OnSenderReport(0x3333, newest - Micros::Seconds(9));
    party.stats.OnSenderReport(0x2222, newest - Micros::Seconds(5));
    party.stats.OnSenderReport(0x1111, newest);
    EXPECT_EQ(party.stats.RoundTrip(c.lsr, c.dlsr, newest + c.after), c.want_us)
        << c.name;
  }
}

TEST(StreamStats, ARepeatedReportPushesNoneOut) {
  Party party;
  party.stats.OnSenderReport(1, Micros::Seconds(1));
  party.stats.OnSenderReport(2, Micros::Seconds(2));
  party.stats.OnSenderReport(2, Micros::Seconds(3));
  EXPECT_EQ(party.stats.RoundTrip(1, 0, Micros::Seconds(4)), 3'000'000u);
  EXPECT_EQ(party.stats.RoundTrip(2, 0, Micros::Seconds(4)), 1'000'000u);
}

TEST(StreamStats, TellsTheRoundTripItWasGiven) {
  Party party;
  party.stats.SetRtt(12'345);
  EXPECT_DOUBLE_EQ(party.stats.Quality().rtt_ms, 12.345);
}

// The same books kept the long way: every number that arrived is remembered,
// and jitter is a real number.
class Reference {
 public:
  explicit Reference(uint32_t hz) : hz_(hz) {}

  void OnRtp(const RtpHeader& h, Micros arrival) {
    const double ticks = static_cast<double>(arrival.us()) * hz_ / 1e6;
    if (!started_ || h.ssrc != ssrc_) {
      if (started_) ++changes;
      started_ = true;
      ssrc_ = h.ssrc;
      jitter = 0;
      Begin(h.sequence, h, ticks);
      received += 1;
      expected += 1;
      return;
    }
    int64_t place =
        highest_ +
        static_cast<int16_t>(h.sequence - static_cast<uint16_t>(highest_));
    if (place > highest_ && place - highest_ < 3000) {
      expected += static_cast<uint64_t>(place - highest_);
      highest_ = place;
    } else if (place <= highest_ && highest_ - place < 100) {
      if (highest_ - place < 64 && arrived_.contains(place)) {
        ++duplicates;
      } else {
        ++reordered;
      }
    } else if (awaited_ == h.sequence) {
      Begin(h.sequence, h, ticks);
      arrived_.insert(h.sequence - 1);
      received += 2;
      expected += 2;
      Smooth(0);
      return;
    } else {
      awaited_ = (h.sequence + 1) % 65'536;
      return;
    }
    arrived_.insert(place);
    ++received;
    const double step =
        std::remainder(ticks - h.timestamp - transit_, 4294967296.0);
    transit_ = ticks - h.timestamp;
    if (std::abs(step) <= 4.0 * hz_) Smooth(std::abs(step));
  }

  uint64_t received = 0, expected = 0, reordered = 0, duplicates = 0;
  uint32_t changes = 0;
  double jitter = 0;  // in RTP units

 private:
  void Begin(int64_t place, const RtpHeader& h, double ticks) {
    highest_ = place;
    arrived_ = {place};
    awaited_ = -1;
    transit_ = ticks - h.timestamp;
  }
  void Smooth(double step) { jitter += (step - jitter) / 16; }

  uint32_t hz_;
  bool started_ = false;
  uint32_t ssrc_ = 0;
  int64_t highest_ = 0;
  int awaited_ = -1;
  std::set<int64_t> arrived_;
  double transit_ = 0;
};

struct Arrival {
  Micros at{};
  RtpHeader header{};
  friend bool operator<(const Arrival& a, const Arrival& b) {
    return a.at < b.at;
  }
};

// A stream over a bad road: lost, doubled, overtaken, and now and then begun
// anew under the same or another SSRC.
std::vector<Arrival> BadRoad(std::mt19937_64& random, uint32_t hz,
                             int packets) {
  const auto chance = [&](int percent_times_10) {
    return static_cast<int>(random() % 1000) < percent_times_10;
  };
  std::vector<Arrival> arrivals;
  uint32_t ssrc = static_cast<uint32_t>(random());
  uint32_t sequence = 65'000 + static_cast<uint32_t>(random() % 1000);
  uint32_t timestamp = static_cast<uint32_t>(random());
  Micros now = Micros::Seconds(1 + static_cast<int64_t>(random() % 1'000'000));
  const int loss = static_cast<int>(random() % 100);
  for (int i = 0; i < packets; ++i) {
    now = now + Micros::Millis(20);
    timestamp += hz / 50;
    ++sequence;
    if (chance(2)) ssrc = static_cast<uint32_t>(random());
    if (chance(2)) {
      sequence = static_cast<uint32_t>(random());
      timestamp = static_cast<uint32_t>(random());
    }
    if (chance(3)) sequence += static_cast<uint32_t>(random() % 200);
    if (chance(loss)) continue;
    Arrival arrival{.at = now,
                    .header = {.ssrc = ssrc,
                               .timestamp = timestamp,
                               .sequence = static_cast<uint16_t>(sequence)}};
    arrival.at = arrival.at + Micros(static_cast<int64_t>(random() % 15'000));
    if (chance(20)) {  // overtaken by some
      arrival.at =
          arrival.at + Micros(static_cast<int64_t>(random() % 2'200'000));
    }
    arrivals.push_back(arrival);
    while (chance(30)) {  // doubled, perhaps much later
      arrival.at =
          arrival.at + Micros(static_cast<int64_t>(random() % 1'500'000));
      arrivals.push_back(arrival);
    }
  }
  std::stable_sort(arrivals.begin(), arrivals.end());
  return arrivals;
}

// Goal: whatever a road does to a stream, the books are those of RFC 3550.
// Method: random roads from printed seeds, held packet by packet against the
// books kept the long way.
TEST(StreamStats, AgreesWithTheBooksKeptTheLongWay) {
  uint64_t reordered = 0, duplicates = 0, changes = 0, uncounted = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const uint32_t hz = std::vector{8000u, 16000u, 48000u, 90000u}[seed % 4];
    StreamStats stats;
    stats.Reset(hz);
    Reference want(hz);
    uint64_t sent = 0;
    for (const Arrival& arrival : BadRoad(random, hz, 2000)) {
      ++sent;
      stats.OnRtp(arrival.header, arrival.at);
      want.OnRtp(arrival.header, arrival.at);
      const StreamQuality got = stats.Quality();
      ASSERT_EQ(got.received, want.received);
      ASSERT_EQ(got.expected, want.expected);
      ASSERT_EQ(got.lost, static_cast<int64_t>(want.expected) -
                              static_cast<int64_t>(want.received));
      ASSERT_EQ(got.reordered, want.reordered);
      ASSERT_EQ(got.duplicates, want.duplicates);
      ASSERT_EQ(got.ssrc_changes, want.changes);
      // Whole ticks against real numbers: a tick or so apart.
      ASSERT_NEAR(got.jitter_ms * hz / 1000, want.jitter, 2.0);
    }
    reordered += want.reordered;
    duplicates += want.duplicates;
    changes += want.changes;
    uncounted += sent - want.received;
  }
  // The roads were bad enough to matter.
  EXPECT_GT(reordered, 1000u);
  EXPECT_GT(duplicates, 1000u);
  EXPECT_GT(changes, 100u);
  EXPECT_GT(uncounted, 100u);
}

// Goal: anybody may read while the shard writes (TSan sees to the rest).
TEST(StreamStats, CanBeReadWhileItIsWritten) {
  Party party;
  std::atomic<bool> done{false};
  std::thread reader([&] {
    StreamQuality before;
    do {
      const StreamQuality now = party.stats.Quality();
      EXPECT_GE(now.received, before.received);
      EXPECT_GE(now.expected, before.expected);
      EXPECT_GE(now.reordered, before.reordered);
      EXPECT_GE(now.ssrc_changes, before.ssrc_changes);
      EXPECT_GE(now.jitter_ms, 0);
      before = now;
    } while (!done.load());
  });
  constexpr int kPackets = 200'000;
  for (int i = 0; i < kPackets; ++i) {
    party.Send(i % 7 == 3 ? i - 2 : i, Micros(i % 100),
               1 + static_cast<uint32_t>(i / 50'000));
    if (i % 100 == 0) {
      party.stats.OnSenderReport(static_cast<uint32_t>(i), Micros(i));
      party.stats.SetRtt(static_cast<uint32_t>(i));
    }
  }
  done.store(true);
  reader.join();
  EXPECT_EQ(party.stats.Quality().received, uint64_t{kPackets});
}

}  // namespace
}  // namespace sluice::rtp

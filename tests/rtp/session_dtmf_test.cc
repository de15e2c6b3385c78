// Digits from one session to another, by both methods.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "rtp/session.h"
#include "tests/rtp/session_world.h"

namespace sluice::rtp {
namespace {

constexpr uint8_t kEvents = 101;

class SessionDtmfTest : public testing::Test {
 protected:
  // a sends to the road, which hands on to b.
  void Connect(uint8_t event_type, Codec codec = Codec::kPcmu) {
    a_ = world_.Open();
    b_ = world_.Open();
    Agreed agreed{.codec = codec,
                  .payload_type = StaticPayloadType(codec),
                  .event_type = event_type,
                  .remote = road_.local()};
    ASSERT_TRUE(a_->Start(agreed).ok());
    agreed.remote = At(*a_);
    ASSERT_TRUE(b_->Start(agreed).ok());
    digits_.clear();
    methods_.clear();
    b_->OnDtmf([this](char digit, DtmfMethod method) {
      digits_ += digit;
      methods_.push_back(method);
    });
  }
  // Hands on what `keep` says, until the digits are sent and a while beyond.
  template <typename Keep>
  void Carry(Keep keep) {
    for (int i = 0; i < 2'000 && (a_->digits_waiting() > 0 || i < 50); ++i) {
      world_.Advance(Micros::Millis(20));
      for (const RawPacket& packet : road_.Take()) {
        passed_.push_back(packet);
        if (keep(packet)) road_.Send(b_->port(), packet.whole);
      }
      world_.Settle();
    }
    ASSERT_EQ(a_->digits_waiting(), 0u);
  }

  SessionWorld world_;
  RawPeer road_;
  std::unique_ptr<Session> a_;
  std::unique_ptr<Session> b_;
  std::string digits_;
  std::vector<DtmfMethod> methods_;
  std::vector<RawPacket> passed_;
};

constexpr char kAll[] = "0123456789*#ABCD";

TEST_F(SessionDtmfTest, EachDigitArrivesOnceByEventAndByTone) {
  for (const Codec codec : {Codec::kPcmu, Codec::kPcma}) {
    for (const DtmfMethod method :
         {DtmfMethod::kRfc4733, DtmfMethod::kInBand}) {
      Connect(kEvents, codec);
      bool sent = false;
      ASSERT_TRUE(
          a_->SendDtmf(kAll, {.method = method}, [&] { sent = true; }).ok());
      ASSERT_TRUE(
          a_->SendDtmf("1155",
                       {.method = method, .duration_ms = 60, .gap_ms = 60})
              .ok());
      Carry([](const RawPacket&) { return true; });
      EXPECT_EQ(digits_, std::string(kAll) + "1155") << Name(method);
      for (const DtmfMethod by : methods_) EXPECT_EQ(by, method);
      EXPECT_TRUE(sent);
    }
  }
}

TEST_F(SessionDtmfTest, AnEventsPacketsAreThoseOfTheRfc) {
  Connect(kEvents);
  world_.Advance(Micros::Millis(100));
  road_.Take();
  ASSERT_TRUE(a_->SendDtmf("7").ok());
  Carry([](const RawPacket&) { return true; });
  std::vector<RawPacket> events;
  for (const RawPacket& p : passed_) {
    if (p.type == kEvents) events.push_back(p);
  }
  ASSERT_EQ(events.size(), 10u);
  for (size_t i = 0; i < events.size(); ++i) {
    const auto event = DecodeEvent(events[i].payload);
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event->event, 7);
    EXPECT_EQ(event->end, i >= 7);
    EXPECT_EQ(event->duration, std::min<size_t>(i + 1, 8) * 160);
    EXPECT_EQ(events[i].marker, i == 0);
    EXPECT_EQ(events[i].header.timestamp, events[0].header.timestamp);
    EXPECT_EQ(events[i].header.sequence,
              static_cast<uint16_t>(events[0].header.sequence + i));
  }
  // The audio comes back with the clock where it would have been.
  for (size_t i = 1; i < passed_.size(); ++i) {
    if (passed_[i - 1].type == kEvents && passed_[i].type == 0) {
      EXPECT_TRUE(passed_[i].marker);
      EXPECT_EQ(passed_[i].header.timestamp - events[0].header.timestamp,
                static_cast<uint32_t>(kDtmfDurationMs + kDtmfGapMs) * 8);
    }
  }
  EXPECT_EQ(b_->quality().lost, 0);
}

TEST_F(SessionDtmfTest, AnyPacketOfAnEventMayBeLost) {
  for (size_t lost = 0; lost < 10; ++lost) {
    Connect(kEvents);
    ASSERT_TRUE(a_->SendDtmf("44#").ok());
    size_t number = 0;  // within its event
    uint32_t timestamp = 0;
    Carry([&](const RawPacket& packet) {
      if (packet.type != kEvents) return true;
      number = packet.header.timestamp == timestamp ? number + 1 : 0;
      timestamp = packet.header.timestamp;
      return number != lost;
    });
    EXPECT_EQ(digits_, "44#") << "packet " << lost;
  }
}

TEST_F(SessionDtmfTest, OnePacketOfAnEventIsEnoughAndTwiceIsOnce) {
  for (size_t kept = 0; kept < 10; ++kept) {
    Connect(kEvents);
    ASSERT_TRUE(a_->SendDtmf("99").ok());
    size_t number = 0;
    uint32_t timestamp = 0;
    Carry([&](const RawPacket& packet) {
      if (packet.type != kEvents) return true;
      number = packet.header.timestamp == timestamp ? number + 1 : 0;
      timestamp = packet.header.timestamp;
      if (number != kept) return false;
      road_.Send(b_->port(), packet.whole);
      return true;
    });
    EXPECT_EQ(digits_, "99") << "packet " << kept;
  }
}

// Whatever the packets say.
TEST_F(SessionDtmfTest, EventsAreToldNoFasterThanDigitsAreDialled) {
  Connect(kEvents);
  uint16_t number = 0;
  const auto dial = [&](int count) {
    const size_t before = digits_.size();
    for (int i = 0; i < count; ++i) {
      ++number;
      road_.Send(
          b_->port(),
          MakeRtp({.ssrc = 7, .timestamp = number * 400u, .sequence = number},
                  kEvents, {5, 0x8a, 400 >> 8, 400 & 0xff}));
      if (i % 8 == 7) world_.Settle();
    }
    world_.Settle();
    return digits_.size() - before;
  };
  // So many a road may hold up and bring at once.
  EXPECT_EQ(dial(200), 33u);
  EXPECT_EQ(b_->drops().too_fast, 167u);
  // From then on 25 a second.
  world_.time = world_.time + Micros::Seconds(1);
  EXPECT_EQ(dial(200), 25u);
  // A quiet hour does not save up more than that.
  world_.time = world_.time + Micros::Seconds(3'600);
  EXPECT_EQ(dial(200), 33u);
}

TEST_F(SessionDtmfTest, WithoutEventsDigitsGoInBandOrAreRefused) {
  Connect(0);
  EXPECT_EQ(a_->SendDtmf("1", {.fall_back = false}).code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(a_->SendDtmf("42").ok());
  Carry([](const RawPacket&) { return true; });
  EXPECT_EQ(digits_, "42");
  EXPECT_EQ(methods_, (std::vector<DtmfMethod>{DtmfMethod::kInBand,
                                               DtmfMethod::kInBand}));
  for (const RawPacket& p : passed_) EXPECT_EQ(p.type, 0);
}

TEST_F(SessionDtmfTest, DigitsThatWaitWhenEventsAreDroppedGoInBand) {
  Connect(kEvents);
  ASSERT_TRUE(a_->SendDtmf("12345").ok());
  world_.Advance(Micros::Millis(300));  // into the second
  Agreed agreed = a_->agreed();
  agreed.event_type = 0;
  ASSERT_TRUE(a_->Start(agreed).ok());
  ASSERT_TRUE(b_->Start({.remote = At(*a_)}).ok());
  for (const RawPacket& packet : road_.Take()) static_cast<void>(packet);
  Carry([](const RawPacket& packet) { return packet.type == 0; });
  EXPECT_EQ(digits_, "345");
}

TEST_F(SessionDtmfTest, DigitsAskedForBeforeTheAnswerAreSentAfterIt) {
  a_ = world_.Open();
  ASSERT_TRUE(a_->SendDtmf("8").ok());
  ASSERT_TRUE(a_->Start({.event_type = kEvents, .remote = road_.local()}).ok());
  world_.Advance(Micros::Millis(500));
  size_t events = 0;
  for (const RawPacket& p : road_.Take()) events += p.type == kEvents;
  EXPECT_EQ(events, 10u);
}

TEST_F(SessionDtmfTest, RefusesWhatIsNoDigitAndTooMany) {
  Connect(kEvents);
  EXPECT_EQ(a_->SendDtmf("12x").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(a_->SendDtmf("").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(a_->SendDtmf("1", {.duration_ms = 39}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(a_->SendDtmf("1", {.duration_ms = 8001}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(a_->SendDtmf("1", {.gap_ms = -1}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(a_->digits_waiting(), 0u);
  EXPECT_TRUE(a_->SendDtmf(std::string(Session::kDigitsMax, '5')).ok());
  EXPECT_EQ(a_->SendDtmf("1").code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(SessionDtmfTest, TheSourceWaitsForTheDigits) {
  Connect(kEvents);
  const Octets played = Noise(3200, 4);
  Octets heard;
  a_->SetSource(std::make_unique<MemorySource>(played));
  ASSERT_TRUE(b_->SetSink(std::make_unique<MemorySink>(&heard)).ok());
  world_.Advance(Micros::Millis(100));
  ASSERT_TRUE(a_->SendDtmf("3").ok());
  Carry([](const RawPacket&) { return true; });
  b_->Stop();
  // What was paused is silence of the same length.
  const size_t pause = (kDtmfDurationMs + kDtmfGapMs) * kSamplesPerMs;
  const auto begin = std::search(heard.begin(), heard.end(), played.begin(),
                                 played.begin() + 320);
  ASSERT_NE(begin, heard.end());
  size_t before = 0;
  while (begin[static_cast<ptrdiff_t>(before)] == played[before]) ++before;
  const auto after = begin + static_cast<ptrdiff_t>(before / 160 * 160 + pause);
  EXPECT_TRUE(
      std::equal(played.begin() + static_cast<ptrdiff_t>(before / 160 * 160),
                 played.end(), after));
}

}  // namespace
}  // namespace sluice::rtp

#include "sip/admitted.h"

#include <gtest/gtest.h>

#include <string>

#include "base/text.h"
#include "tests/sip/phone.h"

namespace sluice::sip {
namespace {

std::string Request(const std::string& method, int n,
                    const std::string& branch = "") {
  return Cat(method, " sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=",
             branch.empty() ? Cat("z9hG4bK", n) : branch,
             "\r\nFrom: <sip:a@a>;tag=a\r\nTo: <sip:b@b>\r\nCall-ID: ", n,
             "\r\nCSeq: 1 ", method, "\r\n\r\n");
}

class AdmittedTest : public testing::Test {
 protected:
  void Note(int n) {
    const std::string text = Request("INVITE", n);
    ASSERT_FALSE(message.Parse(text));
    admitted.Note(message, ip, now);
  }
  bool Has(int n, const std::string& branch = "") {
    const std::string text = Request("CANCEL", n, branch);
    EXPECT_FALSE(message.Parse(text));
    return admitted.Has(message, ip, now);
  }
  bool HasAck(const std::string& text) {
    EXPECT_FALSE(message.Parse(text));
    return admitted.Has(message, ip, now);
  }
  Message message;
  Admitted admitted;
  IpAddress ip = IpAddress::V4(192, 0, 2, 1);
  Micros now = Micros::Seconds(1'000);
};

TEST_F(AdmittedTest, KnowsAnInviteBySourceCallAndBranch) {
  EXPECT_FALSE(Has(1));
  Note(1);
  EXPECT_TRUE(Has(1));
  EXPECT_FALSE(Has(2));
  EXPECT_FALSE(Has(1, "z9hG4bKother"));
  // The ACK of a success has a branch of its own.
  const std::string ack = Replaced(Request("ACK", 1, "z9hG4bKother"),
                                   "<sip:b@b>", "<sip:b@b>;tag=b");
  EXPECT_TRUE(HasAck(ack));
  // It answers somebody, and is of this caller's this INVITE.
  EXPECT_FALSE(HasAck(Request("ACK", 1, "z9hG4bKother")));
  EXPECT_FALSE(HasAck(Replaced(ack, ";tag=a", ";tag=e")));
  EXPECT_FALSE(HasAck(Replaced(ack, "CSeq: 1", "CSeq: 2")));
  ip = IpAddress::V4(192, 0, 2, 2);
  EXPECT_FALSE(Has(1));
  EXPECT_FALSE(HasAck(ack));
}

TEST_F(AdmittedTest, RingingHoldsItAndNothingElse) {
  Note(1);
  const auto ring = [&](const std::string& branch) {
    const std::string text =
        Cat("SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP us;branch=z9hG4bKus\r\n"
            "Via: SIP/2.0/UDP a;branch=",
            branch,
            "\r\nFrom: <sip:a@a>;tag=a\r\nTo: <sip:b@b>;tag=b\r\n"
            "Call-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n");
    ASSERT_FALSE(message.Parse(text));
    admitted.Refresh(message, ip, now);
  };
  for (int minute = 0; minute < 30; ++minute) {
    now = now + Micros::Seconds(60);
    ring("z9hG4bK1");
    EXPECT_TRUE(Has(1)) << minute;
  }
  for (int minute = 0; minute < 9; ++minute) {
    now = now + Micros::Seconds(60);
    ring("z9hG4bKnobodys");
  }
  EXPECT_FALSE(Has(1));
  EXPECT_FALSE(Has(1, "z9hG4bKnobodys"));
}

TEST_F(AdmittedTest, HoldsForItsTimeAndForgetsAfterTwice) {
  Note(1);
  now = now + Admitted::kHold;
  EXPECT_TRUE(Has(1));
  now = now + Micros(1);
  Note(2);
  EXPECT_TRUE(Has(1));
  now = now + Admitted::kHold;
  EXPECT_TRUE(Has(2));
  now = now + Micros(1);
  EXPECT_FALSE(Has(1));
  EXPECT_TRUE(Has(2));
  now = now + Admitted::kHold;
  EXPECT_FALSE(Has(2));
  Note(3);
  EXPECT_FALSE(Has(2));
  EXPECT_TRUE(Has(3));
}

TEST_F(AdmittedTest, NeverGrowsBeyondTwiceItsMost) {
  const auto most = static_cast<int>(Admitted::kMost);
  for (int n = 0; n < 2 * most + 1; ++n) Note(n);
  EXPECT_FALSE(Has(0));
  EXPECT_FALSE(Has(most - 1));
  EXPECT_TRUE(Has(most));
  EXPECT_TRUE(Has(2 * most));
}

}  // namespace
}  // namespace sluice::sip

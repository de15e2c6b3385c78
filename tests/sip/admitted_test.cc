#include "sip/admitted.h"

#include <gtest/gtest.h>

#include <string>

#include "base/text.h"

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
  const std::string ack = Request("ACK", 1, "z9hG4bKother");
  EXPECT_FALSE(message.Parse(ack));
  EXPECT_TRUE(admitted.Has(message, ip, now));
  ip = IpAddress::V4(192, 0, 2, 2);
  EXPECT_FALSE(Has(1));
  EXPECT_FALSE(message.Parse(ack));
  EXPECT_FALSE(admitted.Has(message, ip, now));
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

#include <gtest/gtest.h>

#include "sip/branch.h"
#include "tests/sip/sip_world.h"

// What a proxy without a memory has to do the same way twice (RFC 3261 16.11),
// and what it must not take from strangers (security P8).
namespace sluice::sip {
namespace {

class Branches : public testing::Test {
 protected:
  Branches()
      : in(world.AddLeg("in", "127.0.0.1")),
        out(world.AddLeg("out", "127.0.0.2")) {
    out.domains = {"example.com"};
    world.router_options.domain2proxy = {
        {"example.com", Cat("sip:", bob.host())}};
    world.Start();
  }
  ~Branches() override { world.ExpectLaw(); }

  std::string Through(const Ask& ask) {
    alice.Request(in, ask);
    return bob.Next();
  }
  // What bob would answer to an INVITE of alice, not yet sent.
  std::string AnswerTo(const std::string& request) {
    return bob.WriteAnswer(request, {});
  }

  SipWorld world;
  Leg& in;
  Leg& out;
  Phone alice{world, Transport::kUdp};
  Phone bob{world, Transport::kUdp, "127.0.0.2"};
  Ask invite{.method = "INVITE"};
};

TEST_F(Branches, ARetransmissionIsForwardedOctetForOctet) {
  const std::string first = Through(invite);
  world.now = world.now + Micros::Seconds(31);
  EXPECT_EQ(Through(invite), first);
}

TEST_F(Branches, CancelAndTheAckOfAFailureHaveTheBranchOfTheInvite) {
  const std::string branch = BranchOf(Through(invite));
  Ask cancel = invite;
  cancel.method = "CANCEL";
  cancel.contact = "";
  EXPECT_EQ(BranchOf(Through(cancel)), branch);
  Ask ack = cancel;
  ack.method = "ACK";
  ack.to += ";tag=b";
  EXPECT_EQ(BranchOf(Through(ack)), branch);
}

TEST_F(Branches, AnotherTransactionHasAnotherBranch) {
  std::vector<std::string> branches = {BranchOf(Through(invite))};
  std::vector<Ask> others(5, invite);
  others[0].cseq = 2;
  others[1].call_id = "call-2";
  others[2].branch = "z9hG4bKphone2";
  others[3].from = "<sip:alice@example.com>;tag=a2";
  others[4].uri = "sip:carol@example.com";
  for (const Ask& other : others) {
    const std::string branch = BranchOf(Through(other));
    for (const std::string& b : branches) EXPECT_NE(branch, b);
    branches.push_back(branch);
  }
}

TEST_F(Branches, ARestartWithTheSameKeyChangesNothing) {
  const std::string first = Through(invite);
  world.keys = Keys::FromSecrets({"the secret of a test"});
  EXPECT_EQ(Through(invite), first);
  world.keys = Keys::FromSecrets({"another secret"});
  EXPECT_NE(Through(invite), first);
}

TEST_F(Branches, AResponseOfBeforeARotationStillFindsItsWay) {
  const std::string request = Through(invite);
  world.keys = Keys::FromSecrets({"a new secret", "the secret of a test"});
  bob.Respond(request, {});
  EXPECT_EQ(StatusOf(alice.Next()), 200);
  // And so do the dialog's Contact and Record-Route.
  Ask bye{.method = "BYE", .uri = ContactUri(request)};
  bye.from = "<sip:bob@stranger.test>;tag=b";
  bye.to = "<sip:alice@stranger.test>;tag=a";
  for (const std::string& route : Values(request, HeaderId::kRecordRoute)) {
    Append(&bye.more, "Route: ", route, "\r\n");
  }
  bob.Request(out, bye);
  EXPECT_EQ(UriOf(alice.Next()), alice.uri("alice"));
}

TEST_F(Branches, AResponseWithAWrongMacIsDropped) {
  const std::string answer = AnswerTo(Through(invite));
  const std::string branch = BranchOf(answer);
  const char last = branch.back() == '0' ? '1' : '0';
  const std::string forged = branch.substr(0, branch.size() - 1) + last;
  bob.Return(Replaced(answer, branch, forged));
  EXPECT_TRUE(alice.Silent());
  // One of another length, and none of ours at all.
  bob.Return(Replaced(answer, branch, branch + "0"));
  bob.Return(Replaced(answer, branch, "z9hG4bKsomething"));
  EXPECT_TRUE(alice.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_forged), 3u);
  bob.Return(answer);
  EXPECT_EQ(StatusOf(alice.Next()), 200);
}

TEST_F(Branches, AResponseIsNotSentElsewhereByAnotherViaBelowOurs) {
  Phone victim(world, Transport::kUdp);
  const std::string answer = AnswerTo(Through(invite));
  const auto port = [](const Phone& p) { return Cat(p.at().port.host()); };
  bob.Return(Replaced(answer, Cat("rport=", port(alice)),
                      Cat("rport=", port(victim))));
  bob.Return(Replaced(answer, Cat(alice.host(), ";"), Cat(victim.host(), ";")));
  bob.Return(Replaced(answer, "received=127.0.0.1", "received=127.0.0.9"));
  bob.Return(
      Replaced(answer, "z9hG4bKphone1;", "z9hG4bKphone1;maddr=1.2.3.4;"));
  EXPECT_TRUE(victim.Silent());
  EXPECT_TRUE(alice.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_forged), 4u);
}

TEST_F(Branches, AResponseOfAnotherCallIsDropped) {
  const std::string answer = AnswerTo(Through(invite));
  bob.Return(Replaced(answer, "Call-ID: call-1", "Call-ID: call-2"));
  bob.Return(Replaced(answer, "CSeq: 1 ", "CSeq: 2 "));
  EXPECT_TRUE(alice.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_forged), 2u);
}

TEST_F(Branches, AResponseWhoseTopViaIsNotOursIsDropped) {
  const std::string answer = AnswerTo(Through(invite));
  bob.Return(Replaced(answer, Named(out), "192.0.2.1:5060"));
  // Ours, but of the leg that it did not come in by.
  bob.Return(Replaced(answer, Named(out), Named(in)));
  EXPECT_TRUE(alice.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_foreign_via), 2u);
}

TEST_F(Branches, AResponseForNobodyIsDropped) {
  std::string answer = AnswerTo(Through(invite));
  const std::string below =
      LineOf(answer.substr(answer.find("Via: ") + 5), "Via: ");
  bob.Return(Replaced(answer, below + "\r\n", ""));
  EXPECT_TRUE(alice.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_no_via), 1u);
}

TEST_F(Branches, ABrokenResponseIsDropped) {
  const std::string answer = AnswerTo(Through(invite));
  bob.Return(Replaced(answer, "CSeq: 1 INVITE", "CSeq: nothing"));
  EXPECT_TRUE(alice.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_bad_response), 1u);
}

// Each is sealed anew: who answers must not say how much work that is.
TEST_F(Branches, AnAnswerHasSixtyFourContactsAtMost) {
  Answer redirect{.code = 302};  // its first contact is bob's own
  for (int i = 1; i < 64; ++i) {
    Append(&redirect.more, "Contact: <", bob.uri(Cat("bob", i)), ">\r\n");
  }
  const std::string request = Through(invite);
  bob.Respond(request, redirect);
  EXPECT_EQ(Values(alice.Next(), HeaderId::kContact).size(), 64u);
  redirect.more += "m: <sip:one@more.test>\r\n";
  bob.Respond(request, redirect);
  EXPECT_TRUE(alice.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_bad_response), 1u);
}

TEST_F(Branches, AResponseThatNobodyInTheChainWantsIsDropped) {
  const std::string answer = AnswerTo(Through(invite));
  world.SetChains({});
  bob.Return(answer);
  EXPECT_TRUE(alice.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_no_handler), 1u);
}

TEST_F(Branches, TwoConnectionsWithOneCallIdGetTheirOwnAnswers) {
  Phone first(world, Transport::kTcp);
  Phone second(world, Transport::kTcp);
  Ask ask = invite;
  ask.branch = "z9hG4bKfirst";
  first.Request(in, ask);
  const std::string to_first = bob.Next();
  ask.branch = "z9hG4bKsecond";
  second.Request(in, ask);
  const std::string to_second = bob.Next();
  bob.Respond(to_first, {.code = 486});
  EXPECT_EQ(BranchOf(first.Next()), "z9hG4bKfirst");
  EXPECT_TRUE(second.Silent());
  bob.Respond(to_second, {.code = 486});
  EXPECT_EQ(BranchOf(second.Next()), "z9hG4bKsecond");
}

TEST_F(Branches, AnAnswerForAConnectionThatIsGoneIsDropped) {
  Phone tcp(world, Transport::kTcp);
  tcp.Request(in, invite);
  const std::string request = bob.Next();
  tcp.HangUp();
  world.Settle();
  // Nobody listens on the port that it had come from.
  bob.Respond(request, {.code = 486});
  for (int i = 0; i < 400 && world.Drops(SipDrop::k_send_failed) == 0; ++i) {
    world.Turn();
  }
  EXPECT_EQ(world.Drops(SipDrop::k_send_failed), 1u);
}

TEST(BranchParse, RefusesWhatHasNotItsForm) {
  const std::string good = "z9hG4bKs01" + std::string(48, 'a');
  ASSERT_TRUE(Branch::Parse(good).has_value());
  EXPECT_EQ(Branch::Parse(good)->leg, 1);
  for (const std::string& bad :
       {std::string(), std::string("z9hG4bK"), good + "a",
        good.substr(0, good.size() - 1), Replaced(good, "z9h", "Z9H"),
        Replaced(good, "s01", "t01"), Replaced(good, "s01", "s0g"),
        Replaced(good, "aa", "AA")}) {
    EXPECT_FALSE(Branch::Parse(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace sluice::sip

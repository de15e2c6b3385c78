#include "sip/dialog.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/text.h"
#include "sip/message.h"

namespace sluice::sip {
namespace {

using Routes = std::vector<std::string>;

// Whatever is parsed lives as long as the test.
class DialogTest : public ::testing::Test {
 protected:
  const Message& Response(int code, std::string_view to,
                          std::string_view more) {
    return Parsed(Cat("SIP/2.0 ", code,
                      " OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
                      "From: <sip:me@example.com>;tag=mine\r\nTo: ",
                      to, "\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n", more,
                      "Content-Length: 0\r\n\r\n"));
  }
  const Message& Request(std::string_view more) {
    return Parsed(
        Cat("INVITE sip:me@192.0.2.1 SIP/2.0\r\n"
            "Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK2\r\n"
            "From: \"You\" <sip:you@example.net>;x=1;tag=yours\r\n"
            "To: <sip:me@example.com>\r\nCall-ID: 2\r\n"
            "CSeq: 70 INVITE\r\n",
            more, "Content-Length: 0\r\n\r\n"));
  }
  const Message& Parsed(std::string text) {
    text_ = std::move(text);
    message_ = Message();
    EXPECT_FALSE(message_.Parse(text_)) << text_;
    return message_;
  }
  Dialog Begun() const {
    return {.call_id = "1",
            .local_tag = "mine",
            .local = "<sip:me@example.com>",
            .remote = "<sip:you@example.net>",
            .remote_target = "sip:you@example.net",
            .local_cseq = 1};
  }

  std::string text_;
  Message message_;
};

TEST_F(DialogTest, TheCallerTurnsTheRoutesRound) {
  const auto made = Begun().Made(Response(
      200, "\"You\" <sip:you@example.net>;tag=t",
      "Record-Route: <sip:a;lr>, <sip:b;lr>\r\nRecord-Route: <sip:c;lr>\r\n"
      "Contact: <sip:you@192.0.2.9:5070;transport=tcp>\r\n"));
  ASSERT_TRUE(made);
  EXPECT_EQ(made->remote_tag, "t");
  EXPECT_EQ(made->remote, "\"You\" <sip:you@example.net>");
  EXPECT_EQ(made->remote_target, "sip:you@192.0.2.9:5070;transport=tcp");
  EXPECT_EQ(made->routes, (Routes{"<sip:c;lr>", "<sip:b;lr>", "<sip:a;lr>"}));
  EXPECT_EQ(made->local_tag, "mine");
  EXPECT_FALSE(made->remote_cseq);
}

TEST_F(DialogTest, WithoutATagOrSomebodyToSpeakWithThereIsNone) {
  EXPECT_FALSE(Begun().Made(Response(200, "<sip:you@example.net>",
                                     "Contact: <sip:a@192.0.2.9>\r\n")));
  EXPECT_FALSE(Begun().Made(Response(200, "<sip:y@n>;tag=t", "")));
  EXPECT_FALSE(
      Begun().Made(Response(200, "<sip:y@n>;tag=t", "Contact: <tel:+1>\r\n")));
  // An early one may name its Contact later.
  const auto early = Begun().Made(Response(180, "<sip:y@n>;tag=t", ""));
  ASSERT_TRUE(early);
  EXPECT_EQ(early->remote_target, "sip:you@example.net");
  EXPECT_FALSE(Dialog::OfRequest(Request(""), "mine"));
}

// All of it would come back in each request.
TEST_F(DialogTest, TakesRoutesUpToItsMostAndOctetsUpToTheirs) {
  struct Row {
    size_t routes, octets;
    bool taken;
  };
  constexpr size_t kMost = Dialog::kRoutesMax;
  constexpr size_t kOctets = Dialog::kRouteOctetsMax;
  for (const Row& row :
       {Row{kMost, kOctets, true}, Row{kMost, kOctets + 1, false},
        Row{kMost + 1, 50 * (kMost + 1), false}, Row{8, kOctets, true},
        Row{8, kOctets + 1, false}}) {
    SCOPED_TRACE(Cat(row.routes, " routes of ", row.octets));
    std::string routes;
    for (size_t i = 0; i < row.routes; ++i) {
      const size_t octets =
          row.octets / row.routes + (i < row.octets % row.routes ? 1 : 0);
      const std::string start = Cat("<sip:a", i, ";lr;x=");
      Append(&routes, "Record-Route: ", start,
             std::string(octets - start.size() - 1, 'x'), ">\r\n");
    }
    const auto made =
        Begun().Made(Response(200, "<sip:you@example.net>;tag=t",
                              Cat(routes, "Contact: <sip:you@192.0.2.9>\r\n")));
    EXPECT_EQ(made.has_value(), row.taken);
    if (made) {
      EXPECT_EQ(made->routes.size(), row.routes);
      size_t octets = 0;
      for (const std::string& route : made->routes) octets += route.size();
      EXPECT_EQ(octets, row.octets);
    }
    EXPECT_EQ(
        Dialog::OfRequest(
            Request(Cat(routes, "Contact: <sip:you@192.0.2.9>\r\n")), "mine")
            .has_value(),
        row.taken);
  }
}

TEST_F(DialogTest, TheCalledOneKeepsTheRoutesAsTheyCame) {
  const auto made = Dialog::OfRequest(
      Request("Record-Route: <sip:a;lr>\r\nRecord-Route: <sip:b;lr>\r\n"
              "Contact: <sip:you@192.0.2.2>\r\n"),
      "mine");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->routes, (Routes{"<sip:a;lr>", "<sip:b;lr>"}));
  EXPECT_EQ(made->remote, "\"You\" <sip:you@example.net>;x=1");
  EXPECT_EQ(made->remote_tag, "yours");
  EXPECT_EQ(made->local, "<sip:me@example.com>");
  EXPECT_EQ(made->local_tag, "mine");
  EXPECT_EQ(made->remote_cseq, 70u);
}

TEST_F(DialogTest, CountsThePeersRequestsUpwardsOnly) {
  Dialog dialog = Begun();
  EXPECT_TRUE(dialog.TakeCSeq(5));  // the first may be any
  EXPECT_TRUE(dialog.TakeCSeq(6));
  EXPECT_FALSE(dialog.TakeCSeq(4));
  EXPECT_TRUE(dialog.TakeCSeq(6 + 1000));  // gaps are no fault (12.2.2)
  EXPECT_EQ(dialog.remote_cseq, 1006u);
}

TEST_F(DialogTest, WritesARequestThroughLooseRouters) {
  Dialog dialog = Begun();
  dialog.remote_tag = "yours";
  dialog.remote_target = "sip:you@192.0.2.9";
  dialog.routes = {"<sip:a.example;lr>", "<sip:b.example;lr>"};
  const OutgoingRequest out = dialog.Request("BYE", 7, "X: y\r\n", "");
  EXPECT_EQ(out.method, "BYE");
  EXPECT_EQ(out.uri, "sip:you@192.0.2.9");
  EXPECT_EQ(out.headers,
            "Max-Forwards: 70\r\nRoute: <sip:a.example;lr>\r\n"
            "Route: <sip:b.example;lr>\r\n"
            "From: <sip:me@example.com>;tag=mine\r\n"
            "To: <sip:you@example.net>;tag=yours\r\nCall-ID: 1\r\n"
            "CSeq: 7 BYE\r\nX: y\r\n");
  EXPECT_EQ(dialog.NextHop(), "sip:a.example;lr");
}

TEST_F(DialogTest, WritesARequestForAStrictRouter) {
  Dialog dialog = Begun();
  dialog.remote_target = "sip:you@192.0.2.9";
  dialog.routes = {"<sip:strict.example>", "<sip:b.example;lr>"};
  const OutgoingRequest out = dialog.Request("BYE", 7, "", "");
  EXPECT_EQ(out.uri, "sip:strict.example");  // 12.2.1.1
  EXPECT_NE(out.headers.find("Route: <sip:b.example;lr>\r\n"
                             "Route: <sip:you@192.0.2.9>\r\n"),
            std::string::npos)
      << out.headers;
  EXPECT_EQ(dialog.NextHop(), "sip:strict.example");
}

TEST_F(DialogTest, WithoutRoutesItGoesToTheTargetOrWhereItIsSaid) {
  const Dialog dialog = Begun();
  EXPECT_EQ(dialog.NextHop(), "sip:you@example.net");
  const OutgoingRequest out =
      dialog.Request("INVITE", 1, "", "body", "sip:else@192.0.2.3");
  EXPECT_EQ(out.uri, "sip:else@192.0.2.3");
  EXPECT_EQ(out.body, "body");
  EXPECT_EQ(out.headers.find("Route"), std::string::npos);
  EXPECT_NE(out.headers.find("To: <sip:you@example.net>\r\n"),
            std::string::npos);
}

TEST_F(DialogTest, OnlyANewTargetMovesIt) {
  Dialog dialog = Begun();
  dialog.RefreshTarget(Response(200, "<sip:y@n>;tag=t", ""));
  EXPECT_EQ(dialog.remote_target, "sip:you@example.net");
  dialog.RefreshTarget(
      Response(200, "<sip:y@n>;tag=t", "Contact: <sip:new@192.0.2.4>\r\n"));
  EXPECT_EQ(dialog.remote_target, "sip:new@192.0.2.4");
  EXPECT_TRUE(dialog.routes.empty());
}

TEST_F(DialogTest, AContactOfOursSaysItsTransportUnlessItIsUdpOrSecret) {
  const Leg::Address udp{.transport = Transport::kUdp,
                         .bound = {},
                         .host = "192.0.2.1",
                         .port = 5060};
  Leg::Address tls = udp;
  tls.transport = Transport::kTls;
  tls.host = "[2001:db8::1]";
  const auto sip = Uri::Scheme::kSip;
  const auto sips = Uri::Scheme::kSips;
  EXPECT_EQ(ContactAt("me", udp, sip), "sip:me@192.0.2.1:5060");
  EXPECT_EQ(ContactAt("", udp, sip), "sip:192.0.2.1:5060");
  EXPECT_EQ(ContactAt("me", tls, sip),
            "sip:me@[2001:db8::1]:5060;transport=tls");
  EXPECT_EQ(ContactAt("me", tls, SchemeFor("tel:+1")),
            "sip:me@[2001:db8::1]:5060;transport=tls");
  // Of what is secret all the way a secret one (8.1.1.8), where it can be.
  EXPECT_EQ(ContactAt("me", tls, sips), "sips:me@[2001:db8::1]:5060");
  EXPECT_EQ(ContactAt("me", udp, sips), "sip:me@192.0.2.1:5060");
  EXPECT_EQ(SchemeFor("SIPS:a@b"), sips);
  EXPECT_EQ(SchemeFor("sip:a@b"), sip);
  EXPECT_EQ(UriOfRoute("\"x\" <sip:a;lr>;y=z"), "sip:a;lr");
  EXPECT_EQ(UriOfRoute("nonsense<"), "");
}

}  // namespace
}  // namespace sluice::sip

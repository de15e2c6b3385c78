#include "sip/simple_names.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/text.h"

namespace sluice::sip {
namespace {

TEST(SimpleNames, WhatPeopleWriteForAProxyIsASipUri) {
  struct Row {
    std::string_view text, uri;
  };
  for (const Row& row :
       {Row{"192.0.2.1", "sip:192.0.2.1"},
        Row{"192.0.2.1:5070", "sip:192.0.2.1:5070"},
        Row{"proxy.example.com", "sip:proxy.example.com"},
        Row{"proxy.example.com:5070", "sip:proxy.example.com:5070"},
        Row{"2001:db8::1", "sip:[2001:db8::1]"},
        Row{"[2001:db8::1]:5060", "sip:[2001:db8::1]:5060"},
        Row{"sip:192.0.2.1;transport=tcp", "sip:192.0.2.1;transport=tcp"},
        Row{"SIPS:a.example", "SIPS:a.example"}, Row{"", ""}, Row{"<>", ""},
        Row{"tel:+1", ""}, Row{"a b", ""}, Row{"192.0.2.1:99999", ""},
        Row{"a.example\r\nX: y", ""}}) {
    EXPECT_EQ(ProxyUri(row.text), row.uri) << row.text;
  }
}

TEST(SimpleNames, ALegListensWhereItIsSaid) {
  struct Row {
    std::string_view text;
    Transport transport;
    std::string_view endpoint;
  };
  for (const Row& row : {
           Row{"192.0.2.1", Transport::kUdp, "192.0.2.1:5060"},
           Row{"192.0.2.1:5070", Transport::kUdp, "192.0.2.1:5070"},
           Row{"udp:192.0.2.1:0", Transport::kUdp, "192.0.2.1:0"},
           Row{"tcp:[2001:db8::1]:5070", Transport::kTcp, "[2001:db8::1]:5070"},
           Row{"tcp:[2001:db8::1]", Transport::kTcp, "[2001:db8::1]:5060"},
           Row{"2001:db8::1", Transport::kUdp, "[2001:db8::1]:5060"},
           Row{"TLS:192.0.2.1", Transport::kTls, "192.0.2.1:5061"},
           Row{"sip:192.0.2.1:5080;transport=tcp", Transport::kTcp,
               "192.0.2.1:5080"},
           Row{"sips:192.0.2.1", Transport::kTls, "192.0.2.1:5061"},
           Row{"sip:192.0.2.1;transport=tls", Transport::kTls,
               "192.0.2.1:5061"},
       }) {
    const auto listener = ListenerOf(row.text);
    ASSERT_TRUE(listener.ok()) << row.text << " " << listener.status();
    EXPECT_EQ(listener->first, row.transport) << row.text;
    EXPECT_EQ(listener->second.ToString(), row.endpoint) << row.text;
  }
  for (const std::string_view text :
       {"", "udp:", "host.example", "udp:host.example:5060", "192.0.2.1:70000",
        "sctp:192.0.2.1", "sip:host.example", "sip:192.0.2.1;transport=sctp"}) {
    const auto listener = ListenerOf(text);
    EXPECT_EQ(listener.status().code(), absl::StatusCode::kInvalidArgument)
        << text;
    EXPECT_NE(listener.status().message().find(Cat("\"", text, "\"")),
              std::string_view::npos)
        << listener.status();
  }
}

TEST(SimpleNames, APartyIsWrittenInAnyOfTheUsualWays) {
  struct Row {
    std::string_view text, value, uri, user;
  };
  for (const Row& row :
       {Row{"me", "<sip:me@d.example>", "sip:me@d.example", "me"},
        Row{"me@else.example", "<sip:me@else.example>", "sip:me@else.example",
            "me"},
        Row{"sip:me@else.example;x=1", "<sip:me@else.example;x=1>",
            "sip:me@else.example;x=1", "me"},
        Row{"sips:me@e.example", "<sips:me@e.example>", "sips:me@e.example",
            "me"},
        Row{"sip:e.example", "<sip:e.example>", "sip:e.example", ""},
        Row{"\"A B\" <sip:ab@e.example>;tag=x;y=z",
            "\"A B\" <sip:ab@e.example>;y=z", "sip:ab@e.example", "ab"},
        Row{"Me <sip:me@e.example>", "Me <sip:me@e.example>",
            "sip:me@e.example", "me"},
        Row{"a b", "<sip:a%20b@d.example>", "sip:a%20b@d.example", "a%20b"},
        Row{"+1-23*#", "<sip:+1-23*%23@d.example>", "sip:+1-23*%23@d.example",
            "+1-23*%23"},
        Row{"sip:me@e.example?Subject=x", "<sip:me@e.example>",
            "sip:me@e.example", "me"},
        Row{"Me <sip:me@e.example?Subject=x>", "<sip:me@e.example>",
            "sip:me@e.example", "me"}}) {
    const auto party = PartyOf(row.text, "d.example");
    ASSERT_TRUE(party.ok()) << row.text << " " << party.status();
    EXPECT_EQ(party->value, row.value);
    EXPECT_EQ(party->uri, row.uri);
    EXPECT_EQ(party->user, row.user);
  }
}

TEST(SimpleNames, WhoIsNobodyIsNamed) {
  for (const std::string_view text :
       {"", "<", "<>", "<tel:+1>", "tel:+1@", "me@", "sip:", "sip:me@",
        "a <sip:b@c> d <", "sip:me@e.example\r\nX: y",
        "<sip:me@e.example>\r\nX: y", "me@e.example\r\nX: y"}) {
    const auto party = PartyOf(text, "d.example");
    EXPECT_EQ(party.status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
  const auto party = PartyOf("me", "");
  EXPECT_NE(party.status().message().find("domain"), std::string_view::npos);
}

}  // namespace
}  // namespace sluice::sip

// Goal: arguments mean what they mean to the original, and everything that it
// would die of is answered undef.
// Method: every wrong kind of each argument, and every limit from both sides,
// asked of the command table.

#include "control/nathelper_arguments.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/control/nathelper_desk.h"

namespace sluice::control {
namespace {

using List = Value::List;
using Outcome = NatHelperVerbs::Outcome;
using Verb = NatHelperVerbs::Verb;

// ---- types ----------------------------------------------------------------

TEST(NatHelperArguments, TakesNumbersAsNumbersAndAsStrings) {
  Desk desk;
  for (const Value& cseq : {Value(17), Value("17"), Value("017")}) {
    desk.Ask(
        Value(List{Value("activate"),
                   Value(List{Value("c"), cseq, Value("f"), Value("t")})}));
    EXPECT_EQ(desk.sessions.activates.back().cseq, 17u);
  }
  desk.Ask(Value(List{
      Value("activate"),
      Value(List{Value("c"), Value("4294967295"), Value("f"), Value("t")})}));
  EXPECT_EQ(desk.sessions.activates.back().cseq, 4294967295u);
  desk.Ask(AllocateMedium(Value::MapOf({{"addr", Value("::1")},
                                        {"port", Value("65534")},
                                        {"range", Value("2")}})));
  EXPECT_EQ(desk.sessions.allocates.back().media[0].port, 65534);
  EXPECT_EQ(desk.sessions.allocates.back().media[0].range, 2);
  // Ids that Perl happened to hold as numbers.
  desk.Ask(Value(List{Value("close"), Value(List{Value(5), Value(1), Value(-7),
                                                 Value(100000)})}));
  EXPECT_EQ(desk.sessions.closes.back().call_id, "5");
  EXPECT_EQ(desk.sessions.closes.back().id_from, "-7");
  EXPECT_EQ(desk.sessions.closes.back().id_to, "100000");
}

TEST(NatHelperArguments, TakesFourSixAndMoreElementsAndMoreArguments) {
  Desk desk;
  const Value four(List{Value("c"), Value(1), Value("f"), Value("t")});
  EXPECT_EQ(desk.Ask(Value(List{Value("activate"), four})), Value(1));
  EXPECT_EQ(desk.sessions.activates.back().uri_from, "");
  List eight = *Key().list();
  eight.emplace_back(List{});
  eight.emplace_back();
  EXPECT_EQ(desk.Ask(Value(List{Value("activate"), Value(eight),
                                Value::MapOf({{"user", Value("x")}}),
                                Value(List{})})),
            Value(1));
  EXPECT_EQ(desk.sessions.activates.back().uri_to, "sip:b@x");
  // A URI is for people only: any kind of value will do, cut where it is long.
  desk.Ask(Value(List{Value("activate"),
                      Value(List{Value("c"), Value(1), Value("f"), Value("t"),
                                 Value(), Value(std::string(5000, 'u'))})}));
  EXPECT_EQ(desk.sessions.activates.back().uri_from, "");
  EXPECT_EQ(desk.sessions.activates.back().uri_to.size(), 1024u);
}

TEST(NatHelperArguments, SideZeroIsFromAndEveryOtherScalarIsTo) {
  Desk desk;
  const std::pair<Value, Side> sides[] = {
      {Value(0), Side::kFrom},   {Value("0"), Side::kFrom},
      {Value(""), Side::kFrom},  {Value(1), Side::kTo},
      {Value("1"), Side::kTo},   {Value(2), Side::kTo},
      {Value(-1), Side::kTo},    {Value("to"), Side::kTo},
      {Value(70000), Side::kTo},
  };
  for (const auto& [side, want] : sides) {
    desk.Ask(AllocateRequest(Key(), side, Value("127.0.0.1"),
                             Value(List{Medium()})));
    EXPECT_EQ(desk.sessions.allocates.back().side, want);
  }
  EXPECT_EQ(desk.sessions.allocates.size(), std::size(sides));
}

TEST(NatHelperArguments, CloseOfNoCseqMeansAll) {
  Desk desk;
  for (const Value& cseq : {Value(), Value(0), Value("0"), Value("")}) {
    desk.Ask(Value(List{Value("close"), Value(List{Value("c"), cseq, Value("f"),
                                                   Value("t")})}));
    EXPECT_EQ(desk.sessions.closes.back().cseq, std::nullopt);
  }
  desk.Ask(Value(List{Value("close"), Value(List{Value("c"), Value("3"),
                                                 Value("f"), Value("t")})}));
  EXPECT_EQ(desk.sessions.closes.back().cseq, 3u);
  EXPECT_EQ(desk.sessions.closes.size(), 5u);
  // Elsewhere 0 is a number (RFC 3261 8.1.1.5) and nothing is none.
  desk.Ask(Value(List{Value("activate"), Value(List{Value("c"), Value(0),
                                                    Value("f"), Value("t")})}));
  EXPECT_EQ(desk.sessions.activates.back().cseq, 0u);
  desk.Ask(Value(List{Value("activate"), Value(List{Value("c"), Value(),
                                                    Value("f"), Value("t")})}));
  EXPECT_EQ(desk.sessions.activates.size(), 1u);
}

TEST(NatHelperArguments, KeepsIdsWithNulsAndBeyond255Octets) {
  Desk desk;
  const std::string id = std::string("a\0b", 3) + std::string(1021, '\xff');
  ASSERT_EQ(id.size(), 1024u);
  EXPECT_EQ(desk.Ask(Value(
                List{Value("activate"),
                     Value(List{Value(id), Value(1), Value(id), Value(id)})})),
            Value(1));
  EXPECT_EQ(desk.sessions.activates.back().call_id, id);
  EXPECT_EQ(desk.sessions.activates.back().id_from, id);
  EXPECT_EQ(desk.sessions.activates.back().id_to, id);
  for (int which : {0, 2, 3}) {
    List key{Value("c"), Value(1), Value("f"), Value("t")};
    key[which] = Value(id + "x");
    EXPECT_EQ(desk.Ask(Value(List{Value("activate"), Value(key)})), Value());
  }
  EXPECT_EQ(desk.verbs.count(Verb::k_activate, Outcome::k_out_of_range), 3u);
}

TEST(NatHelperArguments, AnswersUndefToEveryWrongKindOfArgument) {
  Desk desk;
  const std::vector<Value> junk = {
      Value(),
      Value("junk"),
      Value(""),
      Value(-1),
      Value(70000),
      Value(List{}),
      Value(List{Value(List{Value()})}),
      Value::MapOf({}),
      Value::MapOf({{"addr", Value()}}),
      Value(std::string(2000, 'x')),
      Value("1e3"),
      Value("0x10"),
      Value(" 1"),
      Value("1 "),
      Value("+1"),
      Value("99999999999999999999"),
  };
  // A list's wrong elements.
  auto each_wrong = [&](const List& good, auto&& ask) {
    for (size_t i = 0; i < good.size(); ++i) {
      for (const Value& bad : junk) {
        List arguments = good;
        arguments[i] = bad;
        ask(i, bad, arguments);
      }
    }
  };
  // Whole arguments: each request is answered, whatever it means.
  const List good{Value("allocate"), Key(), Value(0), Value("127.0.0.1"),
                  Value(List{Medium()})};
  uint64_t asked = 0;
  each_wrong(good, [&](size_t i, const Value& bad, const List& arguments) {
    if (i == 0) return;
    ++asked;
    const Value reply = desk.Ask(Value(arguments));
    // Any scalar is a side, and no media at all is legal.
    if (i == 2 && (bad.bytes() != nullptr || bad.integer() != nullptr)) return;
    if (i == 4 && bad == Value(List{})) return;
    EXPECT_EQ(reply, Value()) << i;
  });
  for (size_t n = 1; n < good.size(); ++n) {
    ++asked;
    EXPECT_EQ(desk.Ask(Value(List(good.begin(), good.begin() + n))), Value());
  }
  EXPECT_EQ(desk.Total(Verb::k_allocate), asked);

  // The elements of nat_basic, for every verb.
  const List key = *Key().list();
  for (const char* verb : {"allocate", "activate", "close"}) {
    each_wrong(key, [&](size_t i, const Value& bad, const List& nat_basic) {
      if (i >= 4) return;
      List request = good;
      request[0] = Value(verb);
      request[1] = Value(nat_basic);
      const Value reply = desk.Ask(Value(request));
      const bool scalar = bad.bytes() != nullptr || bad.integer() != nullptr;
      const bool fits = bad.bytes() == nullptr || bad.bytes()->size() <= 1024;
      if (i == 1) {
        const bool legal =
            bad == Value(70000) || (std::string(verb) == "close" &&
                                    (bad.is_undef() || bad == Value("")));
        EXPECT_EQ(reply == Value(), !legal) << verb;
      } else {
        EXPECT_EQ(reply == Value(), !(scalar && fits)) << verb << i;
      }
    });
    for (size_t n = 0; n < 4; ++n) {
      List request = good;
      request[0] = Value(verb);
      request[1] = Value(List(key.begin(), key.begin() + n));
      EXPECT_EQ(desk.Ask(Value(request)), Value());
    }
    EXPECT_EQ(desk.Ask(Value(List{Value(verb)})), Value());
  }
}

TEST(NatHelperArguments, HoldsPortsAndRangesToTheirLimits) {
  Desk desk;
  auto refused = [&](const Value& medium) {
    return desk.Ask(AllocateMedium(medium)).is_undef();
  };
  const Value good = Medium();
  EXPECT_FALSE(refused(good));
  for (int port : {0, 1, 65534}) {
    EXPECT_FALSE(refused(With(good, "port", Value(port)))) << port;
  }
  for (int port : {-1, 65535, 65536, 70000, 1 << 30}) {
    EXPECT_TRUE(refused(With(good, "port", Value(port)))) << port;
  }
  EXPECT_FALSE(
      refused(With(With(good, "port", Value(65535)), "range", Value(1))));
  EXPECT_FALSE(
      refused(With(With(good, "port", Value(65520)), "range", Value(16))));
  EXPECT_TRUE(
      refused(With(With(good, "port", Value(65521)), "range", Value(16))));
  for (int range : {1, 16}) {
    EXPECT_FALSE(refused(With(good, "range", Value(range)))) << range;
  }
  for (int range : {-1, 0, 17, 10000, 1000000000}) {
    EXPECT_TRUE(refused(With(good, "range", Value(range)))) << range;
  }
  EXPECT_EQ(desk.verbs.count(Verb::k_allocate, Outcome::k_out_of_range),
            4u + 1u + 1u + 5u);
  for (const char* key : {"port", "range"}) {
    EXPECT_TRUE(refused(With(good, key, Value(List{}))));
    EXPECT_TRUE(refused(With(good, key, Value("many"))));
  }
  EXPECT_TRUE(refused(With(good, "port", Value())));
  EXPECT_TRUE(refused(Value::MapOf({{"addr", Value("127.0.0.1")}})));
  EXPECT_EQ(desk.verbs.count(Verb::k_allocate, Outcome::k_bad_arguments), 6u);
  // Left out means two, as in the original.
  EXPECT_FALSE(refused(With(good, "range", Value())));
  EXPECT_EQ(desk.sessions.allocates.back().media[0].range, 2);
}

TEST(NatHelperArguments, HoldsTheNumberOfMediaToItsLimit) {
  Desk desk;
  auto ask = [&](size_t n) {
    return desk.Ask(AllocateRequest(Key(), Value(0), Value("127.0.0.1"),
                                    Value(List(n, Medium()))));
  };
  EXPECT_NE(ask(32), Value());
  EXPECT_EQ(ask(33), Value());
  EXPECT_EQ(desk.sessions.allocates.size(), 1u);
  EXPECT_EQ(desk.sessions.allocates[0].media.size(), 32u);
}

TEST(NatHelperArguments, RefusesAddressesThatAreNoLiterals) {
  Desk desk;
  for (const char* name :
       {"localhost", "example.com", "", "127.0.0.1:80", "127.1", "[::1]",
        "127.0.0.1\n", "fe80::1%lo", "0127.0.0.1", "300.0.0.1"}) {
    EXPECT_EQ(desk.Ask(AllocateMedium(Medium(name))), Value()) << name;
    EXPECT_EQ(desk.Ask(AllocateRequest(Key(), Value(0), Value(name),
                                       Value(List{Medium()}))),
              Value())
        << name;
  }
  // No c= line at all.
  EXPECT_EQ(desk.Ask(AllocateMedium(With(Medium(), "addr", Value()))), Value());
  EXPECT_EQ(desk.verbs.count(Verb::k_allocate, Outcome::k_not_literal), 21u);
  EXPECT_TRUE(desk.sessions.allocates.empty());
}

// ---- what a medium carries ------------------------------------------------

Value Line(const char* key, const char* text) {
  return Value(List{Value(key), Value(text)});
}

TEST(NatHelperArguments, TellsRtpFromOtherProtocols) {
  Desk desk;
  struct Case {
    Value proto;
    int range;
    relay::FlowKind want;
  };
  const Case cases[] = {
      {Value("RTP/AVP"), 2, relay::FlowKind::kRtp},
      {Value("RTP/SAVPF"), 4, relay::FlowKind::kSrtp},
      {Value("RTP/AVP"), 1, relay::FlowKind::kRtp},
      {Value("udptl"), 1, relay::FlowKind::kRaw},
      {Value("UDP/TLS/RTP/SAVPF"), 2, relay::FlowKind::kRaw},
      {Value(), 2, relay::FlowKind::kRtp},
      {Value(), 1, relay::FlowKind::kRaw},
      {Value(List{}), 2, relay::FlowKind::kRtp},
  };
  for (const Case& c : cases) {
    desk.Ask(AllocateMedium(
        With(Medium("127.0.0.1", 9576, c.range), "proto", c.proto)));
    EXPECT_EQ(desk.sessions.allocates.back().media[0].first, c.want);
  }
}

TEST(NatHelperArguments, FindsTheClockOfTheFirstFormat) {
  Desk desk;
  const Value lines(List{
      Line("m", "audio 9576 RTP/AVP 0 101"), Line("a", "rtpmap:0 PCMU/8000"),
      Line("a", "rtpmap:96 opus/48000/2"), Line("a", "rtpmap:97 L16/44100"),
      Line("a", "rtpmap:9"), Line("a", "rtpmap:98 X/0"),
      Line("a", "rtpmap:102 X/1000001"), Line("a", "rtpmap:103 X/1000000"),
      Line("a", "rtpmap:99 X/99999999999"), Line("b", "rtpmap:100 X/16000"),
      Line("a", "rtpmap:1010 X/16000"), Value("junk"), Value(List{Value("a")}),
      Value(List{Value(), Value()}), Line("a", "rtpmap:6 X/12345")});
  const std::pair<Value, uint32_t> formats[] = {
      {Value("0"), 8000},   {Value("96"), 48000},  {Value(97), 44100},
      {Value("9"), 8000},   {Value("98"), 8000},   {Value("99"), 8000},
      {Value("100"), 8000}, {Value("102"), 8000},  {Value("103"), 1000000},
      {Value("101"), 8000}, {Value("6"), 12345},   {Value("10"), 44100},
      {Value("11"), 44100}, {Value("14"), 90000},  {Value("16"), 11025},
      {Value("17"), 22050}, {Value("25"), 90000},  {Value("26"), 90000},
      {Value("28"), 90000}, {Value("31"), 90000},  {Value("34"), 90000},
      {Value("35"), 8000},  {Value("t38"), 8000},  {Value(""), 8000},
      {Value("300"), 8000}, {Value(List{}), 8000}, {Value(), 8000},
  };
  for (const auto& [format, want] : formats) {
    desk.Ask(AllocateMedium(
        With(With(Medium(), "fmt", Value(List{format, Value("101")})), "lines",
             lines)));
    EXPECT_EQ(desk.sessions.allocates.back().media[0].clock_hz, want)
        << (format.bytes() != nullptr ? *format.bytes() : "");
  }
  // Nothing here is worth a refusal.
  for (const Value& odd :
       {Value(), Value(1), Value("x"), Value(List{}), Value::MapOf({})}) {
    desk.Ask(AllocateMedium(With(With(Medium(), "fmt", odd), "lines", odd)));
    EXPECT_EQ(desk.sessions.allocates.back().media[0].clock_hz, 8000u);
    desk.Ask(AllocateMedium(
        With(With(Medium(), "fmt", Value(List{Value("6")})), "lines", odd)));
    EXPECT_EQ(desk.sessions.allocates.back().media[0].clock_hz, 16000u);
  }
}

}  // namespace
}  // namespace sluice::control

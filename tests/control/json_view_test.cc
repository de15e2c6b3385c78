#include "control/json_view.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "tests/fakes/fake_operator.h"

namespace sluice::control {
namespace {

using namespace std::string_literals;

constexpr Micros kNow = Micros::Seconds(1000);

TEST(SafeText, LeavesTextThatIsSafe) {
  for (const std::string& text :
       {""s, "a84b4c76e66710@pc33.example.com"s, "caf\xc3\xa9"s,
        "\xe2\x82\xac"s, "\xf0\x9f\x93\x9e"s, "\xf4\x8f\xbf\xbf"s}) {
    EXPECT_EQ(SafeText(text), text);
  }
}

TEST(SafeText, EscapesWhatATerminalOrAJsonReaderMustNotSee) {
  struct Case {
    std::string bytes, want;
  };
  const Case kCases[] = {
      {"a\0b"s, "a\\x00b"},
      {"\x1b[2J", "\\x1b[2J"},
      {"line\r\nline", "line\\x0d\\x0aline"},
      {"back\\slash", "back\\x5cslash"},
      {"\x7f", "\\x7f"},
      {"\xc2\x9b"
       "2J",
       "\\xc2\\x9b"
       "2J"},                                        // CSI as a C1 control
      {"\xff", "\\xff"},                             // in no UTF-8
      {"\xc0\xaf", "\\xc0\\xaf"},                    // '/' in two octets
      {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},           // and in three
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},           // half a UTF-16 pair
      {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // past U+10FFFF
      {"\xf0\x80\x80\x80", "\\xf0\\x80\\x80\\x80"},
      {"\xe2\x82", "\\xe2\\x82"},  // cut short
      {"\x80", "\\x80"},
      {"\xe2\x80\xae", "\\xe2\\x80\\xae"},  // right-to-left override
      {"\xe2\x80\x8b", "\\xe2\\x80\\x8b"},  // zero width space
      {"\xe2\x81\xa9", "\\xe2\\x81\\xa9"},
  };
  for (const Case& c : kCases) {
    EXPECT_EQ(SafeText(c.bytes), c.want);
    EXPECT_EQ(FromSafeText(c.want), c.bytes);
  }
}

TEST(SafeText, IsUndoneByFromSafeTextForAllOctets) {
  const uint32_t seed = 20;
  std::mt19937 random(seed);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (uint32_t n = random() % 40; n > 0; --n) {
      bytes += static_cast<char>(random());
    }
    const std::string text = SafeText(bytes);
    ASSERT_EQ(FromSafeText(text), bytes) << "seed " << seed;
    ASSERT_EQ(PercentDecode(PercentEncode(bytes)), bytes) << "seed " << seed;
    // A strict dump throws for what is no UTF-8.
    ASSERT_NO_THROW(Json(text).dump()) << "seed " << seed;
  }
}

TEST(SafeText, LeavesBackslashesThatAreNoEscapesAlone) {
  for (const std::string text : {"a\\b", "\\x4", "\\xzz", "\\", "\\x"}) {
    EXPECT_EQ(FromSafeText(text), text);
  }
}

TEST(PercentDecode, RefusesWhatIsNoOctet) {
  for (const char* text : {"%", "a%4", "%zz", "%4g", "%%41"}) {
    EXPECT_EQ(PercentDecode(text), std::nullopt) << text;
  }
  EXPECT_EQ(PercentDecode("a%2Fb%00"), "a/b\0"s);
}

CallView HostileCall() {
  CallView call;
  call.call_id = "evil\xff\x1b]0;x\x07\0id"s;
  call.uri_from = "sip:a@\xc3\x28";
  call.created = Micros::Seconds(990);
  SessionView session;
  session.id = 7;
  session.cseq = 2;
  session.id_from = "user\0a\0l1"s;
  session.created = Micros::Seconds(995);
  FlowView flow;
  flow.call_medium = "0";
  FlowView::SideView& from = flow.side[0];
  from.local = *Endpoint::Parse("127.0.0.1:12000");
  from.target = *Endpoint::Parse("192.0.2.1:4000");
  from.latched = *Endpoint::Parse("192.0.2.1:4002");
  from.by = relay::LatchedBy::kSameAddress;
  from.confirmed = true;
  from.mos = 4.25;
  from.report.packets_in = 100;
  from.report.bytes_in = 17200;
  from.report.last_packet = Micros::Millis(999500);
  from.report.drops[static_cast<size_t>(relay::DropReason::k_wrong_source)] = 3;
  from.report.quality.received = 95;
  from.report.quality.expected = 100;
  from.report.quality.lost = 5;
  from.report.quality.jitter_ms = 1.5;
  flow.side[1].local = *Endpoint::Parse("127.0.0.1:12002");
  session.flows.push_back(flow);
  call.sessions.push_back(session);
  return call;
}

TEST(CallJson, StaysSevenBitJsonWhateverTheIdIs) {
  const std::string text = Dump(ToJson(HostileCall(), kNow));
  for (const char c : text) {
    ASSERT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f)) << int{c};
  }
  const Json json = Json::parse(text);
  EXPECT_EQ(FromSafeText(json["call_id"].get<std::string>()),
            HostileCall().call_id);
  EXPECT_EQ(json["href"], "/v1/calls/evil%ff%1b%5d0%3bx%07%00id");
  EXPECT_EQ(json["sessions"][0]["id_from"], "user\\x00a\\x00l1");
}

TEST(CallJson, SaysOfEachSideWhatTheManualPromises) {
  const Json json = ToJson(HostileCall(), kNow);
  EXPECT_EQ(json["age_s"], 10.0);
  const Json& flow = json["sessions"][0]["flows"][0];
  const Json& from = flow["sides"]["from"];
  EXPECT_EQ(flow["kind"], "rtp");
  EXPECT_EQ(from["local"], "127.0.0.1:12000");
  EXPECT_EQ(from["target"], "192.0.2.1:4000");
  EXPECT_EQ(from["latched"], "192.0.2.1:4002");
  EXPECT_EQ(from["latched_by"], "same-address");
  EXPECT_EQ(from["confirmed"], true);
  EXPECT_EQ(from["packets_in"], 100);
  EXPECT_EQ(from["bytes_in"], 17200);
  EXPECT_EQ(from["last_packet_ago_s"], 0.5);
  EXPECT_EQ(from["drops"], Json({{"wrong_source", 3}}));
  EXPECT_EQ(from["quality"]["loss_percent"], 5.0);
  EXPECT_EQ(from["quality"]["jitter_ms"], 1.5);
  EXPECT_EQ(from["quality"]["mos"], 4.25);
  EXPECT_EQ(from["quality"]["rtt_ms"], nullptr);
}

TEST(CallJson, SaysNullForWhatIsNotKnown) {
  const Json json = ToJson(HostileCall(), kNow);
  const Json& to = json["sessions"][0]["flows"][0]["sides"]["to"];
  EXPECT_EQ(to["target"], nullptr);
  EXPECT_EQ(to["latched"], nullptr);
  EXPECT_EQ(to["last_packet_ago_s"], nullptr);
  EXPECT_EQ(to["quality"], nullptr);
  EXPECT_EQ(to["hint"], "on hold: no target");
}

TEST(CallJson, NeverSaysThatAPacketIsYetToCome) {
  CallView call = HostileCall();
  call.sessions[0].last_packet = kNow + Micros(5);
  EXPECT_EQ(ToJson(call, kNow)["sessions"][0]["last_packet_ago_s"], 0.0);
}

TEST(CallJson, DoesNotCallDuplicatesNegativeLoss) {
  CallView call = HostileCall();
  call.sessions[0].flows[0].side[0].report.quality.lost = -2;
  const Json json = ToJson(call, kNow);
  const Json& quality =
      json["sessions"][0]["flows"][0]["sides"]["from"]["quality"];
  EXPECT_EQ(quality["lost"], -2);
  EXPECT_EQ(quality["loss_percent"], 0.0);
}

TEST(StatusJson, SaysByWhichPathMediaGoesAndWhy) {
  FakeOperator fake(1);
  fake.status.fast_path = {
      {.name = "offload_joined", .help = "Joined", .value = 3}};
  const Json json = ToJson(fake.status, /*ready=*/true);
  const Json& interface = json["interfaces"][0];
  EXPECT_EQ(interface["xdp"], "auto");
  EXPECT_EQ(interface["path"], "tc");
  EXPECT_EQ(interface["path_reason"], "tc on eth1");
  EXPECT_EQ(interface["path_hints"], Json({"not native: no driver"}));
  EXPECT_EQ(json["fast_path"]["offload_joined"], 3);
  EXPECT_EQ(json["session_file"], Json::object());
}

TEST(StatsJson, HasEveryCounterOfEveryShard) {
  FakeOperator fake(3);
  fake.mutable_counters(2).packets_in.Add(12);
  fake.mutable_counters(1).Drop(relay::DropReason::k_not_rtp);
  const Json json = StatsToJson(fake, kNow);
  ASSERT_EQ(json["shards"].size(), 3u);
#define COUNTER(name, help) EXPECT_TRUE(json["shards"][0].contains(#name));
#define DROP(name, help) \
  EXPECT_TRUE(json["shards"][0]["drops"].contains(#name));
#include "relay/counters.def"
#undef COUNTER
#undef DROP
  EXPECT_EQ(json["shards"][2]["packets_in"], 12);
  EXPECT_EQ(json["shards"][1]["drops"]["not_rtp"], 1);
  EXPECT_EQ(json["time_s"], 1000.0);
}

TEST(SipJson, SaysOfEachLegWhatItHas) {
  const Json json = ToJson(std::vector<SipService::LegView>{
      {.name = "in",
       .listeners = {"udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"},
       .chain = {"registrar", "proxy"},
       .connections = 3,
       .counters = {{"datagrams_in", 7}, {"closed", 0}}}});
  EXPECT_EQ(
      json,
      Json({{"legs",
             {{{"name", "in"},
               {"listeners", {"udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"}},
               {"chain", {"registrar", "proxy"}},
               {"connections", 3},
               {"counters", {{"datagrams_in", 7}, {"closed", 0}}}}}}}));
  EXPECT_EQ(ToJson(std::vector<SipService::LegView>{})["legs"], Json::array());
}

TEST(SipJson, SaysOfEachRegistrationWhatIsKnown) {
  SipService::RegistrationPage page{.total = 12};
  page.registrations = {{.aor = "sip:a@example.com",
                         .contact = "sip:a@192.0.2.1:5062",
                         .leg = "in",
                         .received = "udp:192.0.2.1:40000",
                         .path = "<sip:edge.example.com;lr>",
                         .instance = "<urn:uuid:1\x1b>",
                         .q = 0.5,
                         .expires_in_s = 299}};
  page.registrations.emplace_back().contact = "sip:b@\xff";
  const Json json = ToJson(page, 10, 2);
  EXPECT_EQ(json["total"], 12);
  EXPECT_EQ(json["offset"], 10);
  EXPECT_EQ(json["limit"], 2);
  const Json& a = json["registrations"][0];
  EXPECT_EQ(a["contact"], "sip:a@192.0.2.1:5062");
  EXPECT_EQ(a["q"], 0.5);
  EXPECT_EQ(a["expires_in_s"], 299);
  EXPECT_EQ(a["received"], "udp:192.0.2.1:40000");
  EXPECT_EQ(a["path"], "<sip:edge.example.com;lr>");
  EXPECT_EQ(a["instance"], "<urn:uuid:1\\x1b>");
  const Json& b = json["registrations"][1];
  EXPECT_EQ(b["contact"], "sip:b@\\xff");
  for (const char* unknown : {"received", "path", "instance"}) {
    EXPECT_EQ(b[unknown], nullptr) << unknown;
  }
}

std::vector<SipTrace::Entry> TwoMessages() {
  return {{.at = Micros::Seconds(990),
           .in = true,
           .cut = false,
           .leg = "in",
           .peer = "udp 192.0.2.1:5060",
           .call_id = "x",
           .octets = "INVITE sip:b SIP/2.0\r\nFrom: \"\x1b[2J\0\xff\"\r\n"s},
          {.at = Micros::Millis(990'250),
           .in = false,
           .cut = true,
           .leg = "out",
           .peer = "tls 192.0.2.2:5061",
           .call_id = "x",
           .octets = "INVITE"}};
}

TEST(SipJson, SaysOfATraceWhenWhereAndWhatToTheOctet) {
  const Json json = ToJson(TwoMessages(), "x\x07", kNow);
  EXPECT_EQ(json["call_id"], "x\\x07");
  ASSERT_EQ(json["messages"].size(), 2u);
  const Json& first = json["messages"][0];
  EXPECT_EQ(first["age_s"], 10.0);
  EXPECT_EQ(first["after_s"], 0.0);
  EXPECT_EQ(first["direction"], "in");
  EXPECT_EQ(first["leg"], "in");
  EXPECT_EQ(first["peer"], "udp 192.0.2.1:5060");
  EXPECT_EQ(first["cut"], false);
  EXPECT_EQ(first["text"],
            "INVITE sip:b SIP/2.0\\x0d\\x0a"
            "From: \"\\x1b[2J\\x00\\xff\"\\x0d\\x0a");
  EXPECT_EQ(FromSafeText(first["text"].get<std::string>()),
            TwoMessages()[0].octets);
  const Json& second = json["messages"][1];
  EXPECT_EQ(second["age_s"], 9.75);
  EXPECT_EQ(second["after_s"], 0.25);
  EXPECT_EQ(second["direction"], "out");
  EXPECT_EQ(second["cut"], true);
  for (const char c : Dump(json)) {
    ASSERT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f)) << int{c};
  }
  // It came after the clock was read.
  EXPECT_EQ(
      ToJson(TwoMessages(), "x", Micros::Seconds(1))["messages"][0]["age_s"],
      0.0);
}

TEST(StatusJson, SaysNullForTheLoadOfAShardThatCanHoldNothing) {
  FakeOperator fake(1);
  fake.status.shards[0].sockets_max = 0;
  EXPECT_EQ(ToJson(fake.status, true)["shards"][0]["load"], nullptr);
}

TEST(StatusJson, CountsFreePortsAndNamesEveryManagerOutcome) {
  FakeOperator fake;
  const Json json = ToJson(fake.status, /*ready=*/true);
  EXPECT_EQ(json["ports"]["free"], 49990);
  EXPECT_EQ(json["interfaces"][0]["ports"]["taken"], 8);
  ASSERT_EQ(json["shards"].size(), 2u);
  EXPECT_EQ(json["shards"][1], Json({{"shard", 1},
                                     {"engine", "epoll"},
                                     {"sockets", 4},
                                     {"sockets_max", 16},
                                     {"load", 0.25}}));
  EXPECT_EQ(json["ready"], true);
  EXPECT_EQ(json["draining"], false);
  for (const relay::NamedNumber& outcome : kManagerOutcomes) {
    EXPECT_TRUE(json["manager"].contains(outcome.name)) << outcome.name;
  }
  EXPECT_EQ(json["rpc"]["accepted"], 3);
}

}  // namespace
}  // namespace sluice::control

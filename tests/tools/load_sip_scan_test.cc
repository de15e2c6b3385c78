// Goal: the generator's quick look at a message finds what it needs in whatever
// way it is written, refuses what it cannot use, and never looks past the end.
// Method: messages by hand; then every prefix and random damage, from a printed
// seed, in a buffer of exactly that size (for the sanitizers).
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>

#include "tools/load/sip_scan.h"

namespace sluice::load {
namespace {

constexpr std::string_view kResponse =
    "SIP/2.0 200 OK\r\n"
    "Via: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKx\r\n"
    "Record-Route: <sip:127.0.0.1;lr>\r\n"
    "From: <sip:a@example.com>;tag=1\r\n"
    "To: \"A;tag=no\" <sip:b@example.com;tag=no>\r\n"
    " ;tag=2\r\n"
    "Call-ID: 0000002a-0000001f@sluiceload\r\n"
    "CSeq: 2 INVITE\r\n"
    "Contact: \"B\" <sip:b@127.0.0.3:5070>;expires=3\r\n"
    "Content-Length: 4\r\n"
    "\r\n"
    "body";

TEST(SipScanTest, FindsWhatAResponseIsMadeOf) {
  SipScan scan;
  ASSERT_TRUE(ScanSip(kResponse, &scan));
  EXPECT_EQ(scan.status, 200);
  EXPECT_EQ(scan.method, "INVITE");
  EXPECT_EQ(scan.cseq, 2u);
  EXPECT_EQ(scan.via_count, 1u);
  ASSERT_EQ(scan.route_count, 1u);
  EXPECT_EQ(SipLineValue(scan.record_routes()[0]), "<sip:127.0.0.1;lr>");
  EXPECT_TRUE(scan.to_line.ends_with(";tag=2\r\n"));
  EXPECT_EQ(SipAddressOf(scan.contact), "sip:b@127.0.0.3:5070");
  EXPECT_EQ(scan.body, "body");
}

TEST(SipScanTest, FindsItInARequestWithCompactNames) {
  SipScan scan;
  ASSERT_TRUE(
      ScanSip("OPTIONS sip:a@b SIP/2.0\nv:SIP/2.0/UDP a\nVIA : b\nf:<sip:a>\n"
              "t: sip:b\ni: id\ncSeQ: 7 OPTIONS\nm: sip:c;q=1\n\n",
              &scan));
  EXPECT_EQ(scan.status, 0);
  EXPECT_EQ(scan.method, "OPTIONS");
  EXPECT_EQ(scan.via_count, 2u);
  EXPECT_EQ(scan.call_id, "id");
  EXPECT_EQ(scan.cseq, 7u);
  EXPECT_EQ(SipAddressOf(scan.contact), "sip:c");
}

TEST(SipScanTest, RefusesWhatItCannotUse) {
  SipScan scan;
  EXPECT_FALSE(ScanSip("", &scan));
  EXPECT_FALSE(ScanSip("\r\n\r\n", &scan));
  for (const std::string_view missing :
       {"Via:", "From:", "To:", "Call-ID:", "CSeq:"}) {
    std::string text(kResponse);
    text.replace(text.find(missing), 1, "X");
    EXPECT_FALSE(ScanSip(text, &scan)) << missing;
  }
  for (const std::string_view start :
       {"SIP/2.0 20", "SIP/2.0 abc Why", "SIP/2.0 099 No", "SIP/2.0 700 No",
        "OPTIONS", "OPTIONS SIP/2.0", "OPTIONS sip:a HTTP/1.1"}) {
    std::string text(kResponse);
    text.replace(0, text.find('\r'), start);
    EXPECT_FALSE(ScanSip(text, &scan)) << start;
  }
  std::string many(kResponse);
  for (size_t i = 0; i < SipScan::kLinesMax; ++i) {
    many.insert(many.find("Via:"), "Via: SIP/2.0/UDP x\r\n");
  }
  EXPECT_FALSE(ScanSip(many, &scan));
}

TEST(SipScanTest, KnowsATagOfTheFieldFromOneOfTheUri) {
  EXPECT_TRUE(HasSipTag("To: <sip:a>;tag=1\r\n"));
  EXPECT_TRUE(HasSipTag("To: <sip:a>;x=1; TAG = 1\r\n"));
  EXPECT_TRUE(HasSipTag("To: sip:a;tag=1\r\n"));
  EXPECT_FALSE(HasSipTag("To: <sip:a;tag=1>\r\n"));
  EXPECT_FALSE(HasSipTag("To: \"tag=1;tag=2\" <sip:a>;tagged\r\n"));
  EXPECT_FALSE(HasSipTag("To: <sip:a>\r\n"));
}

TEST(SipScanTest, ReadsTheNumbersOfACallIdOfOurs) {
  SipNumber number;
  ASSERT_TRUE(ReadSipCallId("0000002a-fffffffe@sluiceload", &number));
  EXPECT_EQ(number.run, 42u);
  EXPECT_EQ(number.number, 0xfffffffeu);
  for (const std::string_view other :
       {"", "0000002a-fffffffe@sluiceloaD", "0000002a+fffffffe@sluiceload",
        "0000002g-fffffffe@sluiceload", "0000002a-ffffffe@sluiceload",
        "0000002a-ffffff e@sluiceload", "x0000002a-fffffffe@sluiceload"}) {
    EXPECT_FALSE(ReadSipCallId(other, &number)) << other;
  }
}

constexpr std::string_view kDescription =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    "m=video 4000 RTP/AVP 31\r\nc=IN IP4 192.0.2.9\r\n"
    "m=audio 5000 RTP/AVP 0 8\r\na=sendrecv\r\n"
    "m=audio 6000 RTP/AVP 0\r\nc=IN IP4 192.0.2.8\r\n";

TEST(SipScanTest, FindsWhereADescriptionWantsItsAudio) {
  EXPECT_EQ(SdpAudioAddress(kDescription), Endpoint::Parse("192.0.2.1:5000"));
  std::string own(kDescription);
  own.insert(own.find("a=sendrecv"), "c=IN IP6 2001:db8::7\r\n");
  EXPECT_EQ(SdpAudioAddress(own), Endpoint::Parse("[2001:db8::7]:5000"));
  // Without carriage returns or an end, with a multicast's TTL and a count of
  // ports.
  EXPECT_EQ(SdpAudioAddress("c=IN IP4 224.2.1.1/127\nm=audio 7/2 RTP/AVP 0"),
            Endpoint::Parse("224.2.1.1:7"));
}

TEST(SipScanTest, ADescriptionThatNamesNoAddressIsToldFromOne) {
  EXPECT_EQ(SdpAudioAddress(""), std::nullopt);
  EXPECT_EQ(SdpAudioAddress("rubbish"), std::nullopt);
  EXPECT_EQ(SdpAudioAddress("c=IN IP4 192.0.2.1\r\n"), std::nullopt);
  EXPECT_EQ(SdpAudioAddress("m=audio 5000 RTP/AVP 0\r\n"), std::nullopt);
  EXPECT_EQ(SdpAudioAddress("c=IN IP4 192.0.2.1\nm=audio 5000"), std::nullopt);
  const std::pair<std::string_view, std::string_view> changes[] = {
      {"audio 5000", "audio 0"},        {"audio 5000", "audio 65536"},
      {"audio 5000", "audio -5"},       {"audio 5000", "audio  5000"},
      {"audio 5000", "audio x"},        {"192.0.2.1", "0.0.0.0"},
      {"192.0.2.1", "host.example"},    {"192.0.2.1", ""},
      {"c=IN IP4 192", "c=IN IP5 192"}, {"c=IN IP4 192", "c=192"}};
  for (const auto& [what, with] : changes) {
    std::string text(kDescription);
    text.replace(text.find(what), what.size(), with);
    EXPECT_EQ(SdpAudioAddress(text), std::nullopt) << text;
  }
  // One of the stream's own that cannot be used does not fall back.
  std::string own(kDescription);
  own.insert(own.find("a=sendrecv"), "c=IN IP4 0.0.0.0\r\n");
  EXPECT_EQ(SdpAudioAddress(own), std::nullopt);
}

// Every beginning of `whole`, and all of it with some octets of `nasty` in it.
template <typename Scan>
void ScanDamaged(const std::string& whole, std::string_view nasty,
                 Scan&& scan) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (size_t end = 0; end <= whole.size(); ++end) scan(whole.substr(0, end));
  for (int i = 0; i < 20'000; ++i) {
    std::string text = whole;
    for (int hits = 1 + static_cast<int>(random() % 8); hits > 0; --hits) {
      text[random() % text.size()] = nasty[random() % nasty.size()];
    }
    scan(text);
  }
}

TEST(SipScanTest, StaysInsideADescriptionToo) {
  const auto scan = [](const std::string& text) {
    const auto exact = std::make_unique<char[]>(text.size());
    text.copy(exact.get(), text.size());
    const auto found = SdpAudioAddress({exact.get(), text.size()});
    if (!found.has_value()) return;
    EXPECT_NE(found->port, Port());
    EXPECT_FALSE(found->ip.is_any());
  };
  ScanDamaged(std::string(kDescription), "cm=09./ \r\n\0x", scan);
}

TEST(SipScanTest, StaysInsideWhateverItIsGiven) {
  const auto scan = [](const std::string& text) {
    const auto exact = std::make_unique<char[]>(text.size());
    text.copy(exact.get(), text.size());
    SipScan out;
    if (!ScanSip({exact.get(), text.size()}, &out)) return;
    HasSipTag(out.to_line);
    SipAddressOf(out.contact);
    SipNumber number;
    ReadSipCallId(out.call_id, &number);
    EXPECT_LE(out.via_count, SipScan::kLinesMax);
  };
  ScanDamaged(std::string(kResponse), ":;<>,\"\r\n \t\0x", scan);
}

}  // namespace
}  // namespace sluice::load

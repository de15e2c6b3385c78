// Goal: a contact token gives back exactly the URI and legs it was made of,
// is short enough for a phone, the same for a retransmission, and void when
// anything at all is changed in it (security P14).
// Method: tokens of many URIs; every octet and every last digit changed.

#include <gtest/gtest.h>

#include <cctype>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sip/keys.h"
#include "sip/message.h"

namespace sluice::sip {
namespace {

using Contact = ContactTokens::Contact;
using std::string_literals::operator""s;
constexpr std::string_view kDigits = "abcdefghijklmnopqrstuvwxyz234567";

// RFC 4648 6, in small letters and without padding.
std::string Base32(std::string_view octets) {
  std::string text;
  for (size_t bit = 0; bit < octets.size() * 8; bit += 5) {
    size_t digit = 0;
    for (size_t i = bit; i < bit + 5; ++i) {
      const size_t octet =
          i / 8 < octets.size() ? static_cast<uint8_t>(octets[i / 8]) : 0;
      digit = digit << 1 | (octet >> (7 - i % 8) & 1);
    }
    text += kDigits[digit];
  }
  return text;
}

class ContactToken : public testing::Test {
 protected:
  std::string Make(std::string_view uri, uint8_t leg = 1, uint8_t facing = 2) {
    return tokens_.Make(
        {.leg = leg, .facing = facing, .uri = std::string(uri)});
  }

  Keys keys_ = Keys::FromSecrets({std::string(32, 'k')});
  uint16_t today_ = 20'000;
  ContactTokens tokens_{keys_, [this] { return today_; }};
};

TEST_F(ContactToken, OpensToTheUriAndTheLegsOfItsMaking) {
  for (const char* uri :
       {"sip:user@192.0.2.1:5060", "sip:a", "sips:user@[2001:db8::1]", "tel:+1",
        "SIP:User@Host", ":", "::", ":sip:x", "sip::x", "sip:", "x",
        "sip:user@host;transport=tcp;ob?Subject=x%20y", "b", "\x80\xff"}) {
    for (const int leg : {0, 1, 62, 63}) {
      const std::string token = Make(uri, static_cast<uint8_t>(leg), 7);
      const auto contact = tokens_.Open(token);
      ASSERT_TRUE(contact.has_value()) << uri;
      EXPECT_EQ(contact->uri, uri);
      EXPECT_EQ(contact->leg, leg);
      EXPECT_EQ(contact->facing, 7);
    }
  }
}

TEST_F(ContactToken, KeepsWhereItsOwnerWasHeard) {
  for (const char* address :
       {"192.0.2.1:5060", "255.255.255.255:65535", "[2001:db8::1]:1"}) {
    for (const auto transport :
         {Transport::kUdp, Transport::kTcp, Transport::kTls}) {
      const Contact contact{
          .leg = 63,
          .facing = 62,
          .uri = "sip:a@b",
          .heard = Peer{.transport = transport,
                        .address = *Endpoint::Parse(address)}};
      const auto opened = tokens_.Open(tokens_.Make(contact));
      ASSERT_TRUE(opened && opened->heard) << address;
      EXPECT_EQ(*opened->heard, *contact.heard);
      EXPECT_EQ(opened->leg, 63);
      EXPECT_EQ(opened->facing, 62);
      EXPECT_EQ(opened->uri, "sip:a@b");
    }
  }
}

TEST_F(ContactToken, OfANormalContactHasAtMost96Characters) {
  for (const char* transport : {"udp", "tcp", "tls"}) {
    const std::string token =
        Make(std::string("sip:user@192.0.2.1:5060;transport=") + transport);
    EXPECT_LE(token.size(), 96u);
    EXPECT_EQ(token.front(), 'b');
    for (const char c : token.substr(1)) {
      EXPECT_NE(kDigits.find(c), std::string_view::npos) << c;
    }
  }
}

TEST_F(ContactToken, IsTheSameForARetransmissionAndAfterARestart) {
  const std::string uri = "sip:user@192.0.2.1:5060";
  const Keys after = Keys::FromSecrets({std::string(32, 'k')});
  EXPECT_EQ(Make(uri), Make(uri));
  EXPECT_EQ(ContactTokens(after, [this] { return today_; })
                .Make({.leg = 1, .facing = 2, .uri = uri}),
            Make(uri));
}

TEST_F(ContactToken, IsGoodForAMonth) {
  const std::string uri = "sip:user@192.0.2.1:5060";
  // Also where the sixteen bits of the day begin anew.
  for (const int made : {1, 20'000, 65'535}) {
    today_ = static_cast<uint16_t>(made);
    const std::string token = Make(uri);
    for (const int age : {-1, 0, 1, ContactTokens::kDaysMax}) {
      today_ = static_cast<uint16_t>(made + age);
      EXPECT_TRUE(tokens_.Open(token).has_value()) << made << " " << age;
    }
    for (const int age : {-2, ContactTokens::kDaysMax + 1, 400, -400}) {
      today_ = static_cast<uint16_t>(made + age);
      EXPECT_FALSE(tokens_.Open(token).has_value()) << made << " " << age;
    }
  }
  // Another day, another token; the clock is the system's.
  today_ = ContactTokens::Today();
  EXPECT_TRUE(ContactTokens(keys_).Open(Make(uri)).has_value());
  const std::string before = Make(uri);
  ++today_;
  EXPECT_NE(Make(uri), before);
}

TEST_F(ContactToken, OfARegisterIsTheSameEveryDay) {
  const ContactTokens::Contact contact{
      .leg = 1, .facing = 2, .uri = "sip:user@192.0.2.1", .lasting = true};
  const std::string token = tokens_.Make(contact);
  for (const int day : {1, 400, 40'000, 65'535}) {
    today_ = static_cast<uint16_t>(day);
    EXPECT_EQ(tokens_.Make(contact), token);
    const auto opened = tokens_.Open(token);
    ASSERT_TRUE(opened.has_value());
    EXPECT_TRUE(opened->lasting);
    EXPECT_EQ(opened->uri, contact.uri);
  }
}

TEST_F(ContactToken, OfEachLegAndUriIsAnotherOne) {
  std::set<std::string> all;
  for (int leg = 0; leg < 8; ++leg) {
    for (int facing = 0; facing < 8; ++facing) {
      for (const char* uri : {"sip:a@h", "sip:b@h", "sips:a@h", "a@h"}) {
        all.insert(
            Make(uri, static_cast<uint8_t>(leg), static_cast<uint8_t>(facing)));
      }
    }
  }
  EXPECT_EQ(all.size(), 8u * 8 * 4);
}

TEST_F(ContactToken, HidesWhatIsInIt) {
  const std::string token = Make("sip:user@192.0.2.1:5060");
  // The same user at another port shares no beginning: nothing can be compared.
  const std::string near = Make("sip:user@192.0.2.1:5061");
  size_t same = 0;
  for (size_t i = 1; i < token.size(); ++i) same += token[i] == near[i];
  EXPECT_LT(same, token.size() / 4);
}

TEST_F(ContactToken, IsVoidWithAnyCharacterChanged) {
  const std::string token = Make("sip:user@192.0.2.1:5060");
  for (size_t i = 0; i < token.size(); ++i) {
    for (const char c : kDigits) {
      if (c == token[i]) continue;
      std::string changed = token;
      changed[i] = c;
      EXPECT_FALSE(tokens_.Open(changed).has_value()) << i << c;
    }
  }
  ASSERT_TRUE(tokens_.Open(token).has_value());
}

TEST_F(ContactToken, HasOneSpellingOnly) {
  // Lengths with every number of bits left over in the last digit.
  for (const char* uri : {"sip:a", "sip:ab", "sip:abc", "sip:abcd", "sip:abcde",
                          "sip:abcdef", "sip:user@192.0.2.1:5060"}) {
    const std::string token = Make(uri);
    ASSERT_TRUE(tokens_.Open(token).has_value()) << uri;
    for (const char last : kDigits) {
      std::string other = token;
      other.back() = last;
      EXPECT_EQ(tokens_.Open(other).has_value(), last == token.back());
    }
    std::string upper = token;
    for (char& c : upper) c = static_cast<char>(std::toupper(c));
    EXPECT_FALSE(tokens_.Open(upper).has_value());
    for (size_t i = 0; i < token.size(); ++i) {
      std::string one = token;
      one[i] = static_cast<char>(std::toupper(one[i]));
      EXPECT_EQ(tokens_.Open(one).has_value(), one == token) << i;
    }
    for (const char* more :
         {"a", "aa", "aaaaaaaa", "=", "======", "2", "@", " ", "%61", "-"}) {
      EXPECT_FALSE(tokens_.Open(token + more).has_value()) << more;
    }
    EXPECT_FALSE(tokens_.Open(token + '\0').has_value());
    EXPECT_FALSE(tokens_.Open(" " + token).has_value());
    for (size_t n = 0; n < token.size(); ++n) {
      EXPECT_FALSE(tokens_.Open(token.substr(0, n)).has_value()) << n;
    }
  }
}

TEST_F(ContactToken, OfOtherKeysOrForOtherUsesIsVoid) {
  const Keys strangers = Keys::FromSecrets({std::string(32, 's')});
  const std::string token = Make("sip:user@192.0.2.1");
  EXPECT_FALSE(ContactTokens(strangers, [this] { return today_; })
                   .Open(token)
                   .has_value());
  const Keys rotated =
      Keys::FromSecrets({std::string(32, 's'), std::string(32, 'k')});
  const auto contact =
      ContactTokens(rotated, [this] { return today_; }).Open(token);
  ASSERT_TRUE(contact.has_value());
  EXPECT_EQ(contact->uri, "sip:user@192.0.2.1");
}

// The key file outlives the program: what another version sealed with the same
// key is no contact, rather than one of wherever its octets happen to point.
TEST_F(ContactToken, OfAnotherFormUnderTheSameKeyIsVoid) {
  const auto open = [this](std::string_view plain) {
    const std::string day = {static_cast<char>(today_ >> 8),
                             static_cast<char>(today_ & 0xff)};
    return tokens_.Open(
        "b" + Base32(keys_.Seal("contact", "", day + std::string(plain))));
  };
  const std::string four = "\x0a\x01\x02\x03\x13\xc4"s;
  const auto fine = open("\x41\x42" + four + "a@h");
  ASSERT_TRUE(fine && fine->heard);
  EXPECT_EQ(fine->heard->transport, Transport::kTcp);
  EXPECT_EQ(fine->heard->address.ToString(), "10.1.2.3:5060");
  EXPECT_EQ(fine->uri, "sip:a@h");
  EXPECT_TRUE(open("\x01\x02" + four));  // no address: a URI of odd octets
  EXPECT_FALSE(open("\x01"s));           // one leg
  EXPECT_FALSE(open(""));                // none
  EXPECT_FALSE(open("\xc1\x42" + four + "a@h"));          // what transport?
  EXPECT_FALSE(open("\x01\xc2" + std::string(40, 'a')));  // what family?
  // The address cut short.
  for (size_t n = 0; n < four.size(); ++n) {
    EXPECT_FALSE(open("\x41\x42" + four.substr(0, n))) << n;
  }
  for (size_t n = 0; n < 18; ++n) {
    EXPECT_FALSE(open("\x41\x82" + std::string(n, 'a'))) << n;
  }
}

TEST_F(ContactToken, IsNotWhatUsersAreCalled) {
  for (const char* user : {"", "b", "bob", "alice", "baaaaaaaaaaaaaaaaaaaaaaaa",
                           "b234567", "+4930123", "B"}) {
    EXPECT_FALSE(tokens_.Open(user).has_value()) << user;
  }
  EXPECT_FALSE(tokens_.Open(std::string(100'000, 'b')).has_value());
}

TEST_F(ContactToken, IsNotMadeOfWhatIsTooLong) {
  EXPECT_EQ(Make(""), "");
  EXPECT_EQ(Make("sip:" + std::string(kUriOctetsMax, 'u')), "");
  // The longest there is fits exactly, and opens.
  size_t longest = 0;
  for (size_t n = 1; n < kUriOctetsMax; ++n) {
    const std::string uri = "sip:" + std::string(n, 'u');
    const std::string token = Make(uri);
    if (token.empty()) break;
    EXPECT_LE(token.size(), kUriOctetsMax);
    ASSERT_TRUE(tokens_.Open(token).has_value()) << n;
    longest = n;
  }
  EXPECT_EQ(longest, (kUriOctetsMax - 1) * 5 / 8 - 20);
}

}  // namespace
}  // namespace sluice::sip

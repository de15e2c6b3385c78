// What a message is, what is refused and with which code, and what of a refused
// one is still there.
#include "sip/message.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "base/text.h"
#include "tests/sip/messages.h"

// Every allocation of the program is counted, to show that a parse makes none.
namespace {
std::atomic<uint64_t> g_allocations{0};
}
// Not inlined: the compiler would see free() meet new and warn.
__attribute__((noinline)) void* operator new(size_t bytes) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(bytes)) return p;
  throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void* p) noexcept {
  std::free(p);
}
__attribute__((noinline)) void operator delete(void* p, size_t) noexcept {
  std::free(p);
}

namespace sluice::sip {
namespace {

using std::string_literals::operator""s;

std::string Repeat(std::string_view text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

std::vector<std::string> Values(const Message& message, HeaderId id) {
  std::vector<std::string> values;
  message.ForEach(id, [&values](std::string_view value) {
    values.emplace_back(value);
    return true;
  });
  return values;
}

TEST(MessageTest, ARequestIsViewsOfItsOctets) {
  const std::string text =
      "INVITE sip:bob@example.net SIP/2.0\r\n"
      "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
      "v: SIP/2.0/TCP a.example.com , SIP/2.0/TLS b.example.com\r\n"
      "Max-Forwards: 0070\r\n"
      "f: <sip:alice@example.com>;tag=a\r\n"
      "To: <sip:bob@example.net>\r\n"
      "Call-ID: 1@example.com\r\n"
      "CSeq: 7 INVITE\r\n"
      "Expires: 4294967295\r\n"
      "X-Ours : one,\r\n\ttwo \r\n"
      "Subject:\r\n"
      "Content-Type: text/plain\r\n"
      "l: 4\r\n"
      "\r\n"
      "body and what no one asked for";
  Message m;
  const Refusal refusal = m.Parse(text);
  ASSERT_EQ(refusal.code, 0) << refusal.reason;
  EXPECT_TRUE(m.is_request());
  EXPECT_FALSE(m.is_response());
  EXPECT_EQ(m.method(), Method::kInvite);
  EXPECT_EQ(m.method_text(), "INVITE");
  EXPECT_EQ(m.uri(), "sip:bob@example.net");
  EXPECT_EQ(m.status(), 0);
  EXPECT_EQ(m.call_id(), "1@example.com");
  EXPECT_EQ(m.cseq(), 7u);
  EXPECT_EQ(m.max_forwards(), 70);
  EXPECT_EQ(m.expires(), 4294967295);
  EXPECT_EQ(m.body(), "body");
  EXPECT_EQ(m.octets(), text.substr(0, text.find(" and what")));
  EXPECT_EQ(m.start_line(), "INVITE sip:bob@example.net SIP/2.0\r\n");
  EXPECT_EQ(m.headers_end(), text.data() + text.find("\r\nbody"));
  EXPECT_TRUE(m.Answerable());
  EXPECT_EQ(Values(m, HeaderId::kVia),
            (std::vector<std::string>{"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
                                      "SIP/2.0/TCP a.example.com",
                                      "SIP/2.0/TLS b.example.com"}));
  EXPECT_EQ(m.Count(HeaderId::kVia), 3u);
  EXPECT_EQ(m.Nth(HeaderId::kVia, 2), "SIP/2.0/TLS b.example.com");
  EXPECT_EQ(m.Nth(HeaderId::kVia, 3), "");
  EXPECT_EQ(m.Find(HeaderId::kRoute), nullptr);
  EXPECT_EQ(m.Value(HeaderId::kRoute), "");

  ASSERT_EQ(m.headers().size(), 12u);
  const Header& ours = m.headers()[8];
  EXPECT_EQ(ours.id, HeaderId::kOther);
  EXPECT_EQ(ours.name, "X-Ours");
  EXPECT_EQ(ours.value, "one,\r\n\ttwo");
  EXPECT_EQ(ours.line, "X-Ours : one,\r\n\ttwo \r\n");
  EXPECT_EQ(m.headers()[9].value, "");
  for (const Header& h : m.headers()) {
    EXPECT_GE(h.value.data(), h.line.data());
    EXPECT_LE(h.value.data() + h.value.size(), h.line.data() + h.line.size());
  }
}

TEST(MessageTest, AResponseHasItsStatusAndTheMethodOfItsCSeq) {
  struct Case {
    std::string_view start;
    int status;
    std::string_view reason;
  };
  for (const Case& c :
       {Case{"SIP/2.0 200 OK", 200, "OK"},
        Case{"sip/2.0 699 a  b ", 699, "a  b "}, Case{"SIP/2.0 100 ", 100, ""},
        Case{"SIP/2.0 180", 180, ""}}) {
    const std::string text = RequestText{.start = c.start}.Text();
    Message m;
    ASSERT_EQ(m.Parse(text).code, 0) << c.start;
    EXPECT_TRUE(m.is_response());
    EXPECT_EQ(m.status(), c.status);
    EXPECT_EQ(m.reason(), c.reason);
    EXPECT_EQ(m.method(), Method::kOptions);
    EXPECT_EQ(m.method_text(), "OPTIONS");
    EXPECT_FALSE(m.Answerable());
  }
}

TEST(MessageTest, AMessageUsedAgainKeepsNothingOfTheOneBefore) {
  Message m;
  const std::string full =
      RequestText{.more = "Expires: 5\r\nMax-Forwards: 9\r\nRoute: <sip:a>\r\n"}
          .Text();
  ASSERT_FALSE(m.Parse(full));
  const std::string text = RequestText{.start = "SIP/2.0 200 OK"}.Text();
  ASSERT_FALSE(m.Parse(text));
  EXPECT_EQ(m.expires(), -1);
  EXPECT_EQ(m.max_forwards(), -1);
  EXPECT_EQ(m.Find(HeaderId::kRoute), nullptr);
  EXPECT_EQ(m.uri(), "");
  EXPECT_EQ(m.headers().size(), 6u);
  EXPECT_NE(m.Parse("").code, 0);
  EXPECT_TRUE(m.headers().empty());
  EXPECT_FALSE(m.is_response());
}

TEST(MessageTest, ACopyHasTheSameHeaders) {
  const std::string text = RequestText{}.Text();
  Message m;
  ASSERT_FALSE(m.Parse(text));
  const Message copy = m;
  ASSERT_EQ(copy.headers().size(), m.headers().size());
  EXPECT_EQ(copy.Find(HeaderId::kCSeq)->line.data(),
            m.Find(HeaderId::kCSeq)->line.data());
}

TEST(MessageTest, HeadersAreKnownByNameAndCompactFormInAnyCase) {
#define HEADER(id, name, compact, form)                                \
  EXPECT_EQ(HeaderIdOf(name), HeaderId::id);                           \
  EXPECT_EQ(HeaderIdOf(Lower(std::string_view(name))), HeaderId::id);  \
  EXPECT_EQ(NameOf(HeaderId::id), name);                               \
  EXPECT_EQ(FormOf(HeaderId::id), HeaderForm::form);                   \
  EXPECT_EQ(HeaderIdOf(Cat(name, "s")), HeaderId::kOther);             \
  if (compact != 0) {                                                  \
    EXPECT_EQ(HeaderIdOf(std::string(1, compact)), HeaderId::id);      \
    EXPECT_EQ(HeaderIdOf(std::string(1, compact - 32)), HeaderId::id); \
  }
#include "sip/headers.def"
#undef HEADER
  for (const std::string_view other :
       {"", "x", "V\xc3", "\xff", "Vix", "Viaa", "C%6Fntact", "Subject"}) {
    EXPECT_EQ(HeaderIdOf(other), HeaderId::kOther) << other;
  }
  EXPECT_EQ(NameOf(HeaderId::kOther), "");
  EXPECT_EQ(FormOf(HeaderId::kOther), HeaderForm::kMany);
}

TEST(MessageTest, MethodsAreComparedWithCase) {
#define METHOD(id, text)                 \
  EXPECT_EQ(MethodOf(text), Method::id); \
  EXPECT_EQ(MethodOf(Lower(std::string_view(text))), Method::kOther);
#include "sip/methods.def"
#undef METHOD
  EXPECT_EQ(MethodOf("RE%47ISTER"), Method::kOther);
  EXPECT_EQ(MethodOf(""), Method::kOther);
}

TEST(MessageTest, LinesMayEndWithLfAndEmptyLinesMayComeFirst) {
  std::string text = RequestText{.more = "Subject: a\n b\n"}.Text();
  Message m;
  ASSERT_FALSE(m.Parse("\r\n\r\n" + text));
  EXPECT_EQ(m.octets().size(), text.size());
  std::erase(text, '\r');
  ASSERT_FALSE(m.Parse(text));
  EXPECT_EQ(m.Value(HeaderId::kTo), "<sip:bob@example.net>");
  EXPECT_EQ(m.Nth(HeaderId::kVia, 0), "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1");
  EXPECT_EQ(m.octets(), text);
}

struct Refused {
  const char* name;
  RequestText text;
  int code = 400;
};

TEST(MessageTest, RefusesWithACode) {
  const Refused kCases[] = {
      {"no URI", {.start = "OPTIONS SIP/2.0"}},
      {"one word", {.start = "OPTIONS"}},
      {"two spaces", {.start = "OPTIONS  sip:b@example.net SIP/2.0"}},
      {"space at the front", {.start = " OPTIONS sip:b@example.net SIP/2.0"}},
      {"space at the end", {.start = "OPTIONS sip:b@example.net SIP/2.0 "}},
      {"tab", {.start = "OPTIONS\tsip:b@example.net SIP/2.0"}},
      {"no version", {.start = "OPTIONS sip:b@example.net"}},
      {"HTTP", {.start = "OPTIONS sip:b@example.net HTTP/1.1"}},
      {"half a version", {.start = "OPTIONS sip:b@example.net SIP/2."}},
      {"version in words", {.start = "OPTIONS sip:b@example.net SIP/two"}},
      {"version with a tail", {.start = "OPTIONS sip:b@example.net SIP/2.0b"}},
      {"SIP/2", {.start = "OPTIONS sip:b@example.net SIP/2"}},
      {"SIP/3.0", {.start = "OPTIONS sip:b@example.net SIP/3.0"}, 505},
      {"SIP/2.00", {.start = "OPTIONS sip:b@example.net SIP/2.00"}, 505},
      {"method with a slash", {.start = "OPT/IONS sip:b@example.net SIP/2.0"}},
      {"URI without a scheme", {.start = "OPTIONS bob SIP/2.0"}},
      {"headers in the URI", {.start = "OPTIONS sip:b@h?To=a SIP/2.0"}},
      {"status 99", {.start = "SIP/2.0 099 OK"}},
      {"status 700", {.start = "SIP/2.0 700 OK"}},
      {"status of four digits", {.start = "SIP/2.0 2000 OK"}},
      {"status of two", {.start = "SIP/2.0 20 OK"}},
      {"no status", {.start = "SIP/2.0 "}},
      {"response of another version", {.start = "SIP/3.0 200 OK"}, 505},
      {"header without a colon", {.more = "Subject\r\n"}},
      {"header without a name", {.more = ": x\r\n"}},
      {"space inside a name", {.more = "X Y: x\r\n"}},
      {"name that is no token", {.more = "X(Y): x\r\n"}},
      {"no Via", {.via = ""}},
      {"no From", {.from = ""}},
      {"no To", {.to = ""}},
      {"no Call-ID", {.call_id = ""}},
      {"empty Call-ID", {.call_id = "Call-ID: \r\n"}},
      {"Call-ID of two words", {.call_id = "Call-ID: a b\r\n"}},
      {"no CSeq", {.cseq = ""}},
      {"CSeq of another method", {.cseq = "CSeq: 7 INVITE\r\n"}},
      {"CSeq method in small letters", {.cseq = "CSeq: 7 options\r\n"}},
      {"CSeq 2^31", {.cseq = "CSeq: 2147483648 OPTIONS\r\n"}},
      {"CSeq without a number", {.cseq = "CSeq: OPTIONS\r\n"}},
      {"CSeq with a sign", {.cseq = "CSeq: -7 OPTIONS\r\n"}},
      {"Max-Forwards 256", {.more = "Max-Forwards: 256\r\n"}},
      {"Max-Forwards text", {.more = "Max-Forwards: many\r\n"}},
      {"empty Max-Forwards", {.more = "Max-Forwards:\r\n"}},
      {"Expires 2^32", {.more = "Expires: 4294967296\r\n"}},
      {"Expires 2^64", {.more = "Expires: 18446744073709551616\r\n"}},
      {"Content-Length too large", {.length = "l: 1\r\n"}},
      {"Content-Length -1", {.length = "l: -1\r\n"}},
      {"Content-Length +0", {.length = "l: +0\r\n"}},
      {"Content-Length 0x0", {.length = "l: 0x0\r\n"}},
      {"Content-Length 2^32", {.length = "l: 4294967296\r\n"}},
      {"Content-Length 2^64", {.length = "l: 18446744073709551616\r\n"}},
      {"empty Content-Length", {.length = "l:\r\n"}},
      {"two lengths", {.more = "l: 1\r\n", .body = "x"}},
      {"two From", {.more = "f: <sip:mallory@example.com>\r\n"}},
      {"two Max-Forwards", {.more = "Max-Forwards: 1\r\nmax-forwards: 2\r\n"}},
      {"bad second Via", {.more = "Via: SIP/2.0/UDP\r\n"}},
      {"empty Via in a list",
       {.more = "Via: SIP/2.0/UDP a,,SIP/2.0/UDP b\r\n"}},
      {"comma behind the last Via", {.more = "Via: SIP/2.0/UDP a,\r\n"}},
      {"bad From", {.from = "From: alice\r\n"}},
      {"comma in From", {.from = "From: Bell, A <sip:a@example.com>\r\n"}},
      {"bad To", {.to = "To: \"Bob <sip:bob@example.net>\r\n"}},
      {"bad Contact", {.more = "Contact: <sip:>\r\n"}},
      {"Contact * among others", {.more = "m: *, <sip:a@example.com>\r\n"}},
      {"two Contact *", {.more = "m: *\r\nm: *\r\n"}},
      {"Route without <>", {.more = "Route: sip:a.example.com;lr\r\n"}},
      {"bad Record-Route", {.more = "Record-Route: <a.example.com>\r\n"}},
      {"bad Path", {.more = "Path: <sip:a b>\r\n"}},
      {"REGISTER of a telephone number",
       {.start = "REGISTER sip:example.net SIP/2.0",
        .to = "To: <tel:+123>\r\n",
        .cseq = "CSeq: 7 REGISTER\r\n"}},
  };
  for (const Refused& c : kCases) {
    const std::string text = c.text.Text();
    Message m;
    const Refusal refusal = m.Parse(text);
    EXPECT_EQ(refusal.code, c.code) << c.name << ": " << refusal.reason;
    EXPECT_STRNE(refusal.reason, "") << c.name;
  }
}

TEST(MessageTest, TakesWhatIsOnlyOdd) {
  const Refused kCases[] = {
      {"method of all kinds of letters",
       {.start = "-.!%*_+`'~ sip:b@h SIP/2.0",
        .cseq = "CSeq: 7 -.!%*_+`'~\r\n"}},
      {"version in small letters", {.start = "OPTIONS sip:b@h sip/2.0"}},
      {"unknown scheme", {.start = "OPTIONS soap.beep://h:1 SIP/2.0"}},
      {"the largest CSeq", {.cseq = "CSeq: 2147483647 OPTIONS\r\n"}},
      {"CSeq over two lines", {.cseq = "CSeq: 0007\r\n\tOPTIONS\r\n"}},
      {"Max-Forwards 255", {.more = "Max-Forwards: 255\r\n"}},
      {"the same From twice", {.more = "f:<sip:alice@example.com>;tag=a\r\n"}},
      {"Contact *", {.more = "m: *\r\n"}},
      {"empty Contact", {.more = "m:\r\n"}},
      {"several kinds of credentials",
       {.more = "Authorization: A x=1\r\nAuthorization: B x=2\r\n"}},
      {"To of another scheme", {.to = "To: <urn:service:sos>\r\n"}},
      {"octets above ASCII", {.more = "Subject: \xd0\xb4\xff\x80\r\n"}},
      {"empty list", {.more = "Supported:\r\n"}},
  };
  for (const Refused& c : kCases) {
    const std::string text = c.text.Text();
    Message m;
    const Refusal refusal = m.Parse(text);
    EXPECT_EQ(refusal.code, 0) << c.name << ": " << refusal.reason;
  }
}

TEST(MessageTest, RefusesWhatHasNoEndOfHeaders) {
  const std::string text = RequestText{}.Text();
  // Cut anywhere before the last octet, it is no message.
  for (size_t n = 0; n < text.size(); ++n) {
    Message m;
    EXPECT_NE(m.Parse(std::string_view(text).substr(0, n)).code, 0) << n;
  }
  Message m;
  // Not even when white space would go on behind the end.
  EXPECT_NE(m.Parse("OPTIONS sip:b@h SIP/2.0\r\nSubject: x\r\n y").code, 0);
  EXPECT_NE(m.Parse("OPTIONS sip:b@h SIP/2.0\r\n Via: x\r\n\r\n").code, 0);
}

// Security P3: a name or a line that another reader would see otherwise.
TEST(MessageTest, RefusesControlOctetsOutsideTheBody) {
  for (int octet = 0; octet < 0x20; ++octet) {
    const char c = static_cast<char>(octet);
    if (c == '\t' || c == '\n') continue;
    const std::string one(1, c);
    for (const std::string& line :
         {Cat("Sub", one, "ject: x\r\n"), Cat("Subject", one, ": x\r\n"),
          Cat("Subject: a", one, "b\r\n"), Cat("Subject: a", one, "\r\n"),
          Cat("Subject: \"a", one, "b\"\r\n"),
          Cat("Subject: \\", one, "\r\n")}) {
      const std::string text = RequestText{.more = line}.Text();
      Message m;
      EXPECT_EQ(m.Parse(text).code, 400) << octet << " in " << line;
      // Nobody is shown the line, and the request can still be answered.
      EXPECT_EQ(m.headers().size(), 6u) << octet << " in " << line;
      EXPECT_TRUE(m.Answerable());
    }
    const std::string start = Cat("OPTIONS sip:b", one, "@h SIP/2.0");
    Message m;
    EXPECT_EQ(m.Parse(RequestText{.start = start}.Text()).code, 400) << octet;
  }
  const std::string body = "\0\r\x01"s;
  const std::string text = RequestText{.length = "", .body = body}.Text();
  Message m;
  EXPECT_EQ(m.Parse(text).code, 0);
  EXPECT_EQ(m.body(), body);
}

TEST(MessageTest, TakesControlOctetsBehindABackslashInQuotes) {
  const std::string fine = "To: \"\\\0\\\x7f\\\"\\\x01\" <sip:b@h>\r\n"s;
  Message m;
  std::string text = RequestText{.to = fine}.Text();
  EXPECT_EQ(m.Parse(text).code, 0);
  // A fold beside it is white space, with LF alone too.
  for (const std::string& folded : {"To: \"\\\x01\"\r\n <sip:b@h>\r\n"s,
                                    "To: \"\\\x01\"\n\t<sip:b@h>\r\n"s}) {
    text = RequestText{.to = folded}.Text();
    ASSERT_EQ(m.Parse(text).code, 0) << folded;
    EXPECT_EQ(m.to()->uri.text, "sip:b@h");
  }
  for (const std::string& bad :
       {"To: \"a\" \\\x01 <sip:b@h>\r\n"s, "To: \"\\\\\x01\" <sip:b@h>\r\n"s,
        "To: \"\\\rb\" <sip:b@h>\r\n"s, "To: \"\\\x01\" \x01 <sip:b@h>\r\n"s}) {
    text = RequestText{.to = bad}.Text();
    EXPECT_EQ(m.Parse(text).code, 400) << bad;
  }
  // A quote that is not closed is none.
  text = RequestText{.more = "Subject: \"\\\x01\r\n"}.Text();
  EXPECT_EQ(m.Parse(text).code, 400);
}

TEST(MessageTest, HoldsTheCaps) {
  Message m;
  const auto code = [&m](const RequestText& text) {
    const std::string octets = text.Text();
    return m.Parse(octets).code;
  };
  // Six headers are there already.
  EXPECT_EQ(code({.more = Repeat("A: b\r\n", kHeadersMax - 6)}), 0);
  EXPECT_EQ(m.headers().size(), kHeadersMax);
  EXPECT_EQ(code({.more = Repeat("A: b\r\n", kHeadersMax - 5)}), 400);
  EXPECT_EQ(m.headers().size(), kHeadersMax);

  const std::string via = "v: SIP/2.0/UDP a\r\n";
  EXPECT_EQ(code({.more = Repeat(via, kViasMax - 1)}), 0);
  EXPECT_EQ(code({.more = Repeat(via, kViasMax)}), 400);
  const std::string vias = Repeat("SIP/2.0/UDP a,", kViasMax - 1);
  EXPECT_EQ(code({.more = Cat("v: ", vias, "SIP/2.0/UDP b\r\n")}), 400);

  const std::string contact = "m: <sip:a@example.com>\r\n";
  EXPECT_EQ(code({.more = Repeat(contact, kContactsMax)}), 0);
  EXPECT_EQ(code({.more = Repeat(contact, kContactsMax + 1)}), 400);
  EXPECT_EQ(code({.start = "SIP/2.0 300 Choose",
                  .more = Repeat(contact, kContactsMax + 1)}),
            0);

  const std::string user(kUriOctetsMax - 6, 'u');  // sip:USER@h
  EXPECT_EQ(code({.start = Cat("OPTIONS sip:", user, "@h SIP/2.0")}), 0);
  EXPECT_EQ(code({.start = Cat("OPTIONS sip:", user, "@hh SIP/2.0")}), 414);
  EXPECT_EQ(code({.to = Cat("To: <sip:", user, "@hh>\r\n")}), 400);

  const std::string params = Repeat(";p", kParamsMax);
  EXPECT_EQ(code({.to = Cat("To: <sip:b@h>", params, "\r\n")}), 0);
  EXPECT_EQ(code({.to = Cat("To: <sip:b@h>", params, ";p\r\n")}), 400);

  const size_t without = RequestText{.length = ""}.Text().size();
  const std::string body(kMessageOctetsMax - without, 'b');
  EXPECT_EQ(code({.length = "", .body = body}), 0);
  EXPECT_EQ(code({.length = "", .body = Cat(body, "b")}), 513);
}

TEST(MessageTest, SaysOfARefusedRequestWhetherItCanBeAnswered) {
  struct Case {
    const char* name;
    RequestText text;
    bool answerable;
  };
  const Case kCases[] = {
      {"another version", {.start = "OPTIONS sip:b@h SIP/7.0"}, true},
      {"bad CSeq", {.cseq = "CSeq: 99999999999 OPTIONS\r\n"}, true},
      {"bad To", {.to = "To: \"Bob <sip:b@h>\r\n"}, true},
      {"bad second Via", {.more = "Via: nonsense\r\n"}, true},
      {"bad top Via", {.via = "Via: SIP/2.0/UDP a;;\r\n"}, false},
      {"no From", {.from = ""}, false},
      {"a control octet in From", {.from = "From: <sip:a@\x01h>\r\n"}, false},
      {"no method", {.start = "OPT(IONS sip:b@h SIP/2.0"}, false},
      {"a bad response", {.start = "SIP/2.0 4294967301 OK"}, false},
      {"a response of another version", {.start = "sip/9.0 200 OK"}, false},
  };
  for (const Case& c : kCases) {
    const std::string text = c.text.Text();
    Message m;
    EXPECT_NE(m.Parse(text).code, 0) << c.name;
    EXPECT_EQ(m.Answerable(), c.answerable) << c.name;
  }
}

TEST(MessageTest, AListIsSplitAtCommasOutsideQuotesAndBrackets) {
  struct Case {
    std::string_view text;
    std::vector<std::string> values;
  };
  const Case kCases[] = {
      {"a", {"a"}},
      {" a , b\r\n ,\tc", {"a", "b", "c"}},
      {"a,,b", {"a", "", "b"}},
      {",", {""}},
      {"\"x, \\\" y\" <sip:a,b@h>;p=\"1,2\",c",
       {"\"x, \\\" y\" <sip:a,b@h>;p=\"1,2\"", "c"}},
      {"<\",>,\",\"", {"<\",>", "\",\""}},
      {"\"not closed, a", {"\"not closed, a"}},
      {"<not closed, a", {"<not closed, a"}},
      {"a, \"\\", {"a", "\"\\"}},
  };
  for (const Case& c : kCases) {
    std::vector<std::string> values;
    std::string_view rest = c.text;
    while (!rest.empty()) values.emplace_back(NextListValue(&rest));
    EXPECT_EQ(values, c.values) << c.text;
  }
}

TEST(MessageTest, ForEachStopsWhenToldTo) {
  const std::string text =
      RequestText{.more = "Require: a, b\r\nRequire: c\r\n"}.Text();
  Message m;
  ASSERT_FALSE(m.Parse(text));
  int seen = 0;
  EXPECT_FALSE(m.ForEach(HeaderId::kRequire,
                         [&seen](std::string_view) { return ++seen < 2; }));
  EXPECT_EQ(seen, 2);
  EXPECT_TRUE(
      m.ForEach(HeaderId::kRequire, [](std::string_view) { return true; }));
}

TEST(MessageTest, AParseMakesNoAllocation) {
  const std::string text =
      RequestText{
          .via =
              "Via: SIP/2.0/UDP [2001:db8:::192.0.2.1]:5060"
              ";branch=z9hG4bK1;received=192.0.2.1;rport=5060\r\n",
          .to = "To: \"B \\\x01\" <sip:b;x=y@[2001:db8:::1]:5;a=b?c=d>;e\r\n",
          .more =
              "Contact: <sip:a@h>, \"x\" <tel:+1-2;p=q>\r\n"
              "Route: <sip:192.0.2.1;lr>, <sip:a.example.com;lr>\r\n"}
          .Text();
  const std::string bad = RequestText{.more = "X Y\r\nA: \x01\r\n"}.Text();
  const uint64_t before = g_allocations.load();
  Message m;
  const int code = m.Parse(text).code;
  const int bad_code = m.Parse(bad).code;
  EXPECT_EQ(g_allocations.load() - before, 0u);
  EXPECT_EQ(code, 0);
  EXPECT_EQ(bad_code, 400);
}

}  // namespace
}  // namespace sluice::sip

// L7: what no change names goes out as it came in, octet for octet.
#include "sip/edit.h"

#include <gtest/gtest.h>

#include <string>

#include "base/text.h"
#include "tests/sip/messages.h"

namespace sluice::sip {
namespace {

// A message with everything an edit could spoil by writing it anew.
constexpr std::string_view kOdd =
    "INVITE sip:bob@example.net SIP/2.0\r\n"
    "v:  SIP/2.0/UDP a ,\r\n  SIP/2.0/UDP b,SIP/2.0/UDP c\r\n"
    "VIA : SIP/2.0/UDP d\n"
    "X-One:\ttwo  \r\n"
    "From: <sip:alice@example.com>;tag=a\r\n"
    "To  :\r\n <sip:bob@example.net>\r\n"
    "Call-ID: 1@example.com\r\n"
    "CSeq: 7   INVITE\r\n"
    "Max-Forwards:070\r\n"
    "max-forwards: 070\r\n"
    "Contact: \"a, b\" <sip:a@h>;q=1 , <sip:b@h>\r\n"
    "Expires: 5\r\n"
    "Content-Length: 004\r\n"
    "\r\n"
    "body";

class EditTest : public testing::Test {
 protected:
  void Read(std::string text) {
    text_ = std::move(text);
    const Refusal refusal = message_.Parse(text_);
    ASSERT_EQ(refusal.code, 0) << refusal.reason;
  }
  void SetUp() override { Read(std::string(kOdd)); }

  // kOdd with `from` replaced by `to`, once.
  std::string With(std::string_view from, std::string_view to) const {
    std::string text = text_;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  }

  std::string text_;
  Message message_;
};

TEST_F(EditTest, WithoutChangesIsTheMessage) {
  Edit edit(message_);
  EXPECT_TRUE(edit.empty());
  EXPECT_EQ(edit.Apply(), text_);
}

TEST_F(EditTest, LeavesWhatFollowsTheBody) {
  text_ += "the next message";
  ASSERT_FALSE(message_.Parse(text_));
  EXPECT_EQ(Edit(message_).Apply(), kOdd);
}

TEST_F(EditTest, ReplacesAPiece) {
  Edit edit(message_);
  edit.Replace(message_.uri(), "sip:other");
  edit.Replace(message_.Nth(HeaderId::kContact, 1), "<sip:c@h>");
  EXPECT_FALSE(edit.empty());
  std::string want = With("INVITE sip:bob@example.net", "INVITE sip:other");
  const size_t at = want.find("<sip:b@h>");
  EXPECT_EQ(edit.Apply(), want.replace(at, 9, "<sip:c@h>"));
}

TEST_F(EditTest, PutsAHeaderOnTopOfItsKind) {
  Edit edit(message_);
  edit.InsertHeaderOnTop(HeaderId::kVia, "SIP/2.0/UDP first");
  edit.InsertHeaderOnTop(HeaderId::kVia, "SIP/2.0/UDP second");
  edit.InsertHeaderOnTop(HeaderId::kRoute, "<sip:r>");
  std::string want =
      With("v: ", "Via: SIP/2.0/UDP first\r\nVia: SIP/2.0/UDP second\r\nv: ");
  const size_t end = want.find("\r\n\r\n") + 2;
  EXPECT_EQ(edit.Apply(), want.insert(end, "Route: <sip:r>\r\n"));
}

TEST_F(EditTest, InsertsALineWhereItIsTold) {
  Edit edit(message_);
  edit.AppendHeader("Z", "last");
  edit.InsertLine(&message_.headers()[2], "A", "b");
  edit.InsertLine(nullptr, "Z", "very last");
  std::string want = With("X-One", "A: b\r\nX-One");
  const size_t end = want.find("\r\n\r\n") + 2;
  EXPECT_EQ(edit.Apply(), want.insert(end, "Z: last\r\nZ: very last\r\n"));
}

TEST_F(EditTest, ManyInsertsAtAPlaceKeepTheirOrder) {
  Edit edit(message_);
  const Header& at = message_.headers()[2];
  std::string lines;
  // More than a sort of few would keep in order by chance.
  for (int i = 0; i < 100; ++i) {
    edit.InsertLine(&at, "A", Cat(i));
    Append(&lines, "A: ", i, "\r\n");
  }
  EXPECT_EQ(edit.Apply(), With("X-One", lines + "X-One"));
}

TEST_F(EditTest, WhatIsPutInGoesBeforeWhatIsReplaced) {
  Edit edit(message_);
  const Header& at = message_.headers()[2];
  edit.Replace(at.line, "B: replaced\r\n");
  edit.InsertLine(&at, "A", "put in");
  EXPECT_EQ(edit.Apply(),
            With("X-One:\ttwo  \r\n", "A: put in\r\nB: replaced\r\n"));
}

TEST_F(EditTest, RemovesLines) {
  Edit edit(message_);
  edit.RemoveHeaders(HeaderId::kMaxForwards);
  edit.RemoveHeaders(HeaderId::kRoute);  // there is none
  edit.RemoveLine(message_.headers()[2]);
  const std::string want = With("X-One:\ttwo  \r\n", "");
  EXPECT_EQ(edit.Apply(),
            std::string(want).erase(
                want.find("Max-F"),
                std::string_view("Max-Forwards:070\r\nmax-forwards: 070\r\n")
                    .size()));
}

TEST_F(EditTest, TakingOutTwiceIsTakingOut) {
  Edit edit(message_);
  edit.RemoveHeaders(HeaderId::kContact);
  edit.RemoveFirst(HeaderId::kContact);
  edit.RemoveLine(*message_.Find(HeaderId::kContact));
  // And something may be put in its place.
  edit.InsertHeaderOnTop(HeaderId::kContact, "<sip:ours>");
  EXPECT_EQ(edit.Apply(),
            With("Contact: \"a, b\" <sip:a@h>;q=1 , <sip:b@h>\r\n",
                 "Contact: <sip:ours>\r\n"));
}

TEST_F(EditTest, RemovesTheFirstValuesOfAList) {
  struct Case {
    size_t n;
    std::string_view from, to;
  };
  const Case kCases[] = {
      {0, "v: ", "v: "},
      {1, "v:  SIP/2.0/UDP a ,\r\n  SIP/2.0/UDP b,", "v:  SIP/2.0/UDP b,"},
      {2, "v:  SIP/2.0/UDP a ,\r\n  SIP/2.0/UDP b,", "v:  "},
      {3, "v:  SIP/2.0/UDP a ,\r\n  SIP/2.0/UDP b,SIP/2.0/UDP c\r\n", ""},
      {4,
       "v:  SIP/2.0/UDP a ,\r\n  SIP/2.0/UDP b,SIP/2.0/UDP c\r\n"
       "VIA : SIP/2.0/UDP d\n",
       ""},
      {5,
       "v:  SIP/2.0/UDP a ,\r\n  SIP/2.0/UDP b,SIP/2.0/UDP c\r\n"
       "VIA : SIP/2.0/UDP d\n",
       ""},
  };
  for (const Case& c : kCases) {
    Edit edit(message_);
    edit.RemoveFirst(HeaderId::kVia, c.n);
    EXPECT_EQ(edit.Apply(), With(c.from, c.to)) << c.n;
  }
}

TEST_F(EditTest, ACommaInsideQuotesSplitsNothing) {
  Edit edit(message_);
  edit.RemoveFirst(HeaderId::kContact);
  EXPECT_EQ(edit.Apply(), With("\"a, b\" <sip:a@h>;q=1 , ", ""));
}

TEST_F(EditTest, TheFirstOfWhatIsNoListIsItsLine) {
  Read(RequestText{.more = "Authorization: A b=\"c\", d=e\r\n"
                           "Authorization: F g=h\r\n"}
           .Text());
  Edit edit(message_);
  edit.RemoveFirst(HeaderId::kAuthorization);
  EXPECT_EQ(edit.Apply(), With("Authorization: A b=\"c\", d=e\r\n", ""));
}

TEST_F(EditTest, SetsASingleHeader) {
  Edit edit(message_);
  edit.SetHeader(HeaderId::kExpires, "60");
  // It was there twice, and would now be two values.
  edit.SetHeader(HeaderId::kMaxForwards, "69");
  edit.SetHeader(HeaderId::kMinExpires, "1");
  std::string want =
      With("Max-Forwards:070\r\nmax-forwards: 070\r\n", "Max-Forwards:69\r\n");
  want.replace(want.find("Expires: 5"), 10, "Expires: 60");
  want.insert(want.find("\r\n\r\n") + 2, "Min-Expires: 1\r\n");
  const std::string got = edit.Apply();
  EXPECT_EQ(got, want);
  Message again;
  EXPECT_EQ(again.Parse(got).code, 0);
  EXPECT_EQ(again.max_forwards(), 69);
}

TEST_F(EditTest, SetsTheBodyAndItsLength) {
  Edit edit(message_);
  edit.SetBody("another");
  std::string want = With("Content-Length: 004", "Content-Length: 7");
  EXPECT_EQ(edit.Apply(), want.replace(want.find("body"), 4, "another"));

  Edit none(message_);
  none.SetBody("");
  want = With("Content-Length: 004", "Content-Length: 0");
  EXPECT_EQ(none.Apply(), want.erase(want.find("body")));
}

TEST_F(EditTest, WritesTheLengthWhereItWasMissing) {
  Read(RequestText{.length = "", .body = "abc"}.Text());
  Edit edit(message_);
  EXPECT_EQ(edit.Apply(), With("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\n"));
  edit.AppendHeader("A", "b");
  EXPECT_EQ(edit.Apply(),
            With("\r\n\r\n", "\r\nA: b\r\nContent-Length: 3\r\n\r\n"));
  edit.SetBody("12345");
  const std::string got = edit.Apply();
  EXPECT_EQ(got.find("Content-Length: 3"), std::string::npos);
  Message again;
  ASSERT_EQ(again.Parse(got).code, 0);
  EXPECT_EQ(again.body(), "12345");
}

TEST_F(EditTest, CanBeMadeOfACopyElsewhere) {
  Edit edit(message_);
  edit.Replace(message_.uri(), "sip:other");
  edit.SetBody("abc");
  const std::string elsewhere = text_;
  Message copy;
  ASSERT_FALSE(copy.Parse(elsewhere));
  Edit again(copy, edit);
  text_.assign(text_.size(), 'x');
  std::string want(elsewhere);
  want.replace(want.find("sip:bob"), 19, "sip:other");
  want.replace(want.find("004"), 3, "3");
  EXPECT_EQ(again.Apply(), want.replace(want.find("body"), 4, "abc"));
}

using EditDeathTest = EditTest;

TEST_F(EditDeathTest, ReplacingOverlappingPiecesIsABug) {
  const std::string_view from = message_.Value(HeaderId::kFrom);
  {
    Edit edit(message_);
    edit.Replace(from, "a");
    edit.Replace(from.substr(1), "b");
    EXPECT_DEATH(edit.Apply(), "CHECK failed");
  }
  {
    Edit edit(message_);
    edit.Replace(from, "a");
    edit.RemoveHeaders(HeaderId::kFrom);
    EXPECT_DEATH(edit.Apply(), "CHECK failed");
  }
  {
    Edit edit(message_);
    edit.Replace(from, "a");
    edit.Replace(from.substr(1), "");
    EXPECT_DEATH(edit.Apply(), "CHECK failed");
  }
  Edit edit(message_);
  const std::string other = "elsewhere";
  EXPECT_DEATH(edit.Replace(other, ""), "CHECK failed");
}

}  // namespace
}  // namespace sluice::sip

// Goal: the decoder reads all that a real proxy sends, and nothing that anybody
// sends makes it run, hang or take memory beyond its limits.
// Method: octets from real frames and hand-made ones; Perl's own Storable on
// the other side where both must agree.

#include "control/storable.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/control/hex.h"

namespace sluice::control::storable {
namespace {

using List = Value::List;

// One element in a list, as the samples were taken.
std::string InList(const std::string& element_hex) {
  return Hex("050b 02 00000001" + element_hex);
}

struct Sample {
  const char* name;
  std::string hex;
  Value want;
};

TEST(StorableDecode, ReadsEveryKindOfElement) {
  const std::string b255(255, 'x');
  const std::string b256(256, 'x');
  std::string smileys;
  for (int i = 0; i < 100; ++i) smileys += "\xe2\x98\xba";
  auto hex_of = [](const std::string& bytes) {
    std::string out;
    for (unsigned char c : bytes) {
      char digits[3];
      std::snprintf(digits, sizeof(digits), "%02x", c);
      out += digits;
    }
    return out;
  };
  const Sample samples[] = {
      {"undef", "05", Value()},
      {"hole", "0e", Value()},
      {"immortal undef", "1f", Value()},
      {"zero", "0880", Value(0)},
      {"127", "08ff", Value(127)},
      {"128", "0900000080", Value(128)},
      {"-1", "087f", Value(-1)},
      {"-128", "0800", Value(-128)},
      {"-129", "09ffffff7f", Value(-129)},
      {"65535", "090000ffff", Value(65535)},
      {"int32 max", "097fffffff", Value(2147483647)},
      {"int32 min", "0980000000", Value(-2147483648LL)},
      {"beyond int32", "0a0a" + hex_of("2147483648"), Value("2147483648")},
      {"fraction", "0a03" + hex_of("1.5"), Value("1.5")},
      {"empty", "0a00", Value("")},
      {"255 octets", "0aff" + hex_of(b255), Value(b255)},
      {"256 octets", "0100000100" + hex_of(b256), Value(b256)},
      {"utf8", "1703e298ba", Value("\xe2\x98\xba")},
      {"long utf8", "180000012c" + hex_of(smileys), Value(smileys)},
      {"NUL inside", "0a03610062", Value(std::string("a\0b", 3))},
      {"yes", "0f", Value("1")},
      {"no", "10", Value("")},
      {"true", "22", Value("1")},
      {"false", "23", Value("")},
      {"map", "04 03 00000001 0881 00000001 61",
       Value::MapOf({{"a", Value(1)}})},
      {"empty map", "04 03 00000000", Value::MapOf({})},
      {"restricted map",
       "04 19 01 00000002 05 00 00000001 62 0881 00 00000001 61",
       Value::MapOf({{"a", Value(1)}, {"b", Value()}})},
      {"placeholder",
       "04 19 01 00000003 0e 14 00000002 7a7a"
       "05 00 00000001 62 0881 00 00000001 61",
       Value::MapOf({{"a", Value(1)}, {"b", Value()}})},
      {"utf8 keys, locked values",
       "04 19 00 00000002 0881 05 00000003 e298ba 0882 02 00000001 e9",
       Value::MapOf({{"\xe2\x98\xba", Value(1)}, {"\xe9", Value(2)}})},
      {"of equal keys the last",
       "04 03 00000002 0881 00000001 61 0882 00000001 61",
       Value::MapOf({{"a", Value(2)}})},
      {"reference to a scalar", "04 0a0161", Value("a")},
      {"weak reference", "1b 02 00000000", Value(List{})},
      {"list without a reference", "02 00000001 0881", Value(List{Value(1)})},
  };
  for (const Sample& sample : samples) {
    SCOPED_TRACE(sample.name);
    const auto got = Decode(InList(sample.hex));
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(*got, Value(List{sample.want}));
  }
}

TEST(StorableDecode, ReadsTheRepliesOfTheOriginal) {
  const Value active(List{Value("127.0.0.1"), Value(4992), Value(2)});
  const Value held(List{Value("127.0.0.1"), Value(0), Value(2)});
  const Sample samples[] = {
      {"one medium",
       "050b 04 02 00000001 04 02 00000003 0a09 3132372e302e302e31"
       "09 00001380 08 82",
       Value(List{active})},
      {"second inactive",
       "050b 04 02 00000002 0402 00000003 0a09 3132372e302e302e31"
       "09 00001380 0882 0402 00000003 0a09 3132372e302e302e31 0880 0882",
       Value(List{active, held})},
      {"no media", "050b 04 02 00000000", Value(List{})},
      {"undef", "050b 05", Value()},
      {"1", "050b 08 81", Value(1)},
      {"-1", "050b 08 7f", Value(-1)},
      {"2", "050b 08 82", Value(2)},
      {"200", "050b 09 000000c8", Value(200)},
  };
  for (const Sample& sample : samples) {
    SCOPED_TRACE(sample.name);
    const auto got = Decode(Hex(sample.hex));
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(*got, sample.want);
    // And these are the octets we send for it.
    EXPECT_EQ(Encode(sample.want), Hex(sample.hex));
  }
}

TEST(StorableDecode, ReadsTheRequestsOfTheOriginal) {
  const std::string a_id("sip:user\0a\0l1", 13);
  const std::string b_id("sip:user\0b\0l2", 13);
  const auto close = Decode(Hex(kCloseHex));
  ASSERT_TRUE(close.ok()) << close.status();
  EXPECT_EQ(
      *close,
      Value(List{Value("close"),
                 Value(List{Value("c1"), Value(), Value(a_id), Value(b_id),
                            Value("sip:a@x"), Value("sip:b@x")})}));
  EXPECT_EQ(Encode(*close, Root::kReferent), Hex(kCloseHex));

  const auto activate = Decode(Hex(kActivateHex));
  ASSERT_TRUE(activate.ok()) << activate.status();
  EXPECT_EQ((*activate->list())[1].list()->at(1), Value("1"));
  EXPECT_EQ(Encode(*activate, Root::kReferent), Hex(kActivateHex));

  const auto allocate = Decode(Hex(kAllocateHex));
  ASSERT_TRUE(allocate.ok()) << allocate.status();
  const List& arguments = *allocate->list();
  ASSERT_EQ(arguments.size(), 5u);
  EXPECT_EQ(arguments[2], Value(0));
  EXPECT_EQ(arguments[4],
            Value(List{Value::MapOf({{"range", Value(2)},
                                     {"port", Value("9576")},
                                     {"addr", Value("127.0.0.1")}})}));
}

TEST(StorableDecode, TakesAnyMinorVersion) {
  for (const char* minor : {"00", "05", "0a", "0b", "0c", "ff"}) {
    EXPECT_TRUE(Decode(Hex(std::string("05") + minor + "05")).ok()) << minor;
  }
}

TEST(StorableDecode, RefusesOtherFormats) {
  for (const char* hex :
       {"", "05", "050b", "040b05", "040b08313233343536373804080808 05",
        "030b05", "0605", "707374300405 05", "070b05", "ff0b05"}) {
    EXPECT_FALSE(Decode(Hex(hex)).ok()) << hex;
  }
}

TEST(StorableDecode, RefusesEveryTagThatIsNotPlainData) {
  const std::vector<int> good = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x08,
                                 0x09, 0x0a, 0x0e, 0x0f, 0x10, 0x17, 0x18,
                                 0x19, 0x1b, 0x1f, 0x22, 0x23};
  int refused = 0;
  for (int tag = 0; tag < 256; ++tag) {
    if (std::find(good.begin(), good.end(), tag) != good.end()) continue;
    // Enough octets behind it that nothing but the tag can be the reason.
    std::string frame = Hex("050b 02 00000001");
    frame += static_cast<char>(tag);
    frame += Hex("03466f6f0200000000000000000000000000000000");
    const auto got = Decode(frame);
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << tag;
    EXPECT_NE(got.status().message().find("not plain data"),
              absl::string_view::npos)
        << tag;
    ++refused;
  }
  EXPECT_EQ(refused, 256 - 19);
}

TEST(StorableDecode, RefusesObjectsOfClassesAndCode) {
  for (const char* hex : {
           "04 11 03 466f6f 02 00000000",           // blessed list
           "04 11 80 00000003 466f6f 02 00000000",  // its long form
           "04 12 00 02 00000000",                  // by index
           "04 13 00 03 466f6f 00 00",              // hook
           "04 14 11 03 466f6f 02 00000000",        // overloaded
           "04 1a 11 05 424445 4c45 0a0131",        // code
           "06 0000000000000001",                   // native integer
           "07 000000000000f03f",                   // native double
           "20 00 01 61 00",                        // regular expression
           "21 00",                                 // large object
           "1d 03 76312e 0a0131",                   // version string
           "0b 04 0a0161",
           "0c 04 0a0161",
           "0d 04 0a0161",  // ties
           "15 04 0a0161 0a0161",
           "16 04 0a0161 00000000",
       }) {
    EXPECT_FALSE(Decode(InList(hex)).ok()) << hex;
  }
}

TEST(StorableDecode, RefusesAKeyThatIsAnObjectAndUnknownKeyFlags) {
  for (const char* flags : {"08", "20", "40", "80", "18"}) {
    EXPECT_FALSE(Decode(InList("04 19 00 00000001 0881" + std::string(flags) +
                               "00000001 61"))
                     .ok())
        << flags;
  }
}

TEST(StorableDecode, RefusesWhatIsCutShortAtEveryOctet) {
  for (const char* hex : {kAllocateHex, kActivateHex, kCloseHex}) {
    const std::string whole = Hex(hex);
    ASSERT_TRUE(Decode(whole).ok());
    for (size_t n = 0; n < whole.size(); ++n) {
      // A heap copy of just that size: a read beyond it is seen by ASan.
      const std::vector<char> part(whole.begin(), whole.begin() + n);
      EXPECT_EQ(Decode(std::string_view(part.data(), n)).status().code(),
                absl::StatusCode::kInvalidArgument)
          << n;
    }
    EXPECT_FALSE(Decode(whole + '\x05').ok());
  }
}

TEST(StorableDecode, RefusesCountsBeyondTheOctetsThatAreThere) {
  for (const char* hex : {
           "050b 02 7fffffff 05",
           "050b 02 ffffffff 05",
           "050b 02 00000002 05",
           "050b 03 7fffffff 05",
           "050b 03 00000001 05000000",
           "050b 03 00000001 05 ffffffff 61",
           "050b 03 00000001 05 00000002 61",
           "050b 19 01 7fffffff 05",
           "050b 19 01 00000001 0500000000",
           "050b 19 01 00000001 05 00 ffffffff 61",
           "050b 01 7fffffff 61",
           "050b 01 ffffffff 61",
           "050b 01 00000002 61",
           "050b 0a 02 61",
           "050b 17 ff 61",
           "050b 18 80000000 61",
           "050b 04 02 20000000 05",
       }) {
    EXPECT_FALSE(Decode(Hex(hex)).ok()) << hex;
  }
}

TEST(StorableDecode, ResolvesBackReferencesByTagNumber) {
  // [ $s, $s ] with $s = [1]: root 0, REF 1, ARRAY 2, BYTE 3, REF 4.
  const auto twice =
      Decode(Hex("050b 02 00000002 04 02 00000001 0881 04 00 00000002"));
  ASSERT_TRUE(twice.ok()) << twice.status();
  const Value one(List{Value(1)});
  EXPECT_EQ(*twice, Value(List{one, one}));

  // To the reference itself.
  const auto reference =
      Decode(Hex("050b 02 00000002 04 02 00000001 0881 00 00000001"));
  ASSERT_TRUE(reference.ok()) << reference.status();
  EXPECT_EQ(*reference, Value(List{one, one}));

  // Everything but keys and back-references counts: a map's values, undef.
  const auto numbered =
      Decode(Hex("050b 02 00000004"                        // 0
                 "04 03 00000001 0a0161 00000001 6b"       // 1 2 3
                 "05"                                      // 4
                 "0a0162"                                  // 5
                 "04 02 00000003 00 00000003 00 00000004"  // 6 7
                 "00 00000005"));
  ASSERT_TRUE(numbered.ok()) << numbered.status();
  EXPECT_EQ((*numbered->list())[3],
            Value(List{Value("a"), Value(), Value("b")}));

  // A back-reference inside what is referred to keeps its own meaning, and
  // reading it again gives out no new numbers.
  const auto nested =
      Decode(Hex("050b 02 00000004 0a0178"            // 0 1
                 "04 02 00000001 00 00000001"         // 2 3
                 "04 00 00000003"                     // 4
                 "04 02 00000002 0a0179 00 00000007"  // 5 6 7
                 ));
  ASSERT_TRUE(nested.ok()) << nested.status();
  const Value x(List{Value("x")});
  EXPECT_EQ(*nested,
            Value(List{Value("x"), x, x, Value(List{Value("y"), Value("y")})}));
}

TEST(StorableDecode, RefusesCyclesAndReferencesToNothing) {
  for (const char* hex : {
           "050b 00 00000000",                 // nothing is there yet
           "050b 02 00000001 00 00000000",     // a list in itself
           "050b 02 00000001 04 00 00000000",  // by reference
           "050b 04 00 00000000",              // $x = \$x
           "050b 03 00000001 00 00000000 00000001 61",
           "050b 02 00000002 04 02 00000001 04 00 00000002 05",
           "050b 02 00000002 00 00000001 05",  // what comes later
           "050b 02 00000001 00 ffffffff",
       }) {
    EXPECT_EQ(Decode(Hex(hex)).status().code(),
              absl::StatusCode::kInvalidArgument)
        << hex;
  }
}

TEST(StorableEncode, RoundTripsFromBothRoots) {
  const Value values[] = {
      Value(),
      Value(0),
      Value(127),
      Value(128),
      Value(-128),
      Value(-129),
      Value(2147483647),
      Value(-2147483648LL),
      Value(""),
      Value(std::string(255, 'a')),
      Value(std::string(256, '\0')),
      Value(List{}),
      Value(List{Value(List{Value(List{})})}),
      Value::MapOf({}),
      Value::MapOf({{"b", Value(1)},
                    {"a", Value(List{Value()})},
                    {"", Value::MapOf({{std::string(300, 'k'), Value("v")}})}}),
  };
  for (const Value& value : values) {
    for (Root root : {Root::kValue, Root::kReferent}) {
      const auto got = Decode(Encode(value, root));
      ASSERT_TRUE(got.ok()) << got.status();
      EXPECT_EQ(*got, value);
    }
  }
}

TEST(StorableEncode, WritesShortStringsShortAndLongOnesLong) {
  const std::string text(256, 'x');
  EXPECT_EQ(Encode(Value(text.substr(1))), Hex("050b 0aff") + text.substr(1));
  EXPECT_EQ(Encode(Value(text)), Hex("050b 01 00000100") + text);
}

TEST(StorableEncode, WritesIntegersBeyond32BitsAsPerlDoes) {
  EXPECT_EQ(Encode(Value(2147483648LL)), Hex("050b 0a0a 32313437343833363438"));
}

TEST(StorableValue, FindsKeysAndNothingElse) {
  const Value map = Value::MapOf({{"b", Value(2)}, {"a", Value(1)}});
  ASSERT_NE(map.Find("a"), nullptr);
  EXPECT_EQ(*map.Find("a"), Value(1));
  EXPECT_EQ(*map.Find("b"), Value(2));
  EXPECT_EQ(map.Find("c"), nullptr);
  EXPECT_EQ(map.Find(""), nullptr);
  EXPECT_EQ(Value("a").Find("a"), nullptr);
  EXPECT_NE(map, Value(List{}));
}

}  // namespace
}  // namespace sluice::control::storable

// Goal: Perl's own Storable and ours read each other, and ours refuses what
// Perl's would run.
// Method: a perl per sample, told what to freeze or what to thaw.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "base/check.h"
#include "control/storable.h"

namespace sluice::control::storable {
namespace {

using List = Value::List;

struct Sample {
  const char* name;
  std::string perl;
  Value want;
};

std::string PipeFrom(const std::string& command) {
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"),
                                             pclose);
  CHECK(pipe != nullptr);
  std::string out;
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof(buffer), pipe.get())) > 0;) {
    out.append(buffer, n);
  }
  return out;
}

bool HasPerl() {
  return std::system("perl -MStorable -MHash::Util -e 1 2>/dev/null") == 0;
}

std::string Freeze(const std::string& expression) {
  return PipeFrom("perl -MStorable=nfreeze -MHash::Util=lock_keys -e '" +
                  expression + "'");
}

TEST(StorableAgainstPerl, ReadsWhatPerlFreezes) {
  ASSERT_TRUE(HasPerl()) << "perl with Storable is missing (tools/setup)";
  const Sample samples[] = {
      {"scalars",
       "print nfreeze([undef, 0, -1, 127, 128, -129, 65536, 2147483648, 1.5, "
       "\"\", \"x\" x 256, \"\\x{263a}\", \"a\\0b\"])",
       Value(List{Value(), Value(0), Value(-1), Value(127), Value(128),
                  Value(-129), Value(65536), Value("2147483648"), Value("1.5"),
                  Value(""), Value(std::string(256, 'x')),
                  Value("\xe2\x98\xba"), Value(std::string("a\0b", 3))})},
      {"restricted map with an absent key",
       "my %h = (a => 1, b => [2]); lock_keys(%h, qw(a b zz)); "
       "print nfreeze([\\%h])",
       Value(List{
           Value::MapOf({{"a", Value(1)}, {"b", Value(List{Value(2)})}})})},
      {"shared list after holes, undefs and booleans",
       "my @h; $h[3] = 1; my $s = [1, !!1, !!0]; my $x = \"x\"; "
       "my %h = (\"\\x{263a}\" => undef, e => $s); lock_keys(%h, "
       "\"\\x{263a}\", "
       "\"e\", \"none\"); print nfreeze([\\@h, undef, \\undef, \\$x, \\%h, $s, "
       "\\$x, \\%h])",
       [] {
         const Value holes(List{Value(), Value(), Value(), Value(1)});
         const Value s(List{Value(1), Value("1"), Value("")});
         const Value h = Value::MapOf({{"\xe2\x98\xba", Value()}, {"e", s}});
         return Value(
             List{holes, Value(), Value(), Value("x"), h, s, Value("x"), h});
       }()},
      {"a reply", "my $r = [[\"127.0.0.1\", 4992, 2]]; print nfreeze(\\$r)",
       Value(List{Value(List{Value("127.0.0.1"), Value(4992), Value(2)})})},
      {"undef reply", "my $r; print nfreeze(\\$r)", Value()},
  };
  for (const Sample& sample : samples) {
    SCOPED_TRACE(sample.name);
    const auto got = Decode(Freeze(sample.perl));
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(*got, sample.want);
  }
}

TEST(StorableAgainstPerl, RefusesWhatPerlWouldRun) {
  ASSERT_TRUE(HasPerl()) << "perl with Storable is missing (tools/setup)";
  for (const char* expression : {
           "print nfreeze([bless [], \"Foo\"])",
           "$Storable::Deparse = 1; print nfreeze([sub { 1 }])",
           "print nfreeze([qr/x/])",
           "print nfreeze([v1.2.3])",
           "my $l = []; push @$l, $l; print nfreeze($l)",
           "print Storable::freeze([1])",
           "use Tie::Hash; tie my %h, \"Tie::StdHash\"; print nfreeze([\\%h])",
       }) {
    const std::string frozen = Freeze(expression);
    EXPECT_FALSE(frozen.empty()) << expression;
    EXPECT_FALSE(Decode(frozen).ok()) << expression;
  }
}

TEST(StorableAgainstPerl, PerlReadsWhatWeWrite) {
  ASSERT_TRUE(HasPerl()) << "perl with Storable is missing (tools/setup)";
  const Value value(
      List{Value(), Value(-129), Value(4992), Value("a'b"),
           Value(std::string(300, 'z')),
           Value::MapOf({{"k", Value(List{Value(1)})}, {"", Value(2)}})});
  const std::string want = "[undef,-129,4992,'a\\'b','" +
                           std::string(300, 'z') + "',{'' => 2,'k' => [1]}]";
  auto thaw = [](const std::string& frozen, const std::string& deref) {
    std::string hex;
    for (unsigned char c : frozen) {
      char digits[3];
      std::snprintf(digits, sizeof(digits), "%02x", c);
      hex += digits;
    }
    return PipeFrom(
        "perl -MStorable=thaw -MData::Dumper -e '$Data::Dumper::Sortkeys = "
        "$Data::Dumper::Terse = 1; $Data::Dumper::Indent = 0; my $v = "
        "thaw(pack("
        "\"H*\", shift)); print Dumper(" +
        deref + ")' " + hex);
  };
  EXPECT_EQ(thaw(Encode(value), "$$v"), want);
  EXPECT_EQ(thaw(Encode(value, Root::kReferent), "$v"), want);
  EXPECT_EQ(thaw(Encode(Value()), "$$v"), "undef");
  EXPECT_EQ(thaw(Encode(Value(-1)), "$$v"), "-1");
}

}  // namespace
}  // namespace sluice::control::storable

#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/net/fd.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace sluice::log {
namespace {

// stderr into a pipe for as long as this lives; gtest says what it has to say
// on stdout.
class Captured {
 public:
  Captured() : before_(dup(STDERR_FILENO)) {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
    read_ = net::Fd(fds[0]);
    EXPECT_EQ(fcntl(read_.get(), F_SETFL, O_NONBLOCK), 0);
    net::Fd write_end(fds[1]);
    EXPECT_EQ(dup2(write_end.get(), STDERR_FILENO), STDERR_FILENO);
  }
  ~Captured() { dup2(before_.get(), STDERR_FILENO); }

  // What the pipe holds now.
  std::string Read() {
    std::string text;
    char octets[65536];
    ssize_t n;
    while ((n = read(read_.get(), octets, sizeof(octets))) > 0) {
      text.append(octets, static_cast<size_t>(n));
    }
    return text;
  }
  // Everything logged so far, line by line.
  std::vector<std::string> Lines() {
    Flush();
    std::vector<std::string> lines = absl::StrSplit(Read(), '\n');
    EXPECT_EQ(lines.back(), "");
    lines.pop_back();
    return lines;
  }
  int fd() const { return read_.get(); }

 private:
  net::Fd before_;
  net::Fd read_;
};

void Use(Format format, std::string_view level = "info") {
  ASSERT_TRUE(Init(level, format).ok());
}

// A line without its time, which is checked to look like one.
std::string AfterTime(const std::string& line) {
  constexpr size_t kLength = sizeof("2026-01-02T03:04:05.678Z") - 1;
  EXPECT_GT(line.size(), kLength) << line;
  EXPECT_EQ(line[4], '-');
  EXPECT_EQ(line[10], 'T');
  EXPECT_EQ(line[kLength - 1], 'Z');
  return line.substr(std::min(line.size(), kLength + 1));
}

// --- Before Init ----------------------------------------------------------

// Must be the first: gtest runs a file's tests in order, and Init is for good.
TEST(LogBeforeInitTest, WarningsAreWrittenAtOnceAndTheRestIsNot) {
  Captured captured;
  Line("quiet").Info();
  Line("loud").Warn();
  EXPECT_EQ(AfterTime(captured.Read()), "warn loud\n");
  EXPECT_EQ(DroppedLines(), 0u);
}

// --- Escape (P6) ----------------------------------------------------------

TEST(EscapeTest, EscapesExactlyTheDangerousOctets) {
  for (int i = 0; i < 256; ++i) {
    const auto octet = static_cast<uint8_t>(i);
    const bool dangerous =
        octet < 0x20 || (octet >= 0x7f && octet <= 0x9f) || octet == '\\';
    const std::string in(1, static_cast<char>(octet));
    const std::string out = Escape(in);
    if (dangerous) {
      char want[5];
      std::snprintf(want, sizeof(want), "\\x%02x", octet);
      EXPECT_EQ(out, want);
    } else {
      EXPECT_EQ(out, in);
    }
  }
}

TEST(EscapeTest, CutsAtTheBoundAndSaysSo) {
  EXPECT_EQ(Escape(std::string(256, 'x')), std::string(256, 'x'));
  EXPECT_EQ(Escape(std::string(257, 'x')), std::string(256, 'x') + "...");
  EXPECT_EQ(Escape("abc", 2), "ab...");
  EXPECT_EQ(Escape("abc", 0), "...");
  EXPECT_EQ(Escape("", 0), "");
  // The longest there is, however bad the octets.
  EXPECT_EQ(Escape(std::string(100'000, '\x1b')).size(), 4u * 256 + 3);
}

// --- Lines ----------------------------------------------------------------

TEST(LogLineTest, TextHasTimeLevelEventAndFields) {
  Use(Format::kText);
  Captured captured;
  Line("call opened")
      .With("call", "a1b2@host")
      .With("flows", 2)
      .With("big", uint64_t{1} << 63)
      .With("loss", 0.25)
      .Info();
  Line("trouble").Warn();
  Line("worse").Error();
  const auto lines = captured.Lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(AfterTime(lines[0]),
            "info call opened call=a1b2@host flows=2 big=9223372036854775808 "
            "loss=0.25");
  EXPECT_EQ(AfterTime(lines[1]), "warn trouble");
  EXPECT_EQ(AfterTime(lines[2]), "error worse");
}

TEST(LogLineTest, AValueCannotForgeAFieldOrALine) {
  Use(Format::kText);
  Captured captured;
  Line("bad message")
      .With("a", "x y=1")
      .With("b", "q\"z")
      .With("c", "")
      .With("d", "1\n2026-01-01T00:00:00.000Z error forged\x1b[31m")
      .Warn();
  const auto lines = captured.Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(AfterTime(lines[0]),
            "warn bad message a=\"x y=1\" b=\"q\\x22z\" c=\"\" "
            "d=\"1\\x0a2026-01-01T00:00:00.000Z error forged\\x1b[31m\"");
}

TEST(LogLineTest, JsonIsOneObjectALineWhateverAPeerSent) {
  Use(Format::kJson);
  Captured captured;
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  Line("bad \"message\"")
      .With("octets", all)
      .With("n", -5)
      .With("x", 1.5)
      .With("nan", 0.0 / 0.0)
      .With("inf", -1.0 / 0.0)
      .Warn();
  const auto lines = captured.Lines();
  ASSERT_EQ(lines.size(), 1u);
  const auto parsed = nlohmann::json::parse(lines[0], nullptr, false);
  ASSERT_TRUE(parsed.is_object()) << lines[0];
  EXPECT_EQ(parsed["level"], "warn");
  EXPECT_EQ(parsed["event"], "bad \"message\"");
  EXPECT_EQ(parsed["n"], -5);
  EXPECT_EQ(parsed["x"], 1.5);
  EXPECT_EQ(parsed["nan"], "nan");
  EXPECT_EQ(parsed["inf"], "-inf");
  EXPECT_TRUE(parsed["time"].is_string());
  const std::string octets = parsed["octets"];
  EXPECT_EQ(octets.substr(0, 8), "\\x00\\x01");
  EXPECT_EQ(octets.substr(octets.size() - 4), "\\xff");
  for (const char c : lines[0]) {
    EXPECT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
  }
}

TEST(LogLevelTest, LeavesOutWhatIsBelowIt) {
  Use(Format::kText, "warn");
  Captured captured;
  Line("a").Debug();
  Line("b").Info();
  Line("c").Warn();
  ASSERT_TRUE(SetLevel("debug").ok());
  Line("d").Debug();
  ASSERT_TRUE(SetLevel("error").ok());
  Line("e").Warn();
  Line("f").Error();
  const auto lines = captured.Lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(AfterTime(lines[0]), "warn c");
  EXPECT_EQ(AfterTime(lines[1]), "debug d");
  EXPECT_EQ(AfterTime(lines[2]), "error f");
}

TEST(LogLevelTest, RefusesALevelThatIsNoneAndKeepsTheOld) {
  Use(Format::kText, "error");
  const absl::Status status = SetLevel("loud\n");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "log level \"loud\\x0a\" is none of trace, debug, info, warn, "
            "error");
  EXPECT_FALSE(Init("", Format::kText).ok());
  Captured captured;
  Line("still").Warn();
  EXPECT_TRUE(captured.Lines().empty());
}

TEST(LogLevelTest, KnowsItsNamesAndTakesTraceForDebug) {
  EXPECT_EQ(LevelList(), "trace, debug, info, warn, error");
  for (const char* name : kLevelNames) {
    EXPECT_TRUE(IsLevel(name)) << name;
    EXPECT_TRUE(SetLevel(name).ok()) << name;
  }
  for (const char* name : {"", "Info", "warning", "err"}) {
    EXPECT_FALSE(IsLevel(name)) << name;
  }
  Use(Format::kText, "trace");
  Captured captured;
  Line("low").Debug();
  const auto lines = captured.Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(AfterTime(lines[0]), "debug low");
}

// --- Limited lines --------------------------------------------------------

Micros test_time;

class LogLimitTest : public testing::Test {
 protected:
  LogLimitTest() {
    Use(Format::kText);
    // Ahead of the other tests' times, which the limiter remembers.
    test_time = test_time + Micros::Seconds(1000);
    SetClockForTest([] { return test_time; });
  }
  ~LogLimitTest() override { SetClockForTest(nullptr); }
};

TEST_F(LogLimitTest, OneASecondForEachEventAndTheNextSaysHowManyWereLeftOut) {
  Captured captured;
  for (int i = 0; i < 5; ++i) Line("flood").With("i", i).WarnLimited();
  Line("other").WarnLimited();
  test_time = test_time + Micros::Millis(999);
  Line("flood").WarnLimited();
  test_time = test_time + Micros::Millis(1);
  Line("flood").With("i", 9).WarnLimited();
  test_time = test_time + Micros::Seconds(1);
  Line("flood").WarnLimited();
  const auto lines = captured.Lines();
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(AfterTime(lines[0]), "warn flood i=0");
  EXPECT_EQ(AfterTime(lines[1]), "warn other");
  EXPECT_EQ(AfterTime(lines[2]), "warn flood i=9 left_out=5");
  EXPECT_EQ(AfterTime(lines[3]), "warn flood");
}

TEST_F(LogLimitTest, AnInfoIsLimitedAsAWarningIs) {
  Captured captured;
  for (int i = 0; i < 3; ++i) Line("chatter").With("i", i).InfoLimited();
  test_time = test_time + Micros::Seconds(1);
  Line("chatter").InfoLimited();
  const auto lines = captured.Lines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(AfterTime(lines[0]), "info chatter i=0");
  EXPECT_EQ(AfterTime(lines[1]), "info chatter left_out=2");
}

// Last of its suite: it fills the table of events for good.
TEST_F(LogLimitTest, PastItsTableEventsShareOneAllowance) {
  Captured captured;
  // Known before, and so still on its own.
  Line("flood").WarnLimited();
  for (size_t i = 0; i < kLogLimitedEventsMax + 50; ++i) {
    Line("event " + std::to_string(i)).WarnLimited();
  }
  const size_t lines = captured.Lines().size();
  EXPECT_LE(lines, kLogLimitedEventsMax + 1);
  EXPECT_GE(lines, kLogLimitedEventsMax - 10);
}

// --- A reader that is stuck (F21) -----------------------------------------

// Goal: with stderr stuck, logging goes on without waiting, the oldest lines
// are dropped and counted, and when the reader is back the newest are there.
// Method: a pipe that nobody reads, and many more lines than pipe and queue
// hold. Were a line to wait, this test would never end.
TEST(LogStuckTest, NobodyWaitsAndTheOldestLinesAreDroppedAndCounted) {
  Use(Format::kText);
  Captured captured;
  const uint64_t before = DroppedLines();
  const std::string padding(200, 'x');
  const size_t total = 4 * kLogLinesMax;
  for (size_t i = 0; i < total; ++i) {
    Line("n").With("i", i).With("padding", padding).Info();
  }
  EXPECT_GT(DroppedLines(), before);
  Flush();  // gives up, and does not hang

  // Reads until the last line has come; every one is whole.
  std::string text;
  const std::string last = "i=" + std::to_string(total - 1) + " ";
  while (text.find(last) == std::string::npos || text.back() != '\n') {
    pollfd waiting{.fd = captured.fd(), .events = POLLIN, .revents = 0};
    ASSERT_GT(poll(&waiting, 1, 30'000), 0) << "the newest line never came";
    text += captured.Read();
  }
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  lines.pop_back();
  // Every line was written or is counted. The count also has Flush's own
  // request, where that was overrun.
  const uint64_t dropped = DroppedLines() - before;
  EXPECT_GE(lines.size() + dropped, total);
  EXPECT_LE(lines.size() + dropped, total + 1);
  EXPECT_LT(lines.size(), total);
  Flush();
}

TEST(LogThreadsTest, LinesOfManyThreadsAreWholeAndAllThere) {
  Use(Format::kText);
  Captured captured;
  constexpr int kThreads = 4, kLines = 100;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < kLines; ++i) {
        Line("from").With("thread", t).With("i", i).Info();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  const auto lines = captured.Lines();
  EXPECT_EQ(lines.size(), static_cast<size_t>(kThreads * kLines));
  for (const std::string& line : lines) {
    EXPECT_EQ(AfterTime(line).substr(0, 17), "info from thread=");
  }
}

}  // namespace
}  // namespace sluice::log

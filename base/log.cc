#include "base/log.h"

#include <spdlog/async.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace sluice::log {
namespace {

constexpr auto kFlushMax = std::chrono::seconds(1);
constexpr Micros kLimitedEvery = Micros::Seconds(1);

// stderr, and a count of the flush requests that have come through the queue:
// when one has, every line before it has been written.
class StderrSink : public spdlog::sinks::stderr_sink_mt {
 public:
  void flush() override {
    spdlog::sinks::stderr_sink_mt::flush();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++flushes_;
    }
    flushed_.notify_all();
  }
  uint64_t flushes() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return flushes_;
  }
  void WaitForFlush(uint64_t after) {
    std::unique_lock<std::mutex> lock(mutex_);
    flushed_.wait_for(lock, kFlushMax, [&] { return flushes_ > after; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable flushed_;
  uint64_t flushes_ = 0;
};

// How often an event may be said, and how often it was not. Bounded: events are
// literals of ours, but a mistake there must not become a leak.
class Limiter {
 public:
  // The number left out since the last one; nullopt: leave this one out too.
  std::optional<uint64_t> Admit(const std::string& event, Micros now) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool known = events_.contains(event);
    Entry& entry = known || events_.size() < kLogLimitedEventsMax
                       ? events_[event]
                       : shared_;
    if (entry.said && now - entry.at < kLimitedEvery) {
      ++entry.left_out;
      return std::nullopt;
    }
    entry.said = true;
    entry.at = now;
    return std::exchange(entry.left_out, 0);
  }

 private:
  struct Entry {
    bool said = false;
    Micros at{};
    uint64_t left_out = 0;
  };
  std::mutex mutex_;
  absl::flat_hash_map<std::string, Entry> events_;
  Entry shared_;
};

// Everything there is one of. Never destroyed: threads may log until the very
// end, and joining a writer that is stuck would hang the exit.
struct State {
  std::shared_ptr<StderrSink> sink = std::make_shared<StderrSink>();
  std::shared_ptr<spdlog::details::thread_pool> pool;  // none before Init
  std::shared_ptr<spdlog::logger> logger =
      std::make_shared<spdlog::logger>("sluice", sink);
  std::atomic<bool> json{false};
  std::atomic<Micros (*)()> now{nullptr};
  Limiter limiter;

  State() {
    Prepare();
    logger->set_level(spdlog::level::warn);
  }
  // The line is written whole before it is queued; spdlog adds nothing.
  void Prepare() {
    logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        "%v", spdlog::pattern_time_type::utc));
  }
};

State& TheState() {
  static State* const state = new State;
  return *state;
}

// kLevelNames by their place there.
static_assert(spdlog::level::trace == 0 &&
              spdlog::level::err + 1 == kLevelNames.size());

std::optional<spdlog::level::level_enum> ParseLevel(std::string_view name) {
  for (size_t i = 0; i < kLevelNames.size(); ++i) {
    if (name != kLevelNames[i]) continue;
    return static_cast<spdlog::level::level_enum>(
        std::max<size_t>(i, spdlog::level::debug));
  }
  return std::nullopt;
}

// REQUIRES: level is one of ours.
const char* Name(spdlog::level::level_enum level) { return kLevelNames[level]; }

void AppendHex(uint8_t octet, std::string* out) {
  constexpr char kDigits[] = "0123456789abcdef";
  out->append("\\x");
  out->push_back(kDigits[octet >> 4]);
  out->push_back(kDigits[octet & 15]);
}

// As one word of a text line: what could be taken for the end of the value, or
// for another field, goes between quotes.
std::string TextValue(std::string_view value) {
  const std::string safe = Escape(value);
  if (!safe.empty() && safe.find_first_of(" \"=") == std::string::npos) {
    return safe;
  }
  std::string out = "\"";
  for (const char c : safe) {
    if (c == '"') {
      AppendHex('"', &out);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
  return out;
}

// As a JSON string: ASCII only. The \xNN of Escape() is text here, so its
// backslash is doubled.
std::string JsonString(std::string_view value) {
  std::string out = "\"";
  for (const char c : Escape(value)) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<uint8_t>(c) >= 0x80) {
      out.push_back('\\');
      AppendHex(static_cast<uint8_t>(c), &out);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
  return out;
}

void Write(spdlog::level::level_enum level, bool json,
           const std::string& fields) {
  spdlog::logger& logger = *TheState().logger;
  if (!logger.should_log(level)) return;
  // Real time: a log line is for people and other machines.
  const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(),
                                            absl::UTCTimeZone());
  const std::string line =
      json ? absl::StrCat("{\"time\":\"", time, "\",\"level\":\"", Name(level),
                          "\",", fields, "}")
           : absl::StrCat(time, " ", Name(level), " ", fields);
  logger.log(level, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace

bool IsLevel(std::string_view name) { return ParseLevel(name).has_value(); }

std::string LevelList() { return absl::StrJoin(kLevelNames, ", "); }

absl::Status Init(std::string_view level, Format format) {
  State& state = TheState();
  if (absl::Status status = SetLevel(level); !status.ok()) return status;
  state.json.store(format == Format::kJson, std::memory_order_relaxed);
  if (state.pool != nullptr) return absl::OkStatus();
  state.pool = std::make_shared<spdlog::details::thread_pool>(kLogLinesMax, 1);
  const auto threshold = state.logger->level();
  state.logger = std::make_shared<spdlog::async_logger>(
      "sluice", state.sink, state.pool,
      spdlog::async_overflow_policy::overrun_oldest);
  state.Prepare();
  state.logger->set_level(threshold);
  std::atexit([] { Flush(); });
  return absl::OkStatus();
}

absl::Status SetLevel(std::string_view level) {
  const auto parsed = ParseLevel(level);
  if (!parsed) {
    return absl::InvalidArgumentError(absl::StrCat(
        "log level \"", Escape(level, 32), "\" is none of ", LevelList()));
  }
  TheState().logger->set_level(*parsed);
  return absl::OkStatus();
}

void Flush() {
  State& state = TheState();
  // One at a time, or another thread's request would be taken for this one's.
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  const uint64_t before = state.sink->flushes();
  state.logger->flush();
  state.sink->WaitForFlush(before);
}

uint64_t DroppedLines() {
  const State& state = TheState();
  return state.pool == nullptr ? 0 : state.pool->overrun_counter();
}

Line::Line(std::string_view event)
    : json_(TheState().json.load(std::memory_order_relaxed)), event_(event) {
  fields_ =
      json_ ? absl::StrCat("\"event\":", JsonString(event)) : Escape(event);
}

Line& Line::With(std::string_view key, std::string_view value) {
  return Append(key, json_ ? JsonString(value) : TextValue(value));
}

Line& Line::With(std::string_view key, int64_t value) {
  return WithNumber(key, std::to_string(value));
}

Line& Line::With(std::string_view key, double value) {
  // JSON has no word for these.
  if (!std::isfinite(value)) {
    return With(key, std::string_view(std::isnan(value)     ? "nan"
                                      : std::signbit(value) ? "-inf"
                                                            : "inf"));
  }
  return WithNumber(key, absl::StrCat(value));
}

Line& Line::WithNumber(std::string_view key, std::string_view number) {
  return Append(key, number);
}

Line& Line::Append(std::string_view key, std::string_view written) {
  if (json_) {
    fields_ += ',';
    fields_ += JsonString(key);
    fields_ += ':';
  } else {
    fields_ += ' ';
    fields_ += Escape(key);
    fields_ += '=';
  }
  fields_ += written;
  return *this;
}

void Line::Info() const { Write(spdlog::level::info, json_, fields_); }
void Line::Warn() const { Write(spdlog::level::warn, json_, fields_); }
void Line::Error() const { Write(spdlog::level::err, json_, fields_); }
void Line::Debug() const { Write(spdlog::level::debug, json_, fields_); }

std::optional<uint64_t> Line::Admit() const {
  State& state = TheState();
  Micros (*now)() = state.now.load(std::memory_order_relaxed);
  return state.limiter.Admit(event_,
                             now != nullptr ? now() : SystemClock::Now());
}

void Line::InfoLimited() const {
  const auto left_out = Admit();
  if (!left_out) return;
  if (*left_out == 0) return Info();
  Line(*this).With("left_out", *left_out).Info();
}

void Line::WarnLimited() const {
  const auto left_out = Admit();
  if (!left_out) return;
  if (*left_out == 0) return Warn();
  Line(*this).With("left_out", *left_out).Warn();
}

std::string Escape(std::string_view bytes, size_t max) {
  std::string out;
  const std::string_view kept = bytes.substr(0, max);
  out.reserve(kept.size() + 3);
  for (const char c : kept) {
    const auto octet = static_cast<uint8_t>(c);
    if (octet < 0x20 || (octet >= 0x7f && octet <= 0x9f) || c == '\\') {
      AppendHex(octet, &out);
    } else {
      out.push_back(c);
    }
  }
  if (kept.size() < bytes.size()) out += "...";
  return out;
}

void SetClockForTest(Micros (*now)()) {
  TheState().now.store(now, std::memory_order_relaxed);
}

}  // namespace sluice::log

#ifndef SLUICE_BASE_LOG_H_
#define SLUICE_BASE_LOG_H_

#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/limits.h"
#include "base/types.h"

// The program's log: spdlog, asynchronous, to stderr. A full queue drops the
// oldest line and counts it; nobody ever waits for a log line (F21). Never
// called from a shard's loop. Before Init warnings and errors are written at
// once.
//
// Thread: any.
namespace sluice::log {

enum class Format { kText, kJson };

// The names of the levels, the most talkative first. Nothing is below debug:
// "trace", which other programs have, is taken for it.
inline constexpr std::array<const char*, 5> kLevelNames = {
    "trace", "debug", "info", "warn", "error"};
bool IsLevel(std::string_view name);
// As people read them: "trace, debug, info, warn, error".
std::string LevelList();

// `level`: one of kLevelNames. Call once before threads start; again with
// another level after a reload.
absl::Status Init(std::string_view level, Format format);
absl::Status SetLevel(std::string_view level);
// Waits until what was logged so far is written, but no longer than a second:
// the reader of stderr may be stuck. At the end of the program it is called by
// itself.
void Flush();
// Lines that a full queue has thrown away.
uint64_t DroppedLines();

// One line: an event in a few words, then fields. Text output is
// `TIME LEVEL event key=value key="a value"`; JSON makes them members of one
// object. Octets that are not printable ASCII never reach JSON unescaped, so a
// line is valid JSON whatever a peer sent.
//
//   log::Line("latched").With("call", call_id).With("flow", 0).Info();
class Line {
 public:
  explicit Line(std::string_view event);
  Line& With(std::string_view key, std::string_view value);  // escaped
  Line& With(std::string_view key, int64_t value);
  Line& With(std::string_view key, double value);
  // The other widths, which would be ambiguous between the two above.
  template <std::integral T>
  Line& With(std::string_view key, T value) {
    return WithNumber(key, std::to_string(value));
  }
  void Info() const;
  void Warn() const;
  void Error() const;
  void Debug() const;
  // At most one a second for each event text; how many were left out is said by
  // the next one that is not.
  void InfoLimited() const;
  void WarnLimited() const;

 private:
  // What was left out since the event was last said; nullopt: leave it out.
  std::optional<uint64_t> Admit() const;
  Line& WithNumber(std::string_view key, std::string_view number);
  Line& Append(std::string_view key, std::string_view written);

  bool json_;           // the format of its beginning is that of its end
  std::string event_;   // as given: what the limited ones go by
  std::string fields_;  // event and fields, written in the format
};

// A peer's octets, safe to print on a terminal and in a log: octets below 0x20,
// 0x7f to 0x9f and '\' as \xNN, cut at `max` octets with "..." (security P6).
std::string Escape(std::string_view bytes, size_t max = kLogValueOctetsMax);

// The time that the limited ones go by, for tests; nullptr: SystemClock.
void SetClockForTest(Micros (*now)());

}  // namespace sluice::log

#endif  // SLUICE_BASE_LOG_H_

#ifndef SLUICE_BASE_LIMITS_H_
#define SLUICE_BASE_LIMITS_H_

#include <cstddef>
#include <cstdint>

// The bounds of this floor, and the arithmetic between them. What stands here
// is what a hostile peer or a bad day can make us hold; each is reached by a
// test.
namespace sluice {

// --- The event loop -------------------------------------------------------

// Closures from other threads that wait for the loop. They are rare (an HTTP
// request, a signal): thousands waiting means that the loop is stuck, and then
// refusing is the better answer.
inline constexpr size_t kPostedTasksMax = 4096;

// What one turn takes from each source, so that none starves the others: a
// level-triggered descriptor and a due timer both come back next turn.
inline constexpr int kIoEventsPerTurn = 64;
inline constexpr size_t kTimersPerTurn = 1024;

// --- Stream servers -------------------------------------------------------

// A control request: one ng or NATHelper frame with 32 media lines is below
// 32 KiB; four times that leaves room for SDP that somebody padded.
inline constexpr size_t kFrameBytesMax = 128 * 1024;
// A reply is longer than its request only where calls are listed; such lists
// are paged by their servers to stay under it.
inline constexpr size_t kWriteBytesMax = 256 * 1024;
// A proxy opens one connection for each of its workers at most.
inline constexpr int kStreamConnectionsMax = 64;
// All that strangers can make one server hold.
static_assert(kStreamConnectionsMax * (kFrameBytesMax + kWriteBytesMax) <=
              24 * 1024 * 1024);

// Of one readable connection and of one ready listener in one turn. A turn in
// which every event is such a connection reads 4 MiB, some milliseconds.
inline constexpr size_t kStreamBytesPerTurn = 64 * 1024;
inline constexpr int kAcceptsPerTurn = 16;
static_assert(kStreamBytesPerTurn * kIoEventsPerTurn <= 4 * 1024 * 1024);

// --- The log --------------------------------------------------------------

// Lines waiting for a slow reader of stderr. At 256 octets a line and a few
// fields each this is some megabytes, and seconds of a very talkative moment.
inline constexpr size_t kLogLinesMax = 8192;
// Of a peer's octets in one field: a Call-ID or a URI fits, a flood does not.
inline constexpr size_t kLogValueOctetsMax = 256;
// Events told apart by the once-a-second rule. They are literals in our source;
// past this number they share one allowance.
inline constexpr size_t kLogLimitedEventsMax = 256;

}  // namespace sluice

#endif  // SLUICE_BASE_LIMITS_H_

#ifndef SLUICE_CONTROL_SESSION_JOURNAL_PRUNE_H_
#define SLUICE_CONTROL_SESSION_JOURNAL_PRUNE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// A call of hours is offered anew every few minutes, and each offer replaces
// the one before. What a manager makes of all of them is what it makes of the
// last one, so the others need not be told again.
//
// Thread: any.
namespace sluice::control::journal {

struct Live {
  std::string octets{};
  uint32_t records = 0;
  size_t last = 0;  // where the last one begins
};

// Of the records of one call, whole ones, those that are needed to make it as
// it is: all but the offers, with their answers and ends, that the last answer
// that nothing can refuse any more has replaced.
Live Prune(std::string_view octets);

}  // namespace sluice::control::journal

#endif  // SLUICE_CONTROL_SESSION_JOURNAL_PRUNE_H_

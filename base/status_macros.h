#ifndef SLUICE_BASE_STATUS_MACROS_H_
#define SLUICE_BASE_STATUS_MACROS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define RETURN_IF_ERROR(expression)                                         \
  do {                                                                      \
    if (absl::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)

#define SLUICE_CONCAT_INNER(a, b) a##b
#define SLUICE_CONCAT(a, b) SLUICE_CONCAT_INNER(a, b)
#define ASSIGN_OR_RETURN(left, expression) \
  ASSIGN_OR_RETURN_INNER(SLUICE_CONCAT(or_, __LINE__), left, expression)
#define ASSIGN_OR_RETURN_INNER(temporary, left, expression) \
  auto temporary = (expression);                            \
  if (!temporary.ok()) return temporary.status();           \
  left = *std::move(temporary)

#endif  // SLUICE_BASE_STATUS_MACROS_H_

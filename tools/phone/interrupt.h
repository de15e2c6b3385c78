#ifndef SLUICE_TOOLS_PHONE_INTERRUPT_H_
#define SLUICE_TOOLS_PHONE_INTERRUPT_H_

#include "absl/status/statusor.h"
#include "base/net/fd.h"

namespace sluice::phone {

// SIGINT and SIGTERM as something that a loop can wait for. From the third on
// they do what they do to any program. One a process: handlers are the
// process's.
class Interrupt {
 public:
  static absl::StatusOr<Interrupt> Catch();
  // Readable once there was one.
  int fd() const { return wake_.get(); }
  // How many there were so far; fd() is quiet until the next.
  static int Count();
  void Clear();

 private:
  explicit Interrupt(net::Fd wake) : wake_(std::move(wake)) {}
  net::Fd wake_;
};

}  // namespace sluice::phone

#endif  // SLUICE_TOOLS_PHONE_INTERRUPT_H_

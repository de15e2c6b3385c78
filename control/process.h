#ifndef SLUICE_CONTROL_PROCESS_H_
#define SLUICE_CONTROL_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/net/fd.h"

// What the daemon asks of the system as a process: descriptors, an account with
// nothing to lose, and a word to the service manager.
namespace sluice::control {

// Raises the soft limit of descriptors to the hard one; a process that may
// (root) first raises that to `wanted`, at most fs.nr_open. Returns the limit
// that holds now; it is not an error that it is lower than wanted.
uint64_t RaiseDescriptorLimit(uint64_t wanted);

struct Account {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
};
// NotFound when there is no such account, InvalidArgument when it is root's.
absl::StatusOr<Account> FindAccount(const std::string& name);
// The one that a daemon started as root is to become: none when it is not root,
// or any longer, and for "".
absl::StatusOr<std::optional<Account>> AccountToBecome(const std::string& name);

// Gives a UNIX socket's file to the account, so that its own clients can use
// it and the daemon can take it away at its end.
absl::Status HandOver(const std::string& path, const Account& account);
// Gives it what the XDP path has pinned under store.xdp_pins, so that it can
// take that away at its end: the folder, unless a BPF file system is mounted
// right there, its folders abi*, and the pins in those. Nothing outside of a
// BPF file system, and nothing by a link that somebody might have put there.
absl::Status HandOverPins(const std::string& folder, const Account& account);

// PermissionDenied, with the account in words, when this process may not read
// the file. Of what else may be wrong with it, who reads it tells.
absl::Status CheckReadable(const std::string& path);

// The whole process (all threads) becomes the account, with its group alone,
// and cannot come back.
// `keep`: capabilities (CAP_..., linux/capability.h) that the calling thread
// goes on having.
absl::Status BecomeAccount(const Account& account,
                           std::initializer_list<int> keep = {});

// No core dump: packets of calls must not reach a disk.
absl::Status Harden();
// No program that a thread may start can gain a privilege. For the calling
// thread and those it makes from now on: call it before the first one.
absl::Status ForbidNewPrivileges();

// A folder for sockets that nobody else can write: made 0700 when it is
// missing. PermissionDenied when it belongs to somebody else or is open to
// others, as a stranger could have prepared /tmp/sluice-UID. True when it was
// made.
absl::StatusOr<bool> MakePrivateFolder(const std::string& path);

// Speaks to the service manager over $NOTIFY_SOCKET (systemd's protocol: one
// datagram of NAME=VALUE lines). Silent when nobody asked.
class Notifier {
 public:
  // From the environment; the variable is taken out of it.
  static Notifier FromEnvironment();
  // `address` as in NOTIFY_SOCKET: a path, or '@' for an abstract one.
  explicit Notifier(std::string address);

  bool wanted() const { return static_cast<bool>(socket_); }
  void Ready(std::string_view status) const;
  // Followed by Ready() when the new configuration is in force.
  void Reloading() const;
  void Stopping() const;

 private:
  void Send(const std::string& message) const;

  std::string address_;
  net::Fd socket_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_PROCESS_H_

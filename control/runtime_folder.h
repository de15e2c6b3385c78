#ifndef SLUICE_CONTROL_RUNTIME_FOLDER_H_
#define SLUICE_CONTROL_RUNTIME_FOLDER_H_

#include <string>
#include <vector>

namespace sluice::control {

// Where the daemon's UNIX sockets lie when nothing else is said, by one rule
// for who makes them and who looks for them.
//
// Thread: any.

inline constexpr char kSystemFolder[] = "/run/sluice";
inline constexpr char kControlSocketName[] = "control.sock";

// The places, the first choice first: `system_folder`,
// `xdg_runtime_dir`/sluice where that may be one (null, relative and over-long
// ones may not), /tmp/sluice-UID.
std::vector<std::string> RuntimeFolders(const std::string& system_folder,
                                        const char* xdg_runtime_dir);

// The first of them that this process can write or make.
std::string RuntimeFolder(const std::string& system_folder,
                          const char* xdg_runtime_dir);

// The path of the first of them that holds a control socket; what would be the
// first choice's when none does.
std::string FindControlSocket(const std::string& system_folder,
                              const char* xdg_runtime_dir);

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_RUNTIME_FOLDER_H_

#include "control/runtime_folder.h"

#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace sluice::control {
namespace {

// A longer one would leave no room for the sockets' own names.
constexpr size_t kFolderMax = sizeof(sockaddr_un::sun_path) - 40;

bool CanUse(const std::string& folder) {
  if (access(folder.c_str(), W_OK | X_OK) == 0) return true;
  const std::string parent =
      folder.substr(0, std::max<size_t>(1, folder.rfind('/')));
  return errno == ENOENT && access(parent.c_str(), W_OK | X_OK) == 0;
}

std::string ControlSocketIn(const std::string& folder) {
  return absl::StrCat(folder, "/", kControlSocketName);
}

}  // namespace

std::vector<std::string> RuntimeFolders(const std::string& system_folder,
                                        const char* xdg_runtime_dir) {
  std::vector<std::string> folders = {system_folder};
  if (xdg_runtime_dir != nullptr && xdg_runtime_dir[0] == '/' &&
      std::string_view(xdg_runtime_dir).size() < kFolderMax) {
    folders.push_back(absl::StrCat(xdg_runtime_dir, "/sluice"));
  }
  folders.push_back(absl::StrCat("/tmp/sluice-", getuid()));
  return folders;
}

std::string RuntimeFolder(const std::string& system_folder,
                          const char* xdg_runtime_dir) {
  const auto folders = RuntimeFolders(system_folder, xdg_runtime_dir);
  const auto usable = std::find_if(folders.begin(), folders.end(), CanUse);
  // Whoever binds there says what is wrong with the last one.
  return usable != folders.end() ? *usable : folders.back();
}

std::string FindControlSocket(const std::string& system_folder,
                              const char* xdg_runtime_dir) {
  const auto folders = RuntimeFolders(system_folder, xdg_runtime_dir);
  for (const std::string& folder : folders) {
    const std::string path = ControlSocketIn(folder);
    if (access(path.c_str(), F_OK) == 0) return path;
  }
  return ControlSocketIn(folders.front());
}

}  // namespace sluice::control

#ifndef SLUICE_TESTS_BASE_TEMP_FOLDER_H_
#define SLUICE_TESTS_BASE_TEMP_FOLDER_H_

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "base/check.h"

namespace sluice {

// A folder of a test's own, gone with it. Kept short: a UNIX socket's path has
// 107 octets.
class TempFolder {
 public:
  TempFolder() {
    std::string path =
        (std::filesystem::temp_directory_path() / "sluiceXXXXXX").string();
    CHECK(mkdtemp(path.data()) != nullptr);
    path_ = path;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string operator/(const std::string& name) const {
    return path_ + "/" + name;
  }

 private:
  std::string path_;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_BASE_TEMP_FOLDER_H_

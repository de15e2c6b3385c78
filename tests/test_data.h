#ifndef SLUICE_TESTS_TEST_DATA_H_
#define SLUICE_TESTS_TEST_DATA_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

// Inputs kept under tests/data/. meson says where that is; without it the test
// is run from the root of the tree.
namespace sluice {

inline std::filesystem::path TestDataFolder() {
  const char* folder = std::getenv("SLUICE_TEST_DATA");
  return folder == nullptr ? "tests/data" : folder;
}

inline std::string TestData(const std::string& name) {
  std::ifstream file(TestDataFolder() / name, std::ios::binary);
  EXPECT_TRUE(file.good()) << "no " << TestDataFolder() / name;
  return {std::istreambuf_iterator<char>(file), {}};
}

// The names of a folder's files, sorted, without their ending.
inline std::vector<std::string> TestDataNames(const std::string& folder,
                                              const std::string& ending) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(TestDataFolder() / folder, error)) {
    if (entry.path().extension() == ending) {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace sluice

#endif  // SLUICE_TESTS_TEST_DATA_H_

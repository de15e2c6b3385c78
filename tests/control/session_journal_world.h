#ifndef SLUICE_TESTS_CONTROL_SESSION_JOURNAL_WORLD_H_
#define SLUICE_TESTS_CONTROL_SESSION_JOURNAL_WORLD_H_

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/session_journal.h"
#include "gtest/gtest.h"
#include "tests/control/told_calls.h"

namespace sluice::control {

inline Endpoint SocketAt(uint16_t port,
                         const IpAddress& ip = IpAddress::V4(192, 0, 2, 1)) {
  return {.ip = ip, .port = Port::FromHost(port)};
}
inline Endpoint PhoneAt(uint16_t port) {
  return SocketAt(port, IpAddress::V4(198, 51, 100, 7));
}

inline GroupImage GroupOn(uint16_t base) {
  return {.local = SocketAt(0).ip,
          .media = {{.ip = PhoneAt(0).ip,
                     .port = 4000,
                     .base = base,
                     .range = 2,
                     .clock_hz = 8000}}};
}
// A call as most are: an offer that one answers, some 200 octets.
inline CallImage CallOf(const std::string& call_id, uint32_t cseq = 1,
                        uint16_t base = 20000) {
  CallImage call{.call_id = call_id};
  call.offers.push_back({.id_from = "a", .cseq = cseq, .from = GroupOn(base)});
  call.offers[0].forks.push_back(
      {.id_to = "b",
       .group = GroupOn(static_cast<uint16_t>(base + 2)),
       .up = true});
  return call;
}
inline void TellCall(SessionObserver& to, const std::string& call_id,
                     uint32_t cseq = 1) {
  to.OnCall(CallOf(call_id, cseq));
}

class SessionJournalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = absl::StrCat(::testing::TempDir(), "/journal.XXXXXX");
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = folder_ + "/calls";
  }
  void TearDown() override {
    chmod(folder_.c_str(), 0700);
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<SessionJournal> Open() {
    auto opened = SessionJournal::Open(path_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  static void Flush(SessionJournal& journal) {
    const absl::Status status = journal.Flush();
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_FALSE(journal.failed());
  }
  static Told Load(SessionJournal& journal) {
    Told told;
    uint64_t records = 0;
    const auto played = journal.Load(
        [&](const CallImage& call, absl::Span<const Believed> believed) {
          told.push_back({call, {believed.begin(), believed.end()}});
          records += 1 + believed.size();
          return true;
        });
    EXPECT_EQ(played.calls, told.size());
    EXPECT_EQ(played.records, records);
    EXPECT_EQ(played.calls, journal.stats().calls);
    return told;
  }
  // What a daemon would be told that starts on this file.
  Told LoadFile() {
    const auto journal = Open();
    return journal == nullptr ? Told(99) : Load(*journal);
  }
  Told LoadCopy() {
    const std::string copy = path_ + ".copy";
    Write(copy, Content());
    const auto journal = SessionJournal::Open(copy);
    EXPECT_TRUE(journal.ok()) << journal.status();
    return journal.ok() ? Load(**journal) : Told(99);
  }
  std::string Content() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void Write(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  }
  void Write(const std::string& content) const { Write(path_, content); }

  std::string folder_;
  std::string path_;
};

}  // namespace sluice::control

#endif  // SLUICE_TESTS_CONTROL_SESSION_JOURNAL_WORLD_H_

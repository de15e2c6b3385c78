#ifndef SLUICE_TESTS_CONTROL_SESSION_JOURNAL_WORLD_H_
#define SLUICE_TESTS_CONTROL_SESSION_JOURNAL_WORLD_H_

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "control/session_journal.h"
#include "gtest/gtest.h"

namespace sluice::control {

inline const IpAddress kHere = IpAddress::V4(192, 0, 2, 1);
inline const IpAddress kAlice = IpAddress::V4(198, 51, 100, 7);

inline Endpoint At(uint16_t port, const IpAddress& ip = kHere) {
  return {.ip = ip, .port = Port::FromHost(port)};
}

using Told = std::vector<std::string>;

inline std::string KeyText(const SessionKey& key) {
  return absl::StrCat(
      absl::CHexEscape(key.call_id), "|",
      key.cseq ? absl::StrCat(*key.cseq) : "all", "|",
      absl::CHexEscape(key.id_from), "|", absl::CHexEscape(key.id_to), "|",
      absl::CHexEscape(key.uri_from), "|", absl::CHexEscape(key.uri_to), "|",
      key.half_open_only, "|", static_cast<int>(key.stage));
}

// Everything that it is told, every field of it, as text.
class Teller : public SessionObserver {
 public:
  void OnAllocated(const SessionKey& key, Side side, const IpAddress& local,
                   absl::Span<const Media> media,
                   absl::Span<const uint16_t> bases) override {
    std::string text = absl::StrCat("allocated ", KeyText(key), " ", Name(side),
                                    " ", local.ToString());
    for (size_t i = 0; i < media.size(); ++i) {
      const Media& m = media[i];
      absl::StrAppend(&text, " [", m.ip.ToString(), " ", m.port, " ", m.range,
                      " ", relay::Name(m.first), " ", m.clock_hz, " ",
                      m.heard_from.ToString(), " ", bases[i], "]");
    }
    EXPECT_EQ(media.size(), bases.size());
    told.push_back(text);
  }
  void OnActivated(const SessionKey& key) override {
    told.push_back(absl::StrCat("activated ", KeyText(key)));
  }
  void OnClosed(const SessionKey& key) override {
    told.push_back(absl::StrCat("closed ", KeyText(key)));
  }
  void OnGone(std::string_view call_id) override {
    told.push_back(
        absl::StrCat("gone ", absl::CHexEscape(std::string(call_id))));
  }
  void OnConfirmed(std::string_view call_id, const Endpoint& local,
                   const Endpoint& source) override {
    told.push_back(absl::StrCat("confirmed ",
                                absl::CHexEscape(std::string(call_id)), " ",
                                local.ToString(), " ", source.ToString()));
  }

  Told told;
};

inline SessionKey KeyOf(const std::string& call_id, uint32_t cseq = 1) {
  SessionKey key;
  key.call_id = call_id;
  key.cseq = cseq;
  key.id_from = "a";
  key.id_to = "b";
  return key;
}

// A call as most are: some 300 octets a half.
inline void TellHalf(SessionObserver& to, const SessionKey& key, Side side,
                     uint16_t base) {
  const Media medium{.ip = kAlice, .port = 4000};
  to.OnAllocated(key, side, kHere, {medium}, {base});
}
inline void TellCall(SessionObserver& to, const std::string& call_id,
                     uint32_t cseq = 1) {
  const SessionKey key = KeyOf(call_id, cseq);
  TellHalf(to, key, Side::kFrom, 20000);
  TellHalf(to, key, Side::kTo, 20002);
  SessionKey final = key;
  final.stage = sip::AnswerStage::kFinal;
  to.OnActivated(final);
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
    Teller teller;
    const SessionJournal::Played played = journal.Load(teller);
    EXPECT_EQ(played.records, teller.told.size());
    EXPECT_EQ(played.calls, journal.stats().calls);
    return teller.told;
  }
  // What a daemon would be told that starts on this file.
  Told LoadFile() {
    const auto journal = Open();
    return journal == nullptr ? Told{"not opened"} : Load(*journal);
  }
  Told LoadCopy() {
    const std::string copy = path_ + ".copy";
    Write(copy, Content());
    const auto journal = SessionJournal::Open(copy);
    EXPECT_TRUE(journal.ok()) << journal.status();
    return journal.ok() ? Load(**journal) : Told{"not opened"};
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

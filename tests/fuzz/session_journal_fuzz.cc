// Goal: no file makes the journal crash, hang or take more memory than the file
// is long; what it tells of it, told to another journal, is told again the
// same; and of what it cut off nothing is left. Method: the first octet
// chooses: the rest is the file as it lies on the disk, or what would lie in it
// if somebody had got every length and check right (records of type, two octets
// of length, payload).

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "control/session_journal.h"

namespace {

using sluice::Endpoint;
using sluice::IpAddress;
using sluice::Side;
using sluice::control::Media;
using sluice::control::SessionJournal;
using sluice::control::SessionKey;
using sluice::control::SessionObserver;
namespace journal = sluice::control::journal;

// Below what makes a call's records pruned, which is no matter of bytes.
constexpr size_t kInputMax = SessionJournal::kPruneOctets / 8;

// What is told as the records that it would be written as.
class Teller : public SessionObserver {
 public:
  void OnAllocated(const SessionKey& key, Side side, const IpAddress& local,
                   absl::Span<const Media> media,
                   absl::Span<const uint16_t> bases) override {
    CHECK(journal::PutAllocated(key, side, local, media, bases, &told));
  }
  void OnActivated(const SessionKey& key) override {
    CHECK(journal::PutActivated(key, &told));
  }
  void OnClosed(const SessionKey& key) override {
    CHECK(journal::PutClosed(key, &told));
  }
  void OnGone(std::string_view call_id) override {
    CHECK(journal::PutGone(call_id, &told));
  }
  void OnConfirmed(std::string_view call_id, const Endpoint& local,
                   const Endpoint& source) override {
    CHECK(journal::PutConfirmed(call_id, local, source, &told));
  }

  std::string told;
};

// A folder for this process, in memory where there is such a place.
const std::string& Folder() {
  static const std::string* const kFolder = [] {
    for (const char* parent : {"/dev/shm", "/tmp"}) {
      std::string name = std::string(parent) + "/journal-fuzz-XXXXXX";
      if (mkdtemp(name.data()) == nullptr) continue;
      std::atexit([] {
        unlink((Folder() + "/a").c_str());
        unlink((Folder() + "/b").c_str());
        rmdir(Folder().c_str());
      });
      return new std::string(name);
    }
    std::abort();
  }();
  return *kFolder;
}

void Write(const std::string& path, std::string_view content) {
  const int fd =
      open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  CHECK(fd >= 0);
  CHECK(write(fd, content.data(), content.size()) ==
        static_cast<ssize_t>(content.size()));
  close(fd);
}

std::string Framed(std::string_view in) {
  std::string content(journal::kHeader);
  while (in.size() >= 3) {
    const auto at = [&](size_t i) { return static_cast<uint8_t>(in[i]); };
    const size_t length = at(1) * size_t{256} + at(2);
    journal::PutFrame(at(0), in.substr(3, length), &content);
    in.remove_prefix(std::min(in.size(), 3 + length));
  }
  return content;
}

std::string Load(SessionJournal& from) {
  Teller teller;
  from.Load(teller);
  return teller.told;
}

std::unique_ptr<SessionJournal> Reopen(const std::string& path) {
  auto opened = SessionJournal::Open(path);
  CHECK(opened.ok());
  return *std::move(opened);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > kInputMax) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1,
                              size - 1);
  const std::string content =
      data[0] % 2 == 0 ? std::string(rest) : Framed(rest);
  const std::string path = Folder() + "/a";
  const std::string other = Folder() + "/b";
  Write(path, content);

  auto opened = SessionJournal::Open(path);
  if (!opened.ok()) {
    CHECK(!content.starts_with(journal::kHeader));
    return 0;
  }
  const std::string told = Load(**opened);
  CHECK((*opened)->stats().octets + told.size() <=
        2 * content.size() + journal::kHeader.size());
  opened->reset();

  const auto again = Reopen(path);
  CHECK(again->cut().empty());
  CHECK(Load(*again) == told);

  unlink(other.c_str());
  auto second = Reopen(other);
  again->Load(*second);
  CHECK(second->stats().left_out == 0);
  CHECK(Load(*second) == told);
  CHECK(second->Flush().ok());
  CHECK(second->stats().octets == journal::kHeader.size() + told.size());
  second.reset();
  second = Reopen(other);
  CHECK(second->cut().empty());
  CHECK(Load(*second) == told);
  return 0;
}

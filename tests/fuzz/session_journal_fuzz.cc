// Goal: no file makes the journal crash, hang or take more memory than the file
// is long; what it tells of it, told to another journal, is told again the
// same; of what it cut off nothing is left; and whatever calls it tells of, a
// session manager makes them as they are or not at all, and its books are right
// whatever is done with them then. Method: the first octet chooses: the rest is
// the file as it lies on the disk, or what would lie in it if somebody had got
// every length and check right (records of type, two octets of length,
// payload).

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "control/session_journal.h"
#include "tests/control/manager_world.h"
#include "tests/control/told_calls.h"

namespace {

using sluice::Micros;
using sluice::Port;
using sluice::Side;
using sluice::control::Believed;
using sluice::control::CallImage;
using sluice::control::ForkImage;
using sluice::control::GroupImage;
using sluice::control::OfferImage;
using sluice::control::SessionJournal;
using sluice::control::SessionKey;
using sluice::control::SessionManager;
using sluice::control::Told;
using sluice::control::World;
namespace journal = sluice::control::journal;

// A call of many offers, and still many inputs a second.
constexpr size_t kInputMax = 8 * 1024;

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

Told Load(SessionJournal& from) {
  Told told;
  from.Load([&](const CallImage& call, absl::Span<const Believed> believed) {
    told.push_back({call, {believed.begin(), believed.end()}});
    return true;
  });
  return told;
}

std::unique_ptr<SessionJournal> Reopen(const std::string& path) {
  auto opened = SessionJournal::Open(path);
  CHECK(opened.ok());
  return *std::move(opened);
}

// Times that are to come are now.
CallImage Clamped(CallImage call, Micros now) {
  const auto clamp = [now](Micros& time) {
    time = std::clamp(time, Micros(), now);
  };
  clamp(call.refused);
  for (OfferImage& offer : call.offers) {
    if (offer.from) clamp(offer.from->made);
    for (ForkImage& fork : offer.forks) clamp(fork.group.made);
  }
  return call;
}

// Everything that its parties can still say of a call.
void GoOn(World& w, const CallImage& call) {
  for (const OfferImage& offer : call.offers) {
    for (const ForkImage& fork : offer.forks) {
      const SessionKey key = sluice::control::Key(call.call_id, offer.cseq,
                                                  offer.id_from, fork.id_to);
      w.manager.Activate(key).IgnoreError();
      CHECK(w.manager.Validate());
      SessionKey again = key;
      again.cseq = offer.cseq + 1;
      const auto say = [&](const GroupImage* group, Side side) {
        std::vector<sluice::control::Media> media;
        for (const auto& m : group->media) {
          media.push_back({.ip = m.ip,
                           .port = m.port,
                           .range = m.range,
                           .first = m.first,
                           .clock_hz = m.clock_hz});
        }
        w.manager.Allocate(again, side, group->local, media)
            .status()
            .IgnoreError();
      };
      if (offer.from) say(&*offer.from, Side::kFrom);
      say(&fork.group, Side::kTo);
      w.manager.Activate(again).IgnoreError();
      CHECK(w.manager.Validate());
      w.manager.Close(again).IgnoreError();
      CHECK(w.manager.Validate());
    }
  }
}

void Restore(const Told& told) {
  SessionManager::Options options = World::Defaults();
  options.port_last = Port::FromHost(20063);
  World w(options, 1, 256);
  for (const auto& [call, believed] : told) {
    const absl::Status status = w.manager.RestoreCall(call, believed);
    CHECK(w.manager.Validate());
    const auto image = w.manager.Image(call.call_id);
    CHECK(image.ok() == status.ok());
    CHECK(!image.ok() || *image == Clamped(call, w.now));
  }
  w.Pass(Micros::Millis(100));
  CHECK(w.manager.Validate());
  for (const auto& [call, believed] : told) GoOn(w, call);
  w.Pass(Micros::Seconds(60));
  CHECK(w.manager.Validate());
  w.manager.CloseAll();
  CHECK(w.NothingLeft());
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
  const Told told = Load(**opened);
  const uint64_t live = (*opened)->stats().live_octets;
  CHECK(live <= (*opened)->stats().octets);
  CHECK((*opened)->stats().octets <=
        std::max(content.size(), journal::kHeader.size()));
  opened->reset();

  const auto again = Reopen(path);
  CHECK(again->cut().empty());
  CHECK(Load(*again) == told);

  unlink(other.c_str());
  auto second = Reopen(other);
  for (const auto& [call, believed] : told) {
    second->OnCall(call);
    for (const Believed& b : believed) {
      second->OnConfirmed(call.call_id, b.local, b.source);
    }
  }
  CHECK(second->stats().left_out == 0);
  CHECK(Load(*second) == told);
  CHECK(second->Flush().ok());
  CHECK(second->stats().octets == live);
  second.reset();
  second = Reopen(other);
  CHECK(second->cut().empty());
  CHECK(Load(*second) == told);

  Restore(told);
  return 0;
}

#include "tools/ctl/capture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/net/fd.h"
#include "control/json_view.h"
#include "control/pcap.h"
#include "tools/ctl/text.h"

namespace sluice::ctl {
namespace {

// How long a capture that was cut short may take to end at the daemon.
constexpr int kLooks = 100;
constexpr double kLookSeconds = 0.02;

uint32_t Get32(std::string_view octets) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) {
    value = value << 8 | static_cast<uint8_t>(octets[i]);
  }
  return value;
}

// Where the packets go. Made at the first octet.
class File {
 public:
  File(const std::string& path, bool force) : path_(path), force_(force) {}

  // What is wrong before anybody is asked; "": nothing.
  std::string Refused() const {
    struct stat there {};
    if (path_ == "-") {
      return ::isatty(STDOUT_FILENO) == 1
                 ? "packets are no text for a terminal: name a file with -w"
                 : "";
    }
    if (force_ || ::lstat(path_.c_str(), &there) != 0) return "";
    return absl::StrCat(path_, " is there already (--force writes over it)");
  }
  bool Write(std::string_view octets) {
    if (fd_ < 0 && !Open()) return false;
    while (!octets.empty()) {
      const ssize_t n = ::write(fd_, octets.data(), octets.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Fail();
      octets.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  const std::string& error() const { return error_; }

 private:
  bool Open() {
    if (path_ == "-") {
      fd_ = STDOUT_FILENO;
      return true;
    }
    // What people say is nobody else's to read.
    own_ = net::Fd(::open(
        path_.c_str(),
        O_WRONLY | O_CREAT | O_CLOEXEC | (force_ ? O_TRUNC : O_EXCL), 0600));
    fd_ = own_.get();
    return fd_ >= 0 || Fail();
  }
  bool Fail() {
    error_ = absl::StrCat("cannot write ", path_, ": ", std::strerror(errno));
    return false;
  }

  const std::string path_;
  const bool force_;
  net::Fd own_;
  int fd_ = -1;
  std::string error_;
};

// What the daemon says of a capture of its, once it has ended.
Json Told(const Client& client, const Json& number) {
  for (int look = 0; look < kLooks; ++look) {
    const Reply reply = client.Get("/v1/capture");
    if (reply.code != kDone || At(reply.json, "capture") != number) break;
    if (!IsTrue(At(reply.json, "running"))) return reply.json;
    SleepSeconds(kLookSeconds);
  }
  return Json();
}

}  // namespace

std::string PcapCutter::Add(std::string_view octets) {
  waiting_.append(octets);
  size_t whole = 0;
  if (!head_seen_) {
    if (waiting_.size() < control::kPcapHeadBytes) return "";
    good_ = waiting_.starts_with(control::PcapHead());
    head_seen_ = true;
    whole = control::kPcapHeadBytes;
  }
  while (good_ && waiting_.size() - whole >= control::kPcapRecordHeadBytes) {
    const std::string_view record = std::string_view(waiting_).substr(whole);
    const uint32_t bytes = Get32(record.substr(8));
    good_ = bytes <= control::kPcapPacketBytesMax;
    if (!good_ || record.size() < control::kPcapRecordHeadBytes + bytes) break;
    whole += control::kPcapRecordHeadBytes + bytes;
    ++packets_;
  }
  std::string out;
  if (good_) out = waiting_.substr(0, whole);
  waiting_.erase(0, whole);
  return out;
}

ExitCode Capture(const Session& session, const std::string& call_id,
                 const CaptureOptions& options) {
  File file(options.file, options.force);
  if (const std::string why = file.Refused(); !why.empty()) {
    return Fail(session, {.code = kUsage, .error = ShownText(why)});
  }
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : {SIGINT, SIGTERM}) sigaddset(&ends, signal);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  const net::Fd stop(signalfd(-1, &ends, SFD_CLOEXEC));

  std::string path = absl::StrCat(
      "/v1/capture/", control::PercentEncode(control::FromSafeText(call_id)),
      "?seconds=", options.seconds);
  if (options.bytes != 0) absl::StrAppend(&path, "&bytes=", options.bytes);
  PcapCutter cutter;
  Reply reply = session.client.Stream(
      path, Micros::Seconds(static_cast<int64_t>(options.seconds)), stop.get(),
      [&](std::string_view part) {
        const std::string whole = cutter.Add(part);
        return cutter.good() && (whole.empty() || file.Write(whole));
      });
  if (reply.code == kDone && !cutter.good()) {
    reply = {.code = kRefused, .error = "sluiced has sent no pcap"};
  }
  if (reply.code == kDone && !file.error().empty()) {
    reply = {.code = kRefused, .error = ShownText(file.error())};
  }
  if (reply.code != kDone) return Fail(session, reply);

  const Json told = Told(session.client, At(reply.json, "capture"));
  const Json& lost = At(told, "lost");
  if (session.output == Output::kJson) {
    const std::string text = control::Dump({{"call_id", call_id},
                                            {"file", options.file},
                                            {"packets", cutter.packets()},
                                            {"lost", lost},
                                            {"ended", At(told, "ended")}});
    std::fputs(text.c_str(), options.file == "-" ? stderr : stdout);
    return kDone;
  }
  std::fprintf(stderr, "%s, %s left out\n",
               Count(Json(cutter.packets()), "packet").c_str(),
               lost.is_number() ? Count(lost).c_str() : "an unknown number");
  return kDone;
}

}  // namespace sluice::ctl

#include "rtp/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/net/fd.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "rtp/wav.h"

namespace sluice::rtp {
namespace {

constexpr size_t kBlock = 4096;

enum class Kind : uint8_t { kWav, kPcmu, kPcma };

struct Ending {
  const char* text;
  Kind kind;
};
constexpr Ending kEndings[] = {
    {".wav", Kind::kWav},   {".pcmu", Kind::kPcmu},
    {".ulaw", Kind::kPcmu}, {".ul", Kind::kPcmu},
    {".raw", Kind::kPcmu},  {".pcmu-8000", Kind::kPcmu},
    {".pcma", Kind::kPcma}, {".alaw", Kind::kPcma},
    {".al", Kind::kPcma},   {".pcma-8000", Kind::kPcma},
};

absl::StatusOr<Kind> KindOf(const std::string& path) {
  for (const Ending& ending : kEndings) {
    if (EndsWithNoCase(path, ending.text)) return ending.kind;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      path,
      ": the name does not say what it holds: .wav, .pcmu (or .ulaw, "
      ".ul, .raw) for mu-law, .pcma (or .alaw, .al) for A-law"));
}

absl::Status FileError(int error, const char* what, const std::string& path) {
  const std::string text = absl::StrCat(what, " ", path, ": ",
                                        std::generic_category().message(error));
  switch (error) {
    case ENOENT: return absl::NotFoundError(text);
    case EACCES:
    case EPERM:
    case EROFS: return absl::PermissionDeniedError(text);
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EDQUOT: return absl::ResourceExhaustedError(text);
  }
  return absl::InternalError(text);
}

size_t ReadFile(int fd, uint64_t offset, std::span<uint8_t> into) {
  size_t got = 0;
  while (got < into.size()) {
    const ssize_t n = pread(fd, into.data() + got, into.size() - got,
                            static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;  // A file that cannot be read on ends here.
    got += static_cast<size_t>(n);
  }
  return got;
}

class FileSource : public AudioSource {
 public:
  FileSource(net::Fd fd, const WavLayout& layout, int times)
      : fd_(std::move(fd)), layout_(layout), times_(times) {}

  size_t Read(Codec codec, std::span<uint8_t> octets) override {
    size_t filled = 0;
    while (filled < octets.size()) {
      if (at_ == full_ && !Refill()) break;
      filled += Take(codec, octets.subspan(filled));
    }
    return filled;
  }

 private:
  // The next block; false at the end of the last time.
  bool Refill() {
    at_ = full_ = 0;
    if (left_ == 0) {
      // A file that was emptied meanwhile would be read for ever.
      const bool nothing = played_ > 0 && offset_ == layout_.data_offset;
      if (nothing || (times_ != kRepeatForever && played_ == times_)) {
        return false;
      }
      played_ = 1 + played_ % INT32_MAX;
      offset_ = layout_.data_offset;
      left_ = layout_.data_octets;
    }
    const size_t wanted = std::min<uint64_t>(left_, block_.size());
    size_t got = ReadFile(fd_.get(), offset_, std::span(block_).first(wanted));
    if (layout_.encoding == WavEncoding::kPcm16) got &= ~size_t{1};
    offset_ += got;
    left_ = got < wanted ? 0 : left_ - got;
    full_ = got;
    return true;  // perhaps with nothing: then the next call decides
  }

  size_t Take(Codec codec, std::span<uint8_t> octets) {
    if (layout_.encoding == WavEncoding::kPcm16) {
      const size_t count = std::min(octets.size(), (full_ - at_) / 2);
      for (uint8_t& octet : octets.first(count)) {
        octet = Encode(
            codec, static_cast<int16_t>(block_[at_] | block_[at_ + 1] << 8));
        at_ += 2;
      }
      return count;
    }
    const size_t count = std::min(octets.size(), full_ - at_);
    std::memcpy(octets.data(), &block_[at_], count);
    at_ += count;
    Transcode(
        layout_.encoding == WavEncoding::kPcmu ? Codec::kPcmu : Codec::kPcma,
        codec, octets.first(count));
    return count;
  }

  const net::Fd fd_;
  const WavLayout layout_;
  const int times_;
  int played_ = 0;  // times begun
  uint64_t offset_ = 0;
  uint64_t left_ = 0;  // of this time, behind the block
  std::array<uint8_t, kBlock> block_;
  size_t at_ = 0;
  size_t full_ = 0;
};

class FileSink : public AudioSink {
 public:
  FileSink(net::Fd fd, std::string path, Kind kind)
      : fd_(std::move(fd)), path_(std::move(path)), kind_(kind) {}
  ~FileSink() override { Close().IgnoreError(); }

  // A file without a sample is a WAV too.
  absl::Status WriteHead(uint32_t octets) {
    if (kind_ != Kind::kWav) return absl::OkStatus();
    const auto head = WavHead(octets);
    return WriteAll(head, 0);
  }

  void Write(Codec codec, std::span<const uint8_t> octets) override {
    if (!fd_) return;
    const size_t each = kind_ == Kind::kWav ? 2 : 1;
    while (!octets.empty()) {
      const size_t count = std::min(octets.size(), (kBlock - full_) / each);
      if (kind_ == Kind::kWav) {
        for (const uint8_t octet : octets.first(count)) {
          const auto sample = static_cast<uint16_t>(Decode(codec, octet));
          block_[full_++] = static_cast<uint8_t>(sample);
          block_[full_++] = static_cast<uint8_t>(sample >> 8);
        }
      } else {
        std::memcpy(&block_[full_], octets.data(), count);
        Transcode(codec, kind_ == Kind::kPcmu ? Codec::kPcmu : Codec::kPcma,
                  std::span(block_).subspan(full_, count));
        full_ += count;
      }
      octets = octets.subspan(count);
      if (full_ == kBlock) Flush();
    }
  }

  absl::Status Close() override {
    if (!fd_) return error_;
    Flush();
    // Also after an error: what could be written is worth a length.
    const absl::Status head = WriteHead(static_cast<uint32_t>(written_));
    if (error_.ok()) error_ = head;
    fd_.Reset();
    return error_;
  }

 private:
  uint64_t Start() const { return kind_ == Kind::kWav ? kWavHeadBytes : 0; }

  void Flush() {
    const size_t count = std::exchange(full_, 0);
    if (count == 0 || !error_.ok()) return;
    if (kind_ == Kind::kWav && written_ + count > kWavOctetsMax) {
      error_ = absl::ResourceExhaustedError(absl::StrCat(
          path_,
          ": a WAV file holds 4 GiB and this one is full: record into "
          "a .pcmu or .pcma file"));
      return;
    }
    error_ = WriteAll(std::span(block_).first(count), Start() + written_);
    if (error_.ok()) written_ += count;
  }

  absl::Status WriteAll(std::span<const uint8_t> octets, uint64_t offset) {
    while (!octets.empty()) {
      const ssize_t n = pwrite(fd_.get(), octets.data(), octets.size(),
                               static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return FileError(errno, "write", path_);
      octets = octets.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return absl::OkStatus();
  }

  net::Fd fd_;  // closed: none
  const std::string path_;
  const Kind kind_;
  std::array<uint8_t, kBlock> block_;
  size_t full_ = 0;
  uint64_t written_ = 0;  // octets of samples
  absl::Status error_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AudioSource>> OpenSource(const std::string& path,
                                                        int times) {
  ASSIGN_OR_RETURN(const Kind kind, KindOf(path));
  // O_NONBLOCK: a pipe that nobody writes into would be waited for.
  net::Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return FileError(errno, "open", path);
  struct stat about {};
  if (fstat(fd.get(), &about) != 0) return FileError(errno, "stat", path);
  if (!S_ISREG(about.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is no regular file: reading it could make every call wait"));
  }
  WavLayout layout{
      .encoding = kind == Kind::kPcma ? WavEncoding::kPcma : WavEncoding::kPcmu,
      .data_octets = static_cast<uint64_t>(about.st_size)};
  if (kind == Kind::kWav) {
    auto read = ReadWavLayout([&](uint64_t offset, std::span<uint8_t> into) {
      return ReadFile(fd.get(), offset, into);
    });
    if (!read.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": ", read.status().message()));
    }
    layout = *read;
  }
  if (layout.data_octets == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " holds no sample: there is nothing to play"));
  }
  return std::make_unique<FileSource>(std::move(fd), layout, times);
}

absl::StatusOr<std::unique_ptr<AudioSink>> OpenSink(const std::string& path) {
  ASSIGN_OR_RETURN(const Kind kind, KindOf(path));
  net::Fd fd(open(path.c_str(),
                  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666));
  if (!fd) return FileError(errno, "open", path);
  auto sink = std::make_unique<FileSink>(std::move(fd), path, kind);
  RETURN_IF_ERROR(sink->WriteHead(kWavOctetsUnknown));
  return sink;
}

}  // namespace sluice::rtp

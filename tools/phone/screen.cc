#include "tools/phone/screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include "base/text.h"
#include "control/json_view.h"
#include "tools/ctl/text.h"

namespace sluice::phone {
namespace {

void Put(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

size_t Columns() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0
             ? size.ws_col
             : 80;
}

}  // namespace

Screen::Screen(bool quiet)
    : quiet_(quiet), live_(!quiet && isatty(STDERR_FILENO) == 1) {}

void Screen::Line(std::string_view text) {
  if (quiet_) return;
  Clear();
  Put(Cat(ctl::ShownText(text), "\n"));
}

void Screen::Live(std::string_view text) {
  if (!live_) return;
  // One that wraps would not be drawn over.
  Put(Cat("\r\x1b[K", text.substr(0, Columns() - 1)));
  drawn_ = true;
}

void Screen::Message(std::string_view head, std::string_view octets) {
  Clear();
  std::string out = Cat("--- ", head, "\n");
  while (!octets.empty()) {
    const size_t end = octets.find('\n');
    std::string_view line = octets.substr(0, end);
    octets.remove_prefix(end == octets.npos ? octets.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    Append(&out, control::SafeText(line), "\n");
  }
  Put(out);
}

void Screen::Clear() {
  if (!drawn_) return;
  drawn_ = false;
  Put("\r\x1b[K");
}

}  // namespace sluice::phone

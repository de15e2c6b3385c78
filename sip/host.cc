#include "sip/host.h"

#include <algorithm>

namespace sluice::sip {
namespace {

constexpr size_t kLabelOctetsMax = 63;  // RFC 1035 2.3.4
constexpr size_t kIp6OctetsMax = 64;    // the longest has 45, RFC 4291 2.2
constexpr CharSet kName = kAlnum | CharSet("-._");
constexpr CharSet kIp6 = kHex | CharSet(":.");
constexpr std::string_view kThreeColons = ":::";

bool AllDigits(std::string_view text) {
  Cursor c(text);
  c.TakeWhile(kDigit);
  return c.done();
}

bool ValidName(std::string_view name) {
  if (name.empty() || name.size() > kHostOctetsMax) return false;
  if (AllDigits(name.substr(name.size() - 1)) && IpAddress::Parse(name)) {
    return true;
  }
  // A name may end with the root's dot.
  if (name.back() == '.') name.remove_suffix(1);
  while (true) {
    const size_t dot = name.find('.');
    const std::string_view label = name.substr(0, dot);
    if (label.empty() || label.size() > kLabelOctetsMax) return false;
    if (dot == std::string_view::npos) return !AllDigits(label);
    name.remove_prefix(dot + 1);
  }
}

}  // namespace

std::string_view TakeHost(Cursor* cursor) {
  const std::string_view start = cursor->rest();
  if (!cursor->TakeChar('[')) {
    const std::string_view name = cursor->TakeWhile(kName);
    return ValidName(name) ? name : std::string_view();
  }
  cursor->TakeWhile(kIp6);
  if (!cursor->TakeChar(']')) return {};
  const std::string_view host = cursor->Since(start);
  return IpOfHost(host) ? host : std::string_view();
}

uint16_t TakePort(Cursor* cursor) {
  const std::string_view digits = cursor->TakeWhile(kDigit);
  uint32_t port = 0;
  for (const char c : digits) {
    port = port * 10 + static_cast<uint32_t>(c - '0');
    if (port > UINT16_MAX) return 0;
  }
  return static_cast<uint16_t>(port);
}

std::optional<IpAddress> IpOfHost(std::string_view host) {
  if (host.empty()) return std::nullopt;
  if (host.front() != '[') {
    // Without brackets only IPv4: the colons would be taken for a port's.
    if (host.find(':') != std::string_view::npos) return std::nullopt;
    return IpAddress::Parse(host);
  }
  if (host.size() < 2 || host.back() != ']') return std::nullopt;
  host = host.substr(1, host.size() - 2);
  if (host.find(':') == std::string_view::npos) return std::nullopt;
  const size_t three = host.find(kThreeColons);
  if (three == std::string_view::npos) return IpAddress::Parse(host);
  char mended[kIp6OctetsMax];
  if (host.size() > sizeof(mended)) return std::nullopt;
  char* end = std::copy_n(host.data(), three, mended);
  end = std::copy(host.begin() + three + 1, host.end(), end);
  return IpAddress::Parse({mended, static_cast<size_t>(end - mended)});
}

}  // namespace sluice::sip

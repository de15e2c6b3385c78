// Goal: no body makes the readers fail otherwise than by saying no; what is
// told instead of a description reads back with the ports and addresses that
// were asked for, has no candidate in it, and differs from it in no other line.
// Method: the input as a body whose type its first octet chooses, and what is
// found in it as a description.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "sip/cursor.h"
#include "sip/sdp.h"

namespace {

using sluice::EqualsNoCase;
using sluice::IpAddress;
using sluice::sip::FindSdp;
using sluice::sip::Sdp;
using sluice::sip::SdpMedium;

bool IsIce(std::string_view attribute) {
  const std::string_view name =
      sluice::sip::Trim(attribute.substr(0, attribute.find(':')));
  for (const char* ice :
       {"candidate", "remote-candidates", "end-of-candidates", "ice-ufrag",
        "ice-pwd", "ice-options", "ice-pacing", "ice-lite", "ice-mismatch"}) {
    if (EqualsNoCase(name, ice)) return true;
  }
  return false;
}

// "m=audio  RTP/AVP 0": without "port" or "port/count", as a refused medium may
// lose its count.
std::string WithoutPort(std::string_view line) {
  const size_t type = line.find_first_not_of(' ', 2);
  const size_t port = line.find_first_not_of(' ', line.find(' ', type));
  const size_t end = line.find(' ', port);
  CHECK(end != std::string_view::npos);
  return std::string(line.substr(0, port)) + std::string(line.substr(end));
}

// The lines that nobody may touch, and of m= what nobody may.
std::vector<std::string> Others(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t lf = text.find('\n');
    std::string_view line = text.substr(0, lf);
    text.remove_prefix(lf == std::string_view::npos ? text.size() : lf + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("o=") || line.starts_with("c=") ||
        line.starts_with("a=rtcp:") ||
        (line.starts_with("a=") && IsIce(line.substr(2)))) {
      continue;
    }
    lines.push_back(line.starts_with("m=") ? WithoutPort(line)
                                           : std::string(line));
  }
  return lines;
}

bool HasIce(std::string_view text) {
  while (!text.empty()) {
    const size_t lf = text.find('\n');
    const std::string_view line = text.substr(0, lf);
    text.remove_prefix(lf == std::string_view::npos ? text.size() : lf + 1);
    if (line.starts_with("a=") && IsIce(line.substr(2))) return true;
  }
  return false;
}

void CheckApply(std::string_view text, const Sdp& sdp, bool one_address) {
  const IpAddress v4 = IpAddress::V4(203, 0, 113, 9);
  const IpAddress v6 = *IpAddress::Parse("2001:db8::9");
  std::vector<Sdp::Listen> listen;
  for (size_t i = 0; i < sdp.media().size(); ++i) {
    listen.push_back({.ip = one_address || i % 2 == 0 ? v4 : v6,
                      .port = static_cast<uint16_t>(10'000 + 2 * i)});
  }
  const Sdp::Rewrite rewrite{
      .listen = listen, .origin = v4, .origin_id = 7, .version_offset = 1};
  const std::string told = sdp.Apply(rewrite);
  CHECK(told == sdp.Apply(rewrite));
  CHECK(!HasIce(told));
  CHECK(Others(text) == Others(told));

  const auto again = Sdp::Parse(told);
  CHECK(again.ok());
  CHECK(again->origin_version() == ((sdp.origin_version() + 1) & INT64_MAX));
  CHECK(again->origin_session() == "7");
  CHECK(again->media().size() == sdp.media().size());
  for (size_t i = 0; i < sdp.media().size(); ++i) {
    const SdpMedium& before = sdp.media()[i];
    const SdpMedium& after = again->media()[i];
    CHECK(after.type == before.type && after.proto == before.proto &&
          after.formats == before.formats && after.count == before.count &&
          after.clock_hz == before.clock_hz &&
          after.direction == before.direction &&
          after.rtcp_mux == before.rtcp_mux &&
          after.any_address == before.any_address);
    if (before.port == 0) {
      CHECK(after.port == 0);
      continue;
    }
    CHECK(after.port == listen[i].port);
    CHECK(after.any_address || after.address == listen[i].ip);
    CHECK(after.rtcp_port.has_value() ==
          (before.rtcp_port.has_value() && before.is_rtp()));
    CHECK(!after.rtcp_port || *after.rtcp_port == after.port + 1);
    CHECK(!after.rtcp_address || *after.rtcp_address == listen[i].ip);
  }
  // What we wrote changes no more than its version when it is written again.
  const std::string third = again->Apply(rewrite);
  CHECK(Others(third) == Others(told));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view body(reinterpret_cast<const char*>(data), size);
  constexpr std::string_view kTypes[] = {"application/sdp",
                                         "multipart/mixed;boundary=b", ""};
  const std::string_view type = kTypes[data[0] % 3];
  body.remove_prefix(1);
  const auto text = FindSdp(type, body);
  if (!text) return 0;
  CHECK(text->data() >= body.data() &&
        text->data() + text->size() <= body.data() + body.size());
  const auto sdp = Sdp::Parse(*text);
  if (!sdp.ok()) return 0;
  CHECK(sdp->media().size() <= sluice::sip::kSdpMediaMax);
  CheckApply(*text, *sdp, true);
  CheckApply(*text, *sdp, false);
  return 0;
}

#ifndef SLUICE_TOOLS_PHONE_OPTIONS_H_
#define SLUICE_TOOLS_PHONE_OPTIONS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "rtp/dtmf.h"
#include "rtp/g711.h"
#include "sip/call.h"
#include "sip/simple.h"

namespace sluice::phone {

enum class Role : uint8_t { kRegister, kCall, kAnswer, kEcho };

// Everything the command line says, as it was typed.
struct Options {
  Role role = Role::kCall;
  std::string whom;

  std::string proxy, registrar, from, domain, contact;
  std::string auth_user, password, password_file;
  std::vector<std::string> legs;
  std::string tls_certificate, tls_key, tls_ca;
  uint32_t expires_s = 900;
  bool do_register = false;  // before the first call
  bool stay = false;         // `register`: until interrupted

  std::string codecs = "pcmu,pcma";
  int ptime_ms = 20;
  std::string rtp_ports = "2000-12000";
  bool latch = false;
  double silence_s = 10;  // of the peer, that ends a call; 0: none does

  std::string play, record;
  int repeat = 1;
  double tone_hz = 0;
  std::string dtmf;
  std::string dtmf_method = "rfc4733";

  double duration_s = 0;  // 0: see man page
  double hold_after_s = 0, resume_after_s = 0;
  double ring_s = 0;
  uint32_t count = 0;  // 0: one call; as many as come
  uint32_t lines = 0;  // calls at a time; 0: any number
  int refuse = 0;      // code for every call that comes; 0: none
  bool delayed_offer = false;

  std::string output = "text";
  bool quiet = false, trace = false;
};

// "a-b"; both included.
absl::StatusOr<std::pair<uint16_t, uint16_t>> ParsePorts(std::string_view text);
// "pcmu,pcma", in order of wish.
absl::StatusOr<std::vector<rtp::Codec>> ParseCodecs(std::string_view text);
absl::StatusOr<rtp::DtmfMethod> ParseDtmfMethod(std::string_view text);
// Of "me", "sip:me@example.com", "\"Me\" <sip:me@example.com>".
std::string UserOf(std::string_view from);
// The first line of the file, without its end. InvalidArgument says why there
// is none to take.
absl::StatusOr<std::string> ReadPassword(const std::string& path);
// One file a call: {} in `name` is the number of the call; without it the calls
// behind the first have theirs before the ending, "b.wav", "b-2.wav".
std::string FileOfCall(std::string_view name, size_t number);

// What the library takes. InvalidArgument names the option.
struct Plan {
  sip::Simple::Options agent{};
  sip::CallParams call{};
};
absl::StatusOr<Plan> MakePlan(const Options& options);

Micros ToMicros(double seconds);

}  // namespace sluice::phone

#endif  // SLUICE_TOOLS_PHONE_OPTIONS_H_

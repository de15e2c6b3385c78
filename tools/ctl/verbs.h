#ifndef SLUICE_TOOLS_CTL_VERBS_H_
#define SLUICE_TOOLS_CTL_VERBS_H_

#include <cstdint>
#include <string>

#include "tools/ctl/client.h"

namespace sluice::ctl {

enum class Output { kText, kJson };

// Whom a verb asks and how it answers: results on stdout, everything else on
// stderr. Each verb returns what the program ends with.
struct Session {
  const Client& client;
  Output output = Output::kText;
};

struct CallsOptions {
  uint64_t offset = 0;
  uint64_t limit = 0;     // 0: all
  bool ids_only = false;  // one a line, or a JSON list of them
};
struct RegistrationsOptions {
  std::string aor;  // "alice@example.com" or a SIP URI; empty: everybody's
  uint64_t offset = 0;
  uint64_t limit = 1000;   // 0: all
  bool aors_only = false;  // one a line, or a JSON list of them
};
struct DrainOptions {
  bool off = false;
  bool wait = false;
  double deadline_s = 0;  // of wait; 0: none
};

ExitCode Status(const Session& session);
ExitCode Calls(const Session& session, const CallsOptions& options);
// `call_id` as it was shown: \xNN stands for an octet.
ExitCode Call(const Session& session, const std::string& call_id);
ExitCode Close(const Session& session, const std::string& call_id);
ExitCode Legs(const Session& session);
// kNotFound when an address-of-record was named and nobody is registered by it.
ExitCode Registrations(const Session& session,
                       const RegistrationsOptions& options);
ExitCode Trace(const Session& session, const std::string& call_id);
ExitCode Drain(const Session& session, const DrainOptions& options);
ExitCode Offload(const Session& session, bool on);
ExitCode Reload(const Session& session);
ExitCode Version(const Session& session);

// Says on stderr what went wrong (and, for programs, as JSON on stdout).
ExitCode Fail(const Session& session, const Reply& reply);
void Print(const std::string& text);
void PrintJson(const Json& json);
void SleepSeconds(double seconds);

// The first `limit` calls from `offset` on (0: all of them), page by page; the
// answer has the shape of one page.
Reply FetchCalls(const Client& client, uint64_t offset, uint64_t limit);

}  // namespace sluice::ctl

#endif  // SLUICE_TOOLS_CTL_VERBS_H_

#include "tools/ctl/verbs.h"

#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "control/http_api.h"
#include "control/json_view.h"
#include "tools/ctl/call_text.h"
#include "tools/ctl/sip_text.h"
#include "tools/ctl/text.h"

namespace sluice::ctl {
namespace {

constexpr double kDrainPollSeconds = 0.5;
// More than any machine has ports for: the end of a list that would have none.
constexpr uint64_t kListMax = 1'000'000;

std::string CallPath(const std::string& shown) {
  return "/v1/calls/" + control::PercentEncode(control::FromSafeText(shown));
}

std::string State(const Json& status) {
  if (IsTrue(At(status, "draining"))) return "draining: no new calls";
  if (!IsTrue(At(status, "ready"))) return "not ready";
  return "taking calls";
}

// Whether confirmed streams go past the sockets, and how many do; "" where
// there is no other path.
std::string PastSocketsText(const Json& numbers) {
  if (!At(numbers, "offload_on").is_number()) return "";
  if (Number(At(numbers, "offload_on")) == 0) {
    return "\npast the sockets: switched off by the operator\n";
  }
  std::string out = absl::StrCat(
      "\npast the sockets: ",
      Count(At(numbers, "offload_in_force"), "direction"), " in force, ",
      Count(At(numbers, "offload_joining")), " joining, ",
      Count(At(numbers, "offload_waiting")), " waiting\n");
  constexpr std::pair<const char*, const char*> kKept[] = {
      {"offload_no_way", "no next hop was known"},
      {"offload_no_device", "the way led by a device without the program"},
      {"offload_no_room", "a table of the program was full"},
      {"offload_no_rule", "the endpoints made no rule"}};
  for (const auto& [name, why] : kKept) {
    if (Number(At(numbers, name)) == 0) continue;
    absl::StrAppend(&out, "  kept on the sockets since the start, as ", why,
                    ": ", Count(At(numbers, name), "time"), "\n");
  }
  return out;
}

std::string StatusText(const Json& status) {
  const Json& ports = At(status, "ports");
  std::string out = absl::StrCat(
      "sluiced ", Shown(At(status, "version")), ", pid ",
      Decimal(At(status, "pid"), 0, ""), ", up ", Age(At(status, "uptime_s")),
      "\nengine    ", Shown(At(status, "engine")), " (",
      Shown(At(status, "engine_reason")), ")\nstate     ", State(status),
      "\ncalls     ", Count(At(status, "calls")), "\nsessions  ",
      Count(At(status, "sessions")), "\nflows     ", Count(At(status, "flows")),
      "\nsockets   ", Count(At(status, "sockets")));
  absl::StrAppend(&out, "\nports     ", Count(At(ports, "taken")), " taken, ",
                  Count(At(ports, "quarantined")), " resting, ",
                  Count(At(ports, "free")), " free\n");
  if (Number(At(status, "log_lines_dropped")) > 0) {
    absl::StrAppend(&out, "log       ", Count(At(status, "log_lines_dropped")),
                    " lines lost\n");
  }
  Table shards;
  shards.Column("SHARD");
  shards.Column("ENGINE");
  for (const char* title : {"SOCKETS", "OF", "LOAD"}) {
    shards.Column(title, Table::Align::kRight);
  }
  for (const Json& one : List(At(status, "shards"))) {
    const Json& load = At(one, "load");
    shards.Row(
        {Count(At(one, "shard")), Shown(At(one, "engine")),
         Count(At(one, "sockets")), Count(At(one, "sockets_max")),
         load.is_number() ? Decimal(Json(100 * Number(load)), 1, " %") : "-"});
  }
  Table interfaces;
  for (const char* title :
       {"INTERFACE", "ADDRESS", "ADVERTISED", "LATCH", "XDP", "PATH"}) {
    interfaces.Column(title);
  }
  interfaces.Column("PORTS TAKEN", Table::Align::kRight);
  interfaces.Column("RESTING", Table::Align::kRight);
  interfaces.Column("FREE", Table::Align::kRight);
  for (const Json& one : List(At(status, "interfaces"))) {
    interfaces.Row({Shown(At(one, "name")), Shown(At(one, "address")),
                    Shown(At(one, "advertise")), Shown(At(one, "latch")),
                    Shown(At(one, "xdp")), Shown(At(one, "path")),
                    Count(At(one, "ports", "taken")),
                    Count(At(one, "ports", "quarantined")),
                    Count(At(one, "ports", "free"))});
  }
  const Json& numbers = At(status, "fast_path");
  const bool off = At(numbers, "offload_on").is_number() &&
                   Number(At(numbers, "offload_on")) == 0;
  std::string paths;
  for (const Json& one : List(At(status, "interfaces"))) {
    if (Shown(At(one, "xdp")) == "off") continue;
    const std::string path = Shown(At(one, "path"));
    absl::StrAppend(&paths, "\n", Shown(At(one, "name")), ": media by ",
                    off && path != "sockets"
                        ? absl::StrCat("sockets, ", path, " is switched off")
                        : path,
                    ": ", Shown(At(one, "path_reason")), "\n");
    for (const Json& hint : List(At(one, "path_hints"))) {
      absl::StrAppend(&paths, "  ", Shown(hint), "\n");
    }
  }
  Table listeners;
  listeners.Column("LISTENER");
  listeners.Column("ADDRESS");
  for (const Json& one : List(At(status, "listeners"))) {
    listeners.Row({Shown(At(one, "kind")), Shown(At(one, "address"))});
  }
  return absl::StrCat(out, "\n", shards.ToString(), "\n", interfaces.ToString(),
                      paths, PastSocketsText(numbers), "\n",
                      listeners.ToString());
}

std::string CallsText(const Json& page) {
  Table table;
  table.Column("CALL-ID");
  for (const char* title : {"SHARD", "AGE", "SESSIONS", "SOCKETS", "PACKETS",
                            "BYTES", "LAST PACKET"}) {
    table.Column(title, Table::Align::kRight);
  }
  for (const Json& call : List(At(page, "calls"))) {
    table.Row({Shown(At(call, "call_id")), Count(At(call, "shard")),
               Age(At(call, "age_s")), Count(At(call, "sessions")),
               Count(At(call, "sockets")), Count(At(call, "packets")),
               Bytes(At(call, "bytes")),
               At(call, "last_packet_ago_s").is_null()
                   ? "never"
                   : Age(At(call, "last_packet_ago_s"))});
  }
  const double total = Number(At(page, "total"));
  if (total == 0) return "no calls\n";
  std::string out = table.ToString();
  if (static_cast<double>(table.rows()) < total) {
    absl::StrAppend(&out, Count(Json(table.rows())), " of ",
                    Count(At(page, "total")), " calls\n");
  }
  return out;
}

// The first `limit` entries of a list from `offset` on (0: all of them), page
// by page; the answer has the shape of one page. `path` ends in '?' or '&'.
Reply FetchList(const Client& client, const std::string& path, const char* list,
                uint64_t offset, uint64_t limit) {
  Reply all;
  if (limit == 0 || limit > kListMax) limit = kListMax;
  Json entries = Json::array();
  for (uint64_t at = offset;;) {
    const uint64_t page_limit =
        std::min<uint64_t>(limit - entries.size(), control::kCallsPerPageMax);
    Reply page =
        client.Get(absl::StrCat(path, "offset=", at, "&limit=", page_limit));
    if (page.code != kDone) return page;
    const Json& got = List(At(page.json, list));
    for (const Json& entry : got) entries.push_back(entry);
    at += got.size();
    // One that ended meanwhile moves the rest up: a short page is no end, an
    // empty one is.
    if (entries.size() >= limit || got.empty() ||
        static_cast<double>(at) >= Number(At(page.json, "total"))) {
      all.json = std::move(page.json);
      break;
    }
  }
  all.json["offset"] = offset;
  all.json["limit"] = entries.size();
  all.json[list] = std::move(entries);
  return all;
}

// The field `name` of each entry, each once in a row: one a line, or a list.
void PrintNames(const Session& session, const Json& entries, const char* name) {
  Json names = Json::array();
  for (const Json& entry : List(entries)) {
    if (names.empty() || names.back() != At(entry, name)) {
      names.push_back(At(entry, name));
    }
  }
  if (session.output == Output::kJson) return PrintJson(names);
  std::string lines;
  for (const Json& one : names) absl::StrAppend(&lines, Shown(one), "\n");
  Print(lines);
}

// Waits until the last call has ended.
ExitCode WaitForCalls(const Session& session, double deadline_s) {
  const Micros start = SystemClock::Now();
  std::optional<double> said;
  for (;;) {
    const Reply reply = session.client.Get("/v1/status");
    if (reply.code != kDone) return Fail(session, reply);
    const double left = Number(At(reply.json, "calls"));
    if (left != said) {
      std::fprintf(stderr, "%s left\n",
                   Count(At(reply.json, "calls"), "call").c_str());
      said = left;
    }
    if (left == 0) return kDone;
    const double waited =
        static_cast<double>((SystemClock::Now() - start).us()) / 1e6;
    if (deadline_s > 0 && waited >= deadline_s) {
      return Fail(
          session,
          {.code = kTimeout,
           .error = "calls are left after the deadline; still draining"});
    }
    SleepSeconds(deadline_s > 0
                     ? std::min(kDrainPollSeconds, deadline_s - waited)
                     : kDrainPollSeconds);
  }
}

}  // namespace

ExitCode Fail(const Session& session, const Reply& reply) {
  if (session.output == Output::kJson) PrintJson({{"error", reply.error}});
  std::fprintf(stderr, "sluicectl: %s\n", reply.error.c_str());
  return reply.code;
}

void Print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// 7-bit, so that no octet of a peer reaches the terminal by way of JSON.
void PrintJson(const Json& json) { Print(control::Dump(json)); }

void SleepSeconds(double seconds) {
  ::poll(nullptr, 0, std::max(0, static_cast<int>(seconds * 1000)));
}

Reply FetchCalls(const Client& client, uint64_t offset, uint64_t limit) {
  return FetchList(client, "/v1/calls?", "calls", offset, limit);
}

ExitCode Status(const Session& session) {
  const Reply reply = session.client.Get("/v1/status");
  if (reply.code != kDone) return Fail(session, reply);
  session.output == Output::kJson ? PrintJson(reply.json)
                                  : Print(StatusText(reply.json));
  return kDone;
}

ExitCode Calls(const Session& session, const CallsOptions& options) {
  const Reply reply = FetchCalls(session.client, options.offset, options.limit);
  if (reply.code != kDone) return Fail(session, reply);
  if (options.ids_only) {
    PrintNames(session, At(reply.json, "calls"), "call_id");
    return kDone;
  }
  session.output == Output::kJson ? PrintJson(reply.json)
                                  : Print(CallsText(reply.json));
  return kDone;
}

ExitCode Call(const Session& session, const std::string& call_id) {
  const Reply reply = session.client.Get(CallPath(call_id));
  if (reply.code != kDone) return Fail(session, reply);
  session.output == Output::kJson ? PrintJson(reply.json)
                                  : Print(CallText(reply.json));
  return kDone;
}

ExitCode Close(const Session& session, const std::string& call_id) {
  const Reply reply = session.client.Delete(CallPath(call_id));
  if (reply.code != kDone) return Fail(session, reply);
  if (session.output == Output::kJson) {
    PrintJson(reply.json);
  } else {
    Print(absl::StrCat("closed, ", Count(At(reply.json, "closed"), "session"),
                       " ended\n"));
  }
  return kDone;
}

ExitCode Legs(const Session& session) {
  const Reply reply = session.client.Get("/v1/legs");
  if (reply.code != kDone) return Fail(session, reply);
  session.output == Output::kJson ? PrintJson(reply.json)
                                  : Print(LegsText(reply.json));
  return kDone;
}

ExitCode Registrations(const Session& session,
                       const RegistrationsOptions& options) {
  // As it was shown, like a CALL-ID.
  const std::string aor = control::FromSafeText(options.aor);
  const Reply reply = FetchList(
      session.client,
      absl::StrCat("/v1/registrations?aor=", control::PercentEncode(aor), "&"),
      "registrations", options.offset, options.limit);
  if (reply.code != kDone) return Fail(session, reply);
  if (!aor.empty() && Number(At(reply.json, "total")) == 0) {
    return Fail(session,
                {.code = kNotFound,
                 .error = "nobody is registered as " + ShownText(options.aor)});
  }
  if (options.aors_only) {
    PrintNames(session, At(reply.json, "registrations"), "aor");
    return kDone;
  }
  session.output == Output::kJson ? PrintJson(reply.json)
                                  : Print(RegistrationsText(reply.json));
  return kDone;
}

ExitCode Trace(const Session& session, const std::string& call_id) {
  const Reply reply = session.client.Get(
      "/v1/trace/" + control::PercentEncode(control::FromSafeText(call_id)));
  if (reply.code != kDone) return Fail(session, reply);
  session.output == Output::kJson ? PrintJson(reply.json)
                                  : Print(TraceText(reply.json));
  return kDone;
}

ExitCode Drain(const Session& session, const DrainOptions& options) {
  const Reply reply =
      session.client.Post("/v1/drain", Json({{"on", !options.off}}));
  if (reply.code != kDone) return Fail(session, reply);
  if (options.wait && !options.off) {
    const ExitCode code = WaitForCalls(session, options.deadline_s);
    if (code != kDone) return code;
  }
  if (session.output == Output::kJson) {
    PrintJson(reply.json);
  } else if (options.off) {
    Print("taking new calls again\n");
  } else {
    Print(options.wait
              ? "drained: no calls left, new ones are refused\n"
              : "draining: new calls are refused, running ones stay\n");
  }
  return kDone;
}

ExitCode Offload(const Session& session, bool on) {
  const Reply reply = session.client.Post("/v1/offload", Json({{"on", on}}));
  if (reply.code != kDone) return Fail(session, reply);
  if (session.output == Output::kJson) {
    PrintJson(reply.json);
  } else {
    Print(on ? "confirmed streams go past the sockets again\n"
             : "all media goes by the sockets, until 'offload on' or a "
               "restart\n");
  }
  return kDone;
}

ExitCode Reload(const Session& session) {
  const Reply reply = session.client.Post("/v1/reload", Json::object());
  if (reply.code != kDone) return Fail(session, reply);
  if (session.output == Output::kJson) {
    PrintJson(reply.json);
    return kDone;
  }
  // Several lines, each safe by itself.
  std::string text;
  if (At(reply.json, "reloaded").is_string()) {
    text = control::FromSafeText(
        At(reply.json, "reloaded").get_ref<const std::string&>());
  }
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    Print(control::SafeText(text.substr(0, end)) + "\n");
    text.erase(0, end + 1);
  }
  return kDone;
}

ExitCode Version(const Session& session) {
  const Reply reply = session.client.Get("/v1/status");
  Json json = {{"sluicectl", SLUICE_VERSION}, {"sluiced", nullptr}};
  if (reply.code == kDone) json["sluiced"] = At(reply.json, "version");
  if (session.output == Output::kJson) {
    PrintJson(json);
  } else {
    Print("sluicectl " SLUICE_VERSION "\n");
    if (reply.code == kDone) {
      Print(absl::StrCat("sluiced ", Shown(json["sluiced"]), "\n"));
    }
  }
  if (reply.code == kDone) return kDone;
  std::fprintf(stderr, "sluicectl: %s\n", reply.error.c_str());
  return reply.code;
}

}  // namespace sluice::ctl

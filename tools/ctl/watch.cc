#include "tools/ctl/watch.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "tools/ctl/text.h"

namespace sluice::ctl {
namespace {

// More calls than this are not asked for at every picture: the busiest are
// then those of the oldest ones, and the picture says so.
constexpr uint64_t kTopCallsMax = 10'000;
constexpr size_t kTopRowsDefault = 20;

// The counters of one shard by name, drops as "drop reason".
std::vector<std::pair<std::string, double>> Flatten(const Json& shard) {
  std::vector<std::pair<std::string, double>> numbers;
  if (!shard.is_object()) return numbers;
  for (const auto& [name, value] : shard.items()) {
    if (name == "drops" && value.is_object()) {
      for (const auto& [reason, count] : value.items()) {
        numbers.emplace_back("drop " + reason, Number(count));
      }
    } else if (name != "shard") {
      numbers.emplace_back(name, Number(value));
    }
  }
  return numbers;
}

double DropsOf(const Json& shard) {
  double sum = 0;
  const Json& drops = At(shard, "drops");
  if (!drops.is_object()) return 0;
  for (const auto& [reason, count] : drops.items()) sum += Number(count);
  return sum;
}

// What passed between two answers, by the server's clock.
double Elapsed(const Json& before, const Json& now) {
  return Number(At(now, "time_s")) - Number(At(before, "time_s"));
}

double PerSecond(double before, double now, double elapsed_s) {
  return elapsed_s > 0 && now >= before ? (now - before) / elapsed_s : 0;
}

// `before`: null for no rates.
std::string StatsText(const Json& before, const Json& now) {
  const Json& shards = List(At(now, "shards"));
  if (shards.empty()) return "no shards\n";
  const double elapsed = Elapsed(before, now);
  Table table;
  table.Column("COUNTER");
  for (const Json& shard : shards) {
    table.Column("SHARD " + Count(At(shard, "shard")), Table::Align::kRight);
  }
  table.Column("ALL", Table::Align::kRight);
  if (!before.is_null()) table.Column("A SECOND", Table::Align::kRight);

  std::vector<std::vector<std::pair<std::string, double>>> columns;
  for (const Json& shard : shards) columns.push_back(Flatten(shard));
  std::vector<std::vector<std::pair<std::string, double>>> old;
  for (const Json& shard : List(At(before, "shards"))) {
    old.push_back(Flatten(shard));
  }
  for (size_t row = 0; row < columns[0].size(); ++row) {
    std::vector<std::string> cells = {ShownText(columns[0][row].first)};
    double sum = 0, old_sum = 0;
    for (const auto& column : columns) {
      const double value = row < column.size() ? column[row].second : 0;
      cells.push_back(Count(Json(value)));
      sum += value;
    }
    for (const auto& column : old) {
      old_sum += row < column.size() ? column[row].second : 0;
    }
    cells.push_back(Count(Json(sum)));
    if (!before.is_null()) {
      cells.push_back(Rate(PerSecond(old_sum, sum, elapsed)));
    }
    table.Row(std::move(cells));
  }
  return table.ToString();
}

struct Sample {
  Json stats, status, calls;
};

Reply Take(const Client& client, Sample* sample) {
  Reply reply = client.Get("/v1/stats");
  if (reply.code != kDone) return reply;
  sample->stats = std::move(reply.json);
  reply = client.Get("/v1/status");
  if (reply.code != kDone) return reply;
  sample->status = std::move(reply.json);
  reply = FetchCalls(client, 0, kTopCallsMax);
  if (reply.code != kDone) return reply;
  sample->calls = std::move(reply.json);
  return Reply();
}

struct Busy {
  const Json* call;
  double packets_per_s, bytes_per_s;
};

// All calls, the busiest first.
std::vector<Busy> Busiest(const Json& before, const Json& now) {
  absl::flat_hash_map<std::string, std::pair<double, double>> old;
  for (const Json& call : List(At(before, "calls"))) {
    old[Shown(At(call, "call_id"))] = {Number(At(call, "packets")),
                                       Number(At(call, "bytes"))};
  }
  const double elapsed = Elapsed(before, now);
  std::vector<Busy> calls;
  for (const Json& call : List(At(now, "calls"))) {
    if (!call.is_object()) continue;
    // A call that is new since began at 0.
    const auto [packets, bytes] = old[Shown(At(call, "call_id"))];
    calls.push_back({&call,
                     PerSecond(packets, Number(At(call, "packets")), elapsed),
                     PerSecond(bytes, Number(At(call, "bytes")), elapsed)});
  }
  std::stable_sort(calls.begin(), calls.end(),
                   [](const Busy& a, const Busy& b) {
                     return a.packets_per_s > b.packets_per_s;
                   });
  return calls;
}

struct ShardRates {
  std::string name;
  double in, out, bytes_in, drops;
};

std::vector<ShardRates> RatesOf(const Json& before, const Json& now) {
  const double elapsed = Elapsed(before, now);
  const Json& old_shards = List(At(before, "shards"));
  std::vector<ShardRates> rates;
  for (const Json& shard : List(At(now, "shards"))) {
    const Json none;
    const Json& old =
        rates.size() < old_shards.size() ? old_shards[rates.size()] : none;
    const auto rate = [&](const char* name) {
      return PerSecond(Number(At(old, name)), Number(At(shard, name)), elapsed);
    };
    rates.push_back(
        {.name = Count(At(shard, "shard")),
         .in = rate("packets_in"),
         .out = rate("packets_out"),
         .bytes_in = rate("bytes_in"),
         .drops = PerSecond(DropsOf(old), DropsOf(shard), elapsed)});
  }
  return rates;
}

std::string TopText(const Sample& before, const Sample& now, size_t rows) {
  std::string out = absl::StrCat(
      "sluiced ", Shown(At(now.status, "version")), ", up ",
      Age(At(now.status, "uptime_s")), ", ",
      Count(At(now.status, "calls"), "call"), ", ",
      Count(At(now.status, "sessions"), "session"),
      IsTrue(At(now.status, "draining")) ? ", draining" : "", "\n\n");
  Table shards;
  shards.Column("SHARD");
  for (const char* title : {"PACKETS IN/S", "PACKETS OUT/S", "IN", "DROPS/S"}) {
    shards.Column(title, Table::Align::kRight);
  }
  for (const ShardRates& rate : RatesOf(before.stats, now.stats)) {
    shards.Row({rate.name, Rate(rate.in), Rate(rate.out),
                Bytes(Json(rate.bytes_in)) + "/s", Rate(rate.drops)});
  }
  Table calls;
  calls.Column("CALL-ID");
  for (const char* title : {"SHARD", "AGE", "PACKETS/S", "RATE", "PACKETS"}) {
    calls.Column(title, Table::Align::kRight);
  }
  for (const Busy& busy : Busiest(before.calls, now.calls)) {
    if (calls.rows() >= rows) break;
    calls.Row({Shown(At(*busy.call, "call_id")), Count(At(*busy.call, "shard")),
               Age(At(*busy.call, "age_s")), Rate(busy.packets_per_s),
               Bytes(Json(busy.bytes_per_s)) + "/s",
               Count(At(*busy.call, "packets"))});
  }
  absl::StrAppend(&out, shards.ToString(), "\n");
  if (Number(At(now.calls, "total")) > static_cast<double>(kTopCallsMax)) {
    absl::StrAppend(&out, "of the oldest ", kTopCallsMax, " calls:\n");
  }
  return out + (calls.rows() == 0 ? "no calls\n" : calls.ToString());
}

Json TopJson(const Sample& before, const Sample& now, size_t rows) {
  Json shards = Json::array(), calls = Json::array();
  for (const ShardRates& rate : RatesOf(before.stats, now.stats)) {
    shards.push_back({{"shard", shards.size()},
                      {"packets_in_per_s", rate.in},
                      {"packets_out_per_s", rate.out},
                      {"bytes_in_per_s", rate.bytes_in},
                      {"drops_per_s", rate.drops}});
  }
  for (const Busy& busy : Busiest(before.calls, now.calls)) {
    if (calls.size() >= rows) break;
    Json call = *busy.call;
    call["packets_per_s"] = busy.packets_per_s;
    call["bytes_per_s"] = busy.bytes_per_s;
    calls.push_back(std::move(call));
  }
  return {{"time_s", At(now.stats, "time_s")},
          {"calls", At(now.status, "calls")},
          {"sessions", At(now.status, "sessions")},
          {"draining", At(now.status, "draining")},
          {"shards", std::move(shards)},
          {"busiest", std::move(calls)}};
}

// How many calls fit below `used` other lines.
size_t RowsThatFit(size_t used) {
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_row == 0) {
    return kTopRowsDefault;
  }
  return window.ws_row > used ? window.ws_row - used : 1;
}

// On a terminal: from the top left, over the last picture.
void Draw(const std::string& picture, bool first) {
  if (::isatty(STDOUT_FILENO) != 0) {
    Print("\x1b[H\x1b[2J" + picture);
  } else {
    Print(first ? picture : "\n" + picture);
  }
}

}  // namespace

ExitCode Stats(const Session& session) {
  const Reply reply = session.client.Get("/v1/stats");
  if (reply.code != kDone) return Fail(session, reply);
  session.output == Output::kJson ? PrintJson(reply.json)
                                  : Print(StatsText(Json(), reply.json));
  return kDone;
}

ExitCode WatchStats(const Session& session, const WatchOptions& options) {
  Reply before = session.client.Get("/v1/stats");
  if (before.code != kDone) return Fail(session, before);
  for (uint64_t i = 0; options.count == 0 || i < options.count; ++i) {
    SleepSeconds(options.interval_s);
    Reply now = session.client.Get("/v1/stats");
    if (now.code != kDone) return Fail(session, now);
    if (session.output == Output::kJson) {
      PrintJson(now.json);
    } else {
      Draw(StatsText(before.json, now.json), i == 0);
    }
    before = std::move(now);
  }
  return kDone;
}

ExitCode Top(const Session& session, const WatchOptions& options) {
  Sample before;
  if (const Reply reply = Take(session.client, &before); reply.code != kDone) {
    return Fail(session, reply);
  }
  for (uint64_t i = 0; options.count == 0 || i < options.count; ++i) {
    SleepSeconds(options.interval_s);
    Sample now;
    const Reply reply = Take(session.client, &now);
    if (reply.code != kDone) return Fail(session, reply);
    // Head, empty lines, two rows of titles and the line of the prompt.
    const size_t rows = RowsThatFit(6 + List(At(now.stats, "shards")).size());
    if (session.output == Output::kJson) {
      PrintJson(TopJson(before, now, rows));
    } else {
      Draw(TopText(before, now, rows), i == 0);
    }
    before = std::move(now);
  }
  return kDone;
}

}  // namespace sluice::ctl

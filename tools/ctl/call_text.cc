#include "tools/ctl/call_text.h"

#include "absl/strings/str_cat.h"
#include "tools/ctl/text.h"

namespace sluice::ctl {
namespace {

// "wrong_source 812, not_rtp 3"; "" when nothing was dropped.
std::string Drops(const Json& drops) {
  std::string out;
  if (!drops.is_object()) return out;
  for (const auto& [reason, count] : drops.items()) {
    absl::StrAppend(&out, out.empty() ? "" : ", ", ShownText(reason), " ",
                    Count(count));
  }
  return out;
}

std::string Latch(const Json& side) {
  if (At(side, "latched").is_null()) return "-";
  return absl::StrCat(Shown(At(side, "latched_by")),
                      IsTrue(At(side, "confirmed")) ? "" : " (unconfirmed)");
}

// What is worth a line below the tables: drops, and a word on missing audio.
std::string Notes(const std::string& name, const Json& side) {
  std::string notes;
  const std::string drops = Drops(At(side, "drops"));
  if (!drops.empty()) {
    absl::StrAppend(&notes, "  ", name, ": dropped ", drops, "\n");
  }
  if (At(side, "hint").is_string()) {
    absl::StrAppend(&notes, "  ", name, ": no audio? ", Shown(At(side, "hint")),
                    "\n");
  }
  return notes;
}

// Two tables, since one would be wider than most terminals.
std::string SessionText(const Json& session) {
  Table addresses, traffic;
  for (const char* title :
       {"FLOW", "SIDE", "LOCAL PORT", "SDP TARGET", "LATCHED TO", "BECAUSE"}) {
    addresses.Column(title);
  }
  traffic.Column("FLOW");
  traffic.Column("SIDE");
  for (const char* title :
       {"PACKETS IN", "BYTES IN", "PACKETS OUT", "BYTES OUT", "LOSS", "JITTER",
        "RTT", "MOS", "LAST IN"}) {
    traffic.Column(title, Table::Align::kRight);
  }
  std::string notes;
  for (const Json& flow : List(At(session, "flows"))) {
    const std::string name =
        absl::StrCat(Shown(At(flow, "medium")), " ", Shown(At(flow, "kind")));
    for (const char* which : {"from", "to"}) {
      const Json& side = At(flow, "sides", which);
      const Json& quality = At(side, "quality");
      const Json& last = At(side, "last_packet_ago_s");
      addresses.Row(
          {name, which, Shown(At(side, "local")),
           At(side, "target").is_null() ? "on hold" : Shown(At(side, "target")),
           Shown(At(side, "latched")), Latch(side)});
      traffic.Row({name, which, Count(At(side, "packets_in")),
                   Bytes(At(side, "bytes_in")), Count(At(side, "packets_out")),
                   Bytes(At(side, "bytes_out")),
                   Decimal(At(quality, "loss_percent"), 1, " %"),
                   Decimal(At(quality, "jitter_ms"), 1, " ms"),
                   Decimal(At(quality, "rtt_ms"), 1, " ms"),
                   Decimal(At(quality, "mos"), 1, ""),
                   last.is_null() ? "never" : Age(last) + " ago"});
      notes += Notes(absl::StrCat(name, " ", which), side);
    }
  }
  if (addresses.rows() == 0) return "  no flows\n";
  return addresses.ToString("  ") + "\n" + traffic.ToString("  ") +
         (notes.empty() ? "" : "\n" + notes);
}

}  // namespace

std::string CallText(const Json& call) {
  std::string out = absl::StrCat(
      "call ", Shown(At(call, "call_id")), "\n  from ",
      Shown(At(call, "uri_from")), "\n  to   ", Shown(At(call, "uri_to")),
      "\n  shard ", Count(At(call, "shard")), ", age ", Age(At(call, "age_s")),
      ", ", Count(At(call, "sockets"), "socket"), "\n");
  for (const Json& session : List(At(call, "sessions"))) {
    const Json& last = At(session, "last_packet_ago_s");
    absl::StrAppend(&out, "\nsession ", Decimal(At(session, "id"), 0, ""),
                    ", cseq ", Decimal(At(session, "cseq"), 0, ""), ", age ",
                    Age(At(session, "age_s")), ", last packet ",
                    last.is_null() ? "never" : Age(last) + " ago",
                    "\n  from-id ", Shown(At(session, "id_from")),
                    "\n  to-id   ", Shown(At(session, "id_to")), "\n",
                    SessionText(session));
  }
  if (List(At(call, "sessions")).empty()) {
    absl::StrAppend(&out, "\nno session: the offer has not been answered\n");
  }
  return out;
}

}  // namespace sluice::ctl

"""From the runs of bench/compare-sip to ratios, tables and budgets."""

from compare_report import head, remarks, spread, three, verdicts

OURS = "sluiced"
FAILED_MAX = 0.001

# name -> (heading, from sluiceload's JSON)
FIGURES = {
    "messages": ("messages/s", lambda r: r["messages_per_s"]),
    "cpu_us": ("CPU us/message",
               lambda r: r.get("proxy", {}).get("cpu_us_per_message")),
    "p50_us": ("p50 us", lambda r: r["answer_us"]["p50"]),
    "p99_us": ("p99 us", lambda r: r["answer_us"]["p99"]),
    "failed": ("failed", lambda r: r["failed_ratio"]),
}

# What specs and issue ask for, of the median of sluiced's CPU time a message at
# the highest rate: (case, against whom, at most so many times theirs).
BUDGETS = [(case, other, bound)
           for other, bound in (("kamailio", 0.75), ("perl", 1 / 30))
           for case in ("options", "call", "register")]


def limit(result: dict) -> str | None:
    """Who kept a run from going; None: it went."""
    # What the generator lost or could not begin tells nothing of the server.
    if result["started_per_s"] < 0.98 * result["rate_asked_per_s"] or \
            result["generator"]["receive_drops"]:
        return "generator"
    return "server" if result["failed_ratio"] > FAILED_MAX else None


def went(result: dict) -> bool:
    return limit(result) is None


def figure(result: dict, name: str):
    return None if "error" in result else FIGURES[name][1](result)


def paired(runs: list[dict], case: str, method: str, name: str, target: str,
           other: str) -> list[float]:
    """The ratio of each round in which both were measured."""
    def by_round(wanted):
        return {r["round"]: figure(r["result"], name) for r in runs
                if (r["case"], r["method"], r["target"]) ==
                (case, method, wanted)}
    ours, theirs = by_round(target), by_round(other)
    return [ours[i] / theirs[i] for i in ours if ours[i] and theirs.get(i)]


def summary(runs: list[dict]) -> list[dict]:
    groups = {}
    for run in runs:
        groups.setdefault((run["case"], run["method"], run["target"]),
                          []).append(run)
    # Together what is compared; the order is that of measuring otherwise.
    places = list(dict.fromkeys((c, m) for c, m, _ in groups))
    rows = []
    for (case, method, target), own in sorted(
            groups.items(), key=lambda g: places.index(g[0][:2])):
        row = {"case": case, "method": method, "target": target,
               "runs": len(own),
               "errors": [r["result"]["error"] for r in own
                          if "error" in r["result"]],
               "figures": {}, "sluiced_to_it": {}, "notes": []}
        for name in FIGURES:
            values = [v for r in own
                      if (v := figure(r["result"], name)) is not None]
            if values:
                row["figures"][name] = spread(values)
        for name in ("messages", "cpu_us"):
            ratios = paired(runs, case, method, name, OURS, target)
            if ratios and target not in (OURS, "self"):
                row["sluiced_to_it"][name] = spread(ratios)
        row["notes"] = notes(own)
        rows.append(row)
    return rows


def notes(own: list[dict]) -> list[str]:
    """What a reader must know before believing a row."""
    good = [r["result"] for r in own if "error" not in r["result"]]
    found = []
    worst = max((r["failed_ratio"] for r in good), default=0)
    if worst > FAILED_MAX:
        found.append(f"failed up to {100 * worst:.2f} %")
    for key in ("retransmissions", "unexpected", "foreign", "malformed"):
        total = sum(r["whole_run"][key] for r in good)
        if total:
            found.append(f"{total} messages {key}")
    limits = [r.get("limit", "server") for r in good]
    ours = sum(1 for who in limits if who != "server")
    if ours:
        found.append(f"in {ours} of {len(good)} rounds it was not the server "
                     "that set the highest rate")
    doubts = sorted({d for r in good for d in r["generator"]["doubts"]})
    if doubts:
        number = sum(1 for r in good if r["generator"]["doubts"])
        found.append(f"generator in doubt in {number} of {len(good)} runs: "
                     + doubts[0])
    return found


def budgets(runs: list[dict]) -> list[dict]:
    """Each budget with its figure: met, missed, failed or not measured."""
    found = []
    for case, other, bound in BUDGETS:
        asked = {r["target"] for r in runs if r["case"] == case}
        ratios = paired(runs, case, "highest", "cpu_us", OURS, other)
        row = {"budget": f"CPU a message, {case}, to {other} <= {bound:.3g}",
               "verdict": "FAILED" if {OURS, other} <= asked
               else "not measured"}
        if ratios:
            row["ratio"] = spread(ratios)
            row["verdict"] = "met" if row["ratio"]["median"] <= bound \
                else "MISSED"
        found.append(row)
    return found


def text(found: dict) -> str:
    out = head(found["machine"])
    last = None
    for row in found["summary"]:
        if (row["case"], row["method"]) != last:
            last = (row["case"], row["method"])
            out += ["", f"{row['case']}, {row['method']}",
                    f"  {'':9} {'messages/s':>24} {'sluiced to it':>20} "
                    f"{'CPU us/message':>23} {'sluiced to it':>23} "
                    f"{'p50 us':>17} {'p99 us':>20}"]
        figures, ratios = row["figures"], row["sluiced_to_it"]
        out.append(f"  {row['target']:9} "
                   f"{three(figures.get('messages')):>24} "
                   f"{three(ratios.get('messages'), '%.2f'):>20} "
                   f"{three(figures.get('cpu_us'), '%.2f'):>23} "
                   f"{three(ratios.get('cpu_us'), '%.3f'):>23} "
                   f"{three(figures.get('p50_us')):>17} "
                   f"{three(figures.get('p99_us')):>20}")
        out += remarks(row)
    out += verdicts(", at the highest rate", found["budgets"],
                    "{:.3f}".format)
    return "\n".join(out)


def one_line(result: dict) -> str:
    if "error" in result:
        return "FAILED: " + result["error"].splitlines()[-1][:100]
    cpu = figure(result, "cpu_us")
    return (f"{figure(result, 'messages'):9.0f}/s "
            f"{f'{cpu:7.2f} us' if cpu is not None else '          '} "
            f"p50 {figure(result, 'p50_us'):.0f} "
            f"p99 {figure(result, 'p99_us'):.0f} us "
            f"failed {100 * figure(result, 'failed'):.3f} %")

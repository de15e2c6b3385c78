"""From the runs of bench/compare to ratios, tables and budgets."""

import statistics

REFERENCE = "rtpengine"
LOSS_MAX = 0.001
# Above this share of what the generator can do alone, it is part of the result.
INSTRUMENT_END = 0.8

# name -> (heading, from sluiceload's JSON)
FIGURES = {
    "pps": ("packets/s", lambda r: r["received_pps"]),
    "cpu_ns": ("CPU ns/packet",
               lambda r: r.get("relay", {}).get("cpu_ns_per_packet")),
    "p50_us": ("p50 us", lambda r: r["delay_us"]["p50"]),
    "p99_us": ("p99 us", lambda r: r["delay_us"]["p99"]),
    "loss": ("loss", lambda r: r["loss_ratio"]),
}

# What specs and issue ask for: (words, method, sessions (None: the ordinary
# number), figure, target, reference, "<=" or ">=", bound).
BUDGETS = [
    ("packets/s, io_uring to rtpengine", "window", None,
     "pps", "sluiced-uring", "rtpengine", ">=", 1.8),
    ("packets/s, io_uring to the bare forwarder on it", "window", None,
     "pps", "sluiced-uring", "floor-uring", ">=", 0.9),
    ("packets/s, io_uring to Perl's helper", "window", 100,
     "pps", "sluiced-uring", "perl", ">=", 2.5),
    ("CPU a packet paced, io_uring to rtpengine", "paced", None,
     "cpu_ns", "sluiced-uring", "rtpengine", "<=", 0.75),
    ("CPU a packet paced, batch_wait_us = 200, to rtpengine", "paced", None,
     "cpu_ns", "sluiced-uring-wait200", "rtpengine", "<=", 0.55),
    ("delay p99 paced, io_uring to rtpengine", "paced", None,
     "p99_us", "sluiced-uring", "rtpengine", "<=", 1.0),
]


def spread(values: list[float]) -> dict:
    return {"min": min(values), "median": statistics.median(values),
            "max": max(values), "n": len(values)}


def figure(result: dict, name: str):
    return None if "error" in result else FIGURES[name][1](result)


def paired(runs: list[dict], case: str, name: str, target: str,
           reference: str) -> list[float]:
    """The ratio of each round in which both were measured."""
    def by_round(wanted):
        return {r["round"]: figure(r["result"], name) for r in runs
                if r["case"] == case and r["target"] == wanted}
    ours, theirs = by_round(target), by_round(reference)
    return [ours[i] / theirs[i] for i in ours
            if ours[i] is not None and theirs.get(i)]


def groups(runs: list[dict]) -> dict:
    """(case, target) in the order of measuring -> its runs."""
    found = {}
    for run in runs:
        found.setdefault((run["case"], run["target"]), []).append(run)
    return found


def summary(runs: list[dict]) -> list[dict]:
    rows = []
    for (case, target), own in groups(runs).items():
        row = {"case": case, "target": target, "runs": len(own),
               "errors": [r["result"]["error"] for r in own
                          if "error" in r["result"]],
               "figures": {}, "ratio_to_rtpengine": {}, "notes": []}
        for name in FIGURES:
            values = [v for r in own
                      if (v := figure(r["result"], name)) is not None]
            if values:
                row["figures"][name] = spread(values)
            ratios = paired(runs, case, name, target, REFERENCE)
            if ratios and name != "loss":
                row["ratio_to_rtpengine"][name] = spread(ratios)
        row["notes"] = notes(runs, case, target, own)
        rows.append(row)
    return rows


def notes(runs: list[dict], case: str, target: str,
          own: list[dict]) -> list[str]:
    """What a reader must know before believing a row."""
    found = []
    good = [r["result"] for r in own if "error" not in r["result"]]
    for key, words in (("faults", "packets at fault"),
                       ("silent_streams", "streams of which nothing arrived")):
        total = sum(r[key] for r in good)
        if total:
            found.append(f"{total} {words}")
    worst = max((r["loss_ratio"] for r in good), default=0)
    if worst > LOSS_MAX:
        found.append(f"lost up to {100 * worst:.2f} %: its packets/s do not "
                     "count")
    doubts = {d for r in good for d in r["generator"]["doubts"]}
    if doubts and target != "self":
        number = sum(1 for r in good if r["generator"]["doubts"])
        found.append(f"generator in doubt in {number} of {len(good)} runs: "
                     + sorted(doubts)[0])
    ratios = paired(runs, case, "pps", target, "self")
    if case.startswith("window") and target != "self" and ratios and \
            statistics.median(ratios) > INSTRUMENT_END:
        found.append(f"at {100 * statistics.median(ratios):.0f} % of what the "
                     "generator can do alone")
    return found


def budgets(runs: list[dict]) -> list[dict]:
    """Each budget with its figure: met, missed, or not measured."""
    found = []
    for words, method, sessions, name, target, other, sign, bound in BUDGETS:
        cases = [r["case"] for r in runs
                 if r["method"] == method and r["target"] == target
                 and (sessions is None or r["sessions"] == sessions)]
        cases = [c for c in cases
                 if any(r["case"] == c and r["target"] == other for r in runs)]
        ratios = paired(runs, cases[0], name, target, other) if cases else []
        row = {"budget": f"{words} {sign} {bound}", "verdict": "not measured"}
        if ratios:
            row["ratio"] = spread(ratios)
            median = row["ratio"]["median"]
            met = median >= bound if sign == ">=" else median <= bound
            lossy = name == "pps" and any(
                figure(r["result"], "loss") > LOSS_MAX for r in runs
                if r["case"] == cases[0] and r["target"] == target
                and "error" not in r["result"])
            row["verdict"] = "met" if met and not lossy else "MISSED"
            doubtful = any(r["result"]["generator"]["doubts"] for r in runs
                           if r["case"] == cases[0]
                           and r["target"] in (target, other)
                           and "error" not in r["result"])
            if lossy:
                row["why"] = f"loss above {100 * LOSS_MAX} %"
            elif doubtful:
                row["why"] = "the generator was in doubt, see the notes"
        elif cases:
            row["verdict"] = "FAILED"
            row["why"] = f"{target} or {other} has no figure"
        found.append(row)
    return found


def three(s: dict | None, form: str = "%.0f") -> str:
    if not s:
        return "-"
    return " / ".join(form % s[k] for k in ("min", "median", "max"))


def head(machine: dict) -> list[str]:
    return [f"{machine['cpu']}, {machine['cores']} cores, "
            f"Linux {machine['kernel']}, commit {machine['commit']}",
            "Every figure: min / median / max of the rounds. Ratios are formed "
            "within a round."]


def remarks(row: dict) -> list[str]:
    """What stands below a row."""
    failed = [f"    FAILED in {len(row['errors'])} of {row['runs']} runs: "
              f"{row['errors'][0]}"] if row["errors"] else []
    return failed + [f"    note: {note}" for note in row["notes"]]


def verdicts(of: str, rows: list[dict], form) -> list[str]:
    """The budgets; `form` writes a ratio."""
    out = ["", f"budgets (median of the rounds' ratios{of})"]
    for b in rows:
        ratio = f" {form(b['ratio']['median'])}" if "ratio" in b else ""
        why = f" ({b['why']})" if "why" in b else ""
        out.append(f"  {b['verdict']:12} {b['budget']}:{ratio}{why}")
    return out


def text(report: dict) -> str:
    out = head(report["machine"])
    last = None
    for row in report["summary"]:
        if row["case"] != last:
            last = row["case"]
            out += ["", last,
                    f"  {'':22} {'packets/s':>27} {'to rtpengine':>20} "
                    f"{'CPU ns/packet':>23} {'to rtpengine':>20} "
                    f"{'p50 us':>19} {'p99 us':>22} {'loss %':>7}"]
        figures, ratios = row["figures"], row["ratio_to_rtpengine"]
        loss = figures.get("loss")
        out.append(
            f"  {row['target']:22} {three(figures.get('pps')):>27} "
            f"{three(ratios.get('pps'), '%.2f'):>20} "
            f"{three(figures.get('cpu_ns')):>23} "
            f"{three(ratios.get('cpu_ns'), '%.2f'):>20} "
            f"{three(figures.get('p50_us')):>19} "
            f"{three(figures.get('p99_us')):>22} "
            f"{'%.3f' % (100 * loss['max']) if loss else '-':>7}")
        out += remarks(row)
    out += verdicts("", report["budgets"], "{:.2f}".format)
    return "\n".join(out)


def one_line(result: dict) -> str:
    if "error" in result:
        return "FAILED: " + result["error"].splitlines()[-1][:100]
    cpu = figure(result, "cpu_ns")
    return (f"{figure(result, 'pps'):9.0f}/s "
            f"{f'{cpu:7.0f} ns' if cpu is not None else '          '} "
            f"p50 {figure(result, 'p50_us'):.0f} "
            f"p99 {figure(result, 'p99_us'):.0f} us "
            f"loss {100 * figure(result, 'loss'):.3f} %")

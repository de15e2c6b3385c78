"""From the runs of bench/compare-xdp to ratios, tables and budgets."""

import statistics

from compare_report import head, remarks, spread, three, verdicts

SELF = "self"
LOSS_MAX = 0.01
# Of its core, while it is measured, with something else.
OTHERS_MAX = 0.05
# Above this share of what the generator can do alone, it is part of the result.
INSTRUMENT_END = 0.8
BUDGET_FLOWS = 1000

# name -> heading
FIGURES = {"sent_pps": "sent/s", "out_pps": "packets/s out",
           "cpu_ns": "CPU ns/packet", "core_busy": "core busy %",
           "loss": "loss %"}

# (target, reference, at most so much of its CPU a packet), both paced.
BUDGETS = [("sluiced-native", "sluiced-uring", 1 / 12),
           ("sluiced-native", "rtpengine", 1 / 20),
           ("sluiced-tc", "sluiced-uring", 1 / 3)]


def result(flows: int, rate: int, sent: dict, before: dict, after: dict,
           used: dict, idle: dict) -> dict:
    """Of one run: what the generator says, the sink's counts around it, what
    the core spent meanwhile, and without any traffic (Meter.between)."""
    received = after["received"] - before["received"]
    if not sent["sent"] or sent["seconds"] <= 0:
        return {"error": "the generator sent nothing"}
    if received <= 0:
        return {"error": f"of {sent['sent']} packets none arrived"}
    # Packets of the last moment arrive after it; all were sent within it.
    cpu_ns = used["cpu_ns"] - \
        idle["cpu_ns"] * used["seconds"] / idle["seconds"]
    return {"asked_pps": rate, "sent": sent["sent"], "received": received,
            "seconds": sent["seconds"],
            "sent_pps": sent["sent"] / sent["seconds"],
            "out_pps": received / sent["seconds"],
            "loss": 1 - received / sent["sent"],
            "cpu_ns": cpu_ns / received,
            "idle_busy": idle["threads_busy"],
            "core_busy": used["core_busy"],
            "others_busy": max(0, used["core_busy"] - used["threads_busy"]),
            "late": sent["late"],
            # Each flow's turn comes by chance.
            "silent": after["silent"] if received > 20 * flows else 0,
            **{key: after[key] - before[key]
               for key in ("misrouted", "out_of_order", "elsewhere")}}


def figure(run: dict, name: str):
    return run["result"].get(name)


def by_round(runs: list[dict], flows: int, method: str, target: str,
             name: str) -> dict:
    return {r["round"]: value for r in runs
            if (r["flows"], r["method"], r["target"]) == (flows, method, target)
            and (value := figure(r, name)) is not None}


def paired(runs: list[dict], flows: int, method: str, name: str, target: str,
           reference: str) -> list[float]:
    """The ratio of each round in which both were measured."""
    ours = by_round(runs, flows, method, target, name)
    theirs = by_round(runs, flows, method, reference, name)
    return [ours[i] / theirs[i] for i in ours if theirs.get(i)]


def summary(runs: list[dict]) -> list[dict]:
    rows, seen = [], []
    for run in runs:
        key = (run["flows"], run["method"], run["target"])
        if key not in seen:
            seen.append(key)
    for flows, method, target in sorted(
            seen, key=lambda k: (k[0], k[1] != "paced")):
        own = [r for r in runs
               if (r["flows"], r["method"], r["target"]) ==
               (flows, method, target)]
        row = {"flows": flows, "method": method, "target": target,
               "runs": len(own),
               "errors": [r["result"]["error"] for r in own
                          if "error" in r["result"]],
               "figures": {}, "cpu_to": {}, "notes": []}
        for name in FIGURES:
            values = [v for r in own if (v := figure(r, name)) is not None]
            if values:
                row["figures"][name] = spread(values)
        for reference in ("sluiced-uring", "rtpengine"):
            ratios = paired(runs, flows, method, "cpu_ns", target, reference)
            if ratios:
                row["cpu_to"][reference] = spread(ratios)
        row["notes"] = notes(runs, flows, method, target, own)
        rows.append(row)
    return rows


def notes(runs: list[dict], flows: int, method: str, target: str,
          own: list[dict]) -> list[str]:
    """What a reader must know before believing a row."""
    found = []
    good = [r["result"] for r in own if "error" not in r["result"]]
    if not good:
        return found
    for key, words in (("misrouted", "packets came out wrong"),
                       ("out_of_order", "packets came out of order"),
                       ("silent", "flows of which nothing arrived")):
        total = sum(r[key] for r in good)
        if total:
            found.append(f"{total} {words}")
    elsewhere = sum(r["elsewhere"] for r in good)
    if elsewhere:
        share = 100 * elsewhere / sum(r["received"] for r in good)
        found.append(f"{share:.2f} % arrived on another core, whose time is "
                     "not counted")
    others = max(r["others_busy"] for r in good)
    if others > OTHERS_MAX:
        found.append(f"up to {100 * others:.0f} % of the core went to "
                     "something else")
    if method == "paced":
        worst = max(r["loss"] for r in good)
        if worst > LOSS_MAX:
            found.append(f"lost up to {100 * worst:.1f} % of a rate that it "
                         "was to carry")
        slowest = min(r["sent_pps"] / r["asked_pps"] for r in good)
        if slowest < 0.99:
            found.append(f"the generator sent as little as "
                         f"{100 * slowest:.0f} % of what was asked: its core "
                         "was shared")
    ratios = paired(runs, flows, method, "out_pps", target, SELF)
    if target != SELF and ratios and \
            statistics.median(ratios) > INSTRUMENT_END:
        found.append(f"at {100 * statistics.median(ratios):.0f} % of what the "
                     "generator can do alone")
    return found


def budgets(runs: list[dict]) -> list[dict]:
    """Each budget with its figure: met, missed, or not measured."""
    found = []
    for target, reference, bound in BUDGETS:
        row = {"budget": f"CPU a packet, {target} to {reference}, "
                         f"{BUDGET_FLOWS} flows <= 1/{1 / bound:.0f}",
               "verdict": "not measured"}
        measured = {r["target"] for r in runs
                    if r["method"] == "paced" and r["flows"] == BUDGET_FLOWS}
        ratios = paired(runs, BUDGET_FLOWS, "paced", "cpu_ns", target,
                        reference)
        if ratios:
            row["ratio"] = spread(ratios)
            met = row["ratio"]["median"] <= bound
            row["verdict"] = "met" if met else "MISSED"
            if any(notes(runs, BUDGET_FLOWS, "paced", name,
                         [r for r in runs if (r["flows"], r["method"],
                                              r["target"]) ==
                          (BUDGET_FLOWS, "paced", name)])
                   for name in (target, reference)):
                row["why"] = "see the notes of its rows"
        elif {target, reference} <= measured:
            row["verdict"] = "FAILED"
            row["why"] = f"{target} or {reference} has no figure"
        found.append(row)
    return found


def text(report: dict) -> str:
    out = head(report["machine"])
    last = None
    for row in report["summary"]:
        if (row["flows"], row["method"]) != last:
            last = (row["flows"], row["method"])
            out += ["", f"{row['flows']} flows, {row['method']}",
                    f"  {'':15} {'sent/s':>9} {'packets/s out':>27} "
                    f"{'CPU ns/packet':>21} {'of io_uring, 1/':>18} "
                    f"{'of rtpengine, 1/':>18} {'core %':>7} {'loss %':>15}"]
        figures = row["figures"]

        def inverse(reference):
            ratio = row["cpu_to"].get(reference)
            if not ratio or reference == row["target"]:
                return "-"
            return " / ".join("%.1f" % (1 / ratio[k])
                              for k in ("max", "median", "min"))

        def percent(name, form):
            if name not in figures:
                return "-"
            return three({k: 100 * v for k, v in figures[name].items()}, form)
        sent = figures.get("sent_pps")
        core = figures.get("core_busy")
        out.append(
            f"  {row['target']:15} "
            f"{'%.0f' % sent['median'] if sent else '-':>9} "
            f"{three(figures.get('out_pps')):>27} "
            f"{three(figures.get('cpu_ns')):>21} "
            f"{inverse('sluiced-uring'):>18} {inverse('rtpengine'):>18} "
            f"{'%.0f' % (100 * core['median']) if core else '-':>7} "
            f"{percent('loss', '%.1f'):>15}")
        out += remarks(row)
    out += verdicts(", paced runs", report["budgets"],
                    lambda ratio: f"1/{1 / ratio:.1f}")
    return "\n".join(out)


def one_line(run: dict) -> str:
    if "error" in run:
        return "FAILED: " + run["error"].splitlines()[-1][:160]
    return (f"{run['sent_pps']:9.0f}/s sent {run['out_pps']:9.0f}/s out "
            f"{run['cpu_ns']:7.0f} ns loss {100 * run['loss']:.2f} %")

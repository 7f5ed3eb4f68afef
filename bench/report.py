#!/usr/bin/python3
# Prints the tables of a results.json: the sweeps, the ratios at equal recall, the targets.
"""The report of one run: text for the terminal, Markdown for documents.

usage: report.py RESULTS.json [--markdown]

QPS and pages are compared at equal recall: the sweep's points, with recall taken as its running maximum, are joined by
lines in (recall, log value). Below the first point nothing is known; its value stands there with "<=" or ">=" (a sweep
that begins at a higher recall was not asked to be faster); above the last point there is no value.
"""
import json
import math
import os
import statistics
import sys

LEVELS = (0.90, 0.95, 0.98, 0.99)


def write(folder, stem, results, texts):
    """Writes STEM.json, whole or not at all, and the texts, {file name: text}; anew after each step, so that a run that is cut off
    leaves what it has."""
    path = os.path.join(folder, stem + ".json")
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)
    os.replace(path + ".new", path)
    for name, text in texts.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)


def at_recall(points, level):
    """(value, clamped) at a recall, of (recall, value) in the order of the sweep; None when the sweep does not reach it."""
    best = 0.0
    last = None
    for recall, value in points:
        best = max(best, recall)
        if best >= level:
            if last is None or best == last[0]:
                return value, last is None and best > level
            share = (level - last[0]) / (best - last[0])
            return math.exp(math.log(last[1]) + share * (math.log(value) - math.log(last[1]))), False
        last = (best, value)
    return None


def points(dataset, peer):
    """(value, point) in the order of the sweep, without the index's own choice (0), which has no place in that order."""
    sweep = dataset["peers"].get(peer, {}).get("sweep", {})
    return sorted(((int(v), p) for v, p in sweep.items() if v != "0"), key=lambda x: x[0])


def curve(dataset, peer, what, clients="1"):
    """(recall, value) in the order of the sweep; what: tps, p50_ms, p99_ms (of some clients) or index_pages."""
    out = []
    for _, point in points(dataset, peer):
        value = point.get(what) if what == "index_pages" else point.get("qps", {}).get(clients, {}).get(what)
        if value and "recall" in point:
            out.append((point["recall"], value))
    return out


def ratio(dataset, a, b, what, level):
    """(value of a) / (value of b) at a recall, with a sign when one of them is only a bound; None when unknown.
    A peer whose sweep begins above the recall would be faster there and touch fewer pages."""
    x, y = (at_recall(curve(dataset, peer, what), level) for peer in (a, b))
    if x is None or y is None:
        return None
    return x[0] / y[0], "~" if x[1] and y[1] else "" if not x[1] and not y[1] else (
        ">=" if x[1] == (what == "tps") else "<=")


# ---- tables ------------------------------------------------------------------

def number(value, digits=2):
    """Three significant digits or so; a dash for what is not known."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{digits}f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"


def table(title, header, rows, markdown):
    """Lines of a table; the first column is left-aligned."""
    rows = [[number(c) for c in row] for row in rows]
    if not rows:
        return []
    if markdown:
        lines = ["| " + " | ".join(header) + " |", "|" + "|".join(["---"] + ["---:"] * (len(header) - 1)) + "|"]
        return ["", f"### {title}", ""] + lines + ["| " + " | ".join(row) + " |" for row in rows]
    width = [max(len(r[i]) for r in [header] + rows) for i in range(len(header))]
    lines = ["  ".join([r[0].ljust(width[0])] + [c.rjust(w) for c, w in zip(r[1:], width[1:])]).rstrip()
             for r in [header] + rows]
    return ["", title] + ["  " + line for line in lines]


def sweep_table(name, dataset, markdown):
    rows = []
    for peer, result in dataset["peers"].items():
        for value, point in result["sweep"].items():
            qps = point.get("qps", {})
            one = qps.get("1", {})
            others = [qps.get(c, {}).get("tps") for c in clients_of(dataset) if c != "1"]
            rows.append([f"{peer} {effort(dataset)} {'0, its own choice' if value == '0' else value}", point.get("recall"), one.get("tps"), *others, one.get("p50_ms"),
                         one.get("p99_ms"), point.get("index_pages"), point.get("heap_pages"),
                         point.get("scan", {}).get("pages_touched")])
    header = ["", "recall", "QPS 1"] + [f"QPS {c}" for c in clients_of(dataset) if c != "1"]
    for row in rows:
        row[1] = None if row[1] is None else f"{row[1]:.4f}"
    header += ["p50 ms", "p99 ms", "index pages", "heap pages", "pages, own count"]
    return table(f"{name}: sweep", header, rows, markdown)


def clients_of(dataset):
    found = {c for r in dataset["peers"].values() for p in r["sweep"].values() for c in p.get("qps", {})}
    return sorted(found, key=int)


def equal_recall_table(name, dataset, markdown):
    rows = []
    peers = list(dataset["peers"])
    pairs = [(a, b) for a in ours_of(dataset) for b in peers if b not in ours_of(dataset)]
    for level in LEVELS:
        row = [f"recall {level:.2f}"]
        for peer in peers:
            found = at_recall(curve(dataset, peer, "tps"), level)
            row.append(None if found is None else (">=" if found[1] else "") + number(found[0]))
        for a, b in pairs:
            found = ratio(dataset, a, b, "tps", level)
            row.append(None if found is None else found[1] + number(found[0]))
        found = ratio(dataset, "vecann", "pgvector", "index_pages", level)
        rows.append(row + [None if found is None else found[1] + number(found[0])])
    header = ["QPS, one client"] + peers + [f"{a}/{b}" for a, b in pairs] + ["pages, vecann/pgvector"]
    return table(f"{name}: at equal recall", header, rows, markdown) if ours_of(dataset) else []


def effort(dataset):
    """What the sweep goes over."""
    return dataset.get("effort", "ef")


def ours_of(dataset):
    return [p for p in dataset["peers"] if p.split("-")[0] == "vecann"]


def index_table(name, dataset, markdown):
    rows = []
    vectors = dataset["data"]["rows"]
    for peer, r in dataset["peers"].items():
        build, insert = r.get("build", {}), r.get("insert", {})
        rates = insert.get("per_second", {})
        rows.append([peer, build.get("seconds"), scaled(build.get("peak_bytes"), 1e6), scaled(r.get("index_bytes"), 1e6),
                     scaled(r.get("index_bytes"), vectors), rates.get("1"), rates.get(max(rates, key=int, default="1")),
                     insert.get("wal_bytes"), insert.get("wal_bytes_after_checkpoint"), vacuum_text(r.get("vacuum", {}))])
    return table(f"{name}: index", ["", "build s", "peak MB", "size MB", "bytes/vector", "inserts/s 1", "inserts/s n",
                                    "WAL/insert", "after checkpoint", "vacuum s"], rows, markdown)


def vacuum_text(vacuum):
    """Seconds; a bound where patience ended first."""
    seconds = vacuum.get("seconds")
    return f">={number(seconds)}" if vacuum.get("cut") else seconds


def churn_table(name, dataset, markdown):
    rows = [[f"{peer}, {percent} %"] + [f"{x:.4f}" for x in step["recall"].values()] + [
        step["index_bytes"] / 1e6, step.get("seconds")]
            for peer, r in dataset["peers"].items() for percent, step in r.get("churn", {}).items()]
    for peer, r in dataset["peers"].items():
        if "churn_cut" in r:
            cut = r["churn_cut"]
            rows.append([f"{peer}, {cut['percent']} %"] + [None] * (len(rows[0]) - 2) + [f">={number(cut['seconds'])}"])
    header = [f"recall at {effort(dataset)} {v}" for r in dataset["peers"].values() for v in r.get("churn", {}).get("0", {}).get(
        "recall", {})][:len(rows[0]) - 3 if rows else 0]
    return table(f"{name}: after churn", ["rows replaced"] + header + ["size MB", "after s"], rows, markdown)


def disk_table(name, dataset, markdown):
    rows = []
    for peer, r in dataset["peers"].items():
        for ahead, runs in r.get("disk", {}).items():
            rows.append([f"{peer}, {'read-ahead' if int(ahead) else 'none'}"] +
                        [statistics.median(run[what] for run in runs) for what in ("ms", "index_pages_read")])
    return table(f"{name}: from the disk", ["", "ms a query", "index pages read"], rows, markdown) if rows else []


def scaled(value, unit):
    return None if value is None else value / unit


# ---- targets -------------------------------------------------------------------

def target_rows(dataset):
    """[what, value, lands, goal, more is better, sign of a bound] of what this data set says something about."""
    rows = []

    def add(what, value, lands, goal, more=True):
        value, sign = value if isinstance(value, tuple) else (value, "")
        if value is not None:
            rows.append([what, value, lands, goal, more, sign])
    (add_ivf if dataset.get("index") == "ivf" else add_hnsw)(dataset, add)
    return rows


def add_ivf(dataset, add):
    """The targets of the default ivfpq, and of each variant that was measured beside it."""
    theirs = dataset["peers"].get("pgvector", {})
    for peer in ours_of(dataset):
        ours, name = dataset["peers"][peer], "" if peer == "vecann" else peer + ": "
        add(name + "QPS / pgvector's at recall 0.95", ratio(dataset, peer, "pgvector", "tps", 0.95), 3, 8)
        add(name + "index size / pgvector's", quotient(ours, theirs, "index_bytes"), 0.25, 0.25, False)
        add(name + "build time / pgvector's", quotient(ours, theirs, "build", "seconds"), 2, 1, False)
        for level in (0.90, 0.95, 0.98):
            add(f"{name}QPS / in-process FAISS's at recall {level:.2f}", ratio(dataset, peer, "faiss", "tps", level), 0.7, 0.7)
    add_latency(dataset, add)


def add_hnsw(dataset, add):
    data = dataset["data"]
    qps = {level: ratio(dataset, "vecann", "pgvector", "tps", level) for level in LEVELS}
    other = {level: ratio(dataset, "vecann", "hnswlib", "tps", level) for level in LEVELS}
    if data["rows"] >= 500000:
        levels, lands, goal = [0.98], 8, 15
    elif data["dim"] >= 256:
        levels, lands, goal = [0.95, 0.98, 0.99], 5, 9
    else:
        levels, lands, goal = [0.95, 0.98, 0.99], 3, 5
    for level in levels:
        add(f"QPS / pgvector's at recall {level:.2f}", qps[level], lands, goal)
        add(f"QPS / in-process hnswlib's at recall {level:.2f}", other[level], None, 1)
    add_latency(dataset, add)
    ours, theirs = (dataset["peers"].get(p, {}) for p in ("vecann", "pgvector"))
    add("build time / pgvector's", quotient(ours, theirs, "build", "seconds"), 1 / 5, 1 / 12, False)
    size = quotient(ours, theirs, "index_bytes")
    add("index size / pgvector's", size, *((1.0, 0.8) if data["dim"] >= 384 else (2.0, 1.5)), False)
    for level in (0.95, 0.98):
        add(f"index pages a search / pgvector's at recall {level:.2f}",
            ratio(dataset, "vecann", "pgvector", "index_pages", level), 1 / 5, 1 / 10, False)
    for clients in ours.get("insert", {}).get("per_second", {}):
        if clients != "1":
            add(f"inserts a second / pgvector's, {clients} clients",
                quotient(ours, theirs, "insert", "per_second", clients), 2, 5)
    add("WAL bytes an insert / pgvector's", quotient(ours, theirs, "insert", "wal_bytes"), 1, 0.5, False)
    add("the same just after a checkpoint", quotient(ours, theirs, "insert", "wal_bytes_after_checkpoint"), 1, 0.5,
        False)
    add_vacuum(ours.get("vacuum", {}), theirs.get("vacuum", {}), add)


def add_vacuum(ours, theirs, add):
    """The ratio, or a bound of it where patience ended one of the two."""
    ratio_of = quotient(ours, theirs, "seconds")
    if ratio_of is not None and not (ours.get("cut") and theirs.get("cut")):
        sign = ">=" if ours.get("cut") else "<=" if theirs.get("cut") else ""
        add("vacuum after deleting 10 % / pgvector's", (ratio_of, sign), 1 / 3, 1 / 10, False)


def add_latency(dataset, add):
    """p99 / p50 and the gain by clients, at the least of the sweep that reaches .95 (or its last)."""
    measured = [p for _, p in points(dataset, "vecann") if "recall" in p and p.get("qps")]
    if not measured:
        return
    point = next((p for p in measured if p["recall"] >= 0.95), measured[-1])
    qps = point["qps"]
    if "1" in qps and dataset.get("index") == "ivf" and dataset["data"]["rows"] >= 10_000_000:
        add(f"p99 of one client in ms, recall {point['recall']:.3f}", qps["1"]["p99_ms"], 50, 10, False)
    if "1" in qps:
        add("p99 / p50 of one client", qps["1"]["p99_ms"] / qps["1"]["p50_ms"], 2.5, 1.5, False)
    if "1" in qps and "2" in qps:
        add("QPS of 2 clients / of one", qps["2"]["tps"] / qps["1"]["tps"], 1.8, 1.8)
    if "2" in qps and "16" in qps:
        add("QPS of 16 clients / of 2", qps["16"]["tps"] / qps["2"]["tps"], 0.95, 0.95)
    add_clients_of_others(dataset, add)


def add_clients_of_others(dataset, add):
    """The same of what has no target: what the machine allows."""
    others = {"look-ups by primary key": {
        c: statistics.median(v) for c, v in dataset.get("lookups", {}).items()}}
    theirs = [p for _, p in points(dataset, "pgvector") if "16" in p.get("qps", {})]
    if theirs:
        others["pgvector"] = {c: v["tps"] for c, v in theirs[0]["qps"].items()}
    for name, tps in others.items():
        if "2" in tps and "16" in tps:
            add(f"the same of {name}", tps["16"] / tps["2"], None, None)


def quotient(ours, theirs, *path):
    for key in path:
        ours, theirs = (x.get(key) if isinstance(x, dict) else None for x in (ours, theirs))
    return ours / theirs if ours is not None and theirs else None


def verdict(value, lands, goal, more):
    def reached(bar):
        return bar is not None and (value >= bar if more else value <= bar)
    if lands is None and goal is None:
        return "-"
    return "goal" if reached(goal) else "lands" if reached(lands) else "short"


def target_table(name, dataset, markdown):
    rows = []
    for what, value, lands, goal, more, bound in target_rows(dataset):
        sign = ">=" if more else "<="
        rows.append([what, bound + number(value), "-" if lands is None else f"{sign} {number(lands)}",
                     "-" if goal is None else f"{sign} {number(goal)}", verdict(value, lands, goal, more)])
    return table(f"{name}: targets", ["", "measured", "lands", "goal", "verdict"], rows, markdown)


def rendered(results, markdown=False):
    """The whole report as text."""
    lines = []
    environment = results["environment"]
    lines += [f"{k}: {v}" for k, v in environment.items() if not isinstance(v, dict)]
    lines += ["settings: " + ", ".join(f"{k}={v}" for k, v in environment.get("server_settings", {}).items())]
    if markdown:
        lines = ["- " + line for line in lines]
    skipped = "**Skipped** " if markdown else "SKIPPED "
    lines += [f"{skipped}{k}: {v}" for k, v in results.get("skipped", {}).items()]
    for name, dataset in results["datasets"].items():
        if markdown:
            lines += ["", f"## {name}"]
        if dataset.get("lists"):
            lines += ["", f"{dataset['lists']} lists each" + "".join(
                f"; {p}: {r['what']}" for p, r in dataset["peers"].items() if "what" in r)]
        for warning in dataset.get("warnings", []):
            lines += ["", f"WARNING: {warning}"]
        for part in (sweep_table, equal_recall_table, index_table, churn_table, disk_table, target_table):
            lines += part(name, dataset, markdown)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with open(sys.argv[1]) as results_file:
        print(rendered(json.load(results_file), "--markdown" in sys.argv[2:]), end="")

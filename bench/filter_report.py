#!/usr/bin/python3
# Prints the tables of a filters.json again, and draws its pictures with --draw.
"""The report of the filter grid, as Markdown, and its pictures (filter_plots.py).

usage: filter_report.py FILTERS.json [--markdown] [--draw FOLDER]
  --markdown   the grid and the checks alone, as documents show them; without it every cell and every plan as well

The best forced plan is the one with the highest QPS among those with recall .95 or more and no answer with too few rows;
where none has that, the one with the highest recall.
"""
import json
import os
import re
import sys

import report

ENOUGH = 0.95
MIDDLE = (0.1, 0.01)  # where a filter costs the others most
# What the planner's choice may take of the time of our best strategy.
CHOICE = {"independent": 1.5, "correlated": 3, "anti-correlated": 3}


def forced(cell, peer):
    return {name: p for name, p in cell["plans"].get(peer, {}).items() if name != "planner"}


def good(plan):
    return plan["recall"] >= ENOUGH and plan["short"] == 0


def best(cell, peer):
    """(name, result) of the best forced plan; None without any."""
    plans = forced(cell, peer)
    if not plans:
        return None
    return max(plans.items(), key=lambda x: (1, x[1]["tps"]) if good(x[1]) else (0, x[1]["recall"]))


def best_forced(cell, peer):
    found = best(cell, peer)
    return "none" if found is None else f"{found[0]}, recall {found[1]['recall']:.3f}, {found[1]['tps']:.0f} a second"


def number(x):
    return f"{x:,.0f}" if x >= 100 or x == 0 else f"{x:.2f}" if x < 10 else f"{x:.1f}"


def table(header, rows):
    return ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)] + ["| " + " | ".join(r) + " |" for r in rows] + [""]


def choice_table(dataset):
    """The planner's choice against the best forced plan and pgvector's best."""
    rows = []
    for cell in dataset["cells"]:
        ours = cell["plans"].get("vecann", {}).get("planner")
        if ours is None:
            continue
        name, forced_best = best(cell, "vecann")
        bound = dataset["unfiltered"]["vecann"]["p99_ms"] + cell["bitmap_p99_ms"]
        row = [cell["name"], f"{cell['passing']:,.0f}", ours["taken"] + (", switched" if ours["switched"] else ""),
               f"{ours['recall']:.3f}", str(ours["short"]), number(ours["tps"]), number(ours["p50_ms"]),
               number(ours["p99_ms"]), number(ours["p99_ms"] / bound), name, number(ours["tps"] / forced_best["tps"])]
        theirs = best(cell, "pgvector")
        if theirs is not None:
            row += [f"{theirs[0]}, {theirs[1]['recall']:.3f}", number(theirs[1]["tps"]),
                    number(ours["tps"] / theirs[1]["tps"])]
        rows.append(row)
    header = ["cell", "rows that pass", "planner takes", "recall", "short", "QPS", "p50 ms", "p99 ms",
              "p99 / (unfiltered + bitmap)", "best forced", "QPS / best's", "pgvector's best, recall", "QPS", "ratio"]
    return table(header[:len(rows[0])], rows) if rows else []


def plan_table(dataset):
    """Every plan of every cell."""
    rows = []
    for cell in dataset["cells"]:
        for peer, plans in cell["plans"].items():
            for name, p in plans.items():
                rows.append([cell["name"], f"{peer}: {name}", p["taken"] + (", switched" if p["switched"] else ""),
                             f"{p['recall']:.3f}", str(p["short"]), str(p["queries"]), number(p["tps"]),
                             number(p["p50_ms"]), number(p["p99_ms"])])
    return table(["cell", "plan", "taken", "recall", "short", "of", "QPS", "p50 ms", "p99 ms"], rows)


# ---- the grid in short, and the checks ------------------------------------------------

def planned(dataset):
    """(cell, result) of the planner's choice in every cell of vecann."""
    return [(c, c["plans"]["vecann"]["planner"]) for c in dataset["cells"] if "vecann" in c["plans"]]


def to_best(cell, peer):
    """QPS of vecann's planner's choice in times of a peer's best forced plan; None without one."""
    found = best(cell, peer)
    return None if found is None else cell["plans"]["vecann"]["planner"]["tps"] / found[1]["tps"]


def recall(x):
    return "1" if x > 0.9995 else f"{x:.3f}".lstrip("0")


def short_name(cell):
    """Its name without the arrangement, and with shares as people write them."""
    name = cell["name"].replace(" " + cell["arrangement"], "").rstrip(",")
    return re.sub(r"^([0-9.]+)%", lambda m: f"{float(m.group(1)):g} %", name)


def grid_entry(cell):
    ours = cell["plans"]["vecann"]["planner"]
    text = f"{number(ours['tps'])} ({recall(ours['recall'])}{', ' + str(ours['short']) + ' short' if ours['short'] else ''})"
    theirs = best(cell, "pgvector")
    ratios = []
    if theirs is not None:
        ratios.append(number(to_best(cell, "pgvector")) + ("" if good(theirs[1]) else f" ({recall(theirs[1]['recall'])})"))
    if best(cell, "vecann") is not None:
        ratios.append(number(to_best(cell, "vecann")))
    return "; ".join([text] + ratios)


def grid_table(dataset):
    """A row for each condition, a column for each arrangement."""
    cells = [c for c, _ in planned(dataset)]
    arrangements = list(dict.fromkeys(c["arrangement"] for c in cells))
    rows = {}
    for cell in cells:
        name = short_name(cell)
        rows.setdefault(name, {})[cell["arrangement"]] = grid_entry(cell)
    if not rows:
        return []
    return (["Queries a second of the planner's choice (recall@10); in times of the best plan that pgvector can be forced into (its "
             f"recall, where below {ENOUGH}); in times of our best strategy, each forced.", ""] +
            table(["rows that pass"] + arrangements,
                  [[name] + [found.get(a, "-") for a in arrangements] for name, found in rows.items()]))


def check(what, values, bar, more=True):
    """A line of one check. values: [(cell, number)]; more: these are to be `bar` or more, else at most that. The worst of the
    cells that fail it are named."""
    if not values:
        return []
    failed = sorted(((f"{short_name(c)}, {c['arrangement']}", v) for c, v in values if (v < bar if more else v > bar)),
                    key=lambda x: x[1], reverse=not more)
    named = ", ".join(f"{name} ({number(v)})" for name, v in failed[:5]) + (", ..." if len(failed) > 5 else "")
    spread = f"{number(min(v for _, v in values))} to {number(max(v for _, v in values))}"
    return [f"- {what}: {len(values) - len(failed)} of {len(values)} cells; {spread}" + (f"; not: {named}" if failed else "")]


def checks(dataset):
    """How many cells fulfil what a filter must not cost."""
    cells = planned(dataset)
    if not cells:
        return []
    unfiltered = dataset["unfiltered"]["vecann"]["p99_ms"]
    lines = check(f"recall@10 of {ENOUGH} or more", [(c, p["recall"]) for c, p in cells], ENOUGH)
    lines += check("answers with fewer rows than LIMIT (or than there are): none", [(c, p["short"]) for c, p in cells], 0,
                   False)
    ratios = [(c, to_best(c, "pgvector")) for c, _ in cells if best(c, "pgvector") is not None]
    lines += check("QPS at least 0.95 of pgvector's best plan", ratios, 0.95)
    lines += check("QPS at least 3 times that where 10 or 1 % pass",
                   [(c, v) for c, v in ratios if c["selectivity"] in MIDDLE], 3)
    for arrangement, most in CHOICE.items():
        chosen = [(c, 1 / to_best(c, "vecann")) for c, _ in cells
                  if c["arrangement"] == arrangement and best(c, "vecann") is not None]
        lines += check(f"{arrangement}: the planner's choice takes at most {most} times our best strategy", chosen,
                       most, False)
    lines += check("p99 at most 3 times that without a condition and the bare bitmap together",
                   [(c, p["p99_ms"] / (unfiltered + c["bitmap_p99_ms"])) for c, p in cells], 3, False)
    return lines + [""]


def without_conditions(dataset):
    return [f"Without conditions, {peer}: {number(u['tps'])} a second, p50 {number(u['p50_ms'])} ms, p99 "
            f"{number(u['p99_ms'])} ms." for peer, u in dataset["unfiltered"].items()] + [""]


def in_short(results):
    """The grid and the checks of every data set."""
    lines = []
    for name, dataset in results["datasets"].items():
        lines += [f"### {name}: {dataset['rows']:,} x {dataset['dim']}, {dataset['metric']}", ""]
        lines += without_conditions(dataset) + grid_table(dataset) + checks(dataset)
    return lines


def rendered(results):
    lines = [f"- {k}: {v}" for k, v in results["environment"].items() if not isinstance(v, dict)]
    lines += [f"- **Skipped** {k}: {v}" for k, v in results["skipped"].items()]
    for name, dataset in results["datasets"].items():
        lines += ["", f"## {name}: {dataset['rows']:,} x {dataset['dim']}, {dataset['metric']}", ""]
        lines += without_conditions(dataset) + grid_table(dataset) + checks(dataset)
        lines += ["### The planner's choice", ""] + choice_table(dataset) + ["### All plans", ""] + plan_table(dataset)
    return lines


def save(results, folder):
    report.write(folder, "filters", results, {"filters.md": "\n".join(rendered(results)) + "\n"})


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        read = json.load(f)
    print("\n".join(in_short(read) if "--markdown" in sys.argv[2:] else rendered(read)))
    if "--draw" in sys.argv[2:]:
        import filter_plots  # draws what this file ranks, so it needs this file
        filter_plots.draw(read, sys.argv[sys.argv.index("--draw") + 1])


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# Prints the tables of a filters.json again, and draws its pictures with --draw.
"""The report of the filter grid, as Markdown, and its pictures.

usage: filter_report.py FILTERS.json [--draw FOLDER]

The best forced plan is the one with the highest QPS among those with recall .95 or more and no answer with too few rows;
where none has that, the one with the highest recall.
"""
import json
import os
import sys

import plots

ENOUGH = 0.95
STYLES = ["--", ":", "-.", (0, (1, 3)), (0, (5, 1, 1, 1, 1, 1))]


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
    return f"{x:,.0f}" if x >= 100 else f"{x:.2f}" if x < 10 else f"{x:.1f}"


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


def verdict(dataset):
    """How many cells fulfil what a filter must not cost."""
    cells = [c["plans"]["vecann"]["planner"] for c in dataset["cells"] if "vecann" in c["plans"]]
    if not cells:
        return []
    return [f"{sum(p['recall'] >= ENOUGH for p in cells)} of {len(cells)} cells have recall {ENOUGH} or more, lowest "
            f"{min(p['recall'] for p in cells):.3f}; {sum(p['short'] == 0 for p in cells)} give all rows that exist.", ""]


def rendered(results):
    lines = [f"- {k}: {v}" for k, v in results["environment"].items() if not isinstance(v, dict)]
    lines += [f"- **Skipped** {k}: {v}" for k, v in results["skipped"].items()]
    for name, dataset in results["datasets"].items():
        lines += ["", f"## {name}: {dataset['rows']:,} x {dataset['dim']}, {dataset['metric']}", ""]
        lines += [f"Unfiltered, {peer}: {number(u['tps'])} a second, p50 {number(u['p50_ms'])} ms, p99 "
                  f"{number(u['p99_ms'])} ms." for peer, u in dataset["unfiltered"].items()]
        lines += [""] + verdict(dataset) + choice_table(dataset) + ["### All plans", ""] + plan_table(dataset)
    return lines


def save(results, folder):
    path = os.path.join(folder, "filters.json")
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)
    os.replace(path + ".new", path)
    with open(os.path.join(folder, "filters.md"), "w", encoding="utf-8") as f:
        f.write("\n".join(rendered(results)) + "\n")


# ---- pictures ------------------------------------------------------------------------

def lines_of(cells):
    """{(peer, plan): [(selectivity, result)]} of the cells of one panel."""
    out = {}
    for cell in sorted(cells, key=lambda c: c["selectivity"]):
        for peer, plans in cell["plans"].items():
            for name, p in plans.items():
                out.setdefault((peer, name), []).append((cell["selectivity"], p))
    return out


def draw_panel(axes, cells, what, joined):
    names = {}
    for (peer, name), points in lines_of(cells).items():
        order = names.setdefault(peer, [])
        style = "-"
        if name != "planner":
            style = STYLES[len(order) % len(STYLES)]
            order.append(name)
        axes.plot([100 * s for s, _ in points], [p[what] for _, p in points], marker="o" if name == "planner" else ".",
                  linestyle=style if joined else "none", linewidth=2 if name == "planner" else 1, color=plots.COLOURS[peer],
                  label=f"{peer}: {name}", alpha=1 if name == "planner" else 0.75)
    axes.set_xscale("log")
    axes.grid(True, which="both", alpha=0.3)


def draw_kind(pyplot, path, title, panels, joined):
    """QPS above, recall below, one column for each panel (name, cells)."""
    figure, axes = pyplot.subplots(2, len(panels), figsize=(4.2 * len(panels), 6.4), constrained_layout=True, sharex=True,
                                   sharey="row", squeeze=False, height_ratios=[2, 1])
    for column, (name, cells) in enumerate(panels):
        draw_panel(axes[0][column], cells, "tps", joined)
        draw_panel(axes[1][column], cells, "recall", joined)
        axes[0][column].set_yscale("log")
        axes[0][column].set_title(name)
        axes[1][column].set_xlabel("% of the rows pass")
    axes[0][0].set_ylabel("queries a second, one client")
    axes[1][0].set_ylabel("recall@10")
    figure.suptitle(title)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    return plots.save(pyplot, figure, path)


def draw(results, folder):
    """Pictures of every data set; the paths. Without matplotlib it says so and draws nothing."""
    pyplot = plots.load_pyplot()
    if pyplot is None:
        return []
    out = []
    for name, dataset in results["datasets"].items():
        title = f"{name}: {dataset['rows']:,} x {dataset['dim']}"
        cells = dataset["cells"]
        arrangements = list(dict.fromkeys(c["arrangement"] for c in cells))
        if len({c["selectivity"] for c in cells}) <= 5 and cells:
            for kind in dict.fromkeys(c["kind"] for c in cells):
                panels = [(a, [c for c in cells if c["kind"] == kind and c["arrangement"] == a]) for a in arrangements]
                path = os.path.join(folder, f"filters_{name}_{kind.replace(' ', '_')}")
                out += draw_kind(pyplot, path, f"{title}, {kind}", panels, True)
        elif cells:
            panels = [(a, [c for c in cells if c["arrangement"] == a]) for a in arrangements]
            out += draw_kind(pyplot, os.path.join(folder, f"filters_{name}"), title, panels, False)
    return out


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as results_file:
        read = json.load(results_file)
    print("\n".join(rendered(read)))
    if "--draw" in sys.argv[2:]:
        draw(read, sys.argv[sys.argv.index("--draw") + 1])

"""Pictures of the filter grid. filters_NAME_KIND: QPS by the share of rows that pass, a panel for each arrangement: vecann's choice
beside the best plan that pgvector can be forced into, and both without a condition. filters_NAME_KIND_plans: every plan, with recall.
"""
import os

import filter_report
import plots

STYLES = ["--", ":", "-.", (0, (1, 3)), (0, (5, 1, 1, 1, 1, 1))]
MOST_SHARES = 5  # above, shares are those of a catalogue's conditions, which no line joins


# ---- what a reader wants to see ------------------------------------------------------

def chosen_and_best(cells):
    """{peer: [(share, result)]}: the planner's choice of vecann, and pgvector's best plan."""
    out = {"vecann": [], "pgvector": []}
    for cell in sorted(cells, key=lambda c: c["selectivity"]):
        share = 100 * cell["selectivity"]
        if "vecann" in cell["plans"]:
            out["vecann"].append((share, cell["plans"]["vecann"]["planner"]))
        theirs = filter_report.best(cell, "pgvector")
        if theirs is not None:
            out["pgvector"].append((share, theirs[1]))
    return {peer: found for peer, found in out.items() if found}


LABELS = {"vecann": "vecann, the planner's choice", "pgvector": "pgvector, the best plan it can be forced into"}


def draw_choice(axes, cells, unfiltered, joined):
    found = chosen_and_best(cells)
    for peer, results in found.items():
        colour = plots.COLOURS[peer]
        axes.plot([s for s, _ in results], [p["tps"] for _, p in results], marker="o", markersize=5, color=colour, linewidth=2,
                  linestyle="-" if joined else "none", label=LABELS[peer])
        if peer in unfiltered:
            axes.axhline(unfiltered[peer]["tps"], color=colour, linestyle="--", linewidth=1, label=f"{peer}, without a condition")
    for peer, results in found.items():
        others = dict((s, p["tps"]) for other, points in found.items() if other != peer for s, p in points)
        for share, p in results:
            # above the upper point and below the lower one, so that the two do not meet
            up = p["tps"] >= others.get(share, 0)
            axes.annotate(filter_report.recall(p["recall"]), (share, p["tps"]), (0, 7 if up else -7), textcoords="offset points",
                          ha="center", va="bottom" if up else "top", fontsize=7.5, color=plots.COLOURS[peer])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(0.1, 0.13)
    axes.grid(True, which="major", alpha=0.35)


def draw_choices(pyplot, path, title, panels, unfiltered, joined):
    figure, axes = pyplot.subplots(1, len(panels), figsize=(4 * len(panels), 4.4), constrained_layout=True, sharey=True,
                                   sharex=True, squeeze=False)
    for column, (name, cells) in enumerate(panels):
        panel = axes[0][column]
        draw_choice(panel, cells, unfiltered, joined)
        panel.set_title(name)
        panel.set_xlabel("% of the rows pass")
        panel.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        panel.yaxis.set_major_formatter(lambda y, _: f"{y:,g}")
    axes[0][0].set_ylabel("queries a second, one client")
    figure.suptitle(f"{title}; at the points: recall@10")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize="small")
    return plots.save(pyplot, figure, path)


# ---- every plan ----------------------------------------------------------------------

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


def draw_plans(pyplot, path, title, panels, joined):
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
        cells = dataset["cells"]
        title = f"{name}: {dataset['rows']:,} x {dataset['dim']}"
        joined = len({c["selectivity"] for c in cells}) <= MOST_SHARES
        for kind in dict.fromkeys(c["kind"] if joined else None for c in cells):
            path = os.path.join(folder, f"filters_{name}" + (f"_{kind.replace(' ', '_')}" if kind else ""))
            panels = [(a, [c for c in cells if kind in (None, c["kind"]) and c["arrangement"] == a])
                      for a in dict.fromkeys(c["arrangement"] for c in cells)]
            titled = title + (f", {kind}" if kind else "")
            out += draw_choices(pyplot, path, titled, panels, dataset["unfiltered"], joined)
            out += draw_plans(pyplot, path + "_plans", titled, panels, joined)
    return out

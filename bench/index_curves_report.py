#!/usr/bin/python3
# Prints the table of a curves.json again, and draws its pictures with --draw.
"""The report of the index curves: a table in Markdown, and a picture with two panels, recall against QPS, and QPS at recall .95 against
the bytes of a vector.

usage: index_curves_report.py CURVES.json [--markdown] [--draw FOLDER]
  --markdown   the tables alone, as documents show them
"""
import json
import math
import os
import sys

import plots
import report

LEVELS = (0.95, 0.98, 0.99)
AT = 0.95


def qps_at(dataset, variant, level):
    """(QPS, whether it may be more) at a recall; None where the sweep does not reach it."""
    return report.at_recall(report.curve(dataset, variant, "tps"), level)


def qps_text(found):
    return "-" if found is None else (">=" if found[1] else "") + report.number(found[0])


def rows_read(dataset, variant):
    """Pages of the table, and of what it keeps out of line, at the least of the sweep that reaches AT."""
    return next((p["heap_pages"] + p["toast_pages"] for _, p in report.points(dataset, variant) if p["recall"] >= AT), None)


def table_of(name, dataset, markdown=True):
    rows = []
    for variant, result in dataset["peers"].items():
        rows.append([result["label"], report.number(result["index_bytes"] / dataset["data"]["rows"]),
                     report.number(result["index_bytes"] / 1e6), report.number(result["build"]["seconds"]),
                     report.number(result["build"]["peak_bytes"] / 1e6)] +
                    [qps_text(qps_at(dataset, variant, level)) for level in LEVELS] +
                    [report.number(rows_read(dataset, variant))])
    header = (["", "bytes a vector", "MB", "build s", "peak MB"] + [f"QPS at {level:.2f}" for level in LEVELS] +
              [f"pages of the table at {AT}"])
    return report.table(f"{name}: {dataset['data']['rows']:,} x {dataset['data']['dim']}, {dataset['lists']} lists", header, rows,
                        markdown)


def points_table(name, dataset):
    rows = [[f"{r['label']}, {r['effort']} {value}", f"{p['recall']:.4f}", report.number(p["qps"]["1"]["tps"]),
             report.number(p["qps"]["1"]["p50_ms"]), report.number(p["qps"]["1"]["p99_ms"]), report.number(p["index_pages"]),
             report.number(p["heap_pages"]), report.number(p["toast_pages"])]
            for r in dataset["peers"].values() for value, p in r["sweep"].items()]
    return report.table(f"{name}: all points", ["", "recall", "QPS", "p50 ms", "p99 ms", "index pages", "heap pages", "toast pages"],
                        rows, True)


def rendered(results, short=False):
    """Lines of the report. short: without the environment and the single points."""
    lines = [] if short else [f"- {k}: {v}" for k, v in results["environment"].items() if not isinstance(v, dict)]
    lines += [f"- **Skipped** {k}: {v}" for k, v in results["skipped"].items()]
    for name, dataset in results["datasets"].items():
        lines += table_of(name, dataset)
        if not short:
            lines += [""] + [f"WARNING: {w}" for w in dataset.get("warnings", [])] + points_table(name, dataset)
    return lines


def save(results, folder):
    report.write(folder, "curves", results, {"curves.md": "\n".join(rendered(results)) + "\n"})


# ---- picture ---------------------------------------------------------------------------

def style(variant, result):
    """(colour, marker, line): circles for lists, squares for graphs, dashes for pgvector."""
    return result["colour"], "s" if "hnsw" in variant else "o", "--" if variant.startswith("pgvector") else "-"


def draw_recall(axes, dataset):
    for variant, result in dataset["peers"].items():
        curve = report.curve(dataset, variant, "tps")
        colour, marker, line = style(variant, result)
        if curve:
            axes.plot([r for r, _ in curve], [q for _, q in curve], marker=marker, markersize=4, linestyle=line, color=colour,
                      linewidth=1.5, label=result["label"])
    axes.set_xlim(0.8, 1.003)
    axes.set_xlabel("recall@10")
    axes.set_ylabel("queries a second, one client")
    axes.set_title("what a query costs")


def draw_bytes(axes, dataset):
    taken = []  # by names above their points: the next one close below is named below its own
    found_at = {variant: qps_at(dataset, variant, AT) for variant in dataset["peers"]}
    for variant, result in sorted(dataset["peers"].items(), key=lambda x: -(found_at[x[0]] or (0,))[0]):
        found = found_at[variant]
        if found is None:
            continue
        colour, marker, _ = style(variant, result)
        size = result["index_bytes"] / dataset["data"]["rows"]
        axes.plot([size], [found[0]], marker="^" if found[1] else marker, markersize=8, color=colour, linestyle="none")
        up = not any(0 <= math.log10(q / found[0]) < 0.1 and abs(math.log10(x / size)) < 0.3 for x, q in taken)
        taken.append((size, found[0]))
        axes.annotate(result["label"].replace("ivfpq, ", ""), (size, found[0]), (0, 7 if up else -7), textcoords="offset points",
                      ha="center", va="bottom" if up else "top", fontsize=7.5, color=colour)
    axes.axvline(4 * dataset["data"]["dim"], color="#888888", linewidth=1, linestyle=":")
    axes.text(4 * dataset["data"]["dim"], 0.02, " the vectors", transform=axes.get_xaxis_transform(), fontsize=7.5, color="#666666")
    axes.set_xscale("log")
    axes.margins(x=0.2, y=0.12)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,g}")
    axes.set_xlabel("bytes of the index for a vector")
    axes.set_title(f"queries a second at recall {AT} (triangles: or more)")


def draw(results, folder):
    """index_curves_NAME.png and .svg of every data set; the paths. Without matplotlib it says so and draws nothing."""
    pyplot = plots.load_pyplot()
    if pyplot is None:
        return []
    out = []
    for name, dataset in results["datasets"].items():
        if not any(report.curve(dataset, v, "tps") for v in dataset["peers"]):
            continue
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 5), constrained_layout=True, sharey=True)
        left.set_yscale("log")
        left.yaxis.set_major_formatter(lambda y, _: f"{y:,g}")
        draw_recall(left, dataset)
        draw_bytes(right, dataset)
        for axes in (left, right):
            axes.grid(True, which="major", alpha=0.35)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize="small")
        figure.suptitle(f"{name}: {dataset['data']['rows']:,} x {dataset['data']['dim']}, {dataset['data']['metric']}, "
                        f"{dataset['lists']} lists")
        out += plots.save(pyplot, figure, os.path.join(folder, f"index_curves_{name}"))
    return out


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        read = json.load(f)
    print("\n".join(rendered(read, "--markdown" in sys.argv[2:])))
    if "--draw" in sys.argv[2:]:
        draw(read, sys.argv[sys.argv.index("--draw") + 1])


if __name__ == "__main__":
    main()

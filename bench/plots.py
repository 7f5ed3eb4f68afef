"""Recall against QPS, one picture for each data set: recall_qps_NAME.png and .svg."""
import os

import kinds
import report

COLOURS = {name: peer.colour for name, peer in kinds.KINDS["hnsw"].peers.items()}


def load_pyplot():
    """matplotlib's pyplot, drawing to files; None, with a line that says so, where it is not installed."""
    try:
        import matplotlib
    except ImportError:
        print("no pictures: python3-matplotlib is not installed")
        return None
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "vecann"
    from matplotlib import pyplot
    return pyplot


def save(pyplot, figure, path):
    """Writes PATH.png and PATH.svg, the same bytes for the same picture, and closes it; both paths."""
    out = []
    for kind in ("png", "svg"):
        figure.savefig(f"{path}.{kind}", dpi=150, metadata={"Date": None} if kind == "svg" else {"Software": None})
        out.append(f"{path}.{kind}")
    pyplot.close(figure)
    return out


def draw(results, folder):
    """Draws every data set that has QPS; the paths. Without matplotlib it says so and draws nothing."""
    pyplot = load_pyplot()
    if pyplot is None:
        return []
    out = []
    for name, dataset in results["datasets"].items():
        curves = {p: report.curve(dataset, p, "tps") for p in dataset["peers"]}
        if not any(curves.values()):
            continue
        figure, axes = pyplot.subplots(figsize=(6.4, 4.4), constrained_layout=True)
        peers = kinds.KINDS[dataset.get("index", "hnsw")].peers
        for peer, points in curves.items():
            if points:
                shown = peers[peer]
                axes.plot([r for r, _ in points], [q for _, q in points], marker="o", markersize=4, label=shown.label,
                          color=shown.colour, linestyle="--" if shown.program else "-")
            own = dataset["peers"][peer]["sweep"].get("0", {})
            if "recall" in own and "1" in own.get("qps", {}):
                axes.plot([own["recall"]], [own["qps"]["1"]["tps"]], marker="*", markersize=11, color=peers[peer].colour,
                          linestyle="none", label=f"{peers[peer].label}, its own probes")
        axes.set_yscale("log")
        axes.set_xlim(left=max(0.7, min(r for points in curves.values() for r, _ in points) - 0.01), right=1.002)
        axes.set_xlabel("recall@10")
        axes.set_ylabel("queries a second, one client")
        axes.set_title(f"{name}: {dataset['data']['rows']:,} x {dataset['data']['dim']}, {dataset['data']['metric']}")
        axes.grid(True, which="both", alpha=0.3)
        axes.legend()
        out += save(pyplot, figure, os.path.join(folder, f"recall_qps_{name}"))
    return out

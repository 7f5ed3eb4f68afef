#!/usr/bin/python3
# Measures the peers side by side on the running server; bench/measure starts it.
"""Runs the stages over the data sets and writes results.json, report.txt, report.md and the pictures.

The server is the one PGHOST, PGPORT and PGUSER name; it gets a database named as each peer, which must not exist.
Run it through bench/side-by-side, or bench/measure on a machine that has the peers.
"""
import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time

import datasets
import in_process
import kinds
import plots
import report
import server
import stages

STAGES = ["build", "recall", "qps", "insert", "vacuum", "churn", "disk", "lookups"]
DEFAULT_STAGES = STAGES[:4]
QUICK = {"datasets": ["gen-20000x32"], "seconds": 1, "many_seconds": 1, "rounds": 1, "clients": [1, os.cpu_count()], "inserts": 200,
         "stage": STAGES[:6]}
NORMAL = {"seconds": 5, "many_seconds": 10, "rounds": 3, "clients": [1, os.cpu_count(), 16], "inserts": 2000, "stage": DEFAULT_STAGES}
SHOWN = ["shared_buffers", "maintenance_work_mem", "max_parallel_maintenance_workers", "fsync", "full_page_writes",
         "autovacuum", "jit", "max_wal_size", "wal_level", "huge_pages", "huge_pages_status", "data_checksums"]


def numbers(text):
    return [int(x) for x in text.split(",")]


def words(known):
    def parse(text):
        found = known if text == "all" else text.split(",")
        wrong = [x for x in found if x not in known]
        if wrong:
            raise argparse.ArgumentTypeError(f"{wrong[0]} is not one of {', '.join(known)}")
        return [x for x in known if x in found]
    return parse


def lists(text):
    if text not in kinds.LIST_RULES and not (text.isdigit() and 1 <= int(text) <= 32768):
        raise argparse.ArgumentTypeError(f"{text} is neither a number from 1 to 32768 nor one of "
                                         f"{', '.join(kinds.LIST_RULES)}")
    return text


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("datasets", nargs="*", default=None, help="; ".join(
        f"default of {name}: {' '.join(kind.datasets)}" for name, kind in kinds.KINDS.items()))
    p.add_argument("--index", choices=list(kinds.KINDS), default="hnsw", help="the kind of index; default: hnsw")
    p.add_argument("--quick", action="store_true", help="a small set, short timings, all stages: tests the harness")
    p.add_argument("--stage", type=words(STAGES), help=f"of {','.join(STAGES)}, or all; default: "
                   f"{','.join(DEFAULT_STAGES)}. build always runs")
    p.add_argument("--ef", "--probes", dest="sweep", type=numbers, help="values of hnsw.ef_search; with --index ivf "
                   "of ivfpq.probes and ivfflat.probes, 0 being ivfpq's own choice")
    p.add_argument("--lists", type=lists, default="thousandth", help="of every peer of ivf: thousandth of the rows (the "
                   "root above a million), root, or a number")
    p.add_argument("--refine", type=int, default=10, help="FAISS's IVF measures so many times 10 rows exactly (k_factor)")
    p.add_argument("--seconds", type=float, help="of one timing")
    p.add_argument("--many-seconds", type=float, help="of one timing with more clients than cores, and of the warm-up before it: "
                   "each connection maps shared buffers of its own first; only at the least of the sweep with recall .95")
    p.add_argument("--patience", type=float, default=300, help="seconds for a VACUUM, and for the changes of a churn, of one "
                   "peer; the report then says that it takes more")
    p.add_argument("--churn-steps", type=numbers, default=[10, 50, 100], help="percentages of the rows, up to 100, at which rows "
                   "are deleted, vacuumed and inserted, and recall is measured")
    p.add_argument("--rounds", type=int, help="timings of each point; medians count")
    p.add_argument("--build-rounds", type=int, default=1)
    p.add_argument("--clients", type=numbers, help="default: 1, the number of cores, 16")
    p.add_argument("--peers", help="; ".join(f"of {name}: {','.join(kind.peers)}" for name, kind in kinds.KINDS.items()))
    p.add_argument("--faiss", help="folder (include, lib) of a static FAISS built for this machine, in place of the system's")
    p.add_argument("--let-halt", action="store_true", help="timings with processors that halt when idle")
    p.add_argument("--threads", type=int, default=os.cpu_count(), help="of builds, and clients of inserts")
    p.add_argument("--inserts", type=int, help="rows of one insert run")
    p.add_argument("--synchronous-commit", default="off", help="of the inserts")
    p.add_argument("--storage", choices=["plain", "external"], help="of the vector column; default: the type's own")
    p.add_argument("--churn-ef", "--churn-probes", dest="churn_sweep", type=numbers, help="the sweep of churn; its "
                   "first is that of disk")
    p.add_argument("--rows", type=int, default=0, help="no more base rows than this, of every set")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--cache", default=datasets.default_cache(), help="folder of the data sets made")
    p.add_argument("--data", default=datasets.default_data(), help="folder of the real data")
    p.add_argument("--result", default="build/bench")
    p.add_argument("--bindir", required=True, help="folder of psql and pgbench")
    p.add_argument("--load-before", type=float, default=os.getloadavg()[0], help="load average before anything began")
    p.add_argument("--commit", default="", help="what is measured, for the report")
    args = p.parse_args()
    kind = kinds.KINDS[args.index]
    try:
        args.peers = words(list(kind.peers))(args.peers) if args.peers else list(kind.default_peers)
    except argparse.ArgumentTypeError as wrong:
        p.error(f"argument --peers: {wrong}")
    if kind.lists and args.refine < 1:
        p.error("argument --refine: at least 1")
    defaults = {"datasets": list(kind.datasets), "sweep": list(kind.quick_sweep if args.quick else kind.sweep),
                "churn_sweep": list(kind.churn)} | (QUICK if args.quick else NORMAL)
    for name, value in defaults.items():
        if not getattr(args, name):
            setattr(args, name, value)
    args.seconds = max(1, int(args.seconds))  # pgbench counts whole seconds
    if args.patience <= 0:
        p.error("argument --patience: more than 0")
    args.many_seconds = max(1, int(args.many_seconds))
    args.clients = sorted(set(args.clients))
    if args.churn_steps != sorted(set(args.churn_steps)) or not 0 < args.churn_steps[0] <= args.churn_steps[-1] <= 100:
        p.error("argument --churn-steps: rising numbers from 1 to 100")
    return args


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout.splitlines() or [""])[0]


def processor():
    with open("/proc/cpuinfo") as f:
        lines = dict(line.split(":", 1) for line in f if ":" in line)
    lines = {k.strip(): v.strip() for k, v in lines.items()}
    levels = [x for x in ("avx2", "avx512f", "avx512_vnni", "asimd") if x in lines.get("flags", "").split()]
    return " ".join([lines.get("model name", platform.machine()), *levels])


def environment(s, args):
    """What a reader must know to read the numbers."""
    packages = {"pgvector": "postgresql-17-pgvector", "hnswlib": "libhnswlib-dev", "faiss": "libfaiss-dev"}
    out = {"date": time.strftime("%Y-%m-%d %H:%M:%S %z"), "commit": args.commit or "unknown",
           "processor": f"{processor()}, {os.cpu_count()} cores",
           "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
           "load before": f"{args.load_before:.2f}",
           "server": s.sql("postgres", "SHOW server_version"),
           "timings": f"{args.rounds} rounds of {args.seconds} s, medians; pgbench -M prepared over a Unix socket, "
                      f"processors {server.idling(not args.let_halt)}, enable_seqscan off; inserts with synchronous_commit {args.synchronous_commit}",
           "in process": f"{' '.join(in_process.FLAGS)}; builds with {args.threads} threads, searches with one; "
                         f"OPENBLAS_CORETYPE {os.environ.get('OPENBLAS_CORETYPE', 'unset')}"}
    for peer, package in packages.items():
        if peer in args.peers:
            out[peer] = first_line(["dpkg-query", "-W", "-f", "${Version}", package]) or "not from a package"
    ours = [p for p in args.peers if kinds.EXTENSIONS.get(p) == "vecann"]
    if ours:  # simd_level is the setting: auto takes the best that both know
        out["vecann"] = (s.sql(ours[0], "SELECT extversion FROM pg_extension WHERE extname = 'vecann'") + ", simd_level " +
                         s.sql(ours[0], "LOAD 'vecann';\nSHOW vecann.simd_level"))
    out["server_settings"] = {n: s.sql("postgres", f"SELECT current_setting('{n}', true)") for n in SHOWN}
    return out


def described(s, args):
    """The environment, and the indexes that are compared."""
    kind = kinds.KINDS[args.index]
    number = kinds.LIST_WORDS.get(args.lists, args.lists)
    indexes = {p: f"{peer.method} ({peer.options.format(lists=number)})" for p, peer in kind.peers.items()
               if p in args.peers and peer.method}
    if "faiss" in args.peers and kind.lists:
        indexes["faiss"] = f"IVF, PQ x4fs, the nearest {args.refine * 10} measured exactly"
    own = {"faiss": "of " + args.faiss} if args.faiss and "faiss" in args.peers else {}
    return environment(s, args) | own | {"indexes": "; ".join(f"{p} {text}" for p, text in indexes.items())}


def save(results, args):
    report.write(args.result, "results", results, {"report.txt": report.rendered(results, False),
                                                   "report.md": report.rendered(results, True)})


def for_each_set(names, results, get, begin, measure):
    """Measures one data set after the other: get(name) has its data, begin(data, out) is its run, which measure(run) takes and which
    is closed at the end. What get raises Missing for is skipped, and said."""
    for name in names:
        try:
            data = get(name)
        except datasets.Missing as reason:
            results["skipped"][name] = str(reason)
            stages.say(f"SKIPPED {name}: {reason}")
            continue
        run = begin(data, results["datasets"].setdefault(data.name, {}))
        try:
            measure(run)
        finally:
            run.close()


def say_set(data):
    stages.say(f"{data.name}: {len(data.base)} x {data.dim}, {data.metric}")


def measure(s, args, results):
    def begin(data, out):
        say_set(data)
        return stages.DatasetRun(s, data, args, out)

    def all_stages(run):
        run.load()
        for stage in STAGES:
            if stage in args.stage or stage == "build":
                run.out.setdefault("load", {})[stage] = os.getloadavg()[0]
                getattr(run, stage)()
                save(results, args)
    for_each_set(args.datasets, results, lambda name: datasets.get(name, args.cache, args.data, args.rows, args.seed), begin,
                 all_stages)


def main():
    os.environ.pop("OPENBLAS_CORETYPE", None)  # an inherited one may halve the speed of matrix products
    args = arguments()
    os.makedirs(args.result, exist_ok=True)
    os.makedirs(args.cache, exist_ok=True)
    s = server.Server(args.bindir)
    for peer in args.peers:
        if peer in kinds.EXTENSIONS:
            s.sql("postgres", f'CREATE DATABASE "{peer}"')
            s.sql(peer, f"CREATE EXTENSION {kinds.EXTENSIONS[peer]}; CREATE EXTENSION pg_prewarm")
    if args.load_before > 0.25 * os.cpu_count():
        stages.say("WARNING: this machine is busy with something else; ratios may hold, times will not")
    results = {"environment": described(s, args), "arguments": vars(args) | {}, "skipped": {}, "datasets": {}}
    with tempfile.TemporaryDirectory() as folder:
        args.program = in_process.compiled(folder, args.faiss) if set(args.peers) - set(kinds.EXTENSIONS) else None
        measure(s, args, results)
    save(results, args)
    pictures = plots.draw(results, args.result)
    print(report.rendered(results))
    print("\n".join(["written: " + os.path.join(args.result, n) for n in ("results.json", "report.txt", "report.md")] +
                    ["written: " + p for p in pictures]))
    return 0 if results["datasets"] else 1


if __name__ == "__main__":
    sys.exit(main())

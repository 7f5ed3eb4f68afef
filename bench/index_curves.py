#!/usr/bin/python3
# Measures the kinds of index one after the other on the running server; bench/measure --index-curves starts it.
"""Recall, QPS and bytes for a vector of each quantizer of ivfpq, of ivfflat and of hnsw, beside pgvector's ivfflat and hnsw. Writes
curves.json, curves.md and a picture.

vecann and pgvector have a database and a table each; the variants of an index are made on it one after the other. A variant's
sweep ends when its recall is enough. The server is the one PGHOST, PGPORT and PGUSER name; it gets the databases vecann and
pgvector, which must not exist. Run it through bench/index-curves, or bench/measure --index-curves on a machine that has the peers.
"""
import argparse
import dataclasses
import os
import sys

import datasets
import harness
import index_curves_report
import kinds
import server
import stages

DEFAULT_SETS = ["gen-200000x768"]


def ivfpq(label, colour, options):
    return kinds.Peer(label, colour, "vecann", "ivfpq", "lists = {lists}, " + options, "ivfpq.probes")


VARIANTS = {
    "pq": ivfpq("ivfpq, pq", "#c1272d", "quantizer = pq"),
    "pq8": ivfpq("ivfpq, pq of 8 bits", "#f08030", "quantizer = pq, bits = 8"),
    "rabitq": ivfpq("ivfpq, rabitq", "#7b3294", "quantizer = rabitq"),
    "pq-stored": ivfpq("ivfpq, pq, rerank = stored", "#8c1a1e", "quantizer = pq, rerank = stored"),
    "rabitq-stored": ivfpq("ivfpq, rabitq, rerank = stored", "#4a1a5c", "quantizer = rabitq, rerank = stored"),
    "sq8": ivfpq("ivfpq, sq8", "#1b7837", "quantizer = sq8"),
    "ivfflat": kinds.ivfflat("vecann", "ivfflat", "#5aae61"),
    "hnsw": kinds.hnsw("vecann", "hnsw", "#222222"),
    "pgvector-ivfflat": kinds.ivfflat("vector", "pgvector ivfflat", "#74add1"),
    "pgvector-hnsw": kinds.hnsw("vector", "pgvector hnsw", "#0071bc")}


def database_of(variant):
    return "pgvector" if VARIANTS[variant].extension == "vector" else "vecann"


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("datasets", nargs="*", help=f"default: {' '.join(DEFAULT_SETS)}")
    p.add_argument("--quick", action="store_true", help="a small set, one second: tests the measurement itself")
    p.add_argument("--variants", type=harness.words(list(VARIANTS)), default=list(VARIANTS), help="of " + ",".join(VARIANTS))
    p.add_argument("--probes", type=harness.numbers, default=[1, 2, 5, 10, 20, 40], help="of the kinds with lists")
    p.add_argument("--ef", type=harness.numbers, default=[10, 20, 40, 80, 160], help="hnsw.ef_search")
    p.add_argument("--until", type=float, default=0.995, help="a sweep ends at this recall")
    p.add_argument("--queries", type=int, default=500, help="that recall is taken of")
    p.add_argument("--seconds", type=float, default=2, help="of one timing")
    p.add_argument("--lists", type=harness.lists, default="root", help="as of bench/harness.py")
    p.add_argument("--let-halt", action="store_true")
    p.add_argument("--rows", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--cache", default=datasets.default_cache())
    p.add_argument("--data", default=datasets.default_data())
    p.add_argument("--result", default="build/bench")
    p.add_argument("--bindir", required=True)
    p.add_argument("--load-before", type=float, default=os.getloadavg()[0])
    p.add_argument("--commit", default="")
    # what the stages ask for besides
    p.set_defaults(index="ivf", rounds=1, synchronous_commit="on", storage=None, stage=[], threads=os.cpu_count(), sweep=[])
    args = p.parse_args()
    if args.quick:
        args.datasets = args.datasets or ["gen-20000x32"]
        args.seconds, args.queries = 1, min(args.queries, 200)
    args.datasets = args.datasets or DEFAULT_SETS
    args.seconds = max(1, int(args.seconds))  # pgbench counts whole seconds
    args.peers = sorted({database_of(v) for v in args.variants}, reverse=True)
    return args


def one_peer(kind, database, peer):
    """A kind of index that has one peer, which has a database of another name."""
    return dataclasses.replace(kind, peers={database: peer}, default_peers=(database,))


class CurveRun(stages.DatasetRun):
    """All variants of one data set, one after the other."""

    def __init__(self, s, data, args, out):
        super().__init__(s, data, args, out)
        self.databases = args.peers
        out["peers"] = {}

    def measure(self, save):
        self.load()
        for name in self.settings.variants:
            self.variant(name)
            save()

    def variant(self, name):
        """Makes the index, sweeps it until recall is enough, and drops it."""
        peer, db = VARIANTS[name], database_of(name)
        self.kind, self.databases = one_peer(kinds.KINDS["ivf"], db, peer), [db]
        seconds, memory, messages = self.create_index(db)
        size = self.server.integer(db, "SELECT pg_relation_size('items_v')")
        hnsw = peer.setting == "hnsw.ef_search"
        result = self.out["peers"][name] = {
            "label": peer.label, "colour": peer.colour, "effort": "ef" if hnsw else "probes", "sweep": {}, "index_bytes": size,
            "build": {"seconds": seconds, "messages": messages, **memory}}
        stages.say(f"{name}: built in {seconds:.1f} s, {size / len(self.data.base):.0f} bytes a vector {' '.join(messages)}")
        self.warm_one(db)
        values = self.settings.ef if hnsw else [p for p in self.settings.probes if p <= self.lists]
        self.require_index_scan(db, values[0])
        for value in values:
            point = result["sweep"][str(value)] = self.point(db, value)
            if point["recall"] >= self.settings.until:
                break
        stages.say(f"{name}: " + "; ".join(f"{value}: {p['recall']:.3f}, {p['qps']['1']['tps']:,.0f}/s"
                                           for value, p in result["sweep"].items()))
        self.server.sql(db, "DROP INDEX items_v")

    def point(self, db, value):
        before = self.blocks(db)
        recall, _ = self.recall_of(db, value)
        index, heap, toast = ((self.blocks(db) - before) / len(self.data.queries)).tolist()
        script = f"\\set n random(0, {len(self.data.queries) - 1})\n{self.query(':n')};\n"
        with server.kept_awake(not self.settings.let_halt):
            run = self.server.pgbench(db, script, 1, ("-T", self.settings.seconds), self.options(db, value), warm_up=1)
        return {"recall": recall, "index_pages": index, "heap_pages": heap, "toast_pages": toast, "qps": {"1": run}}

    def close(self):
        self.databases = self.settings.peers
        super().close()


def some_queries(data, number):
    """The set with its first queries alone."""
    return dataclasses.replace(data, queries=data.queries[:number], limits=data.limits[:number])


def main():
    os.environ.pop("OPENBLAS_CORETYPE", None)
    args = arguments()
    os.makedirs(args.result, exist_ok=True)
    os.makedirs(args.cache, exist_ok=True)
    s = server.Server(args.bindir)
    for peer in args.peers:
        s.sql("postgres", f"CREATE DATABASE {peer}")
        s.sql(peer, f"CREATE EXTENSION {kinds.EXTENSIONS[peer]}; CREATE EXTENSION pg_prewarm")
    environment = harness.environment(s, args)
    environment.pop("in process")
    environment["timings"] = (f"{args.seconds} s a point; pgbench -M prepared over a Unix socket, one client; recall@10 of "
                              f"{args.queries} queries")
    environment["indexes"] = "; ".join(f"{v}: {VARIANTS[v].method} ({VARIANTS[v].options})" for v in args.variants).replace(
        "{lists}", kinds.LIST_WORDS.get(args.lists, args.lists))
    results = {"environment": environment, "arguments": vars(args) | {}, "skipped": {}, "datasets": {}}

    def save():
        index_curves_report.save(results, args.result)

    def begin(data, out):
        harness.say_set(data)
        return CurveRun(s, data, args, out)
    harness.for_each_set(
        args.datasets, results,
        lambda name: some_queries(datasets.get(name, args.cache, args.data, args.rows, args.seed), args.queries), begin,
        lambda run: run.measure(save))
    save()
    print("\n".join(index_curves_report.rendered(results)))
    print("\n".join("written: " + p for p in index_curves_report.draw(results, args.result)))
    return 0 if results["datasets"] else 1


if __name__ == "__main__":
    sys.exit(main())

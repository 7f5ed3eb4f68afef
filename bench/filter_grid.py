#!/usr/bin/python3
# Measures filtered queries on the running server; bench/measure --filter-grid starts it.
"""The filter grid: recall, QPS and latencies of filtered queries, for each selectivity, arrangement and kind of index, by
the plan that the planner chooses and by each plan forced. Writes filters.json, filters.md and pictures.

The server is the one PGHOST, PGPORT and PGUSER name; it gets the databases vecann and pgvector, which must not exist.
Run it through bench/filter-grid, or bench/measure --filter-grid on a machine that has the peers.
"""
import argparse
import collections
import json
import os
import re
import sys
import tempfile
import time

import numpy

import datasets
import filter_data
import filter_plots
import filter_report
import harness
import kinds
import server
import stages
import truth

PEERS = ["vecann", "pgvector"]
DEFAULT_SETS = ["gen-1000000x128", "tate"]
STRATEGY_SETTINGS = {"bitmap search": "vecann.enable_bitmap_search", "exact": "vecann.enable_exact_search",
                     "post-filter": "vecann.enable_post_filter"}
# Plans of the server itself are kept out by the price of a sort, and of reading the whole table.
ONLY_INDEX = {"enable_sort": "off", "enable_seqscan": "off"}
ITERATIVE = "hnsw, iterative"  # pgvector's own index for certain
ONLY_SORT = {"enable_indexscan": "off"}
BATCH = 10
WIDER = 4  # times ef_search, where pgvector's index has not the recall without


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("datasets", nargs="*", help=f"gen-ROWSxDIM and tate; default: {' '.join(DEFAULT_SETS)}")
    p.add_argument("--quick", action="store_true", help="20,000 rows, few queries, one second: tests the grid itself")
    p.add_argument("--queries", type=int, default=100, help="of each cell, 100 at most")
    p.add_argument("--seconds", type=float, default=2, help="of one timing")
    p.add_argument("--patience", type=float, default=20, help="seconds for the recall of one plan; fewer queries then")
    p.add_argument("--ef", type=int, default=40, help="hnsw.ef_search")
    p.add_argument("--kinds", type=harness.words(list(filter_data.KINDS)), default=list(filter_data.KINDS),
                   help="of btree,full text,jsonb")
    p.add_argument("--cells", default="", metavar="PATTERN", help="only cells whose name matches this regular expression")
    p.add_argument("--peers", type=harness.words(PEERS), default=PEERS)
    p.add_argument("--planning", action="store_true", help="plan each execution anew (pgbench -M extended)")
    p.add_argument("--let-halt", action="store_true")
    p.add_argument("--rows", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--cache", default=datasets.default_cache())
    p.add_argument("--data", default=datasets.default_data())
    p.add_argument("--result", default="build/bench")
    p.add_argument("--bindir", required=True)
    p.add_argument("--load-before", type=float, default=os.getloadavg()[0])
    p.add_argument("--commit", default="")
    args = p.parse_args()
    if args.quick:
        args.datasets = args.datasets or ["gen-20000x32"]
        args.queries, args.seconds, args.patience = min(args.queries, 20), min(args.seconds, 1), min(args.patience, 5)
    args.datasets = args.datasets or DEFAULT_SETS
    args.queries = min(args.queries, 100)  # pgbench takes 128 scripts
    args.seconds = max(1, int(args.seconds))  # and counts whole seconds
    args.rounds = 1
    args.synchronous_commit, args.threads = "on", os.cpu_count()
    return args


class FilterRun:
    """All cells of one data set. out: this data set's part of the results."""

    def __init__(self, s, data, args, out):
        self.server, self.data, self.args, self.out = s, data, args, out
        self.operator, self.opclass = stages.OPERATORS[data.metric]
        out |= {"rows": len(data.base), "dim": data.base.shape[1], "metric": data.metric, "unfiltered": {}, "cells": []}
        self.cell_of = {}

    # ---- load ----------------------------------------------------------------------

    def load(self):
        definition, lines = self.data.attributes
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".copy", dir=self.args.result) as f:
            f.writelines(lines)
            f.flush()
            for db in self.args.peers:
                stages.say(f"{db}: loading {len(self.data.base)} x {self.data.base.shape[1]}, and its indexes")
                self.load_one(db, definition, f.name)

    def load_one(self, db, definition, path):
        dim = self.data.base.shape[1]
        self.server.sql(db, f"""DROP TABLE IF EXISTS items, queries, vectors, attributes;
            CREATE TABLE vectors (id int, v vector({dim}));
            CREATE TABLE queries (id int PRIMARY KEY, v vector({dim}));
            CREATE TABLE attributes ({definition});
            \\copy attributes FROM '{path}'""")
        self.server.load(db, "vectors", self.data.base)
        self.server.load(db, "queries", self.data.queries)
        self.server.sql(db, f"""SET work_mem = '512MB';
            CREATE TABLE items AS SELECT id, {self.data.columns}, v FROM vectors JOIN attributes USING (id) ORDER BY id;
            DROP TABLE vectors, attributes;
            VACUUM (FREEZE, ANALYZE) queries""")
        for name, what in self.data.indexes.items():
            self.server.sql(db, f"CREATE INDEX {name} ON items USING {what}")
        self.server.sql(db, f"""CREATE INDEX items_v ON items USING hnsw (v {self.opclass})
            WITH (m = 16, ef_construction = 64);
            VACUUM (FREEZE, ANALYZE) items;
            SELECT pg_prewarm(oid) FROM pg_class WHERE relname ~ '^(items|queries)' AND relkind IN ('r', 'i')""")

    # ---- plans ----------------------------------------------------------------------

    def plans(self, db):
        """{name: settings} of the plans to measure; "planner" is the choice, the others are forced."""
        common = {"hnsw.ef_search": self.args.ef}
        sort = common | ONLY_SORT
        if db == "pgvector":
            common = common | {"hnsw.iterative_scan": "relaxed_order"}
            return {"planner": common, ITERATIVE: common | ONLY_INDEX, "exact, sort": sort}
        known = set(self.server.sql(db, "LOAD 'vecann';\nSELECT name FROM pg_settings WHERE name ~ '^vecann[.]'").split())
        found = {name: setting for name, setting in STRATEGY_SETTINGS.items() if setting in known}
        # with one way to search there is nothing to forbid
        forced = {name: {other: "off" for other in found.values() if other != setting}
                  for name, setting in found.items()} or {"post-filter": {}}
        out = {"planner": common} | {name: common | ONLY_INDEX | off for name, off in forced.items()}
        return out | {"index scan": common | ONLY_INDEX | {"vecann.enable_custom_scan": "off"},
                      "exact, sort": sort | {"vecann.enable_custom_scan": "off"}}

    def sql(self, query, filtered=True):
        where = f"WHERE {query.condition} " if filtered else ""
        return (f"SELECT id FROM items {where}ORDER BY v {self.operator} (SELECT v FROM queries WHERE id = {query.number}) "
                f"LIMIT {filter_data.K}")

    def taken(self, db, cell, options):
        """(what most queries take, how many where not all do; switches seen in a few) by EXPLAIN."""
        load = "LOAD 'vecann';\n" if db == "vecann" else ""
        plain = "\n".join(f"\\echo =\nEXPLAIN (COSTS OFF) {self.sql(q)};" for q in cell.queries)
        texts = self.server.sql(db, load + plain, options).split("=\n")[1:]
        name, count = collections.Counter(strategy_of(t) for t in texts).most_common(1)[0]
        switched = sum("Switched" in self.server.sql(db, f"{load}EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {self.sql(q)}",
                                                     options) for q in cell.queries[:3])
        return name if count == len(texts) else f"{name} ({count} of {len(texts)})", switched

    # ---- one plan of one cell ---------------------------------------------------------

    def recall(self, db, cell, options):
        """Runs the queries, as many as patience allows: (recall, queries run, answers with too few rows)."""
        started = time.monotonic()
        hits = wanted = short = done = 0
        for start in range(0, len(cell.queries), BATCH):
            batch = cell.queries[start:start + BATCH]
            text = "\n".join(f"\\echo =\n{self.sql(q)};" for q in batch)
            answers = [[int(x) for x in part.split()] for part in self.server.sql(db, text, options).split("=")[1:]]
            for q, ids in zip(batch, answers):
                rows = numpy.unique(ids).astype(numpy.int64)
                good = 0
                if len(rows):
                    d = truth.exact_distances(self.data.base[rows], self.data.queries[q.number], self.data.metric)
                    good = int(numpy.sum(d <= q.limit))
                hits += min(good, q.wanted)
                wanted += q.wanted
                short += len(ids) < q.wanted
            done += len(batch)
            if time.monotonic() - started > self.args.patience:
                break
        return hits / wanted if wanted else 1.0, done, short

    def timing(self, db, cell, options, done, filtered=True):
        scripts = [self.sql(q, filtered) + ";\n" for q in cell.queries[:done]]
        # A connection plans each statement once, and maps the pages that it reads: not what a prepared query takes.
        return self.server.pgbench(db, scripts, 1, ("-T", self.args.seconds), options, 1,
                                   "extended" if self.args.planning else "prepared", warm_up=self.args.seconds)

    def plan_result(self, db, cell, options):
        taken, switched = self.taken(db, cell, options)
        recall, done, short = self.recall(db, cell, options)
        run = self.timing(db, cell, options, done)
        return {"taken": taken, "switched": switched, "recall": recall, "queries": done, "short": short} | run

    def plan_results(self, db, cell, plans):
        out = {name: self.plan_result(db, cell, options) for name, options in plans.items()}
        narrow = out.get(ITERATIVE)
        if narrow and (narrow["recall"] < filter_report.ENOUGH or narrow["short"]):
            ef = WIDER * self.args.ef
            out[f"{ITERATIVE}, ef {ef}"] = self.plan_result(db, cell, plans[ITERATIVE] | {"hnsw.ef_search": ef})
        return out

    def bitmap_p99(self, cell):
        """99th percentile of the bare bitmap, in milliseconds: what the server's own bitmap nodes take."""
        times = []
        started = time.monotonic()
        for q in cell.queries:
            text = self.server.sql(self.args.peers[0], "EXPLAIN (ANALYZE, FORMAT JSON) SELECT count(*) FROM items "
                                   f"WHERE {q.condition}", {"enable_seqscan": "off", "enable_indexscan": "off",
                                                            "enable_indexonlyscan": "off"})
            times.append(bitmap_time(json.loads(text)[0]["Plan"]))
            if time.monotonic() - started > self.args.patience:
                break
        return float(numpy.percentile(times, 99))

    def measure(self, save):
        plans = {db: self.plans(db) for db in self.args.peers}
        with server.kept_awake(not self.args.let_halt):
            for db in self.args.peers:
                self.out["unfiltered"][db] = self.timing(db, self.data.cells[0], plans[db]["planner"],
                                                         len(self.data.cells[0].queries), filtered=False)
            for cell in self.data.cells:
                if cell.kind in self.args.kinds and re.search(self.args.cells, cell.name):
                    self.measure_cell(cell, plans)
                    save()

    def measure_cell(self, cell, plans):
        result = {"name": cell.name, "group": cell.group, "arrangement": cell.arrangement,
                  "selectivity": cell.selectivity, "kind": cell.kind,
                  "passing": float(numpy.median([q.passing for q in cell.queries])), "bitmap_p99_ms": self.bitmap_p99(cell),
                  "plans": {db: self.plan_results(db, cell, plans[db]) for db in self.args.peers}}
        self.out["cells"].append(result)
        ours = result["plans"][self.args.peers[0]]["planner"]
        stages.say(f"{cell.name}: {ours['taken']}, recall {ours['recall']:.3f}, {ours['tps']:.0f} a second; best forced "
                   f"{filter_report.best_forced(result, self.args.peers[0])}")

    def close(self):
        for db in self.args.peers:
            self.server.sql(db, "DROP TABLE IF EXISTS items, queries, vectors, attributes; CHECKPOINT")


def strategy_of(plan):
    """What a plan does, in two words."""
    found = re.search(r"Strategy: (.*)", plan)
    if found:
        return found.group(1).strip()
    if "VectorScan" in plan:
        return "post-filter"
    if "Index Scan using items_v" in plan:
        return "index scan"
    if "Bitmap Heap Scan" in plan:
        return "bitmap, sort"
    return "seq scan, sort" if "Seq Scan on items" in plan else "index, sort"


def bitmap_time(node):
    """Actual time of the topmost bitmap node below a bitmap heap scan; 0 where there is none."""
    if node["Node Type"] in ("Bitmap Index Scan", "BitmapAnd", "BitmapOr"):
        return node["Actual Total Time"] * node["Actual Loops"]
    return sum(bitmap_time(child) for child in node.get("Plans", []))


def filter_set(name, args):
    if name == "tate":
        return filter_data.tate(args.data, args.queries, args.seed, stages.say)
    data = datasets.get(name, args.cache, args.data, args.rows, args.seed)
    if data.metric != "l2":
        raise datasets.Missing(f"{name} has no columns to filter by")
    return filter_data.generated(data, args.queries, args.seed, stages.say)


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
    environment["timings"] = (f"{args.seconds} s a plan, up to {args.queries} queries in random order; pgbench -M "
                              f"{'extended' if args.planning else 'prepared'} over a Unix socket, one client; "
                              f"ef_search {args.ef}, LIMIT {filter_data.K}")
    results = {"environment": environment, "arguments": vars(args) | {}, "skipped": {}, "datasets": {}}

    def save():
        filter_report.save(results, args.result)

    def measure(run):
        run.load()
        run.measure(save)
    harness.for_each_set(args.datasets, results, lambda name: filter_set(name, args),
                         lambda data, out: FilterRun(s, data, args, out), measure)
    save()
    print("\n".join(filter_report.rendered(results)))
    print("\n".join("written: " + p for p in filter_plots.draw(results, args.result)))
    return 0 if results["datasets"] else 1


if __name__ == "__main__":
    sys.exit(main())

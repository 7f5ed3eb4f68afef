"""The stages of one data set: build, recall, qps, insert, vacuum, churn, disk, lookups. Each fills its part of the results.

Who is measured, and with which index: kinds.py. A peer of the server is a database of the same name; all have the same
tables:
  items (id, v)      the base, with the index items_v;   plain: the same without index, for what a bare insert costs
  queries (id, v)    with a primary key;                 extra (id, v): rows to insert, with a primary key
Measurements of the peers alternate, so that what disturbs the machine disturbs all of them; only one runs at a time.
"""
import contextlib
import os
import re
import statistics
import time

import numpy

import in_process
import kinds
import server
import truth

OPERATORS = {"l2": ("<->", "vector_l2_ops"), "cosine": ("<=>", "vector_cosine_ops")}
# Rows that a stage adds: their ids modulo this are the base rows of equal vectors (churn), or extra rows (insert).
MOVED = 100_000_000
ADDED = 1_000_000_000
BUILT = "-built"  # of the name of a database's copy, its index as built
COLD_QUERIES = 200
ENOUGH = 0.95  # the recall at which more clients than cores are timed
LOOKUPS = 12  # rows that a query of the stage lookups reads: about as long as a search of ten neighbours
COUNTERS = ("nodes_expanded", "pages_touched", "codes_scored", "exact_distances")


class DatasetRun:
    """All stages of one data set. settings: see harness.py; out: this data set's part of the results."""

    def __init__(self, server, data, settings, out):
        self.server, self.data, self.settings, self.out = server, data, settings, out
        self.operator, self.opclass = OPERATORS[data.metric]
        self.kind = kinds.KINDS[settings.index]
        self.lists = kinds.lists_of(settings.lists, len(data.base)) if self.kind.lists else None
        self.databases = [p for p in settings.peers if self.kind.peers[p].extension]
        self.libraries = {}
        out["data"] = {"rows": len(data.base), "dim": data.dim, "metric": data.metric, "queries": len(data.queries),
                       "extra": len(data.extra), "spec": data.meta["spec"]}
        out["index"], out["effort"], out["lists"] = settings.index, self.kind.effort, self.lists
        self.sweep = [v for v in settings.sweep if self.lists is None or v <= self.lists]
        out["peers"] = {p: {"sweep": {str(v): {} for v in self.sweep if self.knows(p, v)}} for p in settings.peers}

    def knows(self, peer, value):
        """Whether a value of the sweep means something to a peer."""
        return value != kinds.CHOSEN or self.kind.peers[peer].chooses

    def peer(self, name):
        return self.out["peers"][name]

    def query(self, parameter):
        return (f"SELECT id FROM items ORDER BY v {self.operator} (SELECT v FROM queries WHERE id = {parameter}) "
                f"LIMIT 10")

    def options(self, db, value):
        return {self.kind.peers[db].setting: value, "enable_seqscan": "off"}

    # ---- load and build --------------------------------------------------------

    def load(self):
        """Makes and fills the tables of every database."""
        storage = f"ALTER TABLE items ALTER v SET STORAGE {self.settings.storage};" if self.settings.storage else ""
        for db in self.databases:
            say(f"{db}: loading {len(self.data.base)} x {self.data.dim}")
            self.server.sql(db, f"""
                DROP TABLE IF EXISTS items, queries, extra, plain;
                DROP SEQUENCE IF EXISTS taken_items, taken_plain;
                CREATE TABLE items (id int, v vector({self.data.dim}))
                    WITH (parallel_workers = {max(0, self.settings.threads - 1)});
                {storage}
                CREATE TABLE plain (LIKE items INCLUDING STORAGE);
                CREATE TABLE queries (id int PRIMARY KEY, v vector({self.data.dim}));
                CREATE TABLE extra (id int PRIMARY KEY, v vector({self.data.dim}));
                CREATE SEQUENCE taken_items MINVALUE 0; CREATE SEQUENCE taken_plain MINVALUE 0""")
            for table, vectors in (("queries", self.data.queries), ("extra", self.data.extra)):
                self.server.load(db, table, vectors)
            self.server.load(db, "items", self.data.base, frozen=True)
            self.server.sql(db, "VACUUM (FREEZE, ANALYZE) items; VACUUM ANALYZE queries; VACUUM ANALYZE extra")

    def create_index(self, db):
        """(seconds, memory, warnings) of building the index."""
        self.server.sql(db, "DROP INDEX IF EXISTS items_v")
        peer = self.kind.peers[db]
        return self.server.timed(db, "", f"CREATE INDEX items_v ON items USING {peer.method} (v {self.opclass}) "
                                 f"WITH ({peer.options.format(lists=self.lists)})")

    def start_library(self, name):
        """Makes the index of a library."""
        options = [self.lists, kinds.subquantizers(self.data.dim), self.settings.refine] if self.kind.lists else [16, 64]
        return in_process.InProcess(self.settings.program, self.kind.peers[name].program, self.data,
                                    self.settings.threads, options)

    def build(self):
        for _ in range(self.settings.build_rounds):
            for db in self.databases:
                self.server.sql(db, "CHECKPOINT")
                before = self.server.wal_position()
                seconds, memory, messages = self.create_index(db)
                built = self.peer(db).setdefault("build", {"rounds": []})
                built["rounds"].append(seconds)
                built |= {"seconds": statistics.median(built["rounds"]), "messages": messages,
                          "wal_bytes": self.server.wal_position() - before, **memory}
                self.peer(db)["build"] = built
                self.peer(db)["index_bytes"] = self.server.integer(db, "SELECT pg_relation_size('items_v')")
                self.peer(db)["table_bytes"] = self.server.integer(db, "SELECT pg_table_size('items')")
                say(f"{db}: built in {seconds:.1f} s, {self.peer(db)['index_bytes'] / 1e6:.0f} MB, peak "
                    f"{memory['peak_bytes'] / 1e6:.0f} MB {' '.join(messages)}")
        for name in self.settings.peers:
            if name not in self.databases:
                self.libraries[name] = self.start_library(name)
                built = self.libraries[name].built
                self.peer(name)["build"] = {"seconds": built["build_seconds"], "peak_bytes": built["peak_bytes"]}
                self.peer(name)["index_bytes"] = built["bytes"]
                self.peer(name)["what"] = built["what"].strip()
                if "GENERIC" in built["what"]:
                    self.out.setdefault("warnings", []).append(
                        "FAISS is built for any x86-64 here: without AVX2 its scans of 4-bit codes are several times "
                        "slower than they can be")
                say(f"{name} in process: built in {built['build_seconds']:.1f} s with {built['threads']} threads, "
                    f"{self.peer(name)['what']}")
        if {"vacuum", "churn"} & set(self.settings.stage):
            for db in self.databases:
                self.server.copy_database(db, db + BUILT)

    # ---- recall, pages, QPS ------------------------------------------------------

    def warm(self):
        """Reads tables and indexes of every database into shared buffers; says so when they do not fit."""
        total = 0
        for db in self.databases:
            self.warm_one(db)
            total += self.server.integer(db, "SELECT pg_total_relation_size('items')")
        buffers = self.server.integer("postgres", "SELECT setting::bigint * 8192 FROM pg_settings "
                                      "WHERE name = 'shared_buffers'")
        if total > 0.9 * buffers:
            self.out.setdefault("warnings", []).append("tables and indexes do not fit into shared_buffers")
            say("WARNING: tables and indexes do not fit into shared_buffers: QPS will include reads")

    def warm_one(self, db):
        self.server.sql(db, """SELECT pg_prewarm(c.oid) FROM pg_class c WHERE c.oid IN ('items'::regclass,
            'queries'::regclass, 'queries_pkey'::regclass, 'items_v'::regclass,
            (SELECT NULLIF(reltoastrelid, 0) FROM pg_class WHERE oid = 'items'::regclass))""")

    def blocks(self, db):
        """Buffers that the index, the heap and its toast table were asked for so far."""
        text = self.server.sql(db, """SELECT idx, heap_blks_hit + heap_blks_read, coalesce(toast_blks_hit, 0) +
            coalesce(toast_blks_read, 0) + coalesce(tidx_blks_hit, 0) + coalesce(tidx_blks_read, 0)
            FROM pg_statio_user_tables JOIN LATERAL (SELECT idx_blks_hit + idx_blks_read AS idx
            FROM pg_statio_user_indexes WHERE indexrelname = 'items_v') i ON true WHERE relname = 'items'""")
        return numpy.array([int(x) for x in text.split("|")])

    def search(self, db, value):
        """Runs all queries in one session: (ids of each query, counters of vecann_last_scan or None)."""
        counters = self.server.sql(db, "SELECT to_regproc('vecann_last_scan')")
        lines = [f"PREPARE nearest (int) AS {self.query('$1')};"]
        for i in range(len(self.data.queries)):
            lines.append(f"\\echo ={i}\nEXECUTE nearest ({i});")
            if counters:
                lines.append(f"SELECT {', '.join(COUNTERS)} FROM vecann_last_scan();")
        returned, scans = [], []
        for line in self.server.sql(db, "\n".join(lines), self.options(db, value)).splitlines():
            if line.startswith("="):
                returned.append([])
            elif "|" in line:
                scans.append([float(x or 0) for x in line.split("|")])
            else:
                returned[-1].append(int(line) % MOVED if int(line) < ADDED else -1)
        return returned, dict(zip(COUNTERS, numpy.mean(scans, axis=0).tolist())) if scans else None

    def recall_of(self, db, value):
        returned, scan = self.search(db, value)
        return truth.recall(self.data.base, self.data.queries, self.data.metric, returned, self.data.limits), scan

    def require_index_scan(self, db, value):
        plan = self.server.sql(db, f"EXPLAIN (COSTS OFF) {self.query(0)}", self.options(db, value))
        if not re.search(r"(Index Scan using|Index:) items_v", plan):
            raise SystemExit(f"{db} does not use its index:\n{plan}")

    def recall(self):
        self.warm()
        for db in self.databases:
            for value in [v for v in self.sweep if self.knows(db, v)][-1:]:
                self.require_index_scan(db, value)
        for value in self.sweep:
            known = [p for p in self.settings.peers if self.knows(p, value)]
            for db in [p for p in known if p in self.databases]:
                before = self.blocks(db)
                recall, scan = self.recall_of(db, value)
                index, heap, toast = ((self.blocks(db) - before) / len(self.data.queries)).tolist()
                point = {"recall": recall, "index_pages": index, "heap_pages": heap, "toast_pages": toast}
                if scan:
                    point["scan"] = scan
                self.peer(db)["sweep"][str(value)] |= point
            for name in [p for p in known if p in self.libraries]:
                self.peer(name)["sweep"][str(value)]["recall"] = self.libraries[name].recall(value)
            say(f"{self.kind.effort} {value}: recall " + ", ".join(
                f"{p} {self.peer(p)['sweep'][str(value)].get('recall', 0):.4f}" for p in known))

    def qps(self):
        self.warm()
        script = f"\\set n random(0, {len(self.data.queries) - 1})\n{self.query(':n')};\n"
        for number in range(self.settings.rounds):
            for clients in self.settings.clients:
                with server.kept_awake(not self.settings.let_halt):
                    for value in self.sweep:
                        self.qps_once(script, value, clients, number)
                say(f"round {number + 1} of {self.settings.rounds}, {clients} clients: done")
        for peer in self.out["peers"].values():
            for point in peer["sweep"].values():
                for runs in point.get("qps", {}).values():
                    for what in ("tps", "p50_ms", "p99_ms"):
                        if what in runs["rounds"][0]:
                            runs[what] = statistics.median(r[what] for r in runs["rounds"])

    def timed_at(self, peer, clients):
        """The values of the sweep at which a peer is timed with so many clients: all of them; with more clients than cores,
        where each of them has shared buffers to map first, the least that has the recall wished for."""
        known = [v for v in self.sweep if self.knows(peer, v)]
        if clients <= os.cpu_count() or not all("recall" in self.peer(peer)["sweep"][str(v)] for v in known):
            return known
        ordered = sorted(v for v in known if v != kinds.CHOSEN) or known
        return [v for v in ordered if self.peer(peer)["sweep"][str(v)]["recall"] >= ENOUGH][:1] or ordered[-1:]

    def seconds_of(self, clients):
        """Length of a timing. With more clients than cores each of them has shared buffers to map first."""
        return max(self.settings.seconds, self.settings.many_seconds) if clients > os.cpu_count() else self.settings.seconds

    def warm_up_of(self, clients):
        return self.seconds_of(clients) if clients > os.cpu_count() else 1

    def qps_once(self, script, value, clients, number):
        """Every peer once, one after the other."""
        seconds = self.seconds_of(clients)
        for peer in self.settings.peers:
            if value not in self.timed_at(peer, clients):
                continue
            if peer in self.databases:
                run = self.server.pgbench(peer, script, clients, ("-T", seconds), self.options(peer, value), number + 1,
                                          warm_up=self.warm_up_of(clients))
                self.add_run(peer, value, clients, run)
            elif clients == 1:
                run = {"tps": self.libraries[peer].speed(value, self.settings.seconds)}
                self.add_run(peer, value, 1, run)

    def add_run(self, peer, value, clients, run):
        point = self.peer(peer)["sweep"][str(value)]
        point.setdefault("qps", {}).setdefault(str(clients), {"rounds": []})["rounds"].append(run)

    def lookups(self):
        """What the machine does to any server with more clients than cores: queries of a few rows by primary key, of a table
        of a million."""
        db, rows, places = self.databases[0], 1_000_000, 5000
        self.server.sql(db, f"""
            DROP TABLE IF EXISTS many;
            CREATE TABLE many AS SELECT i AS id, repeat('x', 200) AS pad FROM generate_series(0, {rows - 1}) i;
            ALTER TABLE many ADD PRIMARY KEY (id);
            VACUUM (FREEZE, ANALYZE) many""")
        # far apart, in no order
        row = f"((g * 829346951::bigint * (:n + 1)) % {rows})::int"
        script = (f"\\set n random(0, {places - 1})\nSELECT sum(length(pad)) FROM generate_series(1, {LOOKUPS}) g, LATERAL "
                  f"(SELECT pad FROM many WHERE id = {row}) x;\n")
        self.out["lookups"] = {}
        for _ in range(self.settings.rounds):
            for clients in self.settings.clients:
                seconds = self.seconds_of(clients)
                with server.kept_awake(not self.settings.let_halt):
                    run = self.server.pgbench(db, script, clients, ("-T", seconds), seed=1, warm_up=self.warm_up_of(clients))
                self.out["lookups"].setdefault(str(clients), []).append(run["tps"])
                say(f"{LOOKUPS} look-ups by primary key, {clients} clients: {run['tps']:.0f} a second")
        self.server.sql(db, "DROP TABLE many")

    # ---- insert, vacuum, churn -----------------------------------------------------

    def insert_run(self, db, table, clients, rows):
        """rows single-row inserts by some clients: inserts a second, WAL bytes an insert."""
        script = (f"INSERT INTO {table} (id, v) SELECT {ADDED} + id, v FROM extra "
                  f"WHERE id = (SELECT nextval('taken_{table}'));\n")
        before = self.server.wal_position()
        run = self.server.pgbench(db, script, clients, ("-t", max(1, rows // clients)),
                                  {"synchronous_commit": self.settings.synchronous_commit})
        return run["tps"], (self.server.wal_position() - before) / run["count"]

    def insert(self):
        clients = sorted({1, self.settings.threads})
        runs = 1 + self.settings.rounds * len(clients)
        rows = min(self.settings.inserts, len(self.data.extra) // runs)
        for db in self.databases:
            self.peer(db)["insert"] = {t: {"rate": {c: [] for c in clients}, "wal_after_checkpoint": []}
                                       for t in ("items", "plain")}
        for _ in range(self.settings.rounds):
            for c in clients:
                for db in self.databases:
                    for table in ("items", "plain"):
                        self.server.sql(db, "CHECKPOINT")
                        rate, wal = self.insert_run(db, table, c, rows)
                        self.peer(db)["insert"][table]["rate"][c].append(rate)
                        self.peer(db)["insert"][table]["wal_after_checkpoint"].append(wal)
        with self.server.setting("full_page_writes", "off"):
            for db in self.databases:
                for table in ("items", "plain"):
                    self.peer(db)["insert"][table]["wal"] = self.insert_run(db, table, 1, rows)[1]
        for db in self.databases:
            self.peer(db)["insert"] = summed_insert(self.peer(db)["insert"], rows)
            say(f"{db}: inserts {self.peer(db)['insert']}")

    def fresh(self, db):
        """The table and index as built, after stages that changed them."""
        self.server.copy_database(db + BUILT, db)
        self.warm_one(db)

    def vacuum(self):
        for db in self.databases:
            self.fresh(db)
            self.server.sql(db, "DELETE FROM items WHERE id % 10 = 3; CHECKPOINT")
            before = self.server.wal_position()
            patience = self.settings.patience
            try:
                seconds, memory, _ = self.server.timed(db, f"SET statement_timeout = '{1000 * patience:.0f}ms';",
                                                       "VACUUM (INDEX_CLEANUP ON) items")
            except server.SqlError as error:
                if not error.timed_out():
                    raise
                self.peer(db)["vacuum"] = {"seconds": patience, "cut": True}
                say(f"{db}: VACUUM after deleting 10 % was ended after {patience:.0f} s")
                continue
            self.peer(db)["vacuum"] = {"seconds": seconds, "wal_bytes": self.server.wal_position() - before, **memory}
            say(f"{db}: VACUUM after deleting 10 % in {seconds:.1f} s")

    def churn(self):
        """Replaces the rows, step by step, by rows of equal vectors: the truth stays what it is. Ends for a peer when
        patience does; what it has reached by then stays."""
        for db in self.databases:
            self.fresh(db)
            steps = self.peer(db)["churn"] = {"0": self.churned(db, 0)}
            reached, spent = 0, 0
            for percent in self.settings.churn_steps:
                try:
                    spent += self.replace(db, reached, percent, self.settings.patience - spent)
                except server.SqlError as error:
                    if not error.timed_out():
                        raise
                    self.peer(db)["churn_cut"] = {"percent": percent, "seconds": self.settings.patience}
                    say(f"{db}: churn was ended before {percent} %, after {self.settings.patience:.0f} s")
                    break
                reached = percent
                steps[str(percent)] = self.churned(db, spent)
                say(f"{db}: churn {percent} %: {steps[str(percent)]}")

    def replace(self, db, reached, percent, patience):
        """Deletes the rows of a step, vacuums, and inserts them under other ids; the seconds it took."""
        chosen = f"id < {MOVED} AND id % 100 >= {reached} AND id % 100 < {percent}"
        started = time.monotonic()
        for text in (f"CREATE UNLOGGED TABLE moved AS SELECT * FROM items WHERE {chosen}; DELETE FROM items WHERE {chosen}",
                     "VACUUM (INDEX_CLEANUP ON) items",
                     f"INSERT INTO items SELECT id + {MOVED}, v FROM moved ORDER BY hashint4(id); DROP TABLE moved"):
            left = max(0.001, patience - (time.monotonic() - started))  # 0 would be without end
            self.server.sql(db, text, {"statement_timeout": f"{1000 * left:.0f}ms"})
        return time.monotonic() - started

    def churned(self, db, seconds):
        self.server.sql(db, "VACUUM ANALYZE items")
        return {"recall": {str(v): self.recall_of(db, v)[0] for v in self.settings.churn_sweep},
                "index_bytes": self.server.integer(db, "SELECT pg_relation_size('items_v')"), "seconds": seconds}

    # ---- an index that is not in memory ----------------------------------------------

    def disk(self):
        """Queries of one client right after table and index were dropped from shared buffers and from the system's cache,
        each query once; with read-ahead (effective_io_concurrency 16) and without. Needs the server's files, and shared
        buffers that are small against the index (measure --shared-buffers)."""
        buffers = self.server.integer("postgres", "SELECT setting::bigint * 8192 FROM pg_settings "
                                      "WHERE name = 'shared_buffers'")
        for db in self.databases:
            size = self.server.integer(db, "SELECT pg_relation_size('items_v')")
            if size < 3 * buffers:
                self.out.setdefault("warnings", []).append(f"disk: {db}'s index is only {size / buffers:.1f} times "
                                                           "shared_buffers")
        for number in range(self.settings.rounds):
            for db in self.databases:
                for ahead in (0, 16):
                    run = self.disk_once(db, ahead, number)
                    self.peer(db).setdefault("disk", {}).setdefault(str(ahead), []).append(run)
                    say(f"{db}: cold, effective_io_concurrency {ahead}: {run}")

    def disk_once(self, db, ahead, number):
        self.server.evict(db, ["items", "items_v"])
        rows = min(COLD_QUERIES, len(self.data.queries))
        first = number * rows % len(self.data.queries)
        lines = [f"PREPARE nearest (int) AS {self.query('$1')};", "SELECT clock_timestamp() AS began \\gset"]
        lines += [f"EXECUTE nearest ({(first + i) % len(self.data.queries)}) \\g /dev/null" for i in range(rows)]
        lines += ["SELECT extract(epoch FROM clock_timestamp() - :'began'::timestamptz);"]
        options = self.options(db, self.settings.churn_sweep[0]) | {"effective_io_concurrency": ahead}
        before = self.blocks_read(db)
        seconds = float(self.server.sql(db, "\n".join(lines), options))
        return {"ms": 1000 * seconds / rows, "index_pages_read": (self.blocks_read(db) - before) / rows}

    def blocks_read(self, db):
        """Pages of the index that were not in shared buffers; sessions report what they did when they end."""
        time.sleep(1)
        return self.server.integer(db, "SELECT idx_blks_read FROM pg_statio_user_indexes WHERE indexrelname = 'items_v'")

    def close(self):
        for library in self.libraries.values():
            library.close()
        for db in self.databases:
            with contextlib.suppress(Exception):
                self.server.sql(db, "DROP TABLE IF EXISTS items, queries, extra, plain, filler, moved; CHECKPOINT")
                self.server.sql("postgres", f'DROP DATABASE IF EXISTS "{db}{BUILT}"')


def summed_insert(raw, rows):
    """Medians, and the WAL that is the index's: that of the table with index less that of the table without."""
    def rates(table):
        return {str(c): statistics.median(r) for c, r in raw[table]["rate"].items()}

    def wal(table):
        return statistics.median(raw[table]["wal_after_checkpoint"])
    return {"rows": rows, "per_second": rates("items"), "per_second_without_index": rates("plain"),
            "wal_bytes": raw["items"]["wal"] - raw["plain"]["wal"],
            "wal_bytes_after_checkpoint": wal("items") - wal("plain"),
            "rounds": {str(c): r for c, r in raw["items"]["rate"].items()}}


def say(text):
    print(f"[{time.strftime('%H:%M:%S')} load {os.getloadavg()[0]:.1f}] {text}", flush=True)

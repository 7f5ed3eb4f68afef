"""The PostgreSQL server under measurement, through its own clients: psql, pgbench, and /proc for memory.

The server is named by PGHOST, PGPORT and PGUSER, its programs by the folder `bindir`. Nothing here measures two things
at a time: each call returns when its work is done.
"""
import contextlib
import glob
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time

import numpy

import npy_to_copy

LATENCY_DEVICE = "/dev/cpu_dma_latency"


class SqlError(Exception):
    """What psql or pgbench printed when it failed."""

    def timed_out(self):
        return "statement timeout" in str(self)


class Server:
    def __init__(self, bindir):
        self.bindir = bindir

    def program(self, name):
        return os.path.join(self.bindir, name)

    def psql(self, database):
        return [self.program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database]

    def sql(self, database, text, options=None):
        """Runs statements in one session; what they print. options: settings, as a dict."""
        done = subprocess.run(self.psql(database), input=text, text=True, capture_output=True, env=environment(options))
        if done.returncode:
            raise SqlError(f"{database}: {done.stderr.strip()}\nin: {text[:500]}")
        return done.stdout.strip()

    def number(self, database, text):
        return float(self.sql(database, text))

    def integer(self, database, text):
        return int(self.sql(database, text))

    def load(self, database, table, vectors, frozen=False):
        """Binary COPY into (id, v); ids count from 0. frozen: in place of what the table holds, so that no vacuum has to
        write the rows once more."""
        copy = f"COPY {table} (id, v) FROM STDIN (FORMAT binary{', FREEZE' if frozen else ''})"
        commands = ["BEGIN", f"TRUNCATE {table}", copy, "COMMIT"] if frozen else [copy]
        with subprocess.Popen(self.psql(database) + [x for c in commands for x in ("-c", c)], stdin=subprocess.PIPE) as p:
            npy_to_copy.write_copy(p.stdin, vectors)
            p.stdin.close()
            if p.wait():
                raise SqlError(f"could not load {table} in {database}")

    def copy_database(self, source, target):
        """A copy of a whole database, file by file: sooner made than an index is built. Nobody may be connected to either."""
        self.sql("postgres", f"""DROP DATABASE IF EXISTS "{target}";
            CREATE DATABASE "{target}" TEMPLATE "{source}" STRATEGY file_copy""")

    def timed(self, database, setup, statement):
        """Runs setup, then one statement whose time and memory are taken: (seconds, memory dict, warnings)."""
        with tempfile.TemporaryFile("w+") as messages, subprocess.Popen(
                self.psql(database), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages, text=True) as p:
            p.stdin.write(f"{setup}\nSELECT pg_backend_pid();\n")
            p.stdin.flush()
            pid = p.stdout.readline().strip()
            if pid:
                with MemoryProbe(int(pid)) as probe:
                    started = time.monotonic()
                    p.stdin.write(f"{statement};\n\\echo done\n")
                    p.stdin.flush()
                    answer = p.stdout.readline().strip()
                    seconds = time.monotonic() - started
            p.stdin.close()
            p.wait()
            messages.seek(0)
            text = messages.read().strip()
            if not pid or answer != "done":
                raise SqlError(f"{database}: {text}\nin: {statement}")
        return seconds, probe.result(), text.splitlines()

    def wal_position(self):
        return self.integer("postgres", "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")

    def pgbench(self, database, scripts, clients, length, options=None, seed=1, protocol="prepared", warm_up=0):
        """One run. scripts: one, or a list (at most 128) to draw from. length: ("-T", seconds) or ("-t", transactions a
        client). warm_up: seconds before those, which do not count (a new connection maps shared buffers page by page).
        Returns tps and the latencies' median and 99th percentile in milliseconds."""
        if warm_up:
            length = (length[0], length[1] + warm_up)
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for i, script in enumerate([scripts] if isinstance(scripts, str) else scripts):
                path = os.path.join(folder, f"script{i}.sql")
                files += ["-f", path]
                with open(path, "w", encoding="utf-8") as f:
                    f.write(script)
            command = [self.program("pgbench"), "-n", "-M", protocol, "-c", str(clients), "-j",
                       str(min(clients, os.cpu_count())), length[0], str(length[1]), *files, "-l", "--log-prefix",
                       os.path.join(folder, "log"), "--random-seed", str(seed), database]
            done = subprocess.run(command, text=True, capture_output=True, env=environment(options))
            tps = re.search(r"^tps = ([0-9.]+)", done.stdout, re.M)
            if done.returncode or not tps:
                raise SqlError(f"pgbench on {database}: {done.stderr.strip()}")
            log = numpy.concatenate([transactions(p) for p in glob.glob(os.path.join(folder, "log.*"))])
        ends, times, rate = log[:, 0], log[:, 1], float(tps.group(1))
        counted = ends > ends.min() + warm_up * 1e6
        if warm_up and counted.any():  # else so slow that all count
            times = times[counted]
            rate = len(times) / (ends.max() - ends.min() - warm_up * 1e6) * 1e6
        p50, p99 = numpy.percentile(times, [50, 99]) / 1000
        return {"tps": rate, "p50_ms": float(p50), "p99_ms": float(p99), "count": len(times)}

    @contextlib.contextmanager
    def setting(self, name, value):
        """A setting of the whole server, for the time of a block."""
        self.sql("postgres", f"ALTER SYSTEM SET {name} = {value};\nSELECT pg_reload_conf()")
        try:
            self.await_setting(name, value)
            yield
        finally:
            self.sql("postgres", f"ALTER SYSTEM RESET {name};\nSELECT pg_reload_conf()")
            time.sleep(0.5)

    def evict(self, database, relations):
        """Drops relations from shared buffers, by reading as much else, and from the system's cache of files."""
        self.sql(database, """CREATE TABLE IF NOT EXISTS filler AS SELECT repeat('x', 1800) AS x FROM generate_series(1,
            (SELECT setting::int * 3 FROM pg_settings WHERE name = 'shared_buffers'));
            CHECKPOINT; SELECT pg_prewarm('filler'); SELECT pg_prewarm('filler')""")
        folder = self.sql(database, "SHOW data_directory")
        for relation in relations:
            path = os.path.join(folder, self.sql(database, f"SELECT pg_relation_filepath('{relation}')"))
            for part in [path] + glob.glob(path + ".*"):
                descriptor = os.open(part, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(descriptor)

    def await_setting(self, name, value):
        for _ in range(100):
            if self.sql("postgres", f"SHOW {name}") == value:
                return
            time.sleep(0.05)
        raise SqlError(f"{name} did not become {value}")


def can_poll():
    """Do the processors have an idle state in which they do not halt, and may this process ask for it?"""
    try:
        with open("/sys/devices/system/cpu/cpu0/cpuidle/state0/name", encoding="ascii") as f:
            return f.read().strip() == "POLL" and os.access(LATENCY_DEVICE, os.W_OK)
    except OSError:
        return False


def idling(kept):
    """What processors do while idle, in words, inside of kept_awake(kept)."""
    return ("poll while idle" if can_poll() else "kept from halting by loops") if kept else "may halt"


@contextlib.contextmanager
def kept_awake(wanted=True):
    """Keeps every processor from halting for the time of a block: by the kernel, which polls while idle as long as somebody
    asks for a latency of 0 (Documentation/power/pm_qos_interface.rst); where it cannot, by a loop on each processor that
    runs when nothing else would (SCHED_IDLE).

    One client leaves the processors idle at each message, between client and server. Where a halt leaves the machine (most
    virtual ones), waking up takes 20 to 30 us a message: more than a primary-key look-up takes, and the same for every
    peer. A database server is set up not to halt (idle=poll, haltpoll, cpupower). The loops are second best: now and then
    one keeps what it runs on for a tick of 4 ms, which is then the 99th percentile of queries of half a millisecond.
    """
    if not wanted:
        yield
    elif can_poll():
        with open(LATENCY_DEVICE, "wb", buffering=0) as device:
            device.write(struct.pack("i", 0))  # holds until the file is closed
            yield
    else:
        with idle_loops():
            yield


@contextlib.contextmanager
def idle_loops():
    loop = ("import os, sys\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n"
            "os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass")
    loops = [subprocess.Popen([sys.executable, "-c", loop, str(cpu)]) for cpu in sorted(os.sched_getaffinity(0))]
    try:
        time.sleep(0.2)
        yield
    finally:
        for process in loops:
            process.kill()
            process.wait()


def environment(options):
    """The environment of a client: its settings go in PGOPTIONS."""
    return os.environ | {"PGOPTIONS": " ".join(f"-c {k}={v}" for k, v in (options or {}).items())}


def transactions(path):
    """Of each line of pgbench's log: when the transaction ended, and how long it took; microseconds."""
    with open(path) as f:
        fields = [line.split() for line in f]
    return numpy.array([[float(x[4]) * 1e6 + float(x[5]), float(x[2])] for x in fields]).reshape(-1, 2)


class MemoryProbe:
    """Watches a backend and its parallel workers while a block runs, ten times a second and at the end.

    peak_bytes: the largest sum, over the processes, of memory that is theirs alone (RssAnon), plus what dynamic shared
    memory grew by; shared buffers, which all backends use, are not in it. hwm_bytes: VmHWM of the leader, as the kernel
    counts it, with the shared buffers it touched.
    """

    def __init__(self, pid):
        self.pid = pid
        self.peak = self.hwm = self.workers = 0
        self.shared_before = shared_memory()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self._sample()

    def _watch(self):
        while not self.stop.wait(0.1):
            self._sample()

    def _sample(self):
        leader = process_memory(self.pid)
        workers = [process_memory(p) for p in parallel_workers(self.pid)]
        self.workers = max(self.workers, len(workers))
        self.hwm = max(self.hwm, leader["VmHWM"])
        total = leader["RssAnon"] + sum(w["RssAnon"] for w in workers) + shared_memory() - self.shared_before
        self.peak = max(self.peak, total)

    def result(self):
        return {"peak_bytes": self.peak, "hwm_bytes": self.hwm, "workers": self.workers}


def shared_memory():
    """Bytes in use in /dev/shm, where the server keeps dynamic shared memory."""
    return shutil.disk_usage("/dev/shm").used


def process_memory(pid):
    """VmHWM and RssAnon of a process in bytes; zeros when it is gone."""
    found = {"VmHWM": 0, "RssAnon": 0}
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as f:
        for line in f:
            name, _, rest = line.partition(":")
            if name in found:
                found[name] = int(rest.split()[0]) * 1024
    return found


def parallel_workers(pid):
    """Process ids of the parallel workers of a backend, by their titles."""
    title = f"parallel worker for PID {pid}".encode()
    out = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/cmdline", "rb") as f:
                if title in f.read():
                    out.append(int(entry))
    return out

"""hnswlib and FAISS as peers: runs in_process.cpp and talks to it. It builds at once and then waits for commands."""
import json
import os
import subprocess

import server

HERE = os.path.dirname(os.path.abspath(__file__))
FLAGS = ["-std=c++20", "-O3", "-march=native", "-fopenmp"]
LIBRARIES = ["-lfaiss", "-lopenblas", "-llapack"]


def compiled(folder):
    """Compiles the program; its path."""
    path = os.path.join(folder, "in_process")
    subprocess.run(["g++", *FLAGS, os.path.join(HERE, "in_process.cpp"), "-o", path, *LIBRARIES], check=True)
    return path


class InProcess:
    """One library, its graph built over a data set, in a process of its own that sleeps between commands."""

    def __init__(self, program, kind, data, threads):
        self.kind = kind
        self.process = subprocess.Popen(
            [program, kind, data.path("base.f32"), data.path("queries.f32"), data.path("limits.f64"), str(data.dim),
             data.metric, str(threads), "16", "64"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.built = self._answer()
        self.built["peak_bytes"] = server.process_memory(self.process.pid)["VmHWM"]

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise server.SqlError(f"{self.kind} in process ended with {self.process.wait()}")
        return json.loads(line)

    def _ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def recall(self, ef):
        return self._ask(f"recall {ef}")["recall"]

    def speed(self, ef, seconds):
        return self._ask(f"speed {ef} {seconds}")["qps"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()

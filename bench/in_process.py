"""hnswlib and FAISS as peers: runs in_process.cpp and talks to it. It builds at once and then waits for commands."""
import json
import os
import subprocess

import server

HERE = os.path.dirname(os.path.abspath(__file__))
FLAGS = ["-std=c++20", "-O3", "-march=native", "-fopenmp"]
LIBRARIES = ["-lopenblas", "-llapack"]
FAISS = ["faiss_avx512", "faiss_avx2", "faiss"]  # what its build makes with FAISS_OPT_LEVEL; the best first


def compiled(folder, faiss=None):
    """Compiles the program; its path. faiss: the folder of another FAISS than the system's, with include and lib."""
    path = os.path.join(folder, "in_process")
    which = ["-lfaiss"]
    if faiss:
        built = [os.path.join(faiss, "lib", f"lib{name}.a") for name in FAISS]
        which = ["-I", os.path.join(faiss, "include"), next((p for p in built if os.path.exists(p)), built[-1])]
    subprocess.run(["g++", *FLAGS, os.path.join(HERE, "in_process.cpp"), "-o", path, *which, *LIBRARIES], check=True)
    return path


class InProcess:
    """One library, its index built over a data set, in a process of its own that sleeps between commands. kind, options:
    see in_process.cpp. What a search is told is ef, or probes."""

    def __init__(self, program, kind, data, threads, options):
        self.kind = kind
        self.process = subprocess.Popen(
            [program, kind, data.path("base.f32"), data.path("queries.f32"), data.path("limits.f64"), str(data.dim),
             data.metric, str(threads), *map(str, options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
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

    def recall(self, effort):
        return self._ask(f"recall {effort}")["recall"]

    def speed(self, effort, seconds):
        return self._ask(f"speed {effort} {seconds}")["qps"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()

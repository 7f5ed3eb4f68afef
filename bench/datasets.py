#!/usr/bin/python3
# Makes the data sets of the benchmarks, with their exact truth, in a cache folder.
"""The data sets by name, as raw float32 files in a cache folder, each with its exact truth.

usage: datasets.py [--cache DIR] [--data DIR] [--rows N] [--seed N] NAME...      makes them and says where they are
names: fashion-mnist, tate, gen-ROWSxDIM (gen-200000x128), or the path of an ann-benchmarks HDF5 file

A set has base rows, queries, and extra rows from the same distribution, which are inserted later; no row is in two of
them (equal vectors may be, as in the real data). Cache: CACHE/NAME-ROWS-sSEED/ with base.f32, queries.f32, extra.f32,
truth.npz, limits.f64 and meta.json. A set whose meta.json says something else than what is wanted is made again.
"""
import argparse
import dataclasses
import gzip
import json
import os
import re
import shutil
import sys
import time

import numpy

import ann_benchmarks
import generate
import truth

FORMAT = 1
QUERIES = 1000
EXTRA = 20000
# What is not named here is drawn like gen-200000x128. Difficulty depends on the number of rows too: README.md has figures.
MIXTURES = {"gen-20000x32": dict(clusters=40, rank=12, spread=1.0, noise=0.05),
            "gen-200000x128": dict(clusters=500, rank=20, spread=0.7, noise=0.2),
            "gen-100000x768": dict(clusters=500, rank=32, centre_rank=32, spread=0.7, noise=0.2),
            "gen-200000x768": dict(clusters=500, rank=32, centre_rank=32, spread=0.7, noise=0.2),
            "gen-1000000x128": dict(clusters=1100, rank=22, centre_rank=16, spread=1.2, noise=0.2, shared=0.25),
            "gen-10000000x96": dict(clusters=2000, rank=22, centre_rank=16, spread=1.2, noise=0.2, shared=0.25)}


class Missing(Exception):
    """The files of a data set are not there; the caller says so and leaves it out."""


@dataclasses.dataclass
class Dataset:
    """name: as asked for; key: its folder in the cache. The arrays are maps of the files."""
    name: str
    key: str
    folder: str
    metric: str
    base: numpy.ndarray
    queries: numpy.ndarray
    extra: numpy.ndarray
    limits: numpy.ndarray
    meta: dict

    @property
    def dim(self):
        return self.base.shape[1]

    def path(self, part):
        return os.path.join(self.folder, part)


def generated(name, rows, seed):
    """(specification, writer) of gen-ROWSxDIM. A writer fills a folder and returns metric and dimensions."""
    dim = int(re.fullmatch(r"gen-(\d+)x(\d+)", name).group(2))
    mixture = generate.Mixture(dim, seed=seed, **MIXTURES.get(name, MIXTURES["gen-200000x128"]))
    spec = {"rows": rows, "mixture": dataclasses.asdict(mixture)}

    def write(folder):
        generator = generate.Generator(mixture)
        for part, count in (("base", rows), ("queries", QUERIES), ("extra", min(EXTRA, rows))):
            write_blocks(folder, part, generator.blocks(part, count))
        return "l2", dim
    return spec, write


def write_blocks(folder, part, blocks):
    with open(os.path.join(folder, part + ".f32"), "wb") as f:
        for block in blocks:
            f.write(numpy.ascontiguousarray(block, numpy.float32).tobytes())


def split(folder, base, rest, seed, rows):
    """Writes base, queries and extra from arrays: the latter two are drawn from `rest`, or from the base without it.
    Returns the number of dimensions."""
    rng = numpy.random.default_rng([seed, 0])
    if rest is None:
        order = rng.permutation(len(base))
        held = max(QUERIES, min(QUERIES + EXTRA, len(base) // 10))
        rest, base = base[order[:held]], base[numpy.sort(order[held:])]
    else:
        rest = rest[rng.permutation(len(rest))]
    if rows and rows < len(base):
        base = base[numpy.sort(rng.permutation(len(base))[:rows])]
    queries = min(QUERIES, max(1, len(rest) // 2))
    for part, array in (("base", base), ("queries", rest[:queries]), ("extra", rest[queries:queries + EXTRA])):
        write_blocks(folder, part, [array])
    return base.shape[1]


def load_npy(data, path):
    full = os.path.join(data, path)
    if not os.path.exists(full):
        raise Missing(f"no {full}")
    with gzip.open(full, "rb") as f:
        return numpy.load(f)


def write_fashion(folder, data, seed, rows):
    return "l2", split(folder, load_npy(data, "fashion-mnist/train_784_u8.npy.gz"),
                       load_npy(data, "fashion-mnist/test_784_u8.npy.gz"), seed, rows)


def write_tate(folder, data, seed, rows):
    array = load_npy(data, "tate/lsa_256_f16.npy.gz").astype(numpy.float32)
    return "cosine", split(folder, array[numpy.any(array != 0, axis=1)], None, seed, rows)


def write_hdf5(folder, path, seed, rows):
    metric, base, queries, distances = ann_benchmarks.read(path)
    if distances is not None:
        squared = truth.nearest(base, queries[:20], metric)[1]
        print(f"the file's distances differ from ours by {ann_benchmarks.check_truth(metric, distances, squared):.2g}")
    if metric == "cosine":
        base, queries = (a[numpy.any(a != 0, axis=1)] for a in (base, queries))
    return metric, split(folder, base, queries, seed, rows)


def real(name, data, rows, seed):
    """(specification, writer) of a data set in files."""
    writers = {"fashion-mnist": write_fashion, "tate": write_tate}
    if name in writers:
        if not os.path.isdir(os.path.join(data, name)):
            raise Missing(f"no {name} in {data}")
        return {"rows": rows}, lambda folder: writers[name](folder, data, seed, rows)
    if not os.path.exists(name):
        raise Missing(f"no data set and no file of this name: {name}")
    return {"rows": rows, "bytes": os.path.getsize(name)}, lambda folder: write_hdf5(folder, name, seed, rows)


def get(name, cache, data, rows=0, seed=1):
    """The data set, from the cache or made now. Raises Missing."""
    match = re.fullmatch(r"gen-(\d+)x(\d+)", name)
    short = re.sub(r"\.(hdf5|h5)$", "", os.path.basename(name))
    if match:
        rows = min(rows, int(match.group(1))) if rows else int(match.group(1))
        spec, write = generated(name, rows, seed)
    else:
        spec, write = real(name, data, rows, seed)
    spec |= {"format": FORMAT, "seed": seed, "numbers": [QUERIES, EXTRA, truth.KEPT]}
    key = f"{short}{f'-{rows}' if rows and not short.startswith(f'gen-{rows}x') else ''}-s{seed}"
    folder = os.path.join(cache, key)
    meta_path = os.path.join(folder, "meta.json")
    if not os.path.exists(meta_path) or json.load(open(meta_path))["spec"] != spec:
        make(folder, spec, write)
    return opened(short, key, folder)


def make(folder, spec, write):
    """Makes a set in a folder next to its place and moves it there when it is whole."""
    print(f"making {folder}", flush=True)
    started = time.time()
    fresh = f"{folder}.{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(fresh)
    metric, dim = write(fresh)
    meta = {"spec": spec, "dim": dim, "metric": metric,
            "rows": os.path.getsize(os.path.join(fresh, "base.f32")) // (4 * dim)}
    base, queries = (mapped(os.path.join(fresh, part), dim) for part in ("base.f32", "queries.f32"))
    generated_at = time.time()
    ids, distances = truth.nearest(base, queries, metric)
    numpy.savez(os.path.join(fresh, "truth.npz"), ids=ids, distances=distances)
    truth.limits(distances).astype(numpy.float64).tofile(os.path.join(fresh, "limits.f64"))
    with open(os.path.join(fresh, "meta.json"), "w") as f:
        json.dump(meta, f, indent=1)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(fresh, folder)
    print(f"made {folder}: {meta['rows']} x {dim}, {generated_at - started:.0f} s, truth "
          f"{time.time() - generated_at:.0f} s", flush=True)


def mapped(path, dim):
    """A file of raw float32 rows as an array, read when touched."""
    if os.path.getsize(path) == 0:
        return numpy.zeros((0, dim), numpy.float32)
    return numpy.memmap(path, numpy.float32, "r").reshape(-1, dim)


def opened(name, key, folder):
    with open(os.path.join(folder, "meta.json")) as f:
        meta = json.load(f)
    arrays = [mapped(os.path.join(folder, part + ".f32"), meta["dim"]) for part in ("base", "queries", "extra")]
    return Dataset(name, key, folder, meta["metric"], *arrays, numpy.fromfile(os.path.join(folder, "limits.f64")), meta)


def default_cache():
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "vecann-bench")


def default_data():
    here = os.path.dirname(os.path.abspath(__file__))
    return os.environ.get("VECANN_DATA") or os.path.normpath(os.path.join(here, "..", "..", "shared", "data"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", default=default_cache())
    parser.add_argument("--data", default=default_data())
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("name", nargs="+")
    args = parser.parse_args()
    status = 0
    for name in args.name:
        try:
            d = get(name, args.cache, args.data, args.rows, args.seed)
            print(f"{d.name}: {len(d.base)} x {d.dim}, {d.metric}, {len(d.queries)} queries, {len(d.extra)} extra, "
                  f"{d.folder}")
        except Missing as reason:
            print(f"SKIPPED {name}: {reason}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())

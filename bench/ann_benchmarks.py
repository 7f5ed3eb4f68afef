"""Reader for the public ann-benchmarks files: HDF5 with train, test, neighbors and distances, one file per data set.

The user downloads them (https://github.com/erikbern/ann-benchmarks lists them); the harness takes a path. The truth is
computed again, because their neighbors do not tell ties; `check_truth` compares with the distances in the file.
"""
import numpy

import truth

METRICS = {"euclidean": "l2", "angular": "cosine"}


def read(path):
    """(metric, base, queries, distances of the file) of one file; base and queries are float32 arrays."""
    try:
        import h5py
    except ImportError:
        raise SystemExit("HDF5 files need the package python3-h5py") from None
    with h5py.File(path, "r") as f:
        name = f.attrs.get("distance", "euclidean")
        name = name.decode() if isinstance(name, bytes) else str(name)
        if name not in METRICS:
            raise SystemExit(f"{path}: distance {name} is not one of {', '.join(METRICS)}")
        base = numpy.asarray(f["train"], numpy.float32)
        queries = numpy.asarray(f["test"], numpy.float32)
        distances = numpy.asarray(f["distances"], numpy.float64) if "distances" in f else None
    return METRICS[name], base, queries, distances


def check_truth(metric, file_distances, squared, k=10):
    """Largest difference between the file's k-th distances and ours; None without distances in the file."""
    if file_distances is None:
        return None
    ours = squared[:, k - 1] / 2 if metric == "cosine" else numpy.sqrt(squared[:, k - 1])
    return float(numpy.max(numpy.abs(ours - file_distances[:len(ours), k - 1])))


def write(path, metric, base, queries):
    """Writes such a file: for tests of the reader, and to give our own sets to other programs."""
    import h5py
    ids, squared = truth.nearest(base, queries, metric)
    with h5py.File(path, "w") as f:
        f.attrs["distance"] = {v: k for k, v in METRICS.items()}[metric]
        f["train"], f["test"], f["neighbors"] = base, queries, ids.astype(numpy.int32)
        f["distances"] = (squared / 2 if metric == "cosine" else numpy.sqrt(squared)).astype(numpy.float32)

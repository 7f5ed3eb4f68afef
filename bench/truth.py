"""Exact nearest neighbours, and recall that knows ties.

Candidates come from float32 matrix products over blocks of the base; their distances are then computed again in float64
from the vectors themselves, so that two equal vectors have equal distances and a copy of the query has distance 0.
Distances are squared Euclidean ones; under cosine they are those of the normalised vectors, which sort the same way.
"""
import numpy

KEPT = 100
CANDIDATES = 160
BASE_BLOCK = 20000
QUERY_BLOCK = 500
# A returned row counts when its distance is at most (1 + 1e-6) times that of the k-th true one; squared, twice that.
TIE = 2e-6
TINY = 1e-12


def unit(vectors):
    """The vectors in float64, each of length 1."""
    v = numpy.asarray(vectors, numpy.float64)
    return v / numpy.linalg.norm(v, axis=-1, keepdims=True)


def exact_distances(base_rows, query, metric):
    """Squared distances of some base rows to one query, in float64."""
    if metric == "cosine":
        base_rows, query = unit(base_rows), unit(query)
    difference = numpy.asarray(base_rows, numpy.float64) - numpy.asarray(query, numpy.float64)
    return numpy.einsum("ij,ij->i", difference, difference)


def _candidates(base, queries):
    """Ids of the CANDIDATES nearest base rows of each query by float32 arithmetic. Memory: one block of each."""
    best_id = numpy.zeros((len(queries), 0), numpy.int64)
    best_d = numpy.zeros((len(queries), 0), numpy.float32)
    for start in range(0, len(base), BASE_BLOCK):
        block = numpy.asarray(base[start:start + BASE_BLOCK], numpy.float32)
        d = numpy.einsum("ij,ij->i", block, block)[None, :] - 2 * (queries @ block.T)
        keep = min(CANDIDATES, len(block))
        part = numpy.argpartition(d, keep - 1, axis=1)[:, :keep]
        best_id = numpy.concatenate([best_id, part + start], axis=1)
        best_d = numpy.concatenate([best_d, numpy.take_along_axis(d, part, axis=1)], axis=1)
        if best_id.shape[1] > CANDIDATES:
            part = numpy.argpartition(best_d, CANDIDATES - 1, axis=1)[:, :CANDIDATES]
            best_id = numpy.take_along_axis(best_id, part, axis=1)
            best_d = numpy.take_along_axis(best_d, part, axis=1)
    return best_id


class _Normalised:
    """A view of the base whose slices are of unit norm, made when asked for."""

    def __init__(self, base):
        self.base = base

    def __len__(self):
        return len(self.base)

    def __getitem__(self, rows):
        return unit(self.base[rows]).astype(numpy.float32)


def nearest(base, queries, metric):
    """(ids, squared distances), nearest first, KEPT of each query (all rows of a smaller base)."""
    kept = min(KEPT, len(base))
    ids = numpy.empty((len(queries), kept), numpy.int64)
    distances = numpy.empty((len(queries), kept))
    searched = _Normalised(base) if metric == "cosine" else base
    for start in range(0, len(queries), QUERY_BLOCK):
        part = queries[start:start + QUERY_BLOCK]
        found = _candidates(searched, (unit(part) if metric == "cosine" else part).astype(numpy.float32))
        for i, candidates in enumerate(found):
            candidates = numpy.sort(candidates)
            d = exact_distances(base[candidates], part[i], metric)
            order = numpy.argsort(d, kind="stable")[:kept]
            ids[start + i], distances[start + i] = candidates[order], d[order]
    return ids, distances


def limits(distances, k=10):
    """The squared distance up to which a returned row counts as one of the k nearest, for each query."""
    return distances[:, min(k, distances.shape[1]) - 1] * (1 + TIE) + TINY


def recall(base, queries, metric, returned, limit, k=10):
    """Mean share of k that the returned ids (one list for each query) reach. An id counts once; -1 counts nothing."""
    hits = 0
    for i, row_ids in enumerate(returned):
        rows = numpy.unique([r for r in row_ids[:k] if r >= 0]).astype(numpy.int64)
        if len(rows):
            hits += int(numpy.sum(exact_distances(base[rows], queries[i], metric) <= limit[i]))
    return hits / (k * len(returned))

"""Synthetic vectors of low intrinsic dimension: a mixture of clusters, each a random linear patch of few dimensions.

Real embeddings fill few of their dimensions; independent noise in all of them is a data set nobody has, on which every
index looks equally bad. A vector here is a cluster's centre, plus a point of that cluster's own low-rank subspace with
a decaying spectrum, plus a little noise. The centres lie in a low-rank subspace too, so that clusters overlap and a
graph has ways between them. Cluster sizes differ.

The same parameters and seed give the same vectors: each block of rows has a random stream of its own, whatever was drawn
before it. Base, queries and extra rows are three streams of one distribution: they share no row.
"""
import dataclasses

import numpy

BLOCK = 8192
STREAMS = {"base": 1, "queries": 2, "extra": 3}


@dataclasses.dataclass(frozen=True)
class Mixture:
    """What the vectors are drawn from. rank: dimensions of a cluster's patch; decay: its i-th standard deviation is
    i^-decay; shared: how much the patches' directions have in common, from 0 to 1; spread: scale of the centres against
    the patches; noise: standard deviation of what is added in all dimensions, against the patch's norm."""
    dim: int
    clusters: int = 200
    rank: int = 20
    decay: float = 0.3
    shared: float = 0.0
    centre_rank: int = 24
    spread: float = 1.0
    noise: float = 0.05
    seed: int = 1


class Generator:
    """Draws from a mixture. `blocks` yields float32 arrays of up to BLOCK rows."""

    def __init__(self, mixture):
        self.mixture = mixture
        m = mixture
        rng = numpy.random.default_rng([m.seed, 0])
        rank, centre_rank = min(m.rank, m.dim), min(m.centre_rank, m.dim)
        deviations = numpy.arange(1, rank + 1) ** -m.decay
        patch_norm = numpy.sqrt(numpy.sum(deviations**2))
        latent = rng.standard_normal((m.clusters, centre_rank)) * (m.spread * patch_norm / numpy.sqrt(centre_rank))
        frame = numpy.linalg.qr(rng.standard_normal((m.dim, centre_rank)))[0]
        self.centres = latent @ frame.T
        self.patches = numpy.empty((m.clusters, rank, m.dim), numpy.float32)
        common = rng.standard_normal((m.dim, rank)) * numpy.sqrt(m.shared)
        for c in range(m.clusters):
            own = rng.standard_normal((m.dim, rank)) * numpy.sqrt(1 - m.shared)
            self.patches[c] = (numpy.linalg.qr(common + own)[0] * deviations).T
        weights = rng.gamma(1.5, size=m.clusters) + 0.1
        self.cumulative = numpy.cumsum(weights / weights.sum())
        self.noise = m.noise * patch_norm / numpy.sqrt(m.dim)

    def blocks(self, stream, rows):
        for start in range(0, rows, BLOCK):
            rng = numpy.random.default_rng([self.mixture.seed, STREAMS[stream], start // BLOCK])
            yield self._block(rng)[:rows - start]

    def _block(self, rng):
        clusters, rank, dim = self.patches.shape
        label = numpy.minimum(numpy.searchsorted(self.cumulative, rng.random(BLOCK)), clusters - 1)
        inner = rng.standard_normal((BLOCK, rank), numpy.float32)
        out = rng.standard_normal((BLOCK, dim), numpy.float32) * numpy.float32(self.noise)
        order = numpy.argsort(label, kind="stable")
        edges = numpy.searchsorted(label[order], numpy.arange(clusters + 1))
        for c in range(clusters):
            rows = order[edges[c]:edges[c + 1]]
            out[rows] += inner[rows] @ self.patches[c] + self.centres[c].astype(numpy.float32)
        return out

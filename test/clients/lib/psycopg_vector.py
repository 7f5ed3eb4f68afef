# Adapters for psycopg 3: vector, halfvec and sparsevec as Python values, in text and in binary form. Debian has no package
# with them; this is all it takes.
import struct

from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from psycopg.types import TypeInfo


class Vector(tuple):
    """A value of type vector: its elements. A tuple, because psycopg takes lists for arrays."""


class HalfVector(tuple):
    """A value of type halfvec: its elements."""


class SparseVector:
    """A value of type sparsevec: the number of dimensions and the elements by their index, which counts from 0."""

    def __init__(self, dim, elements):
        self.dim, self.elements = dim, dict(elements)

    def __eq__(self, other):
        return (self.dim, self.elements) == (other.dim, other.elements)

    def __repr__(self):
        return "SparseVector(%r, %r)" % (self.dim, self.elements)


class DenseText(Dumper):
    def dump(self, value):
        return ("[%s]" % ",".join(map(repr, value))).encode()


class SparseText(Dumper):
    def dump(self, value):
        return ("{%s}/%d" % (",".join("%d:%r" % (i + 1, x) for i, x in value.elements.items()), value.dim)).encode()


def dense_binary(code):
    class DenseBinary(Dumper):
        format = Format.BINARY

        def dump(self, value):
            return struct.pack(">HH%d%s" % (len(value), code), len(value), 0, *value)

    return DenseBinary


class SparseBinary(Dumper):
    format = Format.BINARY

    def dump(self, value):
        elements = sorted((i, x) for i, x in value.elements.items() if x)
        head = struct.pack(">iii", value.dim, len(elements), 0)
        return head + struct.pack(">%di" % len(elements), *(i for i, _ in elements)) + struct.pack(
            ">%df" % len(elements), *(x for _, x in elements))


def dense_loaders(kind, code):
    class TextLoader(Loader):
        def load(self, data):
            return kind(map(float, bytes(data)[1:-1].split(b",")))

    class BinaryLoader(Loader):
        format = Format.BINARY

        def load(self, data):
            (dim,) = struct.unpack_from(">H", data)
            return kind(struct.unpack_from(">%d%s" % (dim, code), data, 4))

    return TextLoader, BinaryLoader


class SparseTextLoader(Loader):
    def load(self, data):
        elements, dim = bytes(data).decode().split("/")
        pairs = (pair.split(":") for pair in elements[1:-1].split(",") if pair)
        return SparseVector(int(dim), ((int(i) - 1, float(x)) for i, x in pairs))


class SparseBinaryLoader(Loader):
    format = Format.BINARY

    def load(self, data):
        dim, nnz, _ = struct.unpack_from(">iii", data)
        return SparseVector(dim, zip(struct.unpack_from(">%di" % nnz, data, 12),
                                     struct.unpack_from(">%df" % nnz, data, 12 + 4 * nnz)))


def register_vector(connection):
    """Makes a connection know the types; the extension must be there."""
    kinds = {
        "vector": (Vector, (DenseText, dense_binary("f")), dense_loaders(Vector, "f")),
        "halfvec": (HalfVector, (DenseText, dense_binary("e")), dense_loaders(HalfVector, "e")),
        "sparsevec": (SparseVector, (SparseText, SparseBinary), (SparseTextLoader, SparseBinaryLoader)),
    }
    for name, (kind, dumpers, loaders) in kinds.items():
        info = TypeInfo.fetch(connection, name)
        info.register(connection)
        for dumper in dumpers:
            connection.adapters.register_dumper(kind, type(dumper.__name__, (dumper,), {"oid": info.oid}))
        for loader in loaders:
            connection.adapters.register_loader(info.oid, loader)

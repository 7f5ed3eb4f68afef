#!/usr/bin/python3
# Turns NumPy array files into binary COPY data.
"""Turns a NumPy array file (.npy or .npy.gz, n x dim, any numeric type) into PostgreSQL's binary COPY format.

Usage: npy_to_copy.py FILE [ROWS] > out.copy      columns: id int4 (from 0), v vector(dim)
Load:  COPY t (id, v) FROM STDIN (FORMAT binary)
"""
import gzip
import struct
import sys

import numpy


def read_array(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as f:
        return numpy.load(f)


def write_copy(out, vectors, ids=None):
    """Writes rows (id, vector). Layout of a vector on the wire: int16 dim, int16 0, float4 x dim, all big endian."""
    n, dim = vectors.shape
    size = 4 + 4 * dim
    row = numpy.dtype([("fields", ">i2"), ("id_len", ">i4"), ("id", ">i4"), ("len", ">i4"), ("dim", ">i2"),
                       ("unused", ">i2"), ("x", ">f4", (dim,))])
    out.write(b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0))
    for start in range(0, n, 4096):
        part = vectors[start:start + 4096]
        rows = numpy.zeros(len(part), row)
        rows["fields"], rows["id_len"], rows["len"], rows["dim"] = 2, 4, size, dim
        rows["id"] = numpy.arange(start, start + len(part)) if ids is None else ids[start:start + len(part)]
        rows["x"] = part
        out.write(rows.tobytes())
    out.write(struct.pack(">h", -1))


if __name__ == "__main__":
    array = read_array(sys.argv[1])
    if len(sys.argv) > 2:
        array = array[:int(sys.argv[2])]
    write_copy(sys.stdout.buffer, array)

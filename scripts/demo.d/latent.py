"""Makes latent semantic vectors (TF-IDF + truncated SVD) for the passages of the manual and for the words in them.

usage: latent.py PASSAGES WORDS OUTPUT_FOLDER

PASSAGES      what parse_manual.py wrote
WORDS         COPY text: passage id, true when in its title, stem, number of times (the server's text search stems and
              drops stop words; what it does to a question is the same)
OUTPUT_FOLDER gets manual.pgcopy (id, part, chapter, page, section, kind, body, embedding) and word.pgcopy (stem,
              embedding), both in the binary format of COPY

1. The rows of the TF-IDF matrix are the passages and the sections: words that never stand in the same passage but do in
   the same section come close. A word counts 1 + log(times), the words of headings a half.
2. Truncated SVD (randomised, Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1) keeps 256 dimensions. The vector
   of a word is its row of V at length 1, times its inverse document frequency.
3. A passage is the sum of its words; its section and its page pull it a little their way, because many a passage does
   not name what it talks about. A question is the sum of its words.
4. The direction that all passages share tells nothing apart and makes hubs of some: it is projected out (as Mu and
   Viswanath do for word vectors, "All-but-the-top", 2018). All vectors are scaled to length 1.
The weights below were chosen by the answers to two dozen questions, the demo's among them.
"""

import os
import re
import struct
import sys

import numpy as np
import scipy.sparse as sp

DIMENSIONS = 256
OVERSAMPLING = 20
POWER_ITERATIONS = 4
SEED = 1
TITLE_WEIGHT = 0.5
SECTION_ROWS_WEIGHT = 4.0  # in the matrix that the SVD sees
SECTION_PULL = 0.4  # relative to the length of a typical passage's sum
PAGE_PULL = 0.3
STEM = re.compile(r"^[a-z][a-z0-9]{1,29}$")  # numbers and file names are too rare to place
ESCAPES = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}


def read_passages(path):
    """Rows of PASSAGES as lists of strings."""
    with open(path, encoding="utf-8") as f:
        return [[re.sub(r"\\.", lambda m: ESCAPES[m.group()], v) for v in line.rstrip("\n").split("\t")] for line in f]


def read_words(path, passages):
    """The words of bodies and of titles as two matrices passages x stems of counts, and the stems in order."""
    entries = {"f": [], "t": []}
    with open(path, encoding="utf-8") as f:
        for line in f:
            passage, in_title, stem, times = line.rstrip("\n").split("\t")
            if STEM.match(stem):
                entries[in_title].append((int(passage) - 1, stem, float(times)))
    used = {}
    for _, stem, _ in entries["f"]:
        used[stem] = used.get(stem, 0) + 1
    stems = sorted(stem for stem, times in used.items() if times > 1)
    number = {stem: i for i, stem in enumerate(stems)}

    def matrix(rows):
        known = [(p, number[s], t) for p, s, t in rows if s in number]
        p, s, t = zip(*known)
        return sp.csr_matrix((t, (p, s)), shape=(passages, len(stems)))

    return matrix(entries["f"]), matrix(entries["t"]), stems


def groups(keys):
    """Group number of each key, and the matrix groups x keys that sums over the members of a group."""
    number = {}
    group = np.array([number.setdefault(key, len(number)) for key in keys])
    ones = np.ones(len(keys))
    return group, sp.csr_matrix((ones, (group, np.arange(len(keys)))), shape=(len(number), len(keys)))


def sublinear(counts):
    weights = counts.copy()
    weights.data = 1 + np.log(weights.data)
    return weights


def unit_rows(a):
    """Rows scaled to length 1; zero rows stay."""
    if sp.issparse(a):
        length = np.sqrt(np.asarray(a.multiply(a).sum(axis=1)).ravel())
        return sp.diags(1 / np.where(length > 0, length, 1)) @ a
    length = np.linalg.norm(a, axis=1)
    return a / np.where(length > 0, length, 1)[:, None]


def right_singular_vectors(a):
    """The leading DIMENSIONS right singular vectors of a sparse matrix, as columns."""
    random = np.random.default_rng(SEED)
    y = a @ random.standard_normal((a.shape[1], DIMENSIONS + OVERSAMPLING))
    for _ in range(POWER_ITERATIONS):
        q = np.linalg.qr(y)[0]
        y = a @ np.linalg.qr(a.T @ q)[0]
    q = np.linalg.qr(y)[0]
    # the small matrix's singular vectors through its Gram matrix: 276 x 276
    b = a.T @ q
    values, vectors = np.linalg.eigh(b.T @ b)
    largest = np.argsort(-values)[:DIMENSIONS]
    return (b @ vectors[:, largest]) / np.sqrt(values[largest])


def embed(passages, bodies, titles):
    """Vectors of the passages, vectors of the words."""
    in_passages = np.diff((bodies + titles).tocsc().indptr)
    inverse_frequency = sp.diags(np.log((len(passages) + 1) / (in_passages + 1)))
    section, sum_sections = groups([(p[3], p[4]) for p in passages])
    page, sum_pages = groups([p[3] for p in passages])
    of_passage = (sublinear(bodies) + TITLE_WEIGHT * (titles > 0)) @ inverse_frequency
    of_section = sublinear(sum_sections @ bodies) @ inverse_frequency
    of_page = sublinear(sum_pages @ bodies) @ inverse_frequency

    v = right_singular_vectors(sp.vstack([unit_rows(of_passage), SECTION_ROWS_WEIGHT * unit_rows(of_section)]).tocsr())
    word = unit_rows(v)
    vector = of_passage @ word
    typical = np.median(np.linalg.norm(vector, axis=1))
    vector += SECTION_PULL * typical * unit_rows(of_section @ word)[section]
    vector += PAGE_PULL * typical * unit_rows(of_page @ word)[page]
    vector = unit_rows(vector)
    common = np.linalg.eigh(vector.T @ vector)[1][:, -1]

    def without_common(x):
        return x - np.outer(x @ common, common)

    return unit_rows(without_common(vector)), inverse_frequency @ without_common(word)


def binary_vector(x):
    """A value of type vector as it is sent: dimensions, 0, the elements; in network byte order."""
    return struct.pack(">hh", len(x), 0) + x.astype(">f4").tobytes()


def write_copy(path, rows):
    """A file in the binary format of COPY from rows of bytes."""
    with open(path, "wb") as out:
        out.write(b"PGCOPY\n\377\r\n\0" + struct.pack(">ii", 0, 0))
        for row in rows:
            out.write(struct.pack(">h", len(row)))
            for value in row:
                out.write(struct.pack(">i", len(value)) + value)
        out.write(struct.pack(">h", -1))


def main():
    passages_file, words_file, folder = sys.argv[1:4]
    passages = read_passages(passages_file)
    bodies, titles, stems = read_words(words_file, len(passages))
    vectors, words = embed(passages, bodies, titles)
    # A passage with no known word has no direction: it is left out, as it could not be found.
    found = np.linalg.norm(vectors, axis=1) > 0.5
    write_copy(os.path.join(folder, "manual.pgcopy"), (
        [struct.pack(">i", int(p[0]))] + [p[i].encode() for i in (1, 2, 3, 4, 5, 7)] + [binary_vector(x)]
        for p, x, keep in zip(passages, vectors, found) if keep))
    write_copy(os.path.join(folder, "word.pgcopy"), (
        [stem.encode(), binary_vector(x)] for stem, x in zip(stems, words)))
    print(f"{int(found.sum()):,} passages and {len(stems):,} words as vectors of {DIMENSIONS} dimensions")


if __name__ == "__main__":
    main()

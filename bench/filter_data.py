"""Data of the filter grid: rows with vectors and columns to filter by, queries, and the conditions of each cell.

A cell is a set of queries with a condition each, and the rows that pass are known, so that the exact answer is. Two data
sets: vectors of generate.py with columns made for it, and the Tate catalogue with its own columns.
"""
import csv
import dataclasses
import lzma
import os

import numpy

import datasets
import truth

SELECTIVITIES = (0.5, 0.1, 0.01, 0.001, 0.0001)
ARRANGEMENTS = ("independent", "correlated", "anti-correlated")
KINDS = ("btree", "full text", "jsonb")
LEAF = 64
K = 10


@dataclasses.dataclass
class Query:
    """number: of the query vector; passing: ids of the rows that meet the condition; limit: the squared distance up to
    which a returned row counts; wanted: rows that a LIMIT of 10 must give."""
    number: int
    condition: str
    passing: int
    limit: float
    wanted: int


@dataclasses.dataclass
class Cell:
    """kind: of the index that serves the condition; group: what is compared with each other in one picture."""
    name: str
    group: str
    arrangement: str
    selectivity: float
    kind: str
    queries: list


@dataclasses.dataclass
class FilterData:
    """columns: definition of the table's columns besides id and v, as SQL over the loaded table `attributes`;
    attributes: (definition, rows as lines of COPY text)."""
    name: str
    metric: str
    base: numpy.ndarray
    queries: numpy.ndarray
    attributes: tuple
    columns: str
    indexes: dict
    cells: list


def nearest_of(base, rows, query, metric):
    """(limit, number of rows that LIMIT 10 gives) among some rows of the base."""
    if len(rows) == 0:
        return 0.0, 0
    if len(rows) > 4 * truth.CANDIDATES:
        part = base[rows]
        squared = numpy.einsum("ij,ij->i", part, part)
        near = squared - 2 * (part @ query) if metric == "l2" else -(part @ query) / numpy.sqrt(squared)
        rows = rows[numpy.argpartition(near, truth.CANDIDATES)[:truth.CANDIDATES]]
    d = numpy.sort(truth.exact_distances(base[rows], query, metric))[:K]
    return float(truth.limits(d[None, :], K)[0]), len(d)


# ---- generated rows --------------------------------------------------------------

def tree_order(base, rng):
    """A permutation of the rows in which neighbours in space are mostly neighbours: halves along the main direction, and
    halves of the halves, down to small leaves."""
    out = numpy.empty(len(base), numpy.int64)
    todo = [(numpy.arange(len(base)), 0)]
    while todo:
        rows, start = todo.pop()
        part = base[rows]
        sample = part[rng.integers(0, len(part), min(1000, len(part)))]
        centred = sample - sample.mean(axis=0)
        direction = rng.standard_normal(base.shape[1]).astype(numpy.float32)
        for _ in range(4):
            direction = centred.T @ (centred @ direction)
            direction /= max(numpy.linalg.norm(direction), 1e-30)
        rows = rows[numpy.argsort(part @ direction, kind="stable")]
        half = len(rows) // 2
        if len(rows) <= LEAF:
            out[start:start + len(rows)] = rows
        else:
            todo += [(rows[:half], start), (rows[half:], start + half)]
    return out


def far_bucket(centroids, query, rng):
    """A bucket whose middle is among the tenth that is farthest from the query."""
    d = ((centroids - query)**2).sum(axis=1)
    far = numpy.argsort(-d)[:max(1, len(d) // 10)]
    return int(far[rng.integers(len(far))])


def generated_conditions(level, prefix, bucket, width):
    column = {"i": "num", "p": "pos"}[prefix]
    return {"btree": f"{column} >= {bucket * width} AND {column} < {(bucket + 1) * width}",
            "full text": f"ts @@ '{prefix}{level}b{bucket}'::tsquery",
            "jsonb": f"j @> '{{\"{prefix}{level}\": {bucket}}}'"}


def level_cells(base, queries, numbers, level, orders, near, rng):
    """The cells of one selectivity. near: place in the tree's order of each query's nearest row."""
    n = len(base)
    width = max(1, round(SELECTIVITIES[level] * n))
    buckets = n // width
    tree = orders["p"][:buckets * width].reshape(buckets, width)
    centroids = numpy.stack([base[rows].mean(axis=0) for rows in tree])
    cells = []
    for arrangement in ARRANGEMENTS:
        found = {kind: [] for kind in KINDS}
        for q in numbers:
            if arrangement == "independent":
                prefix, bucket = "i", int(rng.integers(buckets))
            else:
                prefix = "p"
                bucket = min(int(near[q]) // width, buckets - 1)
                if arrangement == "anti-correlated":
                    bucket = far_bucket(centroids, queries[q], rng)
            rows = orders[prefix][bucket * width:(bucket + 1) * width]
            limit, wanted = nearest_of(base, rows, queries[q], "l2")
            for kind, condition in generated_conditions(level, prefix, bucket, width).items():
                found[kind].append(Query(int(q), condition, len(rows), limit, wanted))
        for kind in KINDS:
            cells.append(Cell(f"{SELECTIVITIES[level]:.2%} {arrangement}, {kind}", f"{kind}, {arrangement}", arrangement,
                              SELECTIVITIES[level], kind, found[kind]))
    return cells


def generated(data, count, seed, say):
    """FilterData of a set of datasets.py with the L2 metric."""
    rng = numpy.random.default_rng([seed, 7])
    base = numpy.asarray(data.base)
    queries = numpy.asarray(data.queries)
    n = len(base)
    say(f"{data.name}: ordering the rows in space")
    orders = {"i": rng.permutation(n), "p": tree_order(base, rng)}
    ranks = {}
    for prefix, order in orders.items():
        ranks[prefix] = numpy.empty(n, numpy.int64)
        ranks[prefix][order] = numpy.arange(n)
    near = ranks["p"][numpy.load(data.path("truth.npz"))["ids"][:, 0]]
    numbers = rng.permutation(len(queries))[:count]
    cells = []
    for level, selectivity in enumerate(SELECTIVITIES):
        say(f"{data.name}: exact answers at {selectivity:.2%}")
        cells += level_cells(base, queries, numbers, level, orders, near, rng)
    widths = [max(1, round(s * n)) for s in SELECTIVITIES]
    words = ", ".join(f"'{p}{i}b' || {c} / {w}" for p, c in (("i", "num"), ("p", "pos")) for i, w in enumerate(widths))
    fields = ", ".join(f"'{p}{i}', {c} / {w}" for p, c in (("i", "num"), ("p", "pos")) for i, w in enumerate(widths))
    lines = (f"{i}\t{a}\t{b}\n" for i, (a, b) in enumerate(zip(ranks["i"], ranks["p"])))
    columns = f"num, pos, array_to_tsvector(ARRAY[{words}]) AS ts, jsonb_build_object({fields}) AS j"
    return FilterData(data.name, "l2", base, queries, ("id int, num int, pos int", lines), columns,
                      {"items_num": "btree (num)", "items_pos": "btree (pos)", "items_ts": "gin (ts)",
                       "items_j": "gin (j jsonb_path_ops)"}, cells)


# ---- the Tate catalogue ------------------------------------------------------------

def text_field(value):
    """A field of COPY text; an empty one is NULL."""
    return value.replace("\\", "\\\\").replace("\t", " ").replace("\n", " ") if value else "\\N"


def quoted(value):
    return "'" + value.replace("'", "''") + "'"


def subject_words(row):
    return sorted({w.strip().lower() for w in row["subjects"].split(";") if w.strip()})


def tate_conditions(row, rng):
    """Conditions with the values of one work: {name: (kind, SQL, test of a work)}."""
    year = int(row["year"])
    word = subject_words(row)[int(rng.integers(len(subject_words(row))))]
    json = '{"artist": "%s"}' % row["artist"].replace("\\", "\\\\").replace('"', '\\"')
    medium = '{"medium": "%s"}' % row["medium"].replace("\\", "\\\\").replace('"', '\\"')
    lexeme = "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"

    def years(r):
        return r["year"] != "" and year - 5 <= int(r["year"]) <= year + 5
    return {
        "artist": ("btree", f"artist = {quoted(row['artist'])}", lambda r: r["artist"] == row["artist"]),
        "artist, jsonb": ("jsonb", f"j @> {quoted(json)}", lambda r: r["artist"] == row["artist"]),
        "years": ("btree", f"year BETWEEN {year - 5} AND {year + 5}", years),
        "medium": ("jsonb", f"j @> {quoted(medium)}", lambda r: r["medium"] == row["medium"]),
        "subject": ("full text", f"subjects @@ {quoted(lexeme)}::tsquery", lambda r: word in r["words"]),
        "subject and years": ("full text", f"subjects @@ {quoted(lexeme)}::tsquery AND year BETWEEN {year - 5} AND "
                              f"{year + 5}", lambda r: word in r["words"] and years(r))}


def tate(folder, count, seed, say):
    """FilterData of the catalogue: conditions take their values from the work that the query is (correlated), or from
    another (independent)."""
    path = os.path.join(folder, "tate", "artworks.csv.xz")
    if not os.path.exists(path):
        raise datasets.Missing(f"no {path}")
    with lzma.open(path, "rt", encoding="utf-8", newline="") as f:
        works = list(csv.DictReader(f))
    vectors = datasets.load_npy(folder, "tate/lsa_256_f16.npy.gz").astype(numpy.float32)
    keep = numpy.flatnonzero(numpy.any(vectors != 0, axis=1))
    rng = numpy.random.default_rng([seed, 11])
    full = [i for i in keep if all(works[i][c] for c in ("artist", "year", "medium", "subjects"))]
    chosen = rng.choice(full, 2 * count, replace=False)
    held = set(chosen[:count].tolist())
    rows = numpy.array([i for i in keep if i not in held])
    base, queries = vectors[rows], vectors[chosen[:count]]
    kept = [works[i] | {"words": set(subject_words(works[i]))} for i in rows]
    say("tate: exact answers")
    cells = []
    for arrangement, source in (("correlated", chosen[:count]), ("independent", chosen[count:])):
        found = {}
        for q, work in enumerate(source):
            for name, (kind, sql, passes) in tate_conditions(works[work], rng).items():
                passing = numpy.flatnonzero([passes(r) for r in kept])
                limit, wanted = nearest_of(base, passing, queries[q], "cosine")
                found.setdefault((name, kind), []).append(Query(q, sql, len(passing), limit, wanted))
        for (name, kind), made in found.items():
            share = float(numpy.median([q.passing for q in made])) / len(base)
            cells.append(Cell(f"{name}, {arrangement}", arrangement, arrangement, share, kind, made))
    lines = ("\t".join([str(i), text_field(r["artist"]), r["year"] or "\\N", text_field(r["medium"]),
                        text_field("|".join(sorted(r["words"])))]) + "\n" for i, r in enumerate(kept))
    columns = ("artist, year, medium, array_to_tsvector(string_to_array(words, '|')) AS subjects, "
               "jsonb_build_object('artist', artist, 'medium', medium, 'year', year) AS j")
    return FilterData("tate", "cosine", base, queries, ("id int, artist text, year int, medium text, words text", lines),
                      columns, {"items_artist": "btree (artist)", "items_year": "btree (year)",
                                "items_subjects": "gin (subjects)", "items_j": "gin (j jsonb_path_ops)"}, cells)

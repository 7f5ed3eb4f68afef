"""The kinds of index that are measured side by side, and the peers of each: how each makes its index, and which setting
says how much a search does.

A peer of the server has a database of its own, named as the peer; one without an extension is a library in process.
"""
import dataclasses
import math

# How many lists the peers of a run get, all the same number. pgvector's manual: rows / 1000 up to a million rows, the
# root of their number above. The root is what ivfpq takes by itself.
LIST_RULES = {"thousandth": lambda rows: rows / 1000 if rows <= 1_000_000 else math.sqrt(rows), "root": math.sqrt}
LIST_WORDS = {"thousandth": "a thousandth of the rows, their root above a million", "root": "root of the rows"}
CHOSEN = 0  # the probes of ivfpq that stand for its own choice


@dataclasses.dataclass(frozen=True)
class Peer:
    """method, options: of CREATE INDEX, with {lists} for their number. setting: the one that is swept. chooses: 0 is a
    value of it. program: what in_process.cpp calls it."""
    label: str
    colour: str
    extension: str = ""
    method: str = ""
    options: str = ""
    setting: str = ""
    chooses: bool = False
    program: str = ""


@dataclasses.dataclass(frozen=True)
class Kind:
    """effort: what the sweep goes over; quick_sweep, churn: fewer of its values. lists: effort counts lists."""
    effort: str
    peers: dict
    default_peers: tuple
    sweep: tuple
    quick_sweep: tuple
    churn: tuple
    datasets: tuple
    lists: bool = False


def hnsw(extension, label, colour):
    return Peer(label, colour, extension, "hnsw", "m = 16, ef_construction = 64", "hnsw.ef_search")


def ivfpq(label, colour, options=""):
    return Peer(label, colour, "vecann", "ivfpq", "lists = {lists}" + options, "ivfpq.probes", chooses=True)


def ivfflat(extension, label, colour):
    return Peer(label, colour, extension, "ivfflat", "lists = {lists}", "ivfflat.probes")


KINDS = {
    "hnsw": Kind(
        "ef", {"vecann": hnsw("vecann", "vecann", "#c1272d"), "pgvector": hnsw("vector", "pgvector", "#0071bc"),
               "hnswlib": Peer("hnswlib, in process", "#4d4d4d", program="hnswlib"),
               "faiss": Peer("FAISS HNSW, in process", "#8a8a8a", program="faiss")},
        ("vecann", "pgvector", "hnswlib", "faiss"), (10, 20, 40, 60, 80, 120, 200, 400), (10, 40, 100), (40, 100),
        ("fashion-mnist", "tate", "gen-200000x128", "gen-100000x768", "gen-1000000x128")),
    "ivf": Kind(
        "probes", {"vecann": ivfpq("vecann ivfpq", "#c1272d"),
                   "vecann-rabitq": ivfpq("vecann ivfpq, rabitq", "#e08214", ", quantizer = rabitq"),
                   "vecann-sq8": ivfpq("vecann ivfpq, sq8", "#7b3294", ", quantizer = sq8"),
                   "vecann-ivfflat": ivfflat("vecann", "vecann ivfflat", "#1b7837"),
                   "pgvector": ivfflat("vector", "pgvector ivfflat", "#0071bc"),
                   "faiss": Peer("FAISS IVF, PQ x4fs, refine, in process", "#8a8a8a", program="faiss-ivf")},
        ("vecann", "pgvector", "faiss"), (CHOSEN, 1, 2, 5, 10, 20, 40, 80), (CHOSEN, 1, 5, 20), (5, 20),
        ("fashion-mnist", "gen-200000x768", "gen-1000000x128"), lists=True)}
EXTENSIONS = {name: p.extension for kind in KINDS.values() for name, p in kind.peers.items() if p.extension}


def lists_of(rule, rows):
    """The number of lists for so many rows. rule: of LIST_RULES, or the number itself."""
    return int(rule) if rule.isdigit() else max(1, min(32768, round(LIST_RULES[rule](rows))))


def subquantizers(dim):
    """As many as ivfpq takes by itself, made to divide the dimensions, which FAISS wants: one for two dimensions, above
    256 one for four."""
    most = max(1, dim // (4 if dim > 256 else 2))
    return max(m for m in range(1, most + 1) if dim % m == 0)

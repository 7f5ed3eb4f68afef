# The rows that every client stores and finds again, and the exact answers computed here; those of items.js.
import math

ITEMS = [
    {
        "id": i + 1,
        "category": ("apple", "pear", "plum")[i % 3],
        "embedding": [i / 2, float(i * i % 17), float(i * 7 % 13)],
        "bits": format(i * 37 % 256, "08b"),
    }
    for i in range(60)
]
QUERY = [7.25, 5.5, 3.125]


def l2(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)))


def cosine(a, b):
    def dot(x, y):
        return sum(v * w for v, w in zip(x, y))

    norms = math.sqrt(dot(a, a) * dot(b, b))
    return 1 - dot(a, b) / norms if norms else None


def nearest(k, distance=l2, keep=lambda item: True, q=QUERY):
    """The ids of the k rows nearest to q, of those that keep takes."""
    found = [(distance(item["embedding"], q), item["id"]) for item in ITEMS if keep(item)]
    found = sorted(row for row in found if row[0] is not None)
    for (d1, a), (d2, b) in zip(found[:k], found[1:]):
        assert d2 - d1 > 1e-9, "rows %d and %d tie" % (a, b)
    return [row[1] for row in found[:k]]

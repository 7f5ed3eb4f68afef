# psycopg 3: all types as parameters and results in text and in binary form, COPY in both directions and both forms, arrays
# of vectors, and the SQLSTATEs of wrong input.
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import psycopg
from items import ITEMS, QUERY, cosine, nearest
from psycopg_vector import HalfVector, SparseVector, Vector, register_vector


def sparse(values):
    return SparseVector(len(values), ((i, x) for i, x in enumerate(values) if x))


class PsycopgTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        conn = psycopg.connect(autocommit=True)
        conn.execute("CREATE EXTENSION IF NOT EXISTS vecann")
        register_vector(conn)
        cls.conn = conn
        conn.execute("""CREATE TABLE items (id bigint PRIMARY KEY, category text, embedding vector(3),
                                            half halfvec(3), sparse sparsevec(3), bits bit(8))""")
        for number, item in enumerate(ITEMS):
            # every other row in binary form
            values = "%s, %s, %t, %t, %t, %s" if number % 2 else "%s, %s, %b, %b, %b, %s"
            vector = item["embedding"]
            conn.execute("INSERT INTO items VALUES (%s)" % values,
                         (item["id"], item["category"], Vector(vector), HalfVector(vector), sparse(vector), item["bits"]))
        conn.execute("CREATE INDEX ON items USING hnsw (embedding vector_l2_ops)")
        conn.execute("CREATE INDEX ON items USING hnsw (half halfvec_cosine_ops)")

    @classmethod
    def tearDownClass(cls):
        cls.conn.close()

    def ids(self, *args, **kwargs):
        return [row[0] for row in self.conn.execute(*args, **kwargs)]

    def test_nearest(self):
        for binary in False, True:
            with self.subTest(binary=binary):
                rows = self.conn.execute(
                    "SELECT id, embedding <-> %(q)s FROM items ORDER BY embedding <-> %(q)s LIMIT 5",
                    {"q": Vector(QUERY)}, binary=binary).fetchall()
                self.assertEqual([row[0] for row in rows], nearest(5))
                self.assertEqual(self.ids("SELECT id FROM items ORDER BY sparse <-> %b LIMIT 5", (sparse(QUERY),),
                                          binary=binary), nearest(5))

    def test_filters(self):
        for category in "apple", "pear", "plum":
            for holder in "%t", "%b":
                found = self.ids("SELECT id FROM items WHERE category = %s ORDER BY half <=> " + holder + " LIMIT 5",
                                 (category, HalfVector(QUERY)))
                self.assertEqual(found, nearest(5, cosine, lambda item: item["category"] == category))
        # prepared, and with a plan for any parameter
        self.conn.execute("SET plan_cache_mode = force_generic_plan")
        for category in "apple", "pear", "plum":
            rows = self.conn.execute("SELECT id FROM items WHERE category = %s ORDER BY embedding <-> %s LIMIT 5",
                                     (category, Vector(QUERY)), prepare=True).fetchall()
            self.assertEqual([row[0] for row in rows], nearest(5, keep=lambda item: item["category"] == category))
        self.conn.execute("RESET plan_cache_mode")

    def test_values_come_back(self):
        for binary in False, True:
            rows = self.conn.execute("SELECT embedding, half, sparse FROM items ORDER BY id", binary=binary).fetchall()
            self.assertEqual(len(rows), len(ITEMS))
            for item, row in zip(ITEMS, rows):
                vector = item["embedding"]
                self.assertEqual(row, (Vector(vector), HalfVector(vector), sparse(vector)))
        self.assertEqual([row[0] for row in self.conn.execute("SELECT bits FROM items ORDER BY id")],
                         [item["bits"] for item in ITEMS])
        found = self.ids("SELECT id FROM items ORDER BY bits <~> %s::bit(8), id LIMIT 1", (ITEMS[4]["bits"],))
        self.assertEqual(found, [5])

    def test_copy_binary(self):
        cur = self.conn.cursor()
        cur.execute("CREATE TABLE copied (id bigint, embedding vector(3), half halfvec(3), sparse sparsevec(3))")
        with cur.copy("COPY copied FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "vector", "halfvec", "sparsevec"])
            for item in ITEMS:
                vector = item["embedding"]
                copy.write_row((item["id"], Vector(vector), HalfVector(vector), sparse(vector)))
        with cur.copy("COPY (SELECT * FROM copied ORDER BY id) TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "vector", "halfvec", "sparsevec"])
            rows = list(copy.rows())
        self.assertEqual(rows, [(item["id"], Vector(item["embedding"]), HalfVector(item["embedding"]),
                                 sparse(item["embedding"])) for item in ITEMS])
        # and as text
        with cur.copy("COPY (SELECT * FROM copied ORDER BY id) TO STDOUT") as copy:
            text = b"".join(bytes(block) for block in copy)
        cur.execute("CREATE TABLE again (LIKE copied)")
        with cur.copy("COPY again FROM STDIN") as copy:
            copy.write(text)
        self.assertEqual(self.ids("SELECT count(*) FROM copied JOIN again USING (id, embedding, half, sparse)"), [60])

    def test_null_and_arrays(self):
        row = self.conn.execute("SELECT %s::vector, %s::halfvec", (None, None)).fetchone()
        self.assertEqual(row, (None, None))
        vectors = [Vector(item["embedding"]) for item in ITEMS[:3]]
        for holder in "%t", "%b":
            row = self.conn.execute("SELECT %s::vector[]" % holder, (vectors,)).fetchone()
            self.assertEqual(row[0], vectors)
        self.assertEqual(self.ids("SELECT id FROM items WHERE embedding = ANY (%s) ORDER BY id", (vectors,)), [1, 2, 3])

    def test_errors(self):
        for query, value, error in (
            ("INSERT INTO items (id, embedding) VALUES (1000, %b)", Vector([1, 2]), psycopg.errors.DataException),
            ("INSERT INTO items (id, embedding) VALUES (1000, %s)", "[1,2,x]", psycopg.errors.InvalidTextRepresentation),
            ("SELECT %s::halfvec", "[1e9]", psycopg.errors.NumericValueOutOfRange),
            ("SELECT %b::vector", Vector([float("nan")]), psycopg.errors.DataException),
            ("SELECT %b", SparseVector(3, {7: 1.0}), psycopg.errors.DataException),
        ):
            with self.subTest(query=query), self.assertRaises(error):
                self.conn.execute(query, (value,))


if __name__ == "__main__":
    unittest.main()

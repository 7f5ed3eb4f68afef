# SQLAlchemy, 1.4 and 2.0, over psycopg 2 and, where it can, over psycopg 3: declared tables and indexes, distances as column
# operators, filters, values back, and COPY through the driver.
import io
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import sqlalchemy
from items import ITEMS, QUERY, cosine, nearest
from sqlalchemy import BigInteger, Column, Float, Index, Text, create_engine, func, select, text
from sqlalchemy.orm import Session, declarative_base
from sqlalchemy.types import UserDefinedType


class Vector(UserDefinedType):
    """A column of a dense vector type; Python lists on both sides."""

    cache_ok = True

    def __init__(self, dim=None, kind="vector"):
        self.dim, self.kind = dim, kind

    def get_col_spec(self, **kwargs):
        return self.kind if self.dim is None else "%s(%d)" % (self.kind, self.dim)

    def bind_processor(self, dialect):
        return lambda value: None if value is None else "[%s]" % ",".join(map(repr, value))

    def result_processor(self, dialect, coltype):
        return lambda value: None if value is None else [float(x) for x in value[1:-1].split(",")]

    class comparator_factory(UserDefinedType.Comparator):
        def l2_distance(self, other):
            return self.op("<->", return_type=Float)(other)

        def cosine_distance(self, other):
            return self.op("<=>", return_type=Float)(other)


Base = declarative_base()


class Item(Base):
    __tablename__ = "items"
    id = Column(BigInteger, primary_key=True)
    category = Column(Text)
    embedding = Column(Vector(3))
    half = Column(Vector(3, "halfvec"))
    __table_args__ = (
        Index("items_embedding", "embedding", postgresql_using="hnsw",
              postgresql_ops={"embedding": "vector_l2_ops"}, postgresql_with={"m": 16, "ef_construction": 64}),
        Index("items_half", "half", postgresql_using="hnsw", postgresql_ops={"half": "halfvec_cosine_ops"}),
    )


class OverPsycopg2(unittest.TestCase):
    driver = "postgresql+psycopg2"

    @classmethod
    def setUpClass(cls):
        # host, port, user and database come from the environment: PGHOST and its like
        engine = create_engine(cls.driver + "://")
        with engine.begin() as connection:
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS vecann"))
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            session.add_all([Item(id=item["id"], category=item["category"], embedding=item["embedding"],
                                  half=item["embedding"]) for item in ITEMS])
            session.commit()
        cls.engine = engine

    @classmethod
    def tearDownClass(cls):
        Base.metadata.drop_all(cls.engine)
        cls.engine.dispose()

    def test_nearest(self):
        with Session(self.engine) as session:
            found = session.scalars(select(Item).order_by(Item.embedding.l2_distance(QUERY)).limit(5)).all()
            self.assertEqual([item.id for item in found], nearest(5))

    def test_filters(self):
        with Session(self.engine) as session:
            found = session.scalars(
                select(Item.id)
                .where(Item.category == "pear", Item.id > 5)
                .order_by(Item.half.cosine_distance(QUERY))
                .limit(5)
            ).all()
            self.assertEqual(found, nearest(5, cosine, lambda i: i["category"] == "pear" and i["id"] > 5))
            within = session.scalars(select(Item.id).where(Item.embedding.l2_distance(QUERY) < 6)
                                     .order_by(Item.embedding.l2_distance(QUERY))).all()
            self.assertEqual(within, nearest(len(within)))
            self.assertGreater(len(within), 2)

    def test_values_come_back(self):
        with Session(self.engine) as session:
            items = session.scalars(select(Item).order_by(Item.id)).all()
            self.assertEqual([(i.embedding, i.half) for i in items], [(i["embedding"],) * 2 for i in ITEMS])

    def test_aggregate_and_update(self):
        with Session(self.engine) as session:
            total = session.scalar(select(func.sum(Item.embedding, type_=Vector())))
            self.assertEqual(total, [sum(i["embedding"][d] for i in ITEMS) for d in range(3)])
            session.get(Item, 1).embedding = QUERY
            session.flush()
            self.assertEqual(session.scalars(select(Item.id).order_by(Item.embedding.l2_distance(QUERY)).limit(1)).one(), 1)
            session.rollback()

    def test_indexes_are_declared(self):
        found = {i["name"]: i for i in sqlalchemy.inspect(self.engine).get_indexes("items")}
        self.assertEqual(set(found), {"items_embedding", "items_half"})

    def test_copy_binary(self):
        raw = self.engine.raw_connection()
        cur = raw.cursor()
        cur.execute("CREATE TEMP TABLE copied (LIKE items)")
        out, back = "COPY items TO STDOUT (FORMAT binary)", "COPY copied FROM STDIN (FORMAT binary)"
        if hasattr(cur, "copy_expert"):
            data = io.BytesIO()
            cur.copy_expert(out, data)
            data.seek(0)
            cur.copy_expert(back, data)
        else:
            with cur.copy(out) as copy:
                data = b"".join(bytes(block) for block in copy)
            with cur.copy(back) as copy:
                copy.write(data)
        cur.execute("SELECT count(*) FROM items JOIN copied USING (id, category, embedding, half)")
        self.assertEqual(cur.fetchone()[0], len(ITEMS))
        raw.rollback()
        raw.close()


if sqlalchemy.__version__ >= "2":
    class OverPsycopg3(OverPsycopg2):
        driver = "postgresql+psycopg"


if __name__ == "__main__":
    unittest.main()

-- Order of vectors: by value, element by element, then by dimension.

SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, vector_cmp(a, b) AS cmp
FROM (VALUES ('[1,2]'::vector, '[1,2]'::vector), ('[1,2]', '[1,3]'), ('[2,1]', '[1,9]'), ('[1]', '[1,-5]'),
             ('[1,0]', '[1]'), ('[0,-0]', '[-0,0]'), ('[-1]', '[1]'), ('[2]', '[1,1,1]')) t(a, b);
SELECT vector_lt('[1]', '[2]'), vector_le('[1]', '[1]'), vector_eq('[1]', '[1,2]'), vector_ne('[1]', '[1,2]'),
       vector_ge('[1]', '[2]'), vector_gt('[3]', '[2]');
SELECT '[1]'::vector = NULL AS eq, '[1]'::vector IS DISTINCT FROM '[1]' AS is_distinct, '[1]'::vector != '[2]' AS ne;

CREATE TABLE vb (id serial, v vector);
INSERT INTO vb (v) VALUES ('[3,1]'), ('[1]'), ('[1,0]'), (NULL), ('[-2,5]'), ('[1,0]'), ('[1,-1]');
SELECT v FROM vb ORDER BY v, id;
SELECT v FROM vb ORDER BY v DESC NULLS LAST, id;
SELECT v, count(*) FROM vb GROUP BY v ORDER BY v;
SELECT DISTINCT v FROM vb ORDER BY v;
SELECT v FROM vb WHERE v IN ('[1]', '[3,1]') ORDER BY v;
SELECT v FROM vb WHERE v BETWEEN '[1]' AND '[1,0]' ORDER BY v, id;

-- the default btree operator class
CREATE INDEX vb_v ON vb (v);
SELECT amname, opcname, opcdefault FROM pg_index i JOIN pg_opclass o ON o.oid = i.indclass[0]
    JOIN pg_am a ON a.oid = opcmethod
WHERE indexrelid = 'vb_v'::regclass;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT v FROM vb WHERE v > '[1]' ORDER BY v;
SELECT v FROM vb WHERE v > '[1]' ORDER BY v;
SELECT v FROM vb WHERE v = '[1,0]';
SELECT v FROM vb WHERE v <= '[1]' ORDER BY v DESC;
SELECT count(*) FROM vb WHERE v IS NULL;
-- merge join
SET enable_hashjoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT a.id, b.id FROM vb a JOIN vb b ON a.v = b.v;
SELECT a.id, b.id FROM vb a JOIN vb b ON a.v = b.v WHERE a.id < b.id;
RESET ALL;
DROP TABLE vb;

-- uniqueness sees 0 and -0 as one value; both keep their form
CREATE TABLE vu (v vector(2) PRIMARY KEY);
INSERT INTO vu VALUES ('[0,1]'), ('[1,0]');
INSERT INTO vu VALUES ('[-0,1]') ON CONFLICT DO NOTHING;
INSERT INTO vu VALUES ('[-0,1]') ON CONFLICT (v) DO UPDATE SET v = excluded.v;
SELECT v FROM vu ORDER BY v;
DROP TABLE vu;

-- the index against a sort, with values that go out of line while they are sorted
CREATE TABLE vs AS SELECT i, array_agg(((i * 7919 + j * 104729) % 5) ORDER BY j)::vector v
FROM generate_series(1, 300) i, generate_series(1, 40) j GROUP BY i;
CREATE INDEX ON vs (v);
SET enable_seqscan = off;
CREATE TEMP TABLE by_index AS SELECT row_number() OVER () n, v FROM (SELECT v FROM vs ORDER BY v) s;
SET enable_seqscan = on;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
CREATE TEMP TABLE by_sort AS SELECT row_number() OVER () n, v FROM (SELECT v FROM vs ORDER BY v::real[]) s;
SELECT count(*), bool_and(a.v = b.v) FROM by_index a JOIN by_sort b USING (n);
RESET ALL;
DROP TABLE vs, by_index, by_sort;

-- a range type over the order
CREATE TYPE vector_range AS RANGE (subtype = vector);
SELECT vector_range('[1]', '[2]') @> '[1,5]'::vector AS inside,
       vector_range('[1]', '[2]') @> '[2,0]'::vector AS outside;
DROP TYPE vector_range;

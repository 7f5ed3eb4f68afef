-- Type sparsevec. Errors are in sparsevec_errors.

-- text form: any order, explicit zeros dropped, white space, none at all
SELECT '{1:1,3:2.5}/5'::sparsevec, '{3:2,1:-1}/3'::sparsevec, '{}/3'::sparsevec, '{1:0,2:-0,3:7}/4'::sparsevec;
SELECT E' \t{ 1 : 1.5 ,\n 2\r: 0x10 } / 3 \f\x0b'::sparsevec, '{ }/1'::sparsevec, '{+2:1e3}/+5'::sparsevec;
SELECT '{1:0.1,2:16777217,3:1e-45,4:3.4028235e38,5:-1e-7}/1000000000'::sparsevec, '{1000000000:1}/1000000000'::sparsevec;
SELECT sparsevec_in('{1:2}/3', 0, -1), sparsevec_in('{1:2}/3', 0, 3), sparsevec_out('{2:1}/3'),
       sparsevec_typmod_in('{1000000000}');
SELECT count(*), bool_and(v::text::sparsevec = v AND sparsevec_send(v::text::sparsevec) = sparsevec_send(v)) AS same
FROM (SELECT ('{' || string_agg(i * 7919 || ':' || (sin(i) * 10.0 ^ (i % 70 - 35))::real, ',' ORDER BY -i) || '}/100000000')::sparsevec
      FROM generate_series(1, 5000) i GROUP BY i / 10) s(v);
-- 16,000 elements
SELECT length(v::text), l2_norm(v), pg_column_size(v) FROM (SELECT ('{' || string_agg(i || ':1', ',') || '}/16000')::sparsevec v
    FROM generate_series(1, 16000) i) s;

-- type modifier, storage
CREATE TABLE st (id integer, a sparsevec, b sparsevec(5), c sparsevec(2)[]);
SELECT attname, format_type(atttypid, atttypmod), atttypmod, attstorage, attcollation, attalign
FROM pg_attribute WHERE attrelid = 'st'::regclass AND attnum > 1 ORDER BY attnum;
INSERT INTO st VALUES (1, '{}/7', '{1:1}/5', ARRAY['{1:1}/2', '{}/2']::sparsevec[]), (2, NULL, ARRAY[0,2,0,1.5,0], NULL);
SELECT * FROM st ORDER BY id;
CREATE TABLE slong (id integer, v sparsevec);
INSERT INTO slong SELECT n, ('{' || string_agg(i * 3 || ':0.5', ',') || '}/100000')::sparsevec
FROM unnest(ARRAY[1, 13, 14, 15, 500, 16000]) n, generate_series(1, n) i GROUP BY n;
SELECT id, pg_column_size(v), pg_column_compression(v), l1_distance(v, '{}/100000') * 2 = id AS ones FROM slong ORDER BY id;

-- binary form: int32 dimensions, elements, 0, indices from 0, values
SELECT sparsevec_send('{3:-2,1:1}/5'), sparsevec_send('{}/1');
\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/sparsevec.bin'
\set load '\\copy sback FROM ' :'file' ' WITH (FORMAT binary)'
CREATE TABLE sback (id integer, v sparsevec);
COPY slong TO STDOUT WITH (FORMAT binary) \g :file
:load
SELECT count(*), bool_and(a.v = b.v) FROM slong a JOIN sback b USING (id);
TRUNCATE sback;
COPY (SELECT 1, '\x00000005000000020000000000000000000000023f800000c0000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
SELECT * FROM sback;
DROP TABLE st, slong, sback;

-- distances: those of the same vectors written out
SELECT count(*), bool_and(abs(l2_distance(a, b) - l2_distance(va, vb)) <= 1e-6 * l2_distance(va, vb)) AS l2,
       bool_and(sparsevec_l2_squared_distance(a, b) = l2_distance(a, b) ^ 2
                OR abs(sparsevec_l2_squared_distance(a, b) / l2_distance(a, b) ^ 2 - 1) < 1e-12) AS l2_squared,
       bool_and(abs(inner_product(a, b) - inner_product(va, vb)) <= 1e-5) AS ip,
       bool_and(sparsevec_negative_inner_product(a, b) = -inner_product(a, b)) AS negative,
       bool_and(abs(l1_distance(a, b) - l1_distance(va, vb)) <= 1e-5 * l1_distance(va, vb)) AS l1,
       bool_and(abs(cosine_distance(a, b) - cosine_distance(va, vb)) <= 1e-6 OR l2_norm(a) * l2_norm(b) = 0) AS cosine,
       bool_and(abs(sparsevec_spherical_distance(l2_normalize(a), l2_normalize(b))
                    - vector_spherical_distance(l2_normalize(va), l2_normalize(vb))) < 1e-3) AS spherical,
       bool_and(l2_norm(a) = vector_norm(va)) AS norm, bool_and(l2_normalize(a)::vector = l2_normalize(va)) AS normalize,
       bool_and(a::vector = va AND sparsevec_cmp(a, b) = vector_cmp(va, vb)) AS order
FROM (SELECT va, vb, va::sparsevec a, vb::sparsevec b
      FROM (SELECT array_agg(CASE WHEN i * n % 7 < 3 THEN sin(i * n) ELSE 0 END)::vector va,
                   array_agg(CASE WHEN i % (n + 1) = 0 THEN cos(i) ELSE 0 END)::vector vb
            FROM generate_series(1, 90) n, generate_series(1, 3 * n) i GROUP BY n OFFSET 0) s) s;
SELECT '{1:1,2:2}/3'::sparsevec <-> '{2:5,3:4}/3' AS l2, '{1:1,2:2}/3'::sparsevec <#> '{2:5,3:4}/3' AS ip,
       '{1:1}/2'::sparsevec <=> '{1:-3}/2' AS cosine, '{1:1,2:2}/3'::sparsevec <+> '{2:5,3:4}/3' AS l1;
SELECT l2_distance('{}/3'::sparsevec, '{}/3'), inner_product('{}/3'::sparsevec, '{1:1}/3'), cosine_distance('{}/3'::sparsevec, '{1:1}/3'),
       l1_distance('{}/3'::sparsevec, '{3:-2}/3'), '{}/3'::sparsevec <#> '{}/3' AS zero;
-- sums are in double: neither overflow nor loss
SELECT l2_distance('{1:3e38}/1'::sparsevec, '{1:-3e38}/1'), inner_product('{1:3e38,2:3e38}/2'::sparsevec, '{1:3e38,2:-3e38}/2'),
       cosine_distance('{1:1e-45}/1'::sparsevec, '{1:3e38}/1');
-- lists of very different length
SELECT inner_product(a, b), inner_product(b, a), l1_distance(a, b) FROM (SELECT '{5:1,5000:2,9999:3,100000:4}/100000'::sparsevec a,
    ('{' || string_agg(i || ':1', ',') || '}/100000')::sparsevec b FROM generate_series(1, 10000) i) s;
SELECT l2_distance('{}/1'::sparsevec, NULL), NULL::sparsevec <-> '{}/1';
SELECT l2_norm('{1:3,9:4}/10'::sparsevec), l2_norm('{}/1'::sparsevec), l2_normalize('{1:3,9:4}/10'::sparsevec),
       l2_normalize('{}/2'::sparsevec), l2_normalize('{1:3e38,2:1e-10}/2'::sparsevec);

-- order: as the vectors written out, the default btree class
SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, sparsevec_cmp(a, b) AS cmp,
       vector_cmp(a::vector, b::vector) AS dense
FROM (VALUES ('{1:1}/2'::sparsevec, '{1:1}/2'::sparsevec), ('{1:1}/2', '{1:1}/3'), ('{1:1}/2', '{1:1,3:-5}/3'), ('{}/2', '{2:-1}/2'),
             ('{}/2', '{2:1}/2'), ('{1:-1}/3', '{2:5}/3'), ('{3:1}/3', '{2:1}/3'), ('{}/3', '{}/2'), ('{2:1}/5', '{}/1')) t(a, b);
SELECT sparsevec_lt('{}/1', '{1:1}/1'), sparsevec_le('{}/1', '{}/1'), sparsevec_eq('{}/1', '{}/2'), sparsevec_ne('{}/1', '{}/2'),
       sparsevec_ge('{}/1', '{1:1}/1'), sparsevec_gt('{1:2}/1', '{1:1}/1');
CREATE TABLE sb (id serial, v sparsevec);
INSERT INTO sb (v) VALUES ('{1:3,2:1}/2'), ('{1:1}/1'), ('{1:1}/2'), (NULL), ('{1:-2,2:5}/2'), ('{1:1}/2'), ('{1:1,2:-1}/2');
SELECT v, count(*) FROM sb GROUP BY v ORDER BY v DESC NULLS LAST;
CREATE INDEX sb_v ON sb (v);
SELECT opcname, opcdefault FROM pg_index i JOIN pg_opclass o ON o.oid = i.indclass[0] WHERE indexrelid = 'sb_v'::regclass;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT v FROM sb WHERE v > '{1:1}/1' ORDER BY v;
SELECT v FROM sb WHERE v > '{1:1}/1' ORDER BY v;
RESET ALL;
DROP TABLE sb;

-- casts
SELECT ARRAY[0,2,0]::sparsevec, '{1,0,-0,2.5}'::real[]::sparsevec(4), '{0.1,1e-50}'::float8[]::sparsevec, '{0,0.1,1e-400}'::numeric[]::sparsevec;
SELECT array_to_sparsevec(ARRAY[0,2], 2, true), array_to_sparsevec('{1,0}'::real[], -1, false),
       array_to_sparsevec('{0,2}'::float8[], 2, false), array_to_sparsevec('{1,0}'::numeric[], 2, false);
SELECT array_to_sparsevec(array_fill(0, ARRAY[100000]), -1, false), sparsevec('{1:1}/3', 3, true), '{1:1}/3'::sparsevec::sparsevec(3);
SELECT '[0,1.5,-0,2]'::vector::sparsevec, '[0,0.1]'::halfvec::sparsevec, '{2:1.5}/3'::sparsevec::vector, '{2:0.1}/3'::sparsevec::halfvec,
       '{1:1e-10,2:1}/2'::sparsevec::halfvec;
SELECT vector_to_sparsevec('[0,1]', 2, true), halfvec_to_sparsevec('[0,1]', -1, true), sparsevec_to_vector('{}/2', 2, true),
       sparsevec_to_halfvec('{}/2', -1, true);
-- vector and halfvec become sparsevec by themselves, sparsevec the others on assignment only
CREATE TABLE sc (s sparsevec(2), v vector(2), h halfvec(2));
INSERT INTO sc (s) VALUES (ARRAY[0,2]), ('[3,0]'::vector), ('[0,4]'::halfvec);
UPDATE sc SET v = s, h = s;
SELECT * FROM sc;
SELECT '{1:1}/2'::sparsevec <-> '[1,3]'::vector AS vector, '{1:1}/2'::sparsevec <-> '[1,3]'::halfvec AS halfvec,
       '[1,2]'::vector <-> '[1,3]'::halfvec AS dense;
SELECT vector_norm('{}/1'::sparsevec);
SELECT '{}/1'::sparsevec + '{}/1';
SELECT avg('{}/1'::sparsevec);
SELECT '{1:1}/1'::sparsevec::real[];
SELECT ARRAY[1,2,3] = ARRAY[1,2,3] AS eq, ARRAY[1,2,3] < ARRAY[1,2,4] AS lt;
SELECT l2_distance('{}/1', '{}/1');
DROP TABLE sc;

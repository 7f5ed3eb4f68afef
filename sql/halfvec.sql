-- Type halfvec: what vector's tests ask of vector, where half precision makes a difference. Errors are in
-- halfvec_errors, indexes in hnsw_halfvec.

-- text form
SELECT '[1,2,3]'::halfvec, E' [ -1.5,\t0, .25 , 2., +7 ]\n'::halfvec, '[1e3,0x10,0,-0]'::halfvec;
-- nearest half, ties to even; printed as the shortest float4
SELECT '[0.1,0.3333333333,1.0009,1.00048828125,1.001464843750001,2049,2051,65504,-65504,65519,65519.99]'::halfvec;
SELECT '[6e-8,-6e-8,2.9802322387695312e-8,2.980232238769532e-8,1e-7,6.1e-5,1e-46,-1e-400]'::halfvec;
SELECT halfvec_in('[1,2]', 0, -1), halfvec_in('[1,2]', 0, 2), halfvec_out('[1,2]');
-- each of the 63,488 finite numbers reads back as itself, in both forms
CREATE TABLE hv_all AS
SELECT sign, e, array_agg((sign * CASE e WHEN 0 THEN m ELSE 1024 + m END * 2.0::float8 ^ (greatest(e, 1) - 25))
                          ORDER BY m) AS x
FROM unnest(ARRAY[1, -1]) sign, generate_series(0, 30) e, generate_series(0, 1023) m GROUP BY sign, e;
SELECT count(*), sum(vector_dims(v)), bool_and(v::real[]::float8[] = x) AS exact, bool_and(v::text::halfvec = v) AS text,
       bool_and(halfvec_send(v::text::halfvec) = halfvec_send(v)) AS bytes
FROM (SELECT x, x::halfvec v FROM hv_all) s;
-- what lies between two of them goes to the nearer one, halfway to the even one: against numeric
SELECT count(*), bool_and(v::float8 = nearest) AS nearest FROM (
    SELECT (ARRAY[a + (b - a) * part]::halfvec::real[])[1] AS v,
           CASE WHEN part < 0.5 OR part = 0.5 AND i % 2 = 1 THEN a ELSE b END AS nearest
    FROM hv_all, LATERAL (SELECT i, x[i] a, x[i + 1] b FROM generate_series(1, 1023) i) p,
         unnest(ARRAY[0.25, 0.4999999999, 0.5, 0.5000000001, 0.75]::float8[]) part WHERE i % 50 < 2) s;
DROP TABLE hv_all;

-- type modifier, storage
SELECT '[1,2,3]'::halfvec(3), halfvec_typmod_in('{16000}');
CREATE TABLE ht (id integer, a halfvec, b halfvec(3), c halfvec(2)[]);
SELECT attname, format_type(atttypid, atttypmod), atttypmod, attstorage, attcollation, attalign
FROM pg_attribute WHERE attrelid = 'ht'::regclass AND attnum > 1 ORDER BY attnum;
INSERT INTO ht VALUES (1, '[1]', '[1,2,3]', ARRAY['[1,2]', '[3,4]']::halfvec[]), (2, NULL, ARRAY[1.5,2,3], NULL);
SELECT * FROM ht ORDER BY id;
CREATE TABLE hlong (id integer, v halfvec);
INSERT INTO hlong SELECT d, array_fill(0.5, ARRAY[d])::halfvec FROM unnest(ARRAY[1, 60, 61, 62, 500, 4000, 16000]) d;
SELECT id, vector_dims(v), pg_column_size(v), pg_column_compression(v), l1_distance(v, v) FROM hlong ORDER BY id;
UPDATE hlong SET v = v + v;
SELECT id, l1_distance(v, array_fill(0, ARRAY[id])::halfvec) = id AS ones FROM hlong ORDER BY id;

-- binary form: int16 dimension, int16 0, two bytes each
SELECT halfvec_send('[1,-2,0.5,65504,-0]');
\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/halfvec.bin'
\set load '\\copy hback FROM ' :'file' ' WITH (FORMAT binary)'
CREATE TABLE hback (id integer, v halfvec);
COPY hlong TO STDOUT WITH (FORMAT binary) \g :file
:load
SELECT count(*), bool_and(a.v = b.v) FROM hlong a JOIN hback b USING (id);
TRUNCATE hback;
COPY (SELECT 1, '\x0003000080003c007bff'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
SELECT * FROM hback;
DROP TABLE ht, hlong, hback;

-- distances: those of the same vectors of float4, to the last bit, at every length
SELECT count(*) AS dims, bool_and(l2_distance(a, b) = l2_distance(va, vb)) AS l2,
       bool_and(halfvec_l2_squared_distance(a, b) = vector_l2_squared_distance(va, vb)) AS l2_squared,
       bool_and(inner_product(a, b) = inner_product(va, vb)) AS ip,
       bool_and(halfvec_negative_inner_product(a, b) = vector_negative_inner_product(va, vb)) AS negative,
       bool_and(l1_distance(a, b) = l1_distance(va, vb)) AS l1,
       bool_and(cosine_distance(a, b) = cosine_distance(va, vb)) AS cosine,
       bool_and(halfvec_spherical_distance(a, b) = vector_spherical_distance(va, vb)) AS spherical,
       bool_and(l2_norm(a) = vector_norm(va)) AS norm, bool_and(binary_quantize(a) = binary_quantize(va)) AS bits
FROM (SELECT a, b, a::vector AS va, b::vector AS vb
      FROM (SELECT d, array_agg(sin(i * d))::halfvec a, array_agg(cos(i - d) * 0.01)::halfvec b
            FROM generate_series(1, 140) d, generate_series(1, d) i GROUP BY d OFFSET 0) s) s;
SELECT '[1,2,3]'::halfvec <-> '[1,2,5]' AS l2, '[1,2]'::halfvec <#> '[3,4]' AS ip, '[1,0]'::halfvec <=> '[-5,0]' AS cosine,
       '[1,2]'::halfvec <+> '[4,6]' AS l1;
SELECT cosine_distance('[0,0]'::halfvec, '[1,1]'), cosine_distance('[6e-8,6e-8]'::halfvec, '[6e4,6e4]'),
       l2_distance('[65504,65504]'::halfvec, '[-65504,-65504]'), inner_product('[6e-8]'::halfvec, '[6e-8]');
SELECT l2_distance('[1]'::halfvec, NULL), NULL::halfvec <-> '[1]';

-- one vector
SELECT vector_dims('[1,2,3]'::halfvec), l2_norm('[3,4]'::halfvec), l2_norm('[65504,65504]'::halfvec),
       l2_normalize('[3,4]'::halfvec), l2_normalize('[0,-0]'::halfvec), l2_normalize('[6e-8,0]'::halfvec);
SELECT binary_quantize('[1,0,-1,6e-8,-0]'::halfvec), subvector('[1,2,3,4,5]'::halfvec, 2, 3),
       subvector('[1,2,3,4,5]'::halfvec, -1, 4), subvector('[1,2,3,4,5]'::halfvec, 4, 9);
-- arithmetic: rounded once
SELECT '[1,2,3]'::halfvec + '[4,5,6]', '[1,2,3]'::halfvec - '[4,5,6]', '[1,2,3]'::halfvec * '[4,5,6]',
       '[1,2]'::halfvec || '[3]';
SELECT halfvec_add('[2048]', '[1]'), halfvec_add('[2048]', '[3]'), halfvec_sub('[65504]', '[1]'),
       halfvec_mul('[0.1]', '[0.1]'), halfvec_concat('[1]', '[2]'), '[6e-8,0]'::halfvec * '[1,6e-8]';

-- order, the default btree class
SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, halfvec_cmp(a, b) AS cmp
FROM (VALUES ('[1,2]'::halfvec, '[1,2]'::halfvec), ('[1,2]', '[1,3]'), ('[1]', '[1,-5]'), ('[0,-0]', '[-0,0]'),
             ('[-1]', '[6e-8]')) t(a, b);
SELECT halfvec_lt('[1]', '[2]'), halfvec_le('[1]', '[1]'), halfvec_eq('[1]', '[1,2]'), halfvec_ne('[1]', '[1,2]'),
       halfvec_ge('[1]', '[2]'), halfvec_gt('[3]', '[2]');
CREATE TABLE hb (id serial, v halfvec);
INSERT INTO hb (v) VALUES ('[3,1]'), ('[1]'), ('[1,0]'), (NULL), ('[-2,5]'), ('[1,0]'), ('[1,-1]');
SELECT v, count(*) FROM hb GROUP BY v ORDER BY v DESC NULLS LAST;
CREATE INDEX hb_v ON hb (v);
SELECT opcname, opcdefault FROM pg_index i JOIN pg_opclass o ON o.oid = i.indclass[0] WHERE indexrelid = 'hb_v'::regclass;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT v FROM hb WHERE v > '[1]' ORDER BY v;
SELECT v FROM hb WHERE v > '[1]' ORDER BY v;
RESET ALL;
DROP TABLE hb;
CREATE TABLE hu (v halfvec(2) PRIMARY KEY);
INSERT INTO hu VALUES ('[0,1]'), ('[1,0]');
INSERT INTO hu VALUES ('[-0,1]') ON CONFLICT DO NOTHING;
SELECT v FROM hu ORDER BY v;
DROP TABLE hu;

-- aggregates
SELECT avg(v), sum(v), pg_typeof(avg(v)), pg_typeof(sum(v)) FROM unnest(ARRAY['[1,2]', NULL, '[3,5]']::halfvec[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[]::halfvec[]) v;
-- avg adds in double, sum in the type's own precision
SELECT avg(v) FROM unnest(ARRAY['[6e4]', '[6e4]', '[6e4]']::halfvec[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[2048]', '[1]', '[1]', '[1]', '[1]']::halfvec[]) v;
SELECT halfvec_accum('{1,3,4}', '[1,2]'), halfvec_combine('{2,1,2}', '{3,10,20}'), halfvec_avg('{2,1,2}'),
       halfvec_avg('{0}');
CREATE TABLE hp (v halfvec(3));
INSERT INTO hp SELECT ARRAY[i % 2, 1, -(i % 3)]::halfvec FROM generate_series(1, 2000) i;
ANALYZE hp;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT avg(v), sum(v) FROM hp;
SELECT avg(v), sum(v) FROM hp;
RESET ALL;
DROP TABLE hp;

-- casts
SELECT ARRAY[1,2,3]::halfvec, '{1,2.5}'::real[]::halfvec(2), '{0.1,1e-50}'::float8[]::halfvec, '{0.1,1e-400}'::numeric[]::halfvec;
-- doubles are rounded once, not by way of float4
SELECT '{1.00048828125,1.000488281250001,1.001464843749999}'::float8[]::halfvec,
       '{1.00048828125,1.000488281250001}'::numeric[]::halfvec;
SELECT array_to_halfvec(ARRAY[1,2], 2, true), array_to_halfvec('{1,2}'::real[], -1, false),
       array_to_halfvec('{1,2}'::float8[], 2, false), array_to_halfvec('{1,2}'::numeric[], 2, false);
SELECT '[1,2.5,-0]'::halfvec::real[], halfvec_to_float4('[1,2]', -1, false), halfvec('[1,2,3]', 3, true);
SELECT '[0.1,70000]'::vector = '[0.1,70000]' AS vector, '[0.1,-0]'::vector::halfvec, '[0.1,-0]'::halfvec::vector,
       vector_to_halfvec('[1,2]', 2, true), halfvec_to_vector('[1,2]', -1, false);
-- vector becomes halfvec by itself, halfvec becomes vector or an array on assignment only
CREATE TABLE hc (h halfvec(2), v vector(2), r real[]);
INSERT INTO hc (h) VALUES (ARRAY[1,2]), ('{4,5}'::real[]), ('{7,8}'::float8[]), ('{1.5,2.5}'::numeric[]), ('[3,4]'::vector);
UPDATE hc SET v = h, r = h;
SELECT * FROM hc;
SELECT '[1,2]'::vector <-> '[1,3]'::halfvec AS mixed, pg_typeof('[1]'::vector + '[1]'::halfvec),
       pg_typeof(CASE WHEN true THEN '[1]'::vector ELSE '[1]'::halfvec END);
SELECT vector_norm('[1]'::halfvec);
SELECT ARRAY[1,2,3] = ARRAY[1,2,3] AS eq, ARRAY[1,2,3] < ARRAY[1,2,4] AS lt, ARRAY[1.5] || ARRAY[2.5] AS cat;
DROP TABLE hc;

-- any SQL function of the name with nothing but literals wants a type
SELECT l2_distance('[1]', '[2]');

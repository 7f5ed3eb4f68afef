-- The kernels of each instruction-set level against plain SQL and against each other. A level that this processor lacks
-- is measured with the one in force before it, so that the output is the same everywhere.

LOAD 'vecann';
SHOW vecann.simd_level;
SET vecann.simd_level = 'no such level';

CREATE FUNCTION pg_temp.use_level(level text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('vecann.simd_level', level, false);
    RETURN level;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN level;
END $$;

-- dimensions around every multiple of a register, and a long one; elements of either sign over some orders of magnitude
CREATE TABLE simd_input AS
SELECT d, array_agg((sin(d * 1000 + i) * 10 ^ (i % 5 - 2))::real ORDER BY i) AS a,
       array_agg((cos(d * 77 - i) * 10 ^ (i % 7 - 3))::real ORDER BY i) AS b
FROM (SELECT generate_series(1, 140) UNION SELECT unnest(ARRAY[255, 256, 257, 768, 1536, 16000])) s(d),
    generate_series(1, d) i GROUP BY d;

-- the same in double precision, and the norms that rounding errors are measured by
CREATE TABLE simd_exact AS
SELECT d, count(*), sqrt(sum((x - y) ^ 2)) l2, sum((x - y) ^ 2) l2sq, sum(x * y) ip, sum(abs(x - y)) l1,
       1 - sum(x * y) / sqrt(sum(x * x) * sum(y * y)) cosine, sqrt(sum(x * x) * sum(y * y)) scale
FROM simd_input, LATERAL (SELECT x::float8, y::float8 FROM unnest(a, b) u(x, y)) p GROUP BY d;

CREATE VIEW simd_now AS
SELECT d, l2_distance(a, b) l2, vector_l2_squared_distance(a, b) l2sq, inner_product(a, b) ip,
       vector_negative_inner_product(a, b) nip, l1_distance(a, b) l1, cosine_distance(a, b) cosine,
       cosine_distance(b, a) cosine_ba,
       l2_distance(b, a) l2_ba, inner_product(b, a) ip_ba, vector_norm(a) norm
FROM (SELECT d, a::vector, b::vector FROM simd_input OFFSET 0) v;

CREATE VIEW simd_check AS
SELECT count(*), bool_and(abs(n.l2 - e.l2) <= 1e-5 * e.l2) AS l2,
       bool_and(abs(n.l2sq - e.l2sq) <= 1e-5 * e.l2sq) AS l2sq,
       bool_and(abs(n.ip - e.ip) <= 1e-5 * scale) AS ip, bool_and(n.nip = -n.ip) AS nip,
       bool_and(abs(n.l1 - e.l1) <= 1e-5 * e.l1) AS l1,
       bool_and(abs(n.cosine - e.cosine) <= 1e-5) AS cosine,
       bool_and(n.l2 = n.l2_ba AND n.ip = n.ip_ba AND n.cosine = n.cosine_ba) AS symmetric
FROM simd_now n JOIN simd_exact e USING (d);

SELECT pg_temp.use_level('baseline');
SHOW vecann.simd_level;
SELECT * FROM simd_check;
CREATE TABLE simd_baseline AS SELECT * FROM simd_now;
SELECT pg_temp.use_level('avx2');
SELECT * FROM simd_check;
SELECT count(*), bool_and(abs(n.l2 - b.l2) <= 1e-5 * b.l2) AS l2, bool_and(abs(n.ip - b.ip) <= 1e-5 * scale) AS ip,
       bool_and(abs(n.l1 - b.l1) <= 1e-5 * b.l1) AS l1, bool_and(abs(n.cosine - b.cosine) <= 1e-5) AS cosine,
       bool_and(n.norm = b.norm) AS norm
FROM simd_now n JOIN simd_baseline b USING (d) JOIN simd_exact e USING (d);
SELECT pg_temp.use_level('avx512');
SELECT * FROM simd_check;
SELECT count(*), bool_and(abs(n.l2 - b.l2) <= 1e-5 * b.l2) AS l2, bool_and(abs(n.ip - b.ip) <= 1e-5 * scale) AS ip,
       bool_and(abs(n.l1 - b.l1) <= 1e-5 * b.l1) AS l1, bool_and(abs(n.cosine - b.cosine) <= 1e-5) AS cosine,
       bool_and(n.norm = b.norm) AS norm
FROM simd_now n JOIN simd_baseline b USING (d) JOIN simd_exact e USING (d);
-- the same special cases on each level
SELECT pg_temp.use_level(level), l2_distance('[3e38]'::vector, '[-3e38]') l2, inner_product('[3e38,3e38]'::vector, '[3e38,-3e38]') ip,
       l1_distance('[3e38,0]'::vector, '[-3e38,0]') l1, cosine_distance('[3e38,3e38]'::vector, '[3e38,3e38]') cosine,
       cosine_distance('[0,0]'::vector, '[1,1]') zero,
       inner_product('[1e-45]'::vector, '[1]') subnormal, l2_distance('[-0]'::vector, '[0]') zeros
FROM unnest(ARRAY['baseline', 'avx2', 'avx512']) level;
SET vecann.simd_level = 'auto';
SELECT * FROM simd_check;

-- halfvec: the same bits as for the same numbers in float4, at each level
CREATE VIEW simd_half AS
SELECT count(*), bool_and(l2_distance(a, b) = l2_distance(fa, fb)) AS l2,
       bool_and(inner_product(a, b) = inner_product(fa, fb)) AS ip,
       bool_and(l1_distance(a, b) = l1_distance(fa, fb)) AS l1,
       bool_and(cosine_distance(a, b) = cosine_distance(fa, fb)) AS cosine
FROM (SELECT a::halfvec, b::halfvec, a::halfvec::vector AS fa, b::halfvec::vector AS fb FROM simd_input OFFSET 0) v;
SELECT pg_temp.use_level('baseline');
SELECT * FROM simd_half;
SELECT pg_temp.use_level('avx2');
SELECT * FROM simd_half;
SELECT pg_temp.use_level('avx512');
SELECT * FROM simd_half;
SET vecann.simd_level = 'auto';

-- compiled expressions call the same functions
SET jit = on;
SET jit_above_cost = 0;
SET jit_inline_above_cost = 0;
SET jit_optimize_above_cost = 0;
SELECT * FROM simd_check;
RESET ALL;
DROP VIEW simd_check, simd_now, simd_half;
DROP TABLE simd_input, simd_exact, simd_baseline;

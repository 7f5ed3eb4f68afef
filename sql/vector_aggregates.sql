-- avg and sum of vectors.

SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]', '[3,5,7]']::vector[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2]', NULL, '[3,5]', NULL]::vector[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[NULL]::vector[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[]::vector[]) v;
SELECT avg('[-0]'::vector), sum('[-0]'::vector);
SELECT pg_typeof(avg('[1]'::vector)), pg_typeof(sum('[1]'::vector));

-- avg adds in double: no overflow, no loss
SELECT avg(v) FROM unnest(ARRAY['[3e38]', '[3e38]', '[3e38]']::vector[]) v;
SELECT avg(v) FROM unnest(ARRAY['[16777216]', '[1]', '[1]']::vector[]) v;
-- sum adds in the type's own precision
SELECT sum(v) FROM unnest(ARRAY['[16777216]', '[1]', '[1]']::vector[]) v;

-- the state and its functions
SELECT vector_accum('{0}', '[1,2]'), vector_accum('{1,3,4}', '[1,2]'), vector_accum('{0,5,5}', '[1,2,3]');
SELECT vector_combine('{2,1,2}', '{3,10,20}'), vector_combine('{0}', '{3,10,20}'), vector_combine('{2,1,2}', '{0}'),
       vector_combine('{0}', '{0}');
SELECT vector_avg('{2,1,2}'), vector_avg('{0}'), vector_avg('{0,1}'), vector_avg('[0:2]={4,2,8}');
-- outside an aggregate the argument is not touched
CREATE TABLE va_state (s double precision[]);
INSERT INTO va_state VALUES ('{1,3,4}');
SELECT vector_accum(s, '[1,2]'), s FROM va_state;
DROP TABLE va_state;

-- groups, DISTINCT, FILTER, ORDER BY, windows
CREATE TABLE va (g integer, v vector(2));
INSERT INTO va SELECT i % 3, ARRAY[i, -i]::vector FROM generate_series(1, 9) i;
SELECT g, avg(v), sum(v), count(v) FROM va GROUP BY g ORDER BY g;
SELECT avg(DISTINCT v), sum(v) FILTER (WHERE g = 1), avg(v ORDER BY v DESC) FROM va;
SELECT g, v, sum(v) OVER w, avg(v) OVER w FROM va WHERE g < 2 WINDOW w AS (PARTITION BY g ORDER BY v) ORDER BY g, v;
SELECT v, sum(v) OVER w, avg(v) OVER w FROM va WHERE g = 0 WINDOW w AS (ORDER BY v ROWS 1 PRECEDING) ORDER BY v;
DROP TABLE va;

-- parallel
CREATE TABLE vp (v vector(3));
INSERT INTO vp SELECT ARRAY[i % 10, 1, -(i % 7)]::vector FROM generate_series(1, 20000) i;
ANALYZE vp;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT avg(v), sum(v) FROM vp;
SELECT avg(v), sum(v) FROM vp;
SET max_parallel_workers_per_gather = 0;
SELECT avg(v), sum(v) FROM vp;
RESET ALL;
DROP TABLE vp;

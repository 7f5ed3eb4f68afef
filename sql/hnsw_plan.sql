-- When the planner takes an hnsw index, with costs as they are by default, and that answers are right when it does not.

SELECT setseed(0.75);
CREATE TABLE hnsw_plan (id int PRIMARY KEY, v vector(4), w vector(4), category int);
INSERT INTO hnsw_plan SELECT i, array_agg(random() - 0.5)::vector, array_agg(random() - 0.5)::vector, i % 10
    FROM generate_series(1, 3000) AS i, generate_series(1, 4) GROUP BY i;
CREATE INDEX hnsw_plan_v ON hnsw_plan USING hnsw (v vector_l2_ops);
VACUUM ANALYZE hnsw_plan;
\set query '\'[.1,.2,.3,.4]\''

-- ---- taken -----------------------------------------------------------------------

EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY v <-> :query LIMIT 1;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY v <-> :query LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY v <-> :query LIMIT 10 OFFSET 20;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY :query <-> v LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id, v <-> :query AS d FROM hnsw_plan ORDER BY d LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan WHERE category < 5 ORDER BY v <-> :query LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY v <-> l2_normalize(:query::vector) LIMIT 10;
EXPLAIN (COSTS OFF) SELECT * FROM (VALUES (1), (2)) AS t(x),
    LATERAL (SELECT id FROM hnsw_plan ORDER BY v <-> array_fill(x, ARRAY[4])::vector LIMIT 3) AS n;
EXPLAIN (COSTS OFF) SELECT min(id) FROM (SELECT id FROM hnsw_plan ORDER BY v <-> :query LIMIT 10) AS s;

-- ---- not taken ---------------------------------------------------------------------

-- all rows in order, or the few that another index finds
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY v <-> :query;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan WHERE id = 77 ORDER BY v <-> :query LIMIT 10;
-- another operator, another direction, another column, a function of the distance
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY v <=> :query LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY v <#> :query LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY v <+> :query LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY v <-> :query DESC LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY v <-> :query NULLS FIRST LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY w <-> :query LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY 1 - (v <-> :query) LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY v <-> w LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY v LIMIT 10;
-- no order at all
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan WHERE v = :query;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan WHERE v <-> :query < 1;
EXPLAIN (COSTS OFF) SELECT count(*) FROM hnsw_plan WHERE v IS NULL;
EXPLAIN (COSTS OFF) SELECT count(v) FROM hnsw_plan;

-- nor with enable_seqscan = off
SET enable_seqscan = off;
SET enable_indexonlyscan = off;
ALTER TABLE hnsw_plan DROP CONSTRAINT hnsw_plan_pkey;
CREATE INDEX hnsw_plan_part ON hnsw_plan USING hnsw (v vector_l2_ops) WHERE category = 3;
INSERT INTO hnsw_plan VALUES (3001, NULL, NULL, 3), (3002, :query, NULL, 3);
EXPLAIN (COSTS OFF) SELECT count(*) FROM hnsw_plan;
EXPLAIN (COSTS OFF) SELECT count(*) FROM hnsw_plan WHERE category = 3;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan WHERE v = :query;
SELECT count(*), count(v) FROM hnsw_plan;
SELECT count(*), count(v) FROM hnsw_plan WHERE category = 3;
SELECT id FROM hnsw_plan WHERE v = :query;
SELECT id FROM hnsw_plan WHERE v IS NULL;
SELECT id FROM hnsw_plan WHERE v <-> :query < 0.001;
RESET enable_seqscan;
RESET enable_indexonlyscan;

-- ---- costs -------------------------------------------------------------------------

-- A wider beam costs more, so does a larger LIMIT; costs are finite.
CREATE FUNCTION pg_temp.cost(n int) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT id FROM hnsw_plan ORDER BY v <-> ''[1,2,3,4]'' LIMIT ' || n INTO plan;
    RETURN plan->0->'Plan'->>'Total Cost';
END $$;
SET hnsw.ef_search = 40;
SELECT pg_temp.cost(10) AS cost_40 \gset
SELECT pg_temp.cost(11) AS cost_11 \gset
SET enable_seqscan = off;
SET hnsw.ef_search = 100;
SELECT pg_temp.cost(10) AS cost_100 \gset
SELECT :cost_40 > 0 AS some, :cost_40 < :cost_11 AS more_rows, :cost_40 < :cost_100 AS wider, :cost_100 < 1e7 AS finite;
RESET enable_seqscan;
RESET hnsw.ef_search;

-- ---- small, empty, never analysed ------------------------------------------------------

CREATE TABLE hnsw_plan_new (id int, v vector(3));
CREATE INDEX ON hnsw_plan_new USING hnsw (v vector_l2_ops);
SELECT id FROM hnsw_plan_new ORDER BY v <-> '[1,2,3]' LIMIT 1;
INSERT INTO hnsw_plan_new SELECT i, ARRAY[i, i, i]::vector FROM generate_series(1, 20) AS i;
SELECT id FROM hnsw_plan_new ORDER BY v <-> '[7,7,7]' LIMIT 1;
ANALYZE hnsw_plan_new;
SELECT reltuples FROM pg_class WHERE relname IN ('hnsw_plan_new', 'hnsw_plan_new_v_idx') ORDER BY relname;
SELECT id FROM hnsw_plan_new ORDER BY v <-> '[7,7,7]' LIMIT 1;

-- ---- parallel workers ------------------------------------------------------------------

-- The index itself is scanned by one process.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET min_parallel_index_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_plan ORDER BY v <-> :query LIMIT 10;
SELECT id FROM hnsw_plan ORDER BY v <-> :query LIMIT 1;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET min_parallel_index_scan_size;

-- ---- statistics --------------------------------------------------------------------------

SELECT pg_stat_force_next_flush();
SELECT idx_scan > 0 AS scanned, idx_tup_read > 0 AS read FROM pg_stat_user_indexes WHERE indexrelname = 'hnsw_plan_v';

SELECT problems FROM vecann_verify('hnsw_plan_v');
SELECT problems FROM vecann_verify('hnsw_plan_part');
DROP TABLE hnsw_plan, hnsw_plan_new;

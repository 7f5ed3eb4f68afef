-- The custom scan: its plans, and that it answers as an index scan and an exact sort do, whatever the query around it.

SELECT setseed(0.25);
CREATE TABLE vs (id int PRIMARY KEY, gone int, v vector(6), cat int, note text,
    twice int GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO vs (id, v, cat, note) SELECT i, array_agg(random() - 0.5)::vector, i % 7, 'n' || i
    FROM generate_series(1, 400) AS i, generate_series(1, 6) GROUP BY i;
ALTER TABLE vs DROP COLUMN gone;
CREATE INDEX vs_l2 ON vs USING hnsw (v vector_l2_ops) WITH (m = 20);
CREATE INDEX vs_cosine ON vs USING hnsw (v vector_cosine_ops) WITH (m = 20);
ANALYZE vs;
SET hnsw.ef_search = 400;
SET enable_seqscan = off;
SET jit = off;
SET max_parallel_workers_per_gather = 0;
\set query '\'[.1,.2,.3,.1,.2,.3]\''

-- Do the custom scan, the index scan and the sort give the same rows in the same order, values and all? Is the custom
-- scan in the plan?
CREATE FUNCTION pg_temp.same(
    query text, OUT n_rows int, OUT as_index boolean, OUT as_exact boolean, OUT planned boolean)
LANGUAGE plpgsql
SET enable_indexscan FROM CURRENT SET enable_seqscan FROM CURRENT SET enable_sort FROM CURRENT
SET vecann.enable_custom_scan FROM CURRENT
AS $$
DECLARE
    line text; custom text[]; plain text[]; exact text[];
    ask text := format('SELECT array_agg(s::text) FROM (%s) AS s', query);
BEGIN
    SET LOCAL enable_sort = off;
    planned := false;
    FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
        planned := planned OR line LIKE '%VectorScan%';
    END LOOP;
    EXECUTE ask INTO custom;
    SET LOCAL vecann.enable_custom_scan = off;
    EXECUTE ask INTO plain;
    SET LOCAL enable_indexscan = off;
    SET LOCAL enable_seqscan = on;
    SET LOCAL enable_sort = on;
    EXECUTE ask INTO exact;
    n_rows := cardinality(custom);
    as_index := custom IS NOT DISTINCT FROM plain;
    as_exact := custom IS NOT DISTINCT FROM exact;
END $$;

-- ---- plans -----------------------------------------------------------------------

EXPLAIN (COSTS OFF) SELECT id FROM vs ORDER BY v <-> :query LIMIT 5;
EXPLAIN (COSTS OFF, VERBOSE) SELECT id, v <-> :query AS d FROM vs AS t WHERE cat < 3 ORDER BY :query <-> v LIMIT 5;
-- the distance is computed by the scan, whoever asks for it
EXPLAIN (COSTS OFF, VERBOSE) SELECT id, 1 - (v <=> :query), ctid, tableoid, t FROM vs AS t
    WHERE v <=> :query < 0.5 AND note LIKE 'n%' ORDER BY v <=> :query LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM vs ORDER BY v <-> :query FOR UPDATE;
-- not for two distances, nor when switched off
EXPLAIN (COSTS OFF) SELECT id FROM vs ORDER BY v <-> :query, v <-> '[1,1,1,1,1,1]' LIMIT 5;
SET vecann.enable_custom_scan = off;
EXPLAIN (COSTS OFF) SELECT id FROM vs ORDER BY v <-> :query LIMIT 5;
RESET vecann.enable_custom_scan;
RESET enable_seqscan;
SET enable_indexscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM vs ORDER BY v <-> :query LIMIT 5;
RESET enable_indexscan;
SET enable_seqscan = off;

-- what it did
CREATE FUNCTION pg_temp.explain_analyze(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query LOOP
        IF line ~ 'Nodes|Pages|Codes|Exact|Fetches' THEN line := regexp_replace(line, '[1-9]\d*', 'N'); END IF;
        RETURN NEXT line;
    END LOOP;
END $$;
SELECT * FROM pg_temp.explain_analyze('SELECT id FROM vs WHERE cat < 2 ORDER BY v <-> ''[1,1,1,1,1,1]'' LIMIT 500');
SELECT * FROM pg_temp.explain_analyze($$SELECT q.i, n.id FROM generate_series(1, 3) AS q(i),
    LATERAL (SELECT id FROM vs ORDER BY v <-> array_fill(q.i, ARRAY[6])::vector LIMIT 2) AS n$$);
SELECT nodes_expanded > 0, pages_touched > 0, codes_scored > 0, exact_distances > 0 FROM vecann_last_scan();
-- never run
SELECT * FROM pg_temp.explain_analyze('SELECT id FROM vs ORDER BY v <-> ''[1,1,1,1,1,1]'' LIMIT 0');

-- ---- what a query selects ------------------------------------------------------------

SELECT n, s.* FROM unnest(ARRAY[
    'SELECT id FROM vs ORDER BY v <-> %s LIMIT 20',
    'SELECT * FROM vs ORDER BY v <-> %s LIMIT 500',
    'SELECT v <-> %1$s, id, v <-> %1$s AS d, v FROM vs ORDER BY d LIMIT 20',
    'SELECT id, 1 - (v <=> %1$s) AS similarity FROM vs ORDER BY v <=> %1$s LIMIT 20',
    'SELECT t, t.note, twice FROM vs AS t ORDER BY v <-> %s LIMIT 20',
    'SELECT ctid, tableoid, xmin, cmin, xmax, cmax, id FROM vs ORDER BY %s <-> v LIMIT 20',
    'SELECT FROM vs ORDER BY v <-> %s LIMIT 20',
    'SELECT 1, ''x'' FROM vs ORDER BY v <-> %s LIMIT 20',
    'SELECT id, v <=> %1$s AS other FROM vs ORDER BY v <-> %1$s LIMIT 20',
    'SELECT id, generate_series(1, 2) FROM vs ORDER BY v <-> %s LIMIT 20',
    'SELECT id, row_number() OVER (ORDER BY v <-> %1$s) FROM vs ORDER BY v <-> %1$s LIMIT 20',
    'SELECT id FROM vs ORDER BY v <-> (SELECT v FROM vs WHERE id = 7) LIMIT 20',
    'SELECT id FROM vs ORDER BY v <-> %1$s OFFSET 100 LIMIT 20',
    'SELECT id, (SELECT count(*) FROM vs AS o WHERE o.id < t.id) FROM vs AS t ORDER BY v <-> %s LIMIT 20',
    'SELECT coalesce(note, ''-'') || cat FROM vs ORDER BY v <-> %s LIMIT 20',
    'SELECT count(*) FROM (SELECT FROM vs ORDER BY v <-> %s LIMIT 20) AS s',
    'SELECT max(d) FROM (SELECT v <-> %1$s AS d FROM vs ORDER BY d LIMIT 20) AS s',
    'SELECT min(v <-> %s) FROM vs'
    ]) WITH ORDINALITY AS a(q, n), pg_temp.same(format(q, :'query')) AS s ORDER BY n;

-- a second key: sorted on top of the index from PostgreSQL 17 on
SELECT n_rows, as_index, as_exact
FROM pg_temp.same(format('SELECT id FROM vs ORDER BY v <-> %s, id LIMIT 20', :'query')) AS s;

-- ---- conditions ------------------------------------------------------------------------

SELECT n, s.* FROM unnest(ARRAY[
    'SELECT id FROM vs WHERE cat = 3 ORDER BY v <-> %s LIMIT 20',
    'SELECT id FROM vs WHERE cat = 99 ORDER BY v <-> %s LIMIT 20',
    'SELECT id FROM vs WHERE v <-> %1$s < 0.7 ORDER BY v <-> %1$s LIMIT 500',
    'SELECT note FROM vs WHERE v <-> %1$s < 0.7 AND id > 100 AND (v <-> %1$s > 0.4 OR cat = 2)
         ORDER BY v <-> %1$s LIMIT 500',
    'SELECT id FROM vs WHERE id IN (SELECT twice FROM vs WHERE cat < 3) ORDER BY v <-> %s LIMIT 20',
    'SELECT id FROM vs AS t WHERE EXISTS (SELECT FROM vs AS o WHERE o.id = t.id + 1 AND o.cat < 3) OR cat = 6
         ORDER BY v <-> %s LIMIT 20',
    'SELECT id FROM vs AS t WHERE (v <-> %1$s) < (SELECT avg(v <-> %1$s) FROM vs AS o WHERE o.cat = t.cat)
         ORDER BY v <-> %1$s LIMIT 20',
    'SELECT id FROM vs WHERE now() > ''2000-1-1'' AND current_setting(''jit'') <> ''x''
         ORDER BY v <-> %s LIMIT 20',
    'SELECT id FROM vs WHERE 1 = 0 ORDER BY v <-> %s LIMIT 20',
    'SELECT id FROM vs WHERE v IS NOT NULL AND ctid IS NOT NULL ORDER BY v <-> %s LIMIT 20',
    'SELECT id FROM vs AS t WHERE t IS NOT NULL ORDER BY v <-> %s LIMIT 20',
    'SELECT id FROM vs TABLESAMPLE BERNOULLI (100) ORDER BY v <-> %s LIMIT 20'
    ]) WITH ORDINALITY AS a(q, n), pg_temp.same(format(q, :'query')) AS s ORDER BY n;

-- a sample stays one, whatever the order
SELECT count(*) FROM (SELECT id FROM vs TABLESAMPLE BERNOULLI (0) ORDER BY v <-> '[.1,.2,.3,.1,.2,.3]', id LIMIT 20) AS s;

-- cheap conditions come first: the distance is not computed for rows that fail them
CREATE FUNCTION vs_watched(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS
    $$BEGIN RAISE NOTICE 'read'; RETURN v; END$$;
CREATE TABLE vs_few (id int, v vector(2));
INSERT INTO vs_few SELECT i, ARRAY[i + 0.1, i - 0.1]::vector FROM generate_series(1, 5) AS i;
SET client_min_messages = warning;
CREATE INDEX vs_few_x ON vs_few USING hnsw ((vs_watched(v)::vector(2)) vector_l2_ops);
RESET client_min_messages;
EXPLAIN (COSTS OFF) SELECT id FROM vs_few WHERE id % 2 = 0 ORDER BY vs_watched(v)::vector(2) <-> '[3,3]' LIMIT 9;
SELECT id, vs_watched(v)::vector(2) <-> '[3.1,3.1]' AS d FROM vs_few WHERE id % 2 = 0
    ORDER BY vs_watched(v)::vector(2) <-> '[3.1,3.1]' LIMIT 9;
-- and for none when the index holds the very values, as it does whole numbers
SET client_min_messages = warning;
TRUNCATE vs_few;
INSERT INTO vs_few SELECT i, ARRAY[i, i]::vector FROM generate_series(1, 5) AS i;
RESET client_min_messages;
SELECT id, vs_watched(v)::vector(2) <-> '[3.1,3.1]' AS d FROM vs_few WHERE id % 2 = 0
    ORDER BY vs_watched(v)::vector(2) <-> '[3.1,3.1]' LIMIT 9;
DROP TABLE vs_few;
DROP FUNCTION vs_watched;

-- ---- odd queries -------------------------------------------------------------------------

-- no order: all rows come
SELECT count(*), count(d) FROM (SELECT v <-> NULL AS d FROM vs ORDER BY d LIMIT 500) AS s;
SELECT count(*), count(d), min(d) FROM (SELECT v <=> '[0,0,0,0,0,0]' AS d FROM vs ORDER BY d LIMIT 500) AS s;
SELECT count(*), count(d) FROM (SELECT v <-> (SELECT v FROM vs WHERE id = -1) AS d FROM vs ORDER BY d LIMIT 500) AS s;
SELECT id FROM vs ORDER BY v <-> '[1,2]' LIMIT 5;
-- distances beyond all bounds: every row waits for all others
CREATE TABLE vs_wide (id int, v vector(3), filler text);
INSERT INTO vs_wide SELECT i, ARRAY[i, 3e7 + i, 0]::vector, repeat('x', 300) FROM generate_series(1, 600) AS i;
CREATE INDEX vs_wide_ip ON vs_wide USING hnsw (v vector_ip_ops);
SET hnsw.ef_search = 1000;
CREATE FUNCTION pg_temp.wide(OUT n_rows bigint, OUT n_ids bigint, OUT in_order boolean, OUT shortest int)
LANGUAGE sql AS $$
    SELECT count(*), count(DISTINCT id), bool_and(d >= before), min(length(filler)) FROM (
        SELECT id, d, filler, lag(d) OVER () AS before FROM (
            SELECT id, filler, v <#> '[1,1e31,0]' AS d FROM vs_wide ORDER BY v <#> '[1,1e31,0]' LIMIT 2000) AS s) AS t
$$;
SELECT * FROM pg_temp.wide();
-- without the memory to keep them, rows are read again (the multiplier keeps the search itself going)
SET work_mem = '64kB';
SET hnsw.scan_mem_multiplier = 1000;
SELECT * FROM pg_temp.wide();
RESET work_mem;
RESET hnsw.scan_mem_multiplier;
SET hnsw.ef_search = 400;
DROP TABLE vs_wide;

-- equal distances come in the order of the table
CREATE TABLE vs_ties (id int, v vector(2));
INSERT INTO vs_ties SELECT i, ARRAY[i % 3, 1]::vector FROM generate_series(1, 60) AS i;
INSERT INTO vs_ties SELECT i, ARRAY[2 * i, 2 * i]::vector FROM generate_series(61, 70) AS i;
CREATE INDEX vs_ties_l2 ON vs_ties USING hnsw (v vector_l2_ops);
CREATE INDEX vs_ties_cosine ON vs_ties USING hnsw (v vector_cosine_ops);
SELECT count(*), bool_and((d, ctid) > (d_before, before)) FROM (
    SELECT d, ctid, lag(d) OVER () AS d_before, lag(ctid) OVER () AS before FROM (
        SELECT ctid, v <-> '[1,0]' AS d FROM vs_ties ORDER BY v <-> '[1,0]' LIMIT 99) AS s) AS t
WHERE before IS NOT NULL;
SELECT count(*), bool_and((d, ctid) > (d_before, before)) FROM (
    SELECT d, ctid, lag(d) OVER () AS d_before, lag(ctid) OVER () AS before FROM (
        SELECT ctid, v <=> '[1,.3]' AS d FROM vs_ties ORDER BY v <=> '[1,.3]' LIMIT 99) AS s) AS t
WHERE before IS NOT NULL;
DROP TABLE vs_ties;

-- ---- modes of the scan ---------------------------------------------------------------------

CREATE FUNCTION pg_temp.scan(
    mode text, ef text, most text, OUT n_rows bigint, OUT n_ids bigint, OUT in_order boolean) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('hnsw.iterative_scan', mode, true), set_config('hnsw.ef_search', ef, true),
        set_config('hnsw.max_scan_tuples', most, true);
    SELECT count(*), count(DISTINCT id), coalesce(bool_and(d >= before), true) INTO n_rows, n_ids, in_order FROM (
        SELECT id, d, lag(d) OVER () AS before FROM (
            SELECT id, v <-> '[.1,.2,.3,.1,.2,.3]' AS d FROM vs
                ORDER BY v <-> '[.1,.2,.3,.1,.2,.3]' LIMIT 500) AS s) AS t;
END $$;
SELECT mode, ef, most, n_rows, n_ids, in_order
FROM unnest('{off,strict_order,relaxed_order}'::text[]) AS mode, unnest('{50,400}'::text[]) AS ef,
    unnest('{-1,0,7}'::text[]) AS most, pg_temp.scan(mode, ef, most)
WHERE NOT (ef = '50' AND most = '-1') ORDER BY mode, ef, most;
SELECT n_rows FROM pg_temp.scan('off', '50', '-1');
SELECT n_rows > 50 AS more, n_rows = n_ids AS once, in_order FROM pg_temp.scan('strict_order', '50', '-1');
SELECT n_rows, n_ids FROM pg_temp.scan('relaxed_order', '50', '-1');
SELECT set_config('hnsw.ef_search', '400', false), set_config('hnsw.iterative_scan', 'relaxed_order', false),
    set_config('hnsw.max_scan_tuples', '-1', false);

-- ---- parameters, rescans ----------------------------------------------------------------------

SELECT s.* FROM unnest(ARRAY[
    'SELECT a.id, n.id, n.d FROM vs AS a, LATERAL (
         SELECT id, v <-> a.v AS d FROM vs AS b WHERE b.cat <> a.cat ORDER BY v <-> a.v LIMIT 3) AS n
         WHERE a.id < 50 ORDER BY 1, 3',
    'SELECT a.id, (SELECT id FROM vs AS b WHERE b.id <> a.id ORDER BY v <-> a.v LIMIT 1)
         FROM vs AS a WHERE a.id < 50 ORDER BY 1',
    'SELECT a.id, n.id, n.d FROM vs AS a LEFT JOIN LATERAL (
         SELECT b.id, b.v <-> a.v AS d FROM vs AS b WHERE b.cat = a.cat + 5 ORDER BY d LIMIT 2) AS n ON n.d < 0.6
         WHERE a.id < 50 ORDER BY 1, 3',
    'SELECT q.n, count(b.id), min(CASE WHEN q.v IS NOT NULL THEN id END), max(d)
         FROM (VALUES (1, NULL::vector), (2, ''[1,1,1,1,1,1]''), (3, NULL), (4, ''[0,0,0,0,0,0]'')) AS q(n, v),
         LATERAL (SELECT id, v <-> q.v AS d FROM vs ORDER BY v <-> q.v LIMIT 2) AS b GROUP BY 1 ORDER BY 1',
    'WITH q AS MATERIALIZED (SELECT v FROM vs WHERE id = 9)
         SELECT id FROM vs ORDER BY v <-> (SELECT v FROM q) LIMIT 9',
    'SELECT a.id, b.id FROM (SELECT id, cat FROM vs ORDER BY v <-> ''[1,1,1,1,1,1]'' LIMIT 9) AS a
         JOIN (SELECT id, cat FROM vs ORDER BY v <-> ''[0,0,1,1,1,1]'' LIMIT 9) AS b USING (cat) ORDER BY 1, 2',
    '(SELECT id FROM vs WHERE cat = 1 ORDER BY v <-> ''[1,1,1,1,1,1]'' LIMIT 3)
         UNION ALL (SELECT id FROM vs WHERE cat = 2 ORDER BY v <-> ''[1,1,1,1,1,1]'' LIMIT 3)'
    ]) WITH ORDINALITY AS a(q, n), pg_temp.same(q) AS s ORDER BY n;

SET plan_cache_mode = force_generic_plan;
PREPARE near(vector, int, int) AS SELECT id, v <-> $1 < 0.9 AS near FROM vs WHERE cat < $2 ORDER BY v <-> $1 LIMIT $3;
EXPLAIN (COSTS OFF) EXECUTE near(:query, 4, 3);
EXECUTE near(:query, 4, 3);
EXECUTE near('[1,1,1,1,1,1]', 7, 3);
EXECUTE near(NULL, 0, 3);
-- an index is gone: the plan is made anew
BEGIN;
DROP INDEX vs_l2;
EXECUTE near('[1,1,1,1,1,1]', 7, 3);
ROLLBACK;
EXECUTE near('[1,1,1,1,1,1]', 7, 3);
DEALLOCATE ALL;
RESET plan_cache_mode;

SET jit = on;
SET jit_above_cost = 0;
SET jit_inline_above_cost = 0;
SET jit_optimize_above_cost = 0;
SELECT s.* FROM pg_temp.same('SELECT id, v <-> ''[1,1,1,1,1,1]'', t, ctid FROM vs AS t
    WHERE cat < 3 AND v <-> ''[1,1,1,1,1,1]'' < 3 ORDER BY v <-> ''[1,1,1,1,1,1]'' LIMIT 20') AS s;
SET jit = off;
RESET jit_above_cost;
RESET jit_inline_above_cost;
RESET jit_optimize_above_cost;

-- a plan handed to a worker
RESET max_parallel_workers_per_gather;
SELECT count(set_config(name, 'on', false)) FROM pg_settings
WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT id, v <-> :query < 0.9 AS near FROM vs WHERE cat < 4 ORDER BY v <-> :query LIMIT 3;
SELECT count(set_config(name, 'off', false)) FROM pg_settings
WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SET max_parallel_workers_per_gather = 0;

-- ---- cursors -------------------------------------------------------------------------------

BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM vs WHERE cat < 3 ORDER BY v <-> :query;
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH ABSOLUTE 5 FROM c;
CLOSE c;
DECLARE c CURSOR FOR SELECT id, note FROM vs WHERE cat < 3 ORDER BY v <-> :query;
FETCH 4 FROM c;
UPDATE vs SET note = 'current' WHERE CURRENT OF c;
FETCH 1 FROM c;
DELETE FROM vs WHERE CURRENT OF c;
SELECT count(*), array_agg(id) FILTER (WHERE note = 'current') FROM vs;
CLOSE c;
DECLARE c CURSOR FOR SELECT id FROM vs ORDER BY v <-> :query FOR UPDATE;
FETCH 2 FROM c;
UPDATE vs SET note = 'locked' WHERE CURRENT OF c;
CLOSE c;
SELECT id FROM vs WHERE note = 'locked';
ROLLBACK;

-- ---- locks, changes --------------------------------------------------------------------------

BEGIN;
SELECT id, note FROM vs WHERE cat = 2 ORDER BY v <-> :query LIMIT 3 FOR UPDATE SKIP LOCKED;
SELECT a.id, b.note FROM vs AS a JOIN vs AS b ON b.id = a.id + 1 ORDER BY a.v <-> :query LIMIT 2 FOR UPDATE OF a;
UPDATE vs SET note = 'near' WHERE id IN (SELECT id FROM vs ORDER BY v <-> :query LIMIT 4);
UPDATE vs AS t SET v = :query FROM (SELECT ctid AS place FROM vs ORDER BY v <-> '[1,1,1,1,1,1]' LIMIT 2) AS s
    WHERE t.ctid = s.place;
SELECT count(*) FROM (SELECT v <-> :query AS d FROM vs ORDER BY d LIMIT 3) AS s WHERE d = 0;
DELETE FROM vs WHERE id IN (SELECT id FROM vs ORDER BY v <-> :query LIMIT 2);
SELECT n_rows, as_index, as_exact
FROM pg_temp.same(format('SELECT id, note, v <-> %s FROM vs ORDER BY 3, 1 LIMIT 10', :'query')) AS s;
ROLLBACK;
-- a row updated in place: the entry leads to its new version
BEGIN;
UPDATE vs SET note = 'new' WHERE id = (SELECT id FROM vs ORDER BY v <-> :query LIMIT 1);
SELECT note FROM vs ORDER BY v <-> :query LIMIT 1;
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM (SELECT FROM vs ORDER BY v <-> :query LIMIT 3) AS s;
SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'vs_l2'::regclass ORDER BY mode;
COMMIT;

-- ---- row-level security, views ----------------------------------------------------------------

CREATE ROLE regress_vs;
GRANT SELECT ON vs TO regress_vs;
ALTER TABLE vs ENABLE ROW LEVEL SECURITY;
CREATE POLICY vs_some ON vs USING (cat <> 1);
CREATE FUNCTION vs_leak(int, float8) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
    $$BEGIN RAISE NOTICE 'id % %', $1, round($2::numeric, 3); RETURN true; END$$;
SET ROLE regress_vs;
SELECT count(*), bool_or(cat = 1) FROM (SELECT cat FROM vs ORDER BY v <-> :query LIMIT 500) AS s;
EXPLAIN (COSTS OFF) SELECT id FROM vs WHERE vs_leak(cat, 0) ORDER BY v <-> :query LIMIT 3;
SELECT count(*) FROM (SELECT FROM vs WHERE vs_leak(cat, v <-> :query) ORDER BY v <-> :query LIMIT 3) AS s;
RESET ROLE;
CREATE VIEW vs_near WITH (security_barrier) AS SELECT id, cat, v FROM vs WHERE v <-> '[.1,.2,.3,.1,.2,.3]' < 0.4;
SELECT id FROM vs_near WHERE vs_leak(id, 0) ORDER BY v <-> :query LIMIT 2;
DROP VIEW vs_near;
DROP POLICY vs_some ON vs;
ALTER TABLE vs DISABLE ROW LEVEL SECURITY;
-- the operator's function may be forbidden
REVOKE EXECUTE ON FUNCTION l2_distance(vector, vector) FROM PUBLIC;
SET ROLE regress_vs;
SELECT id FROM vs ORDER BY v <-> :query LIMIT 1;
RESET ROLE;
GRANT EXECUTE ON FUNCTION l2_distance(vector, vector) TO PUBLIC;
DROP FUNCTION vs_leak;

-- ---- indexes on expressions, partial ones, materialized views, long vectors -----------------------

CREATE TABLE vs_any (id int, v vector, kind int);
INSERT INTO vs_any SELECT i, (CASE i % 2 WHEN 0 THEN ARRAY[i, 1] ELSE ARRAY[i, 1, 2] END)::vector, i % 2
    FROM generate_series(1, 100) AS i;
CREATE INDEX vs_any_2 ON vs_any USING hnsw ((v::vector(2)) vector_l2_ops) WHERE kind = 0;
CREATE INDEX vs_any_3 ON vs_any USING hnsw ((v::vector(3)) vector_l2_ops) WHERE kind = 1;
EXPLAIN (COSTS OFF, VERBOSE) SELECT id FROM vs_any WHERE kind = 0 ORDER BY v::vector(2) <-> '[33,1]' LIMIT 3;
-- with a lock the predicate stays: a concurrent update may have changed the row
EXPLAIN (COSTS OFF) SELECT id FROM vs_any WHERE kind = 0 ORDER BY v::vector(2) <-> '[33,1]' LIMIT 3 FOR UPDATE;
SELECT s.* FROM unnest(ARRAY[
    'SELECT id, v FROM vs_any WHERE kind = 0 ORDER BY v::vector(2) <-> ''[33.1,1]'' LIMIT 30',
    'SELECT id, v, kind FROM vs_any WHERE kind = 1 AND id > 20 ORDER BY ''[33.1,1,2]'' <-> v::vector(3) LIMIT 30'
    ]) WITH ORDINALITY AS a(q, n), pg_temp.same(q) AS s ORDER BY n;
-- the indexed expression has a CASE of its own
CREATE INDEX vs_any_case ON vs_any USING hnsw ((CASE id % 3 WHEN 0 THEN ARRAY[id, 0] ELSE ARRAY[0, id] END::vector(2))
    vector_l2_ops);
SELECT s.* FROM pg_temp.same('SELECT id FROM vs_any
    ORDER BY CASE id % 3 WHEN 0 THEN ARRAY[id, 0] ELSE ARRAY[0, id] END::vector(2) <-> ''[20.3,1]'' LIMIT 30') AS s;
CREATE MATERIALIZED VIEW vs_copy AS SELECT id, v FROM vs;
CREATE INDEX ON vs_copy USING hnsw (v vector_l2_ops);
SELECT s.* FROM pg_temp.same('SELECT * FROM vs_copy ORDER BY v <-> ''[1,1,1,1,1,1]'' LIMIT 20') AS s;
CREATE TABLE vs_long (id int, note text, v vector(800));
INSERT INTO vs_long SELECT i, repeat('y', 5000), array_agg(sin(i * j))::vector
    FROM generate_series(1, 200) AS i, generate_series(1, 800) AS j GROUP BY i;
CREATE INDEX ON vs_long USING hnsw (v vector_l2_ops);
SELECT s.* FROM pg_temp.same('SELECT id, note, v, v <-> (SELECT v FROM vs_long WHERE id = 5) FROM vs_long
    ORDER BY v <-> (SELECT v FROM vs_long WHERE id = 5) LIMIT 50') AS s;
DROP MATERIALIZED VIEW vs_copy;
DROP TABLE vs_any, vs_long;

-- ---- partitions, inheritance ---------------------------------------------------------------------

CREATE TABLE vs_all (id int, cat int, v vector(2)) PARTITION BY LIST (cat);
CREATE TABLE vs_all_0 PARTITION OF vs_all FOR VALUES IN (0);
CREATE TABLE vs_all_1 (v vector(2), extra int, cat int, id int);
ALTER TABLE vs_all_1 DROP COLUMN extra;
ALTER TABLE vs_all ATTACH PARTITION vs_all_1 FOR VALUES IN (1);
INSERT INTO vs_all SELECT i, i % 2, ARRAY[i, i / 2]::vector FROM generate_series(1, 100) AS i;
CREATE INDEX ON vs_all USING hnsw (v vector_l2_ops);
EXPLAIN (COSTS OFF) SELECT id, v <-> '[20.1,10]' FROM vs_all ORDER BY v <-> '[20.1,10]' LIMIT 5;
SELECT s.* FROM unnest(ARRAY[
    'SELECT id, v <-> ''[20.1,10]'' FROM vs_all ORDER BY v <-> ''[20.1,10]'' LIMIT 50',
    'SELECT t, tableoid::regclass, ctid FROM vs_all AS t ORDER BY v <-> ''[20.1,10]'' LIMIT 50',
    'SELECT id FROM vs_all WHERE cat = 1 AND id % 3 = 0 ORDER BY v <-> ''[20.1,10]'' LIMIT 50',
    'SELECT a.id, n.id FROM vs_all AS a, LATERAL (
         SELECT id FROM vs_all AS b WHERE b.id <> a.id ORDER BY v <-> a.v + ''[.1,.01]'' LIMIT 1) AS n ORDER BY 1'
    ]) WITH ORDINALITY AS a(q, n), pg_temp.same(q) AS s ORDER BY n;
SET enable_partitionwise_join = on;
SET enable_partitionwise_aggregate = on;
SELECT s.* FROM pg_temp.same('SELECT a.id, n.id FROM vs_all AS a JOIN vs_all AS n ON n.cat = a.cat AND n.id = a.id + 2
    ORDER BY a.v <-> ''[20.1,10]'' LIMIT 7') AS s;
BEGIN;
SELECT id FROM vs_all ORDER BY v <-> '[20.1,10]' LIMIT 3 FOR UPDATE;
UPDATE vs_all SET cat = 1 - cat WHERE id IN (SELECT id FROM vs_all ORDER BY v <-> '[20.1,10]' LIMIT 3);
SELECT id, cat FROM vs_all ORDER BY v <-> '[20.1,10]' LIMIT 3;
ROLLBACK;
DROP TABLE vs_all;

SELECT problems FROM vecann_verify('vs_l2');
SELECT problems FROM vecann_verify('vs_cosine');
DROP TABLE vs;
DROP ROLE regress_vs;

-- A query that is a parameter of the plan, as here, has no value in parallel workers: such a scan must not run in one.
CREATE TABLE spread (id int, v vector(3)) PARTITION BY RANGE (id);
CREATE TABLE spread_1 PARTITION OF spread FOR VALUES FROM (1) TO (1001);
CREATE TABLE spread_2 PARTITION OF spread FOR VALUES FROM (1001) TO (2001);
INSERT INTO spread SELECT i, ARRAY[i, i % 7, 1]::vector FROM generate_series(1, 2000) i;
CREATE INDEX ON spread USING hnsw (v vector_l2_ops);
ANALYZE spread;
CREATE VIEW nearest_spread AS SELECT o.id AS query, s.* FROM (VALUES (1, '[9,1,1]'::vector), (2, '[1100,1,1]')) o (id, v),
    LATERAL (SELECT t.id FROM spread t WHERE t.id % 100 = 3 ORDER BY t.v <-> o.v LIMIT 30) s;
BEGIN;
SET LOCAL enable_seqscan = off;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
DO $$
DECLARE
    line text;
BEGIN
    FOR line IN EXPLAIN (COSTS off) SELECT * FROM nearest_spread LOOP
        ASSERT line !~ 'Gather', 'a parallel plan';
    END LOOP;
END $$;
SELECT query, count(*), (array_agg(id))[1:3] FROM nearest_spread GROUP BY query ORDER BY query;
ROLLBACK;
DROP VIEW nearest_spread;
DROP TABLE spread;

-- ---- distances that nobody sees ------------------------------------------------------------------

-- At the top of a plan, or under its LIMIT, the distance is for the order alone and is not computed where the index knows
-- the order. Everywhere else somebody looks at it.
CREATE TABLE unseen (id int, v vector(2));
INSERT INTO unseen SELECT i, ARRAY[i, 0]::vector FROM generate_series(0, 60) AS i;
INSERT INTO unseen VALUES (100, '[-2,0]'), (101, '[4,0]');
CREATE INDEX ON unseen USING hnsw (v vector_l2_ops);
BEGIN;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_sort = off;
EXPLAIN (COSTS OFF) SELECT id FROM unseen ORDER BY v <-> '[0,0]' LIMIT 7;
SELECT id FROM unseen ORDER BY v <-> '[0,0]' LIMIT 7;
SELECT id FROM unseen ORDER BY v <-> '[0.125,0]' LIMIT 7;
SELECT id, v <-> '[0.125,0]' AS d FROM unseen ORDER BY v <-> '[0.125,0]' LIMIT 7;
SELECT id, round((v <-> '[0.125,0]') * 8) AS d FROM unseen ORDER BY v <-> '[0.125,0]' LIMIT 3;
SELECT count(*), min(id), max(id) FROM (SELECT id FROM unseen ORDER BY v <-> '[0.125,0]') AS s;
SELECT id FROM unseen ORDER BY v <-> '[0,0]' FETCH FIRST 3 ROWS WITH TIES;
SELECT id FROM unseen ORDER BY v <-> '[0.125,0]' FETCH FIRST 2 ROWS WITH TIES;
SELECT id FROM unseen ORDER BY v <-> '[0.125,0]', id DESC LIMIT 7;
SELECT id FROM unseen WHERE id > 1 ORDER BY v <-> '[0.125,0]' LIMIT 3;
SELECT id FROM (SELECT id, v <-> '[0.125,0]' AS d FROM unseen ORDER BY d LIMIT 5) AS s WHERE d < 2;
(SELECT id FROM unseen ORDER BY v <-> '[0.125,0]' LIMIT 2) UNION ALL (SELECT id FROM unseen ORDER BY v <-> '[9,0]' LIMIT 1);
CREATE TABLE unseen_top AS SELECT id FROM unseen ORDER BY v <-> '[0.125,0]' LIMIT 3;
SELECT * FROM unseen_top;
DECLARE c SCROLL CURSOR FOR SELECT id FROM unseen ORDER BY v <-> '[0.125,0]';
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
ROLLBACK;
DROP TABLE unseen;

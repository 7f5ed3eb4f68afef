-- Scans of hnsw: complete, in order, resumable; the settings; cursors, rescans, prepared statements, filters.

SELECT setseed(0.5);
CREATE TABLE hnsw_scan (id int PRIMARY KEY, v vector(8), category int);
INSERT INTO hnsw_scan SELECT i, array_agg(random() - 0.5)::vector, i % 20
    FROM generate_series(1, 4000) AS i, generate_series(1, 8) GROUP BY i;
CREATE INDEX hnsw_scan_v ON hnsw_scan USING hnsw (v vector_l2_ops);
ANALYZE hnsw_scan;
SET enable_seqscan = off;

-- Rows from the index, all or n of them: how many, how many different ones, and do they come in order?
CREATE FUNCTION pg_temp.scan(
    n bigint, setting text, value text, OUT n_rows bigint, OUT n_ids bigint, OUT in_order boolean)
LANGUAGE plpgsql
SET hnsw.ef_search FROM CURRENT SET hnsw.max_scan_tuples FROM CURRENT
AS $$
BEGIN
    PERFORM set_config(setting, value, true);
    SELECT count(*), count(DISTINCT id), coalesce(bool_and(d >= before), true) INTO n_rows, n_ids, in_order FROM (
        SELECT id, d, lag(d) OVER () AS before FROM (
            SELECT id, v <-> '[.1,.1,.1,.1,0,0,0,0]' AS d FROM hnsw_scan
                ORDER BY v <-> '[.1,.1,.1,.1,0,0,0,0]' LIMIT n
        ) AS s) AS t;
END $$;

-- Errors as rows: their messages would name this file and line when another file includes it.
CREATE FUNCTION pg_temp.outcome(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN 'OK';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$;

-- ---- complete ------------------------------------------------------------------

-- LIMIT is honoured whatever ef_search is
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_scan ORDER BY v <-> '[.1,.1,.1,.1,0,0,0,0]' LIMIT 100;
SELECT n, ef, n_rows, n_ids FROM unnest('{1,50,1500,5000,NULL}'::int[]) AS n, unnest('{1,10,40,1000}'::text[]) AS ef,
    pg_temp.scan(n, 'hnsw.ef_search', ef);

-- ---- filters -------------------------------------------------------------------

-- all rows that match come, though few do
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_scan WHERE category = 7 ORDER BY v <-> '[1,1,1,1,1,1,1,1]' LIMIT 500;
SELECT count(*), min(id), max(id) FROM
    (SELECT id FROM hnsw_scan WHERE category = 7 ORDER BY v <-> '[1,1,1,1,1,1,1,1]' LIMIT 500) AS s;
SELECT array_agg(id ORDER BY id) FROM
    (SELECT id FROM hnsw_scan WHERE id % 1999 = 1 ORDER BY v <-> '[1,1,1,1,1,1,1,1]' LIMIT 5) AS s;
SELECT count(*) FROM (SELECT id FROM hnsw_scan WHERE category = 99 ORDER BY v <-> '[1,1,1,1,1,1,1,1]' LIMIT 5) AS s;
SELECT count(*) = (SELECT count(*) FROM hnsw_scan WHERE v <-> '[.3,0,0,0,0,0,0,0]' < 0.6) AS same,
       count(*) > 20 AS some, bool_and(v <-> '[.3,0,0,0,0,0,0,0]' < 0.6) AS near FROM
    (SELECT v FROM hnsw_scan WHERE v <-> '[.3,0,0,0,0,0,0,0]' < 0.6
         ORDER BY v <-> '[.3,0,0,0,0,0,0,0]' LIMIT 9999) AS s;

-- ---- iterative_scan --------------------------------------------------------------

-- off: one beam and no more
SET hnsw.iterative_scan = off;
SELECT n, ef, n_rows, n_ids, in_order FROM unnest('{15,5000}'::int[]) AS n, unnest('{1,7,40}'::text[]) AS ef,
    pg_temp.scan(n, 'hnsw.ef_search', ef);
SELECT count(*) <= 40 AS few FROM
    (SELECT id FROM hnsw_scan WHERE category = 7 ORDER BY v <-> '[1,1,1,1,1,1,1,1]' LIMIT 500) AS s;
-- strict: never nearer than the row before
SET hnsw.iterative_scan = strict_order;
SELECT ef, n_rows > 20 AS many, n_rows = n_ids AS once, in_order FROM unnest('{1,7,40,1000}'::text[]) AS ef,
    pg_temp.scan(5000, 'hnsw.ef_search', ef);
-- relaxed: every row
SET hnsw.iterative_scan = relaxed_order;
SELECT ef, n_rows, n_ids FROM unnest('{1,7,40,1000}'::text[]) AS ef, pg_temp.scan(5000, 'hnsw.ef_search', ef);
RESET hnsw.iterative_scan;

-- ---- max_scan_tuples ---------------------------------------------------------------

SELECT most, n_rows, n_ids FROM unnest('{0,1,50,3999,4001,-1}'::text[]) AS most,
    pg_temp.scan(5000, 'hnsw.max_scan_tuples', most);
-- counts what the index returns, before a filter
SET hnsw.max_scan_tuples = 100;
SELECT count(*) <= 100 AS few FROM
    (SELECT id FROM hnsw_scan WHERE category = 7 ORDER BY v <-> '[1,1,1,1,1,1,1,1]' LIMIT 500) AS s;
RESET hnsw.max_scan_tuples;

-- ---- memory ------------------------------------------------------------------------

-- With little memory a scan stops following the graph and goes on page by page: still every row once.
SET work_mem = '64kB';
SELECT ef, n_rows, n_ids, in_order FROM unnest('{40,1000}'::text[]) AS ef, pg_temp.scan(NULL, 'hnsw.ef_search', ef);
SET hnsw.scan_mem_multiplier = 1000;
SELECT ef, n_rows, n_ids FROM unnest('{40,1000}'::text[]) AS ef, pg_temp.scan(NULL, 'hnsw.ef_search', ef);
RESET hnsw.scan_mem_multiplier;
SET hnsw.iterative_scan = strict_order;
SELECT ef, n_rows = n_ids AS once, in_order FROM unnest('{40,1000}'::text[]) AS ef,
    pg_temp.scan(NULL, 'hnsw.ef_search', ef);
SET hnsw.iterative_scan = off;
SELECT ef, n_rows, n_ids, in_order FROM unnest('{40,1000}'::text[]) AS ef, pg_temp.scan(NULL, 'hnsw.ef_search', ef);
RESET hnsw.iterative_scan;
RESET work_mem;

-- ---- rows have their place in the table: for FOR UPDATE, and for those who ask ----------

BEGIN;
SELECT count(*) FROM (SELECT id FROM hnsw_scan ORDER BY v <-> '[.3,0,0,0,0,0,0,0]' LIMIT 25 FOR UPDATE) AS s;
ROLLBACK;
SELECT count(*) FROM (SELECT id, ctid AS place FROM hnsw_scan ORDER BY v <-> '[.3,0,0,0,0,0,0,0]' LIMIT 25) AS s
    JOIN hnsw_scan AS t ON t.ctid = s.place AND t.id = s.id;

-- ---- cursors -----------------------------------------------------------------------

-- how many rows a cursor still has
CREATE FUNCTION pg_temp.rest(c refcursor) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    MOVE FORWARD ALL IN c;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;

-- 40 rows with m = 20: the search sees the whole graph, the order is exact
CREATE TABLE hnsw_line (id int, v vector(2), note text);
INSERT INTO hnsw_line SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 40) AS i;
CREATE INDEX hnsw_line_v ON hnsw_line USING hnsw (v vector_l2_ops) WITH (m = 20);
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM hnsw_line ORDER BY v <-> '[10.1,0]';
FETCH 3 FROM c;
MOVE 4 IN c;
FETCH 2 FROM c;
SELECT pg_temp.rest('c');
FETCH 1 FROM c;
CLOSE c;
DECLARE c NO SCROLL CURSOR FOR SELECT id FROM hnsw_line ORDER BY v <-> '[10.1,0]';
FETCH 2 FROM c;
SELECT pg_temp.outcome('FETCH BACKWARD 1 FROM c');
CLOSE c;
-- SCROLL: the server keeps what it has fetched
EXPLAIN (COSTS OFF) DECLARE c SCROLL CURSOR FOR SELECT id FROM hnsw_line ORDER BY v <-> '[10.1,0]';
DECLARE c SCROLL CURSOR FOR SELECT id FROM hnsw_line ORDER BY v <-> '[10.1,0]';
FETCH 4 FROM c;
MOVE BACKWARD 3 IN c;
FETCH 1 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH LAST FROM c;
FETCH FIRST FROM c;
FETCH ABSOLUTE 40 FROM c;
FETCH NEXT FROM c;
CLOSE c;
COMMIT;

-- A cursor sees the rows of its beginning, whatever happens meanwhile.
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM hnsw_line ORDER BY v <-> '[10.1,0]';
FETCH 1 FROM c;
DELETE FROM hnsw_line WHERE id BETWEEN 8 AND 12;
INSERT INTO hnsw_line SELECT 100 + i, ARRAY[10, i / 100.0]::vector FROM generate_series(1, 20) AS i;
UPDATE hnsw_line SET v = '[10.1,0]' WHERE id = 13;
FETCH 5 FROM c;
SELECT pg_temp.rest('c');
CLOSE c;
SELECT id FROM hnsw_line ORDER BY v <-> '[10.1,0]' LIMIT 3;
ROLLBACK;
SELECT id FROM hnsw_line ORDER BY v <-> '[10.1,0]' LIMIT 3;
SELECT problems FROM vecann_verify('hnsw_line_v');

BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT id FROM hnsw_line ORDER BY v <-> '[10.1,0]' LIMIT 4;
FETCH 1 FROM c;
COMMIT;
FETCH ALL FROM c;
CLOSE c;

-- ---- rescans -------------------------------------------------------------------------

EXPLAIN (COSTS OFF)
SELECT q.x, n.id FROM generate_series(5, 35, 10) AS q(x),
    LATERAL (SELECT id FROM hnsw_line ORDER BY v <-> ARRAY[q.x, 0]::vector LIMIT 3) AS n;
SELECT q.x, array_agg(n.id ORDER BY n.id) FROM generate_series(5, 35, 10) AS q(x),
    LATERAL (SELECT id FROM hnsw_line ORDER BY v <-> ARRAY[q.x, 0]::vector LIMIT 3) AS n GROUP BY q.x ORDER BY q.x;
-- NULL and other queries by turns
SELECT q.n, count(*), min(n.id) FROM (VALUES (1, '[7,0]'::vector), (2, NULL), (3, '[30,0]'), (4, '[0,0]')) AS q(n, x),
    LATERAL (SELECT id FROM hnsw_line ORDER BY v <-> q.x LIMIT 1) AS n WHERE q.x IS NOT NULL GROUP BY q.n ORDER BY q.n;
SELECT q.n, count(*) FROM (VALUES (1, '[7,0]'::vector), (2, NULL), (3, '[30,0]'), (4, '[0,0]')) AS q(n, x),
    LATERAL (SELECT id FROM hnsw_line ORDER BY v <-> q.x LIMIT 5) AS n GROUP BY q.n ORDER BY q.n;
-- each row's nearest other one
SELECT count(*), bool_and(abs(n.id - l.id) = 1) FROM hnsw_line AS l,
    LATERAL (SELECT id FROM hnsw_line AS o WHERE o.id <> l.id ORDER BY o.v <-> l.v LIMIT 1) AS n;
SELECT (SELECT id FROM hnsw_line ORDER BY v <-> ARRAY[x, 1]::vector LIMIT 1) FROM generate_series(3, 30, 9) AS x;

-- ---- prepared statements ---------------------------------------------------------------

SET plan_cache_mode = force_generic_plan;
PREPARE near(vector, int) AS SELECT id FROM hnsw_line ORDER BY v <-> $1 LIMIT $2;
EXPLAIN (COSTS OFF) EXECUTE near('[3.1,0]', 2);
EXECUTE near('[3.1,0]', 2);
EXECUTE near('[33.9,0]', 3);
SELECT pg_temp.outcome($$EXECUTE near('[1,2,3]', 3)$$);
EXECUTE near('[20.2,0]', 1);
PREPARE near_in(vector, int) AS SELECT id FROM hnsw_line WHERE id % $2 = 0 ORDER BY v <-> $1 LIMIT 3;
EXECUTE near_in('[20.2,0]', 10);
SET plan_cache_mode = force_custom_plan;
EXECUTE near('[33.9,0]', 3);
RESET plan_cache_mode;
DEALLOCATE ALL;

-- ---- other statements --------------------------------------------------------------------

WITH near AS (SELECT id FROM hnsw_line ORDER BY v <-> '[20.2,0]' LIMIT 3)
    UPDATE hnsw_line AS l SET note = 'near' FROM near WHERE near.id = l.id;
SELECT id FROM hnsw_line WHERE note = 'near' ORDER BY id;
DELETE FROM hnsw_line WHERE id IN (SELECT id FROM hnsw_line ORDER BY v <-> '[20.2,0]' LIMIT 2);
SELECT id FROM hnsw_line ORDER BY v <-> '[20.2,0]' LIMIT 2;
BEGIN;
SELECT id FROM hnsw_line ORDER BY v <-> '[20.2,0]' LIMIT 2 FOR UPDATE;
COMMIT;
SELECT id FROM hnsw_line ORDER BY v <-> '[20.2,0]' LIMIT 2 OFFSET 3;
-- the query on the left
SELECT id FROM hnsw_line ORDER BY '[20.2,0]' <-> v LIMIT 2;
-- serializable
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT id FROM hnsw_line ORDER BY v <-> '[20.2,0]' LIMIT 2;
INSERT INTO hnsw_line VALUES (41, '[20.2,0]');
SELECT id FROM hnsw_line ORDER BY v <-> '[20.2,0]' LIMIT 2;
COMMIT;
-- a savepoint rolled back
BEGIN;
SAVEPOINT s;
INSERT INTO hnsw_line VALUES (42, '[20.2,0.01]');
SELECT id FROM hnsw_line ORDER BY v <-> '[20.2,0]' LIMIT 2;
ROLLBACK TO s;
SELECT id FROM hnsw_line ORDER BY v <-> '[20.2,0]' LIMIT 2;
COMMIT;
SELECT problems FROM vecann_verify('hnsw_line_v');
SELECT problems FROM vecann_verify('hnsw_scan_v');
DROP TABLE hnsw_line, hnsw_scan;

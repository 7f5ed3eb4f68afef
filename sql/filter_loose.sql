-- An exact pass whose bounds do not tell the rows apart, since the query is far from all of them, goes on by likely
-- bounds: with the same rows, or nearly so, and all of them where all are wanted.

SELECT setseed(0.3);
CREATE TABLE fl (id int PRIMARY KEY, a int, v vector(256));
INSERT INTO fl SELECT i, i % 2, (ARRAY(SELECT random() + random() + random() FROM generate_series(1, 255 + 0 * i)) || ARRAY[(3 - 3 * (i % 2))::float8])::vector
    FROM generate_series(1, 18000) AS i;
CREATE INDEX fl_v ON fl USING hnsw (v vector_l2_ops) WITH (m = 8, ef_construction = 20, seed = 1);
CREATE INDEX fl_a ON fl (a);
VACUUM ANALYZE fl;
-- among the others, and so about equally far from all that pass
CREATE TABLE fl_q AS SELECT 'far' AS what, (array_fill(1.5::real, ARRAY[255]) || ARRAY[100::real])::vector AS v
    UNION ALL SELECT 'beyond', (array_fill(1.5::real, ARRAY[255]) || ARRAY[20::real])::vector
    UNION ALL SELECT 'near', (SELECT v FROM fl WHERE id = 11);
SET jit = off;
SET enable_seqscan = off;
SET enable_sort = off;
SET max_parallel_workers_per_gather = 0;
SET hnsw.ef_search = 100;

-- What does the scan say, and how many of the nearest ten does it find?
CREATE FUNCTION pg_temp.ask(query text, least_found int, OUT plan text, OUT loose text, OUT enough bool)
LANGUAGE plpgsql AS $$
DECLARE line text; got int[]; truth int[]; sql text := format(
    'SELECT id FROM fl WHERE a = 1 ORDER BY v <-> (SELECT v FROM fl_q WHERE what = %L) LIMIT 10', query);
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || sql LOOP
        plan := coalesce(substring(line FROM 'Strategy: (.*)'), plan);
        loose := coalesce(substring(line FROM 'Bounds Too Loose: (.*)'), loose);
    END LOOP;
    EXECUTE format('SELECT array_agg(id) FROM (%s) AS s', sql) INTO got;
    PERFORM set_config('enable_sort', 'on', true), set_config('enable_indexscan', 'off', true),
        set_config('vecann.enable_custom_scan', 'off', true);
    EXECUTE format('SELECT array_agg(id) FROM (%s) AS s', sql) INTO truth;
    PERFORM set_config('enable_sort', 'off', true), set_config('enable_indexscan', 'on', true),
        set_config('vecann.enable_custom_scan', 'on', true);
    enough := cardinality(got) = 10 AND (SELECT count(*) FROM unnest(got) AS g WHERE g = ANY (truth)) >= least_found;
END $$;
SELECT what, (pg_temp.ask(what, CASE what WHEN 'near' THEN 5 ELSE 9 END)).* FROM fl_q ORDER BY what;
SET vecann.enable_bitmap_search = off;
SET vecann.enable_post_filter = off;
SELECT what, (pg_temp.ask(what, 10)).* FROM fl_q ORDER BY what;
RESET vecann.enable_bitmap_search;
RESET vecann.enable_post_filter;
-- No row may come late: by certain bounds.
SET hnsw.iterative_scan = strict_order;
SELECT what, (pg_temp.ask(what, CASE what WHEN 'near' THEN 5 ELSE 9 END)).* FROM fl_q ORDER BY what;
RESET hnsw.iterative_scan;
-- Rows that found no room may be likely ones: the pass begins again.
SET work_mem = '128kB';
SELECT what, (pg_temp.ask(what, CASE what WHEN 'near' THEN 5 ELSE 9 END)).* FROM fl_q ORDER BY what;
RESET work_mem;

-- Once more with each query, in one plan.
SELECT what, n, distinct_n FROM fl_q, LATERAL (SELECT count(*) AS n, count(DISTINCT id) AS distinct_n
    FROM (SELECT id FROM fl WHERE a = 1 ORDER BY fl.v <-> fl_q.v LIMIT 10) AS s) AS t ORDER BY what;
-- More than the plan was made for, and all rows.
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM fl WHERE a = 1 ORDER BY v <-> (SELECT v FROM fl_q WHERE what = 'far');
CREATE TEMP TABLE fl_got (id int);
CREATE FUNCTION pg_temp.fetch_all() RETURNS text LANGUAGE plpgsql AS $$
DECLARE c refcursor := 'c'; r int; n int := 0;
BEGIN
    LOOP
        FETCH c INTO r;
        EXIT WHEN NOT FOUND;
        INSERT INTO fl_got VALUES (r);
    END LOOP;
    RETURN (SELECT count(*) || ' rows, ' || count(DISTINCT id) || ' different' FROM fl_got);
END $$;
SELECT pg_temp.fetch_all();
COMMIT;
-- The same where the plan was made for nine rows, so by likely bounds, and where not all rows find room.
SET cursor_tuple_fraction = 0.001;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM fl WHERE a = 1 ORDER BY v <-> (SELECT v FROM fl_q WHERE what = 'far');
TRUNCATE fl_got;
SELECT pg_temp.fetch_all();
COMMIT;
SET work_mem = '128kB';
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM fl WHERE a = 1 ORDER BY v <-> (SELECT v FROM fl_q WHERE what = 'far');
TRUNCATE fl_got;
SELECT pg_temp.fetch_all();
COMMIT;
RESET work_mem;
RESET cursor_tuple_fraction;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM fl WHERE a = 1 ORDER BY v <-> (SELECT v FROM fl_q WHERE what = 'far') LIMIT 9000) AS s;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM fl WHERE a = 1 ORDER BY v <-> (SELECT v FROM fl_q WHERE what = 'far') LIMIT 60) AS s;
-- A range in which there is nothing.
SELECT count(*) FROM (SELECT id FROM fl WHERE a = 1 AND v <-> (SELECT v FROM fl_q WHERE what = 'far') < 1
    ORDER BY v <-> (SELECT v FROM fl_q WHERE what = 'far') LIMIT 10) AS s;

SELECT indexname FROM pg_indexes AS i, vecann_verify('fl_v') WHERE indexname = 'fl_v';
DROP TABLE fl, fl_q;

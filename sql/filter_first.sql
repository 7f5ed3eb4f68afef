-- An exact pass begins with a search where that may be cheaper: "Search Tried First". Whatever comes of it, rows, order
-- and number are right.

SELECT setseed(0.25);
-- 20,000 points, and which of them lie in a corner
CREATE TABLE ff (id int PRIMARY KEY, cat int, near int, far int, v vector(4));
INSERT INTO ff SELECT i, i % 50, CASE WHEN greatest(a, b, c) < .29 THEN 1 ELSE 0 END,
        CASE WHEN least(a, b, c) > .71 THEN 1 ELSE 0 END, ARRAY[a, b, c, random() / 10]::vector
    FROM (SELECT i, random() AS a, random() AS b, random() AS c FROM generate_series(1, 20000) AS i) AS s;
INSERT INTO ff SELECT 20000 + i, 7, 1, 1, NULL FROM generate_series(1, 5) AS i;
CREATE INDEX ff_v ON ff USING hnsw (v vector_l2_ops) WITH (m = 8, ef_construction = 40, seed = 1);
CREATE INDEX ff_cat ON ff (cat);
CREATE INDEX ff_near ON ff (near);
CREATE INDEX ff_far ON ff (far);
VACUUM ANALYZE ff;
SET hnsw.ef_search = 10;
SET jit = off;
SET enable_seqscan = off;
SET enable_sort = off;
SET max_parallel_workers_per_gather = 0;
SET cpu_index_tuple_cost = 0.05;  -- dear bitmaps, or such a small table is read at once
\set corner '\'[0.05,0.05,0.05,0.05]\''

-- How did it end, did as many rows come as a sort gives, in order, all of the condition, and how many of the nearest?
CREATE FUNCTION pg_temp.ask(condition text, n int, OUT tried text, OUT n_rows int, OUT all_there bool, OUT in_order bool,
                            OUT nearest bool)
LANGUAGE plpgsql AS $$
DECLARE
    line text; got float8[]; truth float8[]; ids int[];
    query text := format('SELECT id, v <-> ''[0.05,0.05,0.05,0.05]'' AS d FROM ff WHERE %s
        ORDER BY v <-> ''[0.05,0.05,0.05,0.05]'' LIMIT %s', condition, n);

BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
        tried := coalesce(substring(line FROM 'Search Tried First: (.*)'), tried);
    END LOOP;
    EXECUTE format('SELECT array_agg(d), array_agg(id) FROM (%s) AS s', query) INTO got, ids;
    PERFORM set_config('enable_indexscan', 'off', true), set_config('vecann.enable_custom_scan', 'off', true);
    EXECUTE format('SELECT array_agg(d) FROM (%s) AS s', query) INTO truth;
    PERFORM set_config('enable_indexscan', 'on', true), set_config('vecann.enable_custom_scan', 'on', true);
    n_rows := cardinality(got);
    all_there := n_rows = cardinality(truth) AND n_rows = (SELECT count(DISTINCT i) FROM unnest(ids) AS i);
    in_order := (SELECT bool_and(d >= before OR before IS NULL OR d IS NULL)
                 FROM (SELECT d, lag(d) OVER (ORDER BY place) AS before FROM unnest(got) WITH ORDINALITY AS u(d, place)) AS s);
    nearest := (SELECT count(*) FROM unnest(got) AS d WHERE d <= truth[9]) >= 8;
END $$;

SELECT * FROM pg_temp.ask('near = 1', 10);
SELECT * FROM pg_temp.ask('cat = 7', 10);
SELECT * FROM pg_temp.ask('far = 1', 10);
-- what ends other searches does not end these
SET hnsw.iterative_scan = off;
SELECT * FROM pg_temp.ask('near = 1', 9);
SELECT * FROM pg_temp.ask('cat = 7', 20);
SELECT * FROM pg_temp.ask('far = 1', 10);
SET hnsw.iterative_scan = strict_order;
SELECT * FROM pg_temp.ask('near = 1', 10);
SELECT * FROM pg_temp.ask('cat = 7', 10);
RESET hnsw.iterative_scan;
SET hnsw.max_scan_tuples = 50;
SELECT * FROM pg_temp.ask('cat = 7', 10);
SELECT * FROM pg_temp.ask('far = 1', 10);
RESET hnsw.max_scan_tuples;
-- without a way to go on by the bitmap; with a bitmap of pages
SET vecann.enable_bitmap_search = off;
SELECT * FROM pg_temp.ask('cat = 7', 10);
RESET vecann.enable_bitmap_search;
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SELECT * FROM pg_temp.ask('cat = 7', 10);
RESET work_mem;
RESET hash_mem_multiplier;
-- forbidden, not worth while, no LIMIT
SET vecann.enable_post_filter = off;
SELECT * FROM pg_temp.ask('near = 1', 10);
RESET vecann.enable_post_filter;
SELECT * FROM pg_temp.ask('far = 1 AND id < 8000', 9);
SELECT tried FROM pg_temp.ask('far = 1', 1000);
-- who takes more than LIMIT said: ties, rows of each outer row, a cursor
SELECT count(*) FROM (SELECT id FROM ff WHERE cat = 7 ORDER BY v <-> :corner FETCH FIRST 10 ROWS WITH TIES) AS s;
SELECT count(*), count(DISTINCT (q.v, id)) FROM (VALUES ('[0,0,0,0]'::vector), ('[.9,.9,.9,0]'), ('[0,1,0,0]'), (NULL)) AS q(v),
    LATERAL (SELECT id FROM ff WHERE near = 1 AND ff.v IS NOT NULL ORDER BY ff.v <-> q.v LIMIT 5) AS s;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT v IS NULL AS none FROM ff WHERE far = 1 ORDER BY v <-> :corner LIMIT 12;
MOVE 10 IN c;
FETCH 5 FROM c;
FETCH BACKWARD 1 FROM c;
COMMIT;
-- a condition on the distance itself, by an index of its own
CREATE INDEX ff_distance ON ff ((v <-> '[0.05,0.05,0.05,0.05]'::vector));
ANALYZE ff;
SELECT * FROM pg_temp.ask('v <-> ''[0.05,0.05,0.05,0.05]'' < 0.1', 10);
SELECT * FROM pg_temp.ask('v <-> ''[0.05,0.05,0.05,0.05]'' > 0.9', 10);
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SELECT * FROM pg_temp.ask('v <-> ''[0.05,0.05,0.05,0.05]'' > 0.5', 10);
RESET work_mem;
RESET hash_mem_multiplier;
DROP INDEX ff_distance;
-- the same through lists
DROP INDEX ff_v;
CREATE INDEX ff_v ON ff USING ivfflat (v vector_l2_ops) WITH (lists = 200, seed = 1);
SELECT * FROM pg_temp.ask('near = 1', 10);
SELECT * FROM pg_temp.ask('cat = 7', 10);
SELECT * FROM pg_temp.ask('far = 1', 10);
SELECT indexname FROM pg_indexes AS i, vecann_verify('ff_v') WHERE indexname = 'ff_v';
DROP TABLE ff;

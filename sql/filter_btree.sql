-- Rows of one btree scan are taken one by one, without the server's bitmap: whatever keys it has, and however many rows,
-- the exact pass finds what a sequential scan finds.

SELECT setseed(0.5);
CREATE TABLE fb (id int PRIMARY KEY, a int, b int, t text, v vector(3));
INSERT INTO fb SELECT i, i % 10, (i * 7919) % 12000, 'k' || i % 7, ARRAY[random(), random(), random()]::vector FROM generate_series(1, 12000) AS i;
INSERT INTO fb SELECT 12000 + i, NULL, NULL, NULL, ARRAY[random(), random(), random()]::vector FROM generate_series(1, 30) AS i;
CREATE INDEX fb_v ON fb USING hnsw (v vector_l2_ops) WITH (m = 6, ef_construction = 20, seed = 1);
CREATE INDEX fb_a ON fb (a);
CREATE INDEX fb_b ON fb (b);
CREATE INDEX fb_at ON fb (a, t);
VACUUM ANALYZE fb;
SET jit = off;
SET enable_seqscan = off;
SET enable_sort = off;
SET max_parallel_workers_per_gather = 0;
SET vecann.enable_post_filter = off;
SET vecann.enable_bitmap_search = off;

-- How many rows did the index give, and are the nearest twenty, and all, what a sort gives?
CREATE FUNCTION pg_temp.ask(condition text, OUT strategy text, OUT bitmap_rows int, OUT node_rows int, OUT nearest bool,
                            OUT all_rows bool)
LANGUAGE plpgsql AS $$
DECLARE
    line text; got int[]; truth int[];
    query text := format('SELECT id FROM fb WHERE %s ORDER BY v <-> ''[1,0,0]'', id', condition);
    n text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query || ' LIMIT 20' LOOP
        strategy := coalesce(substring(line FROM 'Strategy: (.*)'), strategy);
        bitmap_rows := coalesce(substring(line FROM 'Bitmap Rows: (.*)')::int, bitmap_rows);
        node_rows := coalesce(substring(line FROM 'Bitmap Index Scan.*rows=(\d+)')::int, node_rows);
    END LOOP;
    FOREACH n IN ARRAY ARRAY['20', 'ALL'] LOOP
        EXECUTE format('SELECT array_agg(id) FROM (%s LIMIT %s) AS s', query, n) INTO got;
        PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true),
            set_config('enable_indexscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
            set_config('vecann.enable_custom_scan', 'off', true);
        EXECUTE format('SELECT array_agg(id) FROM (%s LIMIT %s) AS s', query, n) INTO truth;
        PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true),
            set_config('enable_indexscan', 'on', true), set_config('enable_bitmapscan', 'on', true),
            set_config('vecann.enable_custom_scan', 'on', true);
        IF n = '20' THEN
            nearest := got IS NOT DISTINCT FROM truth;
        ELSE
            all_rows := got IS NOT DISTINCT FROM truth;
        END IF;
    END LOOP;
END $$;

SELECT c, (pg_temp.ask(c)).* FROM unnest(ARRAY[
    'a = 3', 'a IN (1, 4, 9)', 'a IN (4, 4, NULL)', 'a = ANY (''{}''::int[])', 'a IS NULL', 'a = 77',
    'b < 900', 'b BETWEEN 5000 AND 6000', 'b > 11000 AND b < 11500', 'b >= 0',
    'a = 2 AND t = ''k3''', 'a = 2 AND t IN (''k1'', ''k6'')', 'a < 2 AND t > ''k4''']) AS c;

-- More rows than there is memory for in a list, then in a bitmap of single rows.
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SELECT c, (pg_temp.ask(c)).* FROM unnest(ARRAY['a < 6', 'b < 9000', 'a = 5']) AS c;
-- Fewer expected than come: a third of the rows.
PREPARE below(int) AS SELECT count(*), count(DISTINCT id), min(a), max(a) FROM (SELECT id, a FROM fb WHERE a < $1 ORDER BY v <-> '[1,0,0]' LIMIT 12000) AS s;
PREPARE lower(int) AS SELECT count(*), count(DISTINCT id), min(b), max(b) FROM (SELECT id, b FROM fb WHERE b < $1 ORDER BY v <-> '[1,0,0]' LIMIT 12000) AS s;
SET plan_cache_mode = force_generic_plan;
EXECUTE below(10);
EXECUTE lower(11999);
EXECUTE below(1);
DEALLOCATE ALL;
RESET plan_cache_mode;
RESET work_mem;
RESET hash_mem_multiplier;

-- Keys known at run time, again and again; also none.
SET enable_material = off;
SELECT q.a, count(n.id), bool_and(n.a = q.a), min(n.id) = ANY (array_agg(n.id))
FROM (VALUES (1), (5), (NULL), (1), (42)) AS q (a)
LEFT JOIN LATERAL (SELECT id, a FROM fb WHERE fb.a = q.a ORDER BY v <-> '[0,1,0]' LIMIT 5) AS n ON true
GROUP BY q.a ORDER BY q.a;
PREPARE by_keys(int[]) AS SELECT count(*), count(DISTINCT a) FROM (SELECT * FROM fb WHERE a = ANY ($1) ORDER BY v <-> '[0,1,0]' LIMIT 50) AS s;
SET plan_cache_mode = force_generic_plan;
EXECUTE by_keys('{1,2,3}');
EXECUTE by_keys('{}');
EXECUTE by_keys(NULL);
EXECUTE by_keys('{7,7,NULL,99}');
DEALLOCATE by_keys;
RESET plan_cache_mode;

-- A search that runs out of memory and has no exact pass to turn to reads what it knows of, then all the rest.
SET vecann.enable_bitmap_search = on;
SET vecann.enable_exact_search = off;
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SET hnsw.ef_search = 10;
SELECT count(*), count(DISTINCT id), max(b) FROM (SELECT id, b FROM fb WHERE b < 3000 ORDER BY v <-> '[1,0,0]' LIMIT 3000) AS s;
SET hnsw.ef_search = 200;
SELECT count(*), count(DISTINCT id), max(b) FROM (SELECT id, b FROM fb WHERE b < 3000 ORDER BY v <-> '[1,0,0]' LIMIT 3000) AS s;
SET hnsw.iterative_scan = strict_order;
SELECT count(*) BETWEEN 1 AND 3000, count(*) = count(DISTINCT id), max(b) < 3000 FROM (SELECT id, b FROM fb WHERE b < 3000 ORDER BY v <-> '[1,0,0]' LIMIT 3000) AS s;
RESET hnsw.iterative_scan;
RESET work_mem;
RESET hash_mem_multiplier;
RESET hnsw.ef_search;

SELECT indexname FROM pg_indexes AS i, vecann_verify('fb_v') WHERE indexname = 'fb_v';
DROP TABLE fb;

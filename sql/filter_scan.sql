-- Conditions on queries in the order of a distance: every strategy of the custom scan answers as an exact sort does,
-- whatever the query around it.

SELECT setseed(0.5);
CREATE TABLE fs (id int PRIMARY KEY, cat int, price int, tags int[], doc tsvector, at int, note text, v vector(6));
INSERT INTO fs SELECT i, i % 7, (i * 37) % 100, ARRAY[i % 5, i % 11],
        to_tsvector('simple', 'w' || i % 13 || ' x' || i % 3), i, 'n' || i, array_agg(random() - 0.5)::vector
    FROM generate_series(1, 600) AS i, generate_series(1, 6) GROUP BY i;
INSERT INTO fs SELECT 600 + i, i % 7, i, NULL, NULL, 600 + i, NULL, '[2,2,2,2,2,2]' FROM generate_series(1, 60) AS i;
INSERT INTO fs SELECT 700 + i, i % 7, 50, '{}', NULL, 700 + i, NULL, NULL FROM generate_series(1, 14) AS i;
CREATE INDEX fs_v ON fs USING hnsw (v vector_l2_ops) WITH (m = 20);
CREATE INDEX fs_cat ON fs (cat);
CREATE INDEX fs_price ON fs (price);
CREATE INDEX fs_tags ON fs USING gin (tags);
CREATE INDEX fs_doc ON fs USING gin (doc);
CREATE INDEX fs_at ON fs USING brin (at) WITH (pages_per_range = 1);
VACUUM ANALYZE fs;
SET hnsw.ef_search = 1000;
SET jit = off;
SET max_parallel_workers_per_gather = 0;
\set query '\'[.1,.2,.3,.1,.2,.3]\''

-- Do all strategies give what a sort gives? Is each in a plan where it is the only one allowed?
CREATE FUNCTION pg_temp.same(query text, OUT n_rows int, OUT exact text, OUT bitmap text, OUT post text, OUT any_way text)
LANGUAGE plpgsql
SET enable_seqscan FROM CURRENT SET enable_sort FROM CURRENT SET enable_indexscan FROM CURRENT
SET enable_bitmapscan FROM CURRENT SET vecann.enable_custom_scan FROM CURRENT
SET vecann.enable_exact_search FROM CURRENT SET vecann.enable_bitmap_search FROM CURRENT
SET vecann.enable_post_filter FROM CURRENT
AS $$
DECLARE
    truth text[]; got text[]; line text; plan text; answer text;
    ask text := format('SELECT array_agg(s::text ORDER BY s::text) FROM (%s) AS s', query);
BEGIN
    SET LOCAL vecann.enable_custom_scan = off;
    SET LOCAL enable_indexscan = off;
    EXECUTE ask INTO truth;
    n_rows := cardinality(truth);
    SET LOCAL vecann.enable_custom_scan = on;
    SET LOCAL enable_indexscan = on;
    FOR i IN 0..3 LOOP
        PERFORM set_config('vecann.enable_exact_search', (i IN (0, 3))::text, true),
            set_config('vecann.enable_bitmap_search', (i IN (1, 3))::text, true),
            set_config('vecann.enable_post_filter', (i IN (2, 3))::text, true),
            set_config('enable_seqscan', (i = 3)::text, true), set_config('enable_sort', (i = 3)::text, true);
        EXECUTE ask INTO got;
        plan := '';
        FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
            plan := plan || coalesce(' ' || substring(line FROM 'Strategy: (.*)'), '');
        END LOOP;
        answer := CASE WHEN got IS NOT DISTINCT FROM truth THEN 'same' ELSE 'DIFFERS' END;
        IF i < 3 THEN answer := answer || plan; END IF;
        IF i = 0 THEN exact := answer; ELSIF i = 1 THEN bitmap := answer; ELSIF i = 2 THEN post := answer;
        ELSE any_way := answer; END IF;
    END LOOP;
END $$;

-- ---- plans -------------------------------------------------------------------------------

SET enable_seqscan = off;
SET vecann.enable_post_filter = off;
SET vecann.enable_bitmap_search = off;
EXPLAIN (COSTS OFF) SELECT id FROM fs WHERE cat = 3 AND note <> 'n5' ORDER BY v <-> :query LIMIT 5;
SET vecann.enable_bitmap_search = on;
SET vecann.enable_exact_search = off;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT id FROM fs WHERE doc @@ 'w3' ORDER BY v <-> :query LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM fs WHERE price = 3 OR tags && '{4}' ORDER BY v <-> :query LIMIT 5;
RESET vecann.enable_post_filter;
RESET vecann.enable_exact_search;
RESET enable_seqscan;
RESET enable_sort;

-- ---- every kind of index -------------------------------------------------------------------

SELECT s.* FROM unnest(ARRAY[
    'cat = 3', 'price < 10', 'price BETWEEN 20 AND 70', 'tags @> ''{3}''', 'tags && ''{2,9}''', 'doc @@ ''w3 & x1''',
    'doc @@ ''w3 | w4''', 'at BETWEEN 100 AND 160', 'cat = 3 AND price < 50', 'cat = 3 OR doc @@ ''w5''',
    'cat IN (1, 5)', 'cat = ANY (ARRAY[2, 6]) AND id % 2 = 0', 'cat = 3 AND v <-> ''[.1,.2,.3,.1,.2,.3]'' < 0.6',
    'cat = -1', 'cat >= 0', 'cat = NULL', 'id = 77', 'id = 605', 'price = 50 AND note IS NULL', 'cat IS NULL'
    ]) WITH ORDINALITY AS a(cond, n), pg_temp.same(format('SELECT id, note, v <-> %L FROM fs WHERE (%s) AND v IS NOT NULL
        ORDER BY v <-> %L LIMIT 20', :query, cond, :query)) AS s ORDER BY n;
-- vectors that are NULL come last, where all rows of a bitmap are read
SELECT count(*), count(v) FROM (SELECT v FROM fs WHERE price = 50 ORDER BY v <-> :query LIMIT 100) AS s;

-- ---- limits ---------------------------------------------------------------------------------

SELECT s.* FROM unnest(ARRAY['LIMIT 0', 'LIMIT 1', 'LIMIT NULL', 'LIMIT 10 OFFSET 5', 'LIMIT 5 OFFSET 1000', 'LIMIT 500',
    '', 'LIMIT (SELECT 3)', 'OFFSET 80']) WITH ORDINALITY AS a(most, n),
    pg_temp.same(format('SELECT id FROM fs WHERE cat = 3 AND v IS NOT NULL ORDER BY v <-> %L %s', :query, most)) AS s ORDER BY n;

-- ---- around the scan ---------------------------------------------------------------------------

SELECT s.* FROM unnest(ARRAY[
    'SELECT id FROM fs WHERE cat = 3 AND id < 600 ORDER BY v <-> ''[1,1,1,1,1,1]'', id LIMIT 9',
    'SELECT DISTINCT price FROM (SELECT price FROM fs WHERE cat = 3 ORDER BY v <-> ''[1,1,1,1,1,1]'' LIMIT 9) AS s ORDER BY 1',
    'SELECT cat, count(*) FROM (SELECT cat FROM fs WHERE price < 30 ORDER BY v <-> ''[1,1,1,1,1,1]'' LIMIT 30) AS s
         GROUP BY cat ORDER BY 1',
    'SELECT a.id, n.id FROM fs AS a, LATERAL (SELECT id FROM fs AS b WHERE b.cat = a.cat AND b.id <> a.id AND b.v IS NOT NULL
         ORDER BY b.v <-> ''[1,1,1,1,1,1]'' LIMIT 3) AS n WHERE a.id < 20 ORDER BY 1, 2',
    'SELECT a.id, n.id FROM fs AS a, LATERAL (SELECT id FROM fs AS b WHERE b.cat = 4 AND b.v IS NOT NULL
         ORDER BY b.v <-> a.v LIMIT 3) AS n WHERE a.id < 20 ORDER BY 1, 2',
    'SELECT id FROM fs WHERE cat = (SELECT 4) AND v IS NOT NULL ORDER BY v <-> (SELECT v FROM fs WHERE id = 9) LIMIT 9',
    'SELECT id FROM fs WHERE id IN (SELECT price FROM fs WHERE cat = 2) ORDER BY v <-> ''[1,1,1,1,1,1]'' LIMIT 9',
    'SELECT a.id, b.id FROM fs AS a JOIN fs AS b ON b.id = a.price + 1 WHERE a.cat = 2 ORDER BY a.v <-> ''[1,1,1,1,1,1]''
         LIMIT 9',
    'WITH few AS MATERIALIZED (SELECT id, v FROM fs WHERE cat = 1) SELECT f.id FROM few AS f
         WHERE f.v IS NOT NULL ORDER BY f.v <-> ''[1,1,1,1,1,1]'' LIMIT 4',
    'SELECT id, ctid, tableoid::regclass, t FROM fs AS t WHERE cat = 5 AND v IS NOT NULL
         ORDER BY v <-> ''[1,1,1,1,1,1]'' LIMIT 12'
    ]) WITH ORDINALITY AS a(q, n), pg_temp.same(q) AS s ORDER BY n;

-- ---- odd ones: no query vector, little memory, settings of the scan -----------------------------------

SELECT count(*), count(d) FROM (SELECT v <-> NULL AS d FROM fs WHERE cat = 3 ORDER BY d LIMIT 500) AS s;
SELECT id FROM fs WHERE cat = 3 ORDER BY v <-> '[1,2]' LIMIT 5;
-- pages without rows of their own, and passes that keep a part of the rows
CREATE TABLE fs_wide (id int, a int, filler text, v vector(3));
INSERT INTO fs_wide SELECT i, i % 4, repeat('x', 1500), ARRAY[i % 100, i / 100, i % 7]::vector
    FROM generate_series(1, 9000) AS i;
CREATE INDEX fs_wide_v ON fs_wide USING hnsw (v vector_l2_ops);
CREATE INDEX fs_wide_a ON fs_wide (a);
ANALYZE fs_wide;
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SET hnsw.scan_mem_multiplier = 1000;
SELECT s.* FROM pg_temp.same('SELECT id, a FROM fs_wide WHERE a = 3 ORDER BY v <-> ''[50.123,50.457,3.3]'' LIMIT 50') AS s;
RESET hnsw.scan_mem_multiplier;
SET enable_seqscan = off;
SET enable_sort = off;
SET vecann.enable_post_filter = off;
SET vecann.enable_bitmap_search = off;
SELECT count(*), count(DISTINCT id), bool_and(a = 3), bool_and(d >= before) FROM (
    SELECT id, a, d, lag(d) OVER () AS before FROM (
        SELECT id, a, v <-> '[50,50,3.3]' AS d FROM fs_wide WHERE a = 3 ORDER BY d LIMIT 5000) AS s) AS t;
RESET work_mem;
RESET hash_mem_multiplier;
RESET vecann.enable_bitmap_search;
RESET vecann.enable_post_filter;
RESET enable_sort;
RESET enable_seqscan;
DROP TABLE fs_wide;
SET hnsw.ef_search = 20;
-- what a search does not reach the exact pass does, once each
CREATE FUNCTION pg_temp.counts(mode text, OUT n_rows bigint, OUT n_ids bigint, OUT in_order boolean) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('hnsw.iterative_scan', mode, true);
    SELECT count(*), count(DISTINCT id), coalesce(bool_and(d >= before), true) INTO n_rows, n_ids, in_order FROM (
        SELECT id, d, lag(d) OVER () AS before FROM (
            SELECT id, v <-> '[.1,.2,.3,.1,.2,.3]' AS d FROM fs WHERE cat < 6 AND v IS NOT NULL
                ORDER BY v <-> '[.1,.2,.3,.1,.2,.3]' LIMIT 1000) AS s) AS t;
END $$;
SET enable_sort = off;
SELECT n_rows, n_ids FROM pg_temp.counts('relaxed_order');
SELECT n_rows = n_ids, in_order FROM pg_temp.counts('strict_order');
SET vecann.enable_exact_search = off;
-- the function's plan was made with other settings
DISCARD PLANS;
SELECT n_rows, n_ids FROM pg_temp.counts('relaxed_order');
SET vecann.enable_bitmap_search = off;
DISCARD PLANS;
SELECT n_rows, n_ids FROM pg_temp.counts('relaxed_order');
SELECT n_rows < 100, n_rows = n_ids FROM pg_temp.counts('off');
RESET vecann.enable_exact_search;
RESET vecann.enable_bitmap_search;
RESET hnsw.iterative_scan;
RESET enable_sort;
SET hnsw.ef_search = 1000;

-- ---- prepared, cursors, locks ------------------------------------------------------------------------

SET enable_seqscan = off;
SET plan_cache_mode = force_generic_plan;
PREPARE near(vector, int, int) AS SELECT id FROM fs WHERE cat = $2 AND v IS NOT NULL ORDER BY v <-> $1 LIMIT $3;
EXECUTE near(:query, 4, 3);
EXECUTE near('[1,1,1,1,1,1]', 6, 2);
EXECUTE near(NULL, -6, 2);
EXECUTE near('[1,1,1,1,1,1]', NULL, 2);
DEALLOCATE ALL;
RESET plan_cache_mode;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM fs WHERE cat = 3 ORDER BY v <-> :query;
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH ABSOLUTE 5 FROM c;
CLOSE c;
DECLARE c CURSOR FOR SELECT id, note FROM fs WHERE cat = 3 ORDER BY v <-> :query;
FETCH 2 FROM c;
UPDATE fs SET note = 'current' WHERE CURRENT OF c;
CLOSE c;
SELECT id FROM fs WHERE note = 'current';
SELECT id FROM fs WHERE cat = 3 ORDER BY v <-> :query LIMIT 3 FOR UPDATE;
UPDATE fs SET note = 'near' WHERE id IN (SELECT id FROM fs WHERE cat = 3 ORDER BY v <-> :query LIMIT 4);
DELETE FROM fs USING (SELECT id AS gone FROM fs WHERE cat = 3 ORDER BY v <-> :query LIMIT 2) AS s WHERE id = gone;
SELECT id, note FROM fs WHERE cat = 3 ORDER BY v <-> :query LIMIT 3;
ROLLBACK;
-- a plan handed to a worker
RESET max_parallel_workers_per_gather;
SELECT count(set_config(name, 'on', false)) FROM pg_settings
WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT id FROM fs WHERE cat = 4 ORDER BY v <-> :query LIMIT 3;
SELECT count(set_config(name, 'off', false)) FROM pg_settings
WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SET max_parallel_workers_per_gather = 0;

-- ---- security, partial indexes, partitions ----------------------------------------------------------------

CREATE ROLE regress_fs;
GRANT SELECT ON fs TO regress_fs;
ALTER TABLE fs ENABLE ROW LEVEL SECURITY;
CREATE POLICY fs_some ON fs USING (cat = 4);
CREATE FUNCTION fs_leak(int) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
    $$BEGIN IF $1 <> 4 THEN RAISE NOTICE 'saw %', $1; END IF; RETURN true; END$$;
SET ROLE regress_fs;
SELECT count(*), bool_and(cat = 4) FROM (SELECT cat FROM fs WHERE fs_leak(cat) ORDER BY v <-> :query LIMIT 20) AS s;
SELECT count(*), bool_and(cat = 4) FROM (
    SELECT cat FROM fs WHERE fs_leak(cat) AND price < 40 ORDER BY v <-> :query LIMIT 20) AS s;
RESET ROLE;
DROP POLICY fs_some ON fs;
ALTER TABLE fs DISABLE ROW LEVEL SECURITY;
DROP FUNCTION fs_leak;
DROP INDEX fs_v;
CREATE INDEX fs_part ON fs USING hnsw (v vector_l2_ops) WHERE price < 50;
RESET enable_seqscan;
SELECT s.* FROM pg_temp.same('SELECT id FROM fs WHERE cat = 3 AND price < 50 AND v IS NOT NULL
    ORDER BY v <-> ''[1,1,1,1,1,1]'' LIMIT 60') AS s;
CREATE TABLE fs_all (id int, cat int, kind int, v vector(2)) PARTITION BY LIST (cat);
CREATE TABLE fs_all_0 PARTITION OF fs_all FOR VALUES IN (0);
CREATE TABLE fs_all_1 PARTITION OF fs_all FOR VALUES IN (1);
INSERT INTO fs_all SELECT i, i % 2, i % 10, ARRAY[i, i / 2]::vector FROM generate_series(1, 400) AS i;
CREATE INDEX ON fs_all USING hnsw (v vector_l2_ops);
CREATE INDEX ON fs_all (kind);
ANALYZE fs_all;
SELECT s.* FROM pg_temp.same('SELECT id, v FROM fs_all WHERE kind IN (2, 3) ORDER BY v <-> ''[20.1,10]'' LIMIT 50') AS s;
DROP TABLE fs, fs_all;
DROP ROLE regress_fs;

-- what the server's settings forbid stays forbidden
CREATE TABLE filter_off (id int PRIMARY KEY, v vector(3));
INSERT INTO filter_off SELECT i, ARRAY[i, i % 7, 1]::vector FROM generate_series(1, 300) AS i;
CREATE INDEX ON filter_off USING hnsw (v vector_l2_ops);
SET enable_indexscan = off;
SET enable_seqscan = on;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM filter_off WHERE id > 20 ORDER BY v <-> '[3,3,3]' LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM filter_off ORDER BY v <-> '[3,3,3]' LIMIT 5;
RESET enable_indexscan;
RESET enable_seqscan;
RESET enable_bitmapscan;
DROP TABLE filter_off;

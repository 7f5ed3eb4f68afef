-- Rows that meet conditions on GIN indexes, as the custom scan reads them out of posting lists: the same as a sequential
-- scan finds, whatever the operator class makes of a condition.
CREATE SCHEMA filter_gin_rows;
SET search_path = filter_gin_rows, public;
SET max_parallel_workers_per_gather = 0;

-- Keys of 20,000 rows, half of them, 400 and 100, so with posting trees of several leaves and with lists.
CREATE TABLE t (id int, v vector(4), j jsonb, words tsvector, numbers int[]);
INSERT INTO t SELECT i, ARRAY[sin(i), cos(i), sin(2 * i), 1]::vector,
    jsonb_build_object('k', 'k' || i % 200, 'half', 'h' || i % 2, 'list', jsonb_build_array(i % 7, 'x' || i % 50)),
    to_tsvector('simple', 'a' || i % 200 || ' b' || i % 50 || ' c' || i % 2 || ' all') || setweight(to_tsvector('simple', 'd' || i % 11), 'A'),
    CASE WHEN i % 13 = 0 THEN ARRAY[]::int[] WHEN i % 17 = 0 THEN ARRAY[i % 200, NULL] WHEN i % 19 = 0 THEN NULL
        ELSE ARRAY[i % 200, 1000 + i % 50, 2000 + i % 2] END
    FROM generate_series(1, 20000) i;
CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8);
CREATE INDEX t_j ON t USING gin (j jsonb_path_ops);
CREATE INDEX t_words ON t USING gin (words);
CREATE INDEX t_numbers ON t USING gin (numbers);
VACUUM ANALYZE t;

-- Only exact passes.
SET client_min_messages = warning;
SET jit = off;
SET enable_seqscan = off;
SET enable_sort = off;
SET vecann.enable_post_filter = off;
SET vecann.enable_bitmap_search = off;
CREATE FUNCTION found(condition text, OUT ids int[]) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT array_agg(id ORDER BY id) FROM (SELECT id FROM t WHERE %s ORDER BY v <-> ''[0,1,0,1]'' LIMIT 30000) AS s', condition)
        INTO ids;
END $$;
-- What the index returned, the rows, and whether they are those of a sequential scan.
CREATE FUNCTION compare(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; strategy text := 'none'; truth int[]; got int[] := found(condition);
BEGIN
    FOR line IN EXECUTE format('EXPLAIN SELECT id FROM t WHERE %s ORDER BY v <-> ''[0,1,0,1]'' LIMIT 30000', condition) LOOP
        strategy := coalesce(substring(line FROM 'Strategy: (.*)'), strategy);
    END LOOP;
    PERFORM set_config('vecann.enable_custom_scan', 'off', true), set_config('enable_indexscan', 'off', true),
        set_config('enable_seqscan', 'on', true), set_config('enable_bitmapscan', 'off', true);
    truth := found(condition);
    PERFORM set_config('vecann.enable_custom_scan', 'on', true), set_config('enable_indexscan', 'on', true),
        set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'on', true);
    RETURN format('%s: %s rows%s', strategy, coalesce(cardinality(got), 0), CASE WHEN got IS NOT DISTINCT FROM truth THEN '' ELSE ' WRONG' END);
END $$;
CREATE TABLE conditions (n serial, condition text);
INSERT INTO conditions (condition) SELECT unnest(ARRAY[
    $$words @@ 'a7'$$, $$words @@ 'all'$$, $$words @@ 'none'$$, $$words @@ 'a7 & b7'$$, $$words @@ 'a7 & b8'$$, $$words @@ 'a7 & all & c1'$$,
    $$words @@ 'c1 & b7'$$, $$words @@ 'all & c1'$$, $$words @@ 'a7 | a8'$$, $$words @@ 'a7 | a7 | b7'$$, $$words @@ 'a7 & (b7 | b8)'$$,
    $$words @@ '(a7 & c1) | b3'$$, $$words @@ 'b7 & !a7'$$, $$words @@ '!c1'$$, $$words @@ 'a7:*'$$, $$words @@ 'b7 & a:*'$$, $$words @@ 'a7 <-> b7'$$,
    $$words @@ 'b7 <-> a7'$$, $$words @@ 'd3:A'$$, $$words @@ 'd3:B'$$, $$words @@ 'd3:A & c0'$$, $$words @@ ''$$, $$words @@ NULL$$,
    $$words @@ 'a7' AND words @@ 'c1'$$, $$words @@ 'a7 | a8' AND words @@ 'c1'$$, $$words @@ 'a7' AND words @@ NULL$$,
    $$numbers @> '{7}'$$, $$numbers @> '{7, 2001}'$$, $$numbers @> '{7, 2000}'$$, $$numbers @> '{}'$$, $$numbers @> '{NULL}'$$, $$numbers @> '{7, NULL}'$$,
    $$numbers && '{7, 8, 2001}'$$, $$numbers && '{}'$$, $$numbers && '{7, NULL}'$$, $$numbers && '{NULL}'$$, $$numbers <@ '{7, 1007, 2001}'$$,
    $$numbers = '{7, 1007, 2001}'$$, $$numbers = '{}'$$, $$numbers && ARRAY(SELECT generate_series(1, 100))$$,
    $$numbers @> '{7}' AND words @@ 'c1'$$, $$numbers @> '{7}' OR words @@ 'a9'$$,
    $$j @> '{"k": "k7"}'$$, $$j @> '{"k": "k7", "half": "h1"}'$$, $$j @> '{"k": "k7", "half": "h0"}'$$, $$j @> '{"half": "h1"}'$$, $$j @> '{"list": [3]}'$$,
    $$j @> '{"list": [3, "x3"]}'$$, $$j @> '{}'$$, $$j @> '[]'$$, $$j @? '$.k ? (@ == "k7")'$$, $$j @@ '$.k == "k7" || $.half == "h1"'$$,
    $$j @@ '$.k == "k7" && $.half == "h1"'$$, $$j @@ 'exists($.k)'$$, $$j @> NULL$$,
    $$j ? 'k'$$, $$j ? 'none'$$, $$j ?| '{k, none}'$$, $$j ?& '{k, half}'$$, $$j ?& '{k, none}'$$, $$j ?| '{}'$$, $$j ?& '{}'$$]);
SELECT condition, compare(condition) FROM conditions ORDER BY n;

-- Keys and values, in place of hashes of their paths: 'k' and 'half' are in all rows, and tell nothing.
DROP INDEX t_j;
CREATE INDEX t_j ON t USING gin (j);
SELECT condition, compare(condition) FROM conditions WHERE condition ~ '^j' ORDER BY n;
-- Two columns, and an expression.
DROP INDEX t_j, t_numbers;
CREATE INDEX t_two ON t USING gin (numbers, (j -> 'list'));
SELECT condition, compare(condition) FROM unnest(ARRAY[$$numbers @> '{7}' AND j -> 'list' @> '[0]'$$, $$numbers && '{7, 8}' AND j -> 'list' @> '[0]'$$,
    $$j -> 'list' @> '[3, "x3"]'$$, $$j -> 'list' ? 'x3'$$]) AS condition;

-- Rows that wait in the pending list, then some that are in both.
CREATE FUNCTION wrong(OUT wrong bigint, OUT of bigint) LANGUAGE sql AS $$
    SELECT count(*) FILTER (WHERE compare(condition) ~ 'WRONG'), count(*) FROM conditions WHERE n % 3 = 1
$$;
DROP INDEX t_two, t_words;
CREATE INDEX t_j ON t USING gin (j jsonb_path_ops) WITH (fastupdate = on, gin_pending_list_limit = 100000);
CREATE INDEX t_words ON t USING gin (words) WITH (fastupdate = on, gin_pending_list_limit = 100000);
CREATE INDEX t_numbers ON t USING gin (numbers) WITH (fastupdate = on, gin_pending_list_limit = 100000);
INSERT INTO t SELECT id + 20000, v, j, words, numbers FROM t WHERE id <= 500;
SELECT * FROM wrong();
UPDATE t SET numbers = numbers || 7 WHERE id % 1000 = 5;
SELECT compare($$numbers @> '{7}'$$), compare($$words @@ 'a7 & b7'$$);
SELECT gin_clean_pending_list('t_j') > 0 AS j, gin_clean_pending_list('t_words') > 0 AS words;
SELECT * FROM wrong();
-- A list that is too long for us.
INSERT INTO t SELECT id + 30000, v, j, words, ARRAY(SELECT generate_series(1, 300)) FROM t WHERE id <= 2000;
SELECT compare($$numbers @> '{7}'$$), compare($$numbers && '{7, 299}'$$);
-- Posting trees with thin and empty leaves.
DELETE FROM t WHERE id BETWEEN 3000 AND 14000;
VACUUM t;
SELECT * FROM wrong();
DELETE FROM t WHERE id > 20;
VACUUM t;
SELECT * FROM wrong();
INSERT INTO t SELECT i, ARRAY[sin(i), cos(i), sin(2 * i), 1]::vector, '{"k": "k7"}', 'a7 all', '{7}' FROM generate_series(21, 9000) i;
SELECT * FROM wrong();
VACUUM t;
SELECT * FROM wrong();

-- More rows than the list has room for, and pages in place of rows.
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SELECT compare($$words @@ 'a7'$$), compare($$words @@ 'all & a7'$$), compare($$numbers && '{7, 8}'$$);
RESET work_mem;
RESET hash_mem_multiplier;
-- Settings that only the server's own scan follows.
SET gin_fuzzy_search_limit = 1000000;
SELECT compare($$words @@ 'a7'$$);
RESET gin_fuzzy_search_limit;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT compare($$words @@ 'a7'$$);
SELECT count(*) > 0 AS "locks what it reads" FROM pg_locks WHERE mode = 'SIReadLock' AND relation = 't_words'::regclass;
COMMIT;

-- Keys that change from one scan to the next.
SELECT k, n FROM (VALUES (1, 'a7'), (2, 'a8'), (3, 'all'), (4, NULL), (5, 'a7 | a8'), (6, 'a:*')) AS q (k, q),
    LATERAL (SELECT count(*) AS n FROM (SELECT id FROM t WHERE words @@ q.q::tsquery ORDER BY v <-> '[0,1,0,1]' LIMIT 10000) AS s) AS s ORDER BY k;
PREPARE by_word (tsquery) AS SELECT count(*) FROM (SELECT id FROM t WHERE words @@ $1 ORDER BY v <-> '[0,1,0,1]' LIMIT 10000) AS s;
SET plan_cache_mode = force_generic_plan;
EXECUTE by_word ('a7');
EXECUTE by_word ('none');
EXECUTE by_word (NULL);
RESET plan_cache_mode;

-- A scan counts as one, in the statistics of the index, and rows in those of the plan.
CREATE FUNCTION plan_rows(condition text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE format('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT id FROM t WHERE %s ORDER BY v <-> ''[0,1,0,1]'' LIMIT 5', condition) LOOP
        IF line ~ 'Bitmap (Index|Rows)' THEN RETURN NEXT regexp_replace(line, '^[ ->]*(.*?)(\.00)? loops', '\1 loops'); END IF;
    END LOOP;
END $$;
SELECT plan_rows($$words @@ 'a7'$$);
BEGIN;
CREATE TEMP TABLE scans_before AS SELECT pg_stat_get_xact_numscans('t_words'::regclass) AS n;
SELECT count(*) FROM (SELECT id FROM t WHERE words @@ 'a7' ORDER BY v <-> '[0,1,0,1]' LIMIT 5) AS s;
SELECT pg_stat_get_xact_numscans('t_words'::regclass) - n AS scans FROM scans_before;
COMMIT;

-- Operator classes of extensions: keys that do not suffice although all are there, without a ternary function; scalars beside words; trigrams.
CREATE EXTENSION hstore;
CREATE EXTENSION btree_gin;
CREATE EXTENSION pg_trgm;
TRUNCATE t;
ALTER TABLE t ADD h hstore, ADD tenant int, ADD name text;
INSERT INTO t (id, v, h, tenant, name, words) SELECT i, ARRAY[sin(i), cos(i), sin(2 * i), 1]::vector,
    hstore(ARRAY['a', i % 3, 'b', (i + 1) % 3]::text[]), i % 40, 'name ' || i % 77 || ' of ' || i % 5, ('a' || i % 20)::tsvector
    FROM generate_series(1, 2000) i;
CREATE INDEX t_h ON t USING gin (h);
CREATE INDEX t_tenant ON t USING gin (tenant, words);
CREATE INDEX t_name ON t USING gin (name gin_trgm_ops);
ANALYZE t;
SELECT condition, compare(condition) FROM unnest(ARRAY[$$h @> 'a=>1'$$, $$h @> 'a=>1, b=>2'$$, $$h @> 'a=>1, b=>1'$$, $$h ? 'a'$$, $$h ?| '{a, c}'$$, $$h ?& '{a, c}'$$,
    $$tenant = 7$$, $$tenant = 7 AND words @@ 'a7'$$, $$tenant = 7 AND words @@ 'a8'$$, $$tenant < 3$$, $$tenant > 30 AND words @@ 'a7'$$, $$tenant IN (7, 8)$$,
    $$name LIKE '%ame 7 of 2%'$$, $$name LIKE '%7%'$$, $$name ~ 'me 7[12] of'$$, $$name % 'name 7 of 2'$$]) AS condition;
DROP EXTENSION hstore CASCADE;
DROP EXTENSION pg_trgm CASCADE;
DROP EXTENSION btree_gin CASCADE;
CREATE EXTENSION intarray SCHEMA filter_gin_rows;
UPDATE t SET numbers = CASE id % 3 WHEN 0 THEN ARRAY[5] WHEN 1 THEN ARRAY[5, 6] ELSE ARRAY[id % 10, 7] END;
CREATE INDEX t_int ON t USING gin (numbers gin__int_ops);
ANALYZE t;
SELECT condition, compare(condition) FROM unnest(ARRAY[$$numbers = '{5}'$$, $$numbers = '{5, 6}'$$, $$numbers @> '{5}'$$, $$numbers @> '{5, 6}'$$, $$numbers && '{3, 6}'$$,
    $$numbers <@ '{5, 6}'$$, $$numbers @@ '5 & 6'$$, $$numbers @@ '3 | 6'$$, $$numbers @@ '5 & !6'$$, $$numbers @@ '5 & (6 | 7)'$$]) AS condition;

SELECT indexname FROM pg_indexes AS i, vecann_verify('t_v') WHERE indexname = 't_v';
DROP SCHEMA filter_gin_rows CASCADE;

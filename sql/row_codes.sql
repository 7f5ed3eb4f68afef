-- Exact passes over the rows of a bitmap by the bounds that an hnsw index has of their distances: the answers are those
-- of a sort, and few rows are read.

SELECT setseed(0.375);
CREATE TABLE rc (id int PRIMARY KEY, cat int, half int, doc tsvector, note text, v vector(24)) WITH (fillfactor = 10);
INSERT INTO rc SELECT i, i % 25, i % 2, to_tsvector('simple', 'w' || i % 90 || ' x' || i % 3), 'n' || i % 4,
        array_agg(random() - 0.5)::vector
    FROM generate_series(1, 10000) AS i, generate_series(1, 24) GROUP BY i ORDER BY i;
-- rows of one value, zero vectors, and rows without a vector
UPDATE rc SET v = (SELECT v FROM rc WHERE id = 7) WHERE cat = 7 AND id > 5000;
UPDATE rc SET v = array_fill(0, '{24}')::vector WHERE cat = 8 AND id < 1000;
UPDATE rc SET v = NULL WHERE cat = 9 AND id < 2000;
CREATE INDEX rc_cat ON rc (cat);
CREATE INDEX rc_half ON rc (half);
CREATE INDEX rc_doc ON rc USING gin (doc);
VACUUM ANALYZE rc;
CREATE INDEX rc_v ON rc USING hnsw (v vector_l2_ops) WITH (seed = 5);
SET jit = off;
SET max_parallel_workers_per_gather = 0;
SET enable_seqscan = off;
SET vecann.enable_post_filter = off;
SET vecann.enable_bitmap_search = off;
SELECT v AS query FROM rc WHERE id = 4321 \gset

-- What a query returns, as lines: by a sort, by exact passes that read all rows, by bounds. And whether the last way has
-- read less than a third of the rows with bounds; NULL: there were none.
CREATE FUNCTION pg_temp.same(query text, OUT n_rows int, OUT plain text, OUT codes text, OUT few boolean) LANGUAGE plpgsql
SET enable_seqscan FROM CURRENT SET enable_indexscan FROM CURRENT SET vecann.enable_custom_scan FROM CURRENT
SET vecann.enable_row_codes FROM CURRENT SET enable_bitmapscan FROM CURRENT
AS $$
DECLARE
    truth text[]; got text[]; line text; bounded int; fetches int;
    ask text := format('SELECT array_agg(s::text) FROM (%s) AS s', query);
BEGIN
    SET LOCAL enable_indexscan = off;
    SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_seqscan = on;
    SET LOCAL vecann.enable_custom_scan = off;
    EXECUTE ask INTO truth;
    n_rows := cardinality(truth);
    SET LOCAL enable_indexscan = on;
    SET LOCAL enable_bitmapscan = on;
    SET LOCAL enable_seqscan = off;
    SET LOCAL vecann.enable_custom_scan = on;
    SET LOCAL vecann.enable_row_codes = off;
    EXECUTE ask INTO got;
    plain := CASE WHEN got IS NOT DISTINCT FROM truth THEN 'same' ELSE 'DIFFERS' END;
    SET LOCAL vecann.enable_row_codes = on;
    EXECUTE ask INTO got;
    codes := CASE WHEN got IS NOT DISTINCT FROM truth THEN 'same' ELSE 'DIFFERS' END;
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ' || query LOOP
        bounded := coalesce(substring(line FROM 'Rows Bounded by Codes: (.*)')::int, bounded);
        fetches := coalesce(substring(line FROM 'Heap Fetches: (.*)')::int, fetches);
    END LOOP;
    few := fetches < bounded / 3;
END $$;

-- ---- plans -------------------------------------------------------------------------------

EXPLAIN (COSTS OFF) SELECT id FROM rc WHERE cat = 3 ORDER BY v <-> '[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24]' LIMIT 10;
CREATE FUNCTION pg_temp.counts(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
        line := substring(line FROM '(Strategy: .*|Bitmap Rows: .*|Rows Bounded by Codes: .*|Codes Scored: .*|Stopped: .*)');
        IF line IS NOT NULL THEN RETURN NEXT line; END IF;
    END LOOP;
END $$;
SELECT * FROM pg_temp.counts(format('SELECT id FROM rc WHERE cat = 3 ORDER BY v <-> %L LIMIT 10', :'query'));
SELECT codes_scored > 0, pages_touched > 0, nodes_expanded = 0 FROM vecann_last_scan();
SET vecann.enable_row_codes = off;
SELECT * FROM pg_temp.counts(format('SELECT id FROM rc WHERE cat = 3 ORDER BY v <-> %L LIMIT 10', :'query'));
RESET vecann.enable_row_codes;

-- ---- answers -----------------------------------------------------------------------------

CREATE TABLE rc_ask (n serial, what text);
INSERT INTO rc_ask (what) SELECT format(what, 'v <-> ' || quote_literal(:'query')) FROM unnest(ARRAY[
    'SELECT %1$s, id FROM rc WHERE cat = 3 ORDER BY %1$s LIMIT 10',
    'SELECT %1$s, id FROM rc WHERE cat < 12 ORDER BY %1$s LIMIT 10',
    'SELECT %1$s, id FROM rc WHERE cat IN (3, 20) AND half = 1 ORDER BY %1$s LIMIT 3',
    'SELECT %1$s, id FROM rc WHERE doc @@ ''w5'' ORDER BY %1$s LIMIT 10',
    'SELECT %1$s, id FROM rc WHERE doc @@ ''x1'' AND cat = 21 ORDER BY %1$s LIMIT 10',
    'SELECT %1$s, id FROM rc WHERE doc @@ ''x1'' OR cat = 22 ORDER BY %1$s LIMIT 10',
    'SELECT %1$s, id FROM rc WHERE cat = 4 AND note = ''n0'' ORDER BY %1$s LIMIT 10',
    'SELECT %1$s, id FROM rc WHERE half = 1 AND note = ''n3'' ORDER BY %1$s, id LIMIT 10',
    'SELECT %1$s, id FROM rc WHERE half = 1 AND note = ''n1'' AND %1$s > 1.5 ORDER BY %1$s LIMIT 10',
    'SELECT %1$s, id FROM rc WHERE half = 1 AND %1$s < 1.3 ORDER BY %1$s, id',
    'SELECT %1$s, id FROM rc WHERE half = 1 AND %1$s <= 1.3 ORDER BY %1$s LIMIT 5',
    'SELECT %1$s, id FROM rc WHERE half = 1 AND %1$s < (SELECT NULL::float8) ORDER BY %1$s LIMIT 5',
    'SELECT %1$s, id FROM rc WHERE cat = 3 ORDER BY %1$s',
    'SELECT %1$s, id FROM rc WHERE cat = 3 ORDER BY %1$s LIMIT 10 OFFSET 85',
    'SELECT %1$s, id FROM rc WHERE cat = 9 ORDER BY %1$s, id',
    'SELECT %1$s, id FROM rc WHERE cat = 9 ORDER BY %1$s, id LIMIT 60',
    'SELECT %1$s, id FROM rc WHERE cat IN (7, 17) ORDER BY %1$s, id LIMIT 20',
    'SELECT %1$s, id FROM rc WHERE cat = 7 ORDER BY %1$s, id DESC LIMIT 70',
    'SELECT %1$s, id FROM rc WHERE cat = 8 ORDER BY %1$s, id LIMIT 30',
    'SELECT count(*), min(d), max(d) FROM (SELECT %1$s AS d FROM rc WHERE cat = 9 ORDER BY %1$s LIMIT 350) AS t',
    'SELECT * FROM (SELECT %1$s AS d, id FROM rc WHERE cat = 3 ORDER BY %1$s LIMIT 10 FOR UPDATE) AS t ORDER BY d',
    'SELECT id FROM rc WHERE cat = 3 ORDER BY v <-> (SELECT v FROM rc WHERE id = 77) LIMIT 4',
    'SELECT id FROM rc WHERE cat = 3 AND id < 100 ORDER BY v <-> NULL LIMIT 4']) AS what;
CREATE FUNCTION pg_temp.answers(numbers int[], pattern text DEFAULT '', other text DEFAULT '',
    OUT n int, OUT n_rows int, OUT plain text, OUT codes text, OUT bounded boolean) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT n, (s).n_rows, (s).plain, (s).codes, (s).few IS NOT NULL
    FROM (SELECT n, pg_temp.same(replace(what, pattern, other)) AS s FROM rc_ask WHERE n = ANY (numbers) OFFSET 0) AS t ORDER BY n;
$$;
SELECT * FROM pg_temp.answers((SELECT array_agg(n) FROM rc_ask));
SELECT n, (pg_temp.same(what)).few FROM rc_ask WHERE n IN (2, 6, 8, 9, 10, 11, 12) ORDER BY n;

-- Little memory: pages of the bitmap come in whole, and not all rows are kept.
CREATE FUNCTION pg_temp.lossy(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ' || query LOOP
        IF line ~ 'Bitmap Lossy Pages: [1-9]' THEN RETURN true; END IF;
    END LOOP;
    RETURN false;
END $$;
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SELECT n, pg_temp.lossy(what) FROM rc_ask WHERE n IN (2, 6, 8, 9, 10) ORDER BY n;
SELECT * FROM pg_temp.answers('{1,2,4,6,8,9,10,17}');
SELECT * FROM pg_temp.answers('{2,7,8}', 'LIMIT 10', ', id LIMIT 3000');
SELECT * FROM pg_temp.answers('{2,7,8}', 'LIMIT 10', ', id');
RESET work_mem;
RESET hash_mem_multiplier;

-- ---- rescans, cursors --------------------------------------------------------------------

CREATE TABLE rc_keys (k int, c int, q vector(24));
INSERT INTO rc_keys SELECT id, id % 12, v FROM rc WHERE id <= 30;
INSERT INTO rc_keys VALUES (31, 3, NULL), (32, NULL, (SELECT v FROM rc WHERE id = 1));
ANALYZE rc_keys;
SELECT n_rows, plain, codes FROM pg_temp.same('SELECT k, s.* FROM rc_keys, LATERAL (SELECT v <-> q AS d, id FROM rc WHERE cat = c ORDER BY v <-> q, id LIMIT 3) AS s '
    || 'WHERE q IS NOT NULL ORDER BY k, d, id');
SELECT n_rows, plain, codes FROM pg_temp.same('SELECT k, s.d FROM rc_keys, LATERAL (SELECT v <-> q AS d, id FROM rc WHERE cat = 7 ORDER BY v <-> q LIMIT 60) AS s ORDER BY k, d');

-- A cursor sees what its snapshot sees, whatever becomes of the rows that have not been read.
CREATE TABLE rc_truth AS SELECT row_number() OVER (ORDER BY d, id) AS n, id FROM (SELECT v <-> :'query' AS d, id FROM rc WHERE cat = 3) AS t;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM rc WHERE cat = 3 ORDER BY v <-> :'query';
MOVE 5 FROM c;
DELETE FROM rc WHERE cat = 3 AND id % 3 = 0;
UPDATE rc SET v = :'query' WHERE cat = 3 AND id % 3 = 1;
UPDATE rc SET note = 'hot' WHERE cat = 3 AND id % 3 = 2;
CREATE FUNCTION pg_temp.rest(c refcursor) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE ids int[]; r record;
BEGIN
    LOOP
        FETCH c INTO r;
        EXIT WHEN NOT FOUND;
        ids := ids || r.id;
    END LOOP;
    RETURN ids;
END $$;
SELECT pg_temp.rest('c') = (SELECT array_agg(id ORDER BY n) FROM rc_truth WHERE n > 5);
ROLLBACK;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM rc WHERE cat = 3 ORDER BY v <-> :'query';
SELECT array_agg(id ORDER BY n) AS first FROM rc_truth WHERE n IN (3, 4, 90) \gset
MOVE ABSOLUTE 2 FROM c;
FETCH c \gset third_
MOVE LAST FROM c;
FETCH ABSOLUTE 90 FROM c \gset ninetieth_
FETCH ABSOLUTE 4 FROM c \gset fourth_
SELECT ARRAY[:third_id, :fourth_id, :ninetieth_id] = :'first';
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM rc WHERE cat = 3 ORDER BY v <-> :'query' FOR UPDATE;
MOVE 2 FROM c;
UPDATE rc SET note = 'current' WHERE CURRENT OF c;
MOVE 1 FROM c;
DELETE FROM rc WHERE CURRENT OF c;
SELECT (SELECT note FROM rc WHERE id = (SELECT id FROM rc_truth WHERE n = 2)),
    EXISTS (SELECT FROM rc WHERE id = (SELECT id FROM rc_truth WHERE n = 3)) AS there;
ROLLBACK;

-- ---- a search that turns into an exact pass ------------------------------------------------

SET vecann.enable_post_filter = on;
CREATE FUNCTION pg_temp.tried(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ' || query LOOP
        line := substring(line FROM '(Search Tried First: .*|Switched: .*|Rows Bounded by Codes: .*)');
        IF line IS NOT NULL THEN RETURN NEXT regexp_replace(line, 'Codes: \d+', 'Codes: some'); END IF;
    END LOOP;
END $$;
SET hnsw.ef_search = 10;
SET cpu_index_tuple_cost = 0.1;
SELECT * FROM pg_temp.tried(format('SELECT id FROM rc WHERE cat = 5 ORDER BY v <-> %L LIMIT 10', :'query'));
RESET cpu_index_tuple_cost;
SELECT n, plain, codes FROM pg_temp.answers('{1,7,8,13,15,17,18}');
SET vecann.enable_post_filter = off;
RESET hnsw.ef_search;

-- ---- changes -----------------------------------------------------------------------------

CREATE FUNCTION pg_temp.change(round int) RETURNS void LANGUAGE sql AS $$
    DELETE FROM rc WHERE id % 20 = 3 + round;
    UPDATE rc SET v = (SELECT array_agg(random() - 0.5)::vector FROM generate_series(1, 24 + 0 * rc.id)) WHERE id % 20 = 4 + round;
    UPDATE rc SET v = NULL WHERE id % 200 = 5 + round;
    UPDATE rc SET note = 'hot' WHERE id % 20 = 6 + round;
    UPDATE rc SET cat = 3 WHERE id % 200 = 11 + round;
    INSERT INTO rc SELECT 10000 * round + i, i % 25, i % 2, to_tsvector('simple', 'w' || i % 90), 'new', array_agg(random() - 0.5)::vector
        FROM generate_series(1, 1000) AS i, generate_series(1, 24) GROUP BY i ORDER BY i;
$$;
SELECT pg_temp.change(1);
SELECT * FROM pg_temp.answers('{1,2,4,6,10,13,15,17,18}');
VACUUM rc;
SELECT * FROM pg_temp.answers('{1,2,4,6,10,13,15,17,18}');
-- Rows take the places of others.
SELECT pg_temp.change(2);
SELECT * FROM pg_temp.answers('{1,2,4,6,10,13,15,17,18}');
VACUUM rc;
SELECT * FROM pg_temp.answers('{1,2,4,6,10,13,15,17,18}');
BEGIN;
SAVEPOINT s;
UPDATE rc SET v = :'query' WHERE id % 50 = 3;
ROLLBACK TO s;
SELECT * FROM pg_temp.answers('{1,2,13}');
ROLLBACK;

-- ---- other distances, other types, other indexes ---------------------------------------------

DROP INDEX rc_v;
CREATE INDEX rc_v ON rc USING hnsw (v vector_ip_ops) WITH (seed = 5);
SELECT * FROM pg_temp.answers('{1,2,4,6,13,15,18,20}', '<->', '<#>');
DROP INDEX rc_v;
CREATE INDEX rc_v ON rc USING hnsw (v vector_cosine_ops) WITH (seed = 5);
SELECT * FROM pg_temp.answers('{1,2,4,6,13,15,18,19,20}', '<->', '<=>');
DROP INDEX rc_v;
CREATE INDEX rc_v ON rc USING hnsw (v vector_l2_ops) WITH (seed = 5) WHERE cat <> 3 AND half = 1;
SELECT * FROM pg_temp.answers('{8,9,10}', 'half = 1', 'cat <> 3 AND half = 1');
DROP INDEX rc_v;
CREATE INDEX rc_v ON rc USING hnsw ((v::halfvec(24)) halfvec_l2_ops) WITH (seed = 5);
SELECT * FROM pg_temp.answers('{1,2,4,13,15,18}', 'v <->', 'v::halfvec(24) <->');
DROP INDEX rc_v;
-- Squares of distances beyond and below what float32 has room for.
UPDATE rc SET v = v * array_fill(9e18::real, '{24}')::vector;
UPDATE rc_ask SET what = replace(what, :'query', (SELECT v::text FROM rc WHERE id = 4321));
CREATE INDEX rc_v ON rc USING hnsw (v vector_l2_ops) WITH (seed = 5);
SELECT * FROM pg_temp.answers('{1,2,3,4,6,20}');
DROP TABLE rc, rc_ask, rc_keys, rc_truth;

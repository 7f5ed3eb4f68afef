-- Every strategy for queries with conditions, in every kind of statement around it; and what rows a leaky function sees.

SELECT setseed(0.25);
CREATE TABLE fw (id int PRIMARY KEY, cat int, price int, note text, doc tsvector, v vector(5));
INSERT INTO fw SELECT i, i % 9, (i * 31) % 100, 'n' || i, to_tsvector('simple', 'w' || i % 7),
        array_agg(random() - 0.5)::vector
    FROM generate_series(1, 900) AS i, generate_series(1, 5) GROUP BY i;
CREATE INDEX fw_v ON fw USING hnsw (v vector_l2_ops);
CREATE INDEX fw_cat ON fw (cat);
CREATE INDEX fw_price ON fw (price);
CREATE INDEX fw_doc ON fw USING gin (doc);
CREATE TABLE fw_keys (k int, cats int[], v vector(5));
INSERT INTO fw_keys VALUES (1, '{2}', '[.1,.2,.3,.1,.2]'), (2, '{3,4}', '[0,0,0,0,0]'), (3, NULL, '[.1,0,0,0,0]'),
    (4, '{77}', '[.3,0,0,0,.1]'), (5, '{2,3,5}', '[0,0,0,0,.1]'), (6, '{8}', '[.2,.2,-.1,0,0]'), (7, '{2}', '[-.1,-.2,.3,.1,.2]');
CREATE TABLE fw_all (id int, cat int, kind int, v vector(2)) PARTITION BY LIST (cat);
CREATE TABLE fw_all_0 PARTITION OF fw_all FOR VALUES IN (0);
CREATE TABLE fw_all_1 (kind int, v vector(2), gone int, id int, cat int);
ALTER TABLE fw_all_1 DROP COLUMN gone;
ALTER TABLE fw_all ATTACH PARTITION fw_all_1 FOR VALUES IN (1);
INSERT INTO fw_all SELECT i, i % 2, i % 10, ARRAY[i, (i / 2) % 60]::vector FROM generate_series(1, 600) AS i;
CREATE INDEX ON fw_all USING hnsw (v vector_l2_ops);
CREATE INDEX ON fw_all (kind);
VACUUM ANALYZE fw, fw_keys, fw_all;
SET jit = off;
SET max_parallel_workers_per_gather = 0;
SET hnsw.ef_search = 1000;

-- Only one strategy remains; 'none' is a sequential scan and a sort.
CREATE FUNCTION fw_only(strategy text) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('vecann.enable_exact_search', (strategy = 'exact')::text, false),
        set_config('vecann.enable_bitmap_search', (strategy = 'bitmap search')::text, false),
        set_config('vecann.enable_post_filter', (strategy = 'post-filter')::text, false),
        set_config('enable_indexscan', (strategy <> 'none')::text, false),
        set_config('enable_seqscan', (strategy = 'none')::text, false),
        set_config('enable_sort', (strategy = 'none')::text, false);
$$;
-- The answers of a query, one line each; the strategies in its plan.
CREATE FUNCTION fw_rows(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line record; lines text := '';
BEGIN
    FOR line IN EXECUTE query LOOP lines := lines || line::text || ' '; END LOOP;
    RETURN lines;
END $$;
CREATE FUNCTION fw_plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; found text[] := '{}';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        found := found || substring(line FROM 'Strategy: (.*)');
    END LOOP;
    RETURN (SELECT string_agg(DISTINCT s, ' + ') FROM unnest(found) AS s);
END $$;
CREATE FUNCTION fw_cursor(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE c refcursor; r record; lines text := '';
BEGIN
    OPEN c SCROLL FOR EXECUTE query;
    FOR i IN 1..6 LOOP FETCH c INTO r; lines := lines || r::text; END LOOP;
    FETCH RELATIVE -3 FROM c INTO r; lines := lines || r::text;
    FETCH BACKWARD FROM c INTO r; lines := lines || r::text;
    FETCH ABSOLUTE 9 FROM c INTO r; lines := lines || r::text;
    FETCH LAST FROM c INTO r; lines := lines || r::text;
    FETCH PRIOR FROM c INTO r; lines := lines || r::text;
    FETCH FIRST FROM c INTO r; lines := lines || r::text;
    MOVE LAST IN c;
    FETCH NEXT FROM c INTO r; lines := lines || (r IS NULL)::text;
    CLOSE c;
    RETURN lines;
END $$;
-- A prepared query with a generic plan, for all keys.
CREATE FUNCTION fw_generic(query text) RETURNS text LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE key record; lines text := '';
BEGIN
    EXECUTE 'PREPARE fw_p(int[], vector, int) AS ' || query;
    FOR key IN SELECT * FROM fw_keys ORDER BY k LOOP
        lines := lines || key.k || ': ' || fw_rows(format('EXECUTE fw_p(%L, %L, %s)', key.cats, key.v, key.k));
    END LOOP;
    lines := lines || coalesce(fw_plan('EXECUTE fw_p(''{2}'', ''[1,1,1,1,1]'', 3)'), '');
    DEALLOCATE fw_p;
    RETURN lines;
END $$;
-- What a change returns, and what is left behind; nothing stays.
CREATE FUNCTION fw_change(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE lines text; plan text := fw_plan(query);
BEGIN
    BEGIN
        lines := fw_rows('WITH done AS (' || query || ') SELECT * FROM done ORDER BY 1');
        lines := lines || fw_rows('SELECT count(*), sum(hashtext(t::text)) FROM fw AS t')
            || fw_rows('SELECT count(*), sum(hashtext(t::text)) FROM fw_all AS t');
        RAISE EXCEPTION 'undo';
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
    RETURN lines || coalesce(plan, '');
END $$;
CREATE FUNCTION fw_current(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE c refcursor; r record; lines text;
BEGIN
    BEGIN
        OPEN c FOR EXECUTE query;
        FETCH c INTO r;
        FETCH c INTO r;
        UPDATE fw SET note = 'current' WHERE CURRENT OF c;
        FETCH c INTO r;
        DELETE FROM fw WHERE CURRENT OF c;
        FETCH c INTO r;
        CLOSE c;
        lines := r::text || fw_rows('SELECT count(*), sum(hashtext(t::text)) FROM fw AS t');
        RAISE EXCEPTION 'undo';
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
    RETURN lines;
END $$;
-- Does each strategy answer as a sort does? Which ones were in the plans?
CREATE FUNCTION fw_same(how text, query text, OUT exact text, OUT bitmap text, OUT post text) LANGUAGE plpgsql AS $$
DECLARE truth text; got text; plan text;
BEGIN
    -- A cursor over a sort has no current row.
    PERFORM fw_only(CASE how WHEN 'current' THEN 'exact' ELSE 'none' END);
    EXECUTE format('SELECT fw_%s(%L)', how, query) INTO truth;
    FOR i IN 1..3 LOOP
        plan := (ARRAY['exact', 'bitmap search', 'post-filter'])[i];
        PERFORM fw_only(plan);
        EXECUTE format('SELECT fw_%s(%L)', how, query) INTO got;
        IF how IN ('rows', 'cursor', 'current') THEN got := got || coalesce(fw_plan(query), ''); END IF;
        got := CASE got WHEN truth || plan THEN 'same' WHEN truth THEN 'other plan' ELSE 'DIFFERS ' || got || '/' || truth END;
        IF i = 1 THEN exact := got; ELSIF i = 2 THEN bitmap := got; ELSE post := got; END IF;
    END LOOP;
END $$;

SELECT s.* FROM unnest(ARRAY[
    'SELECT id FROM fw WHERE cat = ANY ($1) ORDER BY v <-> $2 LIMIT $3',
    'SELECT id, v <-> $2 FROM fw WHERE cat = $3 AND price < 60 ORDER BY v <-> $2 LIMIT 4',
    'SELECT id FROM fw WHERE price < $3 * 10 AND cat <> ALL ($1) ORDER BY $2 <-> v, id LIMIT 5'
    ]) WITH ORDINALITY AS a(q, n), fw_same('generic', q) AS s ORDER BY n;

SELECT s.* FROM unnest(ARRAY[
    -- rescans, with conditions and queries that change
    'SELECT k, n.id FROM fw_keys, LATERAL (SELECT id FROM fw WHERE cat = ANY (cats) ORDER BY v <-> fw_keys.v LIMIT 3) AS n
         ORDER BY 1, 2',
    'SELECT k, n.id, n.d FROM fw_keys LEFT JOIN LATERAL (SELECT id, v <-> fw_keys.v AS d FROM fw WHERE cat = k AND price > 20
         ORDER BY v <-> fw_keys.v LIMIT 2) AS n ON n.d < 0.6 ORDER BY 1, 2',
    'SELECT k, (SELECT id FROM fw WHERE cat = k ORDER BY v <-> fw_keys.v LIMIT 1) FROM fw_keys ORDER BY 1',
    'SELECT k, n.id FROM fw_keys, LATERAL (SELECT id FROM fw WHERE cat = 4 ORDER BY v <-> fw_keys.v LIMIT 3) AS n
         ORDER BY 1, 2',
    -- conditions out of queries
    'SELECT id FROM fw WHERE cat = ANY (ARRAY(SELECT k FROM fw_keys WHERE k < 4)) ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 9',
    'SELECT id FROM fw WHERE cat = (SELECT max(k) FROM fw_keys) ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 9',
    'SELECT id FROM fw WHERE price < 40 AND cat IN (SELECT k FROM fw_keys WHERE k < 4) ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 9',
    'SELECT id FROM fw WHERE price < 40 AND NOT EXISTS (SELECT FROM fw_keys WHERE k = cat) ORDER BY v <-> ''[.1,.1,.1,0,0]''
         LIMIT 9',
    'SELECT id FROM fw WHERE id IN (SELECT id FROM fw WHERE cat = 3 ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 5) ORDER BY 1',
    -- further keys
    'SELECT id FROM fw WHERE cat = 3 ORDER BY v <-> ''[.1,.1,.1,0,0]'', id LIMIT 9',
    'SELECT id FROM fw WHERE cat IN (3, 4) ORDER BY v <-> ''[.1,.1,.1,0,0]'', price DESC, note LIMIT 9 OFFSET 4',
    'SELECT id FROM fw_all WHERE kind IN (2, 3) ORDER BY v <-> ''[90.5,22]'', id DESC LIMIT 40',
    -- partitions
    'SELECT id, tableoid::regclass FROM fw_all WHERE kind IN (2, 3) ORDER BY v <-> ''[90.5,22]'' LIMIT 40',
    'SELECT id FROM fw_all WHERE kind = 4 AND cat = 0 ORDER BY v <-> ''[90.5,22]'' LIMIT 7',
    'SELECT k, n.id FROM fw_keys, LATERAL (SELECT id FROM fw_all WHERE kind = k ORDER BY v <-> (ARRAY[k * 9.1, k * 3])::vector
         LIMIT 2) AS n ORDER BY 1, 2'
    ]) WITH ORDINALITY AS a(q, n), fw_same('rows', q) AS s ORDER BY n;

SELECT s.* FROM unnest(ARRAY[
    'SELECT id FROM fw WHERE cat = 3 ORDER BY v <-> ''[.1,.1,.1,0,0]''',
    'SELECT id, note FROM fw WHERE cat = 3 AND price > 30 AND doc @@ ''w1 | w3 | w5'' ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 15'
    ]) WITH ORDINALITY AS a(q, n), fw_same('cursor', q) AS s ORDER BY n;
SELECT s.* FROM fw_same('current', 'SELECT id FROM fw WHERE cat = 3 ORDER BY v <-> ''[.1,.1,.1,0,0]''') AS s;

SELECT s.* FROM unnest(ARRAY[
    'UPDATE fw SET note = ''near'' FROM (SELECT id AS k FROM fw WHERE cat = 3 ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 4) AS s
         WHERE id = k RETURNING id',
    'UPDATE fw SET cat = 3, v = ''[.1,.1,.1,0,0]'' WHERE id IN (SELECT id FROM fw WHERE cat = 3 ORDER BY v <-> ''[.1,.1,.1,0,0]''
         LIMIT 4) RETURNING id',
    'DELETE FROM fw USING (SELECT id AS k FROM fw WHERE cat = 3 ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 4) AS s
         WHERE id = k RETURNING id',
    'DELETE FROM fw WHERE ctid = ANY (ARRAY(SELECT ctid FROM fw WHERE cat IN (3, 5) ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 4))
         RETURNING id',
    'INSERT INTO fw SELECT id + 10000, cat, price, note, doc, v FROM fw WHERE cat = 3 ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 4
         RETURNING id',
    'UPDATE fw_all SET cat = 1 - cat FROM (SELECT id AS k FROM fw_all WHERE kind = 3 ORDER BY v <-> ''[90.5,22]'' LIMIT 4) AS s
         WHERE id = k RETURNING id'
    ]) WITH ORDINALITY AS a(q, n), fw_same('change', q) AS s ORDER BY n;

-- ---- an order of several keys ------------------------------------------------------------------

-- the same plan on every version of the server
SELECT fw_only('exact');
EXPLAIN (COSTS OFF) SELECT id FROM fw WHERE cat = 3 ORDER BY v <-> '[.1,.1,.1,0,0]', id LIMIT 5;
RESET vecann.enable_exact_search;
RESET vecann.enable_bitmap_search;
RESET vecann.enable_post_filter;
EXPLAIN (COSTS OFF) SELECT id FROM fw ORDER BY v <-> '[.1,.1,.1,0,0]', note DESC, id LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM fw_all ORDER BY v <-> '[90.5,22]', id LIMIT 5;
SET vecann.enable_custom_scan = off;
EXPLAIN (COSTS OFF) SELECT id FROM fw ORDER BY v <-> '[.1,.1,.1,0,0]', note DESC, id LIMIT 5;
RESET vecann.enable_custom_scan;
-- another first key, another direction
EXPLAIN (COSTS OFF) SELECT id FROM fw ORDER BY id, v <-> '[.1,.1,.1,0,0]' LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM fw ORDER BY v <-> '[.1,.1,.1,0,0]' DESC, id LIMIT 5;
-- groups of equal distances
CREATE TABLE fw_ties (id int, v vector(2));
INSERT INTO fw_ties SELECT i, ARRAY[i % 5, 0]::vector FROM generate_series(500, 1, -1) AS i;
CREATE INDEX fw_ties_v ON fw_ties USING hnsw (v vector_l2_ops);
ANALYZE fw_ties;
SELECT array_agg(id) FROM (SELECT id FROM fw_ties ORDER BY v <-> '[1.4,0]', id LIMIT 5) AS s;
SELECT array_agg(id) FROM (SELECT id FROM fw_ties WHERE id > 20 ORDER BY v <-> '[1.4,0]', id DESC LIMIT 5 OFFSET 98) AS s;
SELECT count(*), bool_and((d, id) > (d_before, before)) FROM (
    SELECT id, d, lag(d) OVER () AS d_before, lag(id) OVER () AS before FROM (
        SELECT id, v <-> '[1.4,0]' AS d FROM fw_ties ORDER BY d, id LIMIT 400) AS s) AS t WHERE before IS NOT NULL;
SELECT array_agg(id) FROM (SELECT DISTINCT ON (v <-> '[1.4,0]') id FROM fw_ties ORDER BY v <-> '[1.4,0]', id LIMIT 3) AS s;
SELECT count(*), min(id) FROM (SELECT id FROM fw_ties ORDER BY v <-> '[1.4,0]' FETCH FIRST 1 ROW WITH TIES) AS s;

-- ---- rows of one value: a post-filter reads them when it needs them -----------------------------------

CREATE FUNCTION fw_fetches(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
        IF line ~ 'Heap Fetches' THEN RETURN substring(line FROM '\d+'); END IF;
    END LOOP;
END $$;
TRUNCATE fw_ties;
INSERT INTO fw_ties SELECT i, ARRAY[i / 1000, 0]::vector FROM generate_series(0, 19999) AS i;
VACUUM ANALYZE fw_ties;
SET hnsw.ef_search = 20;
SELECT fw_only('post-filter');
SELECT fw_fetches('SELECT id FROM fw_ties WHERE id % 2 = 1 ORDER BY v <-> ''[3,0]'' LIMIT 5') < 300 AS few;
SELECT array_agg(id) FROM (SELECT id FROM fw_ties WHERE id % 2 = 1 ORDER BY v <-> '[3,0]' LIMIT 5) AS s;
SELECT count(*), count(DISTINCT id), bool_and(id % 2 = 1), min(id), max(id) FROM (
    SELECT id FROM fw_ties WHERE id % 2 = 1 ORDER BY v <-> '[3,0]' LIMIT 1500) AS s;
-- the nearest node has none that pass
SELECT array_agg(id) FROM (SELECT id FROM fw_ties WHERE id % 1000 >= 500 AND id NOT BETWEEN 3000 AND 3998
    ORDER BY v <-> '[3.1,0]' LIMIT 3) AS s;

-- ---- a post-filter that meets fewer rows than planned takes the bitmap ---------------------------------------

CREATE TABLE fw_far (id int, kind int, v vector(3));
INSERT INTO fw_far SELECT i, (i < 4000)::int, ARRAY[i / 20, i % 20, 1]::vector FROM generate_series(1, 6000) AS i;
CREATE INDEX fw_far_v ON fw_far USING hnsw (v vector_l2_ops);
CREATE INDEX fw_far_kind ON fw_far (kind);
VACUUM ANALYZE fw_far;
CREATE FUNCTION fw_switched(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; found text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
        found := found || coalesce(substring(line FROM '(Strategy: .*)') || '; ', '')
            || coalesce(substring(line FROM '(Switched: .*)'), '');
    END LOOP;
    RETURN found;
END $$;
SET vecann.enable_bitmap_search = on;
SELECT fw_switched('SELECT id FROM fw_far WHERE kind = 1 ORDER BY v <-> ''[300,0,1]'' LIMIT 5');
SELECT array_agg(id ORDER BY id) FROM (SELECT id FROM fw_far WHERE kind = 1 ORDER BY v <-> '[300,0,1]' LIMIT 5) AS s;
SET vecann.enable_exact_search = on;
SELECT fw_switched('SELECT id FROM fw_far WHERE kind = 1 ORDER BY v <-> ''[300,0,1]'' LIMIT 5');
SELECT array_agg(id ORDER BY id) FROM (SELECT id FROM fw_far WHERE kind = 1 ORDER BY v <-> '[300,0,1]' LIMIT 5) AS s;
RESET hnsw.ef_search;

-- ---- leaky functions ---------------------------------------------------------------------------------

SET hnsw.ef_search = 1000;
CREATE ROLE regress_fw;
GRANT SELECT, UPDATE, DELETE ON fw TO regress_fw;
GRANT SELECT ON fw_keys TO regress_fw;
-- tells of rows that it should not see: those of other categories than 4 and 5
CREATE FUNCTION fw_leak(cat int, what anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
    IF cat NOT IN (4, 5) THEN RAISE NOTICE 'saw % of %', what, cat; END IF;
    RETURN true;
END $$;
CREATE FUNCTION fw_leak_eq(int, int) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
    IF $1 NOT IN (4, 5) THEN RAISE NOTICE 'compared %', $1; END IF;
    RETURN $1 = $2;
END $$;
CREATE OPERATOR === (FUNCTION = fw_leak_eq, LEFTARG = int, RIGHTARG = int);
CREATE OPERATOR CLASS fw_leak_ops FOR TYPE int USING hash AS OPERATOR 1 ===, FUNCTION 1 hashint4(int);
CREATE INDEX fw_cat_hash ON fw USING hash (cat fw_leak_ops);
ALTER TABLE fw ENABLE ROW LEVEL SECURITY;
CREATE POLICY fw_some ON fw USING (cat IN (4, 5));
CREATE VIEW fw_barrier WITH (security_barrier) AS SELECT * FROM fw WHERE cat IN (4, 5);
GRANT SELECT, UPDATE, DELETE ON fw_barrier TO regress_fw;
-- How many rows come, are they all of those that may be seen, and the plan.
CREATE FUNCTION fw_seen(query text, OUT plan text, OUT n_rows bigint, OUT allowed boolean) LANGUAGE plpgsql AS $$
BEGIN
    plan := fw_plan(query);
    EXECUTE 'SELECT count(*), bool_and(cat IN (4, 5)) FROM (' || query || ') AS s' INTO n_rows, allowed;
END $$;
CREATE TABLE fw_asked (n int, query text);
GRANT SELECT ON fw_asked TO regress_fw;
INSERT INTO fw_asked VALUES
    (1, 'SELECT cat FROM %s WHERE fw_leak(cat, id) ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 20'),
    (2, 'SELECT cat FROM %s WHERE fw_leak(cat, id) AND price < 40 ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 20'),
    (3, 'SELECT cat FROM %s WHERE fw_leak(cat, note) AND doc @@ ''w3'' ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 20'),
    (4, 'SELECT cat FROM %s WHERE fw_leak(cat, v <-> ''[.1,.1,.1,0,0]'') ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 20'),
    (5, 'SELECT cat FROM %s WHERE cat === 4 ORDER BY v <-> ''[.1,.1,.1,0,0]'' LIMIT 20'),
    (6, 'SELECT cat FROM %s WHERE fw_leak(cat, id) ORDER BY v <-> ''[.1,.1,.1,0,0]'', id LIMIT 20'),
    (7, 'SELECT n.cat FROM fw_keys, LATERAL (SELECT cat FROM %s WHERE fw_leak(cat, id) AND price < k * 10
             ORDER BY v <-> fw_keys.v LIMIT 3) AS n');
SET ROLE regress_fw;
SELECT fw_only('exact');
SELECT n, s.* FROM fw_asked, fw_seen(format(query, 'fw')) AS s ORDER BY n;
SELECT fw_only('bitmap search');
SELECT n, s.* FROM fw_asked, fw_seen(format(query, 'fw')) AS s ORDER BY n;
SELECT fw_only('post-filter');
SELECT n, s.* FROM fw_asked, fw_seen(format(query, 'fw')) AS s ORDER BY n;
SELECT fw_only('exact');
-- changes
BEGIN;
UPDATE fw SET price = -1 WHERE id IN (SELECT id FROM fw WHERE fw_leak(cat, id) AND price < 40
    ORDER BY v <-> '[.1,.1,.1,0,0]' LIMIT 4);
SELECT count(*), bool_and(cat IN (4, 5)) FROM fw WHERE price = -1;
ROLLBACK;
RESET ROLE;
DROP POLICY fw_some ON fw;
ALTER TABLE fw DISABLE ROW LEVEL SECURITY;
SET ROLE regress_fw;
-- (the server takes no index for an order that is asked of such a view from outside)
SELECT n, s.* FROM fw_asked, fw_seen(format(query, 'fw_barrier')) AS s ORDER BY n;
RESET ROLE;
-- a view that has the order itself
CREATE VIEW fw_near WITH (security_barrier) AS SELECT id, cat, note FROM fw WHERE cat IN (4, 5) AND price < 70
    ORDER BY v <-> '[.1,.1,.1,0,0]' LIMIT 20;
GRANT SELECT ON fw_near TO regress_fw;
SET ROLE regress_fw;
SELECT fw_only('exact');
SELECT s.* FROM fw_seen('SELECT cat FROM fw_near WHERE fw_leak(cat, id) AND cat === 4') AS s;
SELECT fw_only('bitmap search');
SELECT s.* FROM fw_seen('SELECT cat FROM fw_near WHERE fw_leak(cat, id) AND cat === 4') AS s;
SELECT fw_only('post-filter');
SELECT s.* FROM fw_seen('SELECT cat FROM fw_near WHERE fw_leak(cat, id) AND cat === 4') AS s;
RESET ROLE;
-- a policy that asks another table
ALTER TABLE fw ENABLE ROW LEVEL SECURITY;
CREATE POLICY fw_asks ON fw USING (cat = ANY (ARRAY(SELECT c FROM fw_keys, unnest(cats) AS c WHERE k = 2)) OR cat = 5);
UPDATE fw_keys SET cats = '{4}' WHERE k = 2;
SET ROLE regress_fw;
SELECT fw_only('exact');
SELECT n, s.* FROM fw_asked, fw_seen(format(query, 'fw')) AS s WHERE n < 4 ORDER BY n;
RESET ROLE;

RESET ALL;
DROP VIEW fw_barrier, fw_near;
DROP TABLE fw, fw_keys, fw_all, fw_ties, fw_far, fw_asked;
DROP ROLE regress_fw;
DROP OPERATOR CLASS fw_leak_ops USING hash;
DROP OPERATOR FAMILY fw_leak_ops USING hash;
DROP OPERATOR === (int, int);
DROP FUNCTION fw_only, fw_rows, fw_plan, fw_cursor, fw_generic, fw_change, fw_current, fw_same, fw_fetches, fw_switched,
    fw_leak, fw_leak_eq, fw_seen;

-- What the planner takes a condition on a GIN index to leave: by the index, where statistics do not tell.
CREATE SCHEMA filter_gin;
SET search_path = filter_gin, public;

-- k: 200 values, half: 2, id: all different, so that no statistics tell of a document. Some words and numbers likewise.
CREATE TABLE t (id int, v vector(8), j jsonb, words tsvector, numbers int[]);
INSERT INTO t SELECT i, ARRAY[sin(i), cos(i), sin(2 * i), cos(3 * i), sin(5 * i), cos(7 * i), sin(i / 9.0), 1]::vector,
    jsonb_build_object('id', i, 'k', 'k' || i % 200, 'half', 'h' || i % 2),
    array_to_tsvector(ARRAY['a' || i % 200, 'b' || i % 50, 'c' || i % 2]), ARRAY[i % 200, 1000 + i % 50, 2000 + i % 2]
    FROM generate_series(1, 20000) i;
CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops);
CREATE INDEX t_j ON t USING gin (j jsonb_path_ops);
CREATE INDEX t_words ON t USING gin (words);
CREATE INDEX t_numbers ON t USING gin (numbers);

-- Rows that the planner expects of the table.
CREATE FUNCTION expected(condition text, source text DEFAULT 't') RETURNS float8
LANGUAGE plpgsql AS $$
DECLARE plan jsonb;
BEGIN
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT id FROM %s WHERE %s ORDER BY v <-> ''[0,1,0,1,0,1,0,1]'' LIMIT 10', source, condition)
        INTO plan;
    RETURN jsonb_path_query_first(plan, '$.** ? (@."Relation Name" == "t")."Plan Rows"')::float8;
END $$;
-- ... and that there are: between the two factors of them?
CREATE FUNCTION is_near(condition text, low float8 DEFAULT 0.6, high float8 DEFAULT 1.6) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE n float8; e float8 := expected(condition);
BEGIN
    EXECUTE format('SELECT count(*) FROM t WHERE %s', condition) INTO n;
    RETURN CASE WHEN e BETWEEN n * low AND n * high THEN 'near' ELSE format('%s of %s', e, n) END;
END $$;

-- with statistics and without
SELECT condition, is_near(condition) FROM unnest(ARRAY[
    $$j @> '{"k": "k7"}'$$, $$j @> '{"half": "h1"}'$$, $$j @> '{"id": 17}'$$,
    $$words @@ 'a7'$$, $$words @@ 'c1'$$, $$numbers @> '{7}'$$, $$numbers @> '{2001}'$$]) AS condition;
SELECT is_near($$j @> '{"id": -1}'$$, 0, 1), expected($$j @> '{"id": -1}'$$) AS at_least_one;
ANALYZE t;
SELECT condition, is_near(condition) FROM unnest(ARRAY[
    $$j @> '{"k": "k7"}'$$, $$j @> '{"half": "h1"}'$$, $$j @> '{"id": 17}'$$, $$j @> '{"k": "k7", "half": "h1"}'$$,
    $$words @@ 'a7'$$, $$words @@ 'c1'$$, $$numbers @> '{7}'$$, $$numbers @> '{2001}'$$,
    $$j @> '{"k": "k7"}' AND id > 10000$$, $$j @> '{"k": "k7"}' OR id = 3$$]) AS condition;

-- Keys, any of which will do, and keys that have nothing to do with each other.
SELECT is_near($$numbers && '{7, 8}'$$), is_near($$words @@ 'a7 | a8'$$), is_near($$words @@ 'a7 & (b7 | b8)'$$, 0, 2);
-- Keys that do not tell: their beginnings, no keys at all, what must not be there. The server's own estimate stays.
CREATE FUNCTION as_server(condition text) RETURNS bool LANGUAGE plpgsql SET vecann.enable_custom_scan = off AS $$
BEGIN
    RETURN expected(condition) = current_setting('filter_gin.expected')::float8;
END $$;
SELECT condition, set_config('filter_gin.expected', expected(condition)::text, false) IS NOT NULL AND as_server(condition)
    AS "as the server's"
FROM unnest(ARRAY[$$words @@ 'a7:*'$$, $$words @@ '!a7'$$, $$numbers <@ '{7}'$$, $$numbers @> '{}'$$, $$j @> '{}'$$]) AS condition;
SELECT count(*) FROM (SELECT FROM t WHERE j @> NULL ORDER BY v <-> '[0,1,0,1,0,1,0,1]' LIMIT 10) AS none;

-- All keys and values, in place of hashes of their paths.
DROP INDEX t_j;
CREATE INDEX t_j ON t USING gin (j);
SELECT is_near($$j @> '{"k": "k7"}'$$), is_near($$j ? 'half'$$), is_near($$j ?| '{half, other}'$$), is_near($$j ? 'other'$$, 0);
-- Of an expression, of two columns, and what waits to be put into the index.
DROP INDEX t_j;
CREATE INDEX t_j ON t USING gin (numbers, (j -> 'k')) WITH (fastupdate = on);
SELECT is_near($$(j -> 'k') ? 'k7'$$);
INSERT INTO t SELECT id + 20000, v, j, words, numbers FROM t WHERE id <= 1000;
SELECT is_near($$(j -> 'k') ? 'k7'$$, 0.5, 2);

-- Keys that stand for a part of the condition say how many rows there are at most, and no more.
CREATE INDEX t_path ON t USING gin (j jsonb_path_ops);
SELECT expected($$j @@ '$.half == "h1" && $.id > 100000'$$) < 5000 AS few, expected($$j @@ '$.k == "k7" && $.id > 0'$$) < 300 AS few_too;
DROP INDEX t_path;

-- Parameters: known to a plan for one execution only.
DROP INDEX t_j;
CREATE INDEX t_j ON t USING gin (j jsonb_path_ops);
PREPARE by_k (jsonb) AS SELECT id FROM t WHERE j @> $1 ORDER BY v <-> '[0,1,0,1,0,1,0,1]', id LIMIT 3;
SET plan_cache_mode = force_custom_plan;
EXECUTE by_k ('{"k": "k7"}');
SET plan_cache_mode = force_generic_plan;
EXECUTE by_k ('{"k": "k7"}');
RESET plan_cache_mode;
-- The answer is that of the exact order.
SELECT count(*) FROM (
    (SELECT id FROM t WHERE j @> '{"k": "k9"}' ORDER BY v <-> '[0,1,0,1,0,1,0,1]' LIMIT 200) EXCEPT
    SELECT id FROM t WHERE j ->> 'k' = 'k9') AS others;

-- Who sees a part of the rows is not told how many there are.
CREATE ROLE regress_gin_reader;
GRANT USAGE ON SCHEMA filter_gin TO regress_gin_reader;
GRANT SELECT ON t TO regress_gin_reader;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY part ON t USING (id <= 100);
SET ROLE regress_gin_reader;
SELECT expected($$j @> '{"half": "h1"}'$$) = expected($$j @> '{"id": -1}'$$) AS "tells nothing";
RESET ROLE;
DROP POLICY part ON t;
ALTER TABLE t DISABLE ROW LEVEL SECURITY;
-- ... nor by the table of which it is a partition.
CREATE TABLE secret (LIKE t) PARTITION BY RANGE (id);
ALTER TABLE secret ATTACH PARTITION t FOR VALUES FROM (0) TO (100000);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY part ON secret USING (id <= 100);
GRANT SELECT ON secret TO regress_gin_reader;
SELECT expected($$j @> '{"half": "h1"}'$$, 'secret') > expected($$j @> '{"id": -1}'$$, 'secret') AS "the owner is told";
SET ROLE regress_gin_reader;
SELECT expected($$j @> '{"half": "h1"}'$$, 'secret') = expected($$j @> '{"id": -1}'$$, 'secret') AS "tells nothing";
RESET ROLE;
ALTER TABLE secret DETACH PARTITION t;
DROP TABLE secret;

-- In parallel, as a partition, below a join.
CREATE TABLE parts (LIKE t) PARTITION BY RANGE (id);
ALTER TABLE parts ATTACH PARTITION t FOR VALUES FROM (0) TO (100000);
SELECT count(*) FROM (SELECT id FROM parts WHERE j @> '{"k": "k7"}' ORDER BY v <-> '[0,1,0,1,0,1,0,1]' LIMIT 200) AS p;
SELECT count(*) FROM (SELECT t.id FROM t JOIN generate_series(1, 30000) AS g ON g = t.id WHERE t.j @> '{"k": "k7"}'
    ORDER BY t.v <-> '[0,1,0,1,0,1,0,1]' LIMIT 200) AS p;

SELECT indexname FROM pg_indexes AS i, vecann_verify('t_v') WHERE indexname = 't_v';

-- A posting tree whose first leaves VACUUM has left thin, or empty; and one of nothing else.
CREATE TABLE old (id int, v vector(8), j jsonb);
INSERT INTO old SELECT i, ARRAY[sin(i), cos(i), 0, 0, 0, 0, 0, 1]::vector, '{"all": 1}' FROM generate_series(1, 40000) i;
CREATE INDEX old_v ON old USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8);
CREATE INDEX old_j ON old USING gin (j jsonb_path_ops);
ANALYZE old;
DELETE FROM old WHERE id <= 15000;
VACUUM old;
SELECT count(*) FROM (SELECT id FROM old WHERE j @> '{"all": 1}' ORDER BY v <-> '[0,1,0,0,0,0,0,1]' LIMIT 10) AS s;
DELETE FROM old WHERE id <= 39990;
VACUUM old;
SELECT count(*) FROM (SELECT id FROM old WHERE j @> '{"all": 1}' ORDER BY v <-> '[0,1,0,0,0,0,0,1]' LIMIT 20) AS s;
DELETE FROM old;
VACUUM old;
SELECT count(*) FROM (SELECT id FROM old WHERE j @> '{"all": 1}' ORDER BY v <-> '[0,1,0,0,0,0,0,1]' LIMIT 10) AS s;
-- Rows that all wait in the pending list.
CREATE TABLE waiting (id int, v vector(8), j jsonb);
CREATE INDEX waiting_v ON waiting USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8);
CREATE INDEX waiting_j ON waiting USING gin (j jsonb_path_ops) WITH (fastupdate = on, gin_pending_list_limit = 100000);
INSERT INTO waiting SELECT i, ARRAY[sin(i), cos(i), 0, 0, 0, 0, 0, 1]::vector, '{"all": 1}' FROM generate_series(1, 2000) i;
ANALYZE waiting;
CREATE FUNCTION rows_waiting() RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT id FROM waiting WHERE j @> ''{"all": 1}'' ORDER BY v <-> ''[0,1,0,0,0,0,0,1]'' LIMIT 10'
        INTO plan;
    RETURN jsonb_path_query_first(plan, '$.** ? (@."Relation Name" == "waiting")."Plan Rows"')::float8;
END $$;
SELECT rows_waiting() BETWEEN 1500 AND 2500 AS "all of them";
DROP SCHEMA filter_gin CASCADE;
DROP ROLE regress_gin_reader;

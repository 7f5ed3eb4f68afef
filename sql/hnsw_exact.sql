-- Payloads that hold the very values: answers equal the table's own to the last bit, whatever mix of values there is.
-- Rows of one value are read when their turn comes.
SET enable_seqscan = off;
SET hnsw.ef_search = 400;

-- rows whose distance in an index scan is not what the table says, and rows out of order among the first fifty.
-- L1 has no seeds: of groups of rows far from each other one may be met late.
CREATE FUNCTION pg_temp.differences(tab text, op text, query vector) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
    q text := format('SELECT row_number() OVER () AS place, id, d FROM (SELECT id, v %s %L AS d FROM %I WHERE v IS NOT NULL
        ORDER BY v %s %L) AS s', op, query, tab, op, query);
BEGIN
    CREATE TEMP TABLE by_index AS SELECT 0::bigint AS place, 0 AS id, 0::float8 AS d LIMIT 0;
    EXECUTE 'INSERT INTO by_index ' || q;
    SET LOCAL enable_seqscan = on;
    SET LOCAL enable_indexscan = off;
    SET LOCAL vecann.enable_custom_scan = off;
    EXECUTE 'SELECT count(*) FROM by_index FULL JOIN (' || q || ') AS t USING (id)
        WHERE t.d IS DISTINCT FROM by_index.d' INTO n;
    SELECT n + count(*) INTO n FROM by_index AS a JOIN by_index AS b ON b.place = a.place + 1
        WHERE b.place <= 50 AND b.d < a.d AND op <> '<+>';
    DROP TABLE by_index;
    SET LOCAL enable_seqscan = off;
    RESET enable_indexscan;
    RESET vecann.enable_custom_scan;
    RETURN n;
END $$;

-- kind 0: whole numbers, 1: halves, 2: neither, 3: far from zero, 4: too large, 5: zero
CREATE TABLE exact_values (id int, kind int, v vector(12));
CREATE FUNCTION pg_temp.fill(first int, last int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO exact_values SELECT i, i % 6, ARRAY(SELECT CASE i % 6
        WHEN 0 THEN (i * k * 7919) % 256 WHEN 1 THEN ((i * k * 104729) % 200) / 2.0 WHEN 2 THEN sin(i * k) * 100
        WHEN 3 THEN 4000000 + (i * k) % 200 WHEN 4 THEN (i * k) * 3e33 ELSE 0 END
        FROM generate_series(1, 12) AS k)::vector FROM generate_series(first, last) AS i $$;

DO $$
DECLARE
    payload text;
    class text;
    op text;
    built record;
BEGIN
    FOREACH payload IN ARRAY ARRAY['sq8', 'float16', 'float32'] LOOP
        FOR class, op IN VALUES ('vector_l2_ops', '<->'), ('vector_ip_ops', '<#>'), ('vector_l1_ops', '<+>'),
                                ('vector_cosine_ops', '<=>') LOOP
            TRUNCATE exact_values;
            PERFORM pg_temp.fill(1, 300);
            EXECUTE format('CREATE INDEX exact_values_v ON exact_values USING hnsw (v %s) WITH (payload = %s)', class, payload);
            -- some built, some inserted
            PERFORM pg_temp.fill(301, 480);
            UPDATE exact_values SET v = v + v WHERE id % 20 = 0 AND kind <> 4;
            DELETE FROM exact_values WHERE id % 9 = 0 OR (kind = 5 AND class = 'vector_cosine_ops');
            FOR built IN SELECT v FROM exact_values WHERE id IN (6, 7, 8, 21, 350, 351) OR (kind = 5 AND id < 12) LOOP
                IF pg_temp.differences('exact_values', op, built.v) <> 0 THEN
                    RAISE NOTICE '% %: % differences at %', payload, class,
                        pg_temp.differences('exact_values', op, built.v), built.v;
                END IF;
            END LOOP;
            IF (SELECT problems FROM vecann_verify('exact_values_v')) <> '{}' THEN
                RAISE NOTICE '% %: %', payload, class, (SELECT problems FROM vecann_verify('exact_values_v'));
            END IF;
            DROP INDEX exact_values_v;
        END LOOP;
    END LOOP;
END $$;

-- rows fetched for a query
CREATE FUNCTION pg_temp.fetches(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || query INTO plan;
    RETURN jsonb_path_query_first(plan::jsonb, '$.**."Heap Fetches"')::int;
END $$;

-- a thousand rows of one value: few are read for few
CREATE TABLE exact_many (id int, v vector(4));
INSERT INTO exact_many SELECT i, CASE WHEN i <= 1000 THEN '[0.3,0.1,0.4,0.1]' ELSE format('[%s,1,%s,2]', i, i % 7) END::vector
    FROM generate_series(1, 1300) AS i;
CREATE INDEX exact_many_l2 ON exact_many USING hnsw (v vector_l2_ops);
SELECT pg_temp.fetches($$SELECT id FROM exact_many ORDER BY v <-> '[0.3,0.1,0.4,0.2]' LIMIT 10$$) < 20 AS few;
SELECT count(*), min(id), max(id) FROM (SELECT id FROM exact_many ORDER BY v <-> '[0.3,0.1,0.4,0.2]' LIMIT 1000) AS s;
SELECT id FROM exact_many WHERE id > 995 ORDER BY v <-> '[0.3,0.1,0.4,0.2]' LIMIT 6;
DELETE FROM exact_many WHERE id <= 900;
SELECT count(*), min(id), max(id) FROM (SELECT id FROM exact_many ORDER BY v <-> '[0.3,0.1,0.4,0.2]' LIMIT 100) AS s;
VACUUM exact_many;
SELECT count(*), min(id), max(id) FROM (SELECT id FROM exact_many ORDER BY v <-> '[0.3,0.1,0.4,0.2]' LIMIT 100) AS s;
SELECT problems FROM vecann_verify('exact_many_l2');
DROP INDEX exact_many_l2;

-- under cosine, multiples of a vector share a node, and differ in the last bits: they are all read, and come in order
INSERT INTO exact_many SELECT i, format('[%s,%s,%s,%s]', 0.3 * (i % 50 + 1), 0.1 * (i % 50 + 1), 0.4 * (i % 50 + 1), 0.1 * (i % 50 + 1))::vector
    FROM generate_series(2001, 2500) AS i;
CREATE INDEX exact_many_cosine ON exact_many USING hnsw (v vector_cosine_ops);
INSERT INTO exact_many SELECT i, ARRAY[0.3 * (i % 50 + 1), 0.1 * (i % 50 + 1), 0.4 * (i % 50 + 1), 0.1 * (i % 50 + 1)]::vector
    FROM generate_series(2501, 2600) AS i;
SELECT pg_temp.differences('exact_many', '<=>', '[0.3,0.1,0.4,0.2]');
SELECT problems FROM vecann_verify('exact_many_cosine');
DELETE FROM exact_many WHERE id > 2000 OR id <= 1000;
INSERT INTO exact_many SELECT i, '[0.3,0.1,0.4,0.1]' FROM generate_series(1, 1000) AS i;
VACUUM exact_many;
REINDEX INDEX exact_many_cosine;
SELECT pg_temp.fetches($$SELECT id FROM exact_many ORDER BY v <=> '[0.3,0.1,0.4,0.2]' LIMIT 10$$) < 20 AS few;
SELECT pg_temp.differences('exact_many', '<=>', '[0.3,0.1,0.4,0.2]');
SELECT problems FROM vecann_verify('exact_many_cosine');

DROP TABLE exact_values, exact_many;

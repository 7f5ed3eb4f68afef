-- Indexes over halfvec: every class and payload, expressions over vectors, subvectors, partial indexes, 16,000 dimensions.
SET client_min_messages = warning;
SET hnsw.ef_search = 400;

-- Rows whose distance in an index scan is not the table's, and rows out of order among the first
-- fifty (L1 has no seeds: of groups of rows far from each other one may be met late). `expression` is what is indexed.
CREATE FUNCTION pg_temp.differences(tab text, expression text, op text, query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
    q text := format('SELECT row_number() OVER () AS place, id, d FROM (SELECT id, %s %s %L AS d FROM %I
        ORDER BY %1$s %2$s %3$L) AS s', expression, op, query, tab);
BEGIN
    SET LOCAL enable_seqscan = off;
    EXECUTE 'CREATE TEMP TABLE by_index AS ' || q;
    SET LOCAL enable_seqscan = on;
    SET LOCAL enable_indexscan = off;
    SET LOCAL vecann.enable_custom_scan = off;
    EXECUTE 'SELECT count(*) FROM by_index FULL JOIN (' || q || ') AS t USING (id)
        WHERE t.d IS DISTINCT FROM by_index.d' INTO n;
    SELECT n + count(*) INTO n FROM by_index AS a JOIN by_index AS b ON b.place = a.place + 1
        WHERE b.place <= 50 AND b.d < a.d AND op <> '<+>';
    DROP TABLE by_index;
    RESET enable_indexscan;
    RESET vecann.enable_custom_scan;
    RETURN n;
END $$;

-- kind 0: whole numbers, 1: fractions, 2: tiny ones, 3: the largest, 4: zeros of either sign
CREATE TABLE half_values (id int, kind int, v halfvec(12));
CREATE FUNCTION pg_temp.fill(first int, last int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO half_values SELECT i, i % 5, ARRAY(SELECT CASE i % 5
        WHEN 0 THEN (i * k * 7919) % 256 WHEN 1 THEN sin(i * k) * 10 WHEN 2 THEN cos(i * k) * 2.0 ^ (i % 12 - 24)
        WHEN 3 THEN sin(i + k) * 65000 ELSE CASE k % 2 WHEN 0 THEN -0.0::real ELSE 0 END END
        FROM generate_series(1, 12) AS k)::halfvec FROM generate_series(first, last) AS i $$;
DO $$
DECLARE
    payload text;
    class text;
    op text;
    built record;
BEGIN
    FOREACH payload IN ARRAY ARRAY['sq8', 'float16', 'float32'] LOOP
        FOR class, op IN VALUES ('halfvec_l2_ops', '<->'), ('halfvec_ip_ops', '<#>'), ('halfvec_l1_ops', '<+>'),
                                ('halfvec_cosine_ops', '<=>') LOOP
            TRUNCATE half_values;
            PERFORM pg_temp.fill(1, 200);
            EXECUTE format('CREATE INDEX half_values_v ON half_values USING hnsw (v %s) WITH (payload = %s)', class, payload);
            PERFORM pg_temp.fill(201, 300);
            UPDATE half_values SET v = v + '[1,1,1,1,1,1,1,1,1,1,1,1]' WHERE id % 20 = 0 AND kind <> 3;
            DELETE FROM half_values WHERE id % 9 = 0 OR (kind = 4 AND class = 'halfvec_cosine_ops');
            FOR built IN SELECT v FROM half_values WHERE id IN (5, 6, 7, 8, 220, 221, 222) LOOP
                IF pg_temp.differences('half_values', 'v', op, built.v::text) <> 0 THEN
                    RAISE WARNING '% %: % differences at %', payload, class,
                        pg_temp.differences('half_values', 'v', op, built.v::text), built.v;
                END IF;
            END LOOP;
            IF (SELECT problems FROM vecann_verify('half_values_v')) <> '{}' THEN
                RAISE WARNING '% %: %', payload, class, (SELECT problems FROM vecann_verify('half_values_v'));
            END IF;
            DROP INDEX half_values_v;
        END LOOP;
    END LOOP;
END $$;

-- payload = float16 holds every halfvec as it is: the table is read for no distance
CREATE FUNCTION pg_temp.fetches(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || query INTO plan;
    RETURN jsonb_path_query_first(plan::jsonb, '$.**."Heap Fetches"')::int;
END $$;
TRUNCATE half_values;
SELECT pg_temp.fill(1, 500);
SET enable_seqscan = off;
CREATE INDEX half_values_l2 ON half_values USING hnsw (v halfvec_l2_ops) WITH (payload = float16);
SELECT pg_temp.fetches($$SELECT id FROM half_values ORDER BY v <-> '[171,86,1,172,87,2,173,88,3,174,89,9]' LIMIT 10$$);
EXPLAIN (COSTS OFF) SELECT id FROM half_values ORDER BY v <-> '[1,2,3,4,5,6,7,8,9,0,1,2]' LIMIT 10;
-- a query that is a vector becomes a halfvec
EXPLAIN (COSTS OFF) SELECT id FROM half_values ORDER BY v <-> '[1,2,3,4,5,6,7,8,9,0,1,2]'::vector LIMIT 10;
DROP TABLE half_values;

-- expressions over vectors
CREATE TABLE half_items (id int, kind text, embedding vector(3072));
ALTER TABLE half_items ALTER embedding SET STORAGE external;
INSERT INTO half_items SELECT i, CASE WHEN i % 3 = 0 THEN 'a' ELSE 'b' END,
    array_agg(sin(i * 0.37 * (1 + j % 17)) * 0.1 + cos(i * j) * 0.02 ORDER BY j)::vector
    FROM generate_series(1, 120) AS i, generate_series(1, 3072) AS j GROUP BY i;
CREATE INDEX half_items_cosine ON half_items USING hnsw ((embedding::halfvec(3072)) halfvec_cosine_ops);
CREATE INDEX half_items_part ON half_items USING hnsw ((subvector(embedding, 1, 256)::vector(256)) vector_l2_ops);
CREATE INDEX half_items_half_part ON half_items
    USING hnsw ((subvector(embedding::halfvec(3072), 1, 128)::halfvec(128)) halfvec_l2_ops);
CREATE INDEX half_items_a ON half_items USING hnsw ((embedding::halfvec(3072)) halfvec_l2_ops) WHERE kind = 'a';
ANALYZE half_items;
CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        RETURN NEXT regexp_replace(line, '(Order By|Sort Key): .*', '\1');
    END LOOP;
END $$;
SELECT pg_temp.plan(format($$SELECT id FROM half_items ORDER BY embedding::halfvec(3072) <=> %L LIMIT 5$$, embedding::text))
    FROM half_items WHERE id = 7;
SELECT pg_temp.plan(format($$SELECT id FROM half_items WHERE kind = 'a' ORDER BY embedding::halfvec(3072) <-> %L LIMIT 5$$,
    embedding::text)) FROM half_items WHERE id = 7;
SELECT pg_temp.plan(format($$SELECT id FROM half_items ORDER BY subvector(embedding, 1, 256)::vector(256) <-> %L LIMIT 5$$,
    subvector(embedding, 1, 256)::text)) FROM half_items WHERE id = 7;
SELECT pg_temp.plan(format($$SELECT id FROM half_items
    ORDER BY subvector(embedding::halfvec(3072), 1, 128)::halfvec(128) <-> %L LIMIT 5$$,
    subvector(embedding, 1, 128)::text)) FROM half_items WHERE id = 7;
-- re-ranked by the full vectors in the outer query
SELECT pg_temp.plan(format($$SELECT id FROM (SELECT id, embedding FROM half_items
    ORDER BY subvector(embedding, 1, 256)::vector(256) <-> %L LIMIT 20) AS s ORDER BY embedding <=> %L LIMIT 5$$,
    subvector(embedding, 1, 256)::text, embedding::text)) FROM half_items WHERE id = 7;
SELECT pg_temp.differences('half_items', 'embedding::halfvec(3072)', '<=>', embedding::text) FROM half_items WHERE id IN (7, 60);
SELECT pg_temp.differences('half_items', 'subvector(embedding, 1, 256)::vector(256)', '<->', subvector(embedding, 1, 256)::text)
    FROM half_items WHERE id = 7;
SELECT pg_temp.differences('half_items', 'subvector(embedding::halfvec(3072), 1, 128)::halfvec(128)', '<->',
    subvector(embedding, 1, 128)::text) FROM half_items WHERE id = 7;
SELECT array_agg(id) FROM (SELECT id FROM half_items WHERE kind = 'a'
    ORDER BY embedding::halfvec(3072) <-> (SELECT embedding::halfvec(3072) FROM half_items WHERE id = 9) LIMIT 1) AS s;
INSERT INTO half_items SELECT id + 1000, kind, embedding FROM half_items WHERE id < 20;
DELETE FROM half_items WHERE id % 4 = 0;
VACUUM half_items;
SELECT relname, problems FROM pg_class, vecann_verify(oid) WHERE relname LIKE 'half\_items\__%' ORDER BY relname COLLATE "C";
-- one too large for half precision is refused, and the row with it
INSERT INTO half_items SELECT 2000, 'a', array_fill(70000, ARRAY[3072])::vector;
\set VERBOSITY sqlstate
INSERT INTO half_items SELECT 2000, 'a', array_fill(70000, ARRAY[3072])::vector;
\set VERBOSITY default
DROP TABLE half_items;

-- 16,000 dimensions, in parts, with every payload
CREATE TABLE half_long (id int, v halfvec(16000));
ALTER TABLE half_long ALTER v SET STORAGE external;
INSERT INTO half_long SELECT i, array_agg((((i * 7919 + j * 104729 + i * j * 31) % 1009) - 504) / 100.0 ORDER BY j)::halfvec
    FROM generate_series(1, 40) AS i, generate_series(1, 16000) AS j GROUP BY i;
CREATE INDEX half_long_l2 ON half_long USING hnsw (v halfvec_l2_ops) WITH (payload = float16);
SELECT pg_temp.differences('half_long', 'v', '<->', v::text) FROM half_long WHERE id = 17;
CREATE INDEX half_long_cosine ON half_long USING hnsw (v halfvec_cosine_ops);
SELECT pg_temp.differences('half_long', 'v', '<=>', v::text) FROM half_long WHERE id = 17;
SELECT problems FROM vecann_verify('half_long_l2');
SELECT problems FROM vecann_verify('half_long_cosine');
DROP TABLE half_long;

-- what is not given a number of dimensions; zero vectors and NULLs
CREATE TABLE half_other (id int, v halfvec);
CREATE INDEX ON half_other USING hnsw (v halfvec_l2_ops);
CREATE INDEX ON half_other USING hnsw ((v::halfvec(2)) vector_l2_ops);
CREATE INDEX half_other_v ON half_other USING hnsw ((v::halfvec(2)) halfvec_cosine_ops);
INSERT INTO half_other VALUES (1, '[0,0]'), (2, NULL), (3, '[1,2]'), (4, '[-1,2]');
SELECT heap_tids FROM vecann_verify('half_other_v');
INSERT INTO half_other VALUES (5, '[1,2,3]');
SELECT id FROM half_other ORDER BY v::halfvec(2) <=> NULL LIMIT 1;
DROP TABLE half_other;

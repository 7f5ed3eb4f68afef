-- Ranges of distance: WHERE v <-> q < r ORDER BY v <-> q, with and without a LIMIT.
SET client_min_messages = warning;
CREATE TABLE ranges (id int, tenant int, v vector(3), b bit(16));
INSERT INTO ranges SELECT i, i % 7, ARRAY[i % 60, i / 60 % 60, sin(i)]::real[]::vector,
    (i * 2654435761 % 65536)::int::bit(16) FROM generate_series(1, 3600) AS i;
INSERT INTO ranges SELECT 10000 + id, tenant, v, b FROM ranges WHERE id % 100 = 0;
INSERT INTO ranges VALUES (20000, 0, NULL, NULL);
CREATE INDEX ranges_v ON ranges USING hnsw (v vector_l2_ops);
CREATE INDEX ranges_cosine ON ranges USING hnsw (v vector_cosine_ops);
CREATE INDEX ranges_b ON ranges USING hnsw (b bit_hamming_ops);
CREATE INDEX ranges_tenant ON ranges (tenant);
ANALYZE ranges;
EXPLAIN (COSTS off) SELECT id FROM ranges WHERE v <-> '[30,30,0]' < 2 ORDER BY v <-> '[30,30,0]' LIMIT 3;
EXPLAIN (COSTS off) SELECT id FROM ranges WHERE v <-> '[30,30,0]' <= 2.5 ORDER BY v <-> '[30,30,0]';
EXPLAIN (COSTS off) SELECT id FROM ranges WHERE 3 > v <-> '[30,30,0]' AND v <-> '[30,30,0]' <= 2::real AND v <-> '[30,30,0]' > 1
    ORDER BY v <-> '[30,30,0]';
EXPLAIN (COSTS off) SELECT id FROM ranges WHERE v <-> '[30,30,0]' BETWEEN 1 AND 2 ORDER BY v <-> '[30,30,0]';
-- not of this distance; not of the same for all rows; not a bound from above
EXPLAIN (COSTS off) SELECT id FROM ranges WHERE v <-> '[3,3,0]' < 2 ORDER BY v <-> '[30,30,0]' LIMIT 3;
EXPLAIN (COSTS off) SELECT id FROM ranges WHERE v <-> '[30,30,0]' < tenant ORDER BY v <-> '[30,30,0]' LIMIT 3;
EXPLAIN (COSTS off) SELECT id FROM ranges WHERE v <-> '[30,30,0]' < random() * 2 ORDER BY v <-> '[30,30,0]' LIMIT 3;
EXPLAIN (COSTS off) SELECT id FROM ranges WHERE v <-> '[30,30,0]' > 2 ORDER BY v <-> '[30,30,0]' LIMIT 3;
-- how far the search goes
CREATE FUNCTION pg_temp.nodes(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) ' || query LOOP
        CONTINUE WHEN line !~ 'Nodes Expanded|Stopped|Distance Limit';
        RETURN NEXT CASE WHEN line ~ 'Nodes' THEN 'few nodes: ' || (substring(line from '\d+')::int < 400) ELSE trim(line) END;
    END LOOP;
END $$;
SELECT pg_temp.nodes($$SELECT id FROM ranges WHERE v <-> '[30,30,0]' < 2 ORDER BY v <-> '[30,30,0]'$$);
SELECT pg_temp.nodes($$SELECT id FROM ranges WHERE v <-> '[30,30,0]' < 2 ORDER BY v <-> '[30,30,0]' LIMIT 1000$$);
SELECT pg_temp.nodes($$SELECT id FROM ranges WHERE v <-> '[30,30,0]' < 1000 ORDER BY v <-> '[30,30,0]' LIMIT 5$$);
SELECT pg_temp.nodes($$SELECT id FROM ranges WHERE v <-> '[30,30,0]' < NULL ORDER BY v <-> '[30,30,0]' LIMIT 5$$);
-- every range, strategy and mode gives the rows that a scan of the table gives
CREATE FUNCTION pg_temp.differences(condition text, distance text, more text DEFAULT '') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
    q text := format('SELECT id, %1$s AS d FROM ranges WHERE %2$s ORDER BY %1$s %3$s', distance, condition, more);
BEGIN
    PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true),
        set_config('enable_indexscan', 'on', true), set_config('vecann.enable_custom_scan', 'on', true);
    EXECUTE 'CREATE TEMP TABLE by_index AS ' || q;
    PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true),
        set_config('enable_indexscan', 'off', true), set_config('vecann.enable_custom_scan', 'off', true),
        set_config('enable_bitmapscan', 'off', true);
    EXECUTE 'SELECT count(*) FROM (SELECT row_number() OVER (ORDER BY d), d FROM by_index) AS a FULL JOIN
        (SELECT row_number() OVER (ORDER BY d), d FROM (' || q || ') AS s) AS t USING (row_number)
        WHERE t.d IS DISTINCT FROM a.d' INTO n;
    DROP TABLE by_index;
    RESET enable_bitmapscan;
    RETURN n;
END $$;
SELECT r, op, more, n FROM unnest('{-1,0,0.5,1,2,5,10}'::float8[]) AS r, unnest('{<,<=}'::text[]) AS op, unnest('{"",LIMIT 7,LIMIT 90}'::text[]) AS more,
    pg_temp.differences(format('v <-> ''[30,30,0]'' %s %s', op, r), 'v <-> ''[30,30,0]''', more) AS n WHERE n <> 0;
SET hnsw.ef_search = 200;
SELECT r, n FROM unnest('{0,0.0001,0.01,0.1}'::float8[]) AS r,
    pg_temp.differences(format('v <=> ''[30,30,1]'' <= %s', r), 'v <=> ''[30,30,1]''') AS n WHERE n <> 0;
RESET hnsw.ef_search;
-- many rows stand at one distance
SELECT r, op, n FROM unnest('{0,1,2,3}'::int[]) AS r, unnest('{<,<=}'::text[]) AS op,
    pg_temp.differences(format('b <~> B''0101010101010101'' %s %s', op, r), 'b <~> B''0101010101010101''') AS n WHERE n <> 0;
SELECT tenant, r, n FROM generate_series(0, 3) AS tenant, unnest('{0.5,3,10}'::float8[]) AS r,
    pg_temp.differences(format('v <-> ''[30,30,0]'' < %s AND tenant = %s', r, tenant), 'v <-> ''[30,30,0]''', 'LIMIT 20') AS n WHERE n <> 0;
SELECT n FROM pg_temp.differences('v <-> ''[30,30,0]'' < ''NaN''', 'v <-> ''[30,30,0]''', 'LIMIT 20') AS n;
SELECT n FROM pg_temp.differences('v <-> ''[30,30,0]'' < ''Infinity''', 'v <-> ''[30,30,0]''', 'LIMIT 20') AS n;
SET hnsw.iterative_scan = strict_order;
SELECT n FROM pg_temp.differences('v <-> ''[30,30,0]'' < 5', 'v <-> ''[30,30,0]''', 'LIMIT 20') AS n;
RESET hnsw.iterative_scan;
-- parameters of a prepared statement, of an outer query, of a subquery; each scan has its own bound
SET enable_seqscan = off;
SET plan_cache_mode = force_generic_plan;
PREPARE near(vector, float8) AS SELECT count(*), max(d) < $2 AS within FROM
    (SELECT v <-> $1 AS d FROM ranges WHERE v <-> $1 < $2 ORDER BY v <-> $1) AS s;
EXECUTE near('[30,30,0]', 2);
EXECUTE near('[30,30,0]', 4);
EXECUTE near('[30,30,0]', NULL);
EXECUTE near('[1000,30,0]', 4);
DEALLOCATE near;
RESET plan_cache_mode;
SELECT r, n FROM (VALUES (1.5), (3.5), (-1), (NULL), (2.5)) AS w(r), LATERAL (SELECT count(*) AS n FROM
    (SELECT id FROM ranges WHERE v <-> '[30,30,0]' < r ORDER BY v <-> '[30,30,0]' LIMIT 100) AS s) AS x;
-- each of many scans reads what it needs
CREATE FUNCTION pg_temp.nodes(scans int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE format('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, FORMAT json) SELECT s.id FROM generate_series(1, %s) AS i,
        LATERAL (SELECT id FROM ranges WHERE v <-> ARRAY[i %% 50, 30, 0]::real[]::vector < 1.5
                 ORDER BY v <-> ARRAY[i %% 50, 30, 0]::real[]::vector) AS s', scans) INTO plan;
    RETURN (regexp_match(plan::text, '"Nodes Expanded": (\d+)'))[1];
END $$;
SELECT pg_temp.nodes(100) < 15 * pg_temp.nodes(10) AS linear;
SELECT count(*) FROM (SELECT id FROM ranges WHERE v <-> '[30,30,0]' < (SELECT max(tenant) / 3.0 FROM ranges)
    ORDER BY v <-> '[30,30,0]') AS s;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM ranges WHERE v <-> '[30,30,0]' < 1.2 ORDER BY v <-> '[30,30,0]';
FETCH 2 FROM c;
MOVE BACKWARD ALL FROM c;
FETCH 2 FROM c;
COMMIT;
DELETE FROM ranges WHERE v <-> '[30,30,0]' < 3;
SELECT count(*) FROM (SELECT id FROM ranges WHERE v <-> '[30,30,0]' < 3 ORDER BY v <-> '[30,30,0]') AS s;
SELECT problems FROM vecann_verify('ranges_v');
DROP TABLE ranges;

-- hnsw over vector: order and recall of the three operator classes, and the values that are not everyday ones.

-- Distances in the order in which rows come back, by the index or by sorting.
CREATE FUNCTION pg_temp.distances(tab regclass, op text, query vector, use_index boolean, n bigint DEFAULT NULL)
RETURNS float8[] LANGUAGE plpgsql
SET enable_seqscan FROM CURRENT SET enable_indexscan FROM CURRENT
AS $$
DECLARE result float8[];
BEGIN
    PERFORM set_config('enable_seqscan', (NOT use_index)::text, true),
            set_config('enable_indexscan', use_index::text, true);
    EXECUTE format('SELECT array_agg(d) FROM (SELECT v %1$s $1 AS d FROM %2$s ORDER BY v %1$s $1 LIMIT $2) AS s',
        op, tab) INTO result USING query, n;
    RETURN result;
END $$;

-- Share of the true nearest k that the index returns, where rows as near as the true k-th count: the worst query's, and
-- the mean.
CREATE FUNCTION pg_temp.recall(tab regclass, op text, k int, OUT worst float8, OUT mean float8)
LANGUAGE plpgsql AS $$
DECLARE
    query vector;
    farthest float8;
    share float8;
    n int := 0;
BEGIN
    worst := 1;
    mean := 0;
    FOR query IN SELECT v FROM hnsw_query LOOP
        farthest := (pg_temp.distances(tab, op, query, false, k))[k];
        SELECT count(*) FILTER (WHERE d <= farthest) / k::float8 INTO share
            FROM unnest(pg_temp.distances(tab, op, query, true, k)) AS d;
        worst := least(worst, share);
        mean := mean + share;
        n := n + 1;
    END LOOP;
    mean := mean / n;
END $$;

-- ---- order -------------------------------------------------------------------

-- 60 rows with m = 32: no edge is ever dropped, so the search sees the whole graph and the order is the exact one.
CREATE TABLE hnsw_small (id int, v vector(3));
INSERT INTO hnsw_small SELECT i, ARRAY[i * 37 % 101 - 50, i * 53 % 103 - 51, i * 71 % 107 - 53]::vector
    FROM generate_series(1, 40) AS i;
CREATE INDEX hnsw_small_l2 ON hnsw_small USING hnsw (v vector_l2_ops) WITH (m = 32, ef_construction = 64);
CREATE INDEX hnsw_small_ip ON hnsw_small USING hnsw (v vector_ip_ops) WITH (m = 32, ef_construction = 64);
CREATE INDEX hnsw_small_cosine ON hnsw_small USING hnsw (v vector_cosine_ops) WITH (m = 32, ef_construction = 64);
-- some rows come in after the build
INSERT INTO hnsw_small SELECT i, ARRAY[i * 37 % 101 - 50, i * 53 % 103 - 51, i * 71 % 107 - 53]::vector
    FROM generate_series(41, 60) AS i;

SET enable_seqscan = off;
SET hnsw.ef_search = 60;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_small ORDER BY v <-> '[1,2,3]' LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_small ORDER BY v <#> '[1,2,3]' LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_small ORDER BY v <=> '[1,2,3]' LIMIT 5;
SELECT id, v, v <-> '[1,2,3]' AS distance FROM hnsw_small ORDER BY v <-> '[1,2,3]' LIMIT 3;
SELECT id, v, v <#> '[1,2,3]' AS distance FROM hnsw_small ORDER BY v <#> '[1,2,3]' LIMIT 3;
SELECT id, v, round((v <=> '[1,2,3]')::numeric, 6) AS distance FROM hnsw_small ORDER BY v <=> '[1,2,3]' LIMIT 3;
RESET enable_seqscan;

SELECT op, count(*) AS queries,
       bool_and(pg_temp.distances('hnsw_small', op, v, true) = pg_temp.distances('hnsw_small', op, v, false)) AS exact
    FROM hnsw_small, unnest('{<->,<#>,<=>}'::text[]) AS op GROUP BY op ORDER BY op;
RESET hnsw.ef_search;

SELECT problems FROM vecann_verify('hnsw_small_l2');
SELECT problems FROM vecann_verify('hnsw_small_ip');
SELECT problems FROM vecann_verify('hnsw_small_cosine');
DROP TABLE hnsw_small;

-- ---- recall ------------------------------------------------------------------

SELECT setseed(0.25);
CREATE TABLE hnsw_recall (id int, v vector(12));
INSERT INTO hnsw_recall
    SELECT i, array_agg(random() - 0.5)::vector FROM generate_series(1, 2000) AS i, generate_series(1, 12) GROUP BY i;
CREATE TABLE hnsw_query (v vector(12));
INSERT INTO hnsw_query
    SELECT array_agg(random() - 0.5)::vector FROM generate_series(1, 25) AS i, generate_series(1, 12) GROUP BY i;

CREATE INDEX hnsw_recall_l2 ON hnsw_recall USING hnsw (v vector_l2_ops);
CREATE INDEX hnsw_recall_ip ON hnsw_recall USING hnsw (v vector_ip_ops);
CREATE INDEX hnsw_recall_cosine ON hnsw_recall USING hnsw (v vector_cosine_ops);

SELECT op, worst >= 0.8 AS worst, mean > 0.98 AS mean
    FROM unnest('{<->,<#>,<=>}'::text[]) AS op, pg_temp.recall('hnsw_recall', op, 10);
SET hnsw.ef_search = 10;
SELECT op, worst >= 0.4 AS worst, mean > 0.92 AS mean
    FROM unnest('{<->,<#>,<=>}'::text[]) AS op, pg_temp.recall('hnsw_recall', op, 10);
SET hnsw.ef_search = 200;
SELECT op, worst >= 0.9 AS worst, mean > 0.99 AS mean
    FROM unnest('{<->,<#>,<=>}'::text[]) AS op, pg_temp.recall('hnsw_recall', op, 10);
RESET hnsw.ef_search;

SELECT problems FROM vecann_verify('hnsw_recall_l2');
SELECT problems FROM vecann_verify('hnsw_recall_ip');
SELECT problems FROM vecann_verify('hnsw_recall_cosine');
DROP TABLE hnsw_recall, hnsw_query;

-- ---- empty, one row ------------------------------------------------------------

SET enable_seqscan = off;
CREATE TABLE hnsw_few (id int, v vector(2));
CREATE INDEX hnsw_few_l2 ON hnsw_few USING hnsw (v vector_l2_ops);
CREATE INDEX hnsw_few_cosine ON hnsw_few USING hnsw (v vector_cosine_ops);
SELECT id FROM hnsw_few ORDER BY v <-> '[1,1]';
SELECT id FROM hnsw_few ORDER BY v <=> '[1,1]';
SELECT id FROM hnsw_few ORDER BY v <=> '[0,0]';
SELECT problems FROM vecann_verify('hnsw_few_l2');
INSERT INTO hnsw_few VALUES (1, '[3,4]');
SELECT id, v <-> '[0,0]' AS distance FROM hnsw_few ORDER BY v <-> '[0,0]';
SELECT id FROM hnsw_few ORDER BY v <=> '[1,1]';
INSERT INTO hnsw_few VALUES (2, '[1,0]');
SELECT id, v <-> '[0,0]' AS distance FROM hnsw_few ORDER BY v <-> '[0,0]';
SELECT problems FROM vecann_verify('hnsw_few_l2');
SELECT problems FROM vecann_verify('hnsw_few_cosine');

-- ---- NULL and zero -------------------------------------------------------------

-- NULL is in no index, the zero vector in none for cosine.
INSERT INTO hnsw_few VALUES (3, NULL), (4, '[0,0]'), (5, NULL), (6, '[-0,0]'), (7, '[1e-30,0]');
SELECT id, round(distance::numeric, 6) AS distance
    FROM (SELECT id, v <-> '[0,4]' AS distance FROM hnsw_few ORDER BY v <-> '[0,4]') AS s ORDER BY distance, id;
SELECT id, round(distance::numeric, 6) AS distance
    FROM (SELECT id, v <=> '[1,0]' AS distance FROM hnsw_few ORDER BY v <=> '[1,0]') AS s ORDER BY distance, id;
SELECT heap_tids FROM vecann_verify('hnsw_few_l2');
SELECT heap_tids FROM vecann_verify('hnsw_few_cosine');
-- the same from a build
REINDEX TABLE hnsw_few;
SELECT heap_tids, problems FROM vecann_verify('hnsw_few_l2');
SELECT heap_tids, problems FROM vecann_verify('hnsw_few_cosine');
-- and without the index all are there
SELECT count(*), count(v) FROM hnsw_few;
UPDATE hnsw_few SET v = '[2,2]' WHERE id = 3;
UPDATE hnsw_few SET v = NULL WHERE id = 1;
SELECT id FROM (SELECT id FROM hnsw_few ORDER BY v <-> '[2,2]') AS s ORDER BY id;
SELECT problems FROM vecann_verify('hnsw_few_l2');
SELECT problems FROM vecann_verify('hnsw_few_cosine');

-- The zero vector as query: every cosine distance is NaN; the indexed rows come in some order.
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_few ORDER BY v <=> '[0,0]' LIMIT 3;
SELECT id, d FROM (SELECT id, v <=> '[0,0]' AS d FROM hnsw_few ORDER BY v <=> '[0,0]' LIMIT 10) AS s ORDER BY id;
SELECT count(*) FROM (SELECT id FROM hnsw_few ORDER BY v <=> '[0,0]' LIMIT 2) AS s;
SELECT id, d FROM (SELECT id, v <-> '[0,0]' AS d FROM hnsw_few ORDER BY v <-> '[0,0]' LIMIT 3) AS s ORDER BY d, id;

-- NULL as query: rows in no meaningful order, and no crash.
SET plan_cache_mode = force_generic_plan;
PREPARE hnsw_by_l2(vector) AS SELECT id FROM hnsw_few ORDER BY v <-> $1 LIMIT 10;
PREPARE hnsw_by_cosine(vector) AS SELECT id FROM hnsw_few ORDER BY v <=> $1 LIMIT 10;
EXPLAIN (COSTS OFF) EXECUTE hnsw_by_l2(NULL);
CREATE TEMP TABLE hnsw_got AS EXECUTE hnsw_by_l2(NULL);
SELECT array_agg(id ORDER BY id) FROM hnsw_got;
DROP TABLE hnsw_got;
CREATE TEMP TABLE hnsw_got AS EXECUTE hnsw_by_cosine(NULL);
SELECT array_agg(id ORDER BY id) FROM hnsw_got;
DROP TABLE hnsw_got;
-- the strict and the non-iterative scan know NULL too
SET hnsw.iterative_scan = strict_order;
CREATE TEMP TABLE hnsw_got AS EXECUTE hnsw_by_cosine(NULL);
SELECT count(*) FROM hnsw_got;
SET hnsw.iterative_scan = off;
DROP TABLE hnsw_got;
CREATE TEMP TABLE hnsw_got AS EXECUTE hnsw_by_l2(NULL);
SELECT count(*) FROM hnsw_got;
RESET hnsw.iterative_scan;
DEALLOCATE ALL;
RESET plan_cache_mode;
SELECT id FROM hnsw_few ORDER BY v <-> NULL LIMIT 0;
DROP TABLE hnsw_few, hnsw_got;

-- only values that are not indexed
CREATE TABLE hnsw_none (v vector(2));
INSERT INTO hnsw_none SELECT CASE WHEN i % 2 = 0 THEN '[0,0]'::vector END FROM generate_series(1, 10) AS i;
CREATE INDEX hnsw_none_cosine ON hnsw_none USING hnsw (v vector_cosine_ops);
SELECT v FROM hnsw_none ORDER BY v <=> '[1,1]' LIMIT 1;
SELECT nodes, heap_tids, problems FROM vecann_verify('hnsw_none_cosine');
DROP TABLE hnsw_none;

-- ---- duplicates ----------------------------------------------------------------

-- Rows of the same vector share a node, by build and by insert.
CREATE TABLE hnsw_same (id int, v vector(8));
INSERT INTO hnsw_same SELECT i, '[1,2,3,4,5,6,7,8]' FROM generate_series(1, 2000) AS i;
CREATE INDEX hnsw_same_l2 ON hnsw_same USING hnsw (v vector_l2_ops);
CREATE INDEX hnsw_same_ip ON hnsw_same USING hnsw (v vector_ip_ops);
CREATE INDEX hnsw_same_cosine ON hnsw_same USING hnsw (v vector_cosine_ops);
INSERT INTO hnsw_same SELECT i, '[1,2,3,4,5,6,7,8]' FROM generate_series(2001, 2500) AS i;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hnsw_same ORDER BY v <-> '[1,1,1,1,1,1,1,1]' LIMIT 10000) AS s;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hnsw_same ORDER BY v <#> '[1,1,1,1,1,1,1,1]' LIMIT 10000) AS s;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hnsw_same ORDER BY v <=> '[1,1,1,1,1,1,1,1]' LIMIT 10000) AS s;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hnsw_same ORDER BY v <-> '[0,0,0,0,0,0,0,0]' LIMIT 777) AS s;
SELECT c.relname, pg_relation_size(c.oid) < 20 * 8192 AS small, nodes, heap_tids, problems
    FROM pg_class AS c, vecann_verify(c.oid) WHERE relname LIKE 'hnsw_same_%' ORDER BY relname;
-- rows of the same direction share one for cosine only
INSERT INTO hnsw_same SELECT i, '[2,4,6,8,10,12,14,16]' FROM generate_series(2501, 2510) AS i;
SELECT c.relname, nodes, heap_tids, problems
    FROM pg_class AS c, vecann_verify(c.oid) WHERE relname LIKE 'hnsw_same_%' ORDER BY relname;
SELECT v, count(*) FROM (SELECT v FROM hnsw_same ORDER BY v <-> '[2,4,6,8,10,12,14,16]' LIMIT 12) AS s
    GROUP BY v ORDER BY v;
DROP TABLE hnsw_same;

-- many values of many rows each
CREATE TABLE hnsw_groups (id int, v vector(2));
INSERT INTO hnsw_groups SELECT i, ARRAY[i % 30, i % 30 / 7]::vector FROM generate_series(1, 1800) AS i;
CREATE INDEX hnsw_groups_l2 ON hnsw_groups USING hnsw (v vector_l2_ops);
SELECT count(*), count(DISTINCT id), count(DISTINCT v)
    FROM (SELECT id, v FROM hnsw_groups ORDER BY v <-> '[10,1]' LIMIT 5000) AS s;
SELECT v <-> '[10,1]' AS distance, count(*) FROM (SELECT v FROM hnsw_groups ORDER BY v <-> '[10,1]' LIMIT 90) AS s
    GROUP BY 1 ORDER BY 1;
SELECT nodes, heap_tids, problems FROM vecann_verify('hnsw_groups_l2');
DROP TABLE hnsw_groups;

-- ---- huge and tiny components ----------------------------------------------------

-- Distances overflow to infinity (and inner products, in both directions, to NaN): rows are found all the same.
CREATE TABLE hnsw_huge (id int, v vector(4));
INSERT INTO hnsw_huge
    SELECT i, ARRAY[i, 1 - 2 * (i % 2), i % 7, 1]::vector * ('[1e38,1e38,1e37,1e-38]'::vector * '[0.01,1,1,1]'::vector)
    FROM generate_series(1, 100) AS i;
INSERT INTO hnsw_huge SELECT 100 + i, ARRAY[i, i % 3, 0, 0]::vector FROM generate_series(1, 100) AS i;
CREATE INDEX hnsw_huge_l2 ON hnsw_huge USING hnsw (v vector_l2_ops);
CREATE INDEX hnsw_huge_ip ON hnsw_huge USING hnsw (v vector_ip_ops);
CREATE INDEX hnsw_huge_cosine ON hnsw_huge USING hnsw (v vector_cosine_ops);
INSERT INTO hnsw_huge VALUES (201, '[3e38,-3e38,3e38,-3e38]'), (202, '[1e-45,0,0,0]'), (203, '[1e-45,-1e-45,1e-40,1]');
SELECT op, query, array_length(found, 1) AS found, problem
    FROM unnest('{<->,<#>,<=>}'::text[]) AS op,
         unnest('{"[1,2,3,4]","[3e38,3e38,-3e38,3e38]","[1e-45,0,0,0]"}'::vector[]) AS query,
         pg_temp.distances('hnsw_huge', op, query, true) AS found,
         LATERAL (SELECT count(*) AS problem FROM unnest(found) AS d WHERE d IS NULL) AS s
    ORDER BY op, query;
SET hnsw.ef_search = 1000;
SELECT id FROM hnsw_huge ORDER BY v <-> '[5,2,0,0]' LIMIT 1;
SELECT id FROM hnsw_huge ORDER BY v <=> '[1,-1,1,-1]' LIMIT 1;
RESET hnsw.ef_search;
SELECT problems FROM vecann_verify('hnsw_huge_l2');
SELECT problems FROM vecann_verify('hnsw_huge_ip');
SELECT problems FROM vecann_verify('hnsw_huge_cosine');
DROP TABLE hnsw_huge;

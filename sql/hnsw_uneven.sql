-- Inner products of vectors of very different lengths, inserted: a search reaches the short ones too.
SELECT setseed(0.4);
-- Directions about 30 places; lengths from e^-1.5 to e^1.5.
CREATE TEMP TABLE uneven_source AS
    SELECT i AS id, l2_normalize(ARRAY(SELECT sin(i % 30 * 12.9 + j * 78.2) + 0.8 * (random() + random() - 1)
        FROM generate_series(1, 24) AS j WHERE i > 0)::vector(24)) *
        array_fill(exp((random() + random() + random() - 1.5)::real), ARRAY[24])::vector AS v
    FROM generate_series(1, 3000) AS i;
CREATE TEMP TABLE uneven (id int, v vector(24));
CREATE INDEX uneven_v ON uneven USING hnsw (v vector_ip_ops);
INSERT INTO uneven SELECT * FROM uneven_source;
CREATE FUNCTION pg_temp.uneven_reach(index regclass) RETURNS text LANGUAGE sql AS
    $$SELECT CASE WHEN unreachable * 200 <= nodes THEN 'nearly all' ELSE unreachable || ' of ' || nodes || ' are not' END
        || ', ' || problems::text FROM vecann_verify(index)$$;
SELECT pg_temp.uneven_reach('uneven_v');
-- recall@10, ties included
CREATE TEMP TABLE uneven_truth AS SELECT q.v, (SELECT max(d) FROM
        (SELECT u.v <#> q.v AS d FROM uneven u ORDER BY 1 LIMIT 10) AS n) AS tenth
    FROM (SELECT v FROM uneven_source WHERE id % 30 = 7) AS q;
CREATE FUNCTION pg_temp.uneven_recall(ef int) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE recall numeric;
BEGIN
    PERFORM set_config('hnsw.ef_search', ef::text, true), set_config('enable_seqscan', 'off', true);
    SELECT avg((SELECT count(*) FROM (SELECT u.v <#> q.v AS d FROM uneven u ORDER BY u.v <#> q.v LIMIT 10) AS n
        WHERE d <= tenth + 1e-6 * abs(tenth))) / 10 INTO recall FROM uneven_truth AS q;
    RETURN recall;
END $$;
SELECT ef, CASE WHEN recall >= floor THEN 'good' ELSE recall::text END AS recall
    FROM (VALUES (10, 0.75), (40, 0.93), (100, 0.97)) AS f (ef, floor), pg_temp.uneven_recall(ef) AS recall;
-- what the deleted ones held is held by others
DELETE FROM uneven WHERE id % 3 = 0;
VACUUM uneven;
SELECT pg_temp.uneven_reach('uneven_v');
INSERT INTO uneven SELECT * FROM uneven_source WHERE id % 3 = 0;
SELECT pg_temp.uneven_reach('uneven_v');
-- the same of sparse vectors
CREATE TEMP TABLE uneven_sparse (id int, v sparsevec(24));
CREATE INDEX uneven_sparse_v ON uneven_sparse USING hnsw (v sparsevec_ip_ops);
INSERT INTO uneven_sparse SELECT id, v::sparsevec(24) FROM uneven_source WHERE id <= 1500;
SELECT pg_temp.uneven_reach('uneven_sparse_v');
DELETE FROM uneven_sparse WHERE id % 3 = 0;
VACUUM uneven_sparse;
SELECT pg_temp.uneven_reach('uneven_sparse_v');

-- hnsw indexes of all sorts of tables, and what DDL does to them.

SET enable_seqscan = off;
-- Rows in a line: which are the nearest to [x,0] is plain. Tables stay so small (at most 2 m + 1 rows) that a node is
-- linked with every other one, and the order is the exact one.
CREATE FUNCTION pg_temp.line(tab regclass, low int, high int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %s (id, v) SELECT i, ARRAY[i, 0]::vector FROM generate_series($1, $2) AS i', tab)
        USING low, high;
END $$;

-- ---- unlogged and temporary tables -------------------------------------------------------

CREATE UNLOGGED TABLE hnsw_unlogged (id int, v vector(2));
CREATE INDEX hnsw_unlogged_v ON hnsw_unlogged USING hnsw (v vector_l2_ops);
SELECT pg_relation_size('hnsw_unlogged_v', 'init') > 0 AS init_fork;
SELECT pg_temp.line('hnsw_unlogged', 1, 30);
SELECT id FROM hnsw_unlogged ORDER BY v <-> '[9.1,0]' LIMIT 3;
SELECT nodes, problems FROM vecann_verify('hnsw_unlogged_v');
ALTER TABLE hnsw_unlogged SET LOGGED;
SELECT id FROM hnsw_unlogged ORDER BY v <-> '[9.1,0]' LIMIT 3;
SELECT coalesce(pg_relation_size('hnsw_unlogged_v', 'init'), 0) AS init_fork;
SELECT nodes, problems FROM vecann_verify('hnsw_unlogged_v');
ALTER TABLE hnsw_unlogged SET UNLOGGED;
SELECT id FROM hnsw_unlogged ORDER BY v <-> '[9.1,0]' LIMIT 3;
SELECT nodes, problems FROM vecann_verify('hnsw_unlogged_v');
DROP TABLE hnsw_unlogged;

BEGIN;
CREATE TEMP TABLE hnsw_temp (id int, v vector(2)) ON COMMIT DELETE ROWS;
CREATE INDEX hnsw_temp_v ON hnsw_temp USING hnsw (v vector_l2_ops);
SELECT pg_temp.line('hnsw_temp', 1, 30);
SELECT id FROM hnsw_temp ORDER BY v <-> '[9.1,0]' LIMIT 3;
SELECT nodes, problems FROM vecann_verify('hnsw_temp_v');
COMMIT;
SELECT id FROM hnsw_temp ORDER BY v <-> '[9.1,0]' LIMIT 3;
SELECT pg_temp.line('hnsw_temp', 1, 30);
SELECT nodes, problems FROM vecann_verify('hnsw_temp_v');
DROP TABLE hnsw_temp;

-- created and filled in one transaction, rolled back or not
BEGIN;
CREATE TABLE hnsw_txn (id int, v vector(2));
CREATE INDEX hnsw_txn_v ON hnsw_txn USING hnsw (v vector_l2_ops);
SELECT pg_temp.line('hnsw_txn', 1, 30);
SAVEPOINT s;
DROP INDEX hnsw_txn_v;
ROLLBACK TO s;
SELECT id FROM hnsw_txn ORDER BY v <-> '[9.1,0]' LIMIT 3;
COMMIT;
BEGIN;
SELECT pg_temp.line('hnsw_txn', 31, 60);
ROLLBACK;
SELECT id FROM hnsw_txn ORDER BY v <-> '[50,0]' LIMIT 3;
SELECT problems FROM vecann_verify('hnsw_txn_v');

-- ---- TRUNCATE, REINDEX, rewrites ---------------------------------------------------------

TRUNCATE hnsw_txn;
SELECT id FROM hnsw_txn ORDER BY v <-> '[9.1,0]' LIMIT 3;
SELECT nodes, problems FROM vecann_verify('hnsw_txn_v');
SELECT pg_temp.line('hnsw_txn', 1, 30);
SELECT id FROM hnsw_txn ORDER BY v <-> '[9.1,0]' LIMIT 3;
BEGIN;
TRUNCATE hnsw_txn;
SELECT pg_temp.line('hnsw_txn', 5, 7);
SELECT id FROM hnsw_txn ORDER BY v <-> '[9.1,0]' LIMIT 5;
ROLLBACK;
SELECT id FROM hnsw_txn ORDER BY v <-> '[9.1,0]' LIMIT 3;

REINDEX INDEX hnsw_txn_v;
SELECT id FROM hnsw_txn ORDER BY v <-> '[9.1,0]' LIMIT 3;
REINDEX INDEX CONCURRENTLY hnsw_txn_v;
SELECT id FROM hnsw_txn ORDER BY v <-> '[9.1,0]' LIMIT 3;
REINDEX TABLE CONCURRENTLY hnsw_txn;
SELECT indexrelid::regclass, indisvalid, indisready FROM pg_index WHERE indrelid = 'hnsw_txn'::regclass;
SELECT nodes, problems FROM vecann_verify('hnsw_txn_v');

CREATE INDEX CONCURRENTLY hnsw_txn_cosine ON hnsw_txn USING hnsw (v vector_cosine_ops);
SELECT count(DISTINCT id) FROM (SELECT id FROM hnsw_txn ORDER BY v <=> '[9.1,0]' LIMIT 30) AS s;
SELECT indexrelid::regclass, indisvalid, indisready FROM pg_index WHERE indrelid = 'hnsw_txn'::regclass ORDER BY 1;
SELECT nodes, heap_tids, problems FROM vecann_verify('hnsw_txn_cosine');
DROP INDEX CONCURRENTLY hnsw_txn_cosine;
-- one that fails stays behind, invalid, and can be dropped
CREATE INDEX CONCURRENTLY hnsw_txn_bad ON hnsw_txn USING hnsw ((v::vector(3)) vector_l2_ops);
SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'hnsw_txn'::regclass ORDER BY 1;
DROP INDEX IF EXISTS hnsw_txn_bad;

ALTER TABLE hnsw_txn ADD COLUMN extra int DEFAULT 3;
ALTER TABLE hnsw_txn ALTER id TYPE bigint;
SELECT id FROM hnsw_txn ORDER BY v <-> '[9.1,0]' LIMIT 3;
ALTER TABLE hnsw_txn ALTER v TYPE vector(3) USING v || '[1]';
SELECT id FROM hnsw_txn ORDER BY v <-> '[9.1,0,1]' LIMIT 3;
ALTER TABLE hnsw_txn ALTER v TYPE vector(2);
ALTER TABLE hnsw_txn ALTER v TYPE vector(2) USING subvector(v, 1, 2);
SELECT id FROM hnsw_txn ORDER BY v <-> '[9.1,0]' LIMIT 3;
SELECT nodes, problems FROM vecann_verify('hnsw_txn_v');
CREATE INDEX hnsw_txn_id ON hnsw_txn (id);
CLUSTER hnsw_txn USING hnsw_txn_id;
SELECT id FROM hnsw_txn ORDER BY v <-> '[9.1,0]' LIMIT 3;
SELECT nodes, problems FROM vecann_verify('hnsw_txn_v');
ALTER INDEX hnsw_txn_v RENAME TO hnsw_txn_w;
ALTER TABLE hnsw_txn RENAME v TO w;
SELECT pg_get_indexdef('hnsw_txn_w'::regclass);
SELECT id FROM hnsw_txn ORDER BY w <-> '[9.1,0]' LIMIT 1;
ALTER INDEX hnsw_txn_w SET (m = 8);
SELECT pg_get_indexdef('hnsw_txn_w'::regclass);
CREATE TABLE hnsw_like (LIKE hnsw_txn INCLUDING INDEXES);
SELECT indexdef FROM pg_indexes WHERE tablename = 'hnsw_like' ORDER BY 1;
DROP TABLE hnsw_txn, hnsw_like;

-- ---- partial and expression indexes --------------------------------------------------------

CREATE TABLE hnsw_part (id int, v vector(4), kind text, a real[], free vector);
INSERT INTO hnsw_part SELECT i, ARRAY[i, 60 - i, i % 2, 1]::vector, CASE WHEN i % 3 = 0 THEN 'x' ELSE 'y' END,
        ARRAY[i, 1], CASE WHEN i % 2 = 0 THEN ARRAY[i, 0] ELSE ARRAY[i, 0, 0] END::vector
    FROM generate_series(1, 60) AS i;
CREATE INDEX hnsw_part_x ON hnsw_part USING hnsw (v vector_l2_ops) WHERE kind = 'x';
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_part WHERE kind = 'x' ORDER BY v <-> '[10,50,0,1]' LIMIT 3;
SELECT id FROM hnsw_part WHERE kind = 'x' ORDER BY v <-> '[10,50,0,1]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_part WHERE kind = 'y' ORDER BY v <-> '[10,50,0,1]' LIMIT 3;
UPDATE hnsw_part SET kind = 'x' WHERE id = 10;
UPDATE hnsw_part SET kind = 'y' WHERE id = 9;
SELECT id FROM hnsw_part WHERE kind = 'x' ORDER BY v <-> '[10,50,0,1]' LIMIT 3;
SELECT heap_tids, problems FROM vecann_verify('hnsw_part_x');

CREATE INDEX hnsw_part_sub ON hnsw_part USING hnsw ((subvector(v, 1, 2)::vector(2)) vector_l2_ops) WITH (m = 32);
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_part ORDER BY subvector(v, 1, 2)::vector(2) <-> '[20.1,39.9]' LIMIT 3;
SELECT id FROM hnsw_part ORDER BY subvector(v, 1, 2)::vector(2) <-> '[20.1,39.9]' LIMIT 3;
-- first by the short vector, then by the whole one
SELECT id FROM (SELECT id, v FROM hnsw_part ORDER BY subvector(v, 1, 2)::vector(2) <-> '[20.1,39.9]' LIMIT 9) AS s
    ORDER BY v <-> '[20.1,39.9,1,1]' LIMIT 3;
CREATE INDEX hnsw_part_array ON hnsw_part USING hnsw ((a::vector(2)) vector_l2_ops) WITH (m = 32);
SELECT id FROM hnsw_part ORDER BY a::vector(2) <-> '[30.1,1]' LIMIT 3;
-- vectors of several dimensions in one column, an index for each
CREATE INDEX hnsw_part_free2 ON hnsw_part USING hnsw ((free::vector(2)) vector_l2_ops) WITH (m = 32)
    WHERE vector_dims(free) = 2;
CREATE INDEX hnsw_part_free3 ON hnsw_part USING hnsw ((free::vector(3)) vector_l2_ops) WITH (m = 32)
    WHERE vector_dims(free) = 3;
EXPLAIN (COSTS OFF)
SELECT id FROM hnsw_part WHERE vector_dims(free) = 3 ORDER BY free::vector(3) <-> '[30.1,0,0]' LIMIT 3;
SELECT id FROM hnsw_part WHERE vector_dims(free) = 3 ORDER BY free::vector(3) <-> '[30.1,0,0]' LIMIT 3;
SELECT id FROM hnsw_part WHERE vector_dims(free) = 2 ORDER BY free::vector(2) <-> '[31.1,0]' LIMIT 3;
INSERT INTO hnsw_part SELECT i, ARRAY[i, 60 - i, i % 2, 1]::vector, 'x', ARRAY[i, 1], ARRAY[i, 0]::vector
    FROM generate_series(61, 70) AS i;
SELECT id FROM hnsw_part WHERE vector_dims(free) = 2 ORDER BY free::vector(2) <-> '[69.1,0]' LIMIT 2;
SELECT c.relname, nodes, problems FROM pg_class AS c, vecann_verify(c.oid)
    WHERE relname LIKE 'hnsw_part_%' ORDER BY relname;
DROP TABLE hnsw_part;

-- ---- partitioned tables, inheritance ---------------------------------------------------------

CREATE TABLE hnsw_all (id int, v vector(2)) PARTITION BY RANGE (id);
CREATE TABLE hnsw_all_1 PARTITION OF hnsw_all FOR VALUES FROM (1) TO (21);
CREATE TABLE hnsw_all_2 PARTITION OF hnsw_all FOR VALUES FROM (21) TO (41);
SELECT pg_temp.line('hnsw_all', 1, 40);
CREATE INDEX hnsw_all_v ON hnsw_all USING hnsw (v vector_l2_ops) WITH (m = 20);
CREATE TABLE hnsw_all_3 PARTITION OF hnsw_all FOR VALUES FROM (41) TO (61);
SELECT pg_temp.line('hnsw_all', 41, 60);
SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'hnsw_all%' ORDER BY indexname;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_all ORDER BY v <-> '[20.4,0]' LIMIT 5;
SELECT id FROM hnsw_all ORDER BY v <-> '[20.4,0]' LIMIT 5;
SELECT id FROM hnsw_all WHERE id > 30 ORDER BY v <-> '[20.4,0]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_all WHERE id > 50 ORDER BY v <-> '[20.4,0]' LIMIT 3;
UPDATE hnsw_all SET id = id + 40 WHERE id = 20;
SELECT tableoid::regclass, id FROM hnsw_all ORDER BY v <-> '[20.4,0]' LIMIT 2;
-- a table that comes with an index of its own
CREATE TABLE hnsw_all_4 (id int, v vector(2));
SELECT pg_temp.line('hnsw_all_4', 61, 80);
CREATE INDEX hnsw_all_4_own ON hnsw_all_4 USING hnsw (v vector_l2_ops) WITH (m = 20);
ALTER TABLE hnsw_all ATTACH PARTITION hnsw_all_4 FOR VALUES FROM (61) TO (81);
SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'hnsw_all_v'::regclass ORDER BY inhrelid::regclass::text;
SELECT id FROM hnsw_all ORDER BY v <-> '[60.6,0]' LIMIT 3;
ALTER TABLE hnsw_all DETACH PARTITION hnsw_all_1;
SELECT id FROM hnsw_all_1 ORDER BY v <-> '[20.4,0]' LIMIT 2;
SELECT id FROM hnsw_all ORDER BY v <-> '[10.4,0]' LIMIT 2;
SELECT c.relname, heap_tids, problems FROM pg_class AS c, vecann_verify(c.oid)
    WHERE relkind = 'i' AND relname LIKE 'hnsw_all_%' ORDER BY relname;
DROP TABLE hnsw_all, hnsw_all_1;

CREATE TABLE hnsw_parent (id int, v vector(2));
CREATE TABLE hnsw_child (more text) INHERITS (hnsw_parent);
SELECT pg_temp.line('hnsw_parent', 1, 20);
SELECT pg_temp.line('hnsw_child', 21, 40);
CREATE INDEX hnsw_parent_v ON hnsw_parent USING hnsw (v vector_l2_ops);
CREATE INDEX hnsw_child_v ON hnsw_child USING hnsw (v vector_l2_ops);
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_parent ORDER BY v <-> '[20.4,0]' LIMIT 4;
SELECT tableoid::regclass, id FROM hnsw_parent ORDER BY v <-> '[20.4,0]' LIMIT 4;
SELECT id FROM ONLY hnsw_parent ORDER BY v <-> '[20.4,0]' LIMIT 2;
SELECT problems FROM vecann_verify('hnsw_parent_v');
SELECT problems FROM vecann_verify('hnsw_child_v');
DROP TABLE hnsw_parent CASCADE;

-- ---- progress ----------------------------------------------------------------------------------

SELECT n, pg_indexam_progress_phasename(oid, n) FROM pg_am, generate_series(1, 11) AS n WHERE amname = 'hnsw' ORDER BY n;
-- an expression that looks at the progress of the build it is part of
CREATE FUNCTION hnsw_progress(v vector) RETURNS vector IMMUTABLE LANGUAGE plpgsql AS $$
DECLARE p record;
BEGIN
    PERFORM pg_stat_clear_snapshot();
    SELECT * INTO p FROM pg_stat_progress_create_index WHERE pid = pg_backend_pid();
    RAISE NOTICE '%: %, % rows done, total known: %', p.command, p.phase, p.tuples_done, p.tuples_total > 0;
    RETURN v;
END $$;
CREATE TABLE hnsw_watched (id int, v vector(2));
SELECT pg_temp.line('hnsw_watched', 1, 3);
CREATE INDEX hnsw_watched_v ON hnsw_watched USING hnsw ((hnsw_progress(v)::vector(2)) vector_l2_ops);
DROP TABLE hnsw_watched;
DROP FUNCTION hnsw_progress;

-- ---- rights --------------------------------------------------------------------------------------

-- Nobody needs to be a superuser for an index, and row security holds for scans.
CREATE ROLE regress_hnsw_user;
CREATE SCHEMA regress_hnsw_schema AUTHORIZATION regress_hnsw_user;
SET ROLE regress_hnsw_user;
SET search_path = regress_hnsw_schema, public;
CREATE TABLE hnsw_mine (id int, v vector(2));
SELECT pg_temp.line('hnsw_mine', 1, 30);
CREATE INDEX hnsw_mine_v ON hnsw_mine USING hnsw (v vector_l2_ops) WITH (m = 20);
SET hnsw.ef_search = 50;
SELECT id FROM hnsw_mine ORDER BY v <-> '[9.1,0]' LIMIT 3;
REINDEX INDEX hnsw_mine_v;
DELETE FROM hnsw_mine WHERE id = 9;
VACUUM hnsw_mine;
SELECT id FROM hnsw_mine ORDER BY v <-> '[9.1,0]' LIMIT 3;
SELECT * FROM vecann_verify('hnsw_mine_v');
RESET ROLE;
SELECT problems FROM vecann_verify('hnsw_mine_v');
CREATE ROLE regress_hnsw_reader;
SET ROLE regress_hnsw_reader;
SELECT id FROM regress_hnsw_schema.hnsw_mine ORDER BY v <-> '[9.1,0]' LIMIT 3;
RESET ROLE;
GRANT USAGE ON SCHEMA regress_hnsw_schema TO regress_hnsw_reader;
GRANT SELECT ON hnsw_mine TO regress_hnsw_reader;
ALTER TABLE hnsw_mine ENABLE ROW LEVEL SECURITY;
CREATE POLICY even ON hnsw_mine USING (id % 2 = 0);
SET ROLE regress_hnsw_reader;
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_mine ORDER BY v <-> '[9.1,0]' LIMIT 3;
SELECT id FROM hnsw_mine ORDER BY v <-> '[9.1,0]' LIMIT 3;
RESET ROLE;
RESET ALL;
DROP SCHEMA regress_hnsw_schema CASCADE;
DROP ROLE regress_hnsw_user, regress_hnsw_reader;

-- ---- the extension goes, and its indexes with it -------------------------------------------------

CREATE TABLE hnsw_last (id int, v vector(2));
CREATE INDEX hnsw_last_v ON hnsw_last USING hnsw (v vector_l2_ops);
DROP ACCESS METHOD hnsw;
DROP OPERATOR CLASS vector_l2_ops USING hnsw;
DROP TABLE hnsw_last;

-- Dead rows: never returned, marked by scans, removed by vacuum, their slots used again.

-- What other sessions still see, vacuum keeps. Waits until every snapshot is younger than what is committed now. (It
-- assigns no transaction id: committed without a flush, that would put off the hint bits by which scans know dead rows.)
CREATE PROCEDURE pg_temp.wait_for_snapshots() LANGUAGE plpgsql AS $$
DECLARE next xid := pg_snapshot_xmax(pg_current_snapshot())::xid;
BEGIN
    FOR i IN 1..3000 LOOP
        PERFORM pg_stat_clear_snapshot();
        EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND
            (age(backend_xid) > age(next) OR age(backend_xmin) > age(next) AND datname = current_database()));
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;

-- ---- deleted, not vacuumed -----------------------------------------------------------

-- Of a temporary table no other session sees a row, so rows are dead to all as soon as they are deleted.
CREATE TEMP TABLE hnsw_dead (id int, v vector(2));
INSERT INTO hnsw_dead SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 30) AS i;
CREATE INDEX hnsw_dead_v ON hnsw_dead USING hnsw (v vector_l2_ops);
SET enable_seqscan = off;
DELETE FROM hnsw_dead WHERE id BETWEEN 9 AND 16;
SELECT nodes, heap_tids, killed_tids, problems FROM vecann_verify('hnsw_dead_v');
EXPLAIN (COSTS OFF) SELECT id FROM hnsw_dead ORDER BY v <-> '[12.1,0]' LIMIT 3;
SELECT id FROM hnsw_dead ORDER BY v <-> '[12.1,0]' LIMIT 3;
-- the scan has met the dead ones and marked them; the next one passes over them
SELECT nodes, heap_tids, killed_tids, problems FROM vecann_verify('hnsw_dead_v');
SELECT id FROM hnsw_dead ORDER BY v <-> '[12.1,0]' LIMIT 3;
SELECT count(*) FROM (SELECT id FROM hnsw_dead ORDER BY v <-> '[12.1,0]' LIMIT 100) AS s;
-- marked rows take no place of the beam
SET hnsw.iterative_scan = off;
SET hnsw.ef_search = 3;
SELECT count(*) FROM (SELECT id FROM hnsw_dead ORDER BY v <-> '[12.1,0]' LIMIT 100) AS s;
RESET hnsw.ef_search;
RESET hnsw.iterative_scan;
-- a row with the vector of a marked one
INSERT INTO hnsw_dead VALUES (112, '[12,0]'), (212, '[12,0]');
SELECT id FROM (SELECT id FROM hnsw_dead ORDER BY v <-> '[12.1,0]' LIMIT 3) AS s ORDER BY id;
DELETE FROM hnsw_dead WHERE id = 112;
SELECT id FROM (SELECT id FROM hnsw_dead ORDER BY v <-> '[12.1,0]' LIMIT 2) AS s ORDER BY id;
SELECT problems FROM vecann_verify('hnsw_dead_v');
-- not marked: what a rollback brings back
BEGIN;
DELETE FROM hnsw_dead WHERE id < 5;
SELECT count(*) FROM (SELECT id FROM hnsw_dead ORDER BY v <-> '[1,0]' LIMIT 100) AS s;
ROLLBACK;
SELECT count(*) FROM (SELECT id FROM hnsw_dead ORDER BY v <-> '[1,0]' LIMIT 100) AS s;

VACUUM hnsw_dead;
SELECT nodes, heap_tids, killed_tids, deleted_slots, problems FROM vecann_verify('hnsw_dead_v');
SELECT id FROM (SELECT id FROM hnsw_dead ORDER BY v <-> '[12.1,0]' LIMIT 3) AS s ORDER BY id;
-- all of them
DELETE FROM hnsw_dead;
SELECT id FROM hnsw_dead ORDER BY v <-> '[12.1,0]' LIMIT 3;
VACUUM hnsw_dead;
SELECT id FROM hnsw_dead ORDER BY v <-> '[12.1,0]' LIMIT 3;
SELECT nodes, heap_tids, deleted_slots, problems FROM vecann_verify('hnsw_dead_v');
INSERT INTO hnsw_dead SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 30) AS i;
SELECT id FROM hnsw_dead ORDER BY v <-> '[12.1,0]' LIMIT 3;
SELECT nodes, heap_tids, deleted_slots, problems FROM vecann_verify('hnsw_dead_v');
DROP TABLE hnsw_dead;

-- the same in an ordinary table
CREATE TABLE hnsw_dead (id int, v vector(2)) WITH (autovacuum_enabled = off);
INSERT INTO hnsw_dead SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 30) AS i;
CREATE INDEX hnsw_dead_v ON hnsw_dead USING hnsw (v vector_l2_ops);
DELETE FROM hnsw_dead WHERE id BETWEEN 9 AND 16;
CALL pg_temp.wait_for_snapshots();
SELECT id FROM hnsw_dead ORDER BY v <-> '[12.1,0]' LIMIT 3;
SELECT id FROM hnsw_dead ORDER BY v <-> '[12.1,0]' LIMIT 3;
SELECT nodes, heap_tids, killed_tids > 0 AS killed, problems FROM vecann_verify('hnsw_dead_v');
DROP TABLE hnsw_dead;

-- ---- chains of one vector's rows -------------------------------------------------------

CREATE TEMP TABLE hnsw_chain (id int, v vector(2));
INSERT INTO hnsw_chain SELECT i, ARRAY[i % 3, 1]::vector FROM generate_series(1, 3000) AS i;
CREATE INDEX hnsw_chain_v ON hnsw_chain USING hnsw (v vector_l2_ops);
SELECT nodes, heap_tids, problems FROM vecann_verify('hnsw_chain_v');
SELECT pg_relation_size('hnsw_chain_v') AS before \gset
DELETE FROM hnsw_chain WHERE id % 2 = 0 OR id < 600;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hnsw_chain ORDER BY v <-> '[1,1]' LIMIT 5000) AS s;
VACUUM hnsw_chain;
SELECT nodes, heap_tids, problems FROM vecann_verify('hnsw_chain_v');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hnsw_chain ORDER BY v <-> '[1,1]' LIMIT 5000) AS s;
INSERT INTO hnsw_chain SELECT i, ARRAY[i % 3, 1]::vector FROM generate_series(3001, 4800) AS i;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hnsw_chain ORDER BY v <-> '[1,1]' LIMIT 5000) AS s;
SELECT nodes, heap_tids, problems FROM vecann_verify('hnsw_chain_v');
-- one vector goes entirely
DELETE FROM hnsw_chain WHERE id % 3 = 1;
VACUUM hnsw_chain;
SELECT nodes, heap_tids, deleted_slots, problems FROM vecann_verify('hnsw_chain_v');
SELECT v, count(*) FROM (SELECT v FROM hnsw_chain ORDER BY v <-> '[1,1]' LIMIT 5000) AS s GROUP BY v ORDER BY v;
-- all go, and as many come
DELETE FROM hnsw_chain;
VACUUM hnsw_chain;
INSERT INTO hnsw_chain SELECT i, ARRAY[i % 3, 1]::vector FROM generate_series(1, 3000) AS i;
SELECT nodes, heap_tids, problems FROM vecann_verify('hnsw_chain_v');
SELECT pg_relation_size('hnsw_chain_v') <= :before * 1.7 AS hardly_larger;
DROP TABLE hnsw_chain;

-- ---- slots are used again ----------------------------------------------------------------

CREATE TABLE hnsw_again (id int, v vector(6), round int) WITH (autovacuum_enabled = off);
CREATE FUNCTION pg_temp.fill(round int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO hnsw_again SELECT i, array_agg(random() - 0.5)::vector, round
        FROM generate_series(1, 500) AS i, generate_series(1, 6) GROUP BY i;
$$;
SELECT setseed(0.125);
SELECT pg_temp.fill(r) FROM generate_series(1, 3) AS r;
CREATE INDEX hnsw_again_v ON hnsw_again USING hnsw (v vector_l2_ops);
SELECT pg_relation_size('hnsw_again_v') AS before \gset
-- six rounds: the oldest third goes, another comes
DELETE FROM hnsw_again WHERE round = 1;
CALL pg_temp.wait_for_snapshots();
VACUUM hnsw_again;
SELECT nodes, heap_tids, deleted_slots, problems FROM vecann_verify('hnsw_again_v');
SELECT pg_temp.fill(4);
SELECT nodes, heap_tids, deleted_slots, problems FROM vecann_verify('hnsw_again_v');
DELETE FROM hnsw_again WHERE round = 2;
CALL pg_temp.wait_for_snapshots();
VACUUM hnsw_again;
SELECT pg_temp.fill(5);
DELETE FROM hnsw_again WHERE round = 3;
CALL pg_temp.wait_for_snapshots();
VACUUM (INDEX_CLEANUP ON) hnsw_again;
SELECT pg_temp.fill(6);
DELETE FROM hnsw_again WHERE round = 4;
CALL pg_temp.wait_for_snapshots();
VACUUM (PARALLEL 0) hnsw_again;
SELECT pg_temp.fill(7);
DELETE FROM hnsw_again WHERE round = 5;
CALL pg_temp.wait_for_snapshots();
VACUUM (ANALYZE) hnsw_again;
SELECT pg_temp.fill(8);
SELECT nodes, heap_tids, deleted_slots, problems FROM vecann_verify('hnsw_again_v');
-- the graph is as good as new, and hardly larger
SELECT pg_relation_size('hnsw_again_v') <= :before * 1.1 AS no_larger;
SELECT count(*), count(DISTINCT (id, round))
    FROM (SELECT id, round FROM hnsw_again ORDER BY v <-> '[0,0,0,0,0,0]' LIMIT 5000) AS s;
SELECT avg(share) > 0.95 AS recall
    FROM (SELECT v FROM hnsw_again WHERE round = 8 AND id % 10 = 0) AS q, LATERAL (
        SELECT count(*) / 10.0 AS share
            FROM (SELECT id, round FROM hnsw_again AS a ORDER BY a.v <-> q.v LIMIT 10) AS found
            JOIN (SELECT id, round FROM hnsw_again AS e ORDER BY 0 + (e.v <-> q.v) LIMIT 10) AS exact USING (id, round)
        ) AS s;

-- vacuum with nothing to do, full, and of the whole
VACUUM hnsw_again;
SELECT nodes, heap_tids, problems FROM vecann_verify('hnsw_again_v');
VACUUM FULL hnsw_again;
SELECT nodes, heap_tids, free_slots < 100 AS dense, problems FROM vecann_verify('hnsw_again_v');
DELETE FROM hnsw_again;
CALL pg_temp.wait_for_snapshots();
VACUUM hnsw_again;
SELECT id FROM hnsw_again ORDER BY v <-> '[0,0,0,0,0,0]' LIMIT 1;
SELECT nodes, upper_slots, heap_tids, deleted_slots, problems FROM vecann_verify('hnsw_again_v');
SELECT pg_temp.fill(9);
SELECT nodes, heap_tids, problems FROM vecann_verify('hnsw_again_v');
SELECT count(DISTINCT id) FROM (SELECT id FROM hnsw_again ORDER BY v <-> '[0,0,0,0,0,0]' LIMIT 5000) AS s;
SELECT pg_relation_size('hnsw_again_v') <= :before * 1.1 AS no_larger;

-- indexes vacuumed side by side
CREATE INDEX hnsw_again_ip ON hnsw_again USING hnsw (v vector_ip_ops);
CREATE INDEX hnsw_again_cosine ON hnsw_again USING hnsw (v vector_cosine_ops);
DELETE FROM hnsw_again WHERE id % 2 = 0;
CALL pg_temp.wait_for_snapshots();
SET min_parallel_index_scan_size = 0;
VACUUM (PARALLEL 2) hnsw_again;
RESET min_parallel_index_scan_size;
SELECT c.relname, nodes, heap_tids, problems
    FROM pg_class AS c, vecann_verify(c.oid) WHERE relname LIKE 'hnsw_again_%' ORDER BY relname;
DROP INDEX hnsw_again_ip, hnsw_again_cosine;
INSERT INTO hnsw_again SELECT id + 1, v + v, round FROM hnsw_again;

-- ---- updates -----------------------------------------------------------------------------

-- A new version of a row with the same vector joins its node (where a search finds it, which is nearly always).
UPDATE hnsw_again SET round = 10;
SELECT nodes <= 505 AS joined, problems FROM vecann_verify('hnsw_again_v');
UPDATE hnsw_again SET round = 11;
UPDATE hnsw_again SET round = 12 WHERE id <= 100;
SELECT nodes <= 505 AS joined, problems FROM vecann_verify('hnsw_again_v');
SELECT count(*), count(DISTINCT id)
    FROM (SELECT id FROM hnsw_again ORDER BY v <-> '[0,0,0,0,0,0]' LIMIT 5000) AS s;
CALL pg_temp.wait_for_snapshots();
VACUUM hnsw_again;
SELECT nodes, heap_tids, problems FROM vecann_verify('hnsw_again_v');
-- of the vector itself
UPDATE hnsw_again SET v = v + '[1,1,1,1,1,1]' WHERE id <= 50;
SELECT count(*), count(DISTINCT id)
    FROM (SELECT id FROM hnsw_again ORDER BY v <-> '[1,1,1,1,1,1]' LIMIT 5000) AS s;
SELECT count(*) FILTER (WHERE id <= 50) >= 18 AS moved
    FROM (SELECT id FROM hnsw_again ORDER BY v <-> '[1,1,1,1,1,1]' LIMIT 20) AS s;
CALL pg_temp.wait_for_snapshots();
VACUUM hnsw_again;
SELECT nodes, heap_tids, problems FROM vecann_verify('hnsw_again_v');
DROP TABLE hnsw_again;

-- What is left of clusters of which most is deleted stays within reach of the rest. (Before, up to a quarter of the nodes were not.)
CREATE TABLE islands (id int, v vector(8));
CREATE FUNCTION islands_add(n int, add int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO islands SELECT i + add, (SELECT array_agg((hashint4(i * 100 + j + add) & 1023) / 1024.0 + 3 * ((i * 7 + j) % 13 = 0)::int ORDER BY j)
                                  FROM generate_series(1, 8) j)::vector FROM generate_series(1, n) i
$$;
SELECT islands_add(900, 0);
CREATE INDEX islands_v ON islands USING hnsw (v vector_l2_ops);
CREATE INDEX islands_w ON islands USING hnsw (v vector_cosine_ops) WITH (m = 6, ef_construction = 16);
SELECT islands_add(3000, 10000);
DELETE FROM islands WHERE id > 10000;
CALL pg_temp.wait_for_snapshots();
VACUUM islands;
SELECT i AS index, nodes, unreachable, problems FROM unnest(ARRAY['islands_v', 'islands_w']) i, LATERAL vecann_verify(i);
DELETE FROM islands WHERE id % 3 > 0;
CALL pg_temp.wait_for_snapshots();
VACUUM islands;
SELECT i AS index, nodes, unreachable, problems FROM unnest(ARRAY['islands_v', 'islands_w']) i, LATERAL vecann_verify(i);
DROP TABLE islands;
DROP FUNCTION islands_add;

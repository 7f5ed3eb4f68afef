-- vecann_verify: clean indexes of every kind, what it refuses, who may call it.
\set VERBOSITY terse
SET client_min_messages = warning;

CREATE FUNCTION verify_vector(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
    $$SELECT array_agg(((i * (k * 7919 + 13)) % 1009)::real)::vector FROM generate_series(1, 4) k$$;

CREATE TABLE verify_rows (id int, v vector(4));
INSERT INTO verify_rows SELECT i, verify_vector(i) FROM generate_series(1, 400) i;
INSERT INTO verify_rows SELECT i, '[1,2,3,4]' FROM generate_series(1001, 1100) i;
INSERT INTO verify_rows VALUES (2001, NULL), (2002, '[0,0,0,0]');
CREATE INDEX verify_l2 ON verify_rows USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 16);
CREATE INDEX verify_ip ON verify_rows USING hnsw (v vector_ip_ops);
CREATE INDEX verify_cosine ON verify_rows USING hnsw (v vector_cosine_ops) WITH (m = 6);
CREATE INDEX verify_partial ON verify_rows USING hnsw (v vector_l2_ops) WHERE id % 10 = 0;
CREATE INDEX verify_expression ON verify_rows USING hnsw ((l2_normalize(v)::vector(4)) vector_l2_ops);

CREATE VIEW verify_all AS
    SELECT c.relname AS index, r.*
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, vecann_verify(i.indexrelid) r
    WHERE i.indrelid = 'verify_rows'::regclass
    ORDER BY c.relname;
SELECT index, nodes, heap_tids, killed_tids, deleted_slots, problems FROM verify_all;

-- rows gone, and come again
DELETE FROM verify_rows WHERE id % 3 = 0;
SELECT index, nodes, heap_tids, problems FROM verify_all WHERE index = 'verify_l2';
VACUUM verify_rows;
SELECT index, heap_tids, deleted_slots, free_slots > 0 AS some_free, problems FROM verify_all;
UPDATE verify_rows SET id = id + 1 WHERE id % 2 = 0;
INSERT INTO verify_rows SELECT i, verify_vector(i) FROM generate_series(3001, 3400) i;
SELECT index, deleted_slots, problems FROM verify_all;
DELETE FROM verify_rows;
VACUUM verify_rows;
SELECT index, nodes, upper_slots, heap_tids, unreachable, deleted_slots, problems FROM verify_all;

-- an insert that failed leaves a row pointer to a dead row
BEGIN;
INSERT INTO verify_rows VALUES (1, '[1,1,1,1]'), (2, '[2,2,2,2]');
-- in the transaction that wrote
SELECT nodes, heap_tids, problems FROM vecann_verify('verify_l2');
ROLLBACK;
SELECT nodes, heap_tids, problems FROM vecann_verify('verify_l2');

-- read only, any isolation level, locks given back
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT nodes, problems FROM vecann_verify('verify_l2');
SELECT count(*) FROM pg_locks WHERE relation = 'verify_l2'::regclass AND mode = 'ShareLock';
COMMIT;

-- other kinds of tables
CREATE TEMP TABLE verify_temp (v vector(2));
INSERT INTO verify_temp SELECT ARRAY[i, i % 7]::vector FROM generate_series(1, 50) i;
CREATE INDEX verify_temp_v ON verify_temp USING hnsw (v vector_l2_ops);
SELECT nodes, heap_tids, unreachable, problems FROM vecann_verify('verify_temp_v');
CREATE UNLOGGED TABLE verify_unlogged (v vector(2));
INSERT INTO verify_unlogged SELECT ARRAY[i, i % 7]::vector FROM generate_series(1, 50) i;
CREATE INDEX verify_unlogged_v ON verify_unlogged USING hnsw (v vector_l2_ops);
SELECT nodes, heap_tids, unreachable, problems FROM vecann_verify('verify_unlogged_v');
CREATE TABLE verify_empty (v vector(2));
CREATE INDEX verify_empty_v ON verify_empty USING hnsw (v vector_l2_ops);
SELECT * FROM vecann_verify('verify_empty_v');
SELECT vecann_verify(NULL) IS NULL AS no_index;

-- not for these
\set VERBOSITY default
SELECT vecann_verify('verify_rows');
SELECT vecann_verify('verify_all');
SELECT vecann_verify('no_such_index');
SELECT vecann_verify(4294967295::oid::regclass);
SELECT vecann_verify('pg_class_oid_index');
CREATE TABLE verify_parent (k int, v vector(2)) PARTITION BY LIST (k);
CREATE TABLE verify_child PARTITION OF verify_parent FOR VALUES IN (1);
CREATE INDEX verify_parent_v ON verify_parent USING hnsw (v vector_l2_ops);
INSERT INTO verify_parent VALUES (1, '[1,2]');
SELECT vecann_verify('verify_parent_v');
SELECT nodes, problems FROM vecann_verify('verify_child_v_idx');
CREATE TABLE verify_broken (v vector(2));
INSERT INTO verify_broken VALUES ('[1,0]'), ('[0,1]');
CREATE FUNCTION verify_fails(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS
    $$BEGIN IF v::text = '[0,1]' THEN RAISE 'no'; END IF; RETURN v; END$$;
CREATE INDEX CONCURRENTLY verify_invalid ON verify_broken USING hnsw ((verify_fails(v)::vector(2)) vector_l2_ops);
SELECT vecann_verify('verify_invalid');

-- rights: EXECUTE is for pg_stat_scan_tables; with EXECUTE, everybody else verifies indexes of their own tables
CREATE ROLE regress_verify_owner;
CREATE ROLE regress_verify_monitor IN ROLE pg_stat_scan_tables;
GRANT CREATE ON SCHEMA public TO regress_verify_owner, regress_verify_monitor;
SET ROLE regress_verify_owner;
SELECT vecann_verify('verify_l2');
RESET ROLE;
GRANT EXECUTE ON FUNCTION vecann_verify(regclass) TO regress_verify_owner;
SET ROLE regress_verify_owner;
SELECT vecann_verify('verify_l2');
CREATE TABLE verify_owned (v vector(2));
INSERT INTO verify_owned VALUES ('[1,0]'), ('[0,1]');
-- an index function that tells who runs it, and that finds what the search path offers
CREATE FUNCTION verify_name() RETURNS text LANGUAGE sql AS $$SELECT 'owner'::text$$;
CREATE FUNCTION verify_watch(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RAISE WARNING 'as %', current_user;
    BEGIN
        RAISE WARNING 'name of %', verify_name();
    EXCEPTION WHEN undefined_function THEN
        RAISE WARNING 'no name';
    END;
    RETURN v;
END$$;
SET client_min_messages = error;
CREATE INDEX verify_owned_v ON verify_owned USING hnsw ((verify_watch(v)::vector(2)) vector_l2_ops);
SET client_min_messages = warning;
SELECT nodes, problems FROM vecann_verify('verify_owned_v');
RESET ROLE;
CREATE SCHEMA regress_verify_evil AUTHORIZATION regress_verify_monitor;
SET ROLE regress_verify_monitor;
CREATE FUNCTION regress_verify_evil.verify_name() RETURNS text LANGUAGE sql AS $$SELECT 'caller'::text$$;
SET search_path = regress_verify_evil, public;
SELECT nodes, problems FROM vecann_verify('verify_owned_v');
SHOW search_path;
SELECT current_user;
RESET search_path;
RESET ROLE;

DROP TABLE verify_rows, verify_unlogged, verify_empty, verify_parent, verify_broken, verify_owned CASCADE;
DROP SCHEMA regress_verify_evil CASCADE;
DROP FUNCTION verify_vector, verify_fails, verify_watch, verify_name;
REVOKE EXECUTE ON FUNCTION vecann_verify(regclass) FROM regress_verify_owner;
REVOKE CREATE ON SCHEMA public FROM regress_verify_owner, regress_verify_monitor;
DROP ROLE regress_verify_owner, regress_verify_monitor;

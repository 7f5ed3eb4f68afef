-- Access method ivfflat: recall, order, options, rows that are not indexed, inserts, deletes and vacuum, filters, long
-- vectors. Every index ends with the verifier.

SET client_min_messages = warning;
-- The share of the true ten nearest among the ten that an index returns, for `n` rows as queries.
CREATE FUNCTION ivf_recall(tab text, op text, n integer) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    hits bigint := 0;
    q text;
    found bigint[];
    truth bigint[];
BEGIN
    FOR q IN EXECUTE format('SELECT v::text FROM %I WHERE v IS NOT NULL ORDER BY id LIMIT %s', tab, n) LOOP
        SET LOCAL enable_seqscan = off;
        EXECUTE format('SELECT array_agg(id) FROM (SELECT id FROM %I ORDER BY v %s %L LIMIT 10) s', tab, op, q) INTO found;
        SET LOCAL enable_seqscan = on;
        SET LOCAL enable_indexscan = off;
        EXECUTE format('SELECT array_agg(id) FROM (SELECT id FROM %I ORDER BY v %s %L LIMIT 10) s', tab, op, q) INTO truth;
        SET LOCAL enable_indexscan = on;
        hits := hits + (SELECT count(*) FROM unnest(found) f WHERE f = ANY (truth));
    END LOOP;
    RETURN round(hits::numeric / (10 * n), 3);
END $$;
-- Vectors in overlapping groups, the same in every run.
CREATE FUNCTION ivf_row(i integer, dim integer) RETURNS real[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg((hashint4((i % 23) * 100 + j) % 1000 / 250.0 + hashint4(i * 1000 + j) % 1000 / 700.0)::real ORDER BY j)
    FROM generate_series(1, dim) j
$$;
CREATE FUNCTION ivf_problems(index regclass) RETURNS text[] LANGUAGE sql AS
    'SELECT problems FROM vecann_verify(index)';
RESET client_min_messages;

-- vector_l2_ops is the default class
CREATE TABLE ivf (id integer PRIMARY KEY, v vector(12), c integer) WITH (autovacuum_enabled = off);
INSERT INTO ivf SELECT i, ivf_row(i, 12)::vector, i % 100 FROM generate_series(1, 3000) i;
ANALYZE ivf;
CREATE INDEX ivf_l2 ON ivf USING ivfflat (v) WITH (lists = 40);
SELECT nodes, problems FROM vecann_verify('ivf_l2');
SELECT ivf_recall('ivf', '<->', 40) >= 0.5 AS one_list;
SET ivfflat.probes = 8;
SELECT ivf_recall('ivf', '<->', 40) >= 0.95 AS eight_lists;
SET ivfflat.probes = 40;
SELECT ivf_recall('ivf', '<->', 40) AS all_lists;
RESET ivfflat.probes;

-- both kinds of scan, and their order
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM ivf ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]' LIMIT 5;
SELECT count(*) FROM (SELECT id FROM ivf ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]') s;
SELECT count(DISTINCT id) FROM (SELECT id FROM ivf ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]' LIMIT 2000) s;
SET ivfflat.probes = 40;
SELECT bool_and(d >= before) AS ascending FROM (
    SELECT d, lag(d) OVER () AS before FROM (
        SELECT v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]' AS d FROM ivf ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]') s) s;
SET vecann.enable_custom_scan = off;
EXPLAIN (COSTS OFF) SELECT id FROM ivf ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]' LIMIT 5;
SELECT ivf_recall('ivf', '<->', 10) AS plain_scan;
SELECT bool_and(d >= before) AS ascending FROM (
    SELECT d, lag(d) OVER () AS before FROM (
        SELECT v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]' AS d FROM ivf ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]') s) s;
RESET ivfflat.probes;
SELECT count(*) FROM (SELECT id FROM ivf ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]') s;
RESET vecann.enable_custom_scan;

-- iterative scans, and their limits
SET ivfflat.iterative_scan = off;
SELECT count(*) < 3000 AS some FROM (SELECT id FROM ivf ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]') s;
SET ivfflat.probes = 40;
SELECT count(*) FROM (SELECT id FROM ivf ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]') s;
SET ivfflat.iterative_scan = strict_order;
RESET ivfflat.iterative_scan;
SET ivfflat.probes = 3;
SET ivfflat.max_probes = 5;
SELECT count(*) < 3000 AS some FROM (SELECT id FROM ivf ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]') s;
RESET ivfflat.max_probes;
RESET ivfflat.probes;
SET ivfflat.probes = 0;
SET ivfflat.probes = 32769;
SET ivfflat.unknown = 1;

-- a NULL query returns all rows in no order
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM ivf ORDER BY v <-> NULL) s;
SELECT count(*) FROM (SELECT id FROM ivf ORDER BY v <-> '[1,1]' LIMIT 1) s;

-- conditions
CREATE INDEX ivf_c ON ivf (c);
SELECT count(*) FROM (SELECT id FROM ivf WHERE c = 7 ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]' LIMIT 20) s;
SELECT count(*) FROM (SELECT id FROM ivf WHERE c < 30 ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]' LIMIT 600) s;
SET vecann.enable_exact_search = off;
SET vecann.enable_post_filter = off;
EXPLAIN (COSTS OFF) SELECT id FROM ivf WHERE c < 5 ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]' LIMIT 20;
SELECT count(*), max(c) FROM (SELECT id, c FROM ivf WHERE c < 5 ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]' LIMIT 20) s;
SELECT count(*), max(c) FROM (SELECT id, c FROM ivf WHERE c < 5 ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]') s;
RESET vecann.enable_exact_search;
RESET vecann.enable_post_filter;
RESET enable_seqscan;

-- inserts, deletes, vacuum: pages are used again
INSERT INTO ivf SELECT i, ivf_row(i, 12)::vector, i % 100 FROM generate_series(3001, 6000) i;
SELECT nodes, problems FROM vecann_verify('ivf_l2');
SET ivfflat.probes = 8;
SELECT ivf_recall('ivf', '<->', 40) >= 0.95 AS grown;
CREATE TABLE ivf_size AS SELECT pg_relation_size('ivf_l2') AS bytes;
DELETE FROM ivf WHERE id > 2000;
VACUUM (INDEX_CLEANUP ON) ivf;
SELECT nodes, problems FROM vecann_verify('ivf_l2');
SELECT ivf_recall('ivf', '<->', 40) >= 0.95 AS shrunk;
INSERT INTO ivf SELECT i, ivf_row(i, 12)::vector, i % 100 FROM generate_series(2001, 6000) i;
SELECT nodes, problems FROM vecann_verify('ivf_l2');
SELECT pg_relation_size('ivf_l2') <= bytes * 1.1 AS used_again FROM ivf_size;
DELETE FROM ivf;
VACUUM (INDEX_CLEANUP ON) ivf;
SELECT nodes, problems FROM vecann_verify('ivf_l2');
SELECT count(*) FROM ivf WHERE (v <-> '[1,1,1,1,1,1,1,1,1,1,1,1]') < 1000;
INSERT INTO ivf SELECT i, ivf_row(i, 12)::vector, i % 100 FROM generate_series(1, 3000) i;
SELECT nodes, problems FROM vecann_verify('ivf_l2');
REINDEX INDEX ivf_l2;
SELECT nodes, problems FROM vecann_verify('ivf_l2');
DROP INDEX ivf_l2;

-- the other classes
SET ivfflat.probes = 12;
CREATE INDEX ivf_ip ON ivf USING ivfflat (v vector_ip_ops) WITH (lists = 30);
SELECT ivf_recall('ivf', '<#>', 40) >= 0.9 AS recall, ivf_problems('ivf_ip');
DROP INDEX ivf_ip;
CREATE INDEX ivf_cosine ON ivf USING ivfflat (v vector_cosine_ops) WITH (lists = 30);
INSERT INTO ivf VALUES (0, '[0,0,0,0,0,0,0,0,0,0,0,0]', 0), (-1, NULL, 0);
SELECT ivf_recall('ivf', '<=>', 40) >= 0.9 AS recall, nodes, problems FROM vecann_verify('ivf_cosine');
REINDEX INDEX ivf_cosine;
SELECT nodes, problems FROM vecann_verify('ivf_cosine');
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM ivf ORDER BY v <=> '[0,0,0,0,0,0,0,0,0,0,0,0]') s;
SELECT count(*) FROM (SELECT id FROM ivf ORDER BY v <=> '[1,0,0,0,0,0,0,0,0,0,0,0]') s;
RESET enable_seqscan;
DROP INDEX ivf_cosine;
DELETE FROM ivf WHERE id <= 0;
ALTER TABLE ivf ALTER v TYPE halfvec(12);
ANALYZE ivf;
CREATE INDEX ivf_half ON ivf USING ivfflat (v halfvec_l2_ops) WITH (lists = 30, seed = 7);
SELECT ivf_recall('ivf', '<->', 40) >= 0.95 AS recall, nodes, problems FROM vecann_verify('ivf_half');
DROP INDEX ivf_half;
CREATE INDEX ivf_half ON ivf USING ivfflat (v halfvec_ip_ops) WITH (lists = 30);
SELECT ivf_recall('ivf', '<#>', 40) >= 0.9 AS recall, nodes, problems FROM vecann_verify('ivf_half');
DROP INDEX ivf_half;
CREATE INDEX ivf_half ON ivf USING ivfflat (v halfvec_cosine_ops) WITH (lists = 30);
INSERT INTO ivf SELECT i, ivf_row(i, 12)::vector, i % 100 FROM generate_series(3001, 3300) i;
SELECT ivf_recall('ivf', '<=>', 40) >= 0.9 AS recall, nodes, problems FROM vecann_verify('ivf_half');
RESET ivfflat.probes;
DROP TABLE ivf, ivf_size;

-- an empty table, and few rows
CREATE TABLE few (id serial, v vector(3));
CREATE INDEX few_v ON few USING ivfflat (v);
INSERT INTO few (v) SELECT ARRAY[i, i % 3, 1]::vector FROM generate_series(1, 200) i;
SELECT nodes, problems FROM vecann_verify('few_v');
SET enable_seqscan = off;
SELECT id FROM few ORDER BY v <-> '[7,1,1]' LIMIT 3;
REINDEX INDEX few_v;
SELECT nodes, problems FROM vecann_verify('few_v');
SELECT id FROM few ORDER BY v <-> '[7,1,1]' LIMIT 1;
RESET enable_seqscan;
INSERT INTO few (v) SELECT '[1,2,3]' FROM generate_series(1, 3000);
SELECT nodes, problems FROM vecann_verify('few_v');
SET client_min_messages = warning;
REINDEX INDEX few_v;
RESET client_min_messages;
SELECT nodes, problems FROM vecann_verify('few_v');
DROP TABLE few;

-- options and columns that are refused
CREATE TABLE refused (v vector, w vector(3), b bit(8), s sparsevec(3));
CREATE INDEX ON refused USING ivfflat (v);
CREATE INDEX ON refused USING ivfflat (w) WITH (lists = 0);
CREATE INDEX ON refused USING ivfflat (w) WITH (lists = 32769);
CREATE INDEX ON refused USING ivfflat (w) WITH (m = 3);
CREATE INDEX ON refused USING ivfflat (w vector_l1_ops);
CREATE INDEX ON refused USING ivfflat (s);
CREATE INDEX ON refused USING ivfflat (w, v);
CREATE UNIQUE INDEX ON refused USING ivfflat (w);
DROP TABLE refused;

-- vectors that take more than a page: 3,000 dimensions one part, 16,000 seven
CREATE TABLE long (id serial, v vector(3000)) WITH (autovacuum_enabled = off);
INSERT INTO long (v) SELECT ivf_row(i, 3000)::vector FROM generate_series(1, 60) i;
CREATE INDEX long_v ON long USING ivfflat (v) WITH (lists = 5);
SELECT nodes, problems FROM vecann_verify('long_v');
INSERT INTO long (v) SELECT ivf_row(i, 3000)::vector FROM generate_series(61, 100) i;
SELECT nodes, problems FROM vecann_verify('long_v');
SET ivfflat.probes = 5;
SELECT ivf_recall('long', '<->', 10) AS recall;
DELETE FROM long WHERE id % 2 = 0;
VACUUM (INDEX_CLEANUP ON) long;
SELECT nodes, problems FROM vecann_verify('long_v');
INSERT INTO long (v) SELECT ivf_row(i, 3000)::vector FROM generate_series(101, 150) i;
SELECT nodes, problems FROM vecann_verify('long_v');
SELECT ivf_recall('long', '<->', 10) AS recall;
RESET ivfflat.probes;
DROP TABLE long;
CREATE TABLE long (id serial, v vector(16000));
SET client_min_messages = warning;
CREATE INDEX long_v ON long USING ivfflat (v vector_cosine_ops);
RESET client_min_messages;
INSERT INTO long (v) SELECT ivf_row(i, 16000)::vector FROM generate_series(1, 5) i;
SELECT nodes, problems FROM vecann_verify('long_v');
SET enable_seqscan = off;
SELECT array_agg(id) FROM (SELECT id FROM long ORDER BY v <=> (SELECT v FROM long WHERE id = 3) LIMIT 1) s;
RESET enable_seqscan;
DROP TABLE long;

-- partial indexes, expressions, unlogged and temporary tables, CONCURRENTLY
CREATE UNLOGGED TABLE kinds (id serial, v real[]);
INSERT INTO kinds (v) SELECT ARRAY[i % 7, i % 11] FROM generate_series(1, 2000) i;
CREATE INDEX kinds_v ON kinds USING ivfflat ((v::vector(2))) WITH (lists = 10) WHERE id % 2 = 0;
INSERT INTO kinds (v) SELECT ARRAY[i % 7, i % 11] FROM generate_series(2001, 3000) i;
SELECT nodes, problems FROM vecann_verify('kinds_v');
CREATE INDEX CONCURRENTLY kinds_w ON kinds USING ivfflat ((v::vector(2)) vector_ip_ops) WITH (lists = 10);
REINDEX INDEX CONCURRENTLY kinds_w;
SELECT nodes, problems FROM vecann_verify('kinds_w');
DROP TABLE kinds;
CREATE TEMP TABLE kinds (id serial, v vector(2));
INSERT INTO kinds (v) SELECT ARRAY[i % 7, i % 11]::vector FROM generate_series(1, 2000) i;
CREATE INDEX kinds_v ON kinds USING ivfflat (v) WITH (lists = 10);
DELETE FROM kinds WHERE id % 3 > 0;
VACUUM (INDEX_CLEANUP ON) kinds;
INSERT INTO kinds (v) SELECT ARRAY[i % 7, i % 11]::vector FROM generate_series(1, 2000) i;
SELECT nodes, problems FROM vecann_verify('kinds_v');
DROP TABLE kinds;

DROP FUNCTION ivf_recall(text, text, integer), ivf_row(integer, integer), ivf_problems(regclass);

-- Access method ivfpq: every quantizer and class above its floor of recall, with the probes that the index chose; inserts,
-- growth, deletes and vacuum, filters, both kinds of scan, options. Every index ends with the verifier.

SET client_min_messages = warning;
-- Vectors in overlapping groups, the same in every run.
CREATE TABLE pq (id integer PRIMARY KEY, v vector(24), c integer) WITH (autovacuum_enabled = off);
CREATE FUNCTION pq_row(i integer) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg((hashint4((i % 31) * 100 + j) % 1000 / 300.0 + hashint4(i * 1000 + j) % 1000 / 700.0)::real ORDER BY j)::vector
    FROM generate_series(1, 24) j
$$;
INSERT INTO pq SELECT i, pq_row(i), i % 50 FROM generate_series(1, 4000) i;
ALTER TABLE pq ALTER v SET STORAGE plain;
ANALYZE pq;
CREATE TABLE pq_truth (op text, query integer, id integer);
-- The ten nearest rows to some by each operator, as the table is now.
CREATE FUNCTION pq_know() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    op text;
BEGIN
    TRUNCATE pq_truth;
    SET LOCAL enable_indexscan = off;
    FOREACH op IN ARRAY ARRAY['<->', '<#>', '<=>'] LOOP
        EXECUTE format('INSERT INTO pq_truth SELECT %1$L, q.id, s.id FROM pq q,
            LATERAL (SELECT id FROM pq ORDER BY v %1$s q.v LIMIT 10) s WHERE q.id %% 197 = 5 AND q.id < 4000', op);
    END LOOP;
END $$;
-- The share of them that an index returns.
CREATE FUNCTION pq_recall(op text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    share numeric;
BEGIN
    SET LOCAL enable_seqscan = off;
    EXECUTE format('SELECT round(count(t.id) / (10.0 * count(DISTINCT q.id)), 3) FROM pq q CROSS JOIN
        LATERAL (SELECT id FROM pq ORDER BY v %1$s q.v LIMIT 10) s
        LEFT JOIN pq_truth t ON t.op = %1$L AND t.query = q.id AND t.id = s.id
        WHERE q.id %% 197 = 5 AND q.id < 4000', op) INTO share;
    RETURN share;
END $$;
SELECT pq_know();

-- what is below its floor, or has problems; nothing
CREATE FUNCTION pq_try(options text, class text, op text, floor numeric) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    recall numeric;
    problems text[];
    rows bigint;
BEGIN
    EXECUTE format('CREATE INDEX pq_v ON pq USING ivfpq (v %s) WITH (%s)', class, options);
    recall := pq_recall(op);
    SELECT v.problems, v.nodes INTO problems, rows FROM vecann_verify('pq_v') v;
    IF recall < floor OR problems <> '{}' OR rows <> (SELECT count(*) FROM pq) THEN
        RETURN NEXT format('%s %s: recall %s, %s rows, problems %s', options, class, recall, rows, problems);
    END IF;
    DROP INDEX pq_v;
END $$;
SELECT pq_try(options, 'vector_' || class || '_ops', op, 0.95)
FROM (VALUES ('quantizer = pq'), ('quantizer = pq, bits = 8'), ('opq = true, seed = 3'), ('m = 5'), ('m = 7, bits = 8'),
             ('quantizer = rabitq'), ('quantizer = sq8'), ('quantizer = none'), ('lists = 100'), ('lists = 1'),
             ('rerank = stored'), ('rerank = stored, bits = 8, m = 6'), ('rerank = stored, opq = true'),
             ('rerank = stored, quantizer = rabitq')) AS o (options),
     (VALUES ('l2', '<->'), ('ip', '<#>'), ('cosine', '<=>')) AS c (class, op);

-- What the index chooses where the options say nothing: codes by the dimensions, and by what is said of sub-quantizers.
CREATE TABLE pq_wide (v vector(256));
INSERT INTO pq_wide SELECT array_agg(hashint4(i * 256 + j) % 1000 ORDER BY j)::vector
FROM generate_series(1, 600) i, generate_series(1, 256) j GROUP BY i;
CREATE FUNCTION pq_size(options text, relation regclass) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE INDEX pq_sized ON %s USING ivfpq (v vector_l2_ops) WITH (lists = 2, %s)', relation, options);
    RETURN pg_relation_size('pq_sized');
END $$;
CREATE TABLE pq_sizes (options text, relation text, bytes bigint);
DO $$
DECLARE
    relation text;
    options text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['pq', 'pq_wide'] LOOP
        FOREACH options IN ARRAY ARRAY['seed = 1', 'quantizer = pq', 'quantizer = rabitq'] LOOP
            INSERT INTO pq_sizes VALUES (options, relation, pq_size(options, relation));
            DROP INDEX pq_sized;
        END LOOP;
    END LOOP;
END $$;
SELECT s.relation, o.options AS as_large_as
FROM pq_sizes s JOIN pq_sizes o ON o.relation = s.relation AND o.bytes = s.bytes AND o.options IN ('quantizer = pq', 'quantizer = rabitq')
WHERE s.options = 'seed = 1' ORDER BY 1;
DROP FUNCTION pq_size;
DROP TABLE pq_wide, pq_sizes;

-- rows that come and go
CREATE INDEX pq_a ON pq USING ivfpq (v vector_l2_ops);
INSERT INTO pq SELECT i, pq_row(i), i % 50 FROM generate_series(4001, 8000) i;
SELECT pq_know();
SELECT pq_recall('<->') >= 0.95 AS grown, nodes, problems FROM vecann_verify('pq_a');
DELETE FROM pq WHERE id % 3 = 0;
SELECT pq_know();
SELECT pq_recall('<->') >= 0.95 AS deleted, nodes, problems FROM vecann_verify('pq_a');
VACUUM (INDEX_CLEANUP ON) pq;
SELECT pq_recall('<->') >= 0.95 AS vacuumed, nodes, problems FROM vecann_verify('pq_a');
CREATE TABLE pq_size AS SELECT pg_relation_size('pq_a') AS bytes;
INSERT INTO pq SELECT i, pq_row(i), i % 50 FROM generate_series(3, 8000, 3) i;
SELECT pg_relation_size('pq_a') <= bytes * 1.1 AS used_again FROM pq_size;
SELECT pq_know();
SELECT pq_recall('<->') >= 0.95 AS refilled, nodes, problems FROM vecann_verify('pq_a');
UPDATE pq SET v = v + v WHERE id % 10 = 0;
DELETE FROM pq WHERE id % 10 BETWEEN 1 AND 6;
VACUUM (INDEX_CLEANUP ON) pq;
SELECT nodes, problems FROM vecann_verify('pq_a');

-- every row comes; codes estimate the order, so that a row may come late
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM pq ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]' LIMIT 5;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM pq ORDER BY v <-> pq_row(1)) s;
SET ivfpq.probes = 1000;
SELECT count(*) FILTER (WHERE d < before) < 3 AS nearly_ascending FROM (
    SELECT d, lag(d) OVER () AS before FROM (SELECT v <-> pq_row(1) AS d FROM pq ORDER BY v <-> pq_row(1) LIMIT 20) s) s;
SET vecann.enable_custom_scan = off;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM pq ORDER BY v <-> pq_row(1)) s;
SELECT count(*) FILTER (WHERE d < before) < 3 AS nearly_ascending FROM (
    SELECT d, lag(d) OVER () AS before FROM (SELECT v <-> pq_row(1) AS d FROM pq ORDER BY v <-> pq_row(1) LIMIT 20) s) s;
RESET vecann.enable_custom_scan;
RESET ivfpq.probes;
SET ivfpq.iterative_scan = off;
SET ivfpq.probes = 1;
SELECT count(*) < 3000 AS some FROM (SELECT id FROM pq ORDER BY v <-> pq_row(1)) s;
RESET ivfpq.iterative_scan;
RESET ivfpq.probes;
SELECT count(*) FROM (SELECT id FROM pq ORDER BY v <-> NULL) s;

-- however many rows the query takes, no more are kept at a time than fit work_mem
CREATE TABLE pq_all (id integer, v vector(4)) WITH (autovacuum_enabled = off);
INSERT INTO pq_all SELECT i, ARRAY[sin(i), cos(i * 0.7), sin(i * 0.3), i % 13]::vector FROM generate_series(1, 20000) i;
CREATE INDEX pq_all_v ON pq_all USING ivfpq (v vector_l2_ops) WITH (lists = 20);
SET work_mem = '64kB';
CREATE FUNCTION pq_memory() RETURNS TABLE (rows_read bigint, ids bigint, bounded boolean) LANGUAGE plpgsql AS $$
DECLARE
    rows CURSOR FOR SELECT id FROM pq_all ORDER BY v <-> '[0.5,0.5,0.5,6]';
    row integer;
    most numeric := 0;
    found_ids integer[] := '{}';
BEGIN
    OPEN rows;
    LOOP
        FETCH rows INTO row;
        EXIT WHEN NOT FOUND;
        found_ids := found_ids || row;
        IF cardinality(found_ids) % 3000 = 500 THEN
            most := greatest(most, (SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'ivf scan'));
        END IF;
    END LOOP;
    RETURN QUERY SELECT count(*), count(DISTINCT f), most < 500000 FROM unnest(found_ids) f;
END $$;
SELECT * FROM pq_memory();
SET ivfpq.probes = 20;
SELECT * FROM pq_memory();
SET vecann.enable_custom_scan = off;
SELECT * FROM pq_memory();
RESET ivfpq.probes;
SELECT * FROM pq_memory();
RESET vecann.enable_custom_scan;
-- one list has them all
UPDATE pq_all SET v = '[9,9,9,9]' WHERE id > 500;
SELECT * FROM pq_memory();
RESET work_mem;
DROP FUNCTION pq_memory;
DROP TABLE pq_all;

-- conditions
CREATE INDEX pq_c ON pq (c);
SET vecann.enable_exact_search = off;
SET vecann.enable_post_filter = off;
EXPLAIN (COSTS OFF) SELECT id FROM pq WHERE c < 9 ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]' LIMIT 20;
SELECT count(*), max(c) FROM (SELECT id, c FROM pq WHERE c < 9 ORDER BY v <-> pq_row(2) LIMIT 20) s;
SELECT count(*) = (SELECT count(*) FROM pq WHERE c < 9) AS all_of_them
FROM (SELECT id FROM pq WHERE c < 9 ORDER BY v <-> pq_row(2)) s;
RESET vecann.enable_exact_search;
RESET vecann.enable_post_filter;
RESET enable_seqscan;
DROP TABLE pq_size;

-- halfvec
DROP INDEX pq_a;
ALTER TABLE pq ALTER v TYPE halfvec(24);
CREATE INDEX pq_a ON pq USING ivfpq (v halfvec_l2_ops);
CREATE INDEX pq_b ON pq USING ivfpq (v halfvec_ip_ops) WITH (quantizer = rabitq);
CREATE INDEX pq_d ON pq USING ivfpq (v halfvec_cosine_ops) WITH (quantizer = sq8);
INSERT INTO pq SELECT i, pq_row(i), i % 50 FROM generate_series(8001, 8100) i;
SELECT nodes, problems FROM vecann_verify('pq_a');
SELECT nodes, problems FROM vecann_verify('pq_b');
SELECT nodes, problems FROM vecann_verify('pq_d');
SELECT pq_know();
SELECT pq_recall('<->') >= 0.95 AS l2, pq_recall('<#>') >= 0.95 AS ip, pq_recall('<=>') >= 0.95 AS cosine;
DROP TABLE pq, pq_truth;
RESET client_min_messages;

-- an empty table has nothing to learn from
CREATE TABLE pq (id serial, v vector(40));
CREATE INDEX pq_a ON pq USING ivfpq (v vector_cosine_ops);
INSERT INTO pq (v) SELECT (SELECT array_agg(hashint4(i * 100 + j) % 100) FROM generate_series(1, 40) j)::vector FROM generate_series(1, 300) i;
INSERT INTO pq (v) VALUES (NULL), ((SELECT array_agg(0) FROM generate_series(1, 40))::vector);
SELECT nodes, problems FROM vecann_verify('pq_a');
REINDEX INDEX pq_a;
SELECT nodes, problems FROM vecann_verify('pq_a');

-- vacuum makes the lists of an index that was made on an empty table
CREATE TABLE late (id serial, v vector(24), h halfvec(24)) WITH (autovacuum_enabled = off);
SET client_min_messages = warning;
CREATE INDEX late_pq ON late USING ivfpq (v vector_l2_ops) WITH (sample = 300);
CREATE INDEX late_ip ON late USING ivfpq (v vector_ip_ops) WITH (sample = 300, opq = true);
CREATE INDEX late_half ON late USING ivfpq (h halfvec_cosine_ops) WITH (sample = 300, quantizer = rabitq);
CREATE INDEX late_none ON late USING ivfpq (h halfvec_cosine_ops) WITH (sample = 300, quantizer = none, lists = 20);
CREATE INDEX late_stored ON late USING ivfpq (v vector_l2_ops) WITH (sample = 300, quantizer = pq, rerank = stored);
INSERT INTO late (v, h) SELECT pq_row(i), pq_row(i)::halfvec FROM generate_series(1, 290) i;
VACUUM late;
SELECT rows, lists, learnt, learnt_rows, reindex_due, advice FROM vecann_list_stats('late_pq');
INSERT INTO late (v, h) SELECT pq_row(i), pq_row(i)::halfvec FROM generate_series(291, 600) i;
SELECT rows, lists, learnt, reindex_due, advice FROM vecann_list_stats('late_pq');
DELETE FROM late WHERE id % 10 = 0;
VACUUM late;
SELECT c::regclass, rows, lists, learnt, learnt_rows, reindex_due, advice, nodes, problems
FROM unnest(ARRAY['late_pq', 'late_ip', 'late_half', 'late_none', 'late_stored']::regclass[]) c, LATERAL vecann_list_stats(c), LATERAL vecann_verify(c);
ALTER TABLE late RENAME TO pq_late;
ALTER TABLE pq RENAME TO pq_empty;
ALTER TABLE pq_late RENAME TO pq;
CREATE TABLE pq_truth (op text, query integer, id integer);
SELECT pq_know();
SELECT pq_recall('<->') >= 0.95 AS l2, pq_recall('<#>') >= 0.95 AS ip, pq_recall('<=>') >= 0.95 AS cosine;
-- ten times the rows: recall stays, and the statistics say that a REINDEX is due
INSERT INTO pq (v, h) SELECT pq_row(i), pq_row(i)::halfvec FROM generate_series(601, 6000) i;
SELECT pq_know();
SELECT pq_recall('<->') >= 0.93 AS l2, pq_recall('<#>') >= 0.93 AS ip;
SELECT c::regclass, rows, lists, learnt_rows, reindex_due, advice, problems
FROM unnest(ARRAY['late_pq', 'late_ip']::regclass[]) c, LATERAL vecann_list_stats(c), LATERAL vecann_verify(c);
DELETE FROM pq WHERE id % 7 = 0;
VACUUM (INDEX_CLEANUP ON) pq;
INSERT INTO pq (v, h) SELECT v, h FROM pq LIMIT 500;
SELECT c, problems FROM unnest(ARRAY['late_pq', 'late_half', 'late_stored']::regclass[]) c, LATERAL vecann_verify(c);
DROP TABLE pq, pq_truth;
ALTER TABLE pq_empty RENAME TO pq;
RESET client_min_messages;
-- vectors too long for a page, of which VACUUM makes codes; their part pages serve nobody any more
CREATE TABLE late (id serial, v vector(3000)) WITH (autovacuum_enabled = off);
SET client_min_messages = warning;
CREATE INDEX late_codes ON late USING ivfpq (v vector_l2_ops) WITH (sample = 150, lists = 5);
INSERT INTO late (v) SELECT (SELECT array_agg(hashint4(i * 4000 + j) % 100) FROM generate_series(1, 3000) j)::vector FROM generate_series(1, 150) i;
VACUUM late;
SELECT lists, learnt, problems FROM vecann_list_stats('late_codes'), vecann_verify('late_codes');
DELETE FROM late WHERE id % 5 = 0;
VACUUM (INDEX_CLEANUP ON) late;
INSERT INTO late (v) SELECT v FROM late LIMIT 20;
SELECT retired_pages, nodes, problems FROM vecann_list_stats('late_codes'), vecann_verify('late_codes');
DROP INDEX late_codes;
-- codes of so many dimensions leave room for the pointers to stored payloads; options are checked when they are changed, too
CREATE INDEX late_codes ON late USING ivfpq (v vector_l2_ops) WITH (rerank = stored, lists = 2);
CREATE INDEX late_half ON late USING ivfpq ((v::halfvec(3000)) halfvec_l2_ops) WITH (rerank = stored, lists = 2);
SELECT c, nodes, problems FROM unnest(ARRAY['late_codes', 'late_half']::regclass[]) c, LATERAL vecann_verify(c);
ALTER INDEX late_codes SET (quantizer = sq8);
ALTER INDEX late_codes SET (bits = 5);
DROP TABLE late;
-- a scan of all rows in little memory, which lists join while it goes on: each row once
CREATE TABLE late (id integer, v vector(8)) WITH (autovacuum_enabled = off);
INSERT INTO late SELECT i, (SELECT array_agg(sin(i * j * 0.37) + (i % 40)) FROM generate_series(1, 8) j)::vector FROM generate_series(1, 12000) i;
CREATE INDEX late_all ON late USING ivfpq (v vector_l2_ops) WITH (lists = 40);
SET work_mem = '64kB';
SET enable_seqscan = off;
SET enable_sort = off;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM late ORDER BY v <-> '[5,5,5,5,5,5,5,5]' OFFSET 0) s;
SET vecann.enable_custom_scan = off;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM late ORDER BY v <-> '[5,5,5,5,5,5,5,5]' OFFSET 0) s;
RESET vecann.enable_custom_scan;
RESET work_mem;
RESET enable_seqscan;
RESET enable_sort;
RESET client_min_messages;
DROP TABLE late;
SELECT vecann_list_stats('pq');
SELECT vecann_list_stats('pg_class_oid_index');

-- options that are refused
CREATE INDEX ON pq USING ivfpq (v);
CREATE INDEX ON pq USING ivfpq (v vector_l2_ops) WITH (bits = 5);
CREATE INDEX ON pq USING ivfpq (v vector_l2_ops) WITH (m = 41);
CREATE INDEX ON pq USING ivfpq (v vector_l2_ops) WITH (quantizer = lossless);
CREATE INDEX ON pq USING ivfpq (v vector_l2_ops) WITH (lists = 32769);
CREATE INDEX ON pq USING ivfpq (v vector_l2_ops) WITH (rerank = table);
CREATE INDEX ON pq USING ivfpq (v vector_l2_ops) WITH (rerank = stored, quantizer = sq8);
SET ivfpq.probes = -1;
DROP TABLE pq;

-- unlogged: what is left after a crash is an index without codes
CREATE UNLOGGED TABLE pq (id serial, v vector(3));
INSERT INTO pq (v) SELECT ARRAY[i, i % 7, i % 11]::vector FROM generate_series(1, 3000) i;
CREATE INDEX pq_a ON pq USING ivfpq (v vector_l2_ops);
SELECT nodes, problems FROM vecann_verify('pq_a');
DROP TABLE pq;

-- many dimensions
CREATE TABLE pq (id serial, v vector(3000));
INSERT INTO pq (v) SELECT (SELECT array_agg(hashint4(i * 10000 + j) % 100) FROM generate_series(1, 3000) j)::vector FROM generate_series(1, 100) i;
SET client_min_messages = warning;
CREATE INDEX pq_a ON pq USING ivfpq (v vector_l2_ops);
CREATE INDEX pq_b ON pq USING ivfpq (v vector_l2_ops) WITH (quantizer = rabitq);
CREATE INDEX pq_d ON pq USING ivfpq (v vector_l2_ops) WITH (bits = 8);
CREATE INDEX pq_e ON pq USING ivfpq (v vector_l2_ops) WITH (quantizer = sq8);
CREATE INDEX pq_f ON pq USING ivfpq (v vector_l2_ops) WITH (rerank = stored);
CREATE INDEX pq_g ON pq USING ivfpq (v vector_cosine_ops) WITH (rerank = stored, quantizer = rabitq);
INSERT INTO pq (v) SELECT v FROM pq;
SELECT i, nodes, problems FROM unnest(ARRAY['pq_a', 'pq_b', 'pq_d', 'pq_e', 'pq_f', 'pq_g']) i, vecann_verify(i::regclass);
DROP TABLE pq;

-- payloads of several pages each, exact ones of half precision
CREATE TABLE pq (id serial, v halfvec(12000));
INSERT INTO pq (v) SELECT (SELECT array_agg(hashint4(i * 20000 + j) % 100 / 8.0) FROM generate_series(1, 12000) j)::halfvec FROM generate_series(1, 60) i;
CREATE INDEX pq_a ON pq USING ivfpq (v halfvec_l2_ops) WITH (rerank = stored, lists = 2, m = 100);
INSERT INTO pq (v) SELECT (SELECT array_agg(hashint4(i * 20000 + j) % 100 / 8.0) FROM generate_series(1, 12000) j)::halfvec FROM generate_series(61, 80) i;
SELECT nodes, problems FROM vecann_verify('pq_a');
SET enable_seqscan = off;
SELECT bool_and(id = near) FROM (SELECT id, v FROM pq WHERE id % 7 = 0) q, LATERAL (SELECT p.id AS near FROM pq p ORDER BY p.v <-> q.v LIMIT 1) p;
DELETE FROM pq WHERE id % 2 = 0;
VACUUM (INDEX_CLEANUP ON) pq;
CREATE TABLE pq_size AS SELECT pg_relation_size('pq_a') AS bytes;
INSERT INTO pq (v) SELECT v FROM pq LIMIT 30;
SELECT pg_relation_size('pq_a') = bytes AS used_again FROM pq_size;
SELECT nodes, problems FROM vecann_verify('pq_a');
DROP TABLE pq, pq_size;

-- exact payloads of whole numbers, beside vectors that the table keeps out of line: both scans return what a scan of the
-- table returns, and the distances are the same to the last bit
CREATE TABLE pq (id integer PRIMARY KEY, v vector(700), c integer) WITH (autovacuum_enabled = off);
ALTER TABLE pq ALTER v SET STORAGE external;
INSERT INTO pq SELECT i, (SELECT array_agg(abs(hashint4((i % 9) * 1000 + j) % 120) + abs(hashint4(i * 1000 + j) % 100)) FROM generate_series(1, 700) j)::vector, i % 10
FROM generate_series(1, 700) i;
CREATE INDEX pq_a ON pq USING ivfpq (v vector_l2_ops) WITH (rerank = stored);
CREATE INDEX pq_b ON pq USING ivfpq (v vector_ip_ops) WITH (rerank = stored, quantizer = rabitq);
INSERT INTO pq SELECT i, (SELECT array_agg(abs(hashint4((i % 9) * 1000 + j) % 120) + abs(hashint4(i * 1000 + j) % 100)) FROM generate_series(1, 700) j)::vector, i % 10
FROM generate_series(701, 1000) i;
DELETE FROM pq WHERE id % 5 = 0;
VACUUM (INDEX_CLEANUP ON) pq;
INSERT INTO pq SELECT i, (SELECT array_agg(abs(hashint4((i % 9) * 1000 + j) % 120) + abs(hashint4(i * 1000 + j) % 100)) FROM generate_series(1, 700) j)::vector, i % 10
FROM generate_series(5, 1000, 10) i;
ANALYZE pq;
SELECT i, nodes, problems FROM unnest(ARRAY['pq_a', 'pq_b']) i, vecann_verify(i::regclass);
CREATE FUNCTION pq_same(op text, condition text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    ask text := format('SELECT array_agg(array[q.id, s.id]::text || s.d ORDER BY q.id, s.d, s.id) FROM (SELECT * FROM pq WHERE id %% 91 = 1) q,
        LATERAL (SELECT p.id, p.v %1$s q.v AS d FROM pq p WHERE %2$s ORDER BY p.v %1$s q.v LIMIT 10) s', op, condition);
    truth text[];
    found text[];
BEGIN
    SET LOCAL enable_indexscan = off;
    EXECUTE ask INTO truth;
    SET LOCAL enable_indexscan = on;
    SET LOCAL enable_seqscan = off;
    SET LOCAL ivfpq.probes = 1000;
    FOR custom IN 0 .. 1 LOOP
        PERFORM set_config('vecann.enable_custom_scan', custom::text, true);
        EXECUTE ask INTO found;
        RETURN NEXT CASE WHEN (SELECT count(*) FROM unnest(truth) t WHERE t = ANY (found)) >= 0.97 * cardinality(truth)
            AND cardinality(found) = cardinality(truth) THEN 'the same' ELSE format('%s: %s / %s', op, truth, found) END;
    END LOOP;
END $$;
SELECT pq_same('<->', 'true'), pq_same('<#>', 'true');
SELECT pq_same('<->', 'c < 5'), pq_same('<#>', 'c = 3');
DROP TABLE pq;
DROP FUNCTION pq_same(text, text);
DROP FUNCTION pq_row(integer), pq_know(), pq_recall(text), pq_try(text, text, text, numeric);

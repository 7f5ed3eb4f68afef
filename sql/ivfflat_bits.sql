-- Bit strings in ivfflat: recall, order by both kinds of scan, values from the index, filters, inserts, deletes and vacuum,
-- lengths, rows that are not indexed, what is refused.

SET client_min_messages = warning;
-- `n` bits of some twenty patterns with noise, the same in every run
CREATE FUNCTION ivf_bits(i integer, n integer) RETURNS bit varying LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(CASE WHEN hashint4((i % 20) * 1000 + k) % 1000 > CASE WHEN hashint4(i * 1000 + k) % 100 < 70 THEN 0 ELSE 700 END
                      THEN '1' ELSE '0' END, '' ORDER BY k)::bit varying FROM generate_series(1, n) k
$$;
-- The rows by a scan of the index, with their places; `custom`: by which kind.
CREATE FUNCTION ivf_order(tab text, query bit varying, condition text, custom boolean)
RETURNS TABLE (place bigint, id integer, d float8) LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_sort = off;
    PERFORM set_config('vecann.enable_custom_scan', custom::text, true);
    RETURN QUERY EXECUTE format('SELECT row_number() OVER (), id, d FROM (SELECT id, b <~> %L AS d FROM %I WHERE %s
        ORDER BY b <~> %1$L) s', query, tab, condition);
    SET LOCAL enable_seqscan = on;
    SET LOCAL enable_sort = on;
END $$;
-- With all lists read: rows that a scan lacks, or has in excess, or with another distance, and rows out of order.
CREATE FUNCTION ivf_differences(tab text, query bit varying, condition text DEFAULT 'b IS NOT NULL') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    custom boolean;
    n bigint;
    total bigint := 0;
BEGIN
    SET LOCAL ivfflat.probes = 32768;
    FOREACH custom IN ARRAY ARRAY[true, false] LOOP
        CREATE TEMP TABLE by_index AS SELECT * FROM ivf_order(tab, query, condition, custom);
        EXECUTE format('SELECT count(*) FROM by_index FULL JOIN (SELECT id, b <~> %L AS d FROM %I WHERE %s OFFSET 0) t USING (id)
            WHERE t.d IS DISTINCT FROM by_index.d', query, tab, condition) INTO n;
        SELECT total + n + count(*) INTO total FROM by_index a JOIN by_index b ON b.place = a.place + 1 WHERE b.d < a.d;
        DROP TABLE by_index;
    END LOOP;
    RETURN total;
END $$;
-- Of the ten nearest distances of `n` rows as queries, the share that the index finds. (Many rows are as far as the tenth.)
CREATE FUNCTION ivf_bits_recall(n integer, lists integer) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    q bit varying;
    found bigint;
    hits bigint := 0;
BEGIN
    FOR q IN SELECT b FROM bits WHERE b IS NOT NULL ORDER BY id LIMIT n LOOP
        PERFORM set_config('ivfflat.probes', lists::text, true);
        SET LOCAL enable_seqscan = off;
        SET LOCAL enable_sort = off;
        EXECUTE format('CREATE TEMP TABLE near AS SELECT b <~> %L AS d FROM bits ORDER BY b <~> %1$L LIMIT 10', q);
        SET LOCAL enable_seqscan = on;
        SET LOCAL enable_sort = on;
        SET LOCAL enable_indexscan = off;
        EXECUTE format('SELECT count(*) FROM near WHERE d <= (SELECT max(d) FROM (SELECT b <~> %L AS d FROM bits ORDER BY 1 LIMIT 10) s)', q)
            INTO found;
        SET LOCAL enable_indexscan = on;
        DROP TABLE near;
        hits := hits + found;
    END LOOP;
    RETURN round(hits::numeric / (10 * n), 3);
END $$;
RESET client_min_messages;

CREATE TABLE bits (id integer PRIMARY KEY, b bit(130), c integer) WITH (autovacuum_enabled = off);
INSERT INTO bits SELECT i, ivf_bits(i, 130), i % 50 FROM generate_series(1, 2000) i;
INSERT INTO bits VALUES (5000, repeat('0', 130)::bit(130), 0), (5001, repeat('1', 130)::bit(130), 1), (5002, NULL, 2);
ANALYZE bits;
CREATE INDEX bits_b ON bits USING ivfflat (b bit_hamming_ops) WITH (lists = 30);
SELECT nodes, problems FROM vecann_verify('bits_b');
SELECT ivf_bits_recall(30, 1) >= 0.5 AS one_list, ivf_bits_recall(30, 5) >= 0.9 AS five_lists, ivf_bits_recall(30, 30) AS all_lists;

-- both kinds of scan, and their order
SELECT b AS query FROM bits WHERE id = 7 \gset
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM bits ORDER BY b <~> repeat('01', 65)::bit(130) LIMIT 5;
SET vecann.enable_custom_scan = off;
EXPLAIN (COSTS OFF) SELECT id FROM bits ORDER BY b <~> repeat('01', 65)::bit(130) LIMIT 5;
RESET vecann.enable_custom_scan;
SELECT id, b <~> :'query' AS d FROM bits ORDER BY b <~> :'query' LIMIT 1;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM bits ORDER BY b <~> :'query') s;
SET ivfflat.iterative_scan = off;
SELECT count(*) < 2000 AS some FROM (SELECT id FROM bits ORDER BY b <~> :'query') s;
RESET ivfflat.iterative_scan;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM bits ORDER BY b <~> NULL::bit(130)) s;
-- the whole value comes from the index
SELECT b = repeat('1', 130)::bit(130) AS restored FROM (SELECT b FROM bits ORDER BY b <~> repeat('1', 130)::bit(130) LIMIT 1) s;
RESET enable_seqscan;
SELECT id, ivf_differences('bits', b) FROM bits WHERE id IN (3, 99, 5000, 5001) ORDER BY id;

-- conditions
SELECT ivf_differences('bits', :'query', 'c < 5 AND b IS NOT NULL');
SET enable_seqscan = off;
SET vecann.enable_exact_search = off;
SET vecann.enable_post_filter = off;
CREATE INDEX bits_c ON bits (c);
EXPLAIN (COSTS OFF) SELECT id FROM bits WHERE c < 5 ORDER BY b <~> repeat('01', 65)::bit(130) LIMIT 20;
SELECT count(*), max(c) FROM (SELECT c FROM bits WHERE c < 5 ORDER BY b <~> :'query' LIMIT 20) s;
SELECT count(*), max(c) FROM (SELECT c FROM bits WHERE c < 5 ORDER BY b <~> :'query') s;
RESET vecann.enable_exact_search;
RESET vecann.enable_post_filter;
SET ivfflat.probes = 30;
SELECT count(*) > 1 AND count(*) = (SELECT sum((b <~> :'query' < 30)::int) FROM bits) AS in_range
FROM (SELECT id FROM bits WHERE b <~> :'query' < 30 ORDER BY b <~> :'query') s;
RESET ivfflat.probes;
RESET enable_seqscan;

-- inserts, updates, deletes, vacuum: pages are used again
INSERT INTO bits SELECT i, ivf_bits(i, 130), i % 50 FROM generate_series(2001, 3000) i;
UPDATE bits SET b = ~b WHERE id % 10 = 0;
SELECT nodes, problems FROM vecann_verify('bits_b');
SELECT pg_relation_size('bits_b') AS size \gset
DELETE FROM bits WHERE id BETWEEN 1001 AND 4000;
VACUUM (INDEX_CLEANUP ON) bits;
SELECT nodes, problems FROM vecann_verify('bits_b');
INSERT INTO bits SELECT i, ivf_bits(i, 130), i % 50 FROM generate_series(1001, 3000) i;
SELECT nodes, problems, pg_relation_size('bits_b') <= 1.1 * :size AS used_again FROM vecann_verify('bits_b');
SELECT ivf_differences('bits', :'query'), ivf_bits_recall(30, 5) >= 0.9 AS recall;
REINDEX INDEX bits_b;
SELECT nodes, problems FROM vecann_verify('bits_b');
SELECT ivf_differences('bits', :'query');

-- lengths that are wrong
INSERT INTO bits VALUES (9000, '101', 0);
SET enable_seqscan = off;
SELECT id FROM bits ORDER BY b <~> B'101' LIMIT 1;
SELECT id FROM bits ORDER BY b <~> repeat('1', 131)::bit(131) LIMIT 1;
RESET enable_seqscan;
-- classes and options that there are not
CREATE INDEX ON bits USING ivfflat (b);
CREATE INDEX ON bits USING ivfflat (b bit_jaccard_ops);
CREATE INDEX ON bits USING ivfflat (b vector_l2_ops);
CREATE INDEX ON bits USING ivfpq (b bit_hamming_ops);
DROP TABLE bits;
-- a support function of ours in the class of a user
CREATE OPERATOR CLASS ivf_own_hamming FOR TYPE bit USING ivfpq AS
    OPERATOR 1 <~> (bit, bit) FOR ORDER BY float_ops, FUNCTION 1 vecann_bit_hamming_opclass(internal);
CREATE OPERATOR CLASS ivf_own_jaccard FOR TYPE bit USING ivfflat AS
    OPERATOR 1 <%> (bit, bit) FOR ORDER BY float_ops, FUNCTION 1 vecann_bit_jaccard_opclass(internal);
CREATE OPERATOR CLASS ivf_own_sparse FOR TYPE sparsevec USING ivfflat AS
    OPERATOR 1 <-> (sparsevec, sparsevec) FOR ORDER BY float_ops, FUNCTION 1 vecann_sparsevec_l2_opclass(internal);
CREATE OPERATOR CLASS ivf_own_l1 FOR TYPE vector USING ivfflat AS
    OPERATOR 1 <+> (vector, vector) FOR ORDER BY float_ops, FUNCTION 1 vecann_vector_l1_opclass(internal);
CREATE TABLE own (b bit(3), s sparsevec(3), v vector(3));
CREATE INDEX ON own USING ivfpq (b ivf_own_hamming);
CREATE INDEX ON own USING ivfflat (b ivf_own_jaccard);
CREATE INDEX ON own USING ivfflat (s ivf_own_sparse);
CREATE INDEX ON own USING ivfflat (v ivf_own_l1);
DROP TABLE own;
DROP OPERATOR FAMILY ivf_own_hamming USING ivfpq;
DROP OPERATOR FAMILY ivf_own_jaccard USING ivfflat;
DROP OPERATOR FAMILY ivf_own_sparse USING ivfflat;
DROP OPERATOR FAMILY ivf_own_l1 USING ivfflat;

-- an empty table, one row, equal rows
CREATE TABLE few (id serial, b bit(65));
CREATE INDEX few_b ON few USING ivfflat (b bit_hamming_ops);
SET enable_seqscan = off;
SELECT id FROM few ORDER BY b <~> repeat('1', 65)::bit(65);
INSERT INTO few (b) VALUES (repeat('10', 33)::bit(65));
SELECT id, b <~> repeat('1', 65)::bit(65) AS d FROM few ORDER BY b <~> repeat('1', 65)::bit(65);
REINDEX INDEX few_b;
SELECT id, b <~> repeat('1', 65)::bit(65) AS d FROM few ORDER BY b <~> repeat('1', 65)::bit(65);
INSERT INTO few (b) SELECT b FROM few, generate_series(1, 1500);
SELECT nodes, problems FROM vecann_verify('few_b');
REINDEX INDEX few_b;
SELECT nodes, problems FROM vecann_verify('few_b');
SELECT count(*) FROM (SELECT id FROM few ORDER BY b <~> repeat('1', 65)::bit(65)) s;
RESET enable_seqscan;
DROP TABLE few;

-- from the shortest to the longest
SET client_min_messages = warning;
CREATE TABLE bits_long (length integer, problems text[], differences bigint);
DO $$
DECLARE
    n integer;
BEGIN
    FOREACH n IN ARRAY ARRAY[1, 8, 64, 65, 1000, 64000] LOOP
        EXECUTE format('CREATE TABLE some_bits (id integer, b bit(%s))', n);
        EXECUTE format('INSERT INTO some_bits SELECT i, substr(repeat(ivf_bits(i, 128)::text, %s / 128 + 1), 1, %1$s)::bit(%1$s)
            FROM generate_series(1, 100) i', n);
        CREATE INDEX some_bits_b ON some_bits USING ivfflat (b bit_hamming_ops) WITH (lists = 8);
        INSERT INTO some_bits SELECT id + 100, b FROM some_bits WHERE id <= 5;
        DELETE FROM some_bits WHERE id % 5 = 0;
        INSERT INTO bits_long SELECT n, (vecann_verify('some_bits_b')).problems, ivf_differences('some_bits', b) FROM some_bits WHERE id = 7;
        DROP TABLE some_bits;
    END LOOP;
END $$;
TABLE bits_long ORDER BY length;
DROP TABLE bits_long;
-- no memory to learn from many rows
CREATE TABLE some_bits AS SELECT i AS id, repeat(ivf_bits(i, 128)::text, 500)::bit(64000) AS b FROM generate_series(1, 100) i;
SET maintenance_work_mem = '1MB';
RESET client_min_messages;
CREATE INDEX some_bits_b ON some_bits USING ivfflat (b bit_hamming_ops) WITH (lists = 8);
RESET maintenance_work_mem;
SELECT nodes, problems FROM vecann_verify('some_bits_b');
SELECT ivf_differences('some_bits', b) FROM some_bits WHERE id = 7;
DROP TABLE some_bits;
CREATE TABLE bits_long (b bit(64001), v bit varying, w bit varying(12), id integer);
CREATE INDEX ON bits_long USING ivfflat (b bit_hamming_ops);
CREATE INDEX ON bits_long USING ivfflat (v bit_hamming_ops);
CREATE INDEX bits_long_w ON bits_long USING ivfflat (w bit_hamming_ops);
INSERT INTO bits_long (id, w) VALUES (1, '101010101010'), (2, '111111111111');
INSERT INTO bits_long (id, w) VALUES (3, '1010');
SET enable_seqscan = off;
SELECT id, w <~> B'111111111110' AS d FROM bits_long ORDER BY w <~> B'111111111110';
RESET enable_seqscan;
SELECT problems FROM vecann_verify('bits_long_w');
DROP TABLE bits_long;

-- unlogged and temporary tables, partial indexes, expressions, CONCURRENTLY
CREATE UNLOGGED TABLE kinds (id serial, v vector(9));
INSERT INTO kinds (v) SELECT ARRAY(SELECT sin(i * k) FROM generate_series(1, 9) k)::real[]::vector FROM generate_series(1, 600) i;
CREATE INDEX kinds_b ON kinds USING ivfflat ((binary_quantize(v)::bit(9)) bit_hamming_ops) WITH (lists = 10) WHERE id % 2 = 0;
CREATE INDEX CONCURRENTLY kinds_c ON kinds USING ivfflat ((binary_quantize(v)::bit(9)) bit_hamming_ops) WITH (lists = 10, seed = 3);
INSERT INTO kinds (v) SELECT ARRAY(SELECT sin(i * k) FROM generate_series(1, 9) k)::real[]::vector FROM generate_series(601, 900) i;
SELECT c.relname, nodes, problems FROM pg_class c, vecann_verify(c.oid::regclass) WHERE c.relname ~ '^kinds_[bc]$' ORDER BY 1;
SET enable_seqscan = off;
SET ivfflat.probes = 10;
EXPLAIN (COSTS OFF) SELECT id FROM (SELECT id, v FROM kinds ORDER BY binary_quantize(v)::bit(9) <~> B'101010101' LIMIT 40) s
    ORDER BY v <=> '[1,-1,1,-1,1,-1,1,-1,1]' LIMIT 5;
SELECT count(*) FROM (SELECT id, v FROM kinds ORDER BY binary_quantize(v)::bit(9) <~> B'101010101' LIMIT 40) s;
RESET ivfflat.probes;
RESET enable_seqscan;
DROP TABLE kinds;
CREATE TEMP TABLE kinds (id serial, b bit(16));
INSERT INTO kinds (b) SELECT (i * 37 % 65536)::bit(16) FROM generate_series(1, 2000) i;
CREATE INDEX kinds_b ON kinds USING ivfflat (b bit_hamming_ops) WITH (lists = 10);
DELETE FROM kinds WHERE id % 3 > 0;
VACUUM (INDEX_CLEANUP ON) kinds;
INSERT INTO kinds (b) SELECT (i * 41 % 65536)::bit(16) FROM generate_series(1, 2000) i;
SELECT nodes, problems FROM vecann_verify('kinds_b');
DROP TABLE kinds;

-- made on an empty table: VACUUM makes the lists, and the next one takes back the pages of the one before
CREATE TABLE kinds (id serial, b bit(130)) WITH (autovacuum_enabled = off);
SET client_min_messages = warning;
CREATE INDEX kinds_b ON kinds USING ivfflat (b bit_hamming_ops) WITH (lists = 20);
INSERT INTO kinds (b) SELECT (SELECT string_agg((hashint4(i * 1000 + j) & 1)::text, '') FROM generate_series(1, 130) j)::bit(130)
    FROM generate_series(1, 10000) i;
VACUUM kinds;
SELECT rows, lists, learnt, nodes, problems FROM vecann_list_stats('kinds_b'), vecann_verify('kinds_b');
DELETE FROM kinds WHERE id % 2 = 0;
VACUUM (INDEX_CLEANUP ON) kinds;
INSERT INTO kinds (b) SELECT b FROM kinds LIMIT 1000;
RESET client_min_messages;
SELECT rows, lists, nodes, problems FROM vecann_list_stats('kinds_b'), vecann_verify('kinds_b');
DROP TABLE kinds;

DROP FUNCTION ivf_order(text, bit varying, text, boolean), ivf_differences(text, bit varying, text), ivf_bits_recall(integer, integer),
    ivf_bits(integer, integer);

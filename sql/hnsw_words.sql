-- Indexes over bit strings and sparse vectors: every class, values that share nodes, values in parts, what is not indexed,
-- errors; then the expression indexes that people write.
SET client_min_messages = warning;
SET hnsw.ef_search = 400;

-- Rows whose distance in an index scan is not the table's, rows that one of the two scans lacks, and rows out of order
-- among the first fifty; by the custom scan and by the plain index scan.
CREATE FUNCTION pg_temp.differences(tab text, expression text, op text, query text, filter text DEFAULT 'true')
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    custom bool;
    n bigint;
    total bigint := 0;
    q text := format('SELECT row_number() OVER () AS place, id, d FROM (SELECT id, %s %s %L AS d FROM %I WHERE %s
        ORDER BY %1$s %2$s %3$L) AS s', expression, op, query, tab, filter);
BEGIN
    FOREACH custom IN ARRAY ARRAY[true, false] LOOP
        PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true),
            set_config('enable_indexscan', 'on', true),
            set_config('vecann.enable_custom_scan', custom::text, true);
        EXECUTE 'CREATE TEMP TABLE by_index AS ' || q;
        PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true),
            set_config('enable_indexscan', 'off', true), set_config('vecann.enable_custom_scan', 'off', true);
        EXECUTE 'SELECT count(*) FROM by_index FULL JOIN (' || q || ') AS t USING (id)
            WHERE t.d IS DISTINCT FROM by_index.d AND t.d <> ''NaN''' INTO n;
        total := total + n;
        SELECT total + count(*) INTO total FROM by_index AS a JOIN by_index AS b ON b.place = a.place + 1
            WHERE b.place <= 50 AND b.d < a.d;
        DROP TABLE by_index;
    END LOOP;
    RESET vecann.enable_custom_scan;
    RESET enable_indexscan;
    RETURN total;
END $$;

-- ---- bit strings -----------------------------------------------------------------------

-- `n` bits of some twenty patterns with noise
CREATE FUNCTION pg_temp.bits(i int, n int) RETURNS bit varying LANGUAGE sql AS $$
    SELECT string_agg(CASE WHEN sin((i % 20 + 1) * k) + sin(i * 7.7 + k * k) * 0.4 > 0.3 THEN '1' ELSE '0' END, '' ORDER BY k)
        ::bit varying FROM generate_series(1, n) AS k $$;
CREATE TABLE word_bits (id int, kind text, b bit(70));
INSERT INTO word_bits SELECT i, i % 3, pg_temp.bits(i, 70) FROM generate_series(1, 300) AS i;
INSERT INTO word_bits SELECT 1000 + 10 * id + k, 0, b FROM word_bits, generate_series(1, 5) AS k WHERE id % 30 = 0;
INSERT INTO word_bits VALUES (5000, 1, repeat('0', 70)::bit(70)), (5001, 1, repeat('1', 70)::bit(70)), (5002, 2, NULL),
    (5003, 2, repeat('0', 70)::bit(70));
CREATE INDEX word_bits_hamming ON word_bits USING hnsw (b bit_hamming_ops);
CREATE INDEX word_bits_jaccard ON word_bits USING hnsw (b bit_jaccard_ops);
INSERT INTO word_bits SELECT i, i % 3, pg_temp.bits(i, 70) FROM generate_series(301, 400) AS i;
SELECT nodes < heap_tids AS shared, heap_tids, problems FROM vecann_verify('word_bits_hamming');
SELECT nodes < heap_tids AS shared, heap_tids, problems FROM vecann_verify('word_bits_jaccard');
SET enable_seqscan = off;
EXPLAIN (COSTS off) SELECT id FROM word_bits ORDER BY b <~> repeat('01', 35)::bit(70) LIMIT 3;
EXPLAIN (COSTS off) SELECT id FROM word_bits ORDER BY b <%> repeat('01', 35)::bit(70) LIMIT 3;
RESET enable_seqscan;
SELECT id, op, d FROM (SELECT id, '<~>' AS op, pg_temp.differences('word_bits', 'b', '<~>', b::text) AS d FROM word_bits
    WHERE id IN (5, 30, 77, 350, 5000, 5001) UNION ALL
    SELECT id, '<%>', pg_temp.differences('word_bits', 'b', '<%>', b::text) FROM word_bits
    WHERE id IN (5, 30, 77, 350, 5000, 5001)) AS s WHERE d <> 0;
-- nothing has anything in common with zeros, not even they
SET enable_seqscan = off;
SELECT count(*), min(d), max(d) FROM (SELECT b <%> repeat('0', 70)::bit(70) AS d FROM word_bits
    WHERE b IS NOT NULL ORDER BY d) AS s;
SELECT id, b <~> repeat('1', 70)::bit(70) AS d FROM word_bits ORDER BY b <~> repeat('1', 70)::bit(70) LIMIT 1;
-- a query that is NULL
SELECT count(*) FROM (SELECT id FROM word_bits ORDER BY b <~> NULL::bit(70) LIMIT 10) AS s;
-- conditions
RESET enable_seqscan;
SELECT pg_temp.differences('word_bits', 'b', '<~>', pg_temp.bits(7, 70)::text, 'kind = ''1''');
DELETE FROM word_bits WHERE id % 4 = 0;
VACUUM word_bits;
INSERT INTO word_bits SELECT i, i % 3, pg_temp.bits(i, 70) FROM generate_series(401, 450) AS i;
SELECT pg_temp.differences('word_bits', 'b', '<~>', pg_temp.bits(7, 70)::text),
    pg_temp.differences('word_bits', 'b', '<%>', pg_temp.bits(7, 70)::text);
SELECT problems FROM vecann_verify('word_bits_hamming');
SELECT problems FROM vecann_verify('word_bits_jaccard');
-- errors
INSERT INTO word_bits VALUES (1, 1, '101');
SET enable_seqscan = off;
SELECT id FROM word_bits ORDER BY b <~> B'101' LIMIT 1;
SELECT id FROM word_bits ORDER BY b <%> repeat('1', 71)::bit(71) LIMIT 1;
RESET enable_seqscan;

CREATE INDEX ON word_bits USING hnsw (b bit_hamming_ops) WITH (payload = sq8);
CREATE INDEX ON word_bits USING hnsw (b bit_jaccard_ops) WITH (code_bits = 2);
CREATE INDEX ON word_bits USING hnsw (b);
CREATE INDEX ON word_bits USING hnsw (b vector_l2_ops);
CREATE TABLE word_wide (b bit(600000), v varbit);
CREATE INDEX ON word_wide USING hnsw (b bit_hamming_ops);
CREATE INDEX ON word_wide USING hnsw (v bit_hamming_ops);
DROP TABLE word_wide;
-- bit strings of varying length are of the length that the index has, or not indexed
CREATE TABLE word_var (id int, v varbit(12));
CREATE INDEX word_var_v ON word_var USING hnsw (v bit_hamming_ops);
INSERT INTO word_var VALUES (1, '101010101010'), (2, '111111111111');
INSERT INTO word_var VALUES (3, '1010');
SET enable_seqscan = off;
SELECT id, v <~> B'111111111110' AS d FROM word_var ORDER BY v <~> B'111111111110';
RESET enable_seqscan;
SELECT problems FROM vecann_verify('word_var_v');
DROP TABLE word_bits, word_var;

-- ---- long bit strings ------------------------------------------------------------------

-- in the slot, with one part, with several
CREATE TABLE word_long (bits int, problems text[], differences bigint);
DO $$
DECLARE
    n int;
BEGIN
    FOREACH n IN ARRAY ARRAY[1, 64, 65, 1000, 40000, 64000, 130000, 512000] LOOP
        EXECUTE format('CREATE TABLE word_some (id int, b bit(%s))', n);
        EXECUTE format('INSERT INTO word_some SELECT i, substr(repeat(pg_temp.bits(i, 128)::text, %s / 128 + 1), 1, %1$s)::bit(%1$s)
            FROM generate_series(1, 60) AS i', n);
        CREATE INDEX word_some_hamming ON word_some USING hnsw (b bit_hamming_ops);
        CREATE INDEX word_some_jaccard ON word_some USING hnsw (b bit_jaccard_ops);
        INSERT INTO word_some SELECT id + 100, b FROM word_some WHERE id <= 5;
        DELETE FROM word_some WHERE id % 5 = 0;
        INSERT INTO word_long SELECT n, (vecann_verify('word_some_hamming')).problems || (vecann_verify('word_some_jaccard')).problems,
            pg_temp.differences('word_some', 'b', '<~>', b::text) + pg_temp.differences('word_some', 'b', '<%>', b::text)
            FROM word_some WHERE id = 7;
        DROP TABLE word_some;
    END LOOP;
END $$;
SELECT * FROM word_long WHERE problems <> '{}' OR differences <> 0;
SELECT count(*) FROM word_long;
DROP TABLE word_long;

-- ---- sparse vectors ----------------------------------------------------------------------

-- `nnz` elements, or fewer, of some ten topics
CREATE FUNCTION pg_temp.sparse(i int, nnz int, dim int) RETURNS sparsevec LANGUAGE sql AS $$
    SELECT (format('{%s}/%s', string_agg(format('%s:%s', at, (sin(i * at % 1000) + 1.5 + (i % 10) * cos(at))::real), ','), dim))
        ::sparsevec FROM (SELECT DISTINCT 1 + (k::bigint * k * (i % 10 + 3) + (i % 7) * (k % 5)) % dim AS at
        FROM generate_series(1, nnz) AS k) AS s $$;
CREATE TABLE word_sparse (id int, nnz int, v sparsevec(1000000000));
ALTER TABLE word_sparse ALTER v SET STORAGE external;
CREATE FUNCTION pg_temp.fill(first int, last int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO word_sparse SELECT i, n, pg_temp.sparse(i, n, 1000000000)
    FROM (SELECT i, (ARRAY[1, 20, 127, 128, 129, 250, 251, 400, 1500])[1 + i % 9] AS n FROM generate_series(first, last) AS i) AS s $$;
DO $$
DECLARE
    class text;
    op text;
    sample record;
    n bigint;
BEGIN
    FOR class, op IN VALUES ('l2', '<->'), ('ip', '<#>'), ('cosine', '<=>'), ('l1', '<+>') LOOP
        TRUNCATE word_sparse;
        PERFORM pg_temp.fill(1, 150);
        INSERT INTO word_sparse VALUES (900, 0, '{}/1000000000'), (901, NULL, NULL);
        EXECUTE format('CREATE INDEX word_sparse_v ON word_sparse USING hnsw (v sparsevec_%s_ops)', class);
        INSERT INTO word_sparse SELECT 1000 + id, nnz, v FROM word_sparse WHERE id % 20 = 0;
        PERFORM pg_temp.fill(151, 200);
        DELETE FROM word_sparse WHERE id % 9 = 1 OR (id = 900 AND class = 'cosine');
        FOR sample IN SELECT id, v FROM word_sparse WHERE id IN (3, 17, 62, 180, 900) LOOP
            n := pg_temp.differences('word_sparse', 'v', op, sample.v::text);
            IF n <> 0 THEN RAISE WARNING '% %: % differences', class, sample.id, n; END IF;
        END LOOP;
        n := pg_temp.differences('word_sparse', 'v', op, (SELECT v FROM word_sparse WHERE id = 4)::text, 'nnz > 200');
        IF n <> 0 THEN RAISE WARNING '%: % differences with a condition', class, n; END IF;
        IF (vecann_verify('word_sparse_v')).problems <> '{}' THEN
            RAISE WARNING '%: %', class, (vecann_verify('word_sparse_v')).problems;
        END IF;
        DROP INDEX word_sparse_v;
    END LOOP;
END $$;
-- vacuum frees the parts and inserts take them again
TRUNCATE word_sparse;
SELECT pg_temp.fill(1, 180);
CREATE INDEX word_sparse_v ON word_sparse USING hnsw (v sparsevec_cosine_ops);
SELECT pg_relation_size('word_sparse_v') AS size \gset
DELETE FROM word_sparse WHERE id > 90;
VACUUM word_sparse;
SELECT problems FROM vecann_verify('word_sparse_v');
SELECT pg_temp.fill(91, 180);
SELECT pg_relation_size('word_sparse_v') <= 1.1 * :size AS kept_its_size, nodes, heap_tids, problems FROM vecann_verify('word_sparse_v');
-- zero has no direction
INSERT INTO word_sparse VALUES (900, 0, '{}/1000000000');
SELECT heap_tids, problems FROM vecann_verify('word_sparse_v');
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM word_sparse ORDER BY v <=> '{}/1000000000' LIMIT 10) AS s;
EXPLAIN (COSTS off) SELECT id FROM word_sparse ORDER BY v <=> '{1:1,3:2}/1000000000' LIMIT 3;
-- errors
SELECT id FROM word_sparse ORDER BY v <=> '{1:1}/5' LIMIT 1;
RESET enable_seqscan;
INSERT INTO word_sparse VALUES (1, 1, '{1:1}/5');
CREATE INDEX ON word_sparse USING hnsw (v sparsevec_l2_ops) WITH (payload = float16);
CREATE TABLE word_any (v sparsevec);
CREATE INDEX ON word_any USING hnsw (v sparsevec_l2_ops);
DROP TABLE word_any, word_sparse;
-- the longest there are, and few dimensions
CREATE TABLE word_ends (id int, few sparsevec(3), many sparsevec(20000));
INSERT INTO word_ends SELECT i, format('{1:%s,2:%s}/3', i, i % 5)::sparsevec,
    (SELECT format('{%s}/20000', string_agg(format('%s:%s', 1 + (k + i * 400) % 20000, 1 + (k * i) % 17), ','))::sparsevec
     FROM generate_series(1, 16000 - i % 3) AS k) FROM generate_series(1, 12) AS i;
CREATE INDEX word_ends_few ON word_ends USING hnsw (few sparsevec_l2_ops);
CREATE INDEX word_ends_many ON word_ends USING hnsw (many sparsevec_cosine_ops);
SELECT pg_temp.differences('word_ends', 'few', '<->', '{1:3.5,3:1}/3'),
    pg_temp.differences('word_ends', 'many', '<=>', (SELECT many FROM word_ends WHERE id = 3)::text);
SELECT nodes, problems FROM vecann_verify('word_ends_few');
SELECT nodes, problems FROM vecann_verify('word_ends_many');
DROP TABLE word_ends;

-- ---- expressions ------------------------------------------------------------------------

CREATE TABLE word_items (id int, tenant int, embedding vector(8));
INSERT INTO word_items SELECT i, i % 4, ARRAY(SELECT (10 * sin((i % 25 + 1) * k) + 3 * cos(i * k * 1.7))::int FROM generate_series(1, 8) AS k)::vector
    FROM generate_series(1, 400) AS i;
SELECT embedding AS query FROM word_items WHERE id = 123 \gset
CREATE INDEX word_items_bits ON word_items USING hnsw ((binary_quantize(embedding)::bit(8)) bit_hamming_ops);
CREATE INDEX word_items_half ON word_items USING hnsw ((embedding::halfvec(8)) halfvec_cosine_ops);
CREATE INDEX word_items_part ON word_items USING hnsw ((subvector(embedding, 1, 4)::vector(4)) vector_l2_ops);
CREATE INDEX word_items_sparse ON word_items USING hnsw ((embedding::sparsevec(8)) sparsevec_l1_ops) WHERE tenant = 2;
SET enable_seqscan = off;
-- the nearest by bits, put in order by the vectors
EXPLAIN (COSTS off) SELECT id FROM (SELECT id, embedding FROM word_items
    ORDER BY binary_quantize(embedding)::bit(8) <~> binary_quantize(:'query'::vector) LIMIT 40) AS s
    ORDER BY embedding <=> :'query' LIMIT 5;
SELECT id FROM (SELECT id, embedding FROM word_items
    ORDER BY binary_quantize(embedding)::bit(8) <~> binary_quantize(:'query'::vector) LIMIT 40) AS s
    ORDER BY embedding <=> :'query' LIMIT 5;
EXPLAIN (COSTS off) SELECT id FROM word_items ORDER BY embedding::halfvec(8) <=> :'query'::halfvec(8) LIMIT 5;
SELECT id FROM word_items ORDER BY embedding::halfvec(8) <=> :'query'::halfvec(8) LIMIT 5;
SELECT id FROM (SELECT id, embedding FROM word_items
    ORDER BY subvector(embedding, 1, 4)::vector(4) <-> subvector(:'query'::vector, 1, 4) LIMIT 40) AS s
    ORDER BY embedding <=> :'query' LIMIT 5;
EXPLAIN (COSTS off) SELECT id FROM word_items WHERE tenant = 2
    ORDER BY embedding::sparsevec(8) <+> :'query'::vector::sparsevec LIMIT 5;
SELECT id FROM word_items WHERE tenant = 2 ORDER BY embedding::sparsevec(8) <+> :'query'::vector::sparsevec LIMIT 5;
UPDATE word_items SET embedding = embedding + embedding WHERE id % 10 = 0;
DELETE FROM word_items WHERE id % 7 = 0;
VACUUM word_items;
SELECT c.relname, problems FROM pg_class AS c, vecann_verify(c.oid::regclass) WHERE c.relname ~ '^word_items_' ORDER BY 1;
RESET enable_seqscan;
SELECT id FROM word_items ORDER BY embedding <=> :'query' LIMIT 5;
DROP TABLE word_items;

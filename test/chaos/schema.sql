-- What the chaos run works on: three tables, indexes of every metric, and the functions that its load calls.
--   wide    few duplicates; l2 and inner product
--   dups    60 different vectors, so long TID chains; l2 and cosine, zero vectors among them
--   tiny    seldom more than a few rows, often none, NULLs among them; l2
--   fleet   unlogged: empty after every crash; l2
CREATE EXTENSION vecann;

CREATE TABLE wide (id bigserial PRIMARY KEY, v vector(12), note int DEFAULT 0);
CREATE TABLE dups (id bigserial PRIMARY KEY, v vector(6), note int DEFAULT 0);
CREATE TABLE tiny (id bigserial PRIMARY KEY, v vector(3), note int DEFAULT 0);
CREATE UNLOGGED TABLE fleet (id bigserial PRIMARY KEY, v vector(4), note int DEFAULT 0);
CREATE INDEX wide_l2 ON wide USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 20);
CREATE INDEX wide_ip ON wide USING hnsw (v vector_ip_ops);
CREATE INDEX dups_l2 ON dups USING hnsw (v vector_l2_ops) WITH (m = 3, ef_construction = 10);
CREATE INDEX dups_cosine ON dups USING hnsw (v vector_cosine_ops) WITH (m = 8, ef_construction = 40);
CREATE INDEX tiny_l2 ON tiny USING hnsw (v vector_l2_ops) WITH (m = 2, ef_construction = 4);
CREATE INDEX fleet_l2 ON fleet USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 16);

-- A vector for a table: random ones, or one of few.
CREATE FUNCTION some_vector(tab text) RETURNS vector LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    k int := floor(random() * 60);
BEGIN
    RETURN CASE tab
        WHEN 'wide' THEN (SELECT array_agg((random() - 0.5)::real)::vector FROM generate_series(1, 12))
        WHEN 'dups' THEN (SELECT array_agg(((k * (i + 3)) % 11 - 2 * (k % 3))::real)::vector FROM generate_series(1, 6) i)
        WHEN 'fleet' THEN (SELECT array_agg(round(random()::numeric, 1)::real)::vector FROM generate_series(1, 4))
        ELSE CASE WHEN k = 0 THEN NULL ELSE ARRAY[k % 5, k % 7, 1]::vector END
    END;
END $$;

CREATE FUNCTION add_rows(tab text, n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %I (v) SELECT some_vector(%L) FROM generate_series(1, %s)', tab, tab, n);
END $$;

-- The same under a statement_timeout that may end it: the rows go with the subtransaction, half of them in the index.
CREATE FUNCTION add_rows_until_cancelled(tab text, n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_rows(tab, n);
EXCEPTION WHEN query_canceled THEN
    NULL;
END $$;

-- Deletes a share of the rows; a larger one when the table has outgrown its size.
CREATE FUNCTION delete_rows(tab text, target int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    top bigint;
    live bigint;
BEGIN
    EXECUTE format('SELECT count(*), max(id) FROM %I', tab) INTO live, top;
    IF live > target THEN
        EXECUTE format('DELETE FROM %I WHERE id IN (SELECT id FROM %I ORDER BY random() LIMIT %s FOR UPDATE SKIP LOCKED)',
            tab, tab, live - target / 2);
    ELSE
        EXECUTE format('DELETE FROM %I WHERE id %% 53 = %s', tab, floor(random() * 53));
    END IF;
END $$;

-- Rows in the order of an index, which is used whatever the planner thinks.
CREATE FUNCTION scan_ids(tab text, op text, q vector, wanted int) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_sort = off;
    -- a plain NULL would be folded away, and the ORDER BY with it
    RETURN QUERY EXECUTE format('SELECT id FROM %I ORDER BY v %s %s LIMIT $2', tab, op,
        CASE WHEN q IS NULL THEN '(SELECT $1)' ELSE '$1' END) USING q, wanted;
END $$;

-- Scans through an index, in a transaction that is REPEATABLE READ, and raises an error when a row comes twice or when the
-- number of rows is not that of the heap. `wanted` NULL: all rows.
CREATE FUNCTION check_scan(tab text, op text, wanted int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    q vector := some_vector(tab);
    found bigint;
    different bigint;
    expected bigint;
BEGIN
    SELECT count(*), count(DISTINCT id) INTO found, different FROM scan_ids(tab, op, q, wanted) id;
    SET LOCAL enable_seqscan = on;
    EXECUTE format('SELECT count(*) FROM %I WHERE v IS NOT NULL %s', tab,
        CASE op WHEN '<=>' THEN 'AND vector_norm(v) > 0' ELSE '' END) INTO expected;
    IF found <> different THEN
        RAISE EXCEPTION 'CHAOS: a scan of % by % for % returned % rows, % of them different', tab, op, q, found, different;
    END IF;
    IF found <> least(expected, wanted) THEN
        RAISE EXCEPTION 'CHAOS: a scan of % by % for % returned % rows of %', tab, op, q, found, least(expected, wanted);
    END IF;
    RETURN found;
END $$;

-- Every index and what is wrong with it: what the verifier says, and whether full scans agree with the heap.
CREATE FUNCTION check_everything() RETURNS TABLE (index regclass, problem text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT indexrelid::regclass, unnest(r.problems)
        FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam,
            LATERAL vecann_verify(indexrelid) r
        WHERE amname = 'hnsw' AND indisvalid;
    PERFORM check_scan('wide', '<->', NULL), check_scan('wide', '<#>', NULL), check_scan('dups', '<->', NULL),
        check_scan('dups', '<=>', NULL), check_scan('tiny', '<->', NULL), check_scan('fleet', '<->', NULL);
END $$;

SELECT add_rows('wide', 1000), add_rows('dups', 1500), add_rows('tiny', 3), add_rows('fleet', 200);

-- Vectors that do not fit a page with their neighbours: payloads in parts.
SET client_min_messages = warning;
SET enable_seqscan = off;
SET enable_sort = off;
SET temp_buffers = '32MB';
SET hnsw.ef_search = 200;

-- No other session sees these rows, so vacuum removes what is deleted.
CREATE TEMP TABLE parts_source (i int, v vector(16000));
ALTER TABLE parts_source ALTER v SET STORAGE external;
INSERT INTO parts_source SELECT i, array_agg((((i * 7919 + k * 104729 + i * k * 31) % 1009) - 504) / 100.0 ORDER BY k)::vector
    FROM generate_series(1, 50) AS i, generate_series(1, 16000) AS k GROUP BY i;
CREATE TEMP TABLE parts_query AS
    SELECT a.v + b.v AS v FROM parts_source AS a, parts_source AS b WHERE a.i = 17 AND b.i = 18;
CREATE TEMP TABLE parts_case (name text, dim int, class text, op text, options text);
INSERT INTO parts_case VALUES
    ('parts_l2', 16000, 'vector_l2_ops', '<->', 'WITH (payload = float32)'),
    ('parts_ip', 16000, 'vector_ip_ops', '<#>', 'WITH (payload = float16)'),
    ('parts_cosine', 16000, 'vector_cosine_ops', '<=>', ''),
    ('parts_l1', 16000, 'vector_l1_ops', '<+>', 'WITH (payload = sq8)'),
    ('parts_codes', 4001, 'vector_l2_ops', '<->', 'WITH (payload = float32, m = 100, ef_construction = 200, code_bits = 4)'),
    ('parts_few', 9001, 'vector_ip_ops', '<#>', 'WITH (m = 6, ef_construction = 24)'),
    ('parts_one', 1601, 'vector_l2_ops', '<->', 'WITH (payload = float32)');

-- One statement for every case.
CREATE FUNCTION pg_temp.each(statement text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT replace(replace(replace(replace(statement, '$t', name), '$dim', dim::text), '$class', class), '$with', options)
    FROM parts_case ORDER BY name
$$;
CREATE FUNCTION pg_temp.check() RETURNS TABLE (name text, nodes bigint, heap_tids bigint, deleted_slots bigint,
                                               rows_found boolean, in_order boolean, problems text[])
LANGUAGE plpgsql AS $$
DECLARE c record; by_index float8[]; by_sort float8[]; query vector;
BEGIN
    FOR c IN SELECT * FROM parts_case ORDER BY parts_case.name LOOP
        SELECT subvector(v, 1, c.dim) INTO query FROM parts_query;
        EXECUTE format('SELECT array_agg(d) FROM (SELECT v %s $1 AS d FROM %I ORDER BY v %1$s $1) AS s', c.op, c.name)
            INTO by_index USING query;
        EXECUTE format('SELECT array_agg(d ORDER BY d) FROM (SELECT v %s $1 AS d FROM %I OFFSET 0) AS s', c.op, c.name)
            INTO by_sort USING query;
        RETURN QUERY SELECT c.name, r.nodes, r.heap_tids, r.deleted_slots,
            cardinality(by_index) IS NOT DISTINCT FROM cardinality(by_sort), by_index IS NOT DISTINCT FROM by_sort,
            r.problems FROM vecann_verify(c.name || '_v') AS r;
    END LOOP;
END $$;

-- built, with duplicates
SELECT pg_temp.each('CREATE TEMP TABLE $t (id int, v vector($dim))')
\gexec
SELECT pg_temp.each('ALTER TABLE $t ALTER v SET STORAGE external')
\gexec
SELECT pg_temp.each('INSERT INTO $t SELECT i, subvector(v, 1, $dim) FROM parts_source WHERE i <= 24')
\gexec
SELECT pg_temp.each('INSERT INTO $t SELECT 100 * n + id, v FROM $t, generate_series(1, 10) AS n WHERE id <= 2')
\gexec
SELECT pg_temp.each('CREATE INDEX $t_v ON $t USING hnsw (v $class) $with')
\gexec
SELECT * FROM pg_temp.check();

-- inserted, duplicates too
SELECT pg_temp.each('INSERT INTO $t SELECT i, subvector(v, 1, $dim) FROM parts_source WHERE i BETWEEN 21 AND 36')
\gexec
SELECT * FROM pg_temp.check();
CREATE TEMP TABLE parts_size (name text, size bigint);
SELECT pg_temp.each('INSERT INTO parts_size SELECT ''$t'', pg_relation_size(''$t_v'')')
\gexec

-- deleted: marked, vacuumed, the places used again
SELECT pg_temp.each('DELETE FROM $t WHERE id % 3 = 0')
\gexec
SELECT pg_temp.each('VACUUM $t')
\gexec
SELECT * FROM pg_temp.check();
SELECT pg_temp.each('INSERT INTO $t SELECT i, subvector(v, 1, $dim) FROM parts_source WHERE i BETWEEN 41 AND 50')
\gexec
SELECT * FROM pg_temp.check();
-- all of them
SELECT pg_temp.each('DELETE FROM $t')
\gexec
SELECT pg_temp.each('VACUUM $t')
\gexec
SELECT * FROM pg_temp.check();
SELECT pg_temp.each('INSERT INTO $t SELECT i, subvector(v, 1, $dim) FROM parts_source WHERE i <= 36')
\gexec
SELECT * FROM pg_temp.check();
-- one page of upper slots and their parts more, at most, by the luck of the levels
SELECT pg_temp.each('INSERT INTO parts_size SELECT ''$t'', pg_relation_size(''$t_v'')')
\gexec
SELECT name, max(size) - min(size) <= 20 * 8192 AS no_larger FROM parts_size GROUP BY name ORDER BY name;

-- a beam too narrow for all: the rest of the rows comes from further beams and the sweep
SET hnsw.ef_search = 5;
SELECT name, rows_found FROM pg_temp.check();
SET hnsw.iterative_scan = strict_order;
SELECT count(*) > 5 AS some FROM (SELECT id FROM parts_cosine ORDER BY v <=> (SELECT v FROM parts_source WHERE i = 1)) AS s;
RESET hnsw.iterative_scan;
-- no room for a beam
SET work_mem = 64;
SET hnsw.scan_mem_multiplier = 1;
SELECT name, rows_found FROM pg_temp.check();
RESET work_mem;
RESET hnsw.scan_mem_multiplier;
-- no order to speak of
SELECT count(*) FROM (SELECT id FROM parts_cosine ORDER BY v <=> NULL) AS s;

-- a page for the node, one for each part
SET hnsw.ef_search = 20;
SELECT count(*) FROM (SELECT id FROM parts_l2 ORDER BY v <-> (SELECT v FROM parts_source WHERE i = 1) LIMIT 3) AS s;
SELECT pages_touched / nodes_expanded AS pages FROM vecann_last_scan();
SELECT count(*) FROM (SELECT id FROM parts_one ORDER BY v <-> (SELECT subvector(v, 1, 1601) FROM parts_source WHERE i = 1) LIMIT 3) AS s;
SELECT pages_touched / nodes_expanded AS pages FROM vecann_last_scan();

-- of the right dimensions still
INSERT INTO parts_l2 SELECT 1, '[1,2]';
DISCARD TEMP;

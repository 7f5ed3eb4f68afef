-- What should not work, or only in a certain way: odd operator classes, odd orderings, settings changed under a scan.
SET client_min_messages = warning;
SET enable_seqscan = off;
SET enable_sort = off;

-- ORDER BY with several distances: the index orders by the first, the executor by the others
CREATE TABLE robust_grid (id int, v vector(2));
INSERT INTO robust_grid SELECT i, ARRAY[i % 4, i % 7]::vector FROM generate_series(1, 56) i;
CREATE INDEX robust_grid_l2 ON robust_grid USING hnsw (v vector_l2_ops);
EXPLAIN (COSTS OFF) SELECT id FROM robust_grid ORDER BY v <-> '[1,3]', v <-> '[0,5]';
SELECT count(*) AS rows, count(*) FILTER (WHERE (a, b) < (a_before, b_before)) AS misplaced
FROM (SELECT a, b, lag(a) OVER () AS a_before, lag(b) OVER () AS b_before
      FROM (SELECT v <-> '[1,3]' AS a, v <-> '[0,5]' AS b FROM robust_grid
            ORDER BY v <-> '[1,3]', v <-> '[0,5]' LIMIT 1000) s) t;
SELECT count(*), count(DISTINCT id)
FROM (SELECT id FROM robust_grid ORDER BY v <-> '[1,3]', v <-> NULL LIMIT 1000) s;
SELECT count(*), count(DISTINCT id)
FROM (SELECT id FROM robust_grid ORDER BY v <-> NULL, v <-> '[1,3]' LIMIT 1000) s;
DROP INDEX robust_grid_l2;
CREATE INDEX robust_grid_cosine ON robust_grid USING hnsw (v vector_cosine_ops);
SELECT count(*) AS rows, count(*) FILTER (WHERE (a, b) < (a_before, b_before)) AS misplaced
FROM (SELECT a, b, lag(a) OVER () AS a_before, lag(b) OVER () AS b_before
      FROM (SELECT v <=> '[1,3]' AS a, v <=> '[0,5]' AS b FROM robust_grid
            ORDER BY v <=> '[1,3]', v <=> '[0,5]' LIMIT 1000) s) t;
DROP TABLE robust_grid;

-- settings changed while a cursor is open: the scan keeps the mode that it began with
CREATE TABLE robust_cursor (id int, v vector(1));
INSERT INTO robust_cursor SELECT i, ARRAY[i]::vector FROM generate_series(1, 300) i;
CREATE INDEX ON robust_cursor USING hnsw (v vector_l2_ops);
CREATE FUNCTION robust_rest(c refcursor) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    n integer;
BEGIN
    MOVE FORWARD ALL IN c;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;
BEGIN;
SET LOCAL hnsw.ef_search = 10;
SET LOCAL hnsw.iterative_scan = off;
DECLARE c CURSOR FOR SELECT id FROM robust_cursor ORDER BY v <-> '[0]';
MOVE FORWARD 2 FROM c;
SET LOCAL hnsw.iterative_scan = relaxed_order;
SET LOCAL hnsw.ef_search = 1000;
SELECT robust_rest('c') <= 8 AS one_beam_only;
COMMIT;
BEGIN;
SET LOCAL hnsw.ef_search = 10;
DECLARE c CURSOR FOR SELECT id FROM robust_cursor ORDER BY v <-> '[0]';
MOVE FORWARD 2 FROM c;
SET LOCAL hnsw.iterative_scan = off;
SET LOCAL work_mem = 64;
SELECT robust_rest('c');
COMMIT;
DROP FUNCTION robust_rest;
DROP TABLE robust_cursor;

-- domains bring their own type modifier
CREATE DOMAIN robust_domain AS vector(2);
CREATE DOMAIN robust_domain_bare AS vector;
CREATE TABLE robust_domains (a robust_domain, b robust_domain_bare);
INSERT INTO robust_domains VALUES ('[1,2]', '[1,2]'), ('[3,4]', '[3,4]');
CREATE INDEX ON robust_domains USING hnsw (a vector_l2_ops);
CREATE INDEX ON robust_domains USING hnsw (b vector_l2_ops);
SELECT a FROM robust_domains ORDER BY a <-> '[3,3]';
DROP TABLE robust_domains;
DROP DOMAIN robust_domain, robust_domain_bare;

-- operator classes that would crash a scan are refused
CREATE FUNCTION robust_five(integer) RETURNS bigint LANGUAGE sql IMMUTABLE RETURN 5;
CREATE FUNCTION robust_int_distance(vector, vector) RETURNS integer LANGUAGE sql IMMUTABLE RETURN 5;
CREATE FUNCTION robust_time_distance(timestamp, timestamp) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN 5;
CREATE FUNCTION robust_bit_distance(bit, bit) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN 5;
CREATE OPERATOR <~~> (FUNCTION = robust_int_distance, LEFTARG = vector, RIGHTARG = vector);
CREATE OPERATOR <~~> (FUNCTION = robust_time_distance, LEFTARG = timestamp, RIGHTARG = timestamp);
CREATE OPERATOR <~~> (FUNCTION = robust_bit_distance, LEFTARG = bit, RIGHTARG = bit);
CREATE OPERATOR CLASS robust_ops FOR TYPE vector USING hnsw AS
    OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops, FUNCTION 1 robust_five(integer);
CREATE OPERATOR CLASS robust_ops FOR TYPE vector USING hnsw AS
    OPERATOR 1 <~~> (vector, vector) FOR ORDER BY integer_ops, FUNCTION 1 vecann_vector_l2_opclass(internal);
CREATE OPERATOR CLASS robust_ops FOR TYPE vector USING hnsw AS
    OPERATOR 1 = (vector, vector), FUNCTION 1 vecann_vector_l2_opclass(internal);
CREATE OPERATOR CLASS robust_empty_ops FOR TYPE vector USING hnsw AS STORAGE vector;
CREATE OPERATOR CLASS robust_time_ops FOR TYPE timestamp USING hnsw AS
    OPERATOR 1 <~~> (timestamp, timestamp) FOR ORDER BY float_ops, FUNCTION 1 vecann_vector_l2_opclass(internal);
CREATE OPERATOR CLASS robust_bit_ops FOR TYPE bit USING hnsw AS
    OPERATOR 1 <~~> (bit, bit) FOR ORDER BY float_ops, FUNCTION 1 vecann_vector_l2_opclass(internal);
CREATE TABLE robust_types (t timestamp(3), b bit(3), v vector(2));
CREATE INDEX ON robust_types USING hnsw (t robust_time_ops);
CREATE INDEX ON robust_types USING hnsw (v robust_empty_ops);
CREATE INDEX ON robust_types USING hnsw (b robust_bit_ops);
INSERT INTO robust_types (b) VALUES (B'101');
SELECT b FROM robust_types ORDER BY b <~~> B'101';
DROP TABLE robust_types;
DROP OPERATOR FAMILY robust_empty_ops USING hnsw;
DROP OPERATOR FAMILY robust_time_ops USING hnsw;
DROP OPERATOR FAMILY robust_bit_ops USING hnsw;
DROP FUNCTION robust_int_distance, robust_time_distance, robust_bit_distance CASCADE;
DROP FUNCTION robust_five;

-- Costs beyond all numbers; the plan goes to a parallel worker as text.
CREATE TABLE robust_costs (id int, a int, v vector(3));
INSERT INTO robust_costs SELECT i, i % 20, ARRAY[i, 1, 1]::vector FROM generate_series(1, 2000) i;
CREATE INDEX ON robust_costs USING hnsw (v vector_l2_ops);
CREATE INDEX ON robust_costs (a);
ANALYZE robust_costs;
SELECT count(set_config(name, 'on', false)) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SET enable_seqscan = off;
SET enable_sort = off;
CREATE FUNCTION robust_are_numbers() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXPLAIN (VERBOSE) SELECT id FROM robust_costs WHERE a = 3 ORDER BY v <-> '[1,1,1]' LIMIT 2 LOOP
        IF line ~* 'Cost of.*inf|nan' THEN RETURN false; END IF;
    END LOOP;
    RETURN true;
END $$;
SET cpu_operator_cost = '1e308';
SELECT robust_are_numbers();
SELECT id FROM robust_costs WHERE a = 3 ORDER BY v <-> '[1,1,1]' LIMIT 2;
SET random_page_cost = '1e308';
SELECT robust_are_numbers();
SELECT id FROM robust_costs WHERE a = 3 ORDER BY v <-> '[1,1,1]' LIMIT 2;
SET cpu_operator_cost = '1e300';
SELECT robust_are_numbers();
SELECT id FROM robust_costs WHERE a = 3 ORDER BY v <-> '[1,1,1]' LIMIT 2;
SET cpu_tuple_cost = '1.7e308';
SET cpu_index_tuple_cost = '1.7e308';
SET seq_page_cost = '1.7e308';
SELECT robust_are_numbers();
SELECT id FROM robust_costs WHERE a = 3 ORDER BY v <-> '[1,1,1]' LIMIT 2;
RESET ALL;
DROP TABLE robust_costs;
DROP FUNCTION robust_are_numbers;

-- Lists of an index that has none of its own.
CREATE TABLE robust_parts (k int, v vector(2)) PARTITION BY LIST (k);
CREATE INDEX robust_parts_v ON robust_parts USING ivfflat (v vector_l2_ops);
SELECT vecann_list_stats('robust_parts_v');
DROP TABLE robust_parts;

-- Options and settings of hnsw: ranges, defaults, and every error with its SQLSTATE.

-- Runs a command; returns its error, or OK.
CREATE FUNCTION pg_temp.outcome(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE command;
    RETURN 'OK';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' / ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;

-- ---- settings ----------------------------------------------------------------

-- Before the library is loaded any name will do: the server cannot know better. Loading it sorts them out.
SET hnsw.no_such_setting = 1;
SET hnsw.ef_search = 77;
SET hnsw.max_scan_tuples = -5;
SELECT '[1]'::vector;
SHOW hnsw.no_such_setting;
SHOW hnsw.ef_search;
SHOW hnsw.max_scan_tuples;
RESET hnsw.ef_search;

SELECT name, setting, vartype, min_val, max_val, enumvals, context
    FROM pg_settings WHERE name LIKE 'hnsw.%' ORDER BY name;
SELECT name, short_desc, extra_desc FROM pg_settings WHERE name LIKE 'hnsw.%' ORDER BY name;

SELECT value, pg_temp.outcome(format('SET hnsw.ef_search = %s', value))
    FROM unnest('{1,1000,0,1001,-1,many}'::text[]) AS value;
SELECT value, pg_temp.outcome(format('SET hnsw.iterative_scan = %s', value))
    FROM unnest('{off,relaxed_order,strict_order,on,exact}'::text[]) AS value;
SELECT value, pg_temp.outcome(format('SET hnsw.max_scan_tuples = %s', value))
    FROM unnest('{-1,0,2147483647,-2,2147483648}'::text[]) AS value;
SELECT value, pg_temp.outcome(format('SET hnsw.scan_mem_multiplier = %s', value))
    FROM unnest('{1,2.5,1000,0.5,1000.5,NaN}'::text[]) AS value;
SELECT name, pg_temp.outcome(format('SET %s = 1', name))
    FROM unnest('{hnsw.foo,hnsw.efsearch,vecann.foo}'::text[]) AS name;
RESET ALL;

-- ---- options -----------------------------------------------------------------

CREATE TABLE hnsw_opt (id int, v vector(3), w vector, n int, t text, a real[]);
INSERT INTO hnsw_opt SELECT i, ARRAY[i, i * 7 % 11, i * 5 % 13]::vector, ARRAY[i]::vector, i
    FROM generate_series(1, 100) AS i;

SELECT options, pg_temp.outcome(format('CREATE INDEX ON hnsw_opt USING hnsw (v vector_l2_ops) WITH (%s)', options))
    FROM unnest(ARRAY[
        'm = 2', 'm = 100, ef_construction = 200', 'm = 1', 'm = 0', 'm = -1', 'm = 101', 'm = lots', 'm = 2.5', 'm',
        'ef_construction = 4, m = 2', 'ef_construction = 1000', 'ef_construction = 3', 'ef_construction = 1001',
        'ef_construction = 31', 'ef_construction = 32', 'm = 32', 'm = 33', 'm = 100', 'm = 50, ef_construction = 99',
        'fillfactor = 90', 'lists = 10', 'hnsw.m = 16'
    ]) AS options;
-- those that were built
SELECT count(*), bool_and(nodes = 100) AS nodes, bool_and(problems = '{}') AS sound
    FROM pg_index, vecann_verify(indexrelid) WHERE indrelid = 'hnsw_opt'::regclass;
DROP TABLE hnsw_opt;

-- m = 100 and m = 2 at work
CREATE TABLE hnsw_opt (id int, v vector(3), w vector, n int, t text, a real[]);
INSERT INTO hnsw_opt SELECT i, ARRAY[i, i * 7 % 11, i * 5 % 13]::vector, ARRAY[i]::vector, i
    FROM generate_series(1, 500) AS i;
SET enable_seqscan = off;
CREATE INDEX hnsw_opt_m100 ON hnsw_opt USING hnsw (v vector_l2_ops) WITH (m = 100, ef_construction = 200);
SELECT id FROM hnsw_opt ORDER BY v <-> '[250,0,0]' LIMIT 1;
SELECT count(DISTINCT id) FROM (SELECT id FROM hnsw_opt ORDER BY v <-> '[250,0,0]' LIMIT 500) AS s;
SELECT nodes, problems FROM vecann_verify('hnsw_opt_m100');
DROP INDEX hnsw_opt_m100;
CREATE INDEX hnsw_opt_m2 ON hnsw_opt USING hnsw (v vector_l2_ops) WITH (m = 2, ef_construction = 4);
SELECT count(DISTINCT id) FROM (SELECT id FROM hnsw_opt ORDER BY v <-> '[250,0,0]' LIMIT 500) AS s;
SELECT nodes, problems FROM vecann_verify('hnsw_opt_m2');
RESET enable_seqscan;

-- ALTER INDEX changes what the next REINDEX builds
ALTER INDEX hnsw_opt_m2 SET (m = 12, ef_construction = 40);
SELECT reloptions FROM pg_class WHERE relname = 'hnsw_opt_m2';
INSERT INTO hnsw_opt SELECT i, ARRAY[i, i * 7 % 11, i * 5 % 13]::vector FROM generate_series(501, 600) AS i;
SELECT nodes, problems FROM vecann_verify('hnsw_opt_m2');
REINDEX INDEX hnsw_opt_m2;
SELECT nodes, problems FROM vecann_verify('hnsw_opt_m2');
SELECT pg_temp.outcome('ALTER INDEX hnsw_opt_m2 SET (m = 101)');
SELECT pg_temp.outcome('ALTER INDEX hnsw_opt_m2 SET (ef_construction = 20)');
SELECT pg_temp.outcome('REINDEX INDEX hnsw_opt_m2');
ALTER INDEX hnsw_opt_m2 RESET (m, ef_construction);
REINDEX INDEX hnsw_opt_m2;
SELECT nodes, problems FROM vecann_verify('hnsw_opt_m2');

-- ---- columns -------------------------------------------------------------------

SELECT what, pg_temp.outcome('CREATE INDEX ON hnsw_opt USING hnsw (' || what)
    FROM unnest(ARRAY[
        'v)', 'v vector_ops)', 'w vector_l2_ops)', 'n)', 'n vector_l2_ops)', 'a vector_l2_ops)',
        'v vector_l2_ops, w vector_l2_ops)', 'v vector_l2_ops) INCLUDE (id)', 'v vector_l2_ops DESC)',
        'v vector_l2_ops NULLS FIRST)', '(w::vector(1)) vector_l2_ops)', '(w::vector(2)) vector_l2_ops)',
        'subvector(v, 1, 2) vector_l2_ops)', '(subvector(v, 1, 2)::vector(2)) vector_l2_ops)'
    ]) AS what;
SELECT pg_temp.outcome('CREATE UNIQUE INDEX ON hnsw_opt USING hnsw (v vector_l2_ops)');
SELECT left(pg_temp.outcome('ALTER TABLE hnsw_opt ADD EXCLUDE USING hnsw (v vector_l2_ops WITH =)'), 5);
SELECT pg_temp.outcome('CLUSTER hnsw_opt USING hnsw_opt_m2');
SELECT property, pg_indexam_has_property(oid, property)
    FROM pg_am, unnest('{can_order,can_unique,can_multi_col,can_include}'::text[]) AS property WHERE amname = 'hnsw';
SELECT property, pg_index_has_property('hnsw_opt_m2', property)
    FROM unnest('{clusterable,index_scan,bitmap_scan,backward_scan}'::text[]) AS property;
SELECT property, pg_index_column_has_property('hnsw_opt_m2', 1, property)
    FROM unnest('{orderable,returnable,search_array,search_nulls}'::text[]) AS property;

-- ---- dimensions ----------------------------------------------------------------

-- As many as the type has.
CREATE TABLE hnsw_dim (v vector(16000));
SELECT m, pg_temp.outcome(format(
        'CREATE INDEX ON hnsw_dim USING hnsw (v vector_l2_ops) WITH (m = %s, ef_construction = 200)', m))
    FROM unnest('{2,8,16,32,64,100}'::int[]) AS m;
SELECT c, pg_temp.outcome(format('CREATE INDEX ON hnsw_dim USING hnsw (v %s)', c))
    FROM unnest('{vector_l2_ops,vector_ip_ops,vector_cosine_ops}'::text[]) AS c;
DROP TABLE hnsw_dim;
SELECT dim, pg_temp.outcome(format('CREATE TABLE hnsw_dim (v vector(%s)); '
        'CREATE INDEX ON hnsw_dim USING hnsw (v vector_l2_ops); DROP TABLE hnsw_dim', dim))
    FROM unnest('{1,2,2000,4096,6400,16000,16001}'::int[]) AS dim;
-- a column that grows out of its index
CREATE TABLE hnsw_dim (v vector(1));
CREATE INDEX ON hnsw_dim USING hnsw (v vector_l2_ops);
SELECT pg_temp.outcome('ALTER TABLE hnsw_dim ALTER v TYPE vector(3000) USING array_fill(1, ARRAY[3000])::vector');
SELECT pg_temp.outcome('ALTER TABLE hnsw_dim ALTER v TYPE vector');
DROP TABLE hnsw_dim;

-- one vector a page
CREATE TABLE hnsw_dim (id int, v vector(1950));
INSERT INTO hnsw_dim SELECT i, array_agg((i * j % 97 - 48) / 10.0 ORDER BY j)::vector
    FROM generate_series(1, 60) AS i, generate_series(1, 1950) AS j GROUP BY i;
CREATE INDEX hnsw_dim_l2 ON hnsw_dim USING hnsw (v vector_l2_ops);
CREATE INDEX hnsw_dim_cosine ON hnsw_dim USING hnsw (v vector_cosine_ops);
INSERT INTO hnsw_dim SELECT i, array_agg((i * j % 97 - 48) / 10.0 ORDER BY j)::vector
    FROM generate_series(61, 80) AS i, generate_series(1, 1950) AS j GROUP BY i;
SET enable_seqscan = off;
SET hnsw.ef_search = 100;
SELECT d.id, (SELECT array_agg(id) FROM (SELECT id FROM hnsw_dim AS e ORDER BY e.v <-> d.v LIMIT 1) AS s) AS nearest
    FROM hnsw_dim AS d WHERE id % 13 = 0 ORDER BY id;
SELECT count(DISTINCT id)
    FROM (SELECT id FROM hnsw_dim ORDER BY v <=> (SELECT v FROM hnsw_dim WHERE id = 7) LIMIT 100) AS s;
SELECT nodes, problems FROM vecann_verify('hnsw_dim_l2');
SELECT nodes, problems FROM vecann_verify('hnsw_dim_cosine');
RESET hnsw.ef_search;
DROP TABLE hnsw_dim;

-- other dimensions than the column's
SELECT pg_temp.outcome('INSERT INTO hnsw_opt (v) VALUES (''[1,2]'')');
SELECT pg_temp.outcome('SELECT id FROM hnsw_opt ORDER BY v <-> ''[1,2]'' LIMIT 1');
SELECT pg_temp.outcome('SELECT id FROM hnsw_opt ORDER BY v <-> ''[1,2,3,4]'' LIMIT 1');
SELECT pg_temp.outcome('SET enable_seqscan = on; SELECT id FROM hnsw_opt ORDER BY 0 + (v <-> ''[1,2,3,4]'')');
SET enable_seqscan = off;
DELETE FROM hnsw_opt;
SELECT pg_temp.outcome('SELECT id FROM hnsw_opt ORDER BY v <-> ''[1,2]'' LIMIT 1');
RESET enable_seqscan;
DROP TABLE hnsw_opt;

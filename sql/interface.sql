-- The interface that clients of pgvector speak, as a list: every function, operator, aggregate, cast, operator class,
-- setting, default, limit, format and error of it, compared with what is there. "missing" has no rows. (What the extension
-- has beyond it, and all properties, are in the test catalog.)

CREATE TEMP TABLE dense (t text);
INSERT INTO dense VALUES ('vector'), ('halfvec');
CREATE TEMP TABLE kind (t text);
INSERT INTO kind VALUES ('vector'), ('halfvec'), ('sparsevec');

-- ---- functions -------------------------------------------------------------------------

CREATE TEMP TABLE promised (signature text, returns text);
INSERT INTO promised SELECT format('%s(%s,%s)', f, t, t), 'double precision'
FROM kind, unnest(ARRAY['l2_distance', 'inner_product', 'cosine_distance', 'l1_distance']) AS f;
INSERT INTO promised SELECT format('%s_%s(%s,%s)', t, f, t, t), 'double precision'
FROM kind, unnest(ARRAY['l2_squared_distance', 'negative_inner_product', 'spherical_distance']) AS f;
INSERT INTO promised SELECT format('%s_%s(%s,%s)', t, f, t, t), CASE f WHEN 'cmp' THEN 'integer' ELSE 'boolean' END
FROM kind, unnest(ARRAY['lt', 'le', 'eq', 'ne', 'ge', 'gt', 'cmp']) AS f;
INSERT INTO promised SELECT format('%s_%s(%s,%s)', t, f, t, t), t FROM dense, unnest(ARRAY['add', 'sub', 'mul', 'concat']) AS f;
INSERT INTO promised SELECT format('%s_accum(double precision[],%s)', t, t), 'double precision[]' FROM dense;
INSERT INTO promised SELECT format('%s_combine(double precision[],double precision[])', t), 'double precision[]' FROM dense;
INSERT INTO promised SELECT format('%s_avg(double precision[])', t), t FROM dense;
INSERT INTO promised SELECT format('%s(%s)', f, t), r
FROM dense, (VALUES ('vector_dims', 'integer'), ('binary_quantize', 'bit'), ('avg', NULL), ('sum', NULL)) AS v(f, r);
INSERT INTO promised SELECT format('subvector(%s,integer,integer)', t), t FROM dense;
INSERT INTO promised SELECT format('l2_normalize(%s)', t), t FROM kind;
INSERT INTO promised VALUES ('vector_norm(vector)', 'double precision'), ('l2_norm(halfvec)', 'double precision'),
    ('l2_norm(sparsevec)', 'double precision'), ('hamming_distance(bit,bit)', 'double precision'),
    ('jaccard_distance(bit,bit)', 'double precision'), ('vector_to_float4(vector,integer,boolean)', 'real[]'),
    ('halfvec_to_float4(halfvec,integer,boolean)', 'real[]'), ('vector_to_halfvec(vector,integer,boolean)', 'halfvec'),
    ('vector_to_sparsevec(vector,integer,boolean)', 'sparsevec'), ('halfvec_to_vector(halfvec,integer,boolean)', 'vector'),
    ('halfvec_to_sparsevec(halfvec,integer,boolean)', 'sparsevec'),
    ('sparsevec_to_vector(sparsevec,integer,boolean)', 'vector'), ('sparsevec_to_halfvec(sparsevec,integer,boolean)', 'halfvec');
INSERT INTO promised SELECT format('%s(%s,integer,boolean)', t, t), t FROM kind;
INSERT INTO promised SELECT format('array_to_%s(%s[],integer,boolean)', t, a), t
FROM kind, unnest(ARRAY['integer', 'real', 'double precision', 'numeric']) AS a;
INSERT INTO promised SELECT format('%s_%s(%s)', t, f, a), r
FROM kind, (VALUES ('in', 'cstring,oid,integer', NULL), ('out', NULL, 'cstring'), ('recv', 'internal,oid,integer', NULL),
                   ('send', NULL, 'bytea'), ('typmod_in', 'cstring[]', 'integer')) AS v(f, args, result),
     LATERAL (SELECT coalesce(args, t), coalesce(result, t)) AS x(a, r);
UPDATE promised SET returns = substring(signature FROM '\((.*)\)') WHERE returns IS NULL;
SELECT count(*) AS functions FROM promised;
-- Which of them are not there, or are not immutable, strict and parallel safe functions with this result?
SELECT promised.* AS missing FROM promised LEFT JOIN pg_proc ON oid = to_regprocedure(signature)
WHERE oid IS NULL OR prorettype::regtype::text <> returns OR provolatile <> 'i' OR NOT (proisstrict OR prokind = 'a')
   OR proparallel <> 's';

-- ---- operators -------------------------------------------------------------------------

CREATE TEMP TABLE promised_operator (name text, t text, returns text, commutator text, restriction text);
INSERT INTO promised_operator SELECT o, t, 'double precision', o, '-' FROM kind, unnest(ARRAY['<->', '<#>', '<=>', '<+>']) AS o;
INSERT INTO promised_operator SELECT o, 'bit', 'double precision', o, '-' FROM unnest(ARRAY['<~>', '<%>']) AS o;
INSERT INTO promised_operator SELECT o, t, t, c, '-' FROM dense, (VALUES ('+', '+'), ('-', NULL), ('*', '*'), ('||', NULL)) AS v(o, c);
INSERT INTO promised_operator SELECT o, t, 'boolean', c, r FROM kind,
    (VALUES ('<', '>', 'scalarltsel'), ('<=', '>=', 'scalarlesel'), ('=', '=', 'eqsel'), ('<>', '<>', 'neqsel'),
            ('>=', '<=', 'scalargesel'), ('>', '<', 'scalargtsel')) AS v(o, c, r);
SELECT count(*) AS operators FROM promised_operator;
SELECT p.* AS missing FROM promised_operator AS p
    LEFT JOIN pg_operator o ON o.oid = to_regoperator(format('%s(%s,%s)', name, t, t))
    LEFT JOIN pg_operator c ON c.oid = o.oprcom
WHERE o.oid IS NULL OR o.oprresult::regtype::text <> returns OR o.oprrest::text <> restriction OR c.oprname IS DISTINCT FROM commutator;

-- ---- casts -----------------------------------------------------------------------------

CREATE TEMP TABLE promised_cast (source text, target text, context "char");
INSERT INTO promised_cast SELECT t, t, 'i' FROM kind;
INSERT INTO promised_cast VALUES ('vector', 'real[]', 'i'), ('vector', 'halfvec', 'i'), ('vector', 'sparsevec', 'i'),
    ('halfvec', 'sparsevec', 'i'), ('halfvec', 'vector', 'a'), ('halfvec', 'real[]', 'a'), ('sparsevec', 'vector', 'a'),
    ('sparsevec', 'halfvec', 'a');
INSERT INTO promised_cast SELECT a || '[]', t, 'a' FROM kind, unnest(ARRAY['integer', 'real', 'double precision', 'numeric']) AS a;
CREATE TEMP VIEW actual_cast AS SELECT castsource::regtype::text, casttarget::regtype::text, castcontext FROM pg_cast
WHERE castsource::regtype::text IN (SELECT t FROM kind) OR casttarget::regtype::text IN (SELECT t FROM kind);
SELECT count(*) AS casts FROM promised_cast;
SELECT * FROM (TABLE promised_cast EXCEPT TABLE actual_cast) AS missing;
-- one more would make expressions ambiguous that are clear now
SELECT * FROM (TABLE actual_cast EXCEPT TABLE promised_cast) AS surplus;
SELECT ARRAY[1, 2, 3] = ARRAY[1, 2, 3] AS arrays_are_compared;

-- ---- operator classes ------------------------------------------------------------------

CREATE TEMP TABLE promised_class (am text, name text, t text, is_default boolean);
INSERT INTO promised_class SELECT 'btree', t || '_ops', t, true FROM kind;
INSERT INTO promised_class SELECT 'hnsw', format('%s_%s_ops', t, m), t, false FROM dense, unnest(ARRAY['l2', 'ip', 'cosine', 'l1']) AS m;
INSERT INTO promised_class SELECT 'hnsw', format('sparsevec_%s_ops', m), 'sparsevec', false
    FROM unnest(ARRAY['l2', 'ip', 'cosine', 'l1']) AS m;
INSERT INTO promised_class SELECT 'hnsw', format('bit_%s_ops', m), 'bit', false FROM unnest(ARRAY['hamming', 'jaccard']) AS m;
INSERT INTO promised_class SELECT am, format('%s_%s_ops', t, m), t, am || t || m = 'ivfflatvectorl2'
    FROM dense, unnest(ARRAY['l2', 'ip', 'cosine']) AS m, unnest(ARRAY['ivfflat', 'ivfpq']) AS am;
INSERT INTO promised_class VALUES ('ivfflat', 'bit_hamming_ops', 'bit', false);
SELECT count(*) AS classes FROM promised_class;
SELECT p.* AS missing FROM promised_class AS p
    LEFT JOIN (pg_opclass o JOIN pg_am a ON a.oid = opcmethod) ON amname = am AND opcname = name
WHERE o.oid IS NULL OR opcintype::regtype::text <> t OR opcdefault <> is_default;

-- ---- settings, options and limits --------------------------------------------------------

SELECT '[1]'::vector;
SELECT name, boot_val, coalesce(min_val || ' to ' || max_val, array_to_string(enumvals, ', ')) AS range, context
FROM pg_settings WHERE name IN ('hnsw.ef_search', 'hnsw.iterative_scan', 'hnsw.max_scan_tuples', 'hnsw.scan_mem_multiplier',
                                            'ivfflat.probes', 'ivfflat.iterative_scan', 'ivfflat.max_probes')
ORDER BY name COLLATE "C";
SELECT typname, typstorage, typalign, typlen FROM pg_type WHERE typname IN ('vector', 'halfvec', 'sparsevec') ORDER BY 1;
SELECT format_type('vector'::regtype, 7), format_type('halfvec'::regtype, 7), format_type('sparsevec'::regtype, 7);

-- What a statement fails with.
CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN sqlstate || ' ' || sqlerrm || CASE detail WHEN '' THEN '' ELSE ' | ' || detail END;
END $$;

CREATE TABLE interface_items (id serial PRIMARY KEY, v vector(3), free vector);
SELECT options, pg_temp.error_of(format('CREATE INDEX ON interface_items USING hnsw (v vector_l2_ops) WITH (%s)', options)) AS error
FROM unnest(ARRAY['m = 1', 'm = 2, ef_construction = 4', 'm = 100, ef_construction = 1000', 'm = 101', 'ef_construction = 3',
                  'ef_construction = 1001', 'm = 16, ef_construction = 31', 'm = 16, ef_construction = 32', 'lists = 5',
                  -- the defaults, by where they meet
                  'ef_construction = 31', 'ef_construction = 32', 'm = 32', 'm = 33'])
    WITH ORDINALITY AS u(options, n) ORDER BY n;
SELECT pg_temp.error_of('CREATE INDEX ON interface_items USING hnsw (free vector_l2_ops)') AS free,
       pg_temp.error_of('CREATE INDEX ON interface_items USING hnsw (v)') AS no_default_class;
SELECT pg_temp.error_of('CREATE INDEX ON interface_items USING ivfflat (free)') AS ivfflat,
       pg_temp.error_of('CREATE INDEX ON interface_items USING ivfpq (free vector_l2_ops)') AS ivfpq,
       pg_temp.error_of('CREATE INDEX ON interface_items USING ivfpq (v)') AS no_default_class;
-- the default number of lists
SET client_min_messages = notice;
CREATE INDEX ON interface_items USING ivfflat (v);
SELECT options, pg_temp.error_of(format('CREATE INDEX ON interface_items USING ivfflat (v) WITH (%s)', options)) AS error
FROM unnest(ARRAY['lists = 0', 'lists = 1', 'lists = 32768', 'lists = 32769', 'm = 16']) WITH ORDINALITY AS u(options, n) ORDER BY n;
SELECT setting, pg_temp.error_of('SET ' || setting) AS error
FROM unnest(ARRAY['hnsw.ef_search = 0', 'hnsw.ef_search = 1', 'hnsw.ef_search = 1000', 'hnsw.ef_search = 1001',
                  'hnsw.iterative_scan = off', 'hnsw.iterative_scan = relaxed_order', 'hnsw.iterative_scan = strict_order',
                  'hnsw.iterative_scan = on', 'hnsw.max_scan_tuples = 0', 'hnsw.max_scan_tuples = 1',
                  'ivfflat.probes = 0', 'ivfflat.probes = 32768', 'ivfflat.probes = 32769', 'ivfflat.iterative_scan = strict_order',
                  'hnsw.scan_mem_multiplier = 0.5', 'hnsw.scan_mem_multiplier = 1', 'hnsw.scan_mem_multiplier = 1000',
                  'hnsw.scan_mem_multiplier = 1001', 'hnsw.max_scan_tuples = 20000', 'hnsw.max_scan_tuples = 2147483647',
                  'ivfflat.probes = 1', 'ivfflat.iterative_scan = off', 'ivfflat.iterative_scan = relaxed_order',
                  'ivfflat.iterative_scan = on', 'ivfflat.max_probes = 0', 'ivfflat.max_probes = 1', 'ivfflat.max_probes = 32768',
                  'ivfflat.max_probes = 32769'])
    WITH ORDINALITY AS u(setting, n) ORDER BY n;
RESET ALL;

-- ---- formats -----------------------------------------------------------------------------

SELECT E' [ 1 ,2.50,\t-0 , 1e-3 ] '::vector, E'\n[1,\t0x1p-3,65519]'::halfvec, ' { 3 : 1.50 , 1 : -2 , 2 : 0 } / 4 '::sparsevec,
       '{}/3'::sparsevec;
SELECT '[1e-46,16777217,0.1,3.4028235e38]'::vector, '[1e-9,0.1,6e-8,2049]'::halfvec, '{1000000000:0.1}/1000000000'::sparsevec;
SELECT vector_send('[1,-2.5]'), halfvec_send('[1,-2.5]'), sparsevec_send('{1:1,5:-2.5}/7');
SELECT pg_column_size('[1,2,3]'::vector) AS vector, pg_column_size('[1,2,3]'::halfvec) AS halfvec,
       pg_column_size('{1:1,2:2}/9'::sparsevec) AS sparsevec;
-- as values lie in a table (lengths left out; on little-endian machines): what other programs read from the data files
BEGIN;
CREATE CAST (vector AS bytea) WITHOUT FUNCTION;
CREATE CAST (halfvec AS bytea) WITHOUT FUNCTION;
CREATE CAST (sparsevec AS bytea) WITHOUT FUNCTION;
SELECT '[1,-2.5]'::vector::bytea AS vector, '[1,-2.5]'::halfvec::bytea AS halfvec, '{5:-2.5,1:1}/7'::sparsevec::bytea AS sparsevec;
ROLLBACK;
COPY (SELECT '[1,-2.5]'::vector, '[1,-2.5]'::halfvec, '{1:1,5:-2.5}/7'::sparsevec) TO STDOUT;

-- ---- what functions return ---------------------------------------------------------------

SELECT '[1,2]'::vector <-> '[4,6]' AS l2, '[1,2]'::vector <#> '[3,4]' AS ip, '[1,0]'::vector <=> '[0,2]' AS cosine,
       '[1,2]'::vector <+> '[4,-6]' AS l1, '[0,0]'::vector <=> '[1,1]' AS zero, B'1010' <~> B'1100' AS hamming,
       B'1010' <%> B'1100' AS jaccard, B'10' <%> B'01' AS disjoint;
SELECT vector_spherical_distance('[1,0]', '[0,1]'), halfvec_l2_squared_distance('[1,2]', '[4,6]'),
       sparsevec_negative_inner_product('{1:2}/3', '{1:3}/3'), l2_normalize('[0,0]'::vector), l2_normalize('{2:4}/3'::sparsevec);
SELECT binary_quantize('[1,0,-1,0.5,2,3,-4,5,6]'::vector), subvector('[1,2,3,4]'::vector, 3, 9), subvector('[1,2,3,4]'::vector, -1, 4),
       vector_dims('[1,2]'::halfvec), vector_norm('[3,4]'), l2_norm('{1:3,2:4}/9'::sparsevec);
SELECT '[1,2]'::vector < '[1,2,0]' AS shorter_first, '[1,3]'::vector > '[1,2,9]' AS by_value, '[0]'::vector = '[-0]' AS zeros,
       '{1:1}/2'::sparsevec < '{1:1}/3' AS sparse_shorter, '{2:-1}/2'::sparsevec < '{}/2' AS sparse_value;
SELECT avg(v), sum(v), avg(v::halfvec), sum(v::halfvec) FROM (VALUES ('[1,2]'::vector), ('[3,5]'), (NULL)) AS s(v);
SELECT avg(v), sum(v) FROM (SELECT '[1]'::vector AS v) AS s WHERE false;
SELECT vector_accum('{0}', '[1,2]'), vector_accum('{1,1,2}', '[3,5]'), vector_combine('{1,1,2}', '{2,3,5}'), vector_avg('{2,4,7}'),
       vector_avg('{0}') AS none, halfvec_accum('{1,1,2}', '[3,5]'), halfvec_combine('{1,1,2}', '{2,3,5}'), halfvec_avg('{2,4,7}');
-- NULLs are not indexed, zero vectors not for cosine; a NULL query returns rows
INSERT INTO interface_items (v) SELECT ARRAY[i, 1, 2]::vector FROM generate_series(1, 20) i;
INSERT INTO interface_items (v) VALUES (NULL), ('[0,0,0]');
DO $$ BEGIN EXECUTE (SELECT string_agg('DROP INDEX ' || indexrelid::regclass, ';') FROM pg_index
    WHERE indrelid = 'interface_items'::regclass AND NOT indisprimary); END $$;
CREATE INDEX interface_items_cosine ON interface_items USING hnsw (v vector_cosine_ops);
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM interface_items ORDER BY v <=> '[1,2,3]') AS s;
SELECT count(*) > 0 AS rows_for_null FROM (SELECT id FROM interface_items ORDER BY v <=> NULL LIMIT 5) AS s;
RESET enable_seqscan;

-- ---- errors ------------------------------------------------------------------------------

SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT '1'::vector$$, $$SELECT '[1,x]'::halfvec$$, $$SELECT '[1]'::sparsevec$$, $$SELECT '[1] 2'::vector$$, $$SELECT '{}/3 4'::sparsevec$$,
    $$SELECT '[1,'::vector$$, $$SELECT '[1e39]'::vector$$, $$SELECT '[65520]'::halfvec$$, $$SELECT '{1:1e-50}/2'::sparsevec$$,
    $$SELECT '[3e38]'::vector + '[3e38]'$$, $$SELECT '[1e-30]'::vector * '[1e-30]'$$, $$SELECT '[65504]'::halfvec + '[65504]'$$,
    $$SELECT '[1,2]'::vector <-> '[1,2,3]'$$, $$SELECT '[1,2]'::halfvec + '[1]'$$, $$SELECT '{}/2'::sparsevec <=> '{}/3'$$,
    $$SELECT '[1,2]'::vector(3)$$, $$SELECT '[1,2]'::vector::halfvec(3)$$, $$SELECT '{}/2'::sparsevec(3)$$, $$SELECT '[]'::vector$$,
    $$SELECT '{}/0'::sparsevec$$, $$SELECT '[nan]'::vector$$, $$SELECT '[1,inf]'::halfvec$$, $$SELECT '{1:-Infinity}/3'::sparsevec$$,
    $$SELECT B'10' <~> B'100'$$, $$SELECT B'10' <%> B'100'$$, $$SELECT ARRAY[[1, 2], [3, 4]]::vector$$, $$SELECT ARRAY[1, NULL]::halfvec$$,
    $$SELECT ARRAY[]::real[]::vector$$, $$SELECT '{0:1}/3'::sparsevec$$, $$SELECT '{4:1}/3'::sparsevec$$, $$SELECT '{1:1,1:2}/3'::sparsevec$$,
    $$SELECT array_fill(1, ARRAY[16001])::vector$$, $$SELECT array_fill(1, ARRAY[16001])::halfvec$$,
    $$SELECT array_fill(1, ARRAY[16001])::sparsevec$$, $$SELECT '{}/1000000001'::sparsevec$$,
    $$CREATE TABLE x (v vector(0))$$, $$CREATE TABLE x (v vector(16001))$$, $$CREATE TABLE x (v halfvec(16001))$$,
    $$CREATE TABLE x (v sparsevec(1000000001))$$, $$CREATE TABLE x (v vector(1, 2))$$, $$SELECT subvector('[1,2]'::vector, 1, 0)$$,
    $$INSERT INTO interface_items (v) VALUES ('[1,2]')$$, $$SELECT id FROM interface_items ORDER BY v <-> '[1,2]'$$])
    WITH ORDINALITY AS u(statement, n) ORDER BY n;

-- SQLSTATEs of binary input (the messages are in the tests of the types)
\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/interface.bin'
\set load '\\copy interface_binary FROM ' :'file' ' WITH (FORMAT binary)'
\set VERBOSITY sqlstate
-- unused is not 0; no dimensions; too many; NaN
CREATE TABLE interface_binary (v vector);
COPY (SELECT '\x000100013f800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x00000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x3e810000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x000100007fc00000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
DROP TABLE interface_binary;
CREATE TABLE interface_binary (v halfvec);
COPY (SELECT '\x000100013c00'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x000100007c00'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
DROP TABLE interface_binary;
-- unused is not 0; a negative number of elements; too many; out of bounds; not ascending; a zero
CREATE TABLE interface_binary (v sparsevec);
COPY (SELECT '\x000000010000000000000001'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x00000005ffffffff00000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x0001000000003e8100000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x000000050000000100000000000000053f800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x00000005000000020000000000000002000000013f8000003f800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x0000000500000001000000000000000100000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
\set VERBOSITY default
DROP TABLE interface_binary;

-- more than an index takes, a type that it does not take
CREATE TABLE interface_wide (b bit(64001), c bit(512001), s sparsevec(3));
CREATE OPERATOR CLASS interface_sparse FOR TYPE sparsevec USING ivfflat AS
    OPERATOR 1 <-> (sparsevec, sparsevec) FOR ORDER BY float_ops, FUNCTION 1 vecann_sparsevec_l2_opclass(internal);
SELECT pg_temp.error_of('CREATE INDEX ON interface_wide USING ivfflat (b bit_hamming_ops)') AS ivfflat,
       pg_temp.error_of('CREATE INDEX ON interface_wide USING hnsw (c bit_hamming_ops)') AS hnsw,
       pg_temp.error_of('CREATE INDEX ON interface_wide USING ivfflat (s interface_sparse)') AS type;
DROP OPERATOR FAMILY interface_sparse USING ivfflat;
DROP TABLE interface_wide, interface_items;

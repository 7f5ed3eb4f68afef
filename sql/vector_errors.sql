-- Every error of the type, with SQLSTATE, message and detail.

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

-- text input
SELECT input, pg_temp.error_of(format('SELECT %L::vector', input)) AS error FROM unnest(ARRAY[
    '', ' ', '1,2,3', 'hello', '{1,2}', '(1,2)', '[', '[ ', '[1', '[1 ', '[1,', '[1, ', '[1,2', '[]', '[ ]', '[,',
    '[,1]', '[1,]', '[1,,2]',
    '[1 2]', '[1;2]', '[a]', '[1a]', '[1,2a]', '[1.2.3]', '[1e]', '[1 e5]', '[1e 5]', '[- 1]', '[--1]',
    '[+-1]', '[.]',
    '[0x]', '[1,2]]', '[1,2] 3', '[1,2],', '[[1,2]]', '[1,[2]]', ']', '[1,2', '["1"]', '[1_000]', '[1,2](3)',
    '[NaN]', '[1,nan]', '[-NaN]', '[nan(1)]', '[Infinity]', '[-Infinity]', '[inf]', '[ +INF ]', '[infin]', '[nano]',
    '[4e38]', '[1,-4e38,2]', '[1e400]', '[ -1e400 ]', '[0x1p128]', '[3.4028236e38]'])
    WITH ORDINALITY AS u(input, n) ORDER BY n;
SELECT pg_temp.error_of($$SELECT ('[' || repeat('1,', 16000) || '1]')::vector$$);
SELECT pg_temp.error_of($$SELECT ('[' || repeat(',', 100000))::vector$$)
    = '22P02 invalid input syntax for type vector: "[' || repeat(',', 100000) || '"';
SELECT pg_temp.error_of($$SELECT ('[' || repeat('1,', 20000))::vector$$);
SELECT '[1,2'::vector;
\set VERBOSITY sqlstate
SELECT '[1,2'::vector;
SELECT '[nan]'::vector;
SELECT '[4e38]'::vector;
\set VERBOSITY default
-- since PostgreSQL 16 input errors are soft; before, the function is not there
DO $$
DECLARE
    refused boolean := true;
BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        EXECUTE $q$SELECT bool_and(NOT pg_input_is_valid(t, 'vector(2)')) AND pg_input_is_valid('[1,2]', 'vector(2)')
                   FROM unnest(ARRAY['', '[', '[]', '[1', '[a,1]', '[1,2]]', '[nan,1]', '[inf,1]', '[4e38,1]',
                                    '[1,2,3]',                   '[' || repeat('1,', 16000) || '1]']) t$q$ INTO refused;
    END IF;
    IF NOT refused THEN
        RAISE EXCEPTION 'input errors are not soft';
    END IF;
END $$;

-- type modifier
SELECT declaration, pg_temp.error_of(format('SELECT NULL::%s', declaration)) AS error FROM unnest(ARRAY[
    'vector(0)', 'vector(-1)', 'vector(16001)', 'vector(1,2)', 'vector(''a'')', 'vector(99999999999)', 'vector(1.5)',
    'vector(16000)'])
    WITH ORDINALITY AS u(declaration, n) ORDER BY n;
SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT '[1,2]'::vector(3)$$,
    $$SELECT '[1,2,3]'::vector(2)$$,
    $$SELECT '[1,2]'::vector::vector(3)$$,
    $$SELECT vector('[1,2]', 3, true)$$,
    $$SELECT ARRAY[1,2]::vector(3)$$,
    $$SELECT array_to_vector(ARRAY[1,2], 3, false)$$,
    $$SELECT vector_typmod_in('{}')$$,
    $$SELECT vector_typmod_in('{NULL}')$$]) WITH ORDINALITY AS u(statement, n) ORDER BY n;
CREATE TABLE ve (v vector(3));
INSERT INTO ve VALUES ('[1,2]');
INSERT INTO ve VALUES (ARRAY[1,2]);
INSERT INTO ve SELECT v::vector FROM (VALUES ('[1,2]')) t(v);
DROP TABLE ve;

-- casts from arrays
SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT '{}'::integer[]::vector$$,
    $$SELECT '{}'::real[]::vector$$,
    $$SELECT '{{1,2}}'::integer[]::vector$$,
    $$SELECT '{{1},{2}}'::numeric[]::vector$$,
    $$SELECT '{1,NULL}'::integer[]::vector$$,
    $$SELECT '{NULL}'::double precision[]::vector$$,
    $$SELECT '{NULL}'::numeric[]::vector$$,
    $$SELECT '{NaN}'::real[]::vector$$,
    $$SELECT '{-Infinity}'::real[]::vector$$,
    $$SELECT '{NaN}'::double precision[]::vector$$,
    $$SELECT '{Infinity}'::double precision[]::vector$$,
    $$SELECT '{4e38}'::double precision[]::vector$$,
    $$SELECT '{1,-1e300}'::double precision[]::vector$$,
    $$SELECT '{3.4028235677973366e38}'::double precision[]::vector$$,
    $$SELECT '{NaN}'::numeric[]::vector$$,
    $$SELECT '{Infinity}'::numeric[]::vector$$,
    $$SELECT '{4e38}'::numeric[]::vector$$,
    $$SELECT array_fill(1, ARRAY[16001])::vector$$,
    $$SELECT array_fill(1.5, ARRAY[16001])::vector$$]) WITH ORDINALITY AS u(statement, n) ORDER BY n;
-- an array type that no cast of ours takes
CREATE FUNCTION pg_temp.text_array_to_vector(text[], integer, boolean) RETURNS vector
    AS '$libdir/vecann', 'vecann_vector_from_array' LANGUAGE C IMMUTABLE STRICT;
SELECT pg_temp.error_of($$SELECT pg_temp.text_array_to_vector('{1,2}', -1, false)$$);

-- two vectors of different dimensions
SELECT call, pg_temp.error_of(format('SELECT ' || call, $$'[1,2]'::vector$$, $$'[1,2,3]'::vector$$)) AS error
FROM unnest(ARRAY[
    'l2_distance(%s, %s)', 'vector_l2_squared_distance(%s, %s)', 'inner_product(%s, %s)',
    'vector_negative_inner_product(%s, %s)',
    'cosine_distance(%s, %s)', 'l1_distance(%s, %s)', 'vector_spherical_distance(%s, %s)', 'vector_add(%s, %s)',
    'vector_sub(%s, %s)', 'vector_mul(%s, %s)', '%s <-> %s', '%s <#> %s', '%s <=> %s', '%s <+> %s', '%s + %s',
    '%s - %s', '%s * %s',
    '%s || %s', '%s < %s', '%s = %s', 'vector_cmp(%s, %s)']) WITH ORDINALITY AS u(call, n) ORDER BY n;

-- overflow and underflow of arithmetic
SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT '[3e38]'::vector + '[3e38]'$$,
    $$SELECT '[1,-3e38]'::vector - '[1,3e38]'$$,
    $$SELECT '[1e30,1]'::vector * '[1e30,1]'$$,
    $$SELECT '[1e-30]'::vector * '[1e-30]'$$,
    $$SELECT '[1e-45]'::vector * '[-0.1]'$$,
    $$SELECT sum(v) FROM unnest(ARRAY['[3e38]', '[3e38]']::vector[]) v$$])
    WITH ORDINALITY AS u(statement, n) ORDER BY n;

-- dimensions of results
SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT array_fill(1, ARRAY[16000])::vector || '[2]'$$,
    $$SELECT array_fill(1, ARRAY[16000])::vector || array_fill(1, ARRAY[16000])::vector$$,
    $$SELECT subvector('[1,2,3]'::vector, 1, 0)$$,
    $$SELECT subvector('[1,2,3]'::vector, 4, 1)$$,
    $$SELECT subvector('[1,2,3]'::vector, 2, -1)$$,
    $$SELECT subvector('[1,2,3]'::vector, -1, 2)$$,
    $$SELECT subvector('[1,2,3]'::vector, 2147483647, 2147483647)$$,
    $$SELECT subvector('[1,2,3]'::vector, -2147483648, 2147483647)$$,
    $$SELECT subvector('[1,2,3]'::vector, 1, -2147483648)$$]) WITH ORDINALITY AS u(statement, n) ORDER BY n;

-- aggregates
SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT avg(v) FROM unnest(ARRAY['[1,2]', '[3]']::vector[]) v$$,
    $$SELECT sum(v) FROM unnest(ARRAY['[1,2]', '[3]']::vector[]) v$$,
    $$SELECT vector_accum('{}', '[1,2]')$$,
    $$SELECT vector_accum('{{0}}', '[1,2]')$$,
    $$SELECT vector_accum('{NULL}', '[1,2]')$$,
    $$SELECT vector_accum('{1,1}', '[1,2]')$$,
    $$SELECT vector_accum('{1,Infinity}', '[1]')$$,
    $$SELECT vector_combine('{1,1}', '{1,1,2}')$$,
    $$SELECT vector_combine('{0}', '{}')$$,
    $$SELECT vector_combine('{1,1e308}', '{1,1e308}')$$,
    $$SELECT vector_avg('{}')$$,
    $$SELECT vector_avg('{1}')$$,
    $$SELECT vector_avg('{1,NULL}')$$,
    $$SELECT vector_avg('{1,NaN}')$$,
    $$SELECT vector_avg('{1,1e300}')$$,
    $$SELECT vector_avg('{NaN,1}')$$,
    $$SELECT vector_avg(array_fill(1::float8, ARRAY[16002]))$$]) WITH ORDINALITY AS u(statement, n) ORDER BY n;

-- operators that do not exist
SELECT '[1]'::vector / '[1]';
SELECT -('[1]'::vector);

-- binary input: a bytea column sends its bytes as they are, so hand-made fields reach vector_recv
\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/vector_errors.bin'
\set load '\\copy vr FROM ' :'file' ' WITH (FORMAT binary)'
CREATE TABLE vr (v vector);
-- no dimension
COPY (SELECT '\x00000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- a negative one
COPY (SELECT '\xffff0000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- 16,001 of them
COPY (SELECT '\x3e810000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- unused is not 0
COPY (SELECT '\x000100013f800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- NaN
COPY (SELECT '\x000100007fc00000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- infinity
COPY (SELECT '\x00010000ff800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- cut short, in the header and in the elements
COPY (SELECT '\x0001'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x000200003f800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- too long
COPY (SELECT '\x000100003f8000003f800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- not the column's dimension
ALTER TABLE vr ALTER v TYPE vector(3);
COPY (SELECT '\x000100003f800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
SELECT * FROM vr;
DROP TABLE vr;

-- Every error of the type halfvec, with SQLSTATE, message and detail.

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
SELECT input, pg_temp.error_of(format('SELECT %L::halfvec', input)) AS error FROM unnest(ARRAY[
    '', ' ', '1,2,3', 'hello', '{1,2}', '(1,2)', '[', '[ ', '[1', '[1 ', '[1,', '[1, ', '[1,2', '[]', '[ ]', '[,',
    '[,1]', '[1,]', '[1,,2]',
    '[1 2]', '[1;2]', '[a]', '[1a]', '[1,2a]', '[1.2.3]', '[1e]', '[1 e5]', '[1e 5]', '[- 1]', '[--1]',
    '[+-1]', '[.]',
    '[0x]', '[1,2]]', '[1,2] 3', '[1,2],', '[[1,2]]', '[1,[2]]', ']', '[1,2', '["1"]', '[1_000]', '[1,2](3)',
    '[NaN]', '[1,nan]', '[-NaN]', '[nan(1)]', '[Infinity]', '[-Infinity]', '[inf]', '[ +INF ]', '[infin]', '[nano]',
    '[65520]', '[1,-65520,2]', '[1e400]', '[ -1e400 ]', '[0x1p16]', '[7e4]', '[65519.9]'])
    WITH ORDINALITY AS u(input, n) ORDER BY n;
SELECT pg_temp.error_of($$SELECT ('[' || repeat('1,', 16000) || '1]')::halfvec$$);
SELECT pg_temp.error_of($$SELECT ('[' || repeat(',', 100000))::halfvec$$)
    = '22P02 invalid input syntax for type halfvec: "[' || repeat(',', 100000) || '"';
SELECT pg_temp.error_of($$SELECT ('[' || repeat('1,', 20000))::halfvec$$);
SELECT '[1,2'::halfvec;
\set VERBOSITY sqlstate
SELECT '[1,2'::halfvec;
SELECT '[nan]'::halfvec;
SELECT '[7e4]'::halfvec;
\set VERBOSITY default
-- since PostgreSQL 16 input errors are soft; before, the function is not there
DO $$
DECLARE
    refused boolean := true;
BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        EXECUTE $q$SELECT bool_and(NOT pg_input_is_valid(t, 'halfvec(2)')) AND pg_input_is_valid('[1,2]', 'halfvec(2)')
                   FROM unnest(ARRAY['', '[', '[]', '[1', '[a,1]', '[1,2]]', '[nan,1]', '[inf,1]', '[7e4,1]',
                                    '[1,2,3]',                   '[' || repeat('1,', 16000) || '1]']) t$q$ INTO refused;
    END IF;
    IF NOT refused THEN
        RAISE EXCEPTION 'input errors are not soft';
    END IF;
END $$;

-- type modifier
SELECT declaration, pg_temp.error_of(format('SELECT NULL::%s', declaration)) AS error FROM unnest(ARRAY[
    'halfvec(0)', 'halfvec(-1)', 'halfvec(16001)', 'halfvec(1,2)', 'halfvec(''a'')', 'halfvec(99999999999)', 'halfvec(1.5)',
    'halfvec(16000)'])
    WITH ORDINALITY AS u(declaration, n) ORDER BY n;
SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT '[1,2]'::halfvec(3)$$,
    $$SELECT '[1,2,3]'::halfvec(2)$$,
    $$SELECT '[1,2]'::halfvec::halfvec(3)$$,
    $$SELECT halfvec('[1,2]', 3, true)$$,
    $$SELECT ARRAY[1,2]::halfvec(3)$$,
    $$SELECT array_to_halfvec(ARRAY[1,2], 3, false)$$,
    $$SELECT halfvec_typmod_in('{}')$$,
    $$SELECT halfvec_typmod_in('{NULL}')$$]) WITH ORDINALITY AS u(statement, n) ORDER BY n;
CREATE TABLE ve (v halfvec(3));
INSERT INTO ve VALUES ('[1,2]');
INSERT INTO ve VALUES (ARRAY[1,2]);
INSERT INTO ve SELECT v::halfvec FROM (VALUES ('[1,2]')) t(v);
DROP TABLE ve;

-- casts from arrays
SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT '{}'::integer[]::halfvec$$,
    $$SELECT '{}'::real[]::halfvec$$,
    $$SELECT '{{1,2}}'::integer[]::halfvec$$,
    $$SELECT '{{1},{2}}'::numeric[]::halfvec$$,
    $$SELECT '{1,NULL}'::integer[]::halfvec$$,
    $$SELECT '{NULL}'::double precision[]::halfvec$$,
    $$SELECT '{NULL}'::numeric[]::halfvec$$,
    $$SELECT '{NaN}'::real[]::halfvec$$,
    $$SELECT '{-Infinity}'::real[]::halfvec$$,
    $$SELECT '{65520.5}'::real[]::halfvec$$,
    $$SELECT '{65520,1}'::integer[]::halfvec$$,
    $$SELECT '{NaN}'::double precision[]::halfvec$$,
    $$SELECT '{Infinity}'::double precision[]::halfvec$$,
    $$SELECT '{65520}'::double precision[]::halfvec$$,
    $$SELECT '{1,-1e300}'::double precision[]::halfvec$$,
    $$SELECT '{-65520.000000001}'::double precision[]::halfvec$$,
    $$SELECT '{NaN}'::numeric[]::halfvec$$,
    $$SELECT '{Infinity}'::numeric[]::halfvec$$,
    $$SELECT '{65520}'::numeric[]::halfvec$$,
    $$SELECT array_fill(1, ARRAY[16001])::halfvec$$,
    $$SELECT array_fill(1.5, ARRAY[16001])::halfvec$$]) WITH ORDINALITY AS u(statement, n) ORDER BY n;
-- an array type that no cast of ours takes
CREATE FUNCTION pg_temp.text_array_to_halfvec(text[], integer, boolean) RETURNS halfvec
    AS '$libdir/vecann', 'vecann_vector_from_array' LANGUAGE C IMMUTABLE STRICT;
SELECT pg_temp.error_of($$SELECT pg_temp.text_array_to_halfvec('{1,2}', -1, false)$$);

-- two vectors of different dimensions
SELECT call, pg_temp.error_of(format('SELECT ' || call, $$'[1,2]'::halfvec$$, $$'[1,2,3]'::halfvec$$)) AS error
FROM unnest(ARRAY[
    'l2_distance(%s, %s)', 'halfvec_l2_squared_distance(%s, %s)', 'inner_product(%s, %s)',
    'halfvec_negative_inner_product(%s, %s)',
    'cosine_distance(%s, %s)', 'l1_distance(%s, %s)', 'halfvec_spherical_distance(%s, %s)', 'halfvec_add(%s, %s)',
    'halfvec_sub(%s, %s)', 'halfvec_mul(%s, %s)', '%s <-> %s', '%s <#> %s', '%s <=> %s', '%s <+> %s', '%s + %s',
    '%s - %s', '%s * %s',
    '%s || %s', '%s < %s', '%s = %s', 'halfvec_cmp(%s, %s)']) WITH ORDINALITY AS u(call, n) ORDER BY n;

-- overflow and underflow of arithmetic
SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT '[6e4]'::halfvec + '[6e4]'$$,
    $$SELECT '[1,-6e4]'::halfvec - '[1,6e4]'$$,
    $$SELECT '[300,1]'::halfvec * '[300,1]'$$,
    $$SELECT '[1e-4]'::halfvec * '[1e-4]'$$,
    $$SELECT '[6e-8]'::halfvec * '[-0.1]'$$,
    $$SELECT sum(v) FROM unnest(ARRAY['[6e4]', '[6e4]']::halfvec[]) v$$])
    WITH ORDINALITY AS u(statement, n) ORDER BY n;

-- dimensions of results
SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT array_fill(1, ARRAY[16000])::halfvec || '[2]'$$,
    $$SELECT array_fill(1, ARRAY[16000])::halfvec || array_fill(1, ARRAY[16000])::halfvec$$,
    $$SELECT subvector('[1,2,3]'::halfvec, 1, 0)$$,
    $$SELECT subvector('[1,2,3]'::halfvec, 4, 1)$$,
    $$SELECT subvector('[1,2,3]'::halfvec, 2, -1)$$,
    $$SELECT subvector('[1,2,3]'::halfvec, -1, 2)$$,
    $$SELECT subvector('[1,2,3]'::halfvec, 2147483647, 2147483647)$$,
    $$SELECT subvector('[1,2,3]'::halfvec, -2147483648, 2147483647)$$,
    $$SELECT subvector('[1,2,3]'::halfvec, 1, -2147483648)$$]) WITH ORDINALITY AS u(statement, n) ORDER BY n;

-- aggregates
SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT avg(v) FROM unnest(ARRAY['[1,2]', '[3]']::halfvec[]) v$$,
    $$SELECT sum(v) FROM unnest(ARRAY['[1,2]', '[3]']::halfvec[]) v$$,
    $$SELECT halfvec_accum('{}', '[1,2]')$$,
    $$SELECT halfvec_accum('{{0}}', '[1,2]')$$,
    $$SELECT halfvec_accum('{NULL}', '[1,2]')$$,
    $$SELECT halfvec_accum('{1,1}', '[1,2]')$$,
    $$SELECT halfvec_accum('{1,Infinity}', '[1]')$$,
    $$SELECT halfvec_combine('{1,1}', '{1,1,2}')$$,
    $$SELECT halfvec_combine('{0}', '{}')$$,
    $$SELECT halfvec_combine('{1,1e308}', '{1,1e308}')$$,
    $$SELECT halfvec_avg('{}')$$,
    $$SELECT halfvec_avg('{1}')$$,
    $$SELECT halfvec_avg('{1,NULL}')$$,
    $$SELECT halfvec_avg('{1,NaN}')$$,
    $$SELECT halfvec_avg('{1,65520}')$$,
    $$SELECT halfvec_avg('{NaN,1}')$$,
    $$SELECT halfvec_avg(array_fill(1::float8, ARRAY[16002]))$$]) WITH ORDINALITY AS u(statement, n) ORDER BY n;

-- casts between vector and halfvec
SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT '[1,65520]'::vector::halfvec$$,
    $$SELECT '[-3e38]'::vector::halfvec$$,
    $$SELECT '[1,2]'::vector::halfvec(3)$$,
    $$SELECT '[1,2]'::halfvec::vector(3)$$,
    $$SELECT vector_to_halfvec('[1,2]', 3, true)$$,
    $$SELECT halfvec_to_vector('[1,2]', 1, false)$$]) WITH ORDINALITY AS u(statement, n) ORDER BY n;
-- not even the other type helps
SELECT l2_distance('[1]', '[1]');

-- operators that do not exist
SELECT '[1]'::halfvec / '[1]';
SELECT -('[1]'::halfvec);

-- binary input: a bytea column sends its bytes as they are, so hand-made fields reach halfvec_recv
\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/halfvec_errors.bin'
\set load '\\copy vr FROM ' :'file' ' WITH (FORMAT binary)'
CREATE TABLE vr (v halfvec);
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
COPY (SELECT '\x000100013c00'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- NaN
COPY (SELECT '\x000100007e00'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- infinity
COPY (SELECT '\x00010000fc00'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- cut short, in the header and in the elements
COPY (SELECT '\x0001'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x000200003c00'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- too long
COPY (SELECT '\x000100003c003c00'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- not the column's dimension
ALTER TABLE vr ALTER v TYPE halfvec(3);
COPY (SELECT '\x000100003c00'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
SELECT * FROM vr;
DROP TABLE vr;

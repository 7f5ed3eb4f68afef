-- Every error of the type sparsevec, with SQLSTATE, message and detail.

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
SELECT input, pg_temp.error_of(format('SELECT %L::sparsevec', input)) AS error FROM unnest(ARRAY[
    '', ' ', '[1,2]', 'hello', '{', '{ ', '{1', '{1:', '{1: ', '{1:1', '{1:1 ', '{1:1,', '{1:1,}/2', '{,}/2', '{1:1,,2:2}/2',
    '{1:1}', '{1:1} ', '{1:1}/', '{1:1}/ ', '{1:1}/x', '{1:1}2', '{1:1}x/2', '{1:1}/2x', '{1:1}/2 3', '{1:1}/2.5', '{1:1}/2,',
    '{1;1}/2', '{1 1}/2', '{:1}/2', '{a:1}/2', '{1:a}/2', '{1.5:1}/2', '{1:1.5.2}/2', '{1:1 2:2}/2', '{{1:1}}/2', '{1:- 1}/2', '{"1":1}/2',
    '{0:1}/2', '{-1:1}/2', '{3:1}/2', '{9999999999:1}/2', '{-9999999999:1}/2', '{3:0}/2', '{0:0}/2', '{1:1,1:2}/2', '{2:1,1:1,2:3}/2',
    '{}/0', '{}/-1', '{1:1}/0', '{}/1000000001', '{}/99999999999', '{}/-99999999999',
    '{1:NaN}/2', '{1:inf}/2', '{1:-Infinity}/2', '{1:4e38}/2', '{1:-1e400}/2', '{1:1e-46}/2', '{1:-1e-400}/2', '{1:0e-400}/2', '{1:1e-40}/2'])
    WITH ORDINALITY AS u(input, n) ORDER BY n;
SELECT pg_temp.error_of(format('SELECT %L::sparsevec', '{' || string_agg(i || ':1', ',') || '}/20000')) FROM generate_series(1, 16001) i;
SELECT pg_temp.error_of(format('SELECT %L::sparsevec', '{' || string_agg(i || ':' || i % 2, ',') || '}/30000')) FROM generate_series(1, 30000) i;
SELECT '{1:1'::sparsevec;
\set VERBOSITY sqlstate
SELECT '{1:1'::sparsevec;
SELECT '{2:1}/1'::sparsevec;
SELECT '{1:1e-46}/1'::sparsevec;
\set VERBOSITY default
-- since PostgreSQL 16 input errors are soft; before, the function is not there
DO $$
DECLARE
    refused boolean := true;
BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        EXECUTE $q$SELECT bool_and(NOT pg_input_is_valid(t, 'sparsevec(2)')) AND pg_input_is_valid('{1:1}/2', 'sparsevec(2)')
                   FROM unnest(ARRAY['', '{', '{}', '{1:1}', '{a:1}/2', '{1:1}/2x', '{1:nan}/2', '{1:inf}/2', '{1:4e38}/2', '{1:1e-46}/2',
                                     '{1:1}/3', '{}/0', '{0:1}/2', '{3:1}/2', '{1:1,1:1}/2']) t$q$ INTO refused;
    END IF;
    IF NOT refused THEN
        RAISE EXCEPTION 'input errors are not soft';
    END IF;
END $$;

-- type modifier
SELECT declaration, pg_temp.error_of(format('SELECT NULL::%s', declaration)) AS error FROM unnest(ARRAY[
    'sparsevec(0)', 'sparsevec(-1)', 'sparsevec(1000000001)', 'sparsevec(1,2)', 'sparsevec(''a'')', 'sparsevec(1000000000)'])
    WITH ORDINALITY AS u(declaration, n) ORDER BY n;
SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT '{}/2'::sparsevec(3)$$,
    $$SELECT '{}/2'::sparsevec::sparsevec(3)$$,
    $$SELECT sparsevec('{}/2', 3, true)$$,
    $$SELECT ARRAY[1,2]::sparsevec(3)$$,
    $$SELECT '[1,2]'::vector::sparsevec(3)$$,
    $$SELECT '[1,2]'::halfvec::sparsevec(3)$$,
    $$SELECT '{}/2'::sparsevec::vector(3)$$,
    $$SELECT '{}/2'::sparsevec::halfvec(3)$$,
    $$SELECT '{}/16001'::sparsevec::vector$$,
    $$SELECT '{}/16001'::sparsevec::halfvec$$,
    $$SELECT '{2:65520}/2'::sparsevec::halfvec$$,
    $$SELECT sparsevec_typmod_in('{}')$$,
    $$SELECT sparsevec_typmod_in('{NULL}')$$]) WITH ORDINALITY AS u(statement, n) ORDER BY n;

-- casts from arrays
SELECT statement, pg_temp.error_of(statement) AS error FROM unnest(ARRAY[
    $$SELECT '{}'::integer[]::sparsevec$$,
    $$SELECT '{{1,2}}'::real[]::sparsevec$$,
    $$SELECT '{1,NULL}'::float8[]::sparsevec$$,
    $$SELECT '{NaN}'::real[]::sparsevec$$,
    $$SELECT '{-Infinity}'::float8[]::sparsevec$$,
    $$SELECT '{4e38}'::float8[]::sparsevec$$,
    $$SELECT '{NaN}'::numeric[]::sparsevec$$,
    $$SELECT '{4e38}'::numeric[]::sparsevec$$,
    $$SELECT array_fill(1, ARRAY[16001])::sparsevec$$]) WITH ORDINALITY AS u(statement, n) ORDER BY n;
CREATE FUNCTION pg_temp.text_array_to_sparsevec(text[], integer, boolean) RETURNS sparsevec
    AS '$libdir/vecann', 'vecann_sparsevec_from_array' LANGUAGE C IMMUTABLE STRICT;
SELECT pg_temp.error_of($$SELECT pg_temp.text_array_to_sparsevec('{1,2}', -1, false)$$);

-- different dimensions
SELECT call, pg_temp.error_of(format('SELECT ' || call, $$'{1:1}/2'::sparsevec$$, $$'{1:1}/3'::sparsevec$$)) AS error
FROM unnest(ARRAY['l2_distance(%s, %s)', 'sparsevec_l2_squared_distance(%s, %s)', 'inner_product(%s, %s)',
    'sparsevec_negative_inner_product(%s, %s)', 'cosine_distance(%s, %s)', 'l1_distance(%s, %s)',
    'sparsevec_spherical_distance(%s, %s)', '%s <-> %s', '%s <#> %s', '%s <=> %s', '%s <+> %s', '%s < %s', '%s = %s',
    'sparsevec_cmp(%s, %s)']) WITH ORDINALITY AS u(call, n) ORDER BY n;
CREATE TABLE se (v sparsevec(2));
CREATE INDEX ON se USING hnsw (v);
DROP TABLE se;

-- binary input, made by hand: a bytea column sends its bytes as they are
\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/sparsevec_errors.bin'
\set load '\\copy sr FROM ' :'file' ' WITH (FORMAT binary)'
CREATE TABLE sr (v sparsevec);
-- no dimension, a negative number of them, too many
COPY (SELECT '\x000000000000000000000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\xffffffff0000000000000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x3b9aca010000000000000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- elements: a negative number, too many, more than dimensions
COPY (SELECT '\x00000005ffffffff00000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x00010000'::bytea || '\x00003e8100000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x000000010000000200000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- unused is not 0
COPY (SELECT '\x000000010000000000000001'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- indices: negative, too large, twice the same, descending
COPY (SELECT '\x000000050000000100000000ffffffff3f800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x000000050000000100000000000000053f800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x00000005000000020000000000000001000000013f8000003f800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x00000005000000020000000000000002000000013f8000003f800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- values: zero, minus zero, NaN, infinite
COPY (SELECT '\x0000000500000001000000000000000100000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x0000000500000001000000000000000180000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x000000050000000100000000000000017fc00000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x00000005000000010000000000000001ff800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- cut short, too long
COPY (SELECT '\x0000000500000001'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x00000005000000010000000000000001'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
COPY (SELECT '\x00000005000000000000000000000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
-- not the column's dimension
ALTER TABLE sr ALTER v TYPE sparsevec(3);
COPY (SELECT '\x000000050000000000000000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
SELECT * FROM sr;
DROP TABLE sr;

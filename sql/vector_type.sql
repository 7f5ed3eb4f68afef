-- Type vector: text and binary form, type modifier, storage. Errors are in vector_errors.

-- text form
SELECT '[1,2,3]'::vector;
SELECT '[-1.5, 0, .25, 2., +7]'::vector;
SELECT E' \t\n\r\x0b\f[ \t\n1 \r,\x0b 2\f, 3 ]\t\n '::vector;
SELECT '[5]'::vector;
SELECT '[1e3,1E-3,1e+20,1.5e10]'::vector;
SELECT '[0x10,0X.8p1,-0x1p-1]'::vector;
-- the sign of zero is kept
SELECT '[0,-0,-0.0]'::vector;
-- shortest decimal that reads back as the same float4
SELECT '[0.1,0.3333333333333333,1.0000001,16777217,123456789,0.000123,1e-7]'::vector;
SELECT '[3.4028235e38,-3.4028235e38,1.1754944e-38,1e-45]'::vector;
SET extra_float_digits = 0;
SELECT '[0.33333334]'::vector;
RESET extra_float_digits;
-- underflow is silent
SELECT '[1e-46,-1e-46,1e-400,1e-40]'::vector;
SELECT vector_in('[1,2]', 0, -1), vector_in('[1,2]', 0, 2), vector_out('[1,2]');
-- every bit pattern that is a finite float4 reads back as itself (a sample)
SELECT count(*), bool_and(v::text::vector = v AND vector_send(v::text::vector) = vector_send(v)) AS same
FROM (SELECT array_agg((sin(i) * 10.0 ^ (i % 76 - 38))::real)::vector AS v
      FROM generate_series(1, 5000) i GROUP BY i / 10) s;

-- limits
SELECT vector_dims(('[' || repeat('1,', 15999) || '2]')::vector);
SELECT '[1,2,3]'::vector(3), '[1]'::vector(1);
SELECT vector_dims(array_fill(1, ARRAY[16000])::vector(16000));

-- type modifier
CREATE TABLE vt (id integer, a vector, b vector(3), c vector(2)[]);
SELECT attname, format_type(atttypid, atttypmod), atttypmod, attstorage, attcollation, attalign
FROM pg_attribute WHERE attrelid = 'vt'::regclass AND attnum > 1 ORDER BY attnum;
INSERT INTO vt VALUES (1, '[1]', '[1,2,3]', ARRAY['[1,2]', '[3,4]']::vector[]);
INSERT INTO vt VALUES (2, '[1,2]', '[4,5,6]', '{"[5,6]",NULL,"[7,8]"}');
INSERT INTO vt VALUES (3, NULL, NULL, NULL);
SELECT * FROM vt ORDER BY id;
SELECT c[1], c[3], array_length(c, 1) FROM vt WHERE id = 2;
ALTER TABLE vt ALTER a TYPE vector(2) USING (CASE vector_dims(a) WHEN 1 THEN a || '[9]' ELSE a END);
SELECT id, a FROM vt ORDER BY id;
SELECT vector_typmod_in('{3}'), vector_typmod_in('{16000}');

-- storage: out of line, not compressed
CREATE TABLE vlong (id integer, v vector);
INSERT INTO vlong SELECT d, array_fill(0.5, ARRAY[d])::vector FROM unnest(ARRAY[1, 30, 31, 32, 500, 4000, 16000]) d;
SELECT id, vector_dims(v), pg_column_size(v), pg_column_compression(v), l1_distance(v, v) FROM vlong ORDER BY id;
UPDATE vlong SET v = v + v;
SELECT id, vector_dims(v), l1_distance(v, array_fill(0, ARRAY[id])::vector) = id AS ones FROM vlong ORDER BY id;
ANALYZE vlong;
SELECT null_frac, n_distinct FROM pg_stats WHERE tablename = 'vlong' AND attname = 'v';

-- binary form: int16 dimension, int16 0, float4 each
SELECT vector_send('[1,-2,0.5]');
\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/vector_type.bin'
\set load '\\copy vback FROM ' :'file' ' WITH (FORMAT binary)'
CREATE TABLE vback (id integer, v vector);
COPY vlong TO STDOUT WITH (FORMAT binary) \g :file
:load
SELECT count(*), bool_and(a.v = b.v) FROM vlong a JOIN vback b USING (id);
-- a bytea field travels as it is: made by hand, here with a negative zero
TRUNCATE vback;
COPY (SELECT 1, '\x00020000800000003f800000'::bytea) TO STDOUT WITH (FORMAT binary) \g :file
:load
SELECT * FROM vback;
DROP TABLE vt, vlong, vback;

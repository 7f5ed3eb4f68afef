-- A vector times or by a number; and what the other operators of these names mean stays what it was.
SELECT '[1,2,-3]'::vector * 2, 2 * '[1,2,-3]'::vector, '[1,2,-3]'::vector / 2, '[1,2,-3]'::vector * 0.5, '[1,2]'::vector * 1.5::real;
SELECT '[1,2,-3]'::halfvec * 2, 2 * '[1,2,-3]'::halfvec, '[1,2,-3]'::halfvec / 2, '[1,2,-3]'::halfvec * 0.1, '[1,2]'::halfvec / 3;
SELECT pg_typeof('[1]'::vector * 2), pg_typeof(2 * '[1]'::vector), pg_typeof('[1]'::vector / 2), pg_typeof('[1]'::halfvec * 2),
    pg_typeof(2 * '[1]'::halfvec), pg_typeof('[1]'::halfvec / 2);
SELECT pg_typeof('[1]'::vector * 2::smallint), pg_typeof('[1]'::vector * 2::bigint), pg_typeof('[1]'::vector * 2::numeric);
-- a literal without a type is a vector, as before
SELECT '[1,2]'::vector * '[3,4]', '[1,2]' * '[3,4]'::vector, '[1,2]'::halfvec * '[3,4]', '[1,2]' * '[3,4]'::halfvec;
SELECT '[1,2]'::vector * '[3,4]'::halfvec, '[1,2]'::halfvec * '[3,4]'::vector, vector_mul('[1,2]', '[3,4]');
PREPARE product AS SELECT '[1,2]'::vector * $1;
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'product';
EXECUTE product('[5,6]');
DEALLOCATE product;
SELECT '[1,2]'::vector * NULL AS n, pg_typeof('[1,2]'::vector * NULL);
-- there is nothing to divide by but a number
SELECT '[1,2]'::vector / '2', '[1,2]'::halfvec / '4';
SELECT '[1,2]'::vector * '2';
SELECT '[1,2]'::vector / '[1,2]'::vector;
SELECT 2 / '[1,2]'::vector;
SELECT '[1,2]'::vector * 2::float8;
-- signs, rounding, ends of the range
SELECT '[0,-0,1]'::vector * -1, '[0,1]'::vector * 0, '[-1,0]'::vector / -0.5, '[1,10]'::vector / 3;
SELECT '[1e38]'::vector * 10;
SELECT '[1e-30]'::vector * 1e-30;
SELECT '[1e-30]'::vector / 1e30;
SELECT '[60000]'::halfvec * 2;
SELECT '[6e-8]'::halfvec / 1000;
SELECT '[1]'::vector / 0, 1;
SELECT '[1]'::halfvec / '-0'::real;
SELECT '[1]'::vector * 'NaN'::real;
SELECT '[1]'::vector / 'Infinity'::real;
SELECT 'Infinity'::real * '[1]'::halfvec;
SELECT NULL::vector * 2 AS n, '[1]'::vector / NULL::real AS m;
-- a query made of numbers goes by the index
CREATE TABLE scaled (id int, v vector(2));
INSERT INTO scaled SELECT i, ARRAY[i, -i]::real[]::vector FROM generate_series(1, 100) AS i;
CREATE INDEX scaled_v ON scaled USING hnsw (v vector_l2_ops);
CREATE INDEX scaled_half ON scaled USING hnsw (((v / 2)::vector(2)) vector_l2_ops);
SET enable_seqscan = off;
SELECT id FROM scaled ORDER BY v <-> '[1,-1]'::vector * 42 LIMIT 2;
SELECT id FROM scaled ORDER BY (v / 2)::vector(2) <-> '[10,-10]' LIMIT 2;
SELECT problems FROM vecann_verify('scaled_half');
DROP TABLE scaled;

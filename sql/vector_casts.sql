-- Casts to and from vector. Errors are in vector_errors.

-- from arrays
SELECT ARRAY[1,2,3]::vector, '{1,2,3}'::integer[]::vector(3), ARRAY[1.5,-2.25]::vector AS "numeric";
SELECT '{1.5,-0,1e-45}'::real[]::vector, '{1.5,0.1,1e-50}'::double precision[]::vector,
    '{0.1,1e-400,-7}'::numeric[]::vector;
SELECT '[5:7]={1,2,3}'::integer[]::vector, ARRAY[2147483647,-2147483648,16777217]::vector;
SELECT array_to_vector(ARRAY[1,2], 2, true), array_to_vector('{1,2}'::real[], -1, false),
       array_to_vector('{1,2}'::double precision[], 2, false), array_to_vector('{1,2}'::numeric[], 2, false);
-- doubles and numerics are rounded once: halfway cases and their neighbours
SELECT '{1.000000059604644775390625,1.00000005960464477539062500000000001}'::numeric[]::vector;
SELECT '{1.000000059604644775390625,1.0000001788139343261719}'::double precision[]::vector;
SELECT '{3.4028235677973364e38}'::double precision[]::vector;

-- to arrays
SELECT '[1,2.5,-0]'::vector::real[], vector_to_float4('[1,2]', -1, false), pg_typeof('[1]'::vector::real[]);
SELECT array_length('[1,2,3]'::vector::real[], 1), ('[7,8]'::vector::real[])[2];
SELECT (array_agg(x ORDER BY n))[1:2] FROM unnest('[4,5,6]'::vector::real[]) WITH ORDINALITY AS u(x, n);

-- vector to vector: the type modifier
SELECT '[1,2,3]'::vector::vector(3), vector('[1,2,3]', 3, true), vector('[1,2,3]', -1, false);

-- text, through input and output
SELECT '[1,2]'::vector::text, CAST('[1,2]'::text AS vector), '[1,2]'::varchar::vector(2);

-- which casts happen by themselves
CREATE TABLE vc (v vector(3), r real[]);
INSERT INTO vc (v) VALUES (ARRAY[1,2,3]), ('{4,5,6}'::real[]), ('{7,8,9}'::double precision[]),
    ('{1.5,2.5,3.5}'::numeric[]);
INSERT INTO vc (r) VALUES ('[1,2]'::vector);
SELECT * FROM vc;
UPDATE vc SET r = v WHERE v = '[4,5,6]' RETURNING r;
SELECT cardinality('[1,2,3]'::vector);
-- comparisons of arrays stay comparisons of arrays
SELECT ARRAY[1,2,3] = ARRAY[1,2,3] AS eq, ARRAY[1,2,3] < ARRAY[1,2,4] AS lt, ARRAY[1.5] || ARRAY[2.5] AS cat;
SELECT ARRAY[1,2,3] <-> ARRAY[1,2,3];
SELECT '[1,2,3]' <-> ARRAY[1,2,5]::vector;
SELECT '[1]'::vector || '[2]';
-- bigint and smallint arrays have no cast
SELECT '{1}'::bigint[]::vector;
DROP TABLE vc;

-- prepared statements and functions with parameters of the type
PREPARE nearest(vector) AS SELECT '[1,1]'::vector <-> $1;
EXECUTE nearest('[4,5]');
EXECUTE nearest(ARRAY[1,1]::vector);
DEALLOCATE nearest;
CREATE FUNCTION pg_temp.shifted(v vector, by vector) RETURNS vector LANGUAGE sql IMMUTABLE AS 'SELECT v + by';
SELECT pg_temp.shifted('[1,2]', '[10,20]');

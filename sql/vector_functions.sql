-- Functions and operators of type vector. Order is in vector_btree, errors are in vector_errors.

-- L2
SELECT l2_distance('[0,0]'::vector, '[3,4]'), l2_distance('[0,0]'::vector, '[0,1]'), '[1,2,3]' <-> '[1,2,5]'::vector AS op;
SELECT vector_l2_squared_distance('[0,0]', '[3,4]');
SELECT l2_distance('[1]'::vector, '[1]'), l2_distance('[1]'::vector, '[-0]');
-- sums are float4: too large is infinite, too small vanishes
SELECT l2_distance('[3e38]'::vector, '[-3e38]'), l2_distance('[1e-30]'::vector, '[0]');

-- inner product
SELECT inner_product('[1,2]'::vector, '[3,4]'), vector_negative_inner_product('[1,2]', '[3,4]'),
    '[1,2]' <#> '[3,4]'::vector AS op;
SELECT inner_product('[1,0]'::vector, '[0,1]'), '[1,0]' <#> '[0,1]'::vector AS op;
SELECT inner_product('[3e38]'::vector, '[3e38]'), '[3e38]' <#> '[3e38]'::vector AS op,
       inner_product('[3e38,3e38]'::vector, '[3e38,-3e38]');

-- cosine
SELECT cosine_distance('[1,2]'::vector, '[2,4]'), cosine_distance('[1,2]'::vector, '[0,0]'), cosine_distance('[1,1]'::vector, '[1,1]'),
       cosine_distance('[1,0]'::vector, '[0,2]'), cosine_distance('[1,1]'::vector, '[-1,-1]'), '[1,0]' <=> '[-5,0]'::vector AS op;
SELECT cosine_distance('[0]'::vector, '[0]'), cosine_distance('[-0]'::vector, '[1]');
-- independent of scale, also where float4 squares are not
SELECT x, cosine_distance(x::vector, x::vector) AS same,
       round(cosine_distance(x::vector, '[3,0]')::numeric, 12) AS diagonal,
       round(cosine_distance('[0,7e30]'::vector, x::vector)::numeric, 12) AS swapped
FROM unnest(ARRAY['[1,1]', '[3e38,3e38]', '[1e-45,1e-45]', '[1e-23,1e-23]', '[2e19,2e19]']) x;
SELECT cosine_distance('[3e38,3e38]'::vector, '[3e38,-3e38]'), cosine_distance('[3e38,1e-45]'::vector, '[1e-45,3e38]');

-- L1
SELECT l1_distance('[0,0]'::vector, '[3,4]'), l1_distance('[1,-2]'::vector, '[-1,2]'), '[1,2]' <+> '[4,6]'::vector AS op;
SELECT l1_distance('[3e38]'::vector, '[-3e38]');

-- spherical: the angle between unit vectors over pi
SELECT vector_spherical_distance('[1,0]', '[1,0]'), vector_spherical_distance('[1,0]', '[0,1]'),
       vector_spherical_distance('[1,0]', '[-1,0]'),
       round(vector_spherical_distance('[1,0]', '[0.5,0.8660254]')::numeric, 6);
SELECT vector_spherical_distance('[2,0]', '[2,0]');

-- NULL in, NULL out
SELECT l2_distance('[1]'::vector, NULL), NULL::vector <-> '[1]', '[1]' <=> NULL::vector, '[1]'::vector + NULL,
    vector_dims(NULL::vector);

-- any dimension: with elements of small integers all sums are exact
SELECT count(*) AS dims,
       bool_and(l2_distance(a, b) = sqrt(l2)) AS l2, bool_and(inner_product(a, b) = ip) AS ip,
       bool_and(l1_distance(a, b) = l1) AS l1,
       bool_and(abs(cosine_distance(a, b) - (1 - ip / sqrt(na * nb))) < 1e-15) AS cosine
FROM (SELECT d, array_agg(x)::vector a, array_agg(y)::vector b, sum((x - y) ^ 2) l2, sum(x * y)::float8 ip,
             sum(abs(x - y)) l1, sum(x * x)::float8 na, sum(y * y)::float8 nb
      FROM generate_series(1, 140) d, generate_series(1, d) i, LATERAL (VALUES (i * 7 % 11 - 4, i * 5 % 13 - 6)) p(x, y)
      GROUP BY d) s;

-- one vector
SELECT vector_dims('[1,2,3]'::vector), vector_dims('[1]'::vector);
SELECT vector_norm('[3,4]'), vector_norm('[0,0]'), vector_norm('[-2]'),
    round((vector_norm('[3e37,4e37]') / 1e37)::numeric, 6) AS large;
SELECT l2_normalize('[3,4]'::vector), l2_normalize('[0,0]'::vector), l2_normalize('[-7]'::vector), l2_normalize('[0,-0]'::vector);
SELECT l2_normalize('[3e38,3e38]'::vector), l2_normalize('[1e-45,0]'::vector), l2_normalize('[3e37,4e-37]'::vector);
SELECT binary_quantize('[1,0,-1,0.5]'::vector), binary_quantize('[1e-45,-0,0]'::vector), binary_quantize('[1,1,1,1,1,1,1,1,-1,2]'::vector);
SELECT length(binary_quantize(array_fill(1, ARRAY[16000])::vector)), pg_typeof(binary_quantize('[1]'::vector));
SELECT binary_quantize('[1,0,0,0,0,0,0,0,3]'::vector) = B'100000001';

-- subvector: from 1, clamped at both ends
SELECT subvector('[1,2,3,4,5]'::vector, 1, 3), subvector('[1,2,3,4,5]'::vector, 3, 2), subvector('[1,2,3,4,5]'::vector, 5, 1);
SELECT subvector('[1,2,3,4,5]'::vector, -1, 4), subvector('[1,2,3,4,5]'::vector, 0, 2), subvector('[1,2,3,4,5]'::vector, 4, 9);
SELECT subvector('[1,2,3]'::vector, 1, 2147483647), subvector('[1,2,3]'::vector, 3, 2147483647),
    subvector('[1,2,3]'::vector, -2147483645, 2147483647);

-- arithmetic
SELECT '[1,2,3]'::vector + '[4,5,6]', '[1,2,3]'::vector - '[4,5,6]', '[1,2,3]'::vector * '[4,5,6]',
    '[1,2]'::vector || '[3]';
SELECT vector_add('[1]', '[2]'), vector_sub('[1]', '[2]'), vector_mul('[3]', '[2]'), vector_concat('[1]', '[2]');
SELECT '[1e38]'::vector + '[1e38]', '[3e38]'::vector - '[3e38]', '[1e-45]'::vector - '[1e-45]';
SELECT '[1e19,1e-20]'::vector * '[1e19,1e-20]', '[1e-30,0]'::vector * '[0,1e-30]', '[0]'::vector * '[-1]';
SELECT vector_dims(array_fill(1, ARRAY[15999])::vector || '[2]');

-- a distance is costlier than a plain operator: a cheap condition is tested first
CREATE TABLE vf (id integer, v vector(2));
EXPLAIN (COSTS OFF) SELECT * FROM vf WHERE v <-> '[1,2]' < 3 AND id > 7;
-- immutable: folded when the plan is made
EXPLAIN (COSTS OFF, VERBOSE) SELECT '[0,0]'::vector <-> '[3,4]' AS distance;
-- nearest neighbours without an index
INSERT INTO vf VALUES (1, '[0,0]'), (2, '[1,1]'), (3, '[5,5]'), (4, NULL), (5, '[2,0]');
SELECT id, v <-> '[1,0]' AS distance FROM vf ORDER BY v <-> '[1,0]', id LIMIT 3;
SELECT id, v <=> '[1,1]' AS distance FROM vf WHERE v <> '[0,0]' ORDER BY 2, id;
SELECT id FROM vf ORDER BY v <#> '[1,0]', id;
SELECT id FROM vf ORDER BY v <+> '[4,4]', id;
DROP TABLE vf;

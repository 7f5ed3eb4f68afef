-- Distances of the core's bit strings.

SELECT hamming_distance(B'101', B'110'), jaccard_distance(B'1101', B'1011'), B'101' <~> B'010' AS hamming,
       B'1111' <%> B'0011' AS jaccard;
-- nothing in common: 1, even of two strings of zeros or of none
SELECT jaccard_distance(B'10', B'01'), jaccard_distance(B'00', B'00'), jaccard_distance(B'', B''),
       hamming_distance(B'', B''), jaccard_distance(B'11', B'11'), hamming_distance(B'0', B'0');
SELECT hamming_distance(B'1', NULL), NULL::bit(3) <%> B'101';
-- bit varying becomes bit by itself
SELECT B'101'::varbit <~> B'100'::varbit AS varying, pg_typeof(B'1' <~> B'1'), '101' <~> B'111' AS literal;

-- at every length, by every level, against counting the characters
CREATE FUNCTION pg_temp.use_level(level text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('vecann.simd_level', level, false);
    RETURN level;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN level;
END $$;
CREATE TABLE bits AS
SELECT n, string_agg((sin(n * 7 + i) > 0.3)::integer::text, '' ORDER BY i) AS a,
       string_agg((cos(n - i * 3) > -0.2)::integer::text, '' ORDER BY i) AS b
FROM (SELECT generate_series(1, 700) UNION SELECT unnest(ARRAY[768, 1024, 4095, 16000, 64000, 100001])) l(n),
     generate_series(1, n) i GROUP BY n;
CREATE TABLE counted AS
SELECT n, a::bit varying AS a, b::bit varying AS b, length(replace(different, '0', '')) AS hamming,
       length(replace(common, '0', '')) AS common, length(replace(either, '0', '')) AS either
FROM (SELECT n, a, b, (a::varbit # b::varbit)::text AS different, (a::varbit & b::varbit)::text AS common,
             (a::varbit | b::varbit)::text AS either FROM bits) s;
CREATE VIEW bit_check AS
SELECT count(*), bool_and(a <~> b = hamming) AS hamming, bool_and(b <~> a = hamming) AS commuted,
       bool_and(a <%> b = CASE common WHEN 0 THEN 1 ELSE 1 - common / either::float8 END) AS jaccard FROM counted;
SELECT pg_temp.use_level('baseline');
SELECT * FROM bit_check;
SELECT pg_temp.use_level('avx2');
SELECT * FROM bit_check;
SELECT pg_temp.use_level('avx512');
SELECT * FROM bit_check;
RESET vecann.simd_level;
DROP VIEW bit_check;
DROP TABLE bits, counted;

-- with binary_quantize, as people write it
CREATE TABLE bq (id integer, v vector(9), b bit(9));
INSERT INTO bq SELECT i, v, binary_quantize(v) FROM (VALUES (1, '[1,1,1,1,1,1,1,1,1]'::vector),
    (2, '[1,-1,1,-1,1,-1,1,-1,1]'), (3, '[-1,-1,-1,-1,-1,-1,-1,-1,2]'), (4, '[0,0,0,0,0,0,0,0,0]')) t(i, v);
SELECT id, b, b <~> B'111111111' AS hamming, b <%> B'000000001' AS jaccard FROM bq ORDER BY 3, 1;
SELECT id FROM bq ORDER BY binary_quantize(v)::bit(9) <~> binary_quantize('[1,-1,1,-1,1,-1,1,-1,-1]'::vector), id LIMIT 2;
DROP TABLE bq;

-- errors
SELECT hamming_distance(B'101', B'10');
SELECT B'' <%> B'1';
\set VERBOSITY sqlstate
SELECT hamming_distance(B'101', B'10');
SELECT B'' <%> B'1';
\set VERBOSITY default
SELECT hamming_distance(1, 2);

-- The seed tree: planted by a build and by VACUUM, used by scans and inserts, a hint and no more.
CREATE FUNCTION seeds_vector(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(sin(i * (k * 0.37 + 1.3)) + 3 * cos((i % 17) * k))::vector(16) FROM generate_series(1, 16) k
$$;
CREATE TABLE seeds (id int PRIMARY KEY, v vector(16)) WITH (autovacuum_enabled = off);
INSERT INTO seeds SELECT i, seeds_vector(i) FROM generate_series(1, 3000) i;
CREATE INDEX seeds_v ON seeds USING hnsw (v vector_l2_ops);
SELECT nodes, problems FROM vecann_verify('seeds_v');
SET enable_seqscan = off;
SET hnsw.ef_search = 20;

-- How many of 50 queries, each a row's own vector, find that row first, and how many pages a search touches at most.
CREATE FUNCTION seeds_found(first int, OUT hits bigint, OUT least_pages boolean) LANGUAGE plpgsql AS $$
DECLARE
    i int;
    hit int;
    touched bigint;
    most bigint := 0;
BEGIN
    hits := 0;
    FOR i IN first .. first + 49 LOOP
        SELECT id INTO hit FROM seeds ORDER BY v <-> seeds_vector(i) LIMIT 1;
        hits := hits + (hit = i)::int;
        SELECT pages_touched INTO touched FROM vecann_last_scan();
        most := greatest(most, touched);
    END LOOP;
    least_pages := most <= 32;
END $$;
SELECT * FROM seeds_found(1001);

-- Without VACUUM the index outgrows its tree, and searches come down the layers again.
INSERT INTO seeds SELECT i, seeds_vector(i) FROM generate_series(3001, 8000) i;
SELECT hits >= 45 AS found FROM seeds_found(6001);
VACUUM seeds;
SELECT nodes, problems FROM vecann_verify('seeds_v');
SELECT hits >= 48 AS found, least_pages FROM seeds_found(6001);

-- Seeds whose nodes are gone, and whose places others have taken.
DELETE FROM seeds WHERE id % 5 <> 0;
SELECT hits >= 9 AS found FROM seeds_found(6001);
VACUUM seeds;
SELECT nodes, problems FROM vecann_verify('seeds_v');
SELECT hits >= 9 AS found, least_pages FROM seeds_found(6001);
INSERT INTO seeds SELECT i, seeds_vector(i) FROM generate_series(10001, 12000) i;
SELECT hits >= 45 AS found FROM seeds_found(11001);
SELECT nodes, problems FROM vecann_verify('seeds_v');

-- All gone, and a new start.
DELETE FROM seeds;
VACUUM seeds;
SELECT nodes, problems FROM vecann_verify('seeds_v');
SELECT count(*) FROM (SELECT id FROM seeds ORDER BY v <-> seeds_vector(1)) s;
INSERT INTO seeds SELECT i, seeds_vector(i) FROM generate_series(1, 1000) i;
SELECT hits >= 48 AS found FROM seeds_found(101);
VACUUM seeds;
SELECT nodes, problems FROM vecann_verify('seeds_v');
SELECT hits >= 48 AS found FROM seeds_found(101);

-- Every metric that has codes; a scan returns every row whatever its start.
CREATE INDEX seeds_ip ON seeds USING hnsw (v vector_ip_ops);
CREATE INDEX seeds_cosine ON seeds USING hnsw (v vector_cosine_ops);
SELECT count(*) FROM (SELECT id FROM seeds ORDER BY v <#> seeds_vector(1)) s;
SELECT count(*) FROM (SELECT id FROM seeds ORDER BY v <=> seeds_vector(1)) s;
SELECT problems FROM vecann_verify('seeds_ip') UNION ALL SELECT problems FROM vecann_verify('seeds_cosine');
DROP TABLE seeds;
DROP FUNCTION seeds_vector, seeds_found;

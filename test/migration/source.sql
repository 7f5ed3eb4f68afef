-- A database of pgvector as applications make it: all types, casts, operator classes and index options of both its access
-- methods, expression and partial indexes, views, defaults, constraints, functions with settings. Numbers are whole or
-- halves, so that every sum is exact and both extensions must return the same digits.
\set ON_ERROR_STOP 1
CREATE EXTENSION vector;

CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE TABLE items (
    id bigint PRIMARY KEY,
    tenant int NOT NULL,
    colour colour,
    embedding vector(6),
    half halfvec(6),
    sparse sparsevec(2000),
    bits bit(16),
    free vector,
    several vector(2)[],
    norm double precision GENERATED ALWAYS AS (vector_norm(embedding)) STORED,
    origin vector(6) DEFAULT '[0,0,0,0,0,0]',
    CHECK (vector_dims(free) BETWEEN 1 AND 9)
);
INSERT INTO items
SELECT i, i % 7, (ARRAY['red', 'green', 'blue'])[1 + i % 3]::colour,
       CASE WHEN i % 50 > 0 THEN v::vector END,
       ARRAY[i % 17, i % 13 - 6, i % 11, i * i % 19, i / 2.0, -i % 5]::halfvec(6),
       CASE WHEN i % 40 > 0
           THEN format('{%s:%s,%s:%s,%s:1.5}/2000', i, i % 9 + 1, i + 1 + i % 13, -(i % 4) - 1, 1000 + i)::sparsevec END,
       (i * 40503 % 65536)::bit(16),
       (SELECT array_agg(d * i % 23) FROM generate_series(1, 1 + i % 9) d)::vector,
       ARRAY[ARRAY[i, 1]::vector(2), ARRAY[i % 3, -1.5]::vector(2)]
FROM generate_series(1, 600) i, LATERAL (SELECT ARRAY[i % 23, i * 7 % 29, i * i % 31, -i % 12, i % 5 + .5, i / 64]) AS r(v);
INSERT INTO items (id, tenant, embedding, half, sparse) VALUES
    (601, 1, '[0,0,0,0,0,0]', '[0,0,0,0,0,0]', '{}/2000'),
    (602, 2, NULL, '[1,2,3,4,5,6]', NULL),
    (603, 2, NULL, NULL, NULL);
CREATE TABLE extremes (id int PRIMARY KEY, v vector, h halfvec, s sparsevec);
INSERT INTO extremes VALUES
    (1, '[1e-30,3.4e38,-0,1.1754944e-38,0.1,-3.4e38]', '[65504,-65504,6e-8,0.1,-0,1]', '{1:1e-30,2000:3e38}/2000'),
    (2, (SELECT array_agg(i)::vector FROM generate_series(1, 16000) i),
        (SELECT array_agg(i)::halfvec FROM generate_series(1, 16000) i), '{1000000000:1}/1000000000'),
    (3, '[1e-45]', '[1e-8]', '{}/1');

-- hnsw, all classes
CREATE INDEX items_hnsw_l2 ON items USING hnsw (embedding vector_l2_ops) WITH (m = 8, ef_construction = 40);
CREATE INDEX items_hnsw_ip ON items USING hnsw (embedding vector_ip_ops) WITH (m = 2, ef_construction = 4);
CREATE INDEX items_hnsw_cosine ON items USING hnsw (embedding vector_cosine_ops) WITH (ef_construction = 1000, m = 100);
CREATE INDEX items_hnsw_l1 ON items USING hnsw (embedding vector_l1_ops);
CREATE INDEX items_hnsw_half_l2 ON items USING hnsw (half halfvec_l2_ops);
CREATE INDEX items_hnsw_half_ip ON items USING hnsw (half halfvec_ip_ops);
CREATE INDEX items_hnsw_half_cosine ON items USING hnsw (half halfvec_cosine_ops);
CREATE INDEX items_hnsw_half_l1 ON items USING hnsw (half halfvec_l1_ops);
CREATE INDEX items_hnsw_sparse_l2 ON items USING hnsw (sparse sparsevec_l2_ops);
CREATE INDEX items_hnsw_sparse_ip ON items USING hnsw (sparse sparsevec_ip_ops);
CREATE INDEX items_hnsw_sparse_cosine ON items USING hnsw (sparse sparsevec_cosine_ops);
CREATE INDEX items_hnsw_sparse_l1 ON items USING hnsw (sparse sparsevec_l1_ops);
CREATE INDEX items_hnsw_bits_hamming ON items USING hnsw (bits bit_hamming_ops);
CREATE INDEX items_hnsw_bits_jaccard ON items USING hnsw (bits bit_jaccard_ops);
-- ivfflat, all classes
CREATE INDEX items_ivfflat_default ON items USING ivfflat (embedding) WITH (lists = 5);
CREATE INDEX items_ivfflat_ip ON items USING ivfflat (embedding vector_ip_ops) WITH (lists = 1);
CREATE INDEX items_ivfflat_cosine ON items USING ivfflat (embedding vector_cosine_ops) WITH (lists = 20);
CREATE INDEX items_ivfflat_half_l2 ON items USING ivfflat (half halfvec_l2_ops) WITH (lists = 10);
CREATE INDEX items_ivfflat_half_ip ON items USING ivfflat (half halfvec_ip_ops) WITH (lists = 10);
CREATE INDEX items_ivfflat_half_cosine ON items USING ivfflat (half halfvec_cosine_ops) WITH (lists = 10);
CREATE INDEX items_ivfflat_bits ON items USING ivfflat (bits bit_hamming_ops) WITH (lists = 10);
-- expressions and parts of the table
CREATE INDEX items_as_half ON items USING hnsw ((embedding::halfvec(6)) halfvec_l2_ops);
CREATE INDEX items_quantized ON items USING hnsw ((binary_quantize(embedding)::bit(6)) bit_hamming_ops);
CREATE INDEX items_subvector ON items USING hnsw ((subvector(embedding, 1, 3)::vector(3)) vector_cosine_ops);
CREATE INDEX items_free ON items USING hnsw ((free::vector(3)) vector_l2_ops) WHERE vector_dims(free) = 3;
CREATE INDEX items_tenant1 ON items USING hnsw (embedding vector_l2_ops) WHERE tenant = 1;
-- btree
CREATE INDEX items_btree ON items (embedding);
CREATE UNIQUE INDEX items_btree_half ON items (half, id);
CREATE INDEX items_btree_sparse ON items (sparse DESC);

CREATE VIEW distances AS
SELECT a.id, a.embedding <-> b.embedding AS l2, a.embedding <#> b.embedding AS ip, a.half <+> b.half AS l1,
       a.sparse <#> b.sparse AS sparse_ip, a.bits <~> b.bits AS hamming
FROM items a, items b WHERE b.id = 17 AND a.id < 600;
CREATE MATERIALIZED VIEW centres AS
SELECT tenant, avg(embedding)::vector(6) AS mean, sum(half) AS total FROM items WHERE id < 600 GROUP BY tenant;
CREATE INDEX centres_mean ON centres USING hnsw (mean vector_l2_ops);
CREATE FUNCTION near(q vector, n int) RETURNS SETOF bigint LANGUAGE sql STABLE SET hnsw.ef_search = 1000 AS
    'SELECT id FROM items WHERE id < 600 ORDER BY embedding <-> q, id LIMIT n';
CREATE FUNCTION near_cells(q vector, n int) RETURNS SETOF bigint LANGUAGE sql STABLE SET ivfflat.probes = 20 AS
    'SELECT id FROM items WHERE id < 600 ORDER BY embedding <=> q LIMIT n';
CREATE TABLE parted (id bigint, v vector(3)) PARTITION BY RANGE (id);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_b PARTITION OF parted FOR VALUES FROM (100) TO (1000);
ALTER TABLE parted ADD PRIMARY KEY (id);
INSERT INTO parted SELECT i, ARRAY[i, i % 10, i * i % 101]::vector FROM generate_series(1, 300) i;
CREATE INDEX parted_v ON parted USING hnsw (v vector_l2_ops);

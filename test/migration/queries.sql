-- Queries whose rows must be the same before and after: values in text and binary form, distances, aggregates, casts, order,
-- and searches through the indexes with settings that make them exact on a table of this size. Ties are ordered by id.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only on
SET hnsw.ef_search = 1000;
SET ivfflat.probes = 20;
SET enable_seqscan = off;
SET extra_float_digits = 0;

\echo values
SELECT * FROM items ORDER BY id;
SELECT id, vector_send(embedding), halfvec_send(half), sparsevec_send(sparse) FROM items ORDER BY id;
SELECT * FROM parted ORDER BY id;
SELECT * FROM extremes ORDER BY id;
SELECT id, vector_send(v), halfvec_send(h), sparsevec_send(s) FROM extremes ORDER BY id;

\echo functions
-- a product of 0 is -0 in pgvector; + 0 makes them one
SELECT id, l2, ip + 0, l1, sparse_ip + 0, hamming FROM distances ORDER BY id;
SELECT * FROM centres ORDER BY tenant;
SELECT near('[3,4,5,-6,1.5,2]', 10);
SELECT count(*) FROM near_cells('[3,4,5,-6,1.5,2]', 10);
SELECT id, round((embedding <=> '[3,4,5,-6,1.5,2]')::numeric, 6), round((half <=> '[3,4,5,-6,1.5,2]')::numeric, 6),
       round((sparse <=> '{5:1,7:2,1100:3}/2000')::numeric, 6), embedding <+> '[3,4,5,-6,1.5,2]', bits <%> B'0110011001100110'
FROM items WHERE id < 600 ORDER BY id;
SELECT id, embedding + '[1,2,3,4,5,6]', embedding - half::vector, embedding * '[2,2,2,2,2,.5]', free || '[7]',
       subvector(embedding, 2, 3), binary_quantize(embedding), binary_quantize(half), vector_dims(half), l2_norm(sparse) > 3,
       embedding::real[], embedding::sparsevec, half::sparsevec, several[1] <-> several[2]
FROM items WHERE id < 600 ORDER BY id;
SELECT avg(embedding), sum(embedding), avg(half), sum(half) FILTER (WHERE id < 200) FROM items WHERE id < 600;
SELECT id FROM items ORDER BY embedding, id LIMIT 30;
SELECT id FROM items ORDER BY sparse DESC NULLS LAST, id LIMIT 30;
SELECT count(DISTINCT embedding), count(DISTINCT half), count(DISTINCT free), max(half::text) FROM items;

-- Searches through the indexes: the distances of the nearest 20, so that ties at the cut do not matter.
\echo searches
SELECT round(d::numeric, 5) FROM (SELECT embedding <-> '[3,4,5,-6,1.5,2]' FROM items ORDER BY 1 LIMIT 20) s(d);
SELECT round(d::numeric, 5) FROM (SELECT embedding <=> '[3,4,5,-6,1.5,2]' FROM items ORDER BY 1 LIMIT 20) s(d);
SELECT round(d::numeric, 5) FROM (SELECT embedding <+> '[3,4,5,-6,1.5,2]' FROM items ORDER BY 1 LIMIT 20) s(d);
SELECT round(d::numeric, 5) FROM (SELECT half <-> '[3,4,5,-6,1.5,2]' FROM items ORDER BY 1 LIMIT 20) s(d);
SELECT round(d::numeric, 5) FROM (SELECT half <=> '[3,4,5,-6,1.5,2]' FROM items ORDER BY 1 LIMIT 20) s(d);
SELECT round(d::numeric, 5) FROM (SELECT half <+> '[3,4,5,-6,1.5,2]' FROM items ORDER BY 1 LIMIT 20) s(d);
SELECT round(d::numeric, 5) FROM (SELECT sparse <-> '{5:1,7:2,1100:3}/2000' FROM items ORDER BY 1 LIMIT 20) s(d);
SELECT round(d::numeric, 5) FROM (SELECT bits <~> B'0110011001100110' FROM items ORDER BY 1 LIMIT 20) s(d);
SELECT round(d::numeric, 5) FROM (SELECT bits <%> B'0110011001100110' FROM items ORDER BY 1 LIMIT 20) s(d);
SELECT round(d::numeric, 5) FROM (SELECT embedding::halfvec(6) <-> '[3,4,5,-6,1.5,2]' FROM items ORDER BY 1 LIMIT 20) s(d);
SELECT round(d::numeric, 5) FROM (SELECT subvector(embedding, 1, 3)::vector(3) <=> '[3,4,5]' FROM items ORDER BY 1 LIMIT 20) s(d);
SELECT round(d::numeric, 5) FROM (SELECT free::vector(3) <-> '[3,4,5]' FROM items WHERE vector_dims(free) = 3
                                  ORDER BY 1 LIMIT 20) s(d);
SELECT round(d::numeric, 5) FROM (SELECT embedding <-> '[3,4,5,-6,1.5,2]' FROM items WHERE tenant = 1 ORDER BY 1 LIMIT 20) s(d);
SELECT round(d::numeric, 5) FROM (SELECT v <-> '[120,5,50]' FROM parted ORDER BY 1 LIMIT 20) s(d);
SELECT id FROM (SELECT id, embedding FROM items WHERE embedding IS NOT NULL
                ORDER BY binary_quantize(embedding)::bit(6) <~> binary_quantize('[3,4,5,-6,1.5,2]'::vector)::bit(6) LIMIT 600) near
WHERE id < 600 ORDER BY embedding <-> '[3,4,5,-6,1.5,2]', id LIMIT 20;

\echo errors
\set ON_ERROR_STOP 0
\set VERBOSITY sqlstate
SELECT '[1,2'::vector;
SELECT '[]'::vector;
SELECT '[1e39]'::vector;
SELECT '[70000]'::halfvec;
SELECT '{0:1}/3'::sparsevec;
SELECT '{1:1,1:2}/3'::sparsevec;
SELECT '[1,2]'::vector <-> '[1]';
SELECT '[1,2]'::vector(3);
SELECT '[NaN]'::vector;
SELECT ARRAY[1, NULL]::vector;
SELECT B'101' <~> B'10';
SELECT 1::vector;
CREATE TABLE no (v vector(0));
CREATE INDEX ON items USING hnsw (embedding vector_l2_ops) WITH (m = 1);
CREATE INDEX ON items USING hnsw (embedding vector_l2_ops) WITH (m = 50, ef_construction = 64);
CREATE INDEX ON items USING hnsw (free vector_l2_ops);
SET hnsw.ef_search = 0;
\echo the end

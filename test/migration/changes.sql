-- What an application writes while the tables are being replicated.
\set ON_ERROR_STOP 1
INSERT INTO items (id, tenant, embedding, half, sparse, bits)
SELECT i, 3, ARRAY[i, 1, 2, 3, 4, 5]::vector, ARRAY[i, 5, 4, 3, 2, 1]::halfvec, format('{%s:2}/2000', i)::sparsevec, i::bit(16)
FROM generate_series(1001, 1050) i;
UPDATE items SET embedding = half::vector, sparse = '{7:7}/2000' WHERE id BETWEEN 100 AND 120;
UPDATE items SET tenant = 6 WHERE id BETWEEN 121 AND 130;
DELETE FROM items WHERE id BETWEEN 131 AND 140;
INSERT INTO parted VALUES (950, '[1,2,3]');

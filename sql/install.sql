-- Who may install the extension, and where to. In a database of its own, because the tests' one has it already.

CREATE ROLE regress_vecann_owner;
CREATE ROLE regress_vecann_guest;
CREATE DATABASE regression_vecann_install;
GRANT CREATE ON DATABASE regression_vecann_install TO regress_vecann_owner;
\set tests :DBNAME
\c regression_vecann_install

-- without CREATE on the database it is refused
SET ROLE regress_vecann_guest;
CREATE EXTENSION vecann;
-- with it, no superuser is needed: the extension is trusted
SET ROLE regress_vecann_owner;
CREATE SCHEMA vec;
CREATE EXTENSION vecann SCHEMA vec;
SELECT extname, n.nspname, extowner::regrole FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace
WHERE extname = 'vecann';
SELECT count(*) AS elsewhere FROM pg_depend d JOIN pg_proc p ON p.oid = objid AND classid = 'pg_proc'::regclass
WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vecann')
  AND pronamespace <> 'vec'::regnamespace;

-- outside the search path everything has its qualified name
CREATE TABLE vec.items (id integer, v vec.vector(2));
INSERT INTO vec.items VALUES (1, '[1,1]'), (2, '[4,5]'), (3, '[0,2]');
SELECT id, v OPERATOR(vec.<->) '[1,1]' AS distance FROM vec.items ORDER BY v OPERATOR(vec.<->) '[1,1]';
SELECT vec.avg(v), vec.sum(v) FROM vec.items;
SELECT v FROM vec.items ORDER BY v;
SELECT v::real[], ARRAY[1,2]::vec.vector FROM vec.items WHERE id = 1;

-- others may use it once they may use its schema
SET ROLE regress_vecann_guest;
SELECT '[1]'::vec.vector;
RESET ROLE;
GRANT USAGE ON SCHEMA vec TO regress_vecann_guest;
GRANT SELECT ON vec.items TO regress_vecann_guest;
SET ROLE regress_vecann_guest;
SELECT vec.l2_distance('[0,0]'::vec.vector, '[3,4]'), '[1]'::vec.vector OPERATOR(vec.<=>) '[2]' AS cosine;
SELECT count(*) FROM vec.items WHERE v OPERATOR(vec.<+>) '[1,1]' < 2;
-- but not what is the superuser's
SET vecann.simd_level = 'baseline';
SET hnsw.ef_search = 100;
SHOW hnsw.ef_search;
SET vecann.no_such_setting = 1;
SET hnsw.no_such_setting = 1;

-- relocatable; the server lets only a superuser do it, because a trusted extension's objects belong to one
SET ROLE regress_vecann_owner;
CREATE SCHEMA elsewhere;
ALTER EXTENSION vecann SET SCHEMA elsewhere;
RESET ROLE;
ALTER EXTENSION vecann SET SCHEMA elsewhere;
SET ROLE regress_vecann_owner;
SET search_path = elsewhere, vec;
SELECT id, v <-> '[1,1]' AS distance FROM items ORDER BY v <-> '[1,1]' LIMIT 2;
SELECT avg(v), sum(v), max(v::text) FROM items;
CREATE INDEX items_v ON items (v);
SELECT pg_get_indexdef('items_v'::regclass);
DROP SCHEMA vec;

-- the owner removes it, and what depends on it
DROP EXTENSION vecann;
DROP EXTENSION vecann CASCADE;
SELECT attname FROM pg_attribute WHERE attrelid = 'items'::regclass AND attnum > 0 AND NOT attisdropped;
-- nothing is left behind
SELECT count(*) FROM pg_proc WHERE probin LIKE '%vecann%';
-- and in again
CREATE EXTENSION vecann VERSION '0.1.0';
SELECT '[1,2]'::vector <-> '[1,5]';

\c :tests
DROP DATABASE regression_vecann_install;
DROP ROLE regress_vecann_owner, regress_vecann_guest;

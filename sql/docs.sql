-- What README.md, docs/hnsw.md and docs/ivf.md say in their tables is what the code does (nothing wrong: no rows), and the examples
-- of these and of docs/types.md run.

\set readme `cat "$PG_ABS_SRCDIR/README.md"`
\set guide `cat "$PG_ABS_SRCDIR/docs/hnsw.md"`
\set lists `cat "$PG_ABS_SRCDIR/docs/ivf.md"`
\set types `cat "$PG_ABS_SRCDIR/docs/types.md"`
SELECT '[1]'::vector;

-- each row of a table, its cells without space and quotes around them
CREATE TEMP TABLE doc AS
SELECT file, ARRAY(SELECT trim(replace(c, '`', '')) FROM unnest(string_to_array(trim(line, '| '), '|')) AS c) AS cells
FROM (VALUES ('README.md', :'readme'), ('docs/hnsw.md', :'guide'), ('docs/ivf.md', :'lists')) AS f(file, content),
     regexp_split_to_table(content, E'\n') AS line
WHERE line ~ '^ *\|';

-- ---- settings ------------------------------------------------------------------------

CREATE TEMP VIEW documented AS
SELECT file, cells[1] AS name, cells[2] AS value, cells[3] AS range
FROM doc WHERE cells[1] ~ '^(hnsw|ivfflat|ivfpq|vecann)\.[a-z_]+$';
CREATE TEMP VIEW actual AS
SELECT name, boot_val AS value,
       CASE vartype WHEN 'enum' THEN array_to_string(enumvals, ', ') WHEN 'bool' THEN 'on, off'
           ELSE min_val || ' to ' || max_val END AS range
FROM pg_settings WHERE name ~ '^(hnsw|ivfflat|ivfpq|vecann)\.' AND name <> 'vecann.race_points';
SELECT * FROM actual ORDER BY name;
-- both files name all settings; those for developers are in README.md only
SELECT * FROM (SELECT file, a.* FROM actual AS a, (VALUES ('README.md'), ('docs/hnsw.md'), ('docs/ivf.md')) AS f(file)
               WHERE file = 'README.md' OR file = 'docs/hnsw.md' AND name LIKE 'hnsw.%'
                   OR file = 'docs/ivf.md' AND name LIKE 'ivf%'
               EXCEPT SELECT * FROM documented) AS missing;
SELECT * FROM documented WHERE (name, value, range) NOT IN (SELECT * FROM actual);
-- the defaults that differ from pgvector's
SELECT cells FROM doc WHERE cells[1] LIKE 'default of %' AND NOT EXISTS
    (SELECT FROM actual WHERE cells[1] = 'default of ' || name AND cells[3] IN (value, value || ', no limit'));

-- ---- options -------------------------------------------------------------------------

CREATE TABLE docs_table (v vector(3));
CREATE FUNCTION pg_temp.outcome(options text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text;
BEGIN
    EXECUTE format('CREATE INDEX ON docs_table USING hnsw (v vector_l2_ops) WITH (%s)', options);
    RETURN 'OK';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN coalesce(nullif(detail, ''), SQLERRM);
END $$;
CREATE TEMP TABLE option AS
SELECT file, cells[1] AS name, cells[2]::int AS value, (regexp_match(cells[3], '^(\d+) to (\d+)'))::int[] AS range
FROM doc WHERE file <> 'docs/ivf.md' AND cells[1] IN ('m', 'ef_construction', 'code_bits') AND cells[3] ~ '^\d+ to ';
SELECT name, value, range, count(*) AS files FROM option GROUP BY name, value, range ORDER BY name;
-- the range is in the error
SELECT file, name, beyond, said FROM option, unnest(ARRAY[range[1] - 1, range[2] + 1]) AS beyond,
    pg_temp.outcome(format('%s = %s', name, beyond)) AS said
WHERE said <> format('Valid values are between "%s" and "%s".', range[1], range[2]);
-- the default is where the other option meets ef_construction >= 2 * m
SELECT file, name, value, fits, exceeds FROM option,
    format(CASE name WHEN 'm' THEN 'ef_construction = %s' ELSE 'm = %s' END,
           CASE name WHEN 'm' THEN 2 * value ELSE value / 2 END) AS most,
    format(CASE name WHEN 'm' THEN 'ef_construction = %s' ELSE 'm = %s' END,
           CASE name WHEN 'm' THEN 2 * value - 1 ELSE value / 2 + 1 END) AS more,
    pg_temp.outcome(most) AS fits, pg_temp.outcome(more) AS exceeds
WHERE name <> 'code_bits' AND (fits <> 'OK' OR exceeds <> 'ef_construction must be greater than or equal to 2 * m');

-- ---- dimensions, operator classes ----------------------------------------------------

ALTER TABLE docs_table ADD w vector(16000);
CREATE FUNCTION pg_temp.most_dimensions(payload text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE INDEX ON docs_table USING hnsw (w vector_l2_ops) WITH (payload = %s)', payload);
    RETURN 'any';
EXCEPTION WHEN program_limit_exceeded THEN
    RETURN substring(SQLERRM FROM 'more than (\d+) dimensions');
END $$;
-- At the documented limits of one page there is room for 12 neighbours; vectors in parts leave room for more.
CREATE FUNCTION pg_temp.neighbours(payload text, dim int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    room bigint;
BEGIN
    EXECUTE format('CREATE TABLE docs_wide (v vector(%s));
        CREATE INDEX docs_wide_v ON docs_wide USING hnsw (v vector_l2_ops) WITH (payload = %s)', dim, payload);
    SELECT max_edges INTO room FROM vecann_verify('docs_wide_v');
    DROP TABLE docs_wide;
    RETURN room;
END $$;
SELECT cells[1] AS payload, cells[2]::int AS dim, pg_temp.neighbours(cells[1], cells[2]::int) AS neighbours,
    pg_temp.neighbours(cells[1], cells[2]::int + 1) AS beyond
FROM doc WHERE file = 'docs/hnsw.md' AND cells[1] IN ('sq8', 'float16', 'float32') AND cells[2] ~ '^\d\d+$' ORDER BY dim;
SELECT pg_temp.most_dimensions(p) FROM unnest('{sq8,float16,float32}'::text[]) AS p;
DROP TABLE docs_table;

CREATE TEMP VIEW class AS
SELECT opcname::text AS class, oprname::text AS operator
FROM pg_opclass JOIN pg_am AS a ON a.oid = opcmethod JOIN pg_amop ON amopfamily = opcfamily
     JOIN pg_operator AS o ON o.oid = amopopr WHERE amname = 'hnsw';
SELECT file, c.* FROM class AS c, (SELECT DISTINCT file FROM doc WHERE file <> 'docs/ivf.md') AS f
WHERE NOT EXISTS (SELECT FROM doc AS d WHERE d.file = f.file AND ARRAY[class, operator] <@ cells);
SELECT cells FROM doc WHERE cells[1] LIKE 'vector\_%\_ops' AND cells[1] NOT IN (SELECT class FROM class);

-- columns of vecann_verify and vecann_last_scan
SELECT unnest(proargnames) FROM pg_proc WHERE proname IN ('vecann_verify', 'vecann_last_scan')
EXCEPT SELECT 'index'
EXCEPT SELECT unnest(string_to_array(cells[1], ', ')) FROM doc WHERE file = 'docs/hnsw.md';

-- ---- examples ------------------------------------------------------------------------

-- Their output goes nowhere; errors would show.
CREATE TABLE example AS
SELECT file, n, replace(m[1], 'CREATE EXTENSION vecann;', 'SELECT 1;') AS command
FROM (VALUES ('README.md', :'readme'), ('docs/hnsw.md', :'guide'), ('docs/ivf.md', :'lists'), ('docs/types.md', :'types')) AS f(file, content),
     regexp_matches(content, '```sql\n(.*?)```', 'g') WITH ORDINALITY AS e(m, n);
SELECT file, count(*) > 0 AS some FROM example GROUP BY file ORDER BY file;
SET client_min_messages = warning;
\set ECHO none
\o /dev/null
SELECT command FROM example WHERE file = 'README.md' ORDER BY n
\gexec
DROP TABLE items;
SELECT command FROM example WHERE file = 'docs/hnsw.md' ORDER BY n
\gexec
DROP TABLE items;
SELECT command FROM example WHERE file = 'docs/ivf.md' ORDER BY n
\gexec
DROP TABLE items;
SELECT command FROM example WHERE file = 'docs/types.md' ORDER BY n
\gexec
\o
\set ECHO all
DROP TABLE items, example;

-- Stub of vecann: an extension `vector` that requires vecann and holds nothing, for clients and dumps that say
-- CREATE EXTENSION vector. Its version is that of the interface which vecann speaks.
\echo Use "CREATE EXTENSION vector" to load this file. \quit

-- Who names a schema means that of the types, and those are vecann's: they may be elsewhere already.
DO $$
DECLARE
    types name := (SELECT nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace
                   WHERE extname = 'vecann');
    wanted name := (SELECT nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace
                    WHERE extname = 'vector');
BEGIN
    IF types <> wanted THEN
        RAISE WARNING 'the vector types are in schema "%", not in schema "%"', types, wanted
            USING HINT = pg_catalog.format('ALTER EXTENSION vecann SET SCHEMA %I moves them.', wanted);
    END IF;
END $$;

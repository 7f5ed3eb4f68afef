-- hnsw_scan.sql once more, by plain index scans (amgettuple) instead of the custom scan.

\getenv source PG_ABS_SRCDIR
\set scans :source '/sql/hnsw_scan.sql'
SET vecann.enable_custom_scan = off;
\i :scans

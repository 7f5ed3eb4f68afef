-- What the extension puts into the catalog: a changed name, signature, property or operator shows up here.

SELECT extname, extversion, extrelocatable, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace
WHERE extname = 'vecann';
SELECT name, version, superuser, trusted, relocatable, schema, requires FROM pg_available_extension_versions
WHERE name = 'vecann';

CREATE TEMP VIEW member AS
SELECT classid, objid FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vecann');

-- types (the array type, which newer servers also list, left out)
SELECT typname, typlen, typtype, typcategory, typdelim, typalign, typstorage, typinput, typoutput, typreceive, typsend,
       typmodin, typmodout, typsubscript, typanalyze
FROM pg_type JOIN member ON objid = pg_type.oid AND classid = 'pg_type'::regclass
WHERE typcategory <> 'A' ORDER BY typname COLLATE "C";

-- functions; all in C
SELECT p.oid::regprocedure AS function, prorettype::regtype AS returns,
       CASE prokind WHEN 'a' THEN 'aggregate' ELSE l.lanname END AS language, provolatile AS vol, proisstrict AS strict,
       proparallel AS par, procost AS cost, proleakproof OR prosecdef OR proretset AS odd
FROM pg_proc p JOIN member ON objid = p.oid AND classid = 'pg_proc'::regclass JOIN pg_language l ON l.oid = prolang
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- each function of ours in C has a symbol with our prefix
SELECT count(*) FROM pg_proc p JOIN member ON objid = p.oid AND classid = 'pg_proc'::regclass
    JOIN pg_language l ON l.oid = prolang
WHERE lanname = 'c' AND (prosrc NOT LIKE 'vecann\_%' OR probin <> '$libdir/vecann');

SELECT aggfnoid::regprocedure AS aggregate, aggtransfn, aggfinalfn, aggcombinefn, aggtranstype::regtype, agginitval,
       aggfinalmodify
FROM pg_aggregate JOIN member ON objid = aggfnoid AND classid = 'pg_proc'::regclass
ORDER BY aggfnoid::regprocedure::text COLLATE "C";

SELECT o.oid::regoperator AS operator, oprresult::regtype AS returns, oprcode AS function,
       oprcom::regoperator AS commutator, oprnegate::regoperator AS negator,
       oprrest AS restrict, oprjoin AS join, oprcanmerge AS merge, oprcanhash AS hash
FROM pg_operator o JOIN member ON objid = o.oid AND classid = 'pg_operator'::regclass
ORDER BY o.oid::regoperator::text COLLATE "C";

SELECT castsource::regtype AS source, casttarget::regtype AS target, castfunc::regprocedure AS function,
       castcontext AS context, castmethod AS method
FROM pg_cast c JOIN member ON objid = c.oid AND classid = 'pg_cast'::regclass
ORDER BY castsource::regtype::text COLLATE "C", casttarget::regtype::text COLLATE "C";

SELECT amname AS am, opcname AS "class", opcintype::regtype AS type, opcdefault AS "default", opckeytype::regtype AS key
FROM pg_opclass o JOIN member ON objid = o.oid AND classid = 'pg_opclass'::regclass JOIN pg_am a ON a.oid = opcmethod
ORDER BY amname COLLATE "C", opcname COLLATE "C";
SELECT amname AS am, opfname AS family, amopstrategy AS strategy, amopopr::regoperator AS operator,
       amoppurpose AS purpose, amopsortfamily::regclass AS sort
FROM pg_amop JOIN pg_opfamily f ON f.oid = amopfamily JOIN member ON objid = f.oid AND classid = 'pg_opfamily'::regclass
     JOIN pg_am a ON a.oid = opfmethod
ORDER BY amname COLLATE "C", opfname COLLATE "C", amopstrategy;
SELECT amname AS am, opfname AS family, amprocnum AS number, amproc::regprocedure AS function
FROM pg_amproc JOIN pg_opfamily f ON f.oid = amprocfamily
     JOIN member ON objid = f.oid AND classid = 'pg_opfamily'::regclass JOIN pg_am a ON a.oid = opfmethod
ORDER BY amname COLLATE "C", opfname COLLATE "C", amprocnum;
SELECT opcname, amvalidate(o.oid) FROM pg_opclass o JOIN member ON objid = o.oid AND classid = 'pg_opclass'::regclass
ORDER BY opcname COLLATE "C", opcmethod;

-- everything that anybody may do, and what is kept from PUBLIC
SELECT p.oid::regprocedure AS "not for public"
FROM pg_proc p JOIN member ON objid = p.oid AND classid = 'pg_proc'::regclass
WHERE NOT has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY p.oid::regprocedure::text COLLATE "C";

-- kinds of objects, so that none is overlooked above
SELECT classid::regclass AS catalog, count(*) FROM member
WHERE NOT (classid = 'pg_type'::regclass AND objid IN (SELECT oid FROM pg_type WHERE typcategory = 'A'))
GROUP BY 1 ORDER BY classid::regclass::text COLLATE "C";
DROP VIEW member;

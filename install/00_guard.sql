\echo Use "CREATE EXTENSION exact_databricks" to load this file. \quit

-- Records of Exact Online are UTF-8 and are kept as they came.
DO $guard$
BEGIN
	IF (SELECT pg_catalog.getdatabaseencoding()) OPERATOR(pg_catalog.<>) 'UTF8' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'EX016',
			MESSAGE = pg_catalog.format(
				'exact_databricks needs a database with encoding UTF8, this one has %s',
				pg_catalog.getdatabaseencoding()),
			HINT = 'CREATE DATABASE name TEMPLATE template0 ENCODING ''UTF8''; '
				'then create the extension there.';
	END IF;
END
$guard$;

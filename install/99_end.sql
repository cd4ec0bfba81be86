-- The workers start when this transaction has committed.
SELECT exact._created();
DO $$
BEGIN
	IF exact._version_library() IS NULL THEN
		RAISE WARNING USING ERRCODE = 'EX001',
			MESSAGE = 'nothing is read or delivered yet: exact_databricks is not in '
				'shared_preload_libraries',
			HINT = 'Add exact_databricks to shared_preload_libraries in postgresql.conf and '
				'restart PostgreSQL.';
	END IF;
END
$$;

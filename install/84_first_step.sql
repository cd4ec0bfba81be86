-- What is to be entered before anything is read: for somebody who has lost the page of the manual.

CREATE FUNCTION exact._first_step(OUT light text, OUT what text, OUT next_step text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	shop text;
	lake text;
BEGIN
	-- each division says what it lacks; whoever may see some alone sets nothing up
	IF EXISTS (SELECT FROM exact.division AS d WHERE d.enabled)
			OR exact._visible_divisions() IS NOT NULL THEN
		RETURN;
	END IF;
	light := 'warn';
	IF exact._version_library() IS NULL THEN
		light := 'fail';
		what := 'nothing runs: exact_databricks is not in shared_preload_libraries';
		next_step := 'add it to shared_preload_libraries in postgresql.conf, then restart '
			'PostgreSQL';
		RETURN;
	END IF;
	SELECT a.name INTO shop
	FROM exact.app AS a
	LEFT JOIN exact.app_state AS s ON s.app = a.name
	ORDER BY s.state IS NOT DISTINCT FROM 'authorized' DESC, a.name
	LIMIT 1;
	SELECT w.name INTO lake FROM exact.workspace AS w ORDER BY w.name LIMIT 1;
	IF shop IS NULL THEN
		what := 'no app of Exact Online is entered yet';
		next_step := 'INSERT INTO exact.app (name, region, client_id) '
			'VALUES (''erp'', ''nl'', ''…'')';
	ELSIF NOT EXISTS (SELECT FROM exact.credential AS c
			WHERE c.kind = 'app' AND c.name = shop AND c.field = 'client_secret') THEN
		what := format('app %s has no client secret yet', shop);
		next_step := format('put it into the file app.%s.client_secret of secrets_directory, then '
			'SELECT * FROM exact.import_secrets()', shop);
	ELSIF NOT EXISTS (SELECT FROM exact.app_state AS s
			WHERE s.app = shop AND s.state = 'authorized') THEN
		what := format('nobody has consented to app %s yet', shop);
		next_step := format('SELECT exact.authorize_url(%L), and open the address in a browser',
			shop);
	ELSIF lake IS NULL THEN
		what := 'no workspace of Databricks is entered yet';
		next_step := 'INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, '
			'client_id) VALUES (''lake'', …)';
	ELSIF NOT EXISTS (SELECT FROM exact.credential AS c
			WHERE c.kind = 'workspace' AND c.name = lake) THEN
		what := format('workspace %s has no secret yet', lake);
		next_step := format('put it into the file workspace.%s.%s of secrets_directory, then '
			'SELECT * FROM exact.import_secrets()', lake, (
				SELECT CASE WHEN w.client_id IS NULL THEN 'token' ELSE 'client_secret' END
				FROM exact.workspace AS w
				WHERE w.name = lake));
	ELSIF NOT EXISTS (SELECT FROM exact.division) THEN
		what := 'no division is known yet';
		next_step := format('SELECT * FROM exact.discover_divisions(%L)', shop);
	ELSE
		what := 'no division is enabled';
		next_step := 'UPDATE exact.division SET workspace = …, enabled = true '
			'WHERE division = …';
	END IF;
END
$$;
COMMENT ON FUNCTION exact._first_step()
	IS 'What is to be entered next while no division is enabled, and how; null: nothing';
REVOKE ALL ON FUNCTION exact._first_step() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._first_step() TO exact_reader, exact_worker;

-- The manual in the database: what there is, who may, what for, and an example of each.

-- how: runs (sql/manual.sql runs it, docs/ shows what it answers) or asks (it needs a worker, a
-- service or a file: it is parsed). A function or view without an example fails that test.
CREATE FUNCTION exact._examples() RETURNS TABLE (name text, how text, example text)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $examples$
BEGIN
	RETURN QUERY VALUES
		-- functions
		('adopt', 'asks', $$SELECT exact.adopt('3c5d0a4e');$$),
		('approve', 'asks', $$SELECT exact.approve(12);$$),
		('assert_audit', 'runs', $$SELECT exact.assert_audit();$$),
		('authorize', 'asks',
			$$SELECT exact.authorize('erp', $$
			|| $$'https://hub.example.com/exact/callback?code=abc&state=def');$$),
		('authorize_url', 'asks', $$SELECT exact.authorize_url('erp');$$),
		('backfill', 'runs', $$SELECT exact.backfill(101001, 'items', since => '2026-01-01');$$),
		('cancel', 'asks', $$SELECT exact.cancel(41);$$),
		('check', 'asks', $$SELECT rule, finding, fix FROM exact.check() WHERE result <> 'ok';$$),
		('create_views', 'runs', $$SELECT exact.create_views('lake');$$),
		('dbt_sources', 'asks', $$SELECT exact.dbt_sources('lake');$$),
		('disable_entities', 'runs', $$SELECT exact.disable_entities(101001, 'glaccount');$$),
		('discover_divisions', 'asks',
			$$SELECT division, description FROM exact.discover_divisions('erp');$$),
		('dry_run', 'runs', $$SELECT call, path, why FROM exact.dry_run('lake');$$),
		('enable_entities', 'runs',
			$$SELECT exact.enable_entities(101001, 'costcenter', 'costunit');$$),
		('erase', 'asks',
			$$SELECT exact.erase(101001, 'contacts', '7a31f0c2-0000-4000-8000-000000000001', $$
			|| $$'case-4711');$$),
		('estimate', 'asks',
			$$SELECT entity, records, calls, minutes, note FROM $$
			|| $$exact.estimate(101001, ARRAY['finance']);$$),
		('explain', 'runs',
			$$SELECT exact.explain(101001, 'items', '7a31f0c2-0000-4000-8000-000000000001');$$),
		('fence', 'asks', $$SELECT exact.fence();$$),
		('fetch', 'asks',
			$$SELECT exact.fetch(101001, 'crm/Accounts', '$filter=Code eq ''              $$
			|| $$4711''');$$),
		('find', 'runs',
			$$SELECT entity, key, number, name FROM exact.find(101001, '10001');$$),
		('headline', 'runs', $$SELECT exact.headline();$$),
		('help', 'runs', $$SELECT exact.help('headline');$$),
		('history', 'runs',
			$$SELECT seq, op, changed FROM exact.history(101001, 'items', $$
			|| $$'7a31f0c2-0000-4000-8000-000000000001');$$),
		('import_secrets', 'asks', $$SELECT * FROM exact.import_secrets();$$),
		('install_schedule', 'asks', $$SELECT exact.install_schedule();$$),
		('ledger_sign', 'runs',
			$$SELECT exact.ledger_sign('control', 0, 30) AS control_row, $$
			|| $$exact.ledger_sign('control', 1, 30) AS line;$$),
		('me', 'asks', $$SELECT exact.me('erp') ->> 'FullName';$$),
		('month_end', 'asks', $$SELECT * FROM exact.month_end(2026, 10);$$),
		('pause', 'runs', $$SELECT exact.pause(101001, 'items');$$),
		('ping', 'asks', $$SELECT side, name, ok, latency, next_step FROM exact.ping();$$),
		('read_dimensions', 'runs', $$SELECT exact.read_dimensions('lake');$$),
		('receive_webhook', 'asks',
			$$SELECT exact.receive_webhook(convert_to('{"Content":{},"HashCode":"AB"}', $$
			|| $$'UTF8'));$$),
		('reject', 'asks', $$SELECT exact.reject(12);$$),
		('release', 'asks', $$SELECT exact.release(88);$$),
		('replay', 'runs',
			$$SELECT exact.replay('items', '2026-01-01', NULL, division => 101001);$$),
		('restart_workers', 'asks', $$SELECT exact.restart_workers();$$),
		('restrict_reader', 'asks', $$SELECT exact.restrict_reader('bert', '{101001}');$$),
		('resume', 'runs', $$SELECT exact.resume(101001, 'items');$$),
		('retry', 'asks', $$SELECT exact.retry(3);$$),
		('retry_all', 'runs', $$SELECT exact.retry_all();$$),
		('rotate_key', 'asks', $$SELECT exact.rotate_key();$$),
		('set_secret', 'asks',
			$$SELECT exact.set_secret('app', 'erp', 'client_secret', 'abc');$$),
		('show', 'runs', $$SELECT exact.show('services');$$),
		('subscribe', 'runs', $$SELECT exact.subscribe(101001);$$),
		('sync_now', 'runs', $$SELECT exact.sync_now(101001, 'items');$$),
		('trace', 'runs',
			$$SELECT step, what, took FROM exact.trace(101001, 'items', $$
			|| $$'7a31f0c2-0000-4000-8000-000000000001');$$),
		('try_rule', 'asks',
			$$SELECT * FROM exact.try_rule('no_weekend', 101001, '{"EntryNumber": 25700012}', $$
			|| $$'[]');$$),
		('verify_audit', 'runs', $$SELECT * FROM exact.verify_audit();$$),
		('verify_webhook', 'asks',
			$$SELECT exact.verify_webhook('erp', convert_to('{"Content":{},"HashCode":"AB"}', $$
			|| $$'UTF8'));$$),
		('wait', 'asks', $$SELECT exact.wait(42, '5 min');$$),
		-- views
		('apps', 'runs', $$SELECT name, region, state, divisions, next_step FROM exact.apps;$$),
		('budget', 'runs',
			$$SELECT division, minute_left, day_left, day_limit FROM exact.budget;$$),
		('calls', 'runs',
			$$SELECT division, call, status, rows, took FROM exact.calls LIMIT 3;$$),
		('cost', 'runs', $$SELECT day, workspace, wake_ups, seconds, dbu FROM exact.cost;$$),
		('credentials', 'runs', $$SELECT kind, name, field, is_set FROM exact.credentials;$$),
		('divisions', 'runs',
			$$SELECT division, description, app, workspace, entities, state FROM $$
			|| $$exact.divisions;$$),
		('entity_effective', 'runs',
			$$SELECT entity, method, sync_interval, target_table FROM exact.entity_effective $$
			|| $$WHERE entity = 'items';$$),
		('erasures', 'runs',
			$$SELECT id, entity, state, gone_at, old_files_until, next_step FROM exact.erasures;$$),
		('events', 'runs', $$SELECT at, division, light, who, what FROM exact.events LIMIT 20;$$),
		('feeds', 'runs',
			$$SELECT entity, method, state, complete, waiting FROM exact.feeds WHERE division $$
			|| $$= 101001;$$),
		('field_effective', 'runs',
			$$SELECT name, target_type, key FROM exact.field_effective WHERE entity = $$
			|| $$'costcenter' AND name IN ('Code', 'ID');$$),
		('fields', 'runs',
			$$SELECT name, edm_type, target_type, note FROM exact.fields WHERE entity = $$
			|| $$'costcenter' AND name IN ('Code', 'ID');$$),
		('held', 'runs', $$SELECT id, entity, code, name, next_step FROM exact.held;$$),
		('lag', 'runs', $$SELECT entity, stage, n, max FROM exact.lag WHERE span = '0';$$),
		('ledger_shape', 'runs', $$SELECT division, shape, neither FROM exact.ledger_shape;$$),
		('listener', 'runs',
			$$SELECT listens_at, received, accepted, refused FROM exact.listener;$$),
		('progress', 'runs',
			$$SELECT kind, entity, phase, done, total FROM exact.progress WHERE kind = $$
			|| $$'delivery';$$),
		('quarantine', 'runs',
			$$SELECT id, entity, number, problems, next_step FROM exact.quarantine;$$),
		('services', 'runs', $$SELECT side, name, light, state, what FROM exact.services;$$),
		('status', 'runs', $$SELECT division, light, what, next_step, lag FROM exact.status;$$),
		('subscriptions', 'runs',
			$$SELECT topic, state, what FROM exact.subscriptions WHERE division = 101001;$$),
		('webhook_log', 'runs', $$SELECT topic, action, outcome, became FROM exact.webhook_log;$$),
		('workers', 'runs', $$SELECT role, state, reason FROM exact.workers;$$);
END
$examples$;
COMMENT ON FUNCTION exact._examples()
	IS 'An example of each public function and view, as exact.help() and the manual show it';
REVOKE ALL ON FUNCTION exact._examples() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._examples() TO exact_reader;

-- title: as one calls it
CREATE VIEW exact._manual AS
WITH role AS (
	SELECT * FROM (VALUES
		(1, 'exact_reader'::name), (2, 'exact_operator'), (3, 'exact_admin')) AS r (rank, role)
)
SELECT p.proname::text COLLATE "C" AS name, 'function' AS kind,
	format('exact.%s(%s) → %s', p.proname, coalesce((
		SELECT string_agg(concat_ws(' ',
				CASE WHEN a.mode = 'v' THEN 'VARIADIC' END, p.proargnames[a.i],
				format_type(a.type, NULL),
				'= ' || pg_get_function_arg_default(p.oid, a.n::int)), ', ' ORDER BY a.i)
		FROM (
			SELECT x.i, x.type, coalesce(p.proargmodes[x.i], 'i') AS mode,
				count(*) FILTER (WHERE coalesce(p.proargmodes[x.i], 'i') IN ('i', 'b', 'v'))
					OVER (ORDER BY x.i) AS n
			FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY
				AS x (type, i)
		) AS a
		WHERE a.mode IN ('i', 'b', 'v')), ''),
		concat(CASE WHEN p.proretset THEN 'setof ' END, coalesce('(' || (
			SELECT string_agg(p.proargnames[m.i], ', ' ORDER BY m.i)
			FROM unnest(p.proargmodes) WITH ORDINALITY AS m (mode, i)
			WHERE m.mode IN ('o', 't', 'b')
			HAVING count(*) > 0) || ')', format_type(p.prorettype, NULL)))) AS title,
	(SELECT r.role::text FROM role AS r
		WHERE has_function_privilege(r.role, p.oid, 'EXECUTE')
		ORDER BY r.rank LIMIT 1) AS may,
	obj_description(p.oid, 'pg_proc') AS comment, e.example, e.how
FROM pg_proc AS p
LEFT JOIN exact._examples() AS e ON e.name = p.proname
WHERE p.pronamespace = 'exact'::regnamespace AND p.proname !~ '^_'
	AND p.prorettype <> 'trigger'::regtype
UNION ALL
SELECT c.relname::text, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END,
	'exact.' || c.relname,
	(SELECT r.role::text FROM role AS r
		WHERE has_any_column_privilege(r.role, c.oid, 'SELECT')
		ORDER BY r.rank LIMIT 1),
	obj_description(c.oid, 'pg_class'), e.example, e.how
FROM pg_class AS c
LEFT JOIN exact._examples() AS e ON e.name = c.relname AND c.relkind = 'v'
WHERE c.relnamespace = 'exact'::regnamespace AND c.relname !~ '^_'
	AND c.relkind IN ('v', 'r', 'p') AND NOT c.relispartition;
COMMENT ON VIEW exact._manual
	IS 'Public functions, views and tables: what exact.help() and docs/functions.md are made of';
REVOKE ALL ON TABLE exact._manual FROM PUBLIC;
GRANT SELECT ON TABLE exact._manual TO exact_reader;

-- How alike two words are, 0 to 1: by their parts of three letters
CREATE FUNCTION exact._alike(a text, b text) RETURNS real
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	ours text[] := ARRAY(SELECT DISTINCT substr('  ' || a || ' ', i, 3)
		FROM generate_series(1, least(length(a), 60) + 1) AS i);
	theirs text[] := ARRAY(SELECT DISTINCT substr('  ' || b || ' ', i, 3)
		FROM generate_series(1, least(length(b), 60) + 1) AS i);
	shared int := (SELECT count(*) FROM unnest(ours) AS o (part) WHERE o.part = ANY (theirs));
BEGIN
	RETURN shared::real / (cardinality(ours) + cardinality(theirs) - shared);
END
$$;
COMMENT ON FUNCTION exact._alike(text, text) IS 'How alike two words are, from 0 to 1';
REVOKE ALL ON FUNCTION exact._alike(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._alike(text, text) TO exact_reader;

-- One line of help() for a terminal: what is longer goes on below, indented
CREATE FUNCTION exact._help_lines(content text) RETURNS SETOF text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
		SELECT CASE WHEN l.n > 1 AND content ~ '^ ' THEN '      ' ELSE '' END || l.line
		FROM unnest(exact._lines(content, CASE WHEN content ~ '^ ' THEN 112 ELSE 118 END))
			WITH ORDINALITY AS l (line, n)
		ORDER BY l.n;
END
$$;
COMMENT ON FUNCTION exact._help_lines(text)
	IS 'A text of exact.help() in lines of at most 118 characters';
REVOKE ALL ON FUNCTION exact._help_lines(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._help_lines(text) TO exact_reader;

CREATE FUNCTION exact.help(what text = NULL) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- as somebody types it: exact.budget, budget(), "Budget";
	word text := lower(regexp_replace(regexp_replace(btrim(left($1, 200)),
		'^"?(exact|exact_databricks)"?[.]', ''), '[(].*$|["; ]+', '', 'g'));
	found exact._manual;
	setting record;
	hits int := 0;
BEGIN
	IF coalesce(word, '') = '' THEN
		FOR found IN
			SELECT m.* FROM exact._manual AS m
			WHERE m.kind <> 'table' AND m.example IS NOT NULL
			ORDER BY m.kind DESC, m.name
		LOOP
			RETURN QUERY SELECT exact._help_lines(format('%s %s: %s', found.kind, found.title,
				regexp_replace(found.comment, E'([.;:]\\s|\n).*$', '')));
			RETURN QUERY SELECT exact._help_lines('    ' || found.example);
		END LOOP;
		RETURN QUERY SELECT 'More of one of them: SELECT exact.help(''status''); of a table or a '
			'setting as well.';
		RETURN;
	END IF;
	FOR found IN
		SELECT m.* FROM exact._manual AS m WHERE m.name = word ORDER BY m.kind, m.title
	LOOP
		hits := hits + 1;
		RETURN QUERY SELECT exact._help_lines(format('%s %s', found.kind, found.title));
		RETURN QUERY SELECT exact._help_lines(found.comment);
		RETURN QUERY SELECT coalesce('For members of ' || found.may || '.',
			'Not for people: the workers alone use it.');
		IF found.kind <> 'function' THEN
			RETURN QUERY
				SELECT exact._help_lines(format('  %s %s%s', a.attname,
					format_type(a.atttypid, a.atttypmod),
					': ' || col_description(a.attrelid, a.attnum)))
				FROM pg_attribute AS a
				JOIN pg_class AS c ON c.oid = a.attrelid
				WHERE c.relname = found.name AND c.relnamespace = 'exact'::regnamespace
					AND a.attnum > 0 AND NOT a.attisdropped
				ORDER BY a.attnum;
		END IF;
		IF found.example IS NOT NULL THEN
			RETURN QUERY SELECT exact._help_lines('Example: ' || found.example);
		END IF;
	END LOOP;
	FOR setting IN
		SELECT s.name, concat_ws(E'\n', concat(s.short_desc, ' ' || s.extra_desc),
			format('Now %s; default %s.',
				concat(coalesce(nullif(s.setting, ''), 'unset'), ' ' || s.unit),
				coalesce(nullif(s.boot_val, ''), 'unset'))) AS about
		FROM pg_settings AS s
		WHERE s.name = 'exact_databricks.' || word
	LOOP
		hits := hits + 1;
		RETURN QUERY SELECT 'setting ' || setting.name;
		RETURN QUERY SELECT exact._help_lines(setting.about);
	END LOOP;
	IF hits > 0 THEN
		RETURN;
	END IF;
	-- a part of a name or a word of a comment
	FOR found IN
		SELECT m.* FROM exact._manual AS m
		WHERE strpos(m.name, word) > 0
			OR strpos(lower(m.comment), word) > 0 AND length(word) > 3
		ORDER BY strpos(m.name, word) = 0, m.kind, m.title
		LIMIT 20
	LOOP
		hits := hits + 1;
		RETURN QUERY SELECT exact._help_lines(format('%s %s: %s', found.kind, found.title,
			regexp_replace(found.comment, E'([.;:]\\s|\n).*$', '')));
	END LOOP;
	IF hits > 0 THEN
		RETURN;
	END IF;
	RETURN QUERY SELECT format('There is no "%s". Did you mean: %s?', word, coalesce((
		SELECT string_agg(n.name, ', ' ORDER BY n.alike DESC, n.name)
		FROM (
			SELECT m.name, max(exact._alike(m.name, word)) AS alike
			FROM exact._manual AS m
			GROUP BY m.name
			ORDER BY 2 DESC, 1
			LIMIT 3
		) AS n
		WHERE n.alike > 0.1), 'status, check, explain'));
	RETURN QUERY SELECT 'SELECT exact.help(); shows all.';
END
$$;
COMMENT ON FUNCTION exact.help(text)
	IS 'The manual: without an argument all functions and views with an example of each; with '
		'one, the entry of that function, view, table, setting or word';
REVOKE ALL ON FUNCTION exact.help(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.help(text) TO exact_reader;

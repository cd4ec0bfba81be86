-- Customers' own rules: what is refused when they are registered, and what a function can do when
-- it is called. All is rolled back, so that workers see none of it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on

BEGIN;
CREATE SCHEMA accounting;
CREATE TYPE accounting.finding AS (line int, problem text);
CREATE FUNCTION accounting.good(division int, document jsonb, lines jsonb)
RETURNS TABLE (line int, problem text)
LANGUAGE sql STABLE
AS $$
	SELECT (l ->> 'LineNumber')::int, 'line of entry ' || (document ->> 'EntryNumber')
	FROM jsonb_array_elements(lines) AS l
	WHERE l ->> 'Project' IS NULL
	UNION ALL
	VALUES (NULL, 'the document of ' || division), (99, 'no such line'), (2, NULL), (2, E' \t ')
$$;

-- registration
\set VERBOSITY default
INSERT INTO exact.rule (name) VALUES ('my_rule');
INSERT INTO exact.rule (name, function) VALUES ('My rule', 'accounting.good');
INSERT INTO exact.rule (name, function) VALUES ('', 'accounting.good');
INSERT INTO exact.rule (name, function) VALUES (repeat('r', 64), 'accounting.good');
INSERT INTO exact.rule (name, function) VALUES ('entry_balances', 'accounting.good');
INSERT INTO exact.rule (name, function) VALUES ('my_rule', '');
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'good');
INSERT INTO exact.rule (name, function)
VALUES ('my_rule', 'accounting.good(integer, jsonb, jsonb)');
INSERT INTO exact.rule (name, function)
VALUES ('my_rule', 'accounting.good; DROP TABLE exact.rule');
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'a.b.c');
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'pg_catalog.good');
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'exact.try_rule');
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'accounting.bad');
CREATE FUNCTION accounting.bad(int, jsonb) RETURNS TABLE (line int, problem text)
LANGUAGE sql AS 'SELECT 1, ''x''';
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'accounting.bad');
CREATE FUNCTION accounting.bad(int, jsonb, jsonb) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'accounting.bad');
DROP FUNCTION accounting.bad(int, jsonb, jsonb);
CREATE FUNCTION accounting.bad(int, jsonb, jsonb, OUT line int, OUT problem text)
LANGUAGE sql AS 'SELECT 1, ''x''';
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'accounting.bad');
DROP FUNCTION accounting.bad(int, jsonb, jsonb);
CREATE FUNCTION accounting.bad(int, jsonb, jsonb) RETURNS TABLE (line bigint, problem text)
LANGUAGE sql AS 'SELECT 1::bigint, ''x''';
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'accounting.bad');
DROP FUNCTION accounting.bad(int, jsonb, jsonb);
CREATE FUNCTION accounting.bad(int, jsonb, jsonb) RETURNS SETOF record
LANGUAGE sql AS 'SELECT 1, ''x''';
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'accounting.bad');
DROP FUNCTION accounting.bad(int, jsonb, jsonb);
CREATE PROCEDURE accounting.bad(int, jsonb, jsonb) LANGUAGE sql AS '';
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'accounting.bad');
DROP PROCEDURE accounting.bad(int, jsonb, jsonb);
CREATE FUNCTION accounting.bad(int, jsonb, jsonb) RETURNS TABLE (line int, problem text)
LANGUAGE c AS '$libdir/exact_databricks', 'exact_try_rule';
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'accounting.bad');
DROP FUNCTION accounting.bad(int, jsonb, jsonb);
CREATE FUNCTION accounting.bad(int, jsonb, jsonb) RETURNS TABLE (line int, problem text)
LANGUAGE sql SECURITY DEFINER AS 'SELECT 1, ''x''';
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'accounting.bad');
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'accounting.good');
GRANT USAGE ON SCHEMA accounting TO exact_rule;
REVOKE EXECUTE ON FUNCTION accounting.good(int, jsonb, jsonb) FROM PUBLIC;
INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'accounting.good');
GRANT EXECUTE ON FUNCTION accounting.good(int, jsonb, jsonb) TO exact_rule;
INSERT INTO exact.rule (name, function, action) VALUES ('my_rule', 'accounting.good', 'delete');

INSERT INTO exact.rule (name, function) VALUES ('my_rule', 'ACCOUNTING."good"');
INSERT INTO exact.rule (name, function) VALUES (repeat('r', 63), 'accounting.good');
CREATE FUNCTION accounting."Out ""of"" use"(
	INOUT line int, jsonb, jsonb, OUT problem text) RETURNS SETOF record
LANGUAGE sql AS 'VALUES (1, ''columns by OUT'')';
CREATE FUNCTION accounting.typed(int, jsonb, jsonb) RETURNS SETOF accounting.finding
LANGUAGE plpgsql AS 'BEGIN RETURN NEXT (2, ''a type'')::accounting.finding; END';
INSERT INTO exact.rule (name, function, action)
VALUES ('by_out', 'accounting."Out ""of"" use"', 'quarantine'), ('typed', 'accounting.typed', NULL);
SELECT * FROM exact.rule ORDER BY name COLLATE "C";

-- what a rule says
\set document '''{"EntryNumber": 7}'', ''[{"LineNumber": 1}, {"LineNumber": 2, "Project": 5}]'''
SELECT * FROM exact.try_rule('my_rule', 101, :document);
SELECT * FROM exact.try_rule('by_out', 101, :document);
SELECT * FROM exact.try_rule('typed', 101, :document);
SELECT * FROM exact.try_rule('my_rule', 101, NULL, NULL);
SELECT * FROM exact.try_rule('nothing', 101, :document);
SELECT * FROM exact.try_rule('entry_balances', 101, :document);
SELECT * FROM exact.try_rule(NULL, 101, :document);
SELECT * FROM exact.try_rule('my_rule', NULL, :document);
SELECT * FROM exact.try_rule('my_rule', 101, '{}', '{}');
SELECT * FROM exact.try_rule('my_rule', 101, '{}', '7');

-- what becomes of the function afterwards: the rule can be switched off in any case
ALTER FUNCTION accounting.typed(int, jsonb, jsonb) SECURITY DEFINER;
SELECT * FROM exact.try_rule('typed', 101, :document);
UPDATE exact.rule SET action = 'flag' WHERE name = 'typed';
UPDATE exact.rule SET enabled = false WHERE name = 'typed';
UPDATE exact.rule SET enabled = true WHERE name = 'typed';
REVOKE EXECUTE ON FUNCTION accounting.good(int, jsonb, jsonb) FROM exact_rule;
SELECT * FROM exact.try_rule('my_rule', 101, :document);
DROP FUNCTION accounting.good(int, jsonb, jsonb);
SELECT * FROM exact.try_rule('my_rule', 101, :document);
SELECT exact._switch_rule_off('my_rule'), exact._switch_rule_off('entry_balances');
SELECT name, enabled FROM exact.rule WHERE length(name) < 63 ORDER BY name COLLATE "C";

-- What a function does. made(): a rule of this body; said(): what came of it.
CREATE FUNCTION made(name text, body text, attributes text = 'LANGUAGE plpgsql') RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	EXECUTE format('CREATE FUNCTION accounting.%I(division int, document jsonb, lines jsonb) '
		'RETURNS TABLE (line int, problem text) %s AS %L', name, attributes, body);
	INSERT INTO exact.rule (name, function) VALUES (name, 'accounting.' || name);
END
$$;
CREATE FUNCTION said(rule text, document jsonb = '{"Amount": 20}', lines jsonb = '[]')
RETURNS TABLE (result text, n bigint)
LANGUAGE plpgsql
AS $$
BEGIN
	RETURN QUERY
	SELECT left(string_agg(coalesce(t.line || ': ', '') || t.problem, '; '), 40), count(*)
	FROM exact.try_rule(rule, 101, document, lines) AS t;
EXCEPTION WHEN OTHERS THEN
	-- some words of the server are others in later versions
	RETURN QUERY SELECT sqlstate || ' ' || regexp_replace(replace(sqlerrm, '"', ''),
		'(must be|permission denied to) .* [(]SQLSTATE', 'not permitted (SQLSTATE'), NULL::bigint;
END
$$;
CREATE TABLE accounting.mine (n int);
CREATE SEQUENCE accounting.counter;
CREATE FUNCTION accounting.at_commit() RETURNS trigger
LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''a trigger of a rule runs as %'', current_user; END';
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON accounting.mine
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION accounting.at_commit();
CREATE VIEW accounting.taken AS SELECT * FROM accounting.mine;
GRANT ALL ON accounting.mine, accounting.taken TO PUBLIC;
GRANT ALL ON SEQUENCE accounting.counter TO PUBLIC;
CREATE FUNCTION accounting.strong() RETURNS text
LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
CREATE FUNCTION accounting.of_c() RETURNS boolean
LANGUAGE c AS '$libdir/exact_databricks', 'exact__restoring';
CREATE FUNCTION accounting.of_c_stable() RETURNS boolean
LANGUAGE c STABLE AS '$libdir/exact_databricks', 'exact__restoring';
CREATE FUNCTION accounting.lock_by_another_name(bigint) RETURNS void
LANGUAGE internal AS 'pg_advisory_lock_int8';
CREATE FUNCTION accounting.deep(n int) RETURNS int
LANGUAGE plpgsql AS 'BEGIN RETURN accounting.deep(n + 1); END';

SELECT made(name, 'BEGIN ' || body || ' RETURN; END') FROM (VALUES
	('drops', 'DROP TABLE exact.rule;'),
	('drops_own', 'DROP TABLE accounting.mine;'),
	('writes', 'INSERT INTO accounting.mine VALUES (1);'),
	('writes_by_view', 'DELETE FROM accounting.taken;'),
	('writes_after_set', 'SET transaction_read_only = off;
		INSERT INTO accounting.mine VALUES (1);'),
	('writes_after_reset', 'RESET ALL; INSERT INTO accounting.mine VALUES (1);'),
	('writes_on_15', 'BEGIN RESET transaction_read_only; INSERT INTO accounting.mine VALUES (1);
		EXCEPTION WHEN OTHERS THEN END;'),
	('counts', 'PERFORM nextval(''accounting.counter'');'),
	('counts_on_15', 'BEGIN RESET transaction_read_only; EXCEPTION WHEN OTHERS THEN END;
		PERFORM nextval(''accounting.counter'');'),
	('reads_secrets', 'PERFORM * FROM exact.credential;'),
	('reads_records', 'PERFORM * FROM exact.stage;'),
	('reads_file', 'PERFORM pg_read_file(''/etc/hostname'');'),
	('reads_settings', 'PERFORM current_setting(''exact_databricks.key_file'');'),
	('imports', 'PERFORM lo_import(''/etc/hostname'');'),
	('runs_program', 'COPY accounting.mine FROM PROGRAM ''echo 1'';'),
	('copies_out', 'COPY (SELECT 1) TO ''/tmp/user_rule'';'),
	('sets_role', 'SET ROLE exact_admin;'),
	('resets_role', 'RESET ROLE;'),
	('sets_session', 'SET SESSION AUTHORIZATION exact_admin;'),
	('sets_by_call', 'PERFORM set_config(''role'', ''exact_admin'', false);'),
	('listens', 'LISTEN user_rule;'),
	('makes_temp', 'CREATE TEMP TABLE t (n int);'),
	('prepares', 'EXECUTE ''PREPARE user_rule AS SELECT 1'';'),
	('holds_cursor', 'EXECUTE ''DECLARE c CURSOR WITH HOLD FOR SELECT 1'';'),
	('discards', 'EXECUTE ''DISCARD PLANS'';'),
	('commits', 'COMMIT;'),
	('locks', 'PERFORM pg_advisory_lock(1);'),
	('locks_too', 'PERFORM accounting.lock_by_another_name(1);'),
	('unlocks', 'PERFORM pg_advisory_unlock_all();'),
	('emits', 'PERFORM pg_logical_emit_message(false, ''user'', ''rule'');'),
	('terminates', 'PERFORM pg_terminate_backend(pg_backend_pid());'),
	('reloads', 'PERFORM pg_reload_conf();'),
	('wakes', 'PERFORM exact._wake(''fetcher'');'),
	('tries', 'PERFORM exact.try_rule(''drops'', 1, ''{}'', ''[]'');'),
	('is_strong', 'PERFORM accounting.strong();'),
	('calls_c', 'PERFORM accounting.of_c();'),
	('calls_stable_c', 'PERFORM accounting.of_c_stable();'),
	('divides', 'PERFORM 1 / (division - 101);'),
	('cancels_itself', 'RAISE query_canceled;'),
	('shuts_down', 'RAISE admin_shutdown;'),
	('recurses', 'PERFORM accounting.deep(1);'),
	('fills_disk', 'PERFORM n FROM (SELECT repeat(''x'', 1000) AS n
		FROM generate_series(1, 200000) AS g ORDER BY g DESC OFFSET 199999) AS s;'),
	('catches', 'BEGIN DROP TABLE exact.rule; EXCEPTION WHEN OTHERS THEN END;'),
	('locks_shortly', 'PERFORM pg_advisory_xact_lock(1); RAISE WARNING ''seen'';'),
	('notifies', 'NOTIFY user_rule;'),
	('sets', 'SET work_mem = ''9MB''; SET LOCAL statement_timeout = ''1ms''; SET search_path = x;'),
	('opens', 'DECLARE c refcursor := ''left_open''; BEGIN OPEN c FOR SELECT 1; END;')
) AS v (name, body);
\pset format unaligned
\pset footer off
SELECT name, said(name) AS said
FROM exact.rule
WHERE enabled AND length(name) < 63
ORDER BY name COLLATE "C";

-- and nothing of it is left
SET CONSTRAINTS ALL IMMEDIATE;
SELECT current_user = session_user AS own, current_setting('search_path') AS path,
	current_setting('work_mem') AS memory, current_setting('transaction_read_only') AS read_only,
	current_setting('log_min_messages') AS log, current_setting('temp_file_limit') AS temp;
SELECT count(*) FROM accounting.mine;
SELECT last_value, is_called FROM accounting.counter;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT count(*) FROM pg_cursors WHERE name = 'left_open';
SELECT pg_notification_queue_usage(), (SELECT count(*) FROM pg_listening_channels());

-- what it returns
SELECT made('many', 'SELECT g, ''p'' FROM generate_series(1, (document ->> ''n'')::int) AS g',
	'LANGUAGE sql');
SELECT said('many', '{"n": 1000}'), said('many', '{"n": 1001}'), said('many', '{"n": 1000000}');
SELECT made('long', 'SELECT 1, repeat(''é'', (document ->> ''n'')::int)', 'LANGUAGE sql');
SELECT n, length(problem), right(problem, 4)
FROM unnest(ARRAY[500, 501, 1000000]) AS n,
	exact.try_rule('long', 101, jsonb_build_object('n', n), '[]');
SELECT made('odd', $$VALUES (1, E'a\n\x01\u202eb  c'), (-1, 'minus'), (NULL, ''), (3, 'three')$$,
	'LANGUAGE sql');
SELECT * FROM exact.try_rule('odd', 101, '{}', '[{"LineNumber": 1}, {"LineNumber": "3"}, 7, null]');
SELECT made('void', 'BEGIN END');
SELECT said('void');
SELECT made('null_rows', 'SELECT NULL::int, NULL::text FROM generate_series(1, 5000)',
	'LANGUAGE sql');
SELECT said('null_rows');
SELECT made('who', 'SELECT NULL::int, concat_ws('' '', current_user,
	current_setting(''search_path''), current_setting(''transaction_read_only''),
	(SELECT count(*) FROM jsonb_array_elements(lines)))', 'LANGUAGE sql');
SELECT said('who');
-- two rules that contradict: each speaks for itself
SELECT made('needs', 'SELECT 1, ''needs a project'' WHERE document -> ''p'' IS NULL',
	'LANGUAGE sql');
SELECT made('forbids', 'SELECT 1, ''has a project'' WHERE document -> ''p'' IS NOT NULL',
	'LANGUAGE sql');
SELECT said('needs', '{}') AS needs, said('forbids', '{}') AS forbids,
	said('needs', '{"p": 1}') AS needs_not, said('forbids', '{"p": 1}') AS forbids_not;

-- time
SELECT made('loops', 'BEGIN LOOP END LOOP; END'),
	made('sleeps', 'BEGIN PERFORM pg_sleep(600); END'),
	made('waits', 'BEGIN SET lock_timeout = 0; SET statement_timeout = 0;
		BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN END;
		RETURN QUERY VALUES (1, ''at last''); END');
SELECT said('loops') UNION ALL SELECT said('sleeps') UNION ALL SELECT said('waits');
-- a cancel that is not the timer's is the caller's
SET LOCAL statement_timeout = '100ms';
SELECT * FROM exact.try_rule('sleeps', 101, :document);
SET LOCAL statement_timeout = 0;
SELECT said('needs', '{}');

-- whoever calls it hides no function from it
CREATE SCHEMA before;
GRANT USAGE ON SCHEMA before TO PUBLIC;
CREATE FUNCTION before.jsonb_array_elements(jsonb) RETURNS SETOF jsonb
LANGUAGE sql AS 'SELECT ''7''::jsonb';
SET LOCAL search_path = before, pg_catalog;
SELECT right(problem, 1) AS direct FROM accounting.who(101, '{}', '[]');
SELECT right(problem, 1) AS confined FROM exact.try_rule('who', 101, '{}', '[]');
RESET search_path;

-- only the hub says that a document is held
SELECT made('forges', 'BEGIN RETURN QUERY VALUES (1, ''held: by nobody''); END');
SELECT * FROM said('forges');

-- a member of exact_operator tries, and registers nothing
SET LOCAL ROLE exact_operator;
SELECT * FROM exact.try_rule('who', 101, '{}', '[]');
INSERT INTO exact.rule (name, function) VALUES ('another', 'accounting.who');
SET LOCAL ROLE exact_admin;
INSERT INTO exact.rule (name, function) VALUES ('another', 'accounting.who');
UPDATE exact.rule SET action = 'quarantine' WHERE name = 'another';
DELETE FROM exact.rule WHERE name = 'another';
SET LOCAL ROLE exact_reader;
SELECT * FROM exact.try_rule('who', 101, '{}', '[]');
RESET ROLE;

-- a dump is loaded, whatever has become of the functions
SET LOCAL check_function_bodies = off;
SET LOCAL row_security = off;
INSERT INTO exact.rule (name, function) VALUES ('later', 'accounting.later');
INSERT INTO exact.rule (name) VALUES ('no_function');
INSERT INTO exact.rule (name, function) VALUES ('entry_balances', 'accounting.later');
ROLLBACK;

-- Notifications through SQL: signatures, repeats, what is ignored, what came. Rolled back: no
-- worker sees it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
LOAD 'exact_databricks';
\set SHOW_CONTEXT never

-- a key file, as the server wants it
CREATE TEMP TABLE place (directory text);
COPY place FROM PROGRAM 'mktemp -d';
SELECT directory || '/keys' AS key_file FROM place \gset
SELECT format('COPY (SELECT %L) TO PROGRAM %L', 'k1:' || repeat('0a', 32),
	'umask 077; cat > ' || :'key_file') AS write_key,
	format('COPY (SELECT %L) TO PROGRAM %L', 'k1:' || repeat('0b', 32),
		'umask 077; cat > ' || :'key_file') AS write_other_key,
	format('COPY (SELECT 1) TO PROGRAM %L', 'cat > /dev/null; rm -r ' || directory) AS remove_key
	FROM place \gset
:write_key;
ALTER SYSTEM SET exact_databricks.key_file = :'key_file';
SELECT pg_reload_conf();
\c
SET client_min_messages = warning;
SET log_statement = none;
SET log_min_duration_statement = -1;
SET log_min_duration_sample = -1;
SET log_transaction_sample_rate = 0;
\set ON_ERROR_ROLLBACK on

-- HMAC-SHA256 of RFC 2104, for keys of at most a block, and a body as the service sends it
CREATE FUNCTION pg_temp.hmac(secret text, message bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	inner_key bytea := decode(repeat('36', 64), 'hex');
	outer_key bytea := decode(repeat('5c', 64), 'hex');
BEGIN
	FOR i IN 0 .. octet_length(secret) - 1 LOOP
		inner_key := set_byte(inner_key, i,
			get_byte(inner_key, i) # get_byte(convert_to(secret, 'UTF8'), i));
		outer_key := set_byte(outer_key, i,
			get_byte(outer_key, i) # get_byte(convert_to(secret, 'UTF8'), i));
	END LOOP;
	RETURN upper(encode(sha256(outer_key || sha256(inner_key || message)), 'hex'));
END
$$;
CREATE FUNCTION pg_temp.body(content bytea, secret text = 'test-webhook-secret')
RETURNS bytea LANGUAGE sql AS $$
	SELECT convert_to('{"Content":', 'UTF8') || content
		|| convert_to(',"HashCode":"' || pg_temp.hmac(secret, content) || '"}', 'UTF8')
$$;
CREATE FUNCTION pg_temp.body(content text, secret text = 'test-webhook-secret')
RETURNS bytea LANGUAGE sql AS $$
	SELECT pg_temp.body(convert_to(content, 'UTF8'), secret)
$$;
-- a notification of record n
CREATE FUNCTION pg_temp.note(
		n int, secret text = 'test-webhook-secret', division int = 9000001, topic text = 'Items',
		more text = '')
RETURNS bytea LANGUAGE sql AS $$
	SELECT pg_temp.body(
		format(
			'{"Topic":"%s","ClientId":"6F9D1C2E-0000-4000-8000-000000000001","Division":%s,'
				'"Action":"Update","Key":"0D1F6A5B-0000-4000-8000-%s"%s}',
		topic, division, lpad(n::text, 12, '0'), more), secret)
$$;

BEGIN;
SELECT exact._bind();
INSERT INTO exact.app (name, client_id) VALUES ('erp', '6f9d1c2e-0000-4000-8000-000000000001');
INSERT INTO exact.app (name, client_id, region)
VALUES ('shop', '11111111-2222-3333-4444-555555555555', 'be');
INSERT INTO exact.division (division, app, enabled)
VALUES (9000001, 'erp', true), (9000002, 'shop', true), (9000003, 'erp', false);
SELECT exact.enable_entities(9000001, 'items');
DELETE FROM exact.inbox;

-- without a secret: the service may try the address, nothing else
SELECT exact.receive_webhook('');
SELECT exact.receive_webhook(E' \r\n');
SELECT exact.receive_webhook(pg_temp.note(1));
\echo :LAST_ERROR_SQLSTATE
SELECT exact.verify_webhook('erp', pg_temp.note(1));
SELECT exact.verify_webhook('nobody', pg_temp.note(1));
SELECT exact.set_secret('app', 'erp', 'webhook_secret', 'test-webhook-secret');
SELECT exact.verify_webhook('shop', pg_temp.note(1));

-- what is right and what is not
SELECT exact.verify_webhook('erp', pg_temp.note(1)) AS right,
	exact.verify_webhook('erp', pg_temp.note(1, 'test-webhook-secre')) AS other_secret,
	exact.verify_webhook('erp', '') AS empty, exact.verify_webhook('erp', '{}') AS no_envelope,
	exact.verify_webhook('erp', pg_temp.note(1) || E'\r\n') AS line_end,
	exact.verify_webhook('erp', ' ' || pg_temp.note(1)) AS blank_before,
	exact.verify_webhook('erp',
		convert_to(replace(convert_from(pg_temp.note(1), 'UTF8'), ':', ': '),
			'UTF8')) AS written_again,
	exact.verify_webhook(NULL, pg_temp.note(1)) IS NULL AS null_app,
	exact.verify_webhook('erp', NULL) IS NULL AS null_body;
SELECT count(*),
	count(*) FILTER (
		WHERE exact.verify_webhook('erp', set_bit(b.body, i, 1 - get_bit(b.body, i)))) AS right
FROM (SELECT pg_temp.note(1) AS body) AS b, generate_series(0, octet_length(b.body) * 8 - 1) AS i;
SELECT exact.receive_webhook(pg_temp.note(1, 'wrong'));
\echo :LAST_ERROR_SQLSTATE
SELECT exact.receive_webhook('{"Content":{},"HashCode":"x"}');
SELECT exact.receive_webhook(NULL);
SELECT exact.receive_webhook(pg_temp.body(rpad('{', 65536 - 91, ' ') || '}'));
SELECT octet_length(body), exact.verify_webhook('erp', body)
FROM (SELECT pg_temp.body(rpad('{', 65536 - 91, ' ') || '}') AS body) AS b;
SELECT exact.receive_webhook(pg_temp.body(rpad('{', 65536 - 90, ' ') || '}'));
\echo :LAST_ERROR_SQLSTATE
SELECT exact.verify_webhook('erp', pg_temp.body(rpad('{', 65536 - 90, ' ') || '}'));
SELECT number IS NOT NULL AS number, app, division, outcome FROM exact.webhook_log;
DELETE FROM exact.inbox;

-- repeats: known for seven days; without the time of its event while it waits, and for a minute
SELECT exact.receive_webhook(pg_temp.note(1, more => ',"EventCreatedOn":"2025-03-04T13:14:50.07"'));
SELECT exact.receive_webhook(pg_temp.note(1, more => ',"EventCreatedOn":"2025-03-04T13:14:50.07"'));
SELECT exact.receive_webhook(pg_temp.note(1, more => ',"EventCreatedOn":"2025-03-04T13:14:50.07"')
	|| ' ');
SELECT exact.receive_webhook(pg_temp.note(1, more => ',"EventCreatedOn":"2025-03-04T13:14:50.08"'));
SELECT exact.receive_webhook(pg_temp.note(2));
SELECT exact.receive_webhook(pg_temp.note(2));
UPDATE exact.inbox_work AS w
SET taken_at = i.at + interval '812 ms'
FROM exact.inbox AS i
WHERE i.id = w.id;
SELECT exact.receive_webhook(pg_temp.note(1, more => ',"EventCreatedOn":"2025-03-04T13:14:50.07"'));
SELECT exact.receive_webhook(pg_temp.note(2));
UPDATE exact.inbox_work AS w SET taken_at = w.taken_at - interval '61 s'
FROM exact.inbox AS i
WHERE i.id = w.id AND i.event_at IS NULL;
UPDATE exact.inbox SET at = at - interval '61 s' WHERE event_at IS NULL;
SELECT exact.receive_webhook(pg_temp.note(2));
UPDATE exact.inbox_work AS w
SET taken_at = w.taken_at - interval '8 days'
FROM exact.inbox AS i
WHERE i.id = w.id AND i.event_at LIKE '%.07';
UPDATE exact.inbox SET at = at - interval '8 days' WHERE event_at LIKE '%.07';
SELECT exact.receive_webhook(pg_temp.note(1, more => ',"EventCreatedOn":"2025-03-04T13:14:50.07"'));
SELECT app, division, topic, action, key, secret, outcome FROM exact.webhook_log ORDER BY number;
SELECT event_at, digest = sha256(content) AS digest,
	position('Content'::bytea IN content) AS envelope
FROM exact.inbox
ORDER BY id;
DELETE FROM exact.inbox;

-- rotation: both are right until the old one goes
\set other 's3cr3t of 16 bytes'
\set of_the_shop 'the secret of shop'
SELECT exact.set_secret('app', 'erp', 'webhook_secret_next', :'other');
SELECT exact.receive_webhook(pg_temp.note(3)), exact.receive_webhook(pg_temp.note(4, :'other'));
SELECT exact.set_secret('app', 'erp', 'webhook_secret', :'other');
DELETE FROM exact.credential WHERE field = 'webhook_secret_next';
SELECT exact.verify_webhook('erp', pg_temp.note(5)) AS old,
	exact.verify_webhook('erp', pg_temp.note(5, :'other')) AS new;
SELECT exact.receive_webhook(pg_temp.note(5, :'other'));
SELECT exact.receive_webhook(pg_temp.note(6));
SELECT key, secret FROM exact.webhook_log ORDER BY number;
-- a change that is rolled back does not count
SAVEPOINT rotation;
SELECT exact.set_secret('app', 'erp', 'webhook_secret', 'test-webhook-secret');
SELECT exact.verify_webhook('erp', pg_temp.note(6)) AS old,
	exact.verify_webhook('erp', pg_temp.note(6, :'other')) AS new;
ROLLBACK TO rotation;
SELECT exact.verify_webhook('erp', pg_temp.note(6)) AS old,
	exact.verify_webhook('erp', pg_temp.note(6, :'other')) AS new;
-- secrets are for a host, and closed without their key
UPDATE exact.app SET region = 'uk' WHERE name = 'erp';
SELECT exact.receive_webhook(pg_temp.note(7, :'other'));
UPDATE exact.app SET region = 'nl' WHERE name = 'erp';
:write_other_key;
SELECT exact.receive_webhook(pg_temp.note(7, :'other'));
:write_key;
SELECT exact.receive_webhook(pg_temp.note(7, :'other'));
-- two apps with secrets: that of the app that is named is tried, and any that is right will do
SELECT exact.set_secret('app', 'shop', 'webhook_secret', :'other');
SELECT exact.receive_webhook(pg_temp.note(8, :'other'));
SELECT exact.verify_webhook('shop', pg_temp.note(9, :'other'));
SELECT exact.set_secret('app', 'shop', 'webhook_secret', :'of_the_shop');
SELECT exact.verify_webhook('shop', pg_temp.note(9, :'other'));
SELECT key, app, secret FROM exact.webhook_log ORDER BY number DESC LIMIT 2;
DELETE FROM exact.inbox;

-- signed and of no use: kept with the reason, answered like the others
SELECT exact.receive_webhook(b)
FROM (VALUES (1, pg_temp.note(1, :'other', 9000009)), (2, pg_temp.note(1, :'other', 9000003)),
	(3, pg_temp.note(1, :'of_the_shop')),
	(4, pg_temp.note(1, :'other', topic => 'Quotations')),
	(5, pg_temp.note(1, :'other', topic => 'item')), (6, pg_temp.body('{}', :'other')),
	(7, pg_temp.body('[]', :'other')),
	(8, pg_temp.body('{"Division":9000001}', :'other')),
	(9, pg_temp.body('{"Division":9000001,"Topic":"Items"}', :'other')),
	(10, pg_temp.body('{"Division":9000001,', :'other')),
	(11, pg_temp.body('\x7b2278223a22ff227d'::bytea, :'other')),
	(12, pg_temp.body('\x7b2278223a2200227d'::bytea, :'other')),
	(13, pg_temp.body(repeat('[', 10000), :'other')),
	(14, pg_temp.body('{"Division":9000002,"Topic":"Items","Key":"x"}', :'other')),
	(15,
		pg_temp.body('{"Division":9000001,"Division":9000001,"Topic":"Items","Key":"x"}',
			:'other')),
	(16,
		pg_temp.body(
			'{"Key":"x","Later":[1,{"y":null}],"Topic":"Items","Division":"9000001",'
				'"Action":"Merge"}',
			:'other'))) AS v (n,
	b)
	ORDER BY n;
SELECT app, division, topic, action, key, outcome FROM exact.webhook_log ORDER BY number;
-- a repeat of it is one, too
SELECT exact.receive_webhook(
	pg_temp.note(1, :'other', 9000009, more => ',"EventCreatedOn":"2025-03-04T13:14:50"'));
SELECT exact.receive_webhook(
	pg_temp.note(1, :'other', 9000009, more => ',"EventCreatedOn":"2025-03-04T13:14:50"'));
SELECT exact.disable_entities(9000001, 'items');
SELECT exact.receive_webhook(pg_temp.note(21, :'other'));
SELECT outcome FROM exact.webhook_log ORDER BY number DESC LIMIT 1;

-- one event for each, at commit
SELECT count(*)
FROM exact.audit_log AS l
WHERE l.kind = 'notification' AND (l.what ->> 'from')::bigint IN (SELECT id FROM exact.inbox);
SET CONSTRAINTS ALL IMMEDIATE;
SELECT count(*),
	bool_and(l.chain = 'sql'
		AND l.division IS NULL
		AND l.what = jsonb_build_object('from', i.id, 'to', i.id, 'count', 1, 'digest',
			encode(sha256(i.digest), 'hex'))) AS good
FROM exact.inbox AS i
LEFT JOIN exact.audit_log AS l ON l.kind = 'notification' AND (l.what ->> 'from')::bigint = i.id;
SELECT * FROM exact.verify_audit();

-- rights; and whose search_path and settings count
CREATE ROLE regress_exact_reader IN ROLE exact_reader;
CREATE ROLE regress_exact_operator IN ROLE exact_operator;
SET ROLE regress_exact_reader;
SELECT count(*) > 10 AS seen FROM exact.webhook_log;
SELECT exact.receive_webhook('');
SELECT exact.verify_webhook('erp', '');
SET ROLE regress_exact_operator;
SET search_path = pg_temp, pg_catalog;
SET enable_seqscan = on;
SELECT exact.receive_webhook(pg_temp.note(30, :'other')),
	exact.verify_webhook('erp', pg_temp.note(30, :'other'));
SHOW enable_seqscan;
SHOW search_path;
INSERT INTO exact.inbox (app, secret, digest, content) VALUES ('erp', 'current', '', '');
DELETE FROM exact.inbox;
RESET ROLE;
ROLLBACK;

ALTER SYSTEM RESET exact_databricks.key_file;
SELECT pg_reload_conf();
:remove_key;

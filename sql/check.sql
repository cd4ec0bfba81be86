-- Rules of exact.check() at both sides of each limit: addresses, members of roles, names of tables.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never

-- first and last address of each private range, and those beside it
SELECT a.place, exact._is_public(a.place || ':8480') AS public
FROM unnest(ARRAY['127.0.0.1', '127.255.255.255', '126.255.255.255', '128.0.0.0', '10.0.0.0',
	'10.255.255.255', '9.255.255.255', '11.0.0.0', '172.16.0.0', '172.31.255.255',
	'172.15.255.255', '172.32.0.0', '192.168.0.0', '192.168.255.255', '192.167.255.255',
	'192.169.0.0', '100.64.0.0', '100.127.255.255', '100.63.255.255', '100.128.0.0', '0.0.0.0',
	'[::1]', '[::2]', '[::]', '[fc00::]', '[fdff::1]', '[fbff::1]', '[fe00::1]', '[fe80::1]',
	'[febf::1]', '[fec0::1]', '[2001:db8::1]']) WITH ORDINALITY AS a (place, n)
ORDER BY a.n;

BEGIN;
-- nobody may be a member of a role that the product runs as
SELECT result, rule, finding, fix FROM exact.check() WHERE rule LIKE 'role exact%';
CREATE ROLE member_of_one;
CREATE ROLE member_of_all LOGIN;
GRANT exact_rule TO member_of_one, member_of_all;
GRANT exact_worker, exact_view, exact_reader, exact_admin TO member_of_all;
SELECT result, rule, finding, fix FROM exact.check() WHERE rule LIKE 'role exact%' ORDER BY rule;
REVOKE exact_rule FROM member_of_one, member_of_all;
SELECT rule FROM exact.check() WHERE rule LIKE 'role exact%' ORDER BY rule;

-- one table for two: current against current, current against history, in other capitals
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.division (division, app) VALUES (9000001, 'shop');
SELECT count(*) FROM exact.enable_entities(9000001, 'items', 'accounts', 'costcenter');
SELECT finding FROM exact.check() WHERE rule = 'names of Delta tables';
\set ON_ERROR_ROLLBACK on
INSERT INTO exact.entity (name, target_table) VALUES ('items', 'Accounts_History');
SELECT finding FROM exact.check() WHERE rule = 'names of Delta tables';
ROLLBACK;

-- somebody has made the rows before the hub refused them
BEGIN;
SET LOCAL session_replication_role = replica;
INSERT INTO exact.feed (division, entity) VALUES (1, 'items'), (1, 'accounts');
INSERT INTO exact.entity (name, target_table) VALUES ('items', 'Accounts_History');
SELECT finding FROM exact.check() WHERE rule = 'names of Delta tables';
UPDATE exact.entity SET target_table = 'accounts';
SELECT finding FROM exact.check() WHERE rule = 'names of Delta tables' ORDER BY 1;
UPDATE exact.entity SET target_table = 'accounts_histor';
SELECT finding FROM exact.check() WHERE rule = 'names of Delta tables';
UPDATE exact.entity SET target_table = 'x', target_history = 'X';
SELECT finding FROM exact.check() WHERE rule = 'names of Delta tables';
ROLLBACK;

-- lz4 where the server has it; what is missing and what it costs where not
SELECT (c.result = 'ok') = ('lz4' = ANY (s.enumvals)) AS as_the_server_is
FROM exact.check() AS c, pg_settings AS s
WHERE c.rule = 'compression'
	AND s.name = 'default_toast_compression';
BEGIN;
ALTER TABLE exact.stage ALTER COLUMN payload SET COMPRESSION pglz;
SELECT result, finding, fix FROM exact.check() WHERE rule = 'compression';
ROLLBACK;

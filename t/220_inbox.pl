# The inbox with workers: a rotation of the webhook secret under load, keys that are lost and come back, equal
# notifications that came at the same time, evidence, what is old.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use Listener;
use PostgreSQL::Test::Utils;
use Test::More;

my ($node, $port) = listener_cluster('main');

sub value { return $node->safe_psql('postgres', $_[0]); }

sub import_secret
{
	my ($field, $secret) = @_;

	write_file("$node->{exact_secrets_directory}/app.erp.$field", $secret, 0600);
	is(value("SELECT result FROM exact.import_secrets() WHERE field = '$field'"), 'imported', "$field is imported");
}

sub sent { my ($load) = @_; return -s "$load->{dir}/1" ? 1 : 0; }
sub receive { my ($body) = @_; $body =~ s/'/''/g; return "SELECT exact.receive_webhook(convert_to('$body', 'UTF8'))"; }

# ---- the webhook secret is rotated while notifications come ----
my $old = start_senders($port, 2);
wait_until('the first sender is heard', sub { sent($old) });
import_secret('webhook_secret_next', 'the secret after it');
{
	local $Listener::SECRET = 'the secret after it';
	my $new = start_senders($port, 2);
	wait_until('the second sender is heard', sub { sent($new) });
	my $answers = stop_senders($old);
	is_deeply([ sort keys %$answers ], ['200'], 'nothing signed with the old secret was refused');
	is(scalar(missing_keys($node, $answers)), 0, 'all of it is stored');
	import_secret('webhook_secret', 'the secret after it');
	value("DELETE FROM exact.credential WHERE field = 'webhook_secret_next'");
	unlink "$node->{exact_secrets_directory}/app.erp.webhook_secret_next";
	my $before = value('SELECT max(number) FROM exact.webhook_log');
	wait_until('more came', sub { value("SELECT count(*) FROM exact.webhook_log WHERE number > $before") > 20 });
	$answers = stop_senders($new);
	is_deeply([ sort keys %$answers ], ['200'], 'nor with the new one');
	is(scalar(missing_keys($node, $answers)), 0, 'all of it is stored');
}
is(value('SELECT array_agg(DISTINCT secret ORDER BY secret) FROM exact.webhook_log'), '{current,next}',
	'and which one matched is told');
is(status_of(post($port, notification())), 401, 'the old secret is no longer right');
like(error_of($node, 'postgres', receive(notification())), qr/EX022.*the notification is refused/s, 'in SQL neither');
$Listener::SECRET = 'the secret after it';
is(status_of(post($port, notification())), 200, 'the new one is');

# ---- without its key no secret can be opened, and nothing is taken; with it all goes on ----
my $key = slurp_file($node->{exact_key_file});
make_key_file($node->{exact_key_file});
is(status_of(post($port, notification())), 503, 'the key is gone: not now');
like(error_of($node, 'postgres', receive(notification())),
	qr/EX004.*webhook_secret of app "erp" cannot be opened.*HINT/s, 'SQL says why');
is(status_of(post($port, '')), 200, 'the service may try the address');
write_file($node->{exact_key_file}, $key, 0600);
is(status_of(post($port, notification())), 200, 'the key is back');
is(value(receive(notification())), 'accepted', 'in SQL as well');
unlike(slurp_file($node->logfile), qr/the secret after it|$Listener::SECRET/, 'no secret is in the log');

# ---- two equal ones that did not see each other: both are stored, one causes work ----
my $same = notification(key => 'aaaaaaaa-0000-4000-8000-000000000001');
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
is($session->query_safe(receive($same)), 'accepted', 'one that is not committed');
is(status_of(post($port, $same)), 200, 'does not keep the listener from an equal one');
is(value(receive($same)), 'duplicate', 'which is known then');
wait_until('the fetcher took it',
	sub { value("SELECT count(*) FROM exact.inbox JOIN exact.inbox_work USING (id) WHERE key LIKE 'aaaaaaaa-%' "
		. "AND taken_at IS NOT NULL") eq '1' });
$session->query_safe('COMMIT');
$session->quit;
wait_until('and the other',
	sub { value("SELECT count(*) FROM exact.inbox JOIN exact.inbox_work USING (id) WHERE key LIKE 'aaaaaaaa-%' "
		. "AND taken_at IS NOT NULL") eq '2' });
is(value("SELECT count(*) FROM exact.webhook_log WHERE key LIKE 'aaaaaaaa-%' AND outcome LIKE 'ignored: repeat%'"), 1,
	'of the two, one causes no work');

# ---- evidence: one event for a group, whose digest the rows prove ----
is(value(q{SELECT count(*) FROM exact.audit_log AS l
	WHERE l.kind = 'notification' AND l.chain IN ('listener', 'sql') AND l.what ->> 'digest' <> (
		SELECT encode(sha256(string_agg(i.digest, ''::bytea ORDER BY i.id)), 'hex') FROM exact.inbox AS i
		WHERE i.id BETWEEN (l.what ->> 'from')::bigint AND (l.what ->> 'to')::bigint
		HAVING count(*) = (l.what ->> 'count')::bigint)}), 0, 'every digest is that of its rows');
is(value(q{SELECT sum((what ->> 'count')::bigint) = (SELECT count(*) FROM exact.inbox) FROM exact.audit_log
	WHERE kind = 'notification' AND chain IN ('listener', 'sql')}), 't', 'and none is without an event');
is(value(
	q{SELECT count(DISTINCT chain) FROM exact.audit_log WHERE kind = 'notification' AND chain IN ('listener', 'sql')}),
	2, 'in the chains of both');
is(value('SELECT count(*) FROM exact.verify_audit()'), 0, 'the chains are whole');

# ---- what is older than seven days goes, in portions; what is held or was not taken stays ----
value(q{WITH old AS (INSERT INTO exact.inbox (at, app, secret, digest, content)
	SELECT now() - interval '8 days', 'erp', 'current', sha256(i::text::bytea), i::text::bytea
	FROM generate_series(1, 3500) AS i
	RETURNING id, at)
	INSERT INTO exact.inbox_work (id, taken_at) SELECT id, at FROM old});
value(
	q{WITH old AS (INSERT INTO exact.inbox (at, app, secret, digest, content) VALUES (now() - interval '9 days',
		'erp', 'current', '\x00', '\x00') RETURNING id)
	INSERT INTO exact.inbox_work (id) SELECT id FROM old});
my $young = value(q{SELECT count(*) FROM exact.inbox WHERE at > now() - interval '7 days'});
$session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
$session->query_safe(q{SELECT id FROM exact.inbox WHERE content = '17' FOR UPDATE});
value('SELECT exact.restart_workers()');
wait_until('the fetcher deleted them',
	sub { value(q{SELECT count(*) FROM exact.inbox WHERE at < now() - interval '7 days'}) eq '2' });
$session->query_safe('COMMIT');
$session->quit;
is(value(
	q{SELECT string_agg(encode(content, 'escape'), ' ' ORDER BY at DESC) FROM exact.inbox
		WHERE at < now() - interval '7 days'}), '17 \000', 'but one that was held and one that nobody took');
is(value(q{SELECT count(*) FROM exact.inbox WHERE at > now() - interval '7 days'}), $young, 'the others are there');
is(value('SELECT count(*) FROM exact.inbox FULL JOIN exact.inbox_work USING (id) WHERE exact.inbox.id IS NULL '
	. 'OR exact.inbox_work.id IS NULL'), 0, 'and what became of each, nothing else');
value('SELECT exact.restart_workers()');
wait_until('the next time it goes too',
	sub { value(q{SELECT count(*) FROM exact.inbox WHERE at < now() - interval '7 days'}) eq '1' });

$node->stop;
done_testing();

# Is the other side there? What exact.status, the page, check(), the metrics and the alerts say of each cause after
# 30 s, after 10 minutes, and ten seconds after it is mended. The server's clock is moved ahead, nobody waits for it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use HubTest;
use Listener;
use PostgreSQL::Test::Utils;
use StandIn;
use Test::More;

# ---- a hub whose clock can be moved, with a stand-in before each service ----
my $directory = PostgreSQL::Test::Utils::tempdir();
my $ahead = 0;
system('cc', '-shared', '-fPIC', '-O1', '-o', "$directory/clock.so", "$FindBin::RealBin/flow/clock.c") == 0
	or BAIL_OUT('no clock');

sub move
{
	my ($seconds) = @_;

	$ahead += $seconds;
	write_file("$directory/clock.new", $ahead);
	return rename "$directory/clock.new", "$directory/clock";
}
move(0);
my $exact = exact_online('--records', '60', '--divisions', '1');
my $databricks = simulator(engine => 'none');
my %door = (exact => StandIn->start($exact->{url}), databricks => StandIn->start($databricks->{url}));
my %called = (exact => 'Exact Online (erp)', databricks => 'Databricks (lake)');
my $hub_exact = bless { %$exact, url => $door{exact}{url} }, ref $exact;
my $hub_databricks = { %$databricks, url => $door{databricks}{url} };
my ($division) = $exact->divisions;

$ENV{LD_PRELOAD} = "$directory/clock.so";
$ENV{TEST_CLOCK} = "$directory/clock";
my $node = hub_cluster('main', conf => { 'exact_databricks.sync_interval' => "'1s'" });
delete $ENV{LD_PRELOAD};
my $port = free_port();
my $token = 'f0' x 32;

sub value { return one($node, $_[0]); }
value("ALTER DATABASE postgres SET exact_databricks.listen_addresses = '127.0.0.1'");
value("ALTER DATABASE postgres SET exact_databricks.port = $port");
give_hub($node, $hub_exact, $hub_databricks);
write_file("$node->{exact_secrets_directory}/listener.status.token", $token, 0600);
is(value("SELECT result FROM exact.import_secrets() WHERE kind = 'listener'"), 'imported', 'a token for the page');

# ---- what is said, by everything that says it ----
sub page { return body_of(get($port, $_[0], headers => ["Authorization: Bearer $token"])); }
sub service { return value("SELECT $_[1] FROM exact.services WHERE side = '$_[0]'"); }
sub status { return value("SELECT concat_ws('|', light, state, what) FROM exact.status WHERE division = $division"); }
sub check { return value("SELECT result || '|' || finding FROM exact.check() WHERE rule = 'service $called{$_[0]}'"); }
sub metric
{
	my ($name, $side) = @_;
	my $label = $side eq 'exact' ? 'erp' : 'lake';

	return page('/metrics') =~ /^$name\{side="$side",name="$label"\} (\S+)$/m ? $1 : 'none';
}

# Does the rule of docs/alerts.yml hold now?
sub alert
{
	my ($name, $side) = @_;
	my $rules = slurp_file("$FindBin::RealBin/../docs/alerts.yml");
	my ($metric, $operator, $limit) = $rules =~ /alert: $name\n\s+expr: (\w+) (==|>=) (\d+)\n/ or die "no alert $name";
	my $now = metric($metric, $side);

	return $now ne 'none' && ($operator eq '==' ? $now == $limit : $now >= $limit) ? 1 : 0;
}

sub html { my ($text) = @_; $text =~ s/&/&amp;/g; $text =~ s/</&lt;/g; $text =~ s/>/&gt;/g; $text =~ s/"/&quot;/g;
	$text =~ s/'/&#39;/g; return $text; }

# The same light and cause everywhere
sub everywhere
{
	my ($name, $side, $light, $pattern) = @_;
	my $up = $light eq 'ok' ? 1 : 0;
	my $what;

	is(service($side, 'light'), $light, "$name: exact.services has the light $light");
	like($what = service($side, 'what'), $pattern, "$name: and says it");
	like(status(), $light eq 'ok' ? qr/^ok\|/ : qr/^$light\|service\|.*$pattern/, "$name: exact.status");
	like(check($side), $light eq 'ok' ? qr/^ok\|.* answers/ : qr/^$light\|.*$pattern/, "$name: check()");
	my $words = $light eq 'ok' ? 'division is up to date|1 of 1|The division' : '<h1[^>]*>[^<]*' . quotemeta(html(
		ucfirst $what =~ s/; .*//r));
	ok(eval { wait_until('the page', sub { page('/status') =~ /$words/ }, 20) }, "$name: the page's headline")
		or diag(page('/status') =~ /<h1.*/g, $words);
	ok(eval { wait_until('the metrics', sub { metric('exact_service_up', $side) eq $up }, 10) },
		"$name: exact_service_up is $up");
	is(alert('ExactServiceSilent', $side), 1 - $up, "$name: the alert of a silence");
	is(alert('ExactServiceAway', $side), $light eq 'fail' ? 1 : 0, "$name: the alert that pages");
	return;
}

sub is_good
{
	return status() =~ /^ok\|(?:up to date|on the way)/
		&& value("SELECT count(*) FROM exact.services WHERE light <> 'ok'") eq '0';
}

# Ten seconds are what a person is promised.
sub good_again
{
	my ($name, $seconds) = @_;

	ok(eval { wait_until("$name: it is good again", \&is_good, $seconds // 10) },
		"$name: within ten seconds after it is mended all is well")
		or diag(status(), ' ', value('SELECT string_agg(what, $$; $$) FROM exact.services'));
	foreach my $side ('exact', 'databricks')
	{
		like(check($side), qr/^ok\|/, "$name, mended: check() of $side");
		ok(eval { wait_until('the metrics', sub { metric('exact_service_up', $side) eq '1' }, 10) },
			"$name, mended: exact_service_up of $side");
		is(alert('ExactServiceSilent', $side) + alert('ExactServiceAway', $side), 0, "$name, mended: no alert");
	}
	ok(eval { wait_until('no reason', sub { value("SELECT string_agg(reason, ' ') FROM exact.workers") eq '' }, 10) },
		"$name, mended: no worker has a reason");
	return;
}

my $seed = 0;
sub work
{
	$exact->post('random', count => 2, deletes => 0, seed => ++$seed, division => $division,
		resource => 'logistics/Items');
	return;
}

sub is_noticed
{
	my ($name, $side, $seconds) = @_;

	return ok(eval { wait_until("$name is noticed", sub { value("SELECT count(*) FROM exact.service_state "
		. "WHERE side = '$side' AND failing_since IS NOT NULL") eq '1' }, $seconds // 30) }, "$name: it is noticed");
}

ok(wait_until('all is well', \&is_good, 60), 'all is well at first');
is(value('SELECT exact.headline()'), 'The division is up to date.', 'and the headline says so');

# ---- each cause, on each side ----
my $at = qr/(?:\d{4}-\d\d-\d\d )?\d\d:\d\d/;    # the clock is moved: midnight may lie between
my %causes = (
	refuse => qr/has not answered since $at: .*connect/i,
	hang => qr/has not answered since $at: calls hang without an answer/,
	html => qr/has not answered since $at: HTTP 200 with a page of HTML/,
	503 => qr/has not answered since $at: HTTP 503/,
	401 => qr/no access token works at .* since $at: /);
foreach my $side ('databricks', 'exact')
{
	foreach my $cause ('refuse', 'html', '503', 'hang', '401')
	{
		my $name = "$side, $cause";
		my $pattern = $causes{$cause};

		$door{$side}->mode($cause);
		work();
		is_noticed($name, $side, 40);
		like(service($side, "light || '|' || state"), qr/^ok\|/, "$name: a moment is no news");
		move(31);
		everywhere("$name, 30 s", $side, 'warn', $pattern);
		move(570);
		my $moved = value('SELECT now()');
		everywhere("$name, 10 min", $side, 'fail', $pattern);
		# what waits has been tried once more: now its back-off is minutes long
		wait_until("$name: all was tried again", sub { service($side, "asked_at > '$moved'") eq 't' }, 60)
			if $cause =~ /^(?:refuse|503)$/;
		like(value('SELECT what FROM exact.status'), qr/version.* nothing is lost/, "$name: what waits is told")
			if $side eq 'databricks' && $cause eq 'refuse';
		$door{$side}->mode('pass');
		# whether a token is taken again is not asked every few seconds: somebody says so
		value("SELECT exact.resume($division)") if $cause eq '401';
		good_again($name);
	}
}

# A cause that is no silence: status, page and check() name it, the metric and the alerts of a silence do not.
sub all_say
{
	my ($name, $pattern, @sides) = @_;

	like(status(), $pattern, "$name: exact.status");
	foreach my $side (@sides)
	{
		my $words = quotemeta html(service($side, 'what') =~ s/; .*//r);

		like(check($side), qr/^warn\|/, "$name: check()");
		is(metric_soon('exact_service_up', $side, 1), 1, "$name: $side is up");
		is(alert('ExactServiceSilent', $side) + alert('ExactServiceAway', $side), 0, "$name: no alert of a silence");
		ok(eval { wait_until('the page', sub { page('/status') =~ /$words/ }, 20) }, "$name: the page names it")
			or diag $words;
	}
	is(division_light_soon(1), 1, "$name: exact_division_light is 1, which alerts after two hours");
	return;
}

sub division_light_soon
{
	my ($wanted) = @_;
	my $now = 'none';

	eval { wait_until('the light of the division', sub {
		($now) = page('/metrics') =~ /^exact_division_light\{division="$division"\} (\S+)$/m;
		($now // '') eq $wanted }, 10) };
	return $now;
}

sub metric_soon
{
	my ($name, $side, $wanted) = @_;

	eval { wait_until($name, sub { metric($name, $side) eq $wanted }, 10) };
	return metric($name, $side);
}

sub sim_clock { return control($databricks, 'POST', 'clock', { advance => $_[0] }); }

# ---- a token that is refused for a minute, and nobody does anything ----
foreach my $side ('databricks', 'exact')
{
	my $name = "$side, a token refused for a minute";
	my $seconds = 0;

	$door{$side}->mode('401');
	work();
	is_noticed($name, $side, 40);
	move(31);
	like(service($side, "light || '|' || state"), qr/^warn\|token$/, "$name: named after 30 s");
	move(29);
	$door{$side}->mode('pass');
	# the hub tries again by its own back-off
	while ($seconds < 900 && !eval { wait_until($name, \&is_good, 5) })
	{
		move(60);
		$seconds += 60;
	}
	cmp_ok($seconds, '<=', 600, "$name: it goes on by itself within ten minutes");
	good_again($name, 15);
}

# ---- both at once ----
$door{databricks}->mode('refuse');
work();
is_noticed('both away', 'databricks', 40);
$door{exact}->mode('refuse');
is_noticed('both away', 'exact', 40);
move(31);
like(status(), qr/^warn\|service\|Exact Online \(erp\) has not answered .*; Databricks \(lake\) has not answered /,
	'both away: the status names both');
like(value('SELECT exact.headline()'),
	qr/Exact Online \(erp\) has not .*Databricks \(lake\) has not .*waits for a service/,
	'both away: so does the headline');

move(570);
foreach my $side ('exact', 'databricks')
{
	my $words = quotemeta html(service($side, 'what') =~ s/; .*//r);

	is(service($side, 'light'), 'fail', "both away, 10 min: $side has the light fail");
	like(check($side), qr/^fail\|.* has not answered since/, "both away, 10 min: check() of $side");
	ok(eval { wait_until('the page', sub { page('/status') =~ /<h1[^>]*>[^<]*$words/ }, 20) },
		"both away, 10 min: the page's headline names $side");
	is(metric_soon('exact_service_up', $side, 0), 0, "both away, 10 min: exact_service_up of $side");
	is(alert('ExactServiceAway', $side), 1, "both away, 10 min: the alert that pages, of $side");
}
like(status(), qr/^fail\|service\|Exact Online \(erp\) has not answered .*; Databricks \(lake\) has not answered /,
	'both away, 10 min: the status names both');
is(division_light_soon(2), 2, 'both away, 10 min: exact_division_light is 2');

# a worker that starts anew does not forget since when
my $since = value("SELECT failing_since FROM exact.service_state WHERE side = 'databricks'");
my $pid = worker_pid($node, 'postgres', 'loader');
my $asked = value("SELECT asked_at FROM exact.service_state WHERE side = 'databricks'");
value('SELECT exact.restart_workers()');
wait_until('another loader', sub { worker_pid($node, 'postgres', 'loader') !~ /^(?:$pid|)$/ });
wait_until('it has called', sub { value("SELECT asked_at > '$asked' FROM exact.service_state "
	. "WHERE side = 'databricks'") eq 't' });
is(value("SELECT failing_since FROM exact.service_state WHERE side = 'databricks'"), $since,
	'a restart does not begin the time anew');

# a clock that is set back: nothing lies ahead, and the time begins anew
move(-7200);
wait_until('the workers have seen it', sub { value("SELECT bool_and(failing_since <= now()) FROM exact.service_state "
	. 'WHERE failing_since IS NOT NULL') eq 't' });
wait_for_workers($node, 'postgres', roles => [ 'fetcher', 'loader', 'listener' ]);
is_noticed('a clock that was set back', $_, 40) foreach keys %door;
move(31);
like(status(), qr/^warn\|service\|/, 'after a clock was set back the light is still told');
$door{$_}->mode('pass') foreach keys %door;
good_again('both away', 15);

# ---- the service asks to wait: it is there ----
$door{databricks}->mode('429');
work();
wait_until('it is slowed', sub { service('databricks', "light || ' ' || state") eq 'ok slowed' }, 30);
like(service('databricks', 'what'), qr/^Databricks \(lake\) answers, and asks to be called no earlier than $at$/,
	'429: it is named as slowed');
move(31);
is(service('databricks', 'light'), 'ok', '429: which is no silence');
is(metric_soon('exact_service_up', 'databricks', 1), 1, '429: nor has it gone');
$door{databricks}->mode('pass');
good_again('429', 15);

# ---- a warehouse that starts for ten minutes, and says so in either form ----
foreach my $form ('pending', '503')
{
	control($databricks, 'POST', 'config', { start_seconds => 100000, start_form => $form });
	control($databricks, 'POST', 'warehouse', { state => 'STOPPED' });
	work();
	wait_until('a statement waits for it', sub { value("SELECT count(*) FROM exact.statement_log "
		. "WHERE state IN ('sending', 'running')") > 0 }, 30);
	sim_clock(31) if $form eq 'pending';
	ok(eval { wait_until('the start is seen', sub { value("SELECT count(*) FROM exact.service_state "
		. 'WHERE starting_since IS NOT NULL') eq '1' }, 60) }, "$form: a warehouse that starts is seen");
	foreach my $seconds (31, 600)
	{
		move($seconds);
		like(service('databricks', "light || '|' || state || '|' || what"),
			qr/^warn\|starting\|the warehouse of Databricks \(lake\) is starting since $at; \d+ version/,
			"$form: named as starting, $seconds s later");
		all_say("$form: starting, $seconds s later", qr/^warn\|starting\|the warehouse of .* is starting/,
			'databricks');
	}
	control($databricks, 'POST', 'warehouse', { state => 'RUNNING' });
	control($databricks, 'POST', 'config', { start_seconds => 0, start_form => 'pending' });
	sim_clock(1);
	# in the form 503 the statement is sent again by its own back-off, of a minute at most
	value('SELECT count(*) FROM exact.ping()');
	good_again("a warehouse that started, $form", 20);
}

# ---- a statement that hangs is named; cancelled there, it is sent again ----
my $slow = workspace_fault($databricks, path => 'statements$', statement => of_kind('current'), action => 'slow',
	seconds => 100_000);
work();
my $hanging = "SELECT statement_id FROM exact.statement_log WHERE state = 'running' AND kind = 'current'";
sub runs { return value($hanging) ne ''; }
wait_until('it is sent', sub { value("SELECT count(*) FROM exact.statement_log WHERE state <> 'succeeded' "
	. "AND state <> 'failed'") > 0 }, 30);
sim_clock(31);
wait_until('it runs', \&runs, 40);
my $id = value($hanging);
move(61);
like(service('databricks', "light || '|' || state || '|' || hangs"), qr/^warn\|hangs\|statement $id \(current of /,
	'a hanging statement is named');
all_say('a hanging statement', qr/^warn\|hangs\|statement $id .* runs in Databricks/, 'databricks');
sim_clock(100_001);
good_again('a hanging statement', 15);

# ---- a secret that is refused, and the right one ----
sub set_secret
{
	my ($kind, $name, $secret) = @_;

	write_file("$node->{exact_secrets_directory}/$kind.$name.client_secret", $secret, 0600);
	return value("SELECT string_agg(result, ',') FROM exact.import_secrets() WHERE kind = '$kind'");
}
set_secret('workspace', 'lake', 'not this one');
work();
is_noticed('a wrong secret', 'databricks', 40);
move(31);
everywhere('a wrong secret, 30 s', 'databricks', 'warn', qr/no access token works at .*invalid_client/);
set_secret('workspace', 'lake', $databricks->{info}{client_secret});
good_again('a wrong secret');

set_secret('app', 'erp', 'not this one');
# beyond the end of the access token, which was issued before the clock was set back
move(8000);
ok(eval { wait_until('it is refused', sub { status() =~ /^fail\|client\|/ }, 30) }, 'a wrong client secret of the app');
like(status(), qr/^fail\|client\|app erp gets no token since .*refuses the client id or secret/,
	'the status says what is wrong');
unlike(join(' ', status(), page('/status'), value('SELECT string_agg(finding, $$ $$) FROM exact.check()')),
	qr/consent/, 'nobody is asked to consent');
set_secret('app', 'erp', $exact->{info}{client_secret});
good_again('a wrong client secret');

# ---- a grant, told by a ping that succeeds; a setting; an address ----
control($databricks, 'POST', 'privileges', { deny => [ { privilege => 'MODIFY', object => 'main.exact' } ] });
work();
ok(eval { wait_until('it is refused', sub { status() =~ /^fail\|refused\|.*MODIFY/ }, 40) }, 'a grant is missing');
control($databricks, 'POST', 'privileges', { deny => [] });
value('SELECT count(*) FROM exact.ping()');
good_again('a grant');

value('ALTER SYSTEM SET exact_databricks.insecure_loopback = off');
value('SELECT pg_reload_conf()');
ok(eval { wait_until('the address is refused', sub { value('SELECT string_agg(reason, $$ $$) FROM exact.workers')
	=~ /http:.. is not allowed/ }, 40) }, 'a setting forbids both addresses, and exact.workers says so');
value('ALTER SYSTEM RESET exact_databricks.insecure_loopback');
value('SELECT pg_reload_conf()');
good_again('a setting', 15);

# The fetcher looks each minute.
sub is_seen
{
	my ($sql) = @_;

	foreach (1 .. 8)
	{
		move(61);
		return 1 if eval { wait_until('the fetcher has looked', sub { value($sql) eq 't' }, 4) };
	}
	return 0;
}

# ---- resume() of what was refused ----
control($databricks, 'POST', 'privileges', { deny => [ { privilege => 'MODIFY', object => 'main.exact' } ] });
work();
wait_until('it is refused', sub { status() =~ /^fail\|refused\|/ }, 40);
ok(is_seen("SELECT count(*) > 0 FROM exact.light_log WHERE side = 'table' AND light = 'fail'"),
	'a table that is refused for a minute is told');
control($databricks, 'POST', 'privileges', { deny => [] });
value("SELECT exact.resume($division)");
good_again('resume()');

# ---- the time line: what failed and recovered, of each service; nothing of the division that waited for them ----
foreach my $side ('exact', 'databricks')
{
	my $told = "SELECT count(*) > 0 FROM exact.light_log AS f JOIN exact.light_log AS o ON o.side = f.side "
	  . "AND o.name = f.name AND o.id > f.id AND o.light = 'ok' WHERE f.side = '$side' AND f.light IN ('warn', 'fail')";

	ok(is_seen($told), "exact.events tells that $side failed and that it recovered");
}
is(value("SELECT count(*) FROM exact.light_log WHERE side = 'division' "
	. "AND state IN ('service', 'starting', 'hangs')"), 0,
	'a cause outside is not told again of each division');
ok(is_seen("SELECT string_agg(light, ' ' ORDER BY id) ~ 'fail.* ok' FROM exact.light_log WHERE side = 'table'"),
	'a refused table is told by itself');
like(value("SELECT lags::text FROM exact.watched WHERE side = 'division'"), qr/^\{(?:\d+|NULL)(?:,(?:\d+|NULL))*\}$/,
	'the lags of ten minutes each are kept');
ok(eval { wait_until('the page', sub { page('/status') =~ /<svg[^>]*aria-label="24 hours, highest [^"]+"><path d="M/ },
	30) }, 'and drawn on the page');

# ---- a service that nobody calls does not fail ----
value("UPDATE exact.division SET enabled = false WHERE division = $division");
$door{exact}->mode('refuse');
move(1200);
is(service('exact', "light || ' ' || state"), 'off not used', 'an app without an enabled division is not used');
is(check('exact'), '', 'check() has no row for it');
is(metric_soon('exact_service_up', 'exact', 'none'), 'none', 'and the metrics have no line');
is(value('SELECT exact.headline()'), 'No division is enabled.', 'the headline');
$door{exact}->mode('pass');

$node->stop;
done_testing();

# Is the other side there? What exact.status, the page, check(), the metrics and the alerts say of each cause after 30 s,
# after 10 minutes, and ten seconds after it is mended. The server's clock is moved ahead, nobody waits for it.
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
		$what =~ s/; .*//r));
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
	is(value("SELECT string_agg(reason, ' ') FROM exact.workers"), '', "$name, mended: no worker has a reason");
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
my %causes = (
	refuse => qr/has not answered since \d\d:\d\d: .*connect/i,
	hang => qr/has not answered since \d\d:\d\d: calls hang without an answer/,
	html => qr/has not answered since \d\d:\d\d: HTTP 200 with a page of HTML/,
	503 => qr/has not answered since \d\d:\d\d: HTTP 503/,
	401 => qr/no access token works at .* since \d\d:\d\d: /);
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
		everywhere("$name, 10 min", $side, 'fail', $pattern);
		like(value('SELECT what FROM exact.status'), qr/version.* nothing is lost/, "$name: what waits is told")
			if $side eq 'databricks' && $cause eq 'refuse';
		$door{$side}->mode('pass');
		# whether a token is taken again is not asked every few seconds: somebody says so
		value('SELECT count(*) FROM exact.ping()') if $cause eq '401';
		good_again($name);
	}
}
done_testing();

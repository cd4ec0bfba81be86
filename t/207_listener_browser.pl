# The pages in a browser: wide and on a phone, light and dark, with 50 divisions and with 500; nothing in them runs,
# nothing is wider than the screen, what the policy of the answer forbids is not asked for.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Browser;
use ExactTest;
use Listener;
use PostgreSQL::Test::Utils;
use Test::More;

my ($node, $port) = listener_cluster('main');
my $token = 'f0' x 32;

sub value { return $node->safe_psql('postgres', $_[0]); }
write_file("$node->{exact_secrets_directory}/listener.status.token", $token, 0600);
is(value("SELECT result FROM exact.import_secrets() WHERE kind = 'listener'"), 'imported', 'a token');

# More divisions of the app, loaded and with a day behind them; the time is of the database.
sub divisions
{
	my ($first, $last) = @_;

	value(<<"SQL");
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
	VALUES ('lake', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact') ON CONFLICT DO NOTHING;
INSERT INTO exact.division (division, app, workspace, description, enabled)
SELECT 200000 + n, 'erp', 'lake', 'Söderberg & <Zonen> ' || n, true FROM generate_series($first, $last) AS n;
SELECT count(*) FROM exact.division AS d, exact.enable_entities(d.division, 'items', 'glaccount') AS e
WHERE d.division BETWEEN 200000 + $first AND 200000 + $last;
INSERT INTO exact.division_state (division, state, since, day_left, day_limit, day_reset)
SELECT 200000 + n, 'ok', now(), 10 * n, 5000, now() + interval '1 hour' FROM generate_series($first, $last) AS n
ON CONFLICT (division) DO UPDATE SET day_left = excluded.day_left, day_limit = 5000, day_reset = excluded.day_reset;
UPDATE exact.feed_state SET complete_at = now() - interval '90 s',
	first_complete_at = CASE WHEN division = 200001 AND feed = 'items' THEN NULL ELSE now() END
WHERE division BETWEEN 200000 + $first AND 200000 + $last;
INSERT INTO exact.watched (side, name, division, light, state, slot, lags)
SELECT 'division', d::text, d, 'ok', 'up to date', floor(extract(epoch FROM now()) / 600)::int,
	ARRAY(SELECT CASE WHEN g BETWEEN 60 AND 66 THEN NULL WHEN g = 20 THEN 7300 ELSE g % 7 + 10 END
		FROM generate_series(1, 144) AS g)
FROM generate_series(200000 + $first, 200000 + $last) AS d
ON CONFLICT (side, name) DO UPDATE SET slot = excluded.slot, lags = excluded.lags;
INSERT INTO exact.app_state (app, state, since) VALUES ('erp', 'authorized', now())
ON CONFLICT (app) DO UPDATE SET state = 'authorized';
SQL
	return;
}

sub page { return body_of(get($port, $_[0], headers => ["Authorization: Bearer $token"])); }
sub is_small
{
	my ($what, $path, $pattern) = @_;
	my $body = '';

	ok(eval { wait_until($what, sub { $body = page($path); $body =~ $pattern }) }, "$what: is shown") or diag $body;
	cmp_ok(length $body, '<=', 50_000, "$what: 50 kB at most");
	unlike($body, qr/<script|javascript:|\son\w+=|style=/i, "$what: nothing in it runs or asks for a style of its own");
	return $body;
}

# ---- 50 divisions ----
divisions(1, 49);
value('UPDATE exact.division SET workspace = NULL WHERE division IN (200002, 200003)');
value("UPDATE exact.division_state SET state = 'paused', reason = 'paused by somebody' WHERE division = 200004");
is(status_of(post($port, notification(key => 'the-key-of-an-item'))), 200, 'a notification');
my $body = is_small('50 divisions', '/status', qr/200049/);
is(scalar(() = $body =~ /<tr><td class="light [a-z]+">[a-z]+<\/td><td>\d{6} /g), 50, 'each of them has its row');
like($body, qr/<title>postgres on main: status, /, 'hub and database are in the title');
like($body, qr/&amp; &lt;Zonen&gt;/, 'names are escaped');
is(scalar(() = $body =~ /aria-label="24 hours, highest 2 h"/g), 49, 'and each its line of 24 hours');
like($body, qr/50 %<progress value="0.500">/, 'a first load');
like($body, qr/490 of 5000<meter value="490" max="5000" low="1500" optimum="5000">/, 'calls that are left');
like($body, qr/As of <span class="n">[-\d]+ [:\d]+ UTC<\/span>, like all times here/, 'and whose times they are');
value("INSERT INTO exact.light_log (side, name, division, light, state, what) VALUES "
	. "('table', 'lake.items', 200005, 'warn', 'late', 'behind: a test')");
like(is_small('an event', '/status', qr/behind: a test/),
	qr/<td class="n soft" data-l="UTC">[-\d]+ [:\d]+<\/td><td class="light warn">warn<\/td><td data-l="division">2/,
	'an event says its light in a word, and the zone of its time where the headings are not shown');
is_small('notifications', '/deliveries', qr/the-key-of-an-item/);
my $long = 'k' x 199;
is(status_of(post($port, notification(key => "$_$long"))), 200, 'one with a long name') foreach 1 .. 3;
is_small('long names', '/deliveries', qr/>3k{63}</);
my $root = get($port, '/');
is(status_of($root), 303, '/ leads on');
is(header_of($root, 'Location'), 'status', 'to the page');
is(status_of(get($port, '/deliveries')), 401, 'which only who has the token sees');

# ---- in a browser ----
SKIP:
{
	skip 'no Chromium is on this machine: apt-get install chromium', 1 unless Browser::program();
	my $browser = Browser->start(PostgreSQL::Test::Utils::tempdir());
	my $contrast = <<'JS';
(() => {
	const light = c => { const [r, g, b] = c.match(/\d+/g).slice(0, 3).map(v => { v /= 255;
		return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
		return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const ground = light(getComputedStyle(document.body).backgroundColor);
	let least = 21;
	for (const e of document.querySelectorAll('h1,h2,p,th,td,li,li div,td i,a')) {
		const l = light(getComputedStyle(e).color);
		least = Math.min(least, (Math.max(l, ground) + 0.05) / (Math.min(l, ground) + 0.05));
	}
	return least;
})()
JS
	foreach my $path ('/status', '/deliveries')
	{
		foreach my $width (1280, 390)
		{
			foreach my $dark (0, 1)
			{
				my $name = "$path, $width wide, " . ($dark ? 'dark' : 'light');

				$browser->open_page("http://127.0.0.1:$port$path", $width, dark => $dark,
					headers => { Authorization => "Bearer $token" });
				is(join('; ', $browser->complaints), '', "$name: it complains of nothing");
				cmp_ok($browser->value('document.documentElement.scrollWidth'), '<=', $width,
					"$name: nothing is wider than the screen");
				is($browser->value("Array.from(document.querySelectorAll('td')).filter(e => e.scrollWidth > "
					. 'e.clientWidth + 1 && e.clientWidth > 0).length'), 0, "$name: no cell is cut");
				is($browser->value("getComputedStyle(document.querySelector('tbody tr')).display"),
					$width < 600 ? 'block' : 'table-row', "$name: a row is " . ($width < 600 ? 'a card' : 'a row'));
				is($browser->value("document.scripts.length"), 0, "$name: no script");
				cmp_ok($browser->value($contrast), '>=', 4.5, "$name: every word can be read");
				is($browser->value("getComputedStyle(document.body).backgroundColor"),
					$dark ? 'rgb(22, 24, 28)' : 'rgb(255, 255, 255)', "$name: its ground");
				$browser->picture("$ENV{EXACT_TEST_PICTURES}/" . ($path =~ s/\W//gr) . "_${width}_$dark.png")
					if $ENV{EXACT_TEST_PICTURES};
				next if $path ne '/status';
				# the division of Listener.pm may have one by now
				cmp_ok($browser->value("Array.from(document.querySelectorAll('svg path')).filter(e => "
					. 'e.getBBox().height > 10).length'), '>=', 49, "$name: the lines are drawn");
			}
		}
	}
	$browser->stop;
}

# ---- what differs by the division's own number alone is told once ----
my $parked = 'WHERE division BETWEEN 200010 AND 200019';
value("UPDATE exact.division_state SET state = 'parked', reason = 'Exact refuses division ' || division $parked");
$body = is_small('ten that are refused', '/status', qr/<strong>10 divisions<\/strong>/);
like($body, qr/<b class="fail">fail<\/b> <strong>10 divisions<\/strong><div>Exact refuses division \.\.\. /,
	'with a word for its colour, and without a number');
value("UPDATE exact.division_state SET state = 'ok', reason = NULL $parked");

# ---- five of those that are off are shown, the others are counted ----
my $off = 'WHERE division BETWEEN 200020 AND 200039';
value("UPDATE exact.division SET enabled = false $off");
$body = is_small('twenty that are off', '/status', qr/\d+ more, none worse/);
is(scalar(() = $body =~ /<tr><td class="light off">/g), 5, 'five of them');
is(($body =~ /(\d+) more, none worse/)[0], value("SELECT count(*) - 5 FROM exact.status WHERE light = 'off'"),
	'the others are counted');
value("UPDATE exact.division SET enabled = true $off");

# ---- 500 divisions: what is worst comes first, what does not fit is counted ----
divisions(50, 499);
$body = is_small('500 divisions', '/status', qr/\d{3} more, none worse/);
like($body, qr/<strong>200004 S.*?paused by somebody/s, 'who needs a person is there');
my ($more) = $body =~ /(\d+) more, none worse/;
my @lights = $body =~ /<tr><td class="light ([a-z]+)">[a-z]+<\/td><td>\d{6} /g;
is(@lights + $more, 500, 'all are shown or counted');
my %rank = (fail => 0, warn => 1, ok => 2, off => 3);
is(join(' ', @lights), join(' ', sort { $rank{$a} <=> $rank{$b} } @lights), 'the worst are first');
value("UPDATE exact.app_state SET state = 'reauthorize', reason = 'the refresh token was used already', since = now()");
$body = is_small('500 divisions without an authorisation', '/status', qr/<strong>500 divisions<\/strong>/);
is(scalar(() = $body =~ /<li/g), 1, 'one cause is told once');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|segfault|signal 11/, 'no crash');
done_testing();

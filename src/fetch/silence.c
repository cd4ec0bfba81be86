/*
 * silence.c - topics that have fallen silent.
 *
 * Silent is a topic whose last notification is older than three times its usual gap (95 of 100
 * gaps were shorter) and older than ten minutes. Notifications may have been lost: its feeds run.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/sql.h"
#include "fetch/lane.h"
#include "fetch/silence.h"
#include "state/audit.h"
#include "state/feed_state.h"
#include "worker/self.h"
#include "worker/unit.h"

#define LOOK_MS 60000
#define MOST 64					/* topics in one look */

typedef struct Silent
{
	int			division;
	char		topic[NAMEDATALEN];
	int			seconds;
	int			usual;
} Silent;

typedef struct Silence
{
	int			n;
	Silent		topics[MOST];
} Silence;

static TimestampTz look_at;

/*
 * Finds the topics that have been silent for much longer than they usually are, has their feeds
 * read and records it.
 */
static void
silence_unit(void *arg)
{
	static const char sql[] =
	"WITH silent AS ("
	"  SELECT s.division, s.topic, u.gap"
	"  FROM exact.subscription s,"
	"   LATERAL (SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY g) AS gap"
	"    FROM unnest(s.gaps) g) u"
	"  WHERE s.state = 'present'"
	"  AND s.silent_since IS NULL"
	"  AND cardinality(s.gaps) >= 10"
	"  AND now() - s.last_at > greatest(3 * u.gap, 600) * interval '1 s'"
	"  LIMIT $1"
	"  FOR UPDATE OF s SKIP LOCKED)"
	" UPDATE exact.subscription s SET silent_since = s.last_at"
	" FROM silent u"
	" WHERE u.division = s.division AND u.topic = s.topic"
	" RETURNING s.division, s.topic, extract(epoch FROM now() - s.last_at)::int, u.gap::int";
	Silence    *silence = arg;
	ExactArg	most = exact_arg_int4(MOST);

	silence->n = (int) exact_sql(sql, 1, &most);
	for (int i = 0; i < silence->n; i++)
	{
		Silent	   *silent = &silence->topics[i];

		silent->division = (int) exact_cell_int8(i, 1, 0);
		strlcpy(silent->topic, exact_cell_text(i, 2), sizeof(silent->topic));
		silent->seconds = (int) exact_cell_int8(i, 3, 0);
		silent->usual = (int) exact_cell_int8(i, 4, 0);
	}
	for (int i = 0; i < silence->n; i++)
	{
		const Silent *silent = &silence->topics[i];

		exact_feed_state_request_topic(silent->division, silent->topic);
		exact_audit_silent(silent->division, silent->topic, silent->seconds, silent->usual);
	}
}

/* True when there may be more. */
static bool
look_for_silence(void)
{
	Silence    *silence = palloc0(sizeof(Silence));
	bool		more;

	if (exact_unit_run("look for silent topics", silence_unit, silence, NULL) && silence->n > 0)
	{
		for (int i = 0; i < silence->n; i++)
			exact_log(LOG, "alarm division=%d topic=%s silent_s=%d usual_s=%d "
					  "reason=\"no notification for longer than usual\": its feeds run",
					  silence->topics[i].division, silence->topics[i].topic,
					  silence->topics[i].seconds, silence->topics[i].usual);
		exact_lane_want_plan();
	}
	more = silence->n == MOST;
	pfree(silence);
	return more;
}

long
exact_silence_turn(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (look_at <= now)
		look_at = look_for_silence() ? now : now + LOOK_MS * INT64CONST(1000);
	return exact_clock_wait_ms(look_at);
}

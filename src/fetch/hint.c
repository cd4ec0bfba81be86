/*
 * hint.c - what notifications say.
 *
 * A notification is a hint, never data. Taken from exact.inbox, it asks the feed of its topic to
 * run, or, where an entity has no row versions, makes its key dirty; a delete is looked up over
 * all entities of its topic and confirmed by a keyed read: exact._take_notifications(). Each
 * division and topic is taken in transactions of its own, and rows that somebody holds are passed
 * over, so that nobody's open transaction delays others.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/sql.h"
#include "fetch/deletes.h"
#include "fetch/hint.h"
#include "fetch/lane.h"
#include "state/feed_state.h"
#include "worker/self.h"
#include "worker/unit.h"

#define TAKE_AGAIN_MS 250		/* a burst is taken in portions */
#define HELD_AGAIN_MS 2000		/* rows of a topic are held by somebody */
/* of a topic at a time: a flood of one delays neither others nor the listener */
#define MOST_TAKEN 1000
#define MAX_TOPICS 64

typedef struct Topic
{
	int			division;
	char		name[NAMEDATALEN];
} Topic;

typedef struct Topics
{
	Topic		after;			/* the last one of the turn before, when there were more */
	int			n;
	Topic		topics[MAX_TOPICS];
} Topics;

static TimestampTz take_at;

/* Which have something waiting; a step from queue to queue, however long they are. */
static void
topics_unit(void *arg)
{
	static const char sql[] =
	"WITH RECURSIVE t AS ("
	"  (SELECT division, topic"
	"   FROM exact.inbox_work"
	"   WHERE taken_at IS NULL AND (division, topic) > ($1, $2)"
	"   ORDER BY division, topic LIMIT 1)"
	"  UNION ALL"
	"  SELECT n.*"
	"  FROM t CROSS JOIN LATERAL"
	"   (SELECT w.division, w.topic"
	"    FROM exact.inbox_work w"
	"    WHERE w.taken_at IS NULL AND (w.division, w.topic) > (t.division, t.topic)"
	"    ORDER BY w.division, w.topic LIMIT 1) n)"
	" SELECT division, topic FROM t LIMIT $3";
	Topics	   *found = arg;
	ExactArg	args[3];
	int			level = exact_sql_index_nest_level();

	args[0] = exact_arg_int4(found->after.division);
	args[1] = exact_arg_text(found->after.name);
	args[2] = exact_arg_int4(MAX_TOPICS);
	found->n = (int) exact_sql(sql, 3, args);
	for (int i = 0; i < found->n; i++)
	{
		char	   *name = exact_cell_text(i, 2);

		found->topics[i].division = (int) exact_cell_int8(i, 1, 0);
		strlcpy(found->topics[i].name, name ? name : "", NAMEDATALEN);
	}
	AtEOXact_GUC(true, level);
}

typedef struct Taking
{
	MemoryContext context;
	const Topic *topic;
	bool		held;			/* somebody holds the state of one of its feeds */
	int			taken;
	bool		keys;			/* keys became dirty */
	bool		log;			/* deletes: the log of deletes is to run */
	int			nfeeds;			/* that are to run */
	char	  **feeds;
	TimestampTz first;
	TimestampTz last;
} Taking;

/* The feeds of the topic, all of them free to be changed? */
static void
read_feeds(Taking *t)
{
	static const char feeds_sql[] =
	"SELECT DISTINCT f.feed"
	" FROM exact._enabled_feed f"
	" WHERE f.division = $1 AND f.division_enabled AND f.method = 'sync' AND $2 = ANY (f.topics)";
	static const char free_sql[] =
	"WITH free AS ("
	"  SELECT FROM exact.feed_state"
	"  WHERE division = $1 AND feed = ANY ($2::text[])"
	"  FOR UPDATE SKIP LOCKED)"
	" SELECT count(*) = (SELECT count(*) FROM free)"
	" FROM exact.feed_state"
	" WHERE division = $1 AND feed = ANY ($2::text[])";
	ExactArg	args[2];
	MemoryContext old;

	args[0] = exact_arg_int4(t->topic->division);
	args[1] = exact_arg_text(t->topic->name);
	t->nfeeds = (int) exact_sql(feeds_sql, 2, args);
	old = MemoryContextSwitchTo(t->context);
	t->feeds = palloc((t->nfeeds + 1) * sizeof(char *));
	for (int i = 0; i < t->nfeeds; i++)
		t->feeds[i] = exact_cell_text(i, 1);
	MemoryContextSwitchTo(old);
	args[1] = exact_arg_text_array((const char *const *) t->feeds, NULL, t->nfeeds);
	exact_sql(free_sql, 2, args);
	t->held = !exact_cell_bool(0, 1, false);
}

/*
 * The topic was heard: how long it is usually silent is measured from one notification to the
 * next.
 */
static void
save_heard(const Topic *topic, TimestampTz heard)
{
	static const char sql[] =
	"UPDATE exact.subscription s"
	" SET last_at = $3,"
	"  silent_since = NULL,"
	"  gaps = CASE WHEN $3 - s.last_at >= interval '5 s'"
	"   THEN (ARRAY[extract(epoch FROM $3 - s.last_at)::real] || s.gaps)[1:50]"
	"   ELSE s.gaps END"
	" FROM (SELECT division, topic"
	"  FROM exact.subscription"
	"  WHERE division = $1 AND topic = $2"
	"  FOR UPDATE SKIP LOCKED) w"
	" WHERE s.division = w.division AND s.topic = w.topic"
	" AND (s.last_at IS NULL OR s.last_at < $3)";
	ExactArg	args[3];

	args[0] = exact_arg_int4(topic->division);
	args[1] = exact_arg_text(topic->name);
	args[2] = exact_arg_time(heard);
	exact_sql(sql, 3, args);
}

/*
 * Takes the notifications that wait of one topic, unless one of its feeds is held, and notes which
 * feeds are to run for them.
 */
static void
take_unit(void *arg)
{
	static const char take_sql[] =
	"SELECT t.taken, t.runs, t.first_at, t.last_at, t.dirty, t.heard_at, t.hints"
	" FROM exact._take_notifications($1, $2, $3) t";
	Taking	   *t = arg;
	ExactArg	args[3];
	const ExactLane *lane = exact_lane_find(t->topic->division);
	TimestampTz heard;
	int64		runs,
				hints;
	int			level;

	t->taken = 0;
	t->keys = t->log = false;
	read_feeds(t);
	if (t->held)
		return;
	args[0] = exact_arg_int4(t->topic->division);
	args[1] = exact_arg_text(t->topic->name);
	args[2] = exact_arg_int4(MOST_TAKEN);
	level = exact_sql_index_nest_level();
	exact_sql(take_sql, 3, args);
	AtEOXact_GUC(true, level);
	t->taken = (int) exact_cell_int8(0, 1, 0);
	runs = exact_cell_int8(0, 2, 0);
	if (runs == 0)
		t->nfeeds = 0;			/* deletes are confirmed by their keys */
	t->first = exact_cell_time(0, 3, 0);
	t->last = exact_cell_time(0, 4, 0);
	t->keys = exact_cell_int8(0, 5, 0) > 0;
	heard = exact_cell_time(0, 6, 0);
	hints = exact_cell_int8(0, 7, 0);
	if (t->nfeeds > 0)
		exact_feed_state_notify(t->topic->division, t->feeds, t->nfeeds, t->first, t->last);
	if (hints > runs && lane != NULL)
		t->log = exact_deletes_want_log(lane, t->first, t->last);
	if (hints > 0)
		save_heard(t->topic, heard);
}

/*
 * Takes what waits of one topic; false when somebody holds what would be changed, or nothing
 * waits.
 */
static bool
take_topic(const Topic *topic)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "exact hints",
												  ALLOCSET_SMALL_SIZES);
	ExactLane  *lane = exact_lane_find(topic->division);
	Taking		t = {.context = context,.topic = topic};
	bool		ok;

	ok = exact_unit_run("take notifications", take_unit, &t, NULL) && !t.held && t.taken > 0;
	if (ok)
	{
		for (int i = 0; i < t.nfeeds; i++)
			exact_lane_notified(topic->division, t.feeds[i], t.first, t.last);
		if (t.log)
			exact_deletes_log_wanted(lane, t.first, t.last);
		if (t.keys && lane != NULL)
			lane->keys_at = 0;
		exact_log(LOG, "notified division=%d topic=%s n=%d", topic->division, topic->name, t.taken);
	}
	MemoryContextDelete(context);
	return ok;
}

/*
 * Takes a portion of each topic that waits; returns when to take the next. PG_INT64_MAX: when
 * woken, since a look over all topics from the first one on found nothing.
 */
static TimestampTz
take_topics(void)
{
	static Topics found;
	bool		looked = exact_unit_run("look for notifications", topics_unit, &found, NULL);
	bool		from_first = found.after.division == 0;
	bool		taken = false;

	if (!looked)
		found.n = 0;
	for (int i = 0; i < found.n; i++)
		taken = take_topic(&found.topics[i]) || taken;
	memset(&found.after, 0, sizeof(Topic));
	if (found.n == MAX_TOPICS)
		found.after = found.topics[MAX_TOPICS - 1];
	if (found.n == 0 && looked)
		return from_first ? PG_INT64_MAX : 0;
	return GetCurrentTimestamp() + (taken ? TAKE_AGAIN_MS : HELD_AGAIN_MS) * INT64CONST(1000);
}

long
exact_hint_turn(bool notified)
{
	if (notified && take_at == PG_INT64_MAX)
		take_at = 0;
	if (take_at <= GetCurrentTimestamp())
		take_at = take_topics();
	return exact_clock_wait_ms(take_at);
}

/*
 * hint.c - what notifications say.
 *
 * A notification is a hint, never data. Taken from exact.inbox, it asks the feed of its topic to run, or, where an entity has no row
 * versions, makes its key dirty; a delete is looked up over all entities of its topic and confirmed by a keyed read. Each division and
 * topic is taken in transactions of its own, and rows that somebody holds are passed over, so that nobody's open transaction
 * delays others. A topic that is silent for longer than it usually is raises an alarm and its feeds run.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/sql.h"
#include "fetch/hint.h"
#include "fetch/plan.h"
#include "fetch/stage.h"
#include "worker/self.h"
#include "worker/unit.h"

#define TAKE_AGAIN_MS 250		/* a burst is taken in portions */
#define HELD_AGAIN_MS 2000		/* rows of a topic are held by somebody */
#define SILENCE_MS 60000
#define MAX_TOPICS 64
/* what every topic's keys are; another one in a filter makes the service refuse all keys of a read */
#define GUID "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"

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
static TimestampTz silence_at;

/* Which have something waiting; a step from queue to queue, however long they are. */
static void
topics_unit(void *arg)
{
	static const char sql[] =
	"WITH RECURSIVE t AS ((SELECT division, topic FROM exact.inbox_work WHERE taken_at IS NULL AND (division, topic) > ($1, $2) ORDER BY division, topic LIMIT 1) "
	"UNION ALL SELECT n.* FROM t CROSS JOIN LATERAL (SELECT w.division, w.topic FROM exact.inbox_work w WHERE w.taken_at IS NULL AND (w.division, w.topic) > (t.division, t.topic) "
	"  ORDER BY w.division, w.topic LIMIT 1) n) SELECT division, topic FROM t LIMIT 64";
	Topics	   *found = arg;
	ExactArg	after[2] = {exact_arg_int4(found->after.division), exact_arg_text(found->after.name)};
	int			level = exact_sql_index_nest_level();

	found->n = (int) exact_sql(sql, 2, after);
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
	int			nfeeds;			/* that are to run */
	char	  **feeds;
	TimestampTz first;
	TimestampTz last;
} Taking;

/* The feeds of the topic, all of them free to be changed? */
static void
read_feeds(Taking *t, ExactArg *args)
{
	static const char feeds_sql[] =
	"SELECT DISTINCT e.feed FROM exact.feed f JOIN exact.division d ON d.division = f.division AND d.enabled "
	"JOIN exact.entity_effective e ON e.entity = f.entity "
	"WHERE f.division = $1 AND f.enabled AND e.method = 'sync' AND $2 = ANY (string_to_array(e.topic, '|'))";
	static const char free_sql[] =
	"SELECT (SELECT count(*) FROM exact.feed_state WHERE division = $1 AND feed = ANY ($3::text[])) = "
	"  (SELECT count(*) FROM (SELECT FROM exact.feed_state WHERE division = $1 AND feed = ANY ($3::text[]) FOR UPDATE SKIP LOCKED) s) AND $2::text IS NOT NULL";
	MemoryContext old;

	t->nfeeds = (int) exact_sql(feeds_sql, 2, args);
	old = MemoryContextSwitchTo(t->context);
	t->feeds = palloc((t->nfeeds + 1) * sizeof(char *));
	for (int i = 0; i < t->nfeeds; i++)
		t->feeds[i] = exact_cell_text(i, 1);
	MemoryContextSwitchTo(old);
	args[2] = exact_arg_text_array((const char *const *) t->feeds, NULL, t->nfeeds);
	exact_sql(free_sql, 3, args);
	t->held = !exact_cell_bool(0, 1, false);
}

static void
take_unit(void *arg)
{
	/* a second one of the same content came at the same time as the first, so that neither saw the other */
	static const char take_sql[] =
	"WITH waiting AS MATERIALIZED (SELECT id FROM exact.inbox_work WHERE taken_at IS NULL AND division = $1 AND topic = $2 ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED), "
	"picked AS MATERIALIZED (SELECT w.id, i.at, i.action, i.key, i.app, EXISTS (SELECT FROM exact.inbox o JOIN exact.inbox_work x ON x.id = o.id "
	"    WHERE o.digest = i.digest AND o.id <> i.id AND (o.id < i.id OR x.taken_at IS NOT NULL) AND o.at > i.at - interval '7 days' AND (o.event_at IS NOT NULL OR x.taken_at IS NULL)) AS repeated "
	"  FROM waiting w LEFT JOIN exact.inbox i ON i.id = w.id), "
	"judged AS MATERIALIZED (SELECT p.*, CASE WHEN at IS NULL THEN 'what it said was deleted' WHEN repeated THEN 'repeat of an earlier one' "
	"    WHEN NOT EXISTS (SELECT FROM exact.division d WHERE d.division = $1 AND d.enabled AND d.app = p.app) THEN 'its division is not read with this app' "
	"    WHEN NOT EXISTS (SELECT FROM exact.feed f JOIN exact.entity_effective e ON e.entity = f.entity WHERE f.division = $1 AND f.enabled AND $2 = ANY (string_to_array(e.topic, '|'))) "
	"      THEN 'no entity of its topic is enabled' "
	"    WHEN key !~ " GUID " AND NOT EXISTS (SELECT FROM exact.feed f JOIN exact.entity_effective e ON e.entity = f.entity WHERE f.division = $1 AND f.enabled AND e.method = 'sync' AND $2 = ANY (string_to_array(e.topic, '|'))) "
	"      THEN 'its key cannot be one of its topic' END AS why FROM picked p), "
	"taken AS (UPDATE exact.inbox_work i SET taken_at = clock_timestamp(), reason = j.why FROM judged j WHERE i.id = j.id), "
	"hints AS MATERIALIZED (SELECT key, action, max(least(at, clock_timestamp())) AS at FROM judged WHERE why IS NULL AND key ~ " GUID " GROUP BY key, action), "
	"entities AS (SELECT e.* FROM exact.entity_effective e WHERE $2 = ANY (string_to_array(e.topic, '|')) "
	"  AND EXISTS (SELECT FROM exact.feed f JOIN exact.entity_effective x ON x.entity = f.entity WHERE f.division = $1 AND f.enabled AND x.feed = e.feed)), "
	"documents AS (SELECT e.entity, coalesce((SELECT r.parent FROM entities l JOIN exact.record r ON r.division = $1 AND r.entity = l.entity AND r.key = h.key "
	"    WHERE l.feed = e.feed AND l.row_kind = 'line' AND r.parent IS NOT NULL LIMIT 1), h.key) AS key, max(h.at) AS at, 'notified' AS reason "
	"  FROM hints h, entities e WHERE e.method <> 'sync' AND e.row_kind IS DISTINCT FROM 'line' GROUP BY 1, 2), "
	"gone AS (SELECT e.entity, h.key, h.at, 'confirm' FROM hints h JOIN entities e ON e.method = 'sync' AND e.plain_key IS NOT NULL AND e.plain_resource IS NOT NULL "
	"  JOIN exact.record r ON r.division = $1 AND r.entity = e.entity AND r.key = h.key AND NOT r.deleted WHERE h.action = 'Delete'), "
	"dirty AS (INSERT INTO exact.dirty_key AS d (division, entity, key, since, reason) SELECT $1, * FROM (SELECT * FROM documents UNION ALL SELECT * FROM gone) k "
	"  ON CONFLICT (division, entity, key) DO UPDATE SET since = greatest(least(d.since, clock_timestamp()), excluded.since), "
	"    first_at = CASE WHEN excluded.since > d.since THEN least(d.first_at, d.since, excluded.since) ELSE d.first_at END, "
	"    reason = CASE WHEN excluded.reason = 'notified' AND d.reason NOT IN ('notified', '" EXACT_STAGE_FIRST_LOAD "') THEN d.reason ELSE excluded.reason END RETURNING 1) "
	"SELECT count(*), count(*) FILTER (WHERE why IS NULL AND action IS DISTINCT FROM 'Delete'), min(least(at, clock_timestamp())) FILTER (WHERE why IS NULL), max(least(at, clock_timestamp())) FILTER (WHERE why IS NULL), "
	"  (SELECT count(*) FROM dirty), max(at), count(*) FILTER (WHERE why IS NULL) FROM judged";
	static const char notify_sql[] =
	"INSERT INTO exact.feed_state AS s (division, feed, notified_first, notified_last) SELECT $1, f, $4, $5 FROM unnest($3::text[]) f WHERE $2::text IS NOT NULL "
	"ON CONFLICT (division, feed) DO UPDATE SET notified_first = least(s.notified_first, excluded.notified_first), notified_last = greatest(s.notified_last, excluded.notified_last)";
	static const char heard_sql[] =
	"UPDATE exact.subscription s SET last_at = $3, silent_since = NULL, "
	"  gaps = CASE WHEN $3 - s.last_at >= interval '5 s' THEN (ARRAY[extract(epoch FROM $3 - s.last_at)::real] || s.gaps)[1:50] ELSE s.gaps END "
	"FROM (SELECT division, topic FROM exact.subscription WHERE division = $1 AND topic = $2 FOR UPDATE SKIP LOCKED) w "
	"WHERE s.division = w.division AND s.topic = w.topic AND (s.last_at IS NULL OR s.last_at < $3)";
	Taking	   *t = arg;
	ExactArg	args[5];
	TimestampTz heard;
	bool		run;
	bool		any;
	int			level;

	args[0] = exact_arg_int4(t->topic->division);
	args[1] = exact_arg_text(t->topic->name);
	t->taken = 0;
	t->keys = false;
	read_feeds(t, args);
	if (t->held)
		return;
	level = exact_sql_index_nest_level();
	exact_sql(take_sql, 2, args);
	AtEOXact_GUC(true, level);
	t->taken = (int) exact_cell_int8(0, 1, 0);
	run = exact_cell_int8(0, 2, 0) > 0;
	t->first = exact_cell_time(0, 3, 0);
	t->last = exact_cell_time(0, 4, 0);
	t->keys = exact_cell_int8(0, 5, 0) > 0;
	heard = exact_cell_time(0, 6, 0);
	any = exact_cell_int8(0, 7, 0) > 0;
	if (!run)
		t->nfeeds = 0;			/* deletes are confirmed by their keys */
	if (t->nfeeds > 0)
	{
		args[3] = exact_arg_time(t->first);
		args[4] = exact_arg_time(t->last);
		exact_sql(notify_sql, 5, args);
	}
	if (any)
	{
		args[2] = exact_arg_time(heard);
		exact_sql(heard_sql, 3, args);
	}
}

/*
 * Takes at most 1,000 of one topic, so that a flood of one delays neither the others nor the listener; false when somebody holds what
 * would be changed.
 */
static bool
take_topic(const Topic *topic)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "exact hints", ALLOCSET_SMALL_SIZES);
	ExactLane  *lane = exact_plan_lane(topic->division);
	Taking		t = {.context = context,.topic = topic};
	bool		ok = exact_unit_run("take notifications", take_unit, &t, NULL) && !t.held && t.taken > 0;

	if (ok)
	{
		for (int i = 0; i < t.nfeeds; i++)
			exact_plan_notified(topic->division, t.feeds[i], t.first, t.last);
		if (t.keys && lane != NULL)
			lane->keys_at = 0;
		exact_log(LOG, "notified division=%d topic=%s n=%d", topic->division, topic->name, t.taken);
	}
	MemoryContextDelete(context);
	return ok;
}

typedef struct Silence
{
	int			n;
	Topic		topics[MAX_TOPICS];
	int			seconds[MAX_TOPICS];
	int			usual[MAX_TOPICS];
} Silence;

static void
silence_unit(void *arg)
{
	static const char sql[] =
	"WITH silent AS (SELECT s.division, s.topic, u.gap "
	"  FROM exact.subscription s, LATERAL (SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY g) AS gap FROM unnest(s.gaps) g) u "
	"  WHERE s.state = 'present' AND s.silent_since IS NULL AND cardinality(s.gaps) >= 10 AND now() - s.last_at > greatest(3 * u.gap, 600) * interval '1 s' "
	"  LIMIT 64 FOR UPDATE OF s SKIP LOCKED) "
	"UPDATE exact.subscription s SET silent_since = s.last_at FROM silent u WHERE u.division = s.division AND u.topic = s.topic "
	"RETURNING s.division, s.topic, extract(epoch FROM now() - s.last_at)::int, u.gap::int";
	static const char run_sql[] =
	"UPDATE exact.feed_state SET requested = true WHERE division = $1 AND feed IN (SELECT e.feed FROM exact.entity_effective e WHERE $2 = ANY (string_to_array(e.topic, '|')))";
	static const char audit_sql[] =
	"SELECT exact._audit('fetcher', 'notification', $1, NULL, jsonb_build_object('silent', $2::text, 'seconds', $3::int, 'usual', $4::int))";
	Silence    *silence = arg;

	uint64		n = exact_sql(sql, 0, NULL);

	silence->n = (int) n;		/* MAX_TOPICS at most */
	for (int i = 0; i < silence->n; i++)
	{
		silence->topics[i].division = (int) exact_cell_int8(i, 1, 0);
		strlcpy(silence->topics[i].name, exact_cell_text(i, 2), NAMEDATALEN);
		silence->seconds[i] = (int) exact_cell_int8(i, 3, 0);
		silence->usual[i] = (int) exact_cell_int8(i, 4, 0);
	}
	for (int i = 0; i < silence->n; i++)
	{
		ExactArg	args[4];

		args[0] = exact_arg_int4(silence->topics[i].division);
		args[1] = exact_arg_text(silence->topics[i].name);
		args[2] = exact_arg_int4(silence->seconds[i]);
		args[3] = exact_arg_int4(silence->usual[i]);
		exact_sql(run_sql, 2, args);
		exact_sql(audit_sql, 4, args);
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
			exact_log(LOG, "alarm division=%d topic=%s silent_s=%d usual_s=%d reason=\"no notification for longer than usual\": its feeds run",
					  silence->topics[i].division, silence->topics[i].name, silence->seconds[i], silence->usual[i]);
		exact_plan_want();
	}
	more = silence->n == MAX_TOPICS;
	pfree(silence);
	return more;
}

long
exact_hint_turn(bool woken)
{
	TimestampTz now = GetCurrentTimestamp();

	if (woken && take_at == PG_INT64_MAX)
		take_at = now;
	if (take_at <= now)
	{
		static Topics found;
		bool		looked = exact_unit_run("look for notifications", topics_unit, &found, NULL);
		bool		begun = found.after.division == 0;
		bool		taken = false;

		if (!looked)
			found.n = 0;
		for (int i = 0; i < found.n; i++)
			taken = take_topic(&found.topics[i]) || taken;
		memset(&found.after, 0, sizeof(Topic));
		if (found.n == MAX_TOPICS)
			found.after = found.topics[MAX_TOPICS - 1];
		if (found.n == 0 && looked)
			take_at = begun ? PG_INT64_MAX : now;
		else
			take_at = GetCurrentTimestamp() + (taken ? TAKE_AGAIN_MS : HELD_AGAIN_MS) * INT64CONST(1000);
	}
	if (silence_at <= now)
	{
		silence_at = look_for_silence() ? now : now + SILENCE_MS * INT64CONST(1000);
	}
	return (long) (Max(Min(take_at, silence_at) - GetCurrentTimestamp(), 0) / 1000 + 1);
}

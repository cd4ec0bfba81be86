/*
 * subscription_store.c - wanted topics and their rows in exact.subscription, and requests of
 * exact.subscribe().
 *
 * Read when the fetcher is woken; an upkeep that runs keeps what it has until it ends. The list of
 * Exact Online, not these rows, decides what exists: the rows say what was found and when to try
 * again. A row that somebody holds locked is left as it is and written after the next look: no
 * user's transaction keeps the fetcher waiting.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/sql.h"
#include "fetch/lane.h"
#include "http/url.h"
#include "state/audit.h"
#include "state/request.h"
#include "subscription/reach.h"
#include "subscription/subscription_store.h"
#include "subscription/upkeep.h"
#include "worker/unit.h"

#define READ_PAUSE_US USECS_PER_SEC	/* between two readings of rows and requests */

typedef struct Request
{
	int64		id;
	int			division;		/* 0 = all */
	TimestampTz started_at;
} Request;

static ExactUpkeep **upkeeps;
static int	nupkeeps;
static int	capacity;
static MemoryContext request_context;
static Request *requests;
static int	nrequests;
static bool reach_loaded;
static bool read_due = true;
static TimestampTz read_not_before;

void
exact_subscription_store_want(void)
{
	read_due = true;
}

long
exact_subscription_store_wait(void)
{
	return read_due ? exact_clock_wait_ms(read_not_before) : -1;
}

int
exact_subscription_store_all(ExactUpkeep ***out)
{
	*out = upkeeps;
	return nupkeeps;
}

static ExactUpkeep *
upkeep_of(int division)
{
	ExactUpkeep *u;

	for (int i = 0; i < nupkeeps; i++)
		if (upkeeps[i]->division == division)
			return upkeeps[i];
	if (nupkeeps == capacity)
	{
		capacity = capacity ? capacity * 2 : 16;
		upkeeps = upkeeps ? repalloc(upkeeps, capacity * sizeof(ExactUpkeep *))
			: MemoryContextAlloc(TopMemoryContext, capacity * sizeof(ExactUpkeep *));
	}
	u = MemoryContextAllocZero(TopMemoryContext, sizeof(ExactUpkeep));
	u->context = AllocSetContextCreate(TopMemoryContext, "exact subscriptions",
									   ALLOCSET_SMALL_SIZES);
	u->division = division;
	upkeeps[nupkeeps++] = u;
	return u;
}

static const char *
state_constant(const char *text)
{
	static const char *const states[] = {"wanted", "present", "foreign", "refused"};

	for (size_t i = 0; i < lengthof(states); i++)
		if (strcmp(states[i], text) == 0)
			return states[i];
	return states[0];
}

static void
no_callback(ExactUpkeep *u, const char *cause, const char *reason, const char *next_step)
{
	u->cause = cause;
	u->reason = reason;
	u->next_step = next_step;
}

/* Can notifications be sent to the address of this division? Else u says why not. */
static void
check_callback(ExactUpkeep *u)
{
	char	   *why;

	if (pg_strncasecmp(u->callback_url, "https://", 8) != 0 &&
		!exact_url_allowed(u->callback_url, &why))
		no_callback(u, "address",
					psprintf("%s cannot be used: Exact Online calls https:// only",
							 u->callback_url),
					"give exact_databricks.public_url or exact.app.callback_url "
					"an https:// address");
	else if (!u->has_secret)
		no_callback(u, "secret",
					psprintf("app %s has no webhook secret to verify notifications with", u->app),
					psprintf("put it into the file app.%s.webhook_secret; "
							 "SELECT * FROM exact.import_secrets()", u->app));
}

/* Where notifications of this division are to go, or why that is not known. */
static void
choose_callback(ExactUpkeep *u, const char *of_app)
{
	bool		own = of_app == NULL || of_app[0] == '\0';

	u->callback_url = NULL;
	u->reach = NULL;
	no_callback(u, NULL, NULL, NULL);
	if (own && exact_public_url[0] == '\0')
		no_callback(u, "address",
					"no address for notifications is set: changes are found by polling",
					"ALTER DATABASE ... SET exact_databricks.public_url; "
					"SELECT exact.restart_workers()");
	else if (own && exact_listen_addresses[0] == '\0')
		no_callback(u, "listener", "this database has no listener: changes are found by polling",
					"ALTER DATABASE ... SET exact_databricks.listen_addresses; "
					"SELECT exact.restart_workers()");
	else
	{
		u->callback_url = own ? psprintf("%s/exact/hook", exact_public_url) : pstrdup(of_app);
		check_callback(u);
	}
	if (u->cause == NULL)
		u->reach = exact_reach_get(u->callback_url, own);
}

static void
load_topic(ExactTopic *t, uint64 row)
{
	t->name = exact_cell_text(row, 2);
	t->wanted = exact_cell_bool(row, 3, false);
	t->id = exact_cell_text(row, 4);
	t->callback_url = exact_cell_text(row, 5);
	t->state = state_constant(exact_cell_text(row, 6));
	t->cause = exact_cell_text(row, 7);
	t->reason = exact_cell_text(row, 8);
	t->next_step = exact_cell_text(row, 9);
	t->tried_at = exact_cell_time(row, 10, 0);
	t->checked_at = exact_cell_time(row, 11, 0);
	t->replaced_at = exact_cell_time(row, 12, 0);
}

/* A row for each wanted topic, and for each that is still known at Exact Online. */
static uint64
read_rows(void)
{
	static const char insert_sql[] =
	"INSERT INTO exact.subscription (division, topic)"
	" SELECT w.division, w.topic"
	" FROM exact._wanted_topics() w"
	" WHERE NOT EXISTS (SELECT FROM exact.subscription s"
	"  WHERE s.division = w.division AND s.topic = w.topic)";
	/*
	 * Nothing at Exact Online, or nobody left who could remove it there. While a dump is loaded the
	 * divisions may come later than their subscriptions: so not before the app is there, whose
	 * coming puts the workers off.
	 */
	static const char delete_sql[] =
	"DELETE FROM exact.subscription"
	" WHERE EXISTS (SELECT FROM exact.app)"
	" AND (division, topic) IN"
	"  (SELECT s.division, s.topic"
	"   FROM exact.subscription s"
	"   WHERE (s.id IS NULL AND NOT EXISTS (SELECT FROM exact._wanted_topics() w"
	"     WHERE w.division = s.division AND w.topic = s.topic))"
	"    OR NOT EXISTS (SELECT FROM exact.division d WHERE d.division = s.division)"
	"   FOR UPDATE SKIP LOCKED)";
	static const char topics_sql[] =
	"SELECT s.division, s.topic, w.topic IS NOT NULL, s.id, s.callback_url,"
	"  s.state, s.cause, s.reason, s.next_step, s.tried_at, s.checked_at, s.replaced_at,"
	"  d.app, a.callback_url,"
	"  EXISTS (SELECT FROM exact.credential c"
	"   WHERE c.kind = 'app' AND c.name = d.app"
	"   AND c.field = ANY ('{webhook_secret,webhook_secret_next}')),"
	"  (SELECT max(t.issued_at) FROM exact.token t"
	"   WHERE t.app = d.app AND t.origin = 'authorize')"
	" FROM exact.subscription s"
	" JOIN exact.division d ON d.division = s.division"
	" JOIN exact.app a ON a.name = d.app"
	" LEFT JOIN exact._wanted_topics() w ON w.division = s.division AND w.topic = s.topic"
	" ORDER BY s.division, s.topic";

	exact_sql(insert_sql, 0, NULL);
	exact_sql(delete_sql, 0, NULL);
	return exact_sql(topics_sql, 0, NULL);
}

/*
 * Rows from..to-1 are those of one division. An upkeep that runs keeps what it has until it ends.
 */
static void
load_upkeep(ExactUpkeep *u, uint64 from, uint64 to)
{
	MemoryContext old;

	u->present = true;
	if (u->phase != EXACT_UPKEEP_IDLE)
	{
		if (u->reach != NULL)
			u->reach->wanted = true;
		return;
	}
	u->stale = false;
	MemoryContextReset(u->context);
	old = MemoryContextSwitchTo(u->context);
	u->app = exact_cell_text(from, 13);
	u->has_secret = exact_cell_bool(from, 15, false);
	u->consented_at = exact_cell_time(from, 16, 0);
	if (exact_clock_is_future(u->consented_at))
		u->consented_at = 0;
	u->ntopics = (int) (to - from);
	u->topics = palloc0(u->ntopics * sizeof(ExactTopic));
	for (uint64 row = from; row < to; row++)
		load_topic(&u->topics[row - from], row);
	choose_callback(u, exact_cell_text(from, 14));
	MemoryContextSwitchTo(old);
}

static void
read_topics(void)
{
	uint64		n = read_rows();

	for (int i = 0; i < nupkeeps; i++)
		upkeeps[i]->present = false;
	exact_reach_forget();
	for (uint64 from = 0, to; from < n; from = to)
	{
		ExactUpkeep *u = upkeep_of((int) exact_cell_int8(from, 1, 0));

		for (to = from; to < n && exact_cell_int8(to, 1, 0) == u->division; to++)
			;
		load_upkeep(u, from, to);
	}
	if (!reach_loaded)
		exact_reach_load();
	reach_loaded = true;
}

/* Takes the requests for subscriptions that wait, and reads all that are not settled. */
static void
read_requests(void)
{
	static const char open_sql[] =
	"SELECT id, coalesce(division, 0), started_at"
	" FROM exact.request"
	" WHERE state = 'running' AND kind = '" EXACT_REQUEST_SUBSCRIBE "'";
	uint64		n;

	exact_request_cancel(EXACT_REQUEST_SUBSCRIBE);
	if (exact_request_take(EXACT_REQUEST_SUBSCRIBE) > 0)
		exact_lane_want_plan(); /* the operator may have resumed the division a moment ago */
	n = exact_sql(open_sql, 0, NULL);
	if (request_context == NULL)
		request_context = AllocSetContextCreate(TopMemoryContext, "exact subscribe requests",
												ALLOCSET_SMALL_SIZES);
	nrequests = 0;
	MemoryContextReset(request_context);
	requests = MemoryContextAllocZero(request_context, Max(n, 1) * sizeof(Request));
	for (uint64 i = 0; i < n; i++)
	{
		Request    *request = &requests[i];

		request->id = exact_cell_int8(i, 1, 0);
		request->division = (int) exact_cell_int8(i, 2, 0);
		request->started_at = exact_cell_time(i, 3, 0);
	}
	nrequests = (int) n;
}

static void
read_unit(void *arg pg_attribute_unused())
{
	read_topics();
	read_requests();
}

bool
exact_subscription_store_read(void)
{
	read_due = !exact_unit_run("read subscriptions", read_unit, NULL, NULL);
	read_not_before = GetCurrentTimestamp() + READ_PAUSE_US;
	if (read_due)
		return false;
	for (int i = 0; i < nupkeeps; i++)
	{
		ExactUpkeep *u = upkeeps[i];

		u->requested_at = 0;
		for (int r = 0; r < nrequests; r++)
			if (requests[r].division == 0 || requests[r].division == u->division)
				u->requested_at = Max(u->requested_at, requests[r].started_at);
	}
	return true;
}

static ExactArg
time_or_null(TimestampTz value)
{
	return value != 0 ? exact_arg_time(value) : exact_arg_null(TIMESTAMPTZOID);
}

/* Writes what is known of a topic into its row; one that is neither wanted nor there goes. */
void
exact_subscription_store_save(const ExactUpkeep *u, const ExactTopic *t)
{
#define FREE_ROW_SQL \
	" WHERE (division, topic) IN" \
	"  (SELECT s.division, s.topic" \
	"   FROM exact.subscription s" \
	"   WHERE s.division = $1 AND s.topic = $2" \
	"   FOR UPDATE SKIP LOCKED)"
	static const char sql[] =
	"UPDATE exact.subscription SET"
	"  since = CASE WHEN state = $3 THEN since ELSE now() END,"
	"  state = $3,"
	"  id = $4,"
	"  callback_url = $5,"
	"  cause = $6,"
	"  reason = $7,"
	"  next_step = $8,"
	"  tried_at = $9,"
	"  checked_at = $10,"
	"  replaced_at = $11"
	FREE_ROW_SQL;
	static const char delete_sql[] =
	"DELETE FROM exact.subscription"
	FREE_ROW_SQL;
	ExactArg	args[11];

	args[0] = exact_arg_int4(u->division);
	args[1] = exact_arg_text(t->name);
	if (!t->wanted && t->id == NULL)
	{
		exact_sql(delete_sql, 2, args);
		return;
	}
	args[2] = exact_arg_text(t->state);
	args[3] = exact_arg_text(t->id);
	args[4] = exact_arg_text(t->callback_url);
	args[5] = exact_arg_text(t->cause);
	args[6] = exact_arg_text(t->reason);
	args[7] = exact_arg_text(t->next_step);
	args[8] = time_or_null(t->tried_at);
	args[9] = time_or_null(t->checked_at);
	args[10] = time_or_null(t->replaced_at);
	exact_sql(sql, 11, args);
}

void
exact_subscription_store_audit(const ExactUpkeep *u, const ExactTopic *t, const char *what)
{
	exact_audit_subscription(u->division, t->name, what, t->id, t->callback_url, t->reason);
}

/* ---- requests ---- */

typedef struct Outcome
{
	int64		id;
	const char *state;
	char	   *result;
	bool		ended;
} Outcome;

static void
settle_unit(void *arg)
{
	Outcome    *outcome = arg;

	outcome->ended = exact_request_finish(outcome->id, outcome->state, outcome->result, false);
}

/* Which of the counts a wanted topic belongs to */
static ExactCount
count_of(const ExactTopic *t)
{
	if (strcmp(t->state, "present") == 0)
	{
		if (t->replaced)
			return EXACT_COUNT_REPLACED;
		return t->made ? EXACT_COUNT_MADE : EXACT_COUNT_PRESENT;
	}
	if (strcmp(t->state, "foreign") == 0)
		return EXACT_COUNT_FOREIGN;
	return strcmp(t->state, "refused") == 0 ? EXACT_COUNT_REFUSED : EXACT_COUNT_WAITING;
}

void
exact_subscription_store_count(ExactUpkeep *u)
{
	memset(u->counts, 0, sizeof(u->counts));
	u->waits_for[0] = '\0';
	for (int i = 0; i < u->ntopics; i++)
	{
		const ExactTopic *t = &u->topics[i];

		u->counts[EXACT_COUNT_REMOVED] += t->removed;
		if (!t->wanted)
			continue;
		u->counts[EXACT_COUNT_TOPICS]++;
		u->counts[count_of(t)]++;
		if (strcmp(t->state, "wanted") == 0 && t->reason != NULL && u->waits_for[0] == '\0')
			strlcpy(u->waits_for, t->reason, sizeof(u->waits_for));
	}
}

static bool
covers(const Request *request, const ExactUpkeep *u)
{
	return u->present && (request->division == 0 || request->division == u->division);
}

/* "12 topics: 10 present, 1 made, 1 refused" */
static char *
summary(const Request *request)
{
	static const char *const words[EXACT_NCOUNTS] = {
		[EXACT_COUNT_PRESENT] = "present",
		[EXACT_COUNT_MADE] = "made",
		[EXACT_COUNT_REPLACED] = "replaced",
		[EXACT_COUNT_REMOVED] = "removed",
		[EXACT_COUNT_FOREIGN] = "of others",
		[EXACT_COUNT_REFUSED] = "refused",
		[EXACT_COUNT_WAITING] = "not made",
	};
	StringInfoData out;
	int			counts[EXACT_NCOUNTS] = {0};
	const char *why = NULL;
	const char *separator = ": ";

	for (int i = 0; i < nupkeeps; i++)
	{
		if (!covers(request, upkeeps[i]))
			continue;
		for (int c = 0; c < EXACT_NCOUNTS; c++)
			counts[c] += upkeeps[i]->counts[c];
		if (why == NULL && upkeeps[i]->waits_for[0])
			why = upkeeps[i]->waits_for;
	}
	initStringInfo(&out);
	appendStringInfo(&out, "%d topic%s", counts[EXACT_COUNT_TOPICS],
					 counts[EXACT_COUNT_TOPICS] == 1 ? "" : "s");
	for (int c = EXACT_COUNT_PRESENT; c < EXACT_NCOUNTS; c++)
		if (counts[c] > 0)
		{
			appendStringInfo(&out, "%s%d %s", separator, counts[c], words[c]);
			separator = ", ";
		}
	if (why != NULL)
		appendStringInfo(&out, ": %s", why);
	return out.data;
}

/*
 * Have all divisions of a request been looked at since it was taken? *problem: why one could not
 * be.
 */
static bool
is_answered(const Request *request, const char **problem)
{
	*problem = NULL;
	for (int i = 0; i < nupkeeps; i++)
	{
		ExactUpkeep *u = upkeeps[i];

		if (!covers(request, u))
			continue;
		if (u->ended_at == 0 || u->begun_at < request->started_at)
			return false;
		if (u->problem[0] && *problem == NULL)
			*problem = psprintf("division %d: %s", u->division, u->problem);
	}
	return true;
}

void
exact_subscription_store_settle(void)
{
	for (int r = 0; r < nrequests; r++)
	{
		Request    *request = &requests[r];
		Outcome		outcome = {request->id, "done", NULL, false};
		const char *problem;

		if (request->id == 0 || !is_answered(request, &problem))
			continue;
		outcome.result = summary(request);
		if (problem != NULL)
		{
			outcome.state = "failed";
			outcome.result = psprintf("%s; %s", problem, outcome.result);
		}
		if (exact_unit_run("settle subscriptions", settle_unit, &outcome, NULL) && outcome.ended)
			request->id = 0;
		else
			exact_subscription_store_want();	/* somebody cancels it at this moment */
	}
}

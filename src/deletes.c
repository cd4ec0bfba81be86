/*
 * deletes.c - records that are gone.
 *
 * An entry of sync/Deleted deletes the record it names. Where it may name a document's header or its lines (combined sets), and
 * for whatever is only missing from a complete read, the key goes to exact.dirty_key and one keyed $filter decides: 200 and
 * absent is gone. Never a GET by key: a deleted key's 404 counts against the error budget (exact-online.md §5.4, §6.4).
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/memutils.h"

#include "budget.h"
#include "deletes.h"
#include "errors.h"
#include "exact_api.h"
#include "run.h"
#include "shmem.h"
#include "sql.h"
#include "stage.h"
#include "worker.h"

static const char want_sql[] =
"INSERT INTO exact.dirty_key (division, entity, key, since, reason) SELECT $1, $2, k, now(), 'confirm' FROM unnest($3::text[]) k "
"ON CONFLICT (division, entity, key) DO UPDATE SET reason = 'confirm'";

/* Keys of one column of the last result, rows where `entity_col` equals entity */
static char **
take_keys(uint64 from, uint64 to, int col, int *n)
{
	char	  **keys = palloc(Max(to - from, 1) * sizeof(char *));

	*n = 0;
	for (uint64 i = from; i < to; i++)
		keys[(*n)++] = exact_cell_text(i, col);
	return keys;
}

/*
 * Which of our records does the log name? A line of a combined set is deleted by its own entry and puts its document up for
 * confirmation; an entry with a document's id does the latter alone.
 */
static const char log_sql[] =
"WITH named AS (SELECT DISTINCT lower(k) AS key, t AS type FROM unnest($2::text[], $3::int[]) AS u(k, t)), "
"ours AS (SELECT e.entity, e.feed, coalesce(e.row_kind, '') AS row_kind, n.key, r.parent "
"  FROM named n JOIN exact.entity_effective e ON e.entity_type = n.type AND e.method = 'sync' "
"  JOIN exact.record r ON r.division = $1 AND r.entity = e.entity AND r.key = n.key AND NOT r.deleted) "
"SELECT 'delete' AS act, entity, feed, key FROM ours WHERE row_kind <> 'header' "
"UNION SELECT 'confirm', h.entity, h.feed, o.parent FROM ours o JOIN exact.entity_effective h ON h.feed = o.feed AND h.row_kind = 'header' "
"  WHERE o.row_kind = 'line' AND o.parent IS NOT NULL "
"UNION SELECT 'confirm', entity, feed, key FROM ours WHERE row_kind = 'header' "
"UNION SELECT 'confirm', h.entity, h.feed, n.key FROM named n JOIN exact.entity_effective e ON e.entity_type = n.type AND e.row_kind = 'line' "
"  JOIN exact.entity_effective h ON h.feed = e.feed AND h.row_kind = 'header' "
"  WHERE EXISTS (SELECT FROM exact.record r WHERE r.division = $1 AND r.entity = e.entity AND r.parent = n.key AND NOT r.deleted) "
"ORDER BY 1 DESC, 2";

int
exact_deletes_apply_log(ExactLane *lane, const ExactFeed *feed, const ExactPage *page, int64 run, int64 call)
{
	char	  **keys = palloc(Max(page->nrecords, 1) * sizeof(char *));
	int32	   *types = palloc(Max(page->nrecords, 1) * sizeof(int32));
	ExactArg	args[3];
	int			n = 0;
	int			tombstones = 0;
	uint64		found;
	uint64		from;
	SPITupleTable *rows;

	for (int i = 0; i < page->nrecords; i++)
	{
		const ExactRecord *record = &page->records[i];
		int64		type;
		int64		division = exact_odata_division(record, record->values[feed->division], lane->division);

		if (division >= 0 && division != lane->division)
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_DIVISION_GUARD),
					 errmsg("division %d is frozen: Exact Online answered with a deletion of division " INT64_FORMAT, lane->division, division),
					 errdetail("GET %s, row %d. Nothing of that page was kept.", feed->resource, i + 1),
					 errhint("Check the administration in Exact Online; then SELECT exact.resume(%d).", lane->division)));
		/* fields in the order of feed.c: Timestamp, EntityKey, EntityType, Division */
		keys[n] = exact_odata_string(record->values[1]);
		if (division < 0 || keys[n] == NULL || !exact_odata_int64(record->values[2], &type))
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_BAD_ANSWER),
					 errmsg("Exact Online answered with a deletion that names no division or no record"),
					 errdetail("GET %s, row %d. Nothing of that page was kept.", feed->resource, i + 1),
					 errhint("The hub asks again by itself.")));
		types[n++] = (int32) type;
	}
	if (n == 0)
		return 0;
	args[0] = exact_arg_int4(lane->division);
	args[1] = exact_arg_text_array((const char *const *) keys, NULL, n);
	args[2] = exact_arg_int4_array(types, NULL, n);
	found = exact_sql(log_sql, 3, args);
	rows = SPI_tuptable;
	for (from = 0; from < found;)
	{
		char	   *act;
		char	   *entity;
		char	   *of_feed;
		uint64		to = from;

		SPI_tuptable = rows;
		act = exact_cell_text(from, 1);
		entity = exact_cell_text(from, 2);
		of_feed = exact_cell_text(from, 3);
		while (to < found && strcmp(exact_cell_text(to, 1), act) == 0 && strcmp(exact_cell_text(to, 2), entity) == 0)
			to++;
		keys = take_keys(from, to, 4, &n);
		if (strcmp(act, "delete") == 0)
			tombstones += exact_stage_delete(lane->division, of_feed, entity, NULL, keys, n, run, call, "sync/Deleted");
		else
		{
			args[1] = exact_arg_text(entity);
			args[2] = exact_arg_text_array((const char *const *) keys, NULL, n);
			exact_sql(want_sql, 3, args);
			lane->confirm_wanted = true;
			lane->confirm_not_before = 0;
		}
		from = to;
	}
	return tombstones;
}

/*
 * Where no keyed read can confirm: an empty answer for a table that is not, or more than 20 keys and 5 % of it, is more likely a fault of
 * the answer than the end of so many records. They stay alive until a whole run shows fewer of them gone.
 */
static bool
too_many(const ExactRun *run, const char *entity, int n)
{
	static const char sql[] = "SELECT count(*) FROM exact.record WHERE division = $1 AND entity = $2 AND NOT deleted";
	ExactArg	args[2];
	int64		alive;

	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(entity);
	exact_sql(sql, 2, args);
	alive = exact_cell_int8(0, 1, 0);
	if (run->run_rows > 0 && (n <= 20 || (int64) n * 20 <= alive))
		return false;
	exact_log(LOG, "alarm division=%d entity=%s absent=%d of=" INT64_FORMAT " reason=\"too many to be deleted without a word\"",
			  run->lane->division, entity, n, alive);
	return true;
}

/*
 * Absent means: known before the run began, alive, not seen in the run. In a run from a mark that is only true of a document's
 * lines, and only of documents that the run did see; in a full read, or a run from the first mark, of every record.
 */
int
exact_deletes_absent(const ExactRun *run, int64 call)
{
	static const char absent_sql[] =
	"SELECT key FROM exact.record WHERE division = $1 AND entity = $2 AND NOT deleted AND run IS DISTINCT FROM $3 AND first_seen < $4";
	static const char lines_sql[] =
	"WITH seen AS (SELECT key FROM exact.record WHERE division = $1 AND entity = $2 AND run = $3 "
	"  UNION SELECT parent FROM exact.record WHERE division = $1 AND entity = $5 AND run = $3) "
	"SELECT l.key FROM seen JOIN exact.record l ON l.division = $1 AND l.entity = $5 AND l.parent = seen.key "
	"WHERE NOT l.deleted AND l.run IS DISTINCT FROM $3 AND l.first_seen < $4";
	const ExactFeed *feed = run->def;
	bool		whole = feed->method == EXACT_FEED_FULL || run->mark <= 1;
	const char *header = NULL;
	int			tombstones = 0;

	for (int e = 0; e < feed->nentities; e++)
	{
		const ExactFeedEntity *entity = &feed->entities[e];
		ExactArg	args[5];
		uint64		found;
		char	  **keys;
		int			n;

		if (entity->row_kind == 'h')
			header = entity->name;
		if (!run->enabled[e] || (!whole && (entity->row_kind != 'l' || header == NULL)))
			continue;
		args[0] = exact_arg_int4(run->lane->division);
		args[1] = exact_arg_text(whole ? entity->name : header);
		args[2] = exact_arg_int8(run->run);
		args[3] = exact_arg_time(run->run_started_at);
		args[4] = exact_arg_text(entity->name);
		found = whole ? exact_sql(absent_sql, 4, args) : exact_sql(lines_sql, 5, args);
		if (found == 0)
			continue;
		keys = take_keys(0, found, 1, &n);
		if ((entity->plain_resource == NULL || entity->plain_key == NULL) && too_many(run, entity->name, n))
			continue;
		if (entity->plain_resource == NULL || entity->plain_key == NULL)
		{
			tombstones += exact_stage_delete(run->lane->division, feed->name, entity->name, NULL, keys, n, run->run, call, "absent from a complete read");
			continue;
		}
		args[1] = exact_arg_text(entity->name);
		args[2] = exact_arg_text_array((const char *const *) keys, NULL, n);
		exact_sql(want_sql, 3, args);
		run->lane->confirm_wanted = true;
		run->lane->confirm_not_before = 0;
	}
	return tombstones;
}

/* One keyed read on its way */
typedef struct Confirm
{
	MemoryContext context;
	ExactLane  *lane;
	ExactFeed  *feed;
	ExactFeedEntity *entity;
	const char *line_entity;	/* its lines go with a header */
	char	  **keys;
	bool	   *present;
	int			nkeys;
	char	   *url;
	/* of the last page */
	ExactApiAnswer *answer;
	int			rows;
	int			tombstones;
	bool		more;			/* other keys of the division wait */
} Confirm;

static void
pick_unit(void *arg)
{
	static const char sql[] =
	"SELECT k.entity, k.key, e.feed FROM exact.dirty_key k JOIN exact.entity_effective e ON e.entity = k.entity "
	"WHERE k.division = $1 AND k.reason = 'confirm' AND k.entity = "
	"  (SELECT d.entity FROM exact.dirty_key d JOIN exact.entity_effective f ON f.entity = d.entity "
	"   WHERE d.division = $1 AND d.reason = 'confirm' AND d.entity <> ALL ($2::text[]) ORDER BY d.since, d.entity LIMIT 1) "
	"ORDER BY k.since, k.key LIMIT 60";
	Confirm    *confirm = arg;
	ExactArg	args[2];
	MemoryContext old;
	char	   *entity;
	char	   *feed;
	const char **held;
	int			nheld = 0;
	uint64		n;

	held = palloc((confirm->lane->nrefused + 1) * sizeof(char *));
	for (int i = 0; i < confirm->lane->nrefused; i++)
		if (confirm->lane->refused[i].not_before > GetCurrentTimestamp())
			held[nheld++] = confirm->lane->refused[i].entity;
	args[0] = exact_arg_int4(confirm->lane->division);
	args[1] = exact_arg_text_array(held, NULL, nheld);
	n = exact_sql(sql, 2, args);
	confirm->nkeys = 0;
	if (n == 0)
		return;
	old = MemoryContextSwitchTo(confirm->context);
	entity = exact_cell_text(0, 1);
	feed = exact_cell_text(0, 3);
	confirm->keys = take_keys(0, n, 2, &confirm->nkeys);
	confirm->present = palloc0(n * sizeof(bool));
	confirm->feed = exact_feed_load(feed);
	confirm->entity = NULL;
	confirm->line_entity = NULL;
	for (int e = 0; confirm->feed != NULL && e < confirm->feed->nentities; e++)
	{
		if (strcmp(confirm->feed->entities[e].name, entity) == 0)
			confirm->entity = &confirm->feed->entities[e];
		else if (confirm->feed->entities[e].row_kind == 'l' && confirm->entity != NULL && confirm->entity->row_kind == 'h')
			confirm->line_entity = confirm->feed->entities[e].name;
	}
	MemoryContextSwitchTo(old);
}

static void
apply_unit(void *arg)
{
	static const char clean_sql[] = "DELETE FROM exact.dirty_key WHERE division = $1 AND entity = $2 AND key = ANY ($3::text[]) AND reason = 'confirm'";
	static const char healed_sql[] = "UPDATE exact.feed_state SET confirm_errors = 0, last_error = NULL, last_error_at = NULL WHERE division = $1 AND feed = $2 AND confirm_errors > 0";
	static const char more_sql[] = "SELECT EXISTS (SELECT FROM exact.dirty_key WHERE division = $1 AND reason = 'confirm')";
	Confirm    *confirm = arg;
	char	  **gone = palloc(confirm->nkeys * sizeof(char *));
	int			ngone = 0;
	int64		call = exact_api_record(confirm->answer, confirm->rows);
	ExactArg	args[3];

	for (int i = 0; i < confirm->nkeys; i++)
		if (!confirm->present[i])
			gone[ngone++] = confirm->keys[i];
	confirm->tombstones = ngone == 0 ? 0 :
		exact_stage_delete(confirm->lane->division, confirm->feed->name, confirm->entity->name, confirm->line_entity,
						   gone, ngone, 0, call, "confirmed by a keyed read");
	args[0] = exact_arg_int4(confirm->lane->division);
	args[1] = exact_arg_text(confirm->entity->name);
	args[2] = exact_arg_text_array((const char *const *) confirm->keys, NULL, confirm->nkeys);
	exact_sql(clean_sql, 3, args);
	args[1] = exact_arg_text(confirm->feed->name);
	exact_sql(healed_sql, 2, args);
	exact_sql(more_sql, 1, args);
	confirm->more = exact_cell_bool(0, 1, false);
}

static void send_confirm(Confirm *confirm);

/* An entity whose keyed read fails holds back itself only. */
static void
hold_back(ExactLane *lane, const char *entity, ExactApiAnswer *answer)
{
	ExactRefusal *refusal = NULL;

	for (int i = 0; i < lane->nrefused && refusal == NULL; i++)
		if (strcmp(lane->refused[i].entity, entity) == 0)
			refusal = &lane->refused[i];
	if (refusal == NULL)
	{
		Size		size = (lane->nrefused + 1) * sizeof(ExactRefusal);

		lane->refused = lane->refused ? repalloc(lane->refused, size) : MemoryContextAlloc(TopMemoryContext, size);
		refusal = &lane->refused[lane->nrefused++];
		memset(refusal, 0, sizeof(*refusal));
		strlcpy(refusal->entity, entity, sizeof(refusal->entity));
	}
	refusal->not_before = exact_run_trouble(lane, answer, ++refusal->errors);
}

typedef struct ConfirmFailure
{
	Confirm    *confirm;
	ExactApiAnswer *answer;
	const char *message;
} ConfirmFailure;

static void
failure_unit(void *arg)
{
	static const char sql[] =
	"UPDATE exact.feed_state SET confirm_errors = confirm_errors + 1, last_error = $3, last_error_at = clock_timestamp() WHERE division = $1 AND feed = $2";
	ConfirmFailure *failure = arg;
	ExactArg	args[3];

	if (failure->answer->http != NULL)
		exact_api_record(failure->answer, 0);
	args[0] = exact_arg_int4(failure->confirm->lane->division);
	args[1] = exact_arg_text(failure->confirm->feed->name);
	args[2] = exact_arg_text(psprintf("deletes of %s cannot be confirmed: %s", failure->confirm->entity->name, failure->message));
	exact_sql(sql, 3, args);
}

static void
trouble(Confirm *confirm, ExactApiAnswer *answer, const char *message)
{
	ExactLane  *lane = confirm->lane;
	ConfirmFailure failure = {confirm, answer, message};

	if (answer->trouble == EXACT_API_LIMIT || answer->trouble == EXACT_API_UNAUTHORIZED)
		exact_run_trouble(lane, answer, 1);
	else
	{
		hold_back(lane, confirm->entity->name, answer);
		exact_unit_run("record failure", failure_unit, &failure, NULL);
	}
	exact_log(LOG, "failed division=%d confirm=%s keys=%d error=\"%s\"", lane->division, confirm->entity->name, confirm->nkeys, message);
	MemoryContextDelete(confirm->context);
}

static void
on_confirm(ExactApiAnswer *answer, void *arg)
{
	Confirm    *confirm = arg;
	ExactLane  *lane = confirm->lane;
	const char *fields[1] = {confirm->entity->plain_key};
	ExactPage  *page;
	char	   *problem = NULL;
	char	   *prefix;

	exact_run_release(lane);
	if (answer->trouble != EXACT_API_OK)
	{
		trouble(confirm, answer, answer->fault->message);
		return;
	}
	page = exact_odata_parse(answer->http->body, answer->http->body_len, fields, 1, &problem);
	prefix = psprintf("%s/api/v1/%d/", answer->request->base_url, lane->division);
	if (page != NULL && (!page->is_list || (page->next && pg_strncasecmp(page->next, prefix, strlen(prefix)) != 0)))
		problem = pstrdup("not a page of this division");
	for (int i = 0; problem == NULL && i < page->nrecords; i++)
	{
		ExactSlice	none = {NULL, 0};
		char	   *key = exact_feed_key(&page->records[i], 0);
		int64		division = exact_odata_division(&page->records[i], none, lane->division);

		if (key == NULL || (division >= 0 && division != lane->division))
			problem = pstrdup("a record without key or of another division");
		for (int k = 0; problem == NULL && k < confirm->nkeys; k++)
			if (strcmp(confirm->keys[k], key) == 0)
				confirm->present[k] = true;
	}
	if (problem != NULL)
	{
		answer->trouble = EXACT_API_TRANSIENT;
		trouble(confirm, answer, problem);
		return;
	}
	confirm->rows += page->nrecords;
	if (page->next != NULL)
	{
		confirm->url = MemoryContextStrdup(confirm->context, page->next);
		send_confirm(confirm);
		return;
	}
	confirm->answer = answer;
	if (!exact_unit_run("store deletions", apply_unit, confirm, NULL))
	{
		answer->trouble = EXACT_API_TRANSIENT;
		trouble(confirm, answer, "the deletions could not be stored");
		return;
	}
	for (int i = 0; i < lane->nrefused; i++)
		if (strcmp(lane->refused[i].entity, confirm->entity->name) == 0)
			lane->refused[i].errors = 0;
	lane->confirm_wanted = confirm->more;
	exact_log(LOG, "confirmed division=%d entity=%s keys=%d deleted=%d ms=%.0f", lane->division, confirm->entity->name,
			  confirm->nkeys, confirm->tombstones, answer->http->ms);
	if (confirm->tombstones > 0)
		exact_wake(EXACT_ROLE_LOADER);
	MemoryContextDelete(confirm->context);
	exact_plan_settle();
}

static void
send_confirm(Confirm *confirm)
{
	ExactLane  *lane = confirm->lane;
	ExactApiRequest request = {0};

	request.app = lane->app;
	request.base_url = lane->base_url;
	request.division = lane->division;
	request.feed = confirm->feed->name;
	request.resource = confirm->entity->plain_resource;
	request.url = confirm->url;
	request.label = psprintf("%s?$filter=%d keys", confirm->entity->plain_resource, confirm->nkeys);
	exact_run_hold(lane);
	exact_api_get(&request, on_confirm, confirm);
}

bool
exact_deletes_confirm(ExactLane *lane)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact confirm", ALLOCSET_SMALL_SIZES);
	Confirm    *confirm = MemoryContextAllocZero(context, sizeof(Confirm));
	MemoryContext old;
	const char *why;
	TimestampTz at;

	confirm->context = context;
	confirm->lane = lane;
	if (!exact_unit_run("pick keys", pick_unit, confirm, NULL))
	{
		lane->confirm_not_before = GetCurrentTimestamp() + USECS_PER_SEC;
		MemoryContextDelete(context);
		return false;
	}
	if (confirm->nkeys == 0 || confirm->entity == NULL)
	{
		/* nothing, or only what is held back: until then */
		lane->confirm_wanted = false;
		for (int i = 0; i < lane->nrefused; i++)
			if (lane->refused[i].not_before > GetCurrentTimestamp())
			{
				lane->confirm_not_before = lane->confirm_wanted ? Min(lane->confirm_not_before, lane->refused[i].not_before) : lane->refused[i].not_before;
				lane->confirm_wanted = true;
			}
		MemoryContextDelete(context);
		return false;
	}
	at = exact_budget_allowed_at(lane->division, confirm->entity->plain_resource, &why);
	if (at != 0)
	{
		lane->confirm_not_before = at;
		MemoryContextDelete(context);
		return false;
	}
	old = MemoryContextSwitchTo(context);
	confirm->url = exact_feed_keys_url(confirm->entity, lane->base_url, lane->division, confirm->keys, confirm->nkeys);
	MemoryContextSwitchTo(old);
	send_confirm(confirm);
	return true;
}

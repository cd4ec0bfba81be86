/*
 * deletes.c - records that are gone.
 *
 * An entry of sync/Deleted deletes the record it names. Where it may name a document's header or
 * its lines (combined sets), and for whatever is only missing from a complete read, the key
 * becomes dirty and one keyed $filter decides: 200 and absent is gone. Never a GET by key: a
 * deleted key's 404 counts against the error budget (exact-online.md §5.4, §6.4).
 */
#include "postgres.h"

#include "executor/spi.h"

#include "base/errors.h"
#include "base/sql.h"
#include "exact_online/feed.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"
#include "fetch/deletes.h"
#include "fetch/lane.h"
#include "stage/aside.h"
#include "stage/stage.h"
#include "state/dirty_key.h"
#include "state/feed_state.h"
#include "worker/self.h"

#define HELD_FROM 20			/* absent records, and */
#define HELD_SHARE 20			/* one in so many of the entity's: more than both are held */

/* Marks keys as dirty and lets the lane look at once. */
static void
want_keys(ExactLane *lane, const char *entity, char **keys, int nkeys, ExactDirtyReason reason)
{
	exact_dirty_key_want(lane->division, entity, keys, nkeys, reason);
	lane->keys_at = 0;
}

/* Texts of one column of the last result, rows from..to-1 */
static char **
take_keys(uint64 from, uint64 to, int col, int *n)
{
	char	  **keys = palloc(Max(to - from, 1) * sizeof(char *));

	*n = 0;
	for (uint64 i = from; i < to; i++)
		keys[(*n)++] = exact_cell_text(i, col);
	return keys;
}

/* ---- the log of deletes ---- */

bool
exact_deletes_want_log(const ExactLane *lane, TimestampTz first, TimestampTz last)
{
	char	   *log = EXACT_FEED_DELETED;

	for (int i = 0; i < lane->nruns; i++)
		if (strcmp(lane->runs[i]->name, log) == 0 && lane->runs[i]->present)
		{
			exact_feed_state_notify(lane->division, &log, 1, first, last);
			return true;
		}
	return false;
}

void
exact_deletes_log_wanted(const ExactLane *lane, TimestampTz first, TimestampTz last)
{
	exact_lane_notified(lane->division, EXACT_FEED_DELETED, first, last);
}

/*
 * The keys and types that a page names; returns their number. A row that is incomplete is put
 * aside. Raises when one is of another division.
 */
static int
read_log(const ExactLane *lane, const ExactFeed *feed, const ExactPage *page, char **keys,
		 int32 *types)
{
	int			n = 0;

	for (int i = 0; i < page->nrecords; i++)
	{
		const ExactRecord *record = &page->records[i];
		ExactAsideRow row = {.division = lane->division,.entity = feed->name,.text = record->text};
		int64		type;
		int64		division = exact_odata_division(record, record->values[feed->division],
													lane->division);

		if (division >= 0 && division != lane->division)
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_DIVISION_GUARD),
					 errmsg("division %d is frozen: "
							"Exact Online answered with a deletion of division " INT64_FORMAT,
							lane->division, division),
					 errdetail("GET %s, row %d. Nothing of that page was kept.",
							   feed->resource, i + 1),
					 errhint("Check the administration in Exact Online; "
							 "then SELECT exact.resume(%d).", lane->division)));
		keys[n] = exact_odata_string(record->values[EXACT_DELETED_KEY]);
		row.field = record->problem_field;
		if (record->problem != NULL)
			row.reason = record->problem;
		else if (division < 0)
			row.reason = "it names no division";
		else if (keys[n] == NULL)
			row.reason = "it has no EntityKey";
		else if (!exact_odata_int64(record->values[EXACT_DELETED_TYPE], &type))
			row.reason = "it has no EntityType";
		else
		{
			types[n++] = (int32) type;
			continue;
		}
		exact_aside_put(&row);
	}
	return n;
}

/*
 * Which of our records does the log name? A line of a combined set is deleted by its own entry and
 * puts its document up for confirmation; an entry with a document's id does the latter alone.
 */
static uint64
find_named(const ExactLane *lane, char **keys, int32 *types, int n)
{
	static const char sql[] =
	"WITH named AS ("
	"  SELECT DISTINCT lower(k) AS key, t AS type"
	"  FROM unnest($2::text[], $3::int[]) AS u(k, t)),"
	" ours AS ("
	"  SELECT e.entity, e.feed, coalesce(e.row_kind, '') AS row_kind, n.key, r.parent"
	"  FROM named n"
	"  JOIN exact.entity_effective e ON e.entity_type = n.type AND e.method = 'sync'"
	"  JOIN exact.record r ON r.division = $1 AND r.entity = e.entity AND r.key = n.key"
	"   AND NOT r.deleted)"
	" SELECT 'delete' AS act, entity, feed, key"
	" FROM ours"
	" WHERE row_kind <> 'header'"
	" UNION"
	" SELECT 'confirm', h.entity, h.feed, o.parent"
	" FROM ours o"
	" JOIN exact.entity_effective h ON h.feed = o.feed AND h.row_kind = 'header'"
	" WHERE o.row_kind = 'line' AND o.parent IS NOT NULL"
	" UNION"
	" SELECT 'confirm', entity, feed, key"
	" FROM ours"
	" WHERE row_kind = 'header'"
	" UNION"
	" SELECT 'confirm', h.entity, h.feed, n.key"
	" FROM named n"
	" JOIN exact.entity_effective e ON e.entity_type = n.type AND e.row_kind = 'line'"
	" JOIN exact.entity_effective h ON h.feed = e.feed AND h.row_kind = 'header'"
	" WHERE EXISTS (SELECT FROM exact.record r"
	"  WHERE r.division = $1 AND r.entity = e.entity AND r.parent = n.key AND NOT r.deleted)"
	" ORDER BY 1 DESC, 2";
	ExactArg	args[3];

	args[0] = exact_arg_int4(lane->division);
	args[1] = exact_arg_text_array((const char *const *) keys, NULL, n);
	args[2] = exact_arg_int4_array(types, NULL, n);
	return exact_sql(sql, 3, args);
}

/* Rows of find_named() come in groups of one act and entity. */
int
exact_deletes_apply_log(ExactLane *lane, const ExactFeed *feed, const ExactPage *page, int64 run,
						int64 call)
{
	char	  **keys = palloc(Max(page->nrecords, 1) * sizeof(char *));
	int32	   *types = palloc(Max(page->nrecords, 1) * sizeof(int32));
	int			tombstones = 0;
	int			n;
	uint64		found;
	SPITupleTable *rows;

	if (page->nrecords == 0)
		return 0;
	n = read_log(lane, feed, page, keys, types);
	found = find_named(lane, keys, types, n);
	rows = SPI_tuptable;
	for (uint64 from = 0, to; from < found; from = to)
	{
		char	   *act;
		char	   *entity;
		char	   *of_feed;

		SPI_tuptable = rows;
		act = exact_cell_text(from, 1);
		entity = exact_cell_text(from, 2);
		of_feed = exact_cell_text(from, 3);
		for (to = from; to < found; to++)
			if (strcmp(exact_cell_text(to, 1), act) != 0 ||
				strcmp(exact_cell_text(to, 2), entity) != 0)
				break;
		keys = take_keys(from, to, 4, &n);
		if (strcmp(act, "delete") == 0)
			tombstones += exact_stage_delete(lane->division, of_feed, entity, NULL, keys, n,
											 run, call, "sync/Deleted");
		else
			want_keys(lane, entity, keys, n, EXACT_DIRTY_CONFIRM);
	}
	return tombstones;
}

/* ---- what a complete read does not show ---- */

/*
 * Why so many absent keys are not believed; NULL: they are. *rejected: an operator has refused
 * them before.
 */
static const char *
why_held(const ExactRun *run, const char *entity, ExactArg keys, int n, int64 *alive,
		 bool *rejected)
{
	static const char sql[] =
	"SELECT"
	"  (SELECT count(*) FROM exact.record"
	"   WHERE division = $1 AND entity = $2 AND NOT deleted),"
	"  EXISTS (SELECT FROM exact.token t"
	"   JOIN exact.division d ON d.app = t.app"
	"   WHERE d.division = $1 AND t.origin = 'authorize' AND t.issued_at > $3),"
	"  EXISTS (SELECT FROM exact.held_delete h"
	"   WHERE h.division = $1 AND h.entity = $2 AND h.state = 'rejected' AND h.keys @> $4::text[]),"
	"  (SELECT reason FROM exact.held_delete h"
	"   WHERE h.division = $1 AND h.entity = $2 AND h.state = 'held')";
	ExactArg	args[4];

	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(entity);
	args[2] = run->whole_at ? exact_arg_time(run->whole_at) : exact_arg_null(TIMESTAMPTZOID);
	args[3] = keys;
	exact_sql(sql, 4, args);
	*alive = exact_cell_int8(0, 1, 0);
	*rejected = exact_cell_bool(0, 3, false);
	if (!exact_cell_isnull(0, 4))
		return exact_cell_text(0, 4);	/* nobody has decided yet */
	if (exact_cell_bool(0, 2, false))
		return "somebody consented anew since they were last seen";
	if (run->run_rows == 0)
		return "the answer was empty";
	if (n > HELD_FROM && (int64) n * HELD_SHARE > *alive)
		return "more than 20 records and 5 % of the entity";
	return NULL;
}

/*
 * An empty answer for a table that is not, more than 20 keys and 5 % of it, or anything at all
 * after somebody consented anew is more likely a fault or a lost right than the end of so many
 * records: they are held until an operator says yes. What an operator has refused is not asked
 * again.
 */
static bool
hold(const ExactRun *run, const char *entity, char **keys, int n)
{
	static const char sql[] =
	"INSERT INTO exact.held_delete AS h (division, entity, keys, alive, reason, run)"
	" VALUES ($1, $2, $3::text[], $4, $5, $6)"
	" ON CONFLICT (division, entity) WHERE state = 'held' DO UPDATE SET"
	"  keys = excluded.keys,"
	"  alive = excluded.alive,"
	"  reason = excluded.reason,"
	"  run = excluded.run,"
	"  found_at = now()"
	" RETURNING id";
	ExactArg	args[6];
	const char *why;
	int64		alive;
	bool		rejected;

	args[2] = exact_arg_text_array((const char *const *) keys, NULL, n);
	why = why_held(run, entity, args[2], n, &alive, &rejected);
	if (rejected)
		return true;
	if (why == NULL)
		return false;
	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(entity);
	args[3] = exact_arg_int8(alive);
	args[4] = exact_arg_text(why);
	args[5] = exact_arg_int8(run->run);
	exact_sql(sql, 6, args);
	exact_log(LOG, "alarm division=%d entity=%s absent=%d of=" INT64_FORMAT
			  " held=" INT64_FORMAT " reason=\"%s\"",
			  run->lane->division, entity, n, alive, exact_cell_int8(0, 1, 0), why);
	return true;
}

/*
 * What the run did not see of an entity; header: of a combined set. Keys are column 1 of the
 * result.
 */
static uint64
find_absent(const ExactRun *run, const ExactFeedEntity *entity, const char *header,
			bool of_documents)
{
	static const char records_sql[] =
	"SELECT key"
	" FROM exact.record"
	" WHERE division = $1 AND entity = $2 AND NOT deleted"
	" AND coalesce(run, 0) < $3 AND first_seen < $4";
	/* where lines are read without their documents: the documents whose lines are missing */
	static const char documents_sql[] =
	"SELECT DISTINCT parent"
	" FROM exact.record"
	" WHERE division = $1 AND entity = $2 AND NOT deleted"
	" AND coalesce(run, 0) < $3 AND first_seen < $4 AND parent IS NOT NULL";
	static const char lines_sql[] =
	"WITH seen AS ("
	"  SELECT key FROM exact.record WHERE division = $1 AND entity = $2 AND run = $3"
	"  UNION"
	"  SELECT parent FROM exact.record WHERE division = $1 AND entity = $5 AND run = $3)"
	" SELECT l.key"
	" FROM seen"
	" JOIN exact.record l ON l.division = $1 AND l.entity = $5 AND l.parent = seen.key"
	" WHERE NOT l.deleted AND coalesce(l.run, 0) < $3 AND l.first_seen < $4";
	ExactArg	args[5];

	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(run->whole ? entity->name : header);
	args[2] = exact_arg_int8(run->run);
	args[3] = exact_arg_time(run->run_started_at);
	args[4] = exact_arg_text(entity->name);
	if (!run->whole)
		return exact_sql(lines_sql, 5, args);
	return exact_sql(of_documents ? documents_sql : records_sql, 4, args);
}

/* A whole read shows them all again: the question to the operator is answered. */
static void
end_hold(const ExactRun *run, const char *entity)
{
	static const char sql[] =
	"UPDATE exact.held_delete"
	" SET state = 'returned', decided_by = 'a complete read', decided_at = now()"
	" WHERE division = $1 AND entity = $2 AND state = 'held'";
	ExactArg	args[2];

	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(entity);
	exact_sql(sql, 2, args);
}

/*
 * Absent means: known before the run began, alive, not seen in the run. In a run from a mark that
 * is only true of a combined set's lines, and only of documents that the run did see; in a run
 * over everything, of every record.
 */
int
exact_deletes_absent(const ExactRun *run, int64 call)
{
	const ExactFeed *feed = run->def;
	const char *header = NULL;
	int			tombstones = 0;

	for (int e = 0; e < feed->nentities; e++)
	{
		const ExactFeedEntity *entity = &feed->entities[e];
		bool		of_documents = exact_feed_is_document_line(feed, entity);
		const ExactFeedEntity *asked = of_documents ? &feed->entities[0] : entity;
		uint64		found;
		char	  **keys;
		int			n;

		if (entity->row_kind == EXACT_FEED_HEADER)
			header = entity->name;
		if (of_documents && (!run->whole || run->enabled[0]))
			continue;			/* they go with their documents */
		if (!run->enabled[e] ||
			(!run->whole && (entity->row_kind != EXACT_FEED_LINE || header == NULL)))
			continue;
		found = find_absent(run, entity, header, of_documents);
		if (found == 0)
		{
			if (run->whole)
				end_hold(run, asked->name);
			continue;
		}
		keys = take_keys(0, found, 1, &n);
		if (run->whole && hold(run, asked->name, keys, n))
			continue;
		if (asked->plain_resource != NULL && asked->plain_key != NULL)
			want_keys(run->lane, asked->name, keys, n,
					  feed->method == EXACT_FEED_SYNC ? EXACT_DIRTY_CONFIRM : EXACT_DIRTY_ABSENT);
		else
			tombstones += exact_stage_delete(run->lane->division, feed->name, entity->name, NULL,
											 keys, n, run->run, call,
											 "absent from a complete read");
	}
	return tombstones;
}

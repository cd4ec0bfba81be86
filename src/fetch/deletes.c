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
#include "utils/guc.h"

#include "base/errors.h"
#include "base/sql.h"
#include "exact_online/feed.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"
#include "fetch/deletes.h"
#include "fetch/lane.h"
#include "stage/absence.h"
#include "stage/aside.h"
#include "stage/stage.h"
#include "state/dirty_key.h"
#include "state/feed_state.h"
#include "worker/self.h"

#define PORTION 10000			/* keys that are taken into memory at a time */

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
 * Which of our records does the log name? A line of a combined set is deleted by its own entry, and
 * its document is asked for, which the log has not named; an entry with a document's id puts that
 * up for confirmation.
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
	" SELECT 'ask', h.entity, h.feed, o.parent"
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

/*
 * Rows of find_named() come in groups of one act and entity. While Exact Online works on the
 * division, what it logs is asked for like all else, until it does no more.
 */
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
		if (strcmp(act, "delete") == 0 && lane->blocking_status == 0)
			tombstones += exact_stage_delete(lane->division, of_feed, entity, NULL, keys, n,
											 run, call, "sync/Deleted");
		else
			want_keys(lane, entity, keys, n,
					  strcmp(act, "ask") == 0 ? EXACT_DIRTY_CONFIRM : EXACT_DIRTY_LOGGED);
	}
	return tombstones;
}

/* ---- what a complete read does not show ---- */

/* Lines of these documents that the run did not show. */
static uint64
find_lines(const ExactRun *run, const char *lines, char **documents, int ndocuments)
{
	static const char sql[] =
	"WITH seen AS MATERIALIZED ("
	"  SELECT unnest($5::text[]) AS key"
	"  UNION"
	"  SELECT key FROM exact.seen_document WHERE division = $1 AND feed = $6 AND run = $3)"
	" SELECT l.key"
	" FROM seen"
	" JOIN LATERAL (SELECT key, run, first_seen"
	"  FROM exact.record r"
	"  WHERE r.division = $1 AND r.entity = $2 AND r.parent = seen.key AND NOT r.deleted"
	"  OFFSET 0) l ON coalesce(l.run, 0) < $3 AND l.first_seen < $4";
	ExactArg	args[6];
	int			level = exact_sql_index_nest_level();
	uint64		n;

	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(lines);
	args[2] = exact_arg_int8(run->run);
	args[3] = exact_arg_time(run->run_started_at);
	args[4] = exact_arg_text_array((const char *const *) documents, NULL, ndocuments);
	args[5] = exact_arg_text(run->name);
	n = exact_sql(sql, 6, args);
	AtEOXact_GUC(true, level);
	return n;
}

/* Keys of the documents on a page of a combined set, of whose lines it may show the rest. */
static char **
documents_of(const ExactFeedEntity *lines, const ExactPage *page, int *n)
{
	char	  **keys = palloc((page->nrecords + 1) * sizeof(char *));

	*n = 0;
	for (int i = 0; i < page->nrecords; i++)
	{
		char	   *key = exact_feed_key(&page->records[i], lines->parent);

		if (key != NULL)
			keys[(*n)++] = key;
	}
	return keys;
}

static void
keep_documents(const ExactRun *run, char **documents, int ndocuments)
{
	static const char sql[] =
	"INSERT INTO exact.seen_document (division, feed, run, key)"
	" SELECT DISTINCT $1::int, $2, $3::bigint, unnest($4::text[])"
	" ON CONFLICT DO NOTHING";
	ExactArg	args[4];

	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(run->name);
	args[2] = exact_arg_int8(run->run);
	args[3] = exact_arg_text_array((const char *const *) documents, NULL, ndocuments);
	exact_sql(sql, 4, args);
}

static void
forget_documents(const ExactRun *run)
{
	static const char sql[] =
	"DELETE FROM exact.seen_document WHERE division = $1 AND feed = $2 AND run <= $3";
	ExactArg	args[3];

	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(run->name);
	args[2] = exact_arg_int8(run->run);
	exact_sql(sql, 3, args);
}

/* Has these keys asked for; where nobody can be asked, they are held. */
static int
settle_absent(const ExactRun *run, const ExactFeedEntity *entity, char **keys, int nkeys,
			  int64 call)
{
	const ExactFeed *feed = run->def;
	ExactAbsence absence = {.division = run->lane->division,.feed = feed->name,
	.entity = entity->name};

	if (entity->plain_resource != NULL && entity->plain_key != NULL)
	{
		want_keys(run->lane, entity->name, keys, nkeys,
				  feed->method == EXACT_FEED_SYNC ? EXACT_DIRTY_CONFIRM : EXACT_DIRTY_ABSENT);
		return 0;
	}
	absence.doubt = "the hub cannot ask for these records again";
	keys = exact_absence_judge(&absence, keys, nkeys, &nkeys);
	return nkeys == 0 ? 0 : exact_stage_delete(run->lane->division, feed->name, entity->name, NULL,
											   keys, nkeys, run->run, call,
											   "absent from a complete read");
}

/* In a run from a mark, only lines of the documents that it did see are absent. */
static int
absent_lines(const ExactRun *run, const ExactFeedEntity *lines, const ExactPage *page,
			 bool last, int64 call)
{
	char	  **documents;
	char	  **keys;
	uint64		found;
	int			n;

	if (run->run_rows == 0)
		return 0;
	documents = documents_of(lines, page, &n);
	if (!last)
	{
		keep_documents(run, documents, n);
		return 0;
	}
	found = find_lines(run, lines->name, documents, n);
	if (found > 0)
		keys = take_keys(0, found, 1, &n);
	if (run->run_rows > page->nrecords)
		forget_documents(run);
	return found == 0 ? 0 : settle_absent(run, lines, keys, n, call);
}

/* May what the run did not see of an entity be asked for? Else it is held, or was refused. */
static bool
is_believed(const ExactRun *run, const char *entity)
{
	static const char sql[] =
	"SELECT j.absent, j.believed, j.held, j.reason, j.alive"
	" FROM exact._judge_run($1, $2, $3, $4, $5, $6) j";
	ExactArg	args[6];

	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_int8(run->run);
	args[3] = exact_arg_time(run->run_started_at);
	args[4] = exact_arg_int8(run->run_rows);
	args[5] = run->whole_at ? exact_arg_time(run->whole_at) : exact_arg_null(TIMESTAMPTZOID);
	exact_sql(sql, 6, args);
	if (!exact_cell_isnull(0, 3))
		exact_log(LOG, "alarm division=%d entity=%s absent=" INT64_FORMAT " of=" INT64_FORMAT
				  " held=" INT64_FORMAT " reason=\"%s\"",
				  run->lane->division, entity, exact_cell_int8(0, 1, 0),
				  exact_cell_int8(0, 5, 0), exact_cell_int8(0, 3, 0), exact_cell_text(0, 4));
	return exact_cell_bool(0, 2, false);
}

/*
 * What the run did not see of an entity, in portions: a table of ten million records is not taken
 * into memory. of_documents: the documents of these lines.
 */
static int
absent_records(const ExactRun *run, const ExactFeedEntity *entity, bool of_documents, int64 call)
{
#define ABSENT_SQL(key) \
	"SELECT DISTINCT r." key \
	" FROM exact.record r" \
	" WHERE r.division = $1 AND r.entity = $2 AND NOT r.deleted AND r." key " > $5" \
	" AND coalesce(r.run, 0) < $3 AND r.first_seen < $4" \
	" AND NOT EXISTS (SELECT FROM exact._held_record h" \
	"  WHERE h.division = $1 AND h.entity = $2 AND h.key = r.key AND h.state = 'rejected'" \
	"  OFFSET 0)" \
	" ORDER BY 1 LIMIT " CppAsString2(PORTION)
	static const char records_sql[] = ABSENT_SQL("key");
	static const char documents_sql[] = ABSENT_SQL("parent");
	const char *last = "";
	int			tombstones = 0;
	ExactArg	args[5];
	char	  **keys;
	int			n;

	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(entity->name);
	args[2] = exact_arg_int8(run->run);
	args[3] = exact_arg_time(run->run_started_at);
	do
	{
		int			level = exact_sql_index_nest_level();
		uint64		found;

		args[4] = exact_arg_text(last);
		found = exact_sql(of_documents ? documents_sql : records_sql, 5, args);
		AtEOXact_GUC(true, level);
		if (found == 0)
			break;
		keys = take_keys(0, found, 1, &n);
		last = keys[n - 1];
		tombstones += settle_absent(run, entity, keys, n, call);
	}
	while (n == PORTION);
	return tombstones;
}

/*
 * Absent means: known before the run began, alive, not seen in the run. In a run from a mark that
 * is only true of a combined set's lines, and only of documents that the run did see; in a run
 * over everything, of every record.
 */
int
exact_deletes_absent(const ExactRun *run, const ExactPage *page, bool last,
					 int64 call)
{
	const ExactFeed *feed = run->def;
	const char *header = NULL;
	int			tombstones = 0;

	for (int e = 0; e < feed->nentities; e++)
	{
		const ExactFeedEntity *entity = &feed->entities[e];
		bool		of_documents = exact_feed_is_document_line(feed, entity);

		if (entity->row_kind == EXACT_FEED_HEADER)
			header = entity->name;
		if (!run->enabled[e] || (of_documents && (!run->whole || run->enabled[0])))
			continue;			/* lines of documents go with these */
		if (run->whole)
		{
			if (last && is_believed(run, entity->name))
				tombstones += absent_records(run, entity, of_documents, call);
		}
		else if (entity->row_kind == EXACT_FEED_LINE && header != NULL)
			tombstones += absent_lines(run, entity, page, last, call);
	}
	return tombstones;
}

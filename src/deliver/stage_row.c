/*
 * stage_row.c - versions of exact.stage as a delivery reads them, with what was put aside of them.
 *
 * Called by delivery.c.
 */
#include "postgres.h"

#include "utils/datetime.h"

#include "base/sql.h"
#include "deliver/backlog.h"
#include "deliver/stage_row.h"

char *
exact_stage_row_previous(const char *workspace, ExactStageRow *row)
{
	static const char sql[] =
	"SELECT s.payload, s.prev_slot::int, s.prev_batch, s.prev_ord, l.id IS NOT NULL"
	" FROM exact.stage s"
	" LEFT JOIN exact.dead_letter l"
	"  ON l.side = 'delivery' AND l.workspace = $4 AND l.batch = s.batch AND l.ord = s.ord"
	"  AND l.state IN ('dead', 'passed')"
	" WHERE s.slot = $1 AND s.batch = $2 AND s.ord = $3";

	while (row->prev_batch != 0)
	{
		ExactArg	args[4];
		uint64		n;
		char	   *payload = NULL;

		args[0] = exact_arg_int4(row->prev_slot);
		args[1] = exact_arg_int8(row->prev_batch);
		args[2] = exact_arg_int4(row->prev_ord);
		args[3] = exact_arg_text(workspace);
		n = exact_sql(sql, 4, args);
		if (n == 1 && !exact_cell_bool(0, 5, false))
			payload = exact_cell_text(0, 1);
		if (payload != NULL || n != 1)
			return payload;
		row->prev_slot = (int) exact_cell_int8(0, 2, 0);
		row->prev_batch = exact_cell_int8(0, 3, 0);
		row->prev_ord = (int) exact_cell_int8(0, 4, 0);
	}
	return NULL;
}

#define STAGE_ROW_SQL(held) \
	" SELECT s.ord, s.seq, s.division, s.key, s.op," \
	" s.at," \
	" s.payload, s.prev_slot::int, s.prev_batch, s.prev_ord, s.slot::int, s.batch," \
	" l.id IS NOT NULL OR s.op = 'E', l.column_name IS NOT NULL AND s.op = 'D'," \
	" " held ", v.problems, v.changed_at, coalesce(v.again, false)"

/* What a rule found about the version */
#define VERDICT_SQL \
	" LEFT JOIN LATERAL (SELECT x.* FROM exact.verdict x" \
	"  WHERE x.batch = s.batch AND x.ord = s.ord OFFSET 0) v ON true"

static ExactVersionHeld
held_of(const char *text)
{
	return text == NULL ? EXACT_VERSION_GOES
		: strcmp(text, "held") == 0 ? EXACT_VERSION_MARKS : EXACT_VERSION_WAITS;
}

/* "2026-11-28T05:06:07.123456Z" */
static char *
in_utc(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("exact.stage has a version whose time is out of range")));
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
}

/* The result of such a statement */
static void
take_rows(int n, ExactStageRow *rows)
{
	for (int i = 0; i < n; i++)
	{
		ExactStageRow *row = &rows[i];
		ExactVersion *version = &row->version;

		row->ord = (int) exact_cell_int8(i, 1, 0);
		version->seq = exact_cell_int8(i, 2, 0);
		version->division = (int) exact_cell_int8(i, 3, 0);
		version->key = exact_cell_text(i, 4);
		version->op = *exact_cell_text(i, 5);
		version->staged_at = in_utc(exact_cell_time(i, 6, 0));
		version->record = exact_cell_text(i, 7);
		version->known = NULL;
		row->prev_slot = (int) exact_cell_int8(i, 8, 0);
		row->prev_batch = exact_cell_int8(i, 9, 0);
		row->prev_ord = (int) exact_cell_int8(i, 10, 0);
		row->slot = (int) exact_cell_int8(i, 11, 0);
		version->batch = exact_cell_int8(i, 12, 0);
		row->aside = exact_cell_bool(i, 13, false);
		row->bare = exact_cell_bool(i, 14, false);
		version->held = held_of(exact_cell_text(i, 15));
		version->problems = exact_cell_text(i, 16);
		row->judged_at = exact_cell_time(i, 17, 0);
		row->again = exact_cell_bool(i, 18, false);
	}
}

int
exact_stage_row_read(const char *workspace, const ExactBatch *batch, int from, int most,
					 ExactStageRow *rows)
{
	/* of a replay only the newest versions may change what the current table shows */
	static const char sql[] =
	STAGE_ROW_SQL("coalesce(v.held, CASE WHEN $6 AND"
				  " (SELECT r.seq FROM exact.record r WHERE r.division = s.division"
				  "  AND r.entity = s.entity AND r.key = s.key) > s.seq THEN 'passed' END)")
	" FROM exact.stage s"
	" LEFT JOIN exact.dead_letter l"
	"  ON l.side = 'delivery' AND l.workspace = $5 AND l.batch = s.batch AND l.ord = s.ord"
	"  AND l.state <> 'done'"
	VERDICT_SQL
	" WHERE s.slot = $1 AND s.batch = $2"
	" ORDER BY s.ord"
	" OFFSET $3 LIMIT $4";
	ExactArg	args[6];
	int			n;

	args[0] = exact_arg_int4(batch->slot);
	args[1] = exact_arg_int8(batch->id);
	args[2] = exact_arg_int8(from);
	args[3] = exact_arg_int8(most);
	args[4] = exact_arg_text(workspace);
	args[5] = exact_arg_bool(batch->replay);
	n = (int) exact_sql_by_index_of_partition(sql, 6, args);
	take_rows(n, rows);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("batch " INT64_FORMAT " should have %d rows, the stage has %d",
						batch->id, batch->rows, from),
				 errhint("Restore the database from a backup, or set delivered_at of that batch to"
						 " give it up.")));
	return n;
}

int
exact_stage_row_read_aside(const char *workspace, const char *entity, int64 above,
						   ExactStageRow *rows)
{
	static const char sql[] =
	"WITH a AS MATERIALIZED ("
	"  (SELECT l.slot, l.batch, l.ord, l.seq"
	"  FROM exact.dead_letter l"
	"  WHERE l.side = 'delivery' AND l.workspace = $1 AND l.entity = $2 AND l.state = 'retry'"
	"  AND l.seq > $4"
	"  ORDER BY l.seq"
	"  LIMIT $3)"
	"  UNION"
	"  (SELECT v.slot, v.batch, v.ord, v.seq"
	"  FROM exact.verdict v"
	"  WHERE v.again AND v.workspace = $1 AND v.entity = $2 AND v.seq > $4"
	"  AND NOT EXISTS (SELECT FROM exact.dead_letter l"
	"   WHERE l.side = 'delivery' AND l.workspace = $1 AND l.batch = v.batch AND l.ord = v.ord"
	"   AND l.state <> 'done')"
	"  ORDER BY v.seq"
	"  LIMIT $3))"
	STAGE_ROW_SQL("v.held")
	" FROM a"
	" JOIN exact.stage s ON s.slot = a.slot AND s.batch = a.batch AND s.ord = a.ord"
	"  AND s.op <> 'E'"
	" LEFT JOIN exact.dead_letter l"
	"  ON l.side = 'delivery' AND l.workspace = $1 AND l.batch = s.batch AND l.ord = s.ord"
	"  AND l.state = 'retry'"
	VERDICT_SQL
	" ORDER BY a.seq"
	" LIMIT $3";
	ExactArg	args[4];
	int			n;

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_int8(EXACT_STAGE_ROW_READ);
	args[3] = exact_arg_int8(above);
	n = (int) exact_sql_by_index(sql, 4, args);
	take_rows(n, rows);
	return n;
}

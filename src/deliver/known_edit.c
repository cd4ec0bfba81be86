/*
 * known_edit.c - rows of a dimension that users have edited in Delta: what a delivery may write
 * over, and what it left alone.
 *
 * Called by delivery.c.
 */
#include "postgres.h"

#include "base/sql.h"
#include "deliver/known_edit.h"

/* Columns of the answer to exact_merge_sql_check_edited() */
enum
{
	CHECK_DIVISION,
	CHECK_KEY,
	CHECK_SEQ,
	CHECK_ARRIVED,
	CHECK_HELD,
	CHECK_COLUMNS
};

/* A key has one edit at most. */
void
exact_known_edit_read(const char *entity, ExactStageRow *rows, int n)
{
	static const char sql[] =
	"SELECT u.ord::int, k.hash"
	" FROM unnest($2::int[], $3::text[]) WITH ORDINALITY AS u (division, key, ord)"
	" JOIN exact.dimension_known k"
	" ON k.entity = $1 AND k.division = u.division AND k.key = u.key";
	int32	   *divisions = palloc(sizeof(int32) * Max(n, 1));
	const char **keys = palloc(sizeof(char *) * Max(n, 1));
	ExactArg	args[3];
	uint64		found;

	for (int i = 0; i < n; i++)
	{
		divisions[i] = rows[i].version.division;
		keys[i] = rows[i].version.key;
	}
	args[0] = exact_arg_text(entity);
	args[1] = exact_arg_int4_array(divisions, NULL, n);
	args[2] = exact_arg_text_array(keys, NULL, n);
	found = exact_sql(sql, 3, args);
	for (uint64 i = 0; i < found; i++)
		rows[exact_cell_int8(i, 1, 1) - 1].version.known = exact_cell_text(i, 2);
	pfree(divisions);
	pfree(keys);
}

static int
compare_seqs(const void *a, const void *b)
{
	int64		x = (*(ExactSentRow *const *) a)->seq;
	int64		y = (*(ExactSentRow *const *) b)->seq;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* The version of this number in rows that are in order; NULL: there is none */
static ExactSentRow *
find_version(ExactSentRow **rows, int n, const char *seq)
{
	ExactSentRow wanted = {.seq = seq != NULL ? strtoll(seq, NULL, 10) : -1};
	ExactSentRow *key = &wanted;
	ExactSentRow **found = bsearch(&key, rows, n, sizeof(ExactSentRow *), compare_seqs);

	return found != NULL ? *found : NULL;
}

int64
exact_known_edit_prove(const ExactStatementResult *result, ExactSentRow *rows, int n)
{
	ExactSentRow **by_seq = palloc(sizeof(ExactSentRow *) * Max(n, 1));
	int64		proved = 0;

	for (int i = 0; i < n; i++)
	{
		rows[i].held = false;
		by_seq[i] = &rows[i];
	}
	qsort(by_seq, n, sizeof(ExactSentRow *), compare_seqs);
	for (int r = 0; r < result->nrows && result->ncolumns == CHECK_COLUMNS; r++)
	{
		char	  **cells = &result->cells[r * CHECK_COLUMNS];
		bool		arrived = cells[CHECK_ARRIVED] != NULL && atoi(cells[CHECK_ARRIVED]) > 0;
		bool		held = cells[CHECK_HELD] != NULL && atoi(cells[CHECK_HELD]) > 0;
		ExactSentRow *row = find_version(by_seq, n, cells[CHECK_SEQ]);

		if (row == NULL)
			continue;
		row->held = held && !arrived;
		proved += arrived || held ? 1 : 0;
	}
	pfree(by_seq);
	return proved;
}

/* Calls a function with the rows that an edit kept out, or with those that it did not. */
static void
tell(const char *sql, const char *entity, const ExactSentRow *rows, int n, bool held)
{
	int32	   *divisions = palloc(sizeof(int32) * Max(n, 1));
	const char **keys = palloc(sizeof(char *) * Max(n, 1));
	const char **knowns = palloc(sizeof(char *) * Max(n, 1));
	ExactArg	args[4];
	int			told = 0;

	for (int i = 0; i < n; i++)
	{
		if (rows[i].held != held || (!held && rows[i].known == NULL))
			continue;
		divisions[told] = rows[i].division;
		keys[told] = rows[i].key;
		knowns[told++] = rows[i].known;
	}
	args[0] = exact_arg_text(entity);
	args[1] = exact_arg_int4_array(divisions, NULL, told);
	args[2] = exact_arg_text_array(keys, NULL, told);
	args[3] = exact_arg_text_array(knowns, NULL, told);
	if (told > 0)
		exact_sql(sql, held ? 3 : 4, args);
}

void
exact_known_edit_record(const char *entity, const ExactSentRow *rows, int n)
{
	static const char held_sql[] = "SELECT exact._dimension_held($1, $2, $3)";
	static const char delivered_sql[] = "SELECT exact._dimension_delivered($1, $2, $3, $4)";

	tell(held_sql, entity, rows, n, true);
	tell(delivered_sql, entity, rows, n, false);
}

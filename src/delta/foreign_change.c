/*
 * foreign_change.c - what somebody else did to a Delta table.
 *
 * Called by presence.c. The first columns of DESCRIBE HISTORY are the same everywhere; where the
 * service puts those behind them is not promised, so they are told by what they hold.
 */
#include "postgres.h"

#include "base/json.h"
#include "base/sql.h"
#include "base/words.h"
#include "databricks/databricks_answer.h"
#include "databricks/statement.h"
#include "delta/foreign_change.h"

/* The first columns of DESCRIBE HISTORY */
enum
{
	COLUMN_VERSION,
	COLUMN_TIME,
	COLUMN_USER_ID,
	COLUMN_USER_NAME,
	COLUMN_OPERATION,
	COLUMN_PARAMETERS,
	COLUMNS_FIXED
};

#define STATEMENT_ID_LENGTH 36

typedef struct Operations
{
	const ExactStatementResult *result;
	const char *table;
	int64		known;
	bool		edited;			/* users may edit its rows */
} Operations;

static const char *
cell(const Operations *o, int row, int column)
{
	const char *text = o->result->cells[row * o->result->ncolumns + column];

	return text != NULL ? text : "";
}

static int64
version_of(const Operations *o, int row)
{
	return strtoll(cell(o, row, COLUMN_VERSION), NULL, 10);
}

static bool
is_operation(const Operations *o, int row, const char *name)
{
	return pg_strcasecmp(cell(o, row, COLUMN_OPERATION), name) == 0;
}

/* A member of an object in a cell; NULL: it is absent */
static char *
member(const char *object, const char *name)
{
	ExactJsonMember found;

	if (*object != '{' || !exact_json_find(object, strlen(object), name, &found))
		return NULL;
	return exact_json_text(&found);
}

/* A count that the operation tells of itself; -1: it does not */
static int64
count_of(const Operations *o, int row, const char *name)
{
	for (int c = COLUMNS_FIXED; c < o->result->ncolumns; c++)
	{
		const char *count = member(cell(o, row, c), name);

		if (count != NULL)
			return strtoll(count, NULL, 10);
	}
	return -1;
}

/* Does every count that is told say that no row was changed? A MERGE counts copied rows, too. */
static bool
changed_nothing(const Operations *o, int row)
{
	static const char *const counts[] = {
		"numUpdatedRows", "numDeletedRows", "numTargetRowsInserted", "numTargetRowsUpdated",
		"numTargetRowsDeleted", "numOutputRows"
	};
	int			n = lengthof(counts) - (is_operation(o, row, "MERGE") ? 1 : 0);
	bool		told = false;

	for (int i = 0; i < n; i++)
	{
		int64		count = count_of(o, row, counts[i]);

		if (count > 0)
			return false;
		told |= count == 0;
	}
	return told;
}

/* Does an operation of this name change rows? All others arrange files or describe the table. */
static bool
changes_rows(const Operations *o, int row)
{
	static const char *const names[] = {
		"WRITE", "MERGE", "UPDATE", "DELETE", "TRUNCATE", "RESTORE", "STREAMING UPDATE",
		"COPY INTO", "CLONE", "REPLACE TABLE", "REPLACE TABLE AS SELECT",
		"CREATE OR REPLACE TABLE", "CREATE OR REPLACE TABLE AS SELECT",
		"CREATE TABLE AS SELECT"
	};

	for (int i = 0; i < (int) lengthof(names); i++)
		if (is_operation(o, row, names[i]))
			return !changed_nothing(o, row);
	return false;
}

/* Is one of these cells the id of a statement that was sent from here? */
static bool
was_sent(const Operations *o, int row)
{
	static const char sql[] =
	"SELECT"
	" FROM exact.statement_log l"
	" WHERE l.statement_id = ANY ($1)"
	" LIMIT 1";
	const char **ids = palloc(sizeof(char *) * o->result->ncolumns);
	ExactArg	args[1];
	int			n = 0;

	for (int c = COLUMNS_FIXED; c < o->result->ncolumns; c++)
		if (strlen(cell(o, row, c)) == STATEMENT_ID_LENGTH)
			ids[n++] = cell(o, row, c);
	args[0] = exact_arg_text_array(ids, NULL, n);
	return n > 0 && exact_sql(sql, 1, args) > 0;
}

static bool
is_append(const Operations *o, int row)
{
	const char *mode = member(cell(o, row, COLUMN_PARAMETERS), "mode");

	return is_operation(o, row, "WRITE") && mode != NULL && strcmp(mode, "Append") == 0;
}

/* The first rows of a table, as many as the hub sent to it as its first ones */
static bool
is_first_insert(const Operations *o, int row)
{
	static const char sql[] =
	"SELECT"
	" FROM exact.target_state t"
	" WHERE $1 IN (t.table_name, t.history_name) AND t.first_rows = $2"
	" LIMIT 1";
	int			last = o->result->nrows - 1;
	ExactArg	args[2];

	if (version_of(o, last) > 1)
		return false;
	for (int below = row + 1; below <= last; below++)
		if (changes_rows(o, below))
			return false;
	args[0] = exact_arg_text(o->table);
	args[1] = exact_arg_int8(count_of(o, row, "numOutputRows"));
	return exact_sql(sql, 2, args) > 0;
}

/*
 * A MERGE of the hub compares these three, an INSERT is the first one of its table; one that does
 * not tell it has an id.
 */
static bool
is_own(const Operations *o, int row)
{
	const char *conditions = cell(o, row, COLUMN_PARAMETERS);

	if (is_append(o, row))
		return is_first_insert(o, row) || was_sent(o, row);
	if (!is_operation(o, row, "MERGE"))
		return false;
	return (strstr(conditions, "_division") != NULL && strstr(conditions, "_key") != NULL &&
			strstr(conditions, "_seq") != NULL) || was_sent(o, row);
}

static bool
is_listed(const Operations *o, int row)
{
	return row < o->result->nrows && version_of(o, row) > o->known;
}

/*
 * The first row below a RESTORE that took back what others did, and nothing of the hub's; the row
 * itself: it is none. What it went back to may be older than the last look.
 */
static int
skip_undone(const Operations *o, int row)
{
	const char *to = is_operation(o, row, "RESTORE") ?
		member(cell(o, row, COLUMN_PARAMETERS), "version") : NULL;
	int			below = row + 1;

	if (to == NULL || *to == '\0')
		return row;
	while (below < o->result->nrows && version_of(o, below) > strtoll(to, NULL, 10))
		if (is_own(o, below++))
			return row;
	return below < o->result->nrows ? below : row;
}

static char *
tell(const Operations *o, int row)
{
	const char *operation = exact_words_tidy(cell(o, row, COLUMN_OPERATION),
											 EXACT_DATABRICKS_WORDS_MAX);
	const char *who = exact_words_tidy(cell(o, row, COLUMN_USER_NAME), EXACT_DATABRICKS_WORDS_MAX);

	const char *at = exact_words_tidy(cell(o, row, COLUMN_TIME), EXACT_DATABRICKS_WORDS_MAX);

	if (who == NULL)
		who = exact_words_tidy(cell(o, row, COLUMN_USER_ID), EXACT_DATABRICKS_WORDS_MAX);
	return psprintf("%s by %s in version " INT64_FORMAT " at %s",
					operation ? operation : "an operation", who ? who : "an unknown user",
					version_of(o, row), at ? at : "");
}

/*
 * Rows were added or changed, or a user of a dimension has deleted some; whatever else was done may
 * have taken some away.
 */
static bool
is_edit(const Operations *o, int row)
{
	if (is_operation(o, row, "UPDATE") || (o->edited && is_operation(o, row, "DELETE")))
		return true;
	if (is_operation(o, row, "MERGE"))
		return o->edited || count_of(o, row, "numTargetRowsDeleted") == 0;
	return is_append(o, row);
}

static void
look_at_rows(const Operations *o, ExactForeignChange *change)
{
	bool		own_above = false;
	int			others = 0;
	int			row = 0;

	while (is_listed(o, row))
	{
		int			next = skip_undone(o, row);

		if (next != row)
		{
			row = next;
			continue;
		}
		if (changes_rows(o, row))
		{
			if (is_own(o, row))
				own_above = true;
			else
			{
				if (change->what == NULL)
					change->what = tell(o, row);
				else
					others++;
				/* what users may edit is kept, as what the hub wrote */
				if (o->edited && is_edit(o, row))
					own_above = true;
				else
					change->before = own_above ? -1 : version_of(o, row) - 1;
				change->edit &= is_edit(o, row);
			}
		}
		row++;
	}
	if (others > 0)
		change->what = psprintf("%s, and %d more", change->what, others);
}

void
exact_foreign_change_find(const ExactStatementResult *operations, const char *table, int64 known,
						  bool edited, ExactForeignChange *change)
{
	Operations	o = {operations, table, known, edited};
	bool		readable = operations->nrows > 0 && operations->ncolumns >= COLUMNS_FIXED;
	int64		oldest;

	*change = (ExactForeignChange) {-1, NULL, true, -1, -1};
	if (!readable)
		return;
	change->newest = version_of(&o, 0);
	if (known == EXACT_FOREIGN_CHANGE_FROM_NOW)
		return;
	if (change->newest < known)
	{
		change->edit = false;
		change->what = psprintf("it was made anew, its version " INT64_FORMAT " was "
								INT64_FORMAT " before", change->newest, known);
		return;
	}
	look_at_rows(&o, change);
	oldest = version_of(&o, operations->nrows - 1);
	if (oldest > known + 1)
		change->unlisted = oldest;
}

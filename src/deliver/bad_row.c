/*
 * bad_row.c - rows of a delivery that Databricks cannot take, and putting them aside.
 *
 * Called by delivery.c: when a statement was refused for a value, one SELECT says which rows have
 * such values and in which columns.
 */
#include "postgres.h"

#include "base/errors.h"
#include "base/fault.h"
#include "base/words.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "deliver/bad_row.h"
#include "delta/merge_sql.h"
#include "delta/target.h"
#include "state/dead_letter.h"
#include "worker/self.h"
#include "worker/unit.h"

/* What the answer names */
typedef struct Found
{
	const ExactSentRow *row;
	/* the first one that does not fit; NULL: the row does not meet the constraint */
	const ExactColumn *column;
	char	   *value_type;		/* NULL: as the column is */
	int64		id;				/* of its letter, when that is new; else 0 */
} Found;

typedef struct PutAside
{
	const ExactBadRowSearch *search;
	Found	   *found;
	int			n;
} PutAside;

/* 22023 is about a text that was cut or cannot be read, not about a value of it. */
bool
exact_bad_row_meant(const char *sqlstate)
{
	return strncmp(sqlstate, "23", 2) == 0 ||
		(strncmp(sqlstate, "22", 2) == 0 && strcmp(sqlstate, "22023") != 0);
}

const char *
exact_bad_row_condition(const ExactTarget *target, const char *constraint,
						const ExactStatementResult *properties)
{
	char	   *key = psprintf("delta.constraints.%s", constraint);
	StringInfoData not_null;

	for (int r = 0; r < properties->nrows && properties->ncolumns >= 2; r++)
	{
		const char *name = properties->cells[r * properties->ncolumns];

		if (name != NULL && pg_strcasecmp(name, key) == 0)
			return properties->cells[r * properties->ncolumns + 1];
	}
	for (int i = 0; i < target->ncolumns; i++)
	{
		if (pg_strcasecmp(target->columns[i].name, constraint) != 0)
			continue;
		initStringInfo(&not_null);
		exact_delta_sql_identifier(&not_null, target->columns[i].name);
		appendStringInfoString(&not_null, " IS NOT NULL");
		return not_null.data;
	}
	return NULL;
}

/* ---- what there is to say of a value ---- */

static char *
make_reason(const ExactBadRowSearch *search, const ExactColumn *column)
{
	if (column == NULL)
		return psprintf("it does not meet the constraint %s of %s",
						exact_words_tidy(search->constraint, NAMEDATALEN),
						search->plan->current_name);
	return psprintf("the value of %s does not fit %s", column->name, column->type);
}

/* What kind of value it is, without the value: "number of 27 characters" of "4:27n," */
static char *
describe_value(const char *columns)
{
	const char *length = strchr(columns, ':');
	char	   *kind;
	long		n = length != NULL ? strtol(length + 1, &kind, 10) : 0;

	if (length == NULL)
		return pstrdup("text");
	return psprintf("%s of %ld characters", *kind == 'n' ? "number" : "text", n);
}

/* ---- the answer ---- */

static const ExactSentRow *
find_row(const ExactBadRowSearch *search, int64 seq)
{
	for (int i = 0; i < search->nrows; i++)
		if (search->rows[i].seq == seq)
			return &search->rows[i];
	return NULL;
}

static bool
is_found(const PutAside *p, int64 batch, int ord)
{
	for (int i = 0; i < p->n; i++)
		if (p->found[i].row->batch == batch && p->found[i].row->ord == ord)
			return true;
	return false;
}

/* A deletion gets other values by itself once the version that it has them from is put aside. */
static void
drop_deletions(PutAside *p)
{
	int			kept = 0;

	for (int i = 0; i < p->n; i++)
	{
		const ExactSentRow *row = p->found[i].row;

		if (row->op != 'D' || !is_found(p, row->content_batch, row->content_ord))
			p->found[kept++] = p->found[i];
	}
	p->n = kept;
}

static void
read_answer(PutAside *p, const ExactStatementResult *answer)
{
	const ExactTarget *target = &p->search->plan->sql;

	p->found = palloc(sizeof(Found) * Max(answer->nrows, 1));
	p->n = 0;
	for (int r = 0; r < answer->nrows && answer->ncolumns == 2; r++)
	{
		const char *seq = answer->cells[r * 2];
		const char *columns = answer->cells[r * 2 + 1];
		const ExactSentRow *row = seq != NULL ? find_row(p->search, strtoll(seq, NULL, 10)) : NULL;
		long		column = columns != NULL ? strtol(columns, NULL, 10) : -1;

		if (row != NULL && column >= 0 && column < target->ncolumns)
			p->found[p->n++] = (Found) {
			row, p->search->constraint != NULL ? NULL : &target->columns[column],
			p->search->constraint != NULL ? NULL : describe_value(columns), 0
		};
	}
	drop_deletions(p);
}

/* ---- the record ---- */

/* Its id in exact.dead_letter; 0: it was there already */
static int64
add_letter(const ExactTargetPlan *plan, const ExactSentRow *row, const char *column,
		   const char *value_type, const char *reason)
{
	ExactDeadLetter letter = {.side = EXACT_DEAD_LETTER_DELIVERY};
	int64		id;

	letter.division = row->division;
	letter.entity = plan->sql.entity;
	letter.key = row->key;
	letter.column = column;
	letter.value_type = value_type;
	letter.reason = reason;
	letter.workspace = plan->workspace->name;
	letter.slot = row->slot;
	letter.batch = row->batch;
	letter.ord = row->ord;
	letter.seq = row->seq;
	return exact_dead_letter_add(&letter, &id) ? id : 0;
}

static void
tell(const ExactTargetPlan *plan, const ExactSentRow *row, const char *reason, int64 id)
{
	if (id != 0)
		exact_log(LOG, "alarm division=%d entity=%s put_aside=" INT64_FORMAT " key=\"%s\" "
				  "reason=\"%s\"", row->division, plan->sql.entity, id, row->key, reason);
}

void
exact_bad_row_put_one(const ExactTargetPlan *plan, const ExactSentRow *row, const char *reason)
{
	tell(plan, row, reason, add_letter(plan, row, NULL, NULL, reason));
}

/* Raises when a column is the matter and not its values. */
static void
check_number(const ExactBadRowSearch *search, const ExactColumn *column, int64 alike)
{
	const ExactTargetPlan *plan = search->plan;

	if (alike <= EXACT_BAD_ROW_MOST)
		return;
	if (column == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_DATABRICKS_REFUSED),
				 errmsg("more than %d rows do not meet the constraint %s of %s: the cause is the"
						" constraint", EXACT_BAD_ROW_MOST,
						exact_words_tidy(search->constraint, NAMEDATALEN), plan->current_name),
				 errhint("Take it off the table, or change it: ALTER TABLE ... DROP CONSTRAINT."
						 " Then SELECT exact.resume(division, '%s').", plan->sql.entity)));
	ereport(ERROR,
			(errcode(ERRCODE_EXACT_DATABRICKS_REFUSED),
			 errmsg("more than %d values of column %s of %s do not fit %s: the cause is the type of"
					" the column", EXACT_BAD_ROW_MOST, column->name, plan->current_name,
					column->type),
			 errhint("Give %s a type in exact.entity_field that holds its values (target_type), or"
					 " deselect it: its values stay in _payload. Then SELECT"
					 " exact.resume(division, '%s').", column->name, plan->sql.entity)));
}

static void
check_numbers(const PutAside *p)
{
	const ExactTarget *target = &p->search->plan->sql;

	if (p->search->constraint != NULL)
		check_number(p->search, NULL, p->n);
	for (int c = 0; c < target->ncolumns; c++)
	{
		int			n = 0;

		for (int i = 0; i < p->n; i++)
			n += p->found[i].column == &target->columns[c] ? 1 : 0;
		check_number(p->search, &target->columns[c], n);
	}
}

static void
put_aside_unit(void *arg)
{
	PutAside   *p = arg;
	const ExactTargetPlan *plan = p->search->plan;

	check_numbers(p);
	for (int i = 0; i < p->n; i++)
	{
		const ExactSentRow *row = p->found[i].row;
		const ExactColumn *column = p->found[i].column;
		char	   *reason = make_reason(p->search, column);

		if (column == NULL)
			p->found[i].id = add_letter(plan, row, NULL, NULL, reason);
		else
			p->found[i].id = add_letter(plan, row, column->name, p->found[i].value_type, reason);
		check_number(p->search, column, exact_dead_letter_alike(plan->workspace->name,
														   plan->sql.entity, reason));
	}
	exact_dead_letter_passed(plan->workspace->name, plan->sql.entity);
}

bool
exact_bad_row_put_aside(const ExactBadRowSearch *search, const ExactStatementResult *answer,
						ExactFault **fault)
{
	PutAside	p = {.search = search};

	*fault = NULL;
	if (answer->verdict != EXACT_VERDICT_SUCCEEDED)
		return false;
	read_answer(&p, answer);
	if (p.n == 0 || !exact_unit_try("put rows aside", put_aside_unit, &p, fault))
		return false;
	for (int i = 0; i < p.n; i++)
		tell(search->plan, p.found[i].row, make_reason(search, p.found[i].column),
			 p.found[i].id);
	return true;
}

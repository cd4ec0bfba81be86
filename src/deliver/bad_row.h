/*
 * bad_row.h - rows of a delivery that Databricks cannot take, and putting them aside.
 *
 * One value that does not fit must not stop a table: its row goes to exact.dead_letter with the
 * reason, the rest is delivered.
 */
#ifndef EXACT_BAD_ROW_H
#define EXACT_BAD_ROW_H

#include "base/fault.h"
#include "databricks/statement.h"
#include "delta/target.h"

/* More for one reason are no matter of single rows: the table pauses. */
#define EXACT_BAD_ROW_MOST 100
/* A longer row is not sent: a request may have 16 MiB, and its text is escaped once more in it. */
#define EXACT_BAD_ROW_BYTES (8 * 1024 * 1024)

/* A version of the stage that is in a delivery; widest first, as there may be 100,000 */
typedef struct ExactSentRow
{
	const char *key;
	int64		seq;
	int64		batch;			/* its address: slot, batch, ord */
	int64		content_batch;	/* of a D: whose values it has; 0: it has none */
	const char *known;			/* edit in Delta that it may replace; NULL: none */
	TimestampTz judged_at;		/* 0: nothing was found about it */
	int			division;
	int			slot;
	int			ord;
	int			content_ord;
	char		op;				/* I, U, D */
	bool		held;			/* another edit kept it out */
	bool		was_aside;		/* it is in exact.dead_letter and goes all the same */
} ExactSentRow;

/* Does the SQLSTATE of a refused statement speak of a value, or of a constraint of the table? */
extern bool exact_bad_row_meant(const char *sqlstate);

/*
 * The condition of a constraint of the table, by the answer to SHOW TBLPROPERTIES, or that of its
 * column that must not be null. NULL: it has none such.
 */
extern const char *exact_bad_row_condition(const ExactTarget *target, const char *constraint,
										   const ExactStatementResult *properties);

/* What a delivery has, when it is searched */
typedef struct ExactBadRowSearch
{
	const ExactTargetPlan *plan;
	const ExactSentRow *rows;
	int			nrows;
	/* that the rows do not meet; NULL: values of theirs do not fit */
	const char *constraint;
} ExactBadRowSearch;

/*
 * Puts the rows aside that the answer to exact_merge_sql_unfit() or _violating() names, with an
 * alarm in the log. False: there are none, then *fault is NULL; or so many that the column or the
 * constraint is the matter, or they could not be recorded: nothing was put aside. A deletion whose
 * values do not fit is put aside without them only: it is delivered bare, or with those of an
 * earlier version. In no transaction.
 */
extern bool exact_bad_row_put_aside(const ExactBadRowSearch *search,
									const ExactStatementResult *answer, ExactFault **fault);

/* In a unit: one row that cannot be sent at all; with an alarm in the log when it is new. */
extern void exact_bad_row_put_one(const ExactTargetPlan *plan, const ExactSentRow *row,
								  const char *reason);

#endif

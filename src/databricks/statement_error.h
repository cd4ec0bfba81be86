/*
 * statement_error.h - what an error of Databricks means for its statement, and how people are told.
 * Loader only. README.md has a line for each kind.
 */
#ifndef EXACT_STATEMENT_ERROR_H
#define EXACT_STATEMENT_ERROR_H

#include "base/fault.h"
#include "databricks/databricks.h"
#include "databricks/statement.h"

/*
 * How often a statement may be sent again, in a row, before its failure or cancellation is told as
 * a refusal: 0, it is refused at once. Nothing is sent again without an end: each time may cost as
 * much as the first.
 */
extern int	exact_statement_error_repeats(const ExactCallAnswer *answer);
/* The statement asserts the epoch of this hub, and exact_hub names another. */
extern bool exact_statement_error_fenced(const ExactCallAnswer *answer);

/*
 * All in the current memory context, without values of records. It has to be sent again: why; it
 * is refused for good; it was sent again as often as it may be.
 */
extern ExactFault *exact_statement_error_again(const ExactStatementRequest *request,
											   const char *why);
extern ExactFault *exact_statement_error_refused(const ExactStatementRequest *request,
												 const char *statement_id,
												 const ExactCallAnswer *answer);
extern ExactFault *exact_statement_error_worn_out(const ExactStatementRequest *request,
												  const char *statement_id, int sendings,
												  const ExactCallAnswer *answer);
/*
 * The constraint of a table that refuses a row, or its column that must not be null; palloc'd.
 * NULL: the answer names none.
 */
extern char *exact_statement_error_constraint(const ExactCallAnswer *answer);
/* The message for people; palloc'd */
extern char *exact_statement_error_text(const ExactCallAnswer *answer);

/*
 * ms that whoever cannot read the query history waits for a statement that may be on its way;
 * longer while one runs whose text is not shown, which may be it.
 */
extern long exact_statement_blind_ms(const ExactCallAnswer *answer);

#endif

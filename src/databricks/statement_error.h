/*
 * statement_error.h - what an error of Databricks means for its statement, and how people are told.
 * Loader only.
 */
#ifndef EXACT_STATEMENT_ERROR_H
#define EXACT_STATEMENT_ERROR_H

#include "base/fault.h"
#include "databricks/databricks.h"
#include "databricks/statement.h"

/* The same text will succeed when whatever was in its way has gone. */
extern bool exact_statement_error_passes(const ExactCallAnswer *answer);
/* A cut transfer or an unreadable file: once more, then it is an error. */
extern bool exact_statement_error_may_pass(const ExactCallAnswer *answer);
/* The statement asserts the epoch of this hub, and exact_hub names another. */
extern bool exact_statement_error_fenced(const ExactCallAnswer *answer);

/*
 * Both in the current memory context, without values of records. It has to be sent again: why; it
 * is refused for good.
 */
extern ExactFault *exact_statement_error_again(const ExactStatementRequest *request,
											   const char *why);
extern ExactFault *exact_statement_error_refused(const ExactStatementRequest *request,
												 const char *statement_id,
												 const ExactCallAnswer *answer);
/* The message for people; palloc'd */
extern char *exact_statement_error_text(const ExactCallAnswer *answer);

#endif

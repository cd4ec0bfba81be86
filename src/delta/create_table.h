/*
 * create_table.h - a statement on a Delta table that may not be there yet. Loader only.
 */
#ifndef EXACT_CREATE_TABLE_H
#define EXACT_CREATE_TABLE_H

#include "databricks/statement.h"

typedef enum ExactTableMaking
{
	EXACT_MAKE_NOTHING,			/* that the table is absent is the answer */
	EXACT_MAKE_TABLE,			/* its schema is there */
	EXACT_MAKE_SCHEMA_AND_TABLE
} ExactTableMaking;

/* With the request's arg: the table is as its text says, and empty. */
typedef void (*ExactTableMade) (void *arg);

/*
 * Sends the request. When the table is absent, makes what `making` says - the table by `create` -
 * and sends the request once more. done gets the result of the last statement that was sent: the
 * request's, or that of the schema or table that could not be made.
 * made: NULL, or called instead of the request once more, and of done, when `create` has made the
 * table; then it must not have IF NOT EXISTS.
 * The request is copied like that of exact_statement_start().
 */
extern void exact_create_table_if_absent(const ExactStatementRequest *request,
										 ExactTableMaking making, const char *create,
										 ExactTableMade made);

/*
 * The same of a table that is most likely absent: makes it before anything else. The request is
 * sent only if that fails, or without `made`.
 */
extern void exact_create_table_unseen(const ExactStatementRequest *request,
									  ExactTableMaking making, const char *create,
									  ExactTableMade made);

#endif

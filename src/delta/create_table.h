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

/*
 * Sends the request. When the table is absent, makes what `making` says - the table by `create`, a
 * CREATE TABLE IF NOT EXISTS - and sends the request once more. done gets the result of the last
 * statement that was sent: the request's, or that of the schema or table that could not be made.
 * The request is copied like that of exact_statement_start().
 */
extern void exact_create_table_if_absent(const ExactStatementRequest *request,
										 ExactTableMaking making, const char *create);

#endif

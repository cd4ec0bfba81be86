/*
 * creation.h - a Delta table that is not there yet: its schema, then the table itself. Loader only.
 */
#ifndef EXACT_CREATION_H
#define EXACT_CREATION_H

#include "databricks/statement.h"

/*
 * Makes the schema of the request's workspace, then the table by its CREATE TABLE IF NOT EXISTS. done gets the result of the table, or that of
 * the schema when it was refused for another reason than a missing right: it may be there all the same.
 */
extern void exact_creation_start(const ExactStatementRequest *request);

#endif

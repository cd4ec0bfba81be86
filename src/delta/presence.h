/*
 * presence.h - are the rows that were delivered still in the Delta tables of an entity?
 */
#ifndef EXACT_PRESENCE_H
#define EXACT_PRESENCE_H

#include "base/fault.h"
#include "databricks/statement.h"
#include "delta/target.h"

/*
 * fault: NULL when they are; sqlstate: "EX014", Databricks' own, or ""; lost: a table holds less
 * than was delivered
 */
typedef void (*ExactPresenceDone) (const ExactFault *fault, const char *sqlstate, bool lost,
								   void *arg);

/*
 * Counts both tables, and compares with what the database has recorded as delivered: a table that
 * somebody emptied, cut or set back to an older version holds fewer rows or lacks the newest
 * version. Two small reads; none where nothing was delivered into tables of these names. The tables
 * must be there (target.h); the plan must live until done is called.
 */
extern void exact_presence_start(ExactTargetPlan *plan, ExactStatementTrouble trouble,
								 ExactPresenceDone done, void *arg);

#endif

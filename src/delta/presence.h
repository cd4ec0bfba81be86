/*
 * presence.h - are the rows that were delivered still in the Delta tables of an entity?
 */
#ifndef EXACT_PRESENCE_H
#define EXACT_PRESENCE_H

#include "base/fault.h"
#include "databricks/statement.h"
#include "delta/target.h"

/*
 * fault: NULL when they are; sqlstate: "EX014", Databricks' own, or ""; lost: a table does
 * not hold what was delivered
 */
typedef void (*ExactPresenceDone) (const ExactFault *fault, const char *sqlstate, bool lost,
								   void *arg);

/*
 * Reads what others did to both tables since the last look (foreign_change.h), counts their rows,
 * and compares with what the database has recorded as delivered: a table that somebody changed,
 * emptied, cut or set back to an older version. Four small reads; none where nothing was delivered
 * into tables of these names. What is found and pauses nothing becomes the note of
 * exact.target_state. The tables must be there (target.h); the plan must live until done is called.
 */
extern void exact_presence_start(ExactTargetPlan *plan, ExactStatementTrouble trouble,
								 ExactPresenceDone done, void *arg);

#endif

/*
 * read_back.h - what users have edited in the Delta table of a dimension, read and handed over to
 * the hub. Loader only.
 */
#ifndef EXACT_READ_BACK_H
#define EXACT_READ_BACK_H

#include "databricks/statement.h"
#include "delta/target.h"

/*
 * Reads the edited, new and gone rows of the current table and hands them over page by page
 * (exact._take_delta_edits, exact._take_delta_gone), then gives new rows the keys of the records
 * that were made of them. The tables must be verified. done is called once, outside a transaction;
 * the plan must live until then.
 */
extern void exact_read_back_start(ExactTargetPlan *plan, ExactStatementTrouble trouble,
								  ExactTargetDone done, void *arg);

/* Hands over some of the rows that were read. Returns 0 = there are more, -1 = none. */
extern long exact_read_back_turn(void);

#endif

/*
 * other_copy.h - what a Delta table holds that this database does not know: versions that another
 * copy of the hub has delivered.
 */
#ifndef EXACT_OTHER_COPY_H
#define EXACT_OTHER_COPY_H

#include "base/fault.h"
#include "databricks/statement.h"
#include "deliver/target.h"

/* fault: NULL when nothing is unknown any more; sqlstate: Databricks' own, or "" */
typedef void (*ExactOtherCopyDone) (const ExactFault *fault, const char *sqlstate, void *arg);

/*
 * Once an epoch and table, before its first delivery: reads the versions that came after what this
 * database knew when the epoch began. Their records are unknown from then on, and are read again.
 * The tables must be there (target.h), the hub claimed (fence.h); the plan must live until done is
 * called.
 */
extern void exact_other_copy_start(ExactTargetPlan *plan, ExactStatementTrouble trouble,
								   ExactOtherCopyDone done, void *arg);

#endif

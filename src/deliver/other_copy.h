/*
 * other_copy.h - what a Delta table holds that this database does not know: versions that another
 * copy of the hub has delivered.
 */
#ifndef EXACT_OTHER_COPY_H
#define EXACT_OTHER_COPY_H

#include "base/fault.h"
#include "databricks/statement.h"
#include "delta/target.h"

/* fault: NULL when nothing is unknown any more; sqlstate: Databricks' own, or "" */
typedef void (*ExactOtherCopyDone) (const ExactFault *fault, const char *sqlstate, void *arg);

/*
 * Before the first delivery of a process into a table. Once an epoch it reads the versions that
 * came after what this database knew when the epoch began: their records are unknown from then on,
 * and are read again. Then it looks for a version of the present epoch that this database never
 * sent: the database was set back, or a copy of it has worked. exact_other_copy_found() ends that.
 * The tables must be there (target.h), the hub claimed (fence.h); the plan must live until done is
 * called.
 */
extern void exact_other_copy_start(ExactTargetPlan *plan, ExactStatementTrouble trouble,
								   ExactOtherCopyDone done, void *arg);

/*
 * The table holds a version of the present epoch that this database never sent. Begins an epoch:
 * every worker of this database starts anew with it. known_seq: the highest that was sent before.
 * False: that could not be recorded, *fault says why.
 */
extern bool exact_other_copy_found(const ExactTargetPlan *plan, int64 known_seq, int64 found_seq,
								   ExactFault **fault);

#endif

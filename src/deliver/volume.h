/*
 * volume.h - the volume of a workspace, through which deliveries go that are too large for one
 * statement: whether it can be used, and files that are put there, deleted and swept.
 */
#ifndef EXACT_VOLUME_H
#define EXACT_VOLUME_H

#include "nodes/pg_list.h"

#include "base/fault.h"
#include "databricks/databricks.h"
#include "databricks/statement.h"
#include "delta/target.h"

/* Is there one, and did it not fail lately? */
extern bool exact_volume_usable(const ExactWorkspace *workspace);
/*
 * It cannot be used, for a quarter of an hour: what waits goes without it, and exact.check() says
 * why. In no transaction, as all below.
 */
extern void exact_volume_fails(const ExactWorkspace *workspace, const ExactFault *fault);
/*
 * A statement did not find what was put there: somebody may have deleted a file. The third time in
 * a row the volume fails.
 */
extern void exact_volume_loses(const ExactWorkspace *workspace, const ExactFault *fault);
/* A delivery through it was taken. */
extern void exact_volume_works(const ExactWorkspace *workspace);
/* The configuration has changed: each one may be tried again. */
extern void exact_volume_retry(void);

/* "/Volumes/main/exact/files/exact_databricks/<installation>/glaccount"; palloc'd */
extern char *exact_volume_directory(const ExactTargetPlan *plan);

/* fault: NULL when it was done; called once, outside a transaction */
typedef void (*ExactVolumeDone) (const ExactFault *fault, void *arg);

/*
 * Puts a file; data must live until done is called, and trouble, which may be NULL, is called in a
 * unit while the service is away. An upload without an answer may have come: the same bytes are put
 * again. A fault: the volume cannot be used.
 */
extern void exact_volume_put(const ExactWorkspace *workspace, const char *path, const char *data,
							 size_t len, ExactStatementTrouble trouble, void *trouble_arg,
							 ExactVolumeDone done, void *arg);
/* Deletes files. A fault: some may be left, and are swept later. */
extern void exact_volume_delete(const ExactWorkspace *workspace, const List *paths,
								ExactVolumeDone done, void *arg);
/*
 * Deletes what an earlier process left in the directory of a table, and what came too late for its
 * delivery. Nothing of the table may be under way.
 */
extern void exact_volume_sweep(const ExactTargetPlan *plan, ExactVolumeDone done, void *arg);

/* Does what is due; returns ms until the next turn is wanted, -1 = none. */
extern long exact_volume_turn(void);

#endif

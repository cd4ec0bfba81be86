/*
 * fence.h - the claim of this hub on its divisions, in the Delta table exact_hub of each workspace.
 * Loader only.
 *
 * Of several copies of an installation (restored, cloned, promoted) the one with the highest epoch
 * works. Before its first delivery the loader writes its epoch into exact_hub, waits until no
 * statement of another epoch runs, and every MERGE asserts the epoch from then on.
 */
#ifndef EXACT_FENCE_H
#define EXACT_FENCE_H

#include "base/fault.h"
#include "databricks/databricks.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"

/*
 * In a unit, once: who this hub is; closes the claims that an earlier process left in the statement
 * log. Raises EX016.
 */
extern void exact_fence_load(void);
/* NULL until loaded; lives as long as the process, which ends when the epoch is raised. */
extern const ExactHub *exact_fence_hub(void);

/*
 * Who is told, within a unit, that the service is away while a claim is made; its arg is the
 * workspace's name.
 */
extern void exact_fence_tell(ExactStatementTrouble trouble);

/* Deliveries of this division go to the workspace: it is to be claimed there. */
extern void exact_fence_want(const char *workspace, int division);

typedef enum ExactFenceState
{
	EXACT_FENCE_HELD,			/* deliveries may go */
	/* under way, or another copy works there and this one will be stopped */
	EXACT_FENCE_WAIT,
	EXACT_FENCE_FAULT			/* could not be claimed; tried again by itself */
} ExactFenceState;

/*
 * Takes the next step towards the claim on all divisions that are wanted in the workspace. *fault:
 * with FAULT, lives until the next call; *wait: with WAIT and FAULT, ms until the next step, -1 =
 * when something else has happened.
 */
extern ExactFenceState exact_fence_advance(const ExactWorkspace *workspace,
										   const ExactFault **fault, long *wait);

/* A claim that could not be made is tried again at once: settings have changed. */
extern void exact_fence_hurry(void);

/* A statement was refused as fenced, or exact_hub is gone: the claim is looked at again. */
extern void exact_fence_doubt(const char *workspace);
/* Somebody says that the cause of a fault is mended: the claim is tried again now. */
extern void exact_fence_retry(const char *workspace);

/* Does a claim wait for statements of others to end? Deliveries follow. */
extern bool exact_fence_searches(const char *workspace);

#endif

/*
 * casts.h - does a CAST of a bad value fail in a workspace? Loader only.
 *
 * Where ANSI mode is off in the SQL warehouses it makes null of the value and says nothing. It is
 * asked once a process and workspace, before the first delivery. Each MERGE fails by itself besides
 * when a CAST has made null of a value (exact_delta_sql_cast()), should the mode change later.
 */
#ifndef EXACT_CASTS_H
#define EXACT_CASTS_H

#include "base/fault.h"
#include "databricks/databricks.h"
#include "databricks/delta_sql.h"

typedef enum ExactCastsState
{
	EXACT_CASTS_FAIL,			/* as they should */
	EXACT_CASTS_ASKED,			/* the answer is awaited */
	EXACT_CASTS_FAULT			/* they do not, or that cannot be known; asked again by itself */
} ExactCastsState;

/* What a statement is that tells: it fails with the state where casts fail. */
#define EXACT_CASTS_SQL "SELECT CAST('x' AS INT) AS `n`"
#define EXACT_CASTS_SQLSTATE "22018"

/*
 * *fault: with FAULT, lives until the next call; *wait: with FAULT, ms until it is asked again,
 * else -1
 */
extern ExactCastsState exact_casts_advance(const ExactWorkspace *workspace, const ExactHub *hub,
										   const ExactFault **fault, long *wait);

/* A MERGE found that they do not fail any more: asked again before the next delivery. */
extern void exact_casts_doubt(const char *workspace);

/* Somebody says that the cause of a fault is mended: asked again now. */
extern void exact_casts_retry(const char *workspace);

/* What is wrong when they do not fail; in the current memory context */
extern ExactFault *exact_casts_fault(void);

#endif

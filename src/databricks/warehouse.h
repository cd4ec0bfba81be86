/*
 * warehouse.h - the SQL warehouse of a workspace: does it run, is what waits worth waking it, and
 * is it to be stopped again?
 *
 * Loader only. A warehouse costs money while it runs, most of it idle until its own auto stop; a
 * statement that is sent to one that sleeps wakes it.
 */
#ifndef EXACT_WAREHOUSE_H
#define EXACT_WAREHOUSE_H

#include "utils/timestamp.h"

#include "databricks/databricks.h"
#include "databricks/delta_sql.h"

/* Versions that wait to be delivered to a workspace */
typedef struct ExactWaiting
{
	int64		rows;
	TimestampTz since;			/* of the oldest one, may lie ahead; 0: none waits */
	bool		urgent;			/* of an entity that is */
} ExactWaiting;

/* A statement begins, and ends: each once. Outside a transaction. */
extern void exact_warehouse_begin(const ExactWorkspace *workspace);
extern void exact_warehouse_end(const ExactWorkspace *workspace);

/* Is anything set about waking or stopping it? */
extern bool exact_warehouse_is_spared(const ExactWorkspace *workspace);

/*
 * May a statement be sent for what waits? True where nothing is set about waking, while the
 * warehouse runs, and once what waits is worth waking it. waiting = NULL: only while it runs, as
 * for what never wakes it. False: *wait is ms until the next look. Outside a transaction.
 */
extern bool exact_warehouse_may_use(const ExactWorkspace *workspace, const ExactWaiting *waiting,
									long *wait);

/* Without a question to the service: may what never wakes it be sent now? */
extern bool exact_warehouse_runs(const ExactWorkspace *workspace);

/* True once, a moment after the last statement: what still wants to travel goes now. */
extern bool exact_warehouse_last_call(const ExactWorkspace *workspace);

/* When this hub has decided to wake it last; 0: never, or nothing is set about waking. */
extern TimestampTz exact_warehouse_woken_at(const ExactWorkspace *workspace);

/*
 * Stops a warehouse that this hub has woken and nobody else uses, if stop_warehouse says so, and
 * records when one is over that was left to its auto stop. Returns ms until the next turn is
 * wanted, -1 = none.
 */
extern long exact_warehouse_turn(const ExactWorkspace *workspace, const ExactHub *hub);

#endif

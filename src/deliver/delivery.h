/*
 * delivery.h - one delivery: a range of staged versions of one entity, merged into the history and
 * into the current table.
 */
#ifndef EXACT_DELIVERY_H
#define EXACT_DELIVERY_H

#include "base/fault.h"
#include "databricks/statement.h"
#include "deliver/backlog.h"
#include "delta/target.h"

typedef struct ExactDelivery ExactDelivery;

/*
 * In a unit: reads the first rows that wait in batches below an id, as many as one statement
 * carries, or of more the first part of what goes through the volume (load.h). The plan must live
 * until the delivery has ended.
 */
extern ExactDelivery *exact_delivery_read(ExactTargetPlan *plan, const ExactBacklog *backlog,
										  int64 below, int most);

/*
 * The same of rows that go once more: put aside, and an operator wants them to be tried again
 * (exact.retry()), or judged otherwise since Delta has them; NULL: there are none.
 */
extern ExactDelivery *exact_delivery_read_aside(ExactTargetPlan *plan, int most);

typedef struct ExactDeliveryEnd
{
	const ExactFault *fault;	/* NULL: delivered and recorded, or one of the two last */
	const char *sqlstate;		/* of the fault: Databricks' own, EX0nn, or "" */
	bool		fenced;			/* Databricks takes deliveries of another copy of this hub only */
	/* a post-condition failed: the tables do not hold what was delivered */
	bool		gap;
	/* nothing was delivered: rows were put aside, or files were lost; read what waits anew */
	bool		put_aside;
	/* nothing was delivered: the request was too large, of so many rows it may not be; else 0 */
	int			most_rows;
	bool		held;			/* delivered, but rows that users have edited kept versions out */
	bool		files_left;		/* some may be in the volume still */
	/* delivered, but not recorded: the caller calls exact_delivery_record later */
	bool		unrecorded;
} ExactDeliveryEnd;

typedef void (*ExactDeliveryDone) (const ExactDeliveryEnd *end, void *arg);

/*
 * Runs it; done is called once, outside a transaction. at_once: both MERGEs at the same time, if
 * no more rows wait behind these, they go as text, and into no dimension, whose current table may
 * leave edited rows alone.
 */
extern void exact_delivery_start(ExactDelivery *delivery, bool at_once,
								 ExactStatementTrouble trouble, ExactDeliveryDone done,
								 void *arg);

/* Takes what was delivered out of the backlog; within done, or after exact_delivery_record. */
extern void exact_delivery_settle(const ExactDelivery *delivery, ExactBacklog *backlog);

/*
 * Records a delivery whose record failed before; false: failed again. Then it is freed with
 * exact_delivery_free.
 */
extern bool exact_delivery_record(ExactDelivery *delivery);
extern void exact_delivery_free(ExactDelivery *delivery);

#endif

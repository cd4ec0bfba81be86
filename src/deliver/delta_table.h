/*
 * delta_table.h - the loader's view of one entity in one workspace: what waits, whether it may go
 * now, what is under way.
 */
#ifndef EXACT_DELTA_TABLE_H
#define EXACT_DELTA_TABLE_H

#include "lib/ilist.h"
#include "utils/timestamp.h"

#include "base/fault.h"
#include "databricks/databricks.h"
#include "databricks/delta_sql.h"
#include "deliver/backlog.h"
#include "deliver/delivery.h"
#include "delta/target.h"

typedef struct ExactDeltaTable
{
	dlist_node	node;
	char	   *workspace;
	char	   *entity;
	int			rank;			/* -1 dimensions, 0 master data, 1 headers, 2 lines */
	ExactBacklog backlog;
	ExactTargetPlan *plan;		/* NULL: to be read again */
	bool		recovered;		/* statements of an earlier process are over */
	bool		verified;		/* the tables in Databricks are as planned */
	/* what was verified last, NULL: nothing, or it has to be looked at again */
	char	   *verified_as;
	ExactDelivery *unrecorded;	/* delivered, but a lock kept it from being recorded */
	/* a refusal about names or types was answered by looking at the tables again */
	bool		rechecked;
	bool		verified_once;	/* by this process or an earlier one: the tables were made */
	bool		compared;		/* nothing in the tables is unknown here */
	/* by this process: the tables hold no version that this database never sent */
	bool		looked_beyond;
	bool		swept;			/* no file of an earlier process is in the volume */
	bool		counted;		/* they hold all that was delivered; asked anew once a day */
	TimestampTz counted_at;		/* or, of a process that did not count yet, its start; 0: none */
	int			deliveries;		/* since then */
	int			most_rows;		/* of a delivery, after one was too large; 0: no such limit */
	bool		retry;			/* rows that were put aside are to be tried again */
	TimestampTz retry_since;
	bool		urgent;			/* its rows wake a warehouse at once */
	TimestampTz woken_at;		/* of its warehouse: what waits goes once then; 0: never */
	/* of a dimension: it was read since the last delivery; it is to be read although none waits */
	bool		read;
	bool		read_wanted;
	TimestampTz read_at;		/* or tried; 0: not by this process */
	char	   *read_fault;		/* why the last reading came to nothing; NULL: it did not */
	bool		unclaimed;		/* paused because this hub could not claim its divisions */
	/* a delivery was refused as another hub's, and none was taken since */
	bool		fenced;
	bool		busy;			/* something is under way; its callback clears it */
	/* the configuration changed meanwhile: read plan again when not busy */
	bool		stale;
	int			recovering;		/* statements being followed */
	bool		paused;
	bool		pause_recorded; /* in exact.target_state, from where an operator takes it away */
	/* a pause that is still to be written there, NULL: none; it holds the two below */
	MemoryContext pause_context;
	ExactFault *pause_fault;
	char	   *pause_sqlstate;
	int			attempts;		/* failures in a row */
	TimestampTz next_attempt;	/* of a paused one; 0: only when an operator resumes it */
	bool		gone;			/* paused because its table is, or its rows are */
	bool		may_create;
	bool		commented;		/* its columns' comments were looked after, once a process */
	TimestampTz last_delivered; /* 0: never */
	/* of an empty one (queue.c): it was asked whether records of some division are still to come */
	bool		reading_asked;
	bool		being_read;		/* they are */
	TimestampTz rest_since;		/* a part waits for the rest (queue.c); 0: not since a delivery */
	TimestampTz window_at;		/* what was staged until then goes before the next interval */
} ExactDeltaTable;

extern dlist_head exact_delta_tables;

/*
 * Reads what users have edited in the current table of a dimension (dimension/read_back.h), before
 * each delivery into it.
 */
typedef void (*ExactDeltaTableReader) (ExactTargetPlan *plan, ExactStatementTrouble trouble,
									   ExactTargetDone done, void *arg);

/* Once a process: who reads them */
extern void exact_delta_table_read_by(ExactDeltaTableReader reader);

/* The table of this entity and workspace, made if need be */
extern ExactDeltaTable *exact_delta_table_get(const char *workspace, const char *entity);
/* How many of a workspace something is under way for */
extern int	exact_delta_tables_busy(const char *workspace);

/* Reads the plan anew before the next delivery, and tries a paused one at once. */
extern void exact_delta_table_reset(ExactDeltaTable *table);
/* An operator has resumed it. */
extern void exact_delta_table_resume(ExactDeltaTable *table);
/* Those of a workspace that wait for their next attempt are tried at once. */
extern void exact_delta_table_hurry(const char *workspace);
/* Ends what somebody else has kept it busy with. */
extern void exact_delta_table_idle(ExactDeltaTable *table);
/* Is there anything to do, whether it may be done now or not? */
extern bool exact_delta_table_due(const ExactDeltaTable *table);
/* In a unit: the service is away; shown, but nobody has to act yet. */
extern void exact_delta_table_show(ExactDeltaTable *table, const ExactFault *fault, int attempts,
								   TimestampTz at);
/*
 * Stops deliveries because of fault: recorded, shown, tried again after a minute, later after up to
 * 15.
 */
extern void exact_delta_table_pause(ExactDeltaTable *table, const ExactFault *fault,
									const char *sqlstate);

/* Writes a pause that a lock kept out of exact.target_state; false: it still does. */
extern bool exact_delta_table_record_pause(ExactDeltaTable *table);

/* ms until something may be done for it, 0: now; -1: only after something else has happened */
extern long exact_delta_table_wait(ExactDeltaTable *table, const ExactWorkspace *workspace,
								   const ExactHub *hub, int64 below);

/*
 * Starts what is to be done next, if it may be done now: batches below an id only. Returns ms until
 * it may, 0 when it has started, -1 when it only goes on after something else has happened.
 */
extern long exact_delta_table_advance(ExactDeltaTable *table, const ExactWorkspace *workspace,
									  const ExactHub *hub, int64 below);

#endif

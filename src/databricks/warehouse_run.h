/*
 * warehouse_run.h - exact.warehouse_state and exact.warehouse_run: how a warehouse is, and when
 * this hub has used it.
 */
#ifndef EXACT_WAREHOUSE_RUN_H
#define EXACT_WAREHOUSE_RUN_H

#include "utils/timestamp.h"

typedef struct ExactWarehouseRun
{
	const char *workspace;
	const char *warehouse;
	int64		id;				/* 0: none */
	TimestampTz since;
	bool		woken;			/* by this hub; false: it ran already */
	TimestampTz ended_at;
	const char *ended_by;		/* hub, auto stop, others */
	const char *state;			/* runs, sleeps; NULL: as it was */
	int			auto_stop_min;	/* -1: as it was */
	const char *size;			/* NULL: as it was */
	const char *refused;		/* why it was not stopped; NULL: it was, or nobody tried */
	TimestampTz last_woken;		/* by this hub; 0: never */
	TimestampTz used_at;		/* last sign of a statement; 0: none */
	TimestampTz wakes_at;		/* asked for, then as quiet hours allow */
	TimestampTz planned;		/* as it stands there; 0: nothing does */
	bool		quiet;
} ExactWarehouseRun;

/*
 * Each is a unit (worker/unit.h) of an ExactWarehouseRun. The run that is not over: id and since, 0
 * without one.
 */
extern void exact_warehouse_run_open(void *run);
/* Sets id. */
extern void exact_warehouse_run_begin(void *run);
extern void exact_warehouse_run_end(void *run);
extern void exact_warehouse_run_state(void *run);
/* Puts wakes_at off to the end of the quiet hours, if need be, and records it. */
extern void exact_warehouse_run_plan(void *run);

#endif

/*
 * process.h - registering background workers with the server.
 */
#ifndef EXACT_PROCESS_H
#define EXACT_PROCESS_H

#include "postgres.h"

#include "postmaster/bgworker.h"
#include "utils/timestamp.h"

#define EXACT_PROCESS_RETRY_MS 10000

/* The bgw_extra of a process: which registration in which database it is. */
typedef struct ExactWorkerExtra
{
	uint64		generation;
	Oid			database;
} ExactWorkerExtra;

/* After a failed start: when to try again */
extern TimestampTz exact_process_blocked_until;

/*
 * A process that never restarts by itself; arg becomes its bgw_main_arg. False when the server has
 * no slot: says so in the log, once until one was free.
 */
extern bool exact_process_start(const char *function, const char *name, const char *type, int arg,
								const ExactWorkerExtra *extra, BackgroundWorkerHandle **handle);
/* Called by _PG_init while the server preloads libraries. */
extern void exact_process_register_launcher(void);

#endif

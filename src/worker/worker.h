/*
 * worker.h - the frame of every worker: connection, loop, transactions.
 *
 * A worker is a set of callbacks; worker.c owns the wait, the signals, the extension lock and the memory contexts.
 * No transaction is open while callbacks wait for the network: they start transfers (http_client.h) and return.
 */
#ifndef EXACT_WORKER_H
#define EXACT_WORKER_H

#include "base/fault.h"

typedef enum ExactRole
{
	EXACT_ROLE_FETCHER,
	EXACT_ROLE_LOADER,
	EXACT_ROLE_LISTENER,
	EXACT_NROLES
} ExactRole;

struct ExactAsk;

typedef struct ExactWorkerOps
{
	ExactRole	role;
	const char *name;			/* "fetcher": log prefix, audit chain, application_name "exact fetcher" */
	void		(*start) (void);	/* once, connected, outside a transaction */
	void		(*reload) (void);	/* after a configuration reload; may be NULL */
	long		(*turn) (void);		/* one turn: decide what to do; returns ms until the next turn is wanted, -1 = only when woken */
	void		(*ask) (struct ExactAsk *ask);	/* an ad-hoc question of a backend, see ask.h */

	/* of a worker that serves others instead of calling out (it gets no HTTP client), else NULL */
	void		(*open) (void);	/* once, connected, before start() and even if it must not work */
	long		(*serve) (const ExactFault *refuse); /* in every turn of the loop; refuse: why it must not work, NULL = it may; returns ms until the next, -1 = when woken */
	void		(*close) (void);	/* the process ends: no SQL, nothing may raise */
} ExactWorkerOps;

/* Body of a worker's main function after its role is known; does not return. */
extern void exact_worker_run(const ExactWorkerOps *ops, Datum main_arg) pg_attribute_noreturn();

typedef void (*ExactUnit) (void *arg);

/*
 * Runs fn(arg) in one transaction: SPI connected, snapshot active, lock_timeout 500 ms, AccessShareLock on the extension
 * (a worker whose extension is gone ends; one whose extension is of another version fails its units and waits). Commits and returns true; on error rolls back, logs one
 * line "exact <name>: <what>: ..." and returns false with *fault (may be NULL; in the memory context of the call). Lock timeouts, deadlocks and serialization
 * failures are tried up to three times. Memory that fn allocates in CurrentMemoryContext is gone afterwards: results are
 * copied to a context of the caller's. Not to be nested.
 */
extern bool exact_unit_run(const char *what, ExactUnit fn, void *arg, ExactFault **fault);

/* The database's identity, valid in a worker. */
extern Oid	exact_worker_database(void);
extern const char *exact_worker_name(void);

/* In turn(): was the worker woken by exact_wake since its last turn, is this its first turn, or was the configuration reloaded? */
extern bool exact_worker_woken(void);

/* The shorter of two waits in ms, -1 = none */
extern long exact_worker_sooner(long a, long b);

/* This worker cannot do its work for a reason of its own, which exact.workers shows (state idle); NULL = it can. */
extern void exact_worker_block(const char *reason);
/* Where it listens, for exact.workers. */
extern void exact_worker_place(const char *place);
/* Ends it because its settings leave it nothing to do: none is started before they change or exact.restart_workers(). */
extern void exact_worker_rest(const char *reason) pg_attribute_noreturn();

/* While held, SIGTERM waits until released, at most 10 s (a token answer is outstanding). Calls nest. */
extern void exact_worker_hold_exit(void);
extern void exact_worker_release_exit(void);

/* The bgw_extra of a worker: which registration in which database it is. */
typedef struct ExactWorkerExtra
{
	uint64		generation;
	Oid			database;
} ExactWorkerExtra;

/* One log line "exact <worker>: <text>"; key=value, no secret, no payload. */
extern void exact_log(int elevel, const char *fmt,...) pg_attribute_printf(2, 3);

#endif

/*
 * worker.h - the frame of every worker: connection, loop, callbacks.
 *
 * A worker is a set of callbacks; worker.c owns the wait, the signals and the memory contexts. No
 * transaction is open while callbacks wait for the network: they start transfers (http_client.h)
 * and return.
 */
#ifndef EXACT_WORKER_H
#define EXACT_WORKER_H

#include "postgres.h"

#include "base/compat.h"
#include "base/fault.h"
#include "worker/ask.h"
#include "worker/role.h"

typedef struct ExactWorkerOps
{
	ExactRole	role;
	void		(*start) (void);	/* once, connected, outside a transaction */
	void		(*reload) (void);	/* after a configuration reload; may be NULL */

	/*
	 * One turn: decides what to do. Returns ms until the next turn is wanted, -1 = only when woken.
	 */
	long		(*turn) (void);
	void		(*ask) (ExactAsk *ask); /* an ad-hoc question of a backend */

	/*
	 * Of a worker that serves others instead of calling out (it gets no HTTP client), else NULL.
	 * open: once, connected, before start() and even if it must not work. serve: in every turn of
	 * the loop; refuse says why it must not work, NULL = it may; returns like turn(). close: the
	 * process ends: no SQL, nothing may raise.
	 */
	void		(*open) (void);
	long		(*serve) (const ExactFault *refuse);
	void		(*close) (void);
} ExactWorkerOps;

/* Body of a worker's main function after its role is known; does not return. */
pg_noreturn extern void exact_worker_run(const ExactWorkerOps *ops, Datum main_arg);

/*
 * In turn(): was the worker woken by exact_wake since its last turn, is this its first turn, or was
 * the configuration reloaded?
 */
extern bool exact_worker_woken(void);
/* Likewise: may notifications have come? */
extern bool exact_worker_notified(void);

#endif

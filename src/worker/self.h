/*
 * self.h - the worker that this process is: its slot in shared memory, what it says of itself, and
 * how it ends.
 *
 * Below units (unit.h) and the loop (worker.h), both of which tell it what they find.
 */
#ifndef EXACT_SELF_H
#define EXACT_SELF_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/fault.h"
#include "worker/role.h"
#include "worker/shmem.h"

#define EXACT_SELF_RECHECK_MS 60000			/* a worker that must not work looks again */
#define EXACT_SELF_RECHECK_FAILED_MS 10000	/* the same when looking failed */

/*
 * Takes the slot that the launcher gave this process, and the signal that ends it. Ends the process
 * when the launcher has been replaced meanwhile. main_arg and bgw_extra are those of process.h.
 */
extern void exact_self_attach(ExactRole role, Datum main_arg);
/* Its slot, which does not move while it runs; NULL in a process that is no worker. */
extern ExactWorkerSlot *exact_self_slot(void);
/* The database that it works for; InvalidOid in a process that is no worker. */
extern Oid	exact_self_database(void);
/* "fetcher"; "backend" in a process that is no worker. */
extern const char *exact_self_name(void);
/* "exact_worker" or "exact_listener": the database role that it becomes in its units */
extern const char *exact_self_user(void);

/* One log line "exact <name>: <text>"; key=value, no secret, no payload. Below ERROR. */
extern void exact_log(int elevel, const char *fmt,...) pg_attribute_printf(2, 3);

/*
 * May it work? It begins as one that must not. wait: not for now, and looks again after again_ms; a
 * reason that is new is logged at elevel. work: it may from now on.
 */
extern void exact_self_wait(const ExactFault *why, long again_ms, int elevel);
extern void exact_self_work(void);
/* Why it must not work; NULL = it may. */
extern const ExactFault *exact_self_refusal(void);
/* While it must not: when to look again */
extern TimestampTz exact_self_look_at(void);

/*
 * It cannot do its work for a reason of its own, which exact.workers shows (state idle); NULL = it
 * can.
 */
extern void exact_self_block(const char *reason);
/* Where it listens, for exact.workers. */
extern void exact_self_place(const char *place);
/*
 * Its last error, for exact.workers, and what it was doing. It is forgotten when the same has
 * worked, or anything a minute later.
 */
extern void exact_self_note_error(const char *message, const char *what);
extern void exact_self_worked(const char *what);

/* While held, SIGTERM waits until released, at most 10 s (a token answer is outstanding). Nests. */
extern void exact_self_hold_exit(void);
extern void exact_self_release_exit(void);
extern bool exact_self_is_held(void);
/* Was it asked to end? */
extern bool exact_self_exit_wanted(void);
/* Ends it if it was asked to and nothing holds it. */
extern void exact_self_exit_if_wanted(void);
/*
 * A unit begins or ends: an exit waits 1 s for the end of one that is not held, then interrupts it.
 */
extern void exact_self_enter_unit(void);
extern void exact_self_leave_unit(void);

/*
 * Ends it because there should be no worker: the launcher looks into the database before it starts
 * another.
 */
pg_noreturn extern void exact_self_end(const char *reason);
/*
 * Ends it because its settings leave it nothing to do: none is started before they change or
 * exact.restart_workers().
 */
pg_noreturn extern void exact_self_rest(const char *reason);
/* Ends it, as soon as nothing holds it, because what it has in memory is out of date. */
extern void exact_self_retire(void);

#endif

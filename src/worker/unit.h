/*
 * unit.h - one unit of a worker's work: one transaction.
 */
#ifndef EXACT_UNIT_H
#define EXACT_UNIT_H

#include "postgres.h"

#include "base/fault.h"

typedef void (*ExactUnit) (void *arg);

/*
 * Runs fn(arg) in one transaction as the worker's role: SPI connected, snapshot active,
 * lock_timeout 500 ms, AccessShareLock on the extension. Ends the process when the extension is
 * gone; when it is of another version the units fail and the worker waits (self.h).
 *
 * Commits and returns true. On error rolls back, logs one line "exact <name>: <what>: ..." and
 * returns false with *fault (may be NULL; in the memory context of the call). Lock timeouts,
 * deadlocks and serialization failures are tried up to three times, so fn may run twice. Memory
 * that fn allocates in CurrentMemoryContext is gone afterwards: results are copied to a context of
 * the caller's. Not to be nested.
 */
extern bool exact_unit_run(const char *what, ExactUnit fn, void *arg, ExactFault **fault);

/* The same without a log line; fault must not be NULL. The worker is not told that it must wait. */
extern bool exact_unit_try(const char *what, ExactUnit fn, void *arg, ExactFault **fault);

#endif

/*
 * unit.h - between worker.c and unit.c; everybody else uses exact_unit_run of worker.h.
 */
#ifndef EXACT_UNIT_H
#define EXACT_UNIT_H

#include <signal.h>

#include "worker/worker.h"

/* Set while a unit runs: an exit may then interrupt it like any backend. */
extern volatile sig_atomic_t exact_in_unit;

/* The last unit failed because the extension is of another version or the role is missing: the worker cannot work. */
extern bool exact_unit_unfit;

/* As exact_unit_run, without a log line. Ends the process when the extension is gone. */
extern bool exact_unit_try(const char *what, ExactUnit fn, void *arg, ExactFault **fault);

/* Ends the process if it was asked to and nothing holds it. */
extern void exact_worker_exit_if_wanted(void);
/* Ends it because there should be no worker: the launcher looks into the database before it starts another. */
extern void exact_worker_end(const char *reason) pg_attribute_noreturn();

#endif

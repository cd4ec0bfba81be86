/*
 * wake.h - wakes workers and the launcher, now or when the current transaction commits.
 *
 * No error when nobody is there to be woken.
 */
#ifndef EXACT_WAKE_H
#define EXACT_WAKE_H

#include "postgres.h"

#include "worker/role.h"

/* Why a worker is woken: bits of ExactWorkerSlot.wake */
#define EXACT_WAKE_TURN 1		/* there may be work */
#define EXACT_WAKE_CHECK 2		/* the extension may have gone or changed */
#define EXACT_WAKE_NOTIFIED 4	/* notifications wait in exact.inbox, and nothing else changed */

/* Wakes the worker of this role in this backend's database now. */
extern void exact_wake(ExactRole role);
/* The same once when the current transaction commits. */
extern void exact_wake_at_commit(ExactRole role);
/* Tells the fetcher of notifications, when the current transaction commits. */
extern void exact_wake_notified_at_commit(void);
/*
 * Lets all workers of this database and the launcher look at its extension, when the current
 * transaction commits.
 */
extern void exact_wake_check_at_commit(void);
/* Asks the launcher to look at one database now, or at all with InvalidOid. */
extern void exact_wake_launcher(Oid database);
/* Asks it to look at all databases again, when the current transaction commits. */
extern void exact_wake_launcher_at_commit(void);

#endif

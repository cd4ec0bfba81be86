/*
 * shmem.h - what the workers and backends of a cluster share: worker slots, wake-ups, questions. No pointers in it.
 *
 * Everything in ExactShared is read and written under exact_shared_lock, except the atomics.
 */
#ifndef EXACT_SHMEM_H
#define EXACT_SHMEM_H

#include "listener/traffic.h"
#include "worker/worker.h"

#include "port/atomics.h"
#include "storage/dsm.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#define EXACT_MAX_DATABASES 64	/* databases with the extension in one cluster */
#define EXACT_MAX_QUESTIONS 32	/* waiting for one worker to take them */
#define EXACT_MAX_HINTS 16		/* databases to look at, before all are looked at */
#define EXACT_REASON_LEN 192
#define EXACT_VERSION_LEN 32

/* Why a worker is woken */
#define EXACT_WAKE_TURN 1		/* there may be work */
#define EXACT_WAKE_CHECK 2		/* the extension may have gone or changed */

typedef enum ExactWorkerState
{
	EXACT_WORKER_STOPPED,		/* not wanted, or waiting for its next start */
	EXACT_WORKER_STARTING,		/* registered, not yet attached to its slot */
	EXACT_WORKER_RUNNING,
	EXACT_WORKER_IDLE			/* attached, but must not work: reason says why */
} ExactWorkerState;

typedef struct ExactWorkerSlot
{
	uint64		generation;		/* of the last registration: a worker of an older one may not attach */
	int			pid;			/* 0 = none attached */
	int			proc_number;
	ExactWorkerState state;
	bool		ended_clean;	/* the last one ended by itself or was asked to */
	TimestampTz started_at;		/* of the attached one */
	int			restarts;		/* starts after the first since the cluster started */
	bool		resting;		/* its settings leave it nothing to do: not started again until they change */
	char		place[EXACT_REASON_LEN];	/* where it listens */
	char		reason[EXACT_REASON_LEN];	/* why it idles or does not run */
	char		last_error[EXACT_REASON_LEN];
	pg_atomic_uint32 wake;		/* EXACT_WAKE_xxx */
	int			nquestions;
	dsm_handle	questions[EXACT_MAX_QUESTIONS];
} ExactWorkerSlot;

typedef struct ExactDatabaseSlot
{
	Oid			database;		/* InvalidOid = free */
	NameData	name;
	bool		wanted;			/* has the extension */
	ExactWorkerSlot workers[EXACT_NROLES];
	ExactTraffic traffic;		/* of its listener */
} ExactDatabaseSlot;

/* The answer of the probe that looks into one database */
typedef struct ExactProbe
{
	uint64		generation;
	Oid			database;
	bool		answered;
	bool		present;		/* the extension is there */
} ExactProbe;

typedef struct ExactShared
{
	int			launcher_pid;
	int			launcher_proc_number;
	TimestampTz launcher_started_at;
	char		launcher_reason[EXACT_REASON_LEN];
	int			crashes;		/* restarts of the cluster after a crash, lately */
	bool		scan_wanted;	/* look at all databases */
	int			nhints;
	Oid			hints[EXACT_MAX_HINTS];
	uint64		generation;		/* last one given */
	ExactProbe	probe;
	ExactDatabaseSlot databases[EXACT_MAX_DATABASES];
} ExactShared;

/* NULL when the library was not preloaded */
extern ExactShared *exact_shared;
extern LWLock *exact_shared_lock;

extern void exact_shmem_init(void);
/* Raises EX001 when the library was not preloaded. */
extern void exact_shmem_require(void);
/* The slot of a database or NULL; the lock is held by the caller. */
extern ExactDatabaseSlot *exact_shmem_database(Oid database);
extern const char *exact_role_name(ExactRole role);
/* "fetcher" -> its role; false when there is none of that name. */
extern bool exact_role_by_name(const char *name, ExactRole *role);
extern void exact_reason_copy(char *dest, const char *text);

/* Wakes the worker of this role in this backend's database now; no error when there is none. */
extern void exact_wake(ExactRole role);
/* The same once when the current transaction commits. */
extern void exact_wake_at_commit(ExactRole role);
/* Lets all workers of this database and the launcher look at its extension, when the current transaction commits. */
extern void exact_check_at_commit(void);
/* Asks the launcher to look at all databases again, when the current transaction commits. */
extern void exact_wake_launcher_at_commit(void);
/* Asks it now to look at one database, or at all with InvalidOid. */
extern void exact_wake_launcher(Oid database);

/*
 * Private classes of advisory locks (field 4 of the lock tag; SQL functions use 1 and 2).
 * closing: held while a command on the database waits for the workers to go; none is started. gate: workers share it for life,
 * the command takes it exclusively. owner: one worker of a role in a database. quiesce: units share it, update scripts take it
 * exclusively.
 */
#define EXACT_LOCK_GATE 17720
#define EXACT_LOCK_OWNER 17721
#define EXACT_LOCK_QUIESCE 17722
#define EXACT_LOCK_CLOSING 17723

extern LOCKTAG exact_lock_tag(Oid database, uint32 key, uint16 class_number);
/* Session-level; false when it is not to be had now. */
extern bool exact_lock_try(const LOCKTAG *tag, LOCKMODE mode);
extern void exact_lock_release(const LOCKTAG *tag, LOCKMODE mode);
/* Does a command on this database wait for its workers to go, or run? */
extern bool exact_database_closing(Oid database);

#endif

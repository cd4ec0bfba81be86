/*
 * shmem.h - what the workers and backends of a cluster share: slots of workers, questions,
 * counters.
 *
 * Everything in ExactShared is read and written under exact_shared_lock, except the atomics. There
 * are no pointers in it.
 */
#ifndef EXACT_SHMEM_H
#define EXACT_SHMEM_H

#include "postgres.h"

#include "port/atomics.h"
#include "storage/dsm.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "worker/role.h"

#define EXACT_MAX_DATABASES 64	/* databases with the extension in one cluster */
#define EXACT_MAX_QUESTIONS 32	/* waiting for one worker to take them */
#define EXACT_MAX_HINTS 16		/* databases to look at, before all are looked at */
#define EXACT_NCOUNTERS 32
#define EXACT_REASON_LEN 192

typedef enum ExactWorkerState
{
	EXACT_WORKER_STOPPED,		/* not wanted, or waiting for its next start */
	EXACT_WORKER_STARTING,		/* registered, not yet attached to its slot */
	EXACT_WORKER_RUNNING,
	EXACT_WORKER_IDLE			/* attached, but must not work: reason says why */
} ExactWorkerState;

typedef struct ExactWorkerSlot
{
	/* of the last registration: a worker of an older one may not attach */
	uint64		generation;
	int			pid;			/* 0 = none attached */
	int			proc_number;
	ExactWorkerState state;
	bool		ended_clean;	/* the last one ended by itself or was asked to */
	TimestampTz started_at;		/* of the attached one */
	int			restarts;		/* starts after the first since the cluster started */
	bool		resting;		/* has nothing to do: not started again until settings change */
	char		place[EXACT_REASON_LEN];	/* where it listens */
	char		reason[EXACT_REASON_LEN];	/* why it idles or does not run */
	char		last_error[EXACT_REASON_LEN];
	char		endless_rule[NAMEDATALEN];	/* the customer's rule that it had to end for */
	pg_atomic_uint32 wake;		/* EXACT_WAKE_xxx, see wake.h */
	int			nquestions;
	dsm_handle	questions[EXACT_MAX_QUESTIONS];
} ExactWorkerSlot;

/* Numbers of a worker's own; it knows what each of them counts. */
typedef struct ExactCounters
{
	pg_atomic_uint64 counts[EXACT_NCOUNTERS];
} ExactCounters;

typedef struct ExactDatabaseSlot
{
	Oid			database;		/* InvalidOid = free */
	NameData	name;
	bool		wanted;			/* has the extension */
	ExactWorkerSlot workers[EXACT_NROLES];
	ExactCounters counters;		/* of its listener, see listener/traffic.h */
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

/* Called by _PG_init while the server preloads libraries. */
extern void exact_shmem_init(void);
/* Raises EX001 when the library was not preloaded. */
extern void exact_shmem_require(void);
/* The slot of a database or NULL; the lock is held by the caller. */
extern ExactDatabaseSlot *exact_shmem_database(Oid database);
/*
 * The same, a free one cleared for it if it has none yet (*fresh); NULL when there are too many.
 * The lock is held exclusively.
 */
extern ExactDatabaseSlot *exact_shmem_claim(Oid database, bool *fresh);
/* Copies into a text of EXACT_REASON_LEN bytes; what is longer is cut at a whole character. */
extern void exact_shmem_copy_reason(char *dest, const char *text);

#endif

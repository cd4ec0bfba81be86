/*
 * probe.c - a short process in one database that tells the launcher whether the extension is there.
 *
 * It must do nothing else: it runs in every database of the cluster. One transaction, a catalog
 * read, an answer in shared memory.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "worker/process.h"
#include "worker/shmem.h"

pg_noreturn PGDLLEXPORT void exact_probe_main(Datum main_arg);

/* At most 5 s for a lock: the launcher ends a probe that takes longer and tries again. */
void
exact_probe_main(Datum main_arg pg_attribute_unused())
{
	ExactWorkerExtra extra;
	bool		present;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	memcpy(&extra, MyBgworkerEntry->bgw_extra, sizeof(extra));
	BackgroundWorkerInitializeConnectionByOid(extra.database, InvalidOid, 0);
	SetConfigOption("application_name", "exact probe", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("lock_timeout", "5s", PGC_USERSET, PGC_S_SESSION);

	pgstat_report_activity(STATE_RUNNING, "probe");
	StartTransactionCommand();
	present = OidIsValid(get_extension_oid("exact_databricks", true));
	CommitTransactionCommand();

	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	if (exact_shared->probe.generation == extra.generation)
	{
		exact_shared->probe.present = present;
		exact_shared->probe.answered = true;
	}
	LWLockRelease(exact_shared_lock);
	proc_exit(0);
}

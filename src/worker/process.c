/*
 * process.c - registering background workers with the server: the launcher for good, all others one
 * at a time by the launcher.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"

#include "worker/process.h"

TimestampTz exact_process_blocked_until = 0;

static void
fill(BackgroundWorker *worker, const char *function, const char *name, const char *type)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	strlcpy(worker->bgw_library_name, "exact_databricks", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker->bgw_name, name, BGW_MAXLEN);
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
}

/* A full server is told of once, not at each of the launcher's attempts. */
bool
exact_process_start(const char *function, const char *name, const char *type, int arg,
					const ExactWorkerExtra *extra, BackgroundWorkerHandle **handle)
{
	static bool told = false;
	BackgroundWorker worker;

	StaticAssertStmt(sizeof(ExactWorkerExtra) <= BGW_EXTRALEN, "extra data must fit");
	fill(&worker, function, name, type);
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = Int32GetDatum(arg);
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, extra, sizeof(*extra));
	if (RegisterDynamicBackgroundWorker(&worker, handle))
	{
		told = false;
		return true;
	}

	*handle = NULL;
	exact_process_blocked_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
															  EXACT_PROCESS_RETRY_MS);
	if (!told)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("exact launcher: no free worker slot for \"%s\"", name),
				 errhint("Raise max_worker_processes (now %d): 1 for the launcher, 1 for a probe"
						 " and 3 for each database with the extension.",
						 max_worker_processes)));
	told = true;
	return false;
}

void
exact_process_register_launcher(void)
{
	BackgroundWorker worker;

	fill(&worker, "exact_launcher_main", "exact launcher", "exact launcher");
	worker.bgw_restart_time = 1;
	RegisterBackgroundWorker(&worker);
}

/*
 * exact.c - the module: what happens when the server or a session loads the library.
 *
 * Preloaded: settings, shared memory, the launcher and the hook on commands. Loaded by a session
 * only: settings, so that all SQL functions work; those that need workers say what is missing.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/compat.h"
#include "base/guc.h"
#include "http/host_policy.h"
#include "worker/ddl_hook.h"
#include "worker/process.h"
#include "worker/shmem.h"

EXACT_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	exact_guc_init(exact_host_entry_is_valid);
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	exact_shmem_init();
	exact_ddl_hook_init();
	exact_process_register_launcher();
}

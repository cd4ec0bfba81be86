/*
 * compat.h - the differences between PostgreSQL 15 and 19; bench/RESULTS.md has what scripts/matrix
 * has shown of each. The only file that looks at PG_VERSION_NUM.
 */
#ifndef EXACT_COMPAT_H
#define EXACT_COMPAT_H

#include "postgres.h"

#include "catalog/pg_database.h"
#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinvaladt.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "exact_databricks needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "utils/guc_hooks.h"
#include "varatt.h"
#endif

/* Before a declaration, as in 18 */
#ifndef pg_noreturn
#define pg_noreturn __attribute__((noreturn))
#endif

/* The library tells its name and version since 18: pg_get_loaded_modules(). */
#ifdef PG_MODULE_MAGIC_EXT
#define EXACT_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "exact_databricks", .version = EXACT_VERSION)
#else
#define EXACT_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* What a signal handler hands on to another one: since 19 who sent the signal, too */
#if PG_VERSION_NUM >= 190000
#define EXACT_SIGNAL_PASS postgres_signal_arg, pg_siginfo
#else
#define EXACT_SIGNAL_PASS postgres_signal_arg
#endif

/* JSON: callbacks return a code since 16, a lexer is told its memory since 17. */
#if PG_VERSION_NUM >= 160000
typedef JsonParseErrorType ExactJsonResult;
#define EXACT_JSON_OK return JSON_SUCCESS
#else
typedef void ExactJsonResult;
#define EXACT_JSON_OK return
#endif

/*
 * A lexer over len bytes of UTF-8 in the current memory context; need_escapes: strings are decoded.
 */
static inline JsonLexContext *
exact_json_lexer(const char *json, size_t len, bool need_escapes)
{
#if PG_VERSION_NUM >= 170000
	return makeJsonLexContextCstringLen(NULL, json, len, PG_UTF8, need_escapes);
#else
	return makeJsonLexContextCstringLen(unconstify(char *, json), (int) len, PG_UTF8, need_escapes);
#endif
}

/*
 * A process's place in the array of processes: lets another process set its latch without a pointer
 * in shared memory.
 */
static inline int
exact_my_proc_number(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyProc->pgprocno;
#endif
}

static inline void
exact_set_proc_latch(int number)
{
	SetLatch(&GetPGProcByNumber(number)->procLatch);
}

/* Process id of a transaction that runs, 0 when it has ended */
static inline int
exact_vxid_pid(VirtualTransactionId vxid)
{
#if PG_VERSION_NUM >= 170000
	PGPROC	   *proc = ProcNumberGetProc(vxid.procNumber);
#else
	PGPROC	   *proc = BackendIdGetProc(vxid.backendId);
#endif

	return proc ? proc->pid : 0;
}

/* A setting of the server itself; NULL when it has none of this name */
static inline const struct config_generic *
exact_guc_find(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, true, LOG);
#else
	for (int i = 0; i < GetNumConfigOptions(); i++)
		if (strcmp(get_guc_variables()[i]->name, name) == 0)
			return get_guc_variables()[i];
	return NULL;
#endif
}

/* What a boolean setting is now */
static inline bool
exact_guc_is_on(const struct config_generic *setting)
{
#if PG_VERSION_NUM >= 190000
	return *setting->_bool.variable;
#else
	return *((const struct config_bool *) setting)->variable;
#endif
}

/* A wait event set that lives as long as the process */
static inline WaitEventSet *
exact_wait_event_set(int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(TopMemoryContext, nevents);
#endif
}

static inline bool
exact_database_ownercheck(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

/* Minor releases mark a database whose DROP was cut off by its connection limit. */
#ifndef DATCONNLIMIT_INVALID_DB
#define DATCONNLIMIT_INVALID_DB -2
#endif

#endif

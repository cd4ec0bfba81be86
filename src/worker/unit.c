/*
 * unit.c - one unit of a worker's work: a transaction, as role exact_worker (the listener:
 * exact_listener), while the extension is held in place.
 *
 * Called by all that workers do with the database. A unit keeps DROP EXTENSION and update scripts
 * waiting for its milliseconds, and finds out here when the extension has gone or is of another
 * version than the library.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/words.h"
#include "worker/lock.h"
#include "worker/self.h"
#include "worker/unit.h"

#define UNIT_ATTEMPTS 3
#define VERSION_LEN 32
#define WORDS_MAX 1000			/* bytes of an error in the log */

static Oid	extension = InvalidOid; /* the one this process works for */

/* The extension is of another version or the role is missing: no unit can succeed. */
static bool unfit = false;

static ExactFault *
copy_fault(const ErrorData *error)
{
	return exact_fault_make(error->sqlerrcode,
							pstrdup(error->message ? error->message : "unknown error"),
							error->detail ? pstrdup(error->detail) : NULL,
							error->hint ? pstrdup(error->hint) : NULL);
}

/* Reads the extension's row: its id (InvalidOid = not there) and version. */
static Oid
read_extension(char version[VERSION_LEN])
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			oid = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("exact_databricks"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(rel), &isnull);

		oid = ((Form_pg_extension) GETSTRUCT(tuple))->oid;
		strlcpy(version, isnull ? "" : TextDatumGetCString(value), VERSION_LEN);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return oid;
}

/*
 * Keeps DROP EXTENSION and update scripts away until the transaction ends. False: the extension has
 * gone, or another one of that name has come. Raises when its version is not the library's.
 */
static bool
lock_extension(void)
{
	LOCKTAG		quiesce = exact_lock_tag(exact_self_database(), 0, EXACT_LOCK_QUIESCE);
	char		version[VERSION_LEN];
	Oid			oid;

	(void) LockAcquire(&quiesce, ShareLock, false, false);
	oid = OidIsValid(extension) ? extension : read_extension(version);
	if (!OidIsValid(oid))
		return false;
	LockDatabaseObject(ExtensionRelationId, oid, 0, AccessShareLock);
	if (read_extension(version) != oid)
		return false;
	extension = oid;
	unfit = strcmp(version, EXACT_VERSION) != 0;
	if (unfit)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_INSTALLATION),
				 errmsg("the server's library is version %s, the extension is version %s",
						EXACT_VERSION, version),
				 errhint("Restart the server to load the installed library,"
						 " then ALTER EXTENSION exact_databricks UPDATE.")));
	return true;
}

/*
 * What a unit commits others are told of: Exact Online by a token that was used, Databricks by a
 * version that was delivered. So the disk has it, whatever the database is content with otherwise.
 */
static void
make_durable(void)
{
	if (synchronous_commit < SYNCHRONOUS_COMMIT_LOCAL_FLUSH)
		(void) set_config_option("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
}

static void
become_worker_role(void)
{
	const char *name = exact_self_user();
	Oid			role = get_role_oid(name, true);

	unfit = !OidIsValid(role);
	if (unfit)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_INSTALLATION),
				 errmsg("role %s does not exist", name),
				 errhint("CREATE ROLE %s NOLOGIN; or drop and create the extension.", name)));
	SetUserIdAndSecContext(role, SECURITY_LOCAL_USERID_CHANGE);
}

typedef enum UnitEnd
{
	UNIT_DONE,
	UNIT_FAILED,
	UNIT_GONE
} UnitEnd;

/*
 * One attempt. The catch copies the error into the caller's context before the abort frees where it
 * lies. After an abort the role is what it was; after a commit it is set back here.
 */
static UnitEnd
try_unit(const char *what, ExactUnit fn, void *arg, ExactFault **fault)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile UnitEnd end = UNIT_DONE;
	Oid			user;
	int			security;

	exact_self_exit_if_wanted();
	exact_self_enter_unit();
	GetUserIdAndSecContext(&user, &security);
	pgstat_report_activity(STATE_RUNNING, what);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PG_TRY();
	{
		if (!lock_extension())
			end = UNIT_GONE;
		else
		{
			make_durable();
			become_worker_role();
			SPI_connect();
			PushActiveSnapshot(GetTransactionSnapshot());
			fn(arg);
			SPI_finish();
			PopActiveSnapshot();
			CommitTransactionCommand();
			SetUserIdAndSecContext(user, security);
		}
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(caller);
		*fault = copy_fault(error);
		FreeErrorData(error);
		end = UNIT_FAILED;
	}
	PG_END_TRY();

	if (end == UNIT_GONE)
		AbortCurrentTransaction();
	exact_self_leave_unit();
	MemoryContextSwitchTo(caller);
	pgstat_report_stat(false);
	return end;
}

bool
exact_unit_try(const char *what, ExactUnit fn, void *arg, ExactFault **fault)
{
	for (int attempt = 1;; attempt++)
	{
		UnitEnd		end = try_unit(what, fn, arg, fault);

		if (end == UNIT_DONE)
			return true;
		if (end == UNIT_GONE)
			exact_self_end("the extension is not in this database");
		if (attempt == UNIT_ATTEMPTS ||
			((*fault)->sqlstate != ERRCODE_LOCK_NOT_AVAILABLE &&
			 (*fault)->sqlstate != ERRCODE_T_R_DEADLOCK_DETECTED &&
			 (*fault)->sqlstate != ERRCODE_T_R_SERIALIZATION_FAILURE))
			return false;
	}
}

bool
exact_unit_run(const char *what, ExactUnit fn, void *arg, ExactFault **fault)
{
	ExactFault *found = NULL;
	char	   *words;

	if (exact_unit_try(what, fn, arg, &found))
	{
		exact_self_worked(what);
		return true;
	}
	words = exact_words_tidy(found->message, WORDS_MAX);	/* may quote a value of a record */
	found->message = words != NULL ? words : pstrdup("");
	exact_self_note_error(found->message, what);
	if (unfit)
		exact_self_wait(found, EXACT_SELF_RECHECK_FAILED_MS, WARNING);
	else
		ereport(LOG,
				(errcode(found->sqlstate),
				 errmsg("exact %s: %s: %s", exact_self_name(), what, found->message),
				 found->hint ? errhint("%s", found->hint) : 0));
	if (fault)
		*fault = found;
	return false;
}

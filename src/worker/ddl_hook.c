/*
 * ddl_hook.c - commands on a database or on the extension, and the workers that stand in their way.
 *
 * DROP DATABASE, RENAME, SET TABLESPACE and use as a template need a database without connections:
 * the workers of the database named in the command are ended first and kept away by a session-level
 * lock until its transaction has ended, however it ends. DROP and ALTER EXTENSION need nothing of
 * the kind, units of work step aside by locks; the workers are only told to look. Who drops the
 * extension is told of the subscriptions that nobody removes at Exact Online afterwards.
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/sql.h"
#include "worker/ddl_hook.h"
#include "worker/lock.h"
#include "worker/role.h"
#include "worker/shmem.h"
#include "worker/wake.h"

#define STOP_LIMIT_MS 12000
#define STOP_LOOK_MS 10

static ProcessUtility_hook_type previous_hook = NULL;

/* The database that this backend has closed, until its transaction ends */
static Oid	closed_database = InvalidOid;
static bool gate_held = false;
static bool callback_registered = false;

/* The database whose workers must go before this command runs; NULL = none. */
static const char *
database_in_the_way(Node *node)
{
	ListCell   *cell;

	switch (nodeTag(node))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) node)->dbname;

		case T_RenameStmt:
			if (((RenameStmt *) node)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) node)->subname;
			return NULL;

		case T_AlterDatabaseStmt:
			foreach(cell, ((AlterDatabaseStmt *) node)->options)
			{
				if (strcmp(((DefElem *) lfirst(cell))->defname, "tablespace") == 0)
					return ((AlterDatabaseStmt *) node)->dbname;
			}
			return NULL;

		case T_CreatedbStmt:
			foreach(cell, ((CreatedbStmt *) node)->options)
			{
				DefElem    *option = lfirst(cell);

				if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
					return defGetString(option);
			}
			return NULL;

		default:
			return NULL;
	}
}

/* Would the command pass the server's own check of rights? Nobody else may end workers with it. */
static bool
may_run(Node *node, Oid database)
{
	if (superuser())
		return true;
	if (nodeTag(node) == T_CreatedbStmt || nodeTag(node) == T_RenameStmt)
	{
		HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
		bool		may_create = false;

		if (HeapTupleIsValid(tuple))
		{
			may_create = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
			ReleaseSysCache(tuple);
		}
		if (!may_create)
			return false;
	}
	return exact_database_ownercheck(database, GetUserId());
}

static void
end_workers(Oid database)
{
	ExactDatabaseSlot *slot;

	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	slot = exact_shmem_database(database);
	for (int r = 0; slot != NULL && r < EXACT_NROLES; r++)
	{
		if (slot->workers[r].pid == 0)
			continue;
		slot->workers[r].ended_clean = true;
		kill(slot->workers[r].pid, SIGTERM);
	}
	LWLockRelease(exact_shared_lock);
}

static void
wait_or_interrupt(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, STOP_LOOK_MS,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * When the transaction of the command ends: workers may come again. Also lets go what an error in
 * close_database left.
 */
static void
open_database(XactEvent event, void *arg pg_attribute_unused())
{
	LOCKTAG		closing;
	LOCKTAG		gate;

	if (!OidIsValid(closed_database) || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT))
		return;
	closing = exact_lock_tag(closed_database, 0, EXACT_LOCK_CLOSING);
	gate = exact_lock_tag(closed_database, 0, EXACT_LOCK_GATE);
	closed_database = InvalidOid;
	if (gate_held)
		exact_lock_release(&gate, ExclusiveLock);
	gate_held = false;
	exact_lock_release(&closing, ExclusiveLock);
}

/*
 * Keeps new workers away, ends those that are there and waits until they have gone, at most 12 s:
 * one that awaits the answer to a token request goes after 10 s. False: they are still there, the
 * server's own check will say so.
 */
static bool
close_database(Oid database)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STOP_LIMIT_MS);
	LOCKTAG		closing = exact_lock_tag(database, 0, EXACT_LOCK_CLOSING);
	LOCKTAG		gate = exact_lock_tag(database, 0, EXACT_LOCK_GATE);

	while (!exact_lock_try(&closing, ExclusiveLock))
	{
		if (deadline <= GetCurrentTimestamp())
			return false;		/* another such command runs */
		wait_or_interrupt();
	}
	closed_database = database;
	for (;;)
	{
		end_workers(database);
		gate_held = exact_lock_try(&gate, ExclusiveLock);
		if (gate_held || deadline <= GetCurrentTimestamp())
			return gate_held;
		wait_or_interrupt();
	}
}

/* Is the extension among those that the command drops? */
static bool
drops_extension(Node *node)
{
	ListCell   *cell;

	if (nodeTag(node) != T_DropStmt || ((DropStmt *) node)->removeType != OBJECT_EXTENSION)
		return false;
	foreach(cell, ((DropStmt *) node)->objects)
	{
		if (strcmp(strVal(lfirst(cell)), "exact_databricks") == 0)
			return true;
	}
	return false;
}

/*
 * The workers remove subscriptions at Exact Online, and nothing else knows of them. A warning, as
 * the command may be wanted all the same; who may not read the table may not drop it either.
 */
static void
warn_of_subscriptions(void)
{
	static const char sql[] =
		"SELECT pg_catalog.count(*), pg_catalog.count(DISTINCT division)"
		" FROM exact.subscription"
		" WHERE id IS NOT NULL";
	Oid			schema = get_namespace_oid("exact", true);
	Oid			table = OidIsValid(schema) ? get_relname_relid("subscription", schema) : InvalidOid;
	int64		n = 0;
	int64		divisions = 0;

	if (!OidIsValid(get_extension_oid("exact_databricks", true)) || !OidIsValid(table) ||
		get_attnum(table, "id") == InvalidAttrNumber ||
		get_attnum(table, "division") == InvalidAttrNumber ||
		pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		return;
	SPI_connect();
	if (exact_sql(sql, 0, NULL) == 1)
	{
		n = exact_cell_int8(0, 1, 0);
		divisions = exact_cell_int8(0, 2, 0);
	}
	SPI_finish();
	if (n > 0)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("subscriptions of exact_databricks stay at Exact Online: " INT64_FORMAT
						" in " INT64_FORMAT " divisions", n, divisions),
				 errdetail("Only the hub can remove them. Exact Online goes on calling"
						   " an address where nobody answers."),
				 errhint("Before DROP EXTENSION: exact.disable_entities() for each division, then"
						 " wait until exact.subscription has no row. Afterwards the next hub of"
						 " the same app removes them.")));
}

static void
run_next(PlannedStmt *pstmt, const char *query, bool read_only_tree,
		 ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
		 DestReceiver *dest, QueryCompletion *qc)
{
	if (previous_hook)
		previous_hook(pstmt, query, read_only_tree, context, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest, qc);
}

/*
 * Before every utility command: marks what workers must hear of at commit, and clears the way for
 * one that needs a database without connections. The command itself runs in any case.
 */
static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
				DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *node = pstmt->utilityStmt;
	const char *name = database_in_the_way(node);
	Oid			database = name ? get_database_oid(name, true) : InvalidOid;

	if (nodeTag(node) == T_AlterExtensionStmt || nodeTag(node) == T_DropOwnedStmt ||
		(nodeTag(node) == T_DropStmt && ((DropStmt *) node)->removeType == OBJECT_EXTENSION))
		exact_wake_check_at_commit();
	if (drops_extension(node))
		warn_of_subscriptions();
	if (nodeTag(node) == T_CreatedbStmt)
		exact_wake_launcher_at_commit();	/* the template may have the extension */

	if (OidIsValid(database) && database != MyDatabaseId && !OidIsValid(closed_database) &&
		may_run(node, database))
	{
		if (!callback_registered)
			RegisterXactCallback(open_database, NULL);
		callback_registered = true;
		exact_wake_launcher_at_commit();
		if (!close_database(database))
			ereport(WARNING,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("workers of exact_databricks in database \"%s\""
							" did not end within %d s", name, STOP_LIMIT_MS / 1000)));
	}
	run_next(pstmt, query, read_only_tree, context, params, env, dest, qc);
}

void
exact_ddl_hook_init(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

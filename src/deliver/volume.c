/*
 * volume.c - the volume of a workspace, through which deliveries go that are too large for one
 * statement.
 *
 * A file is written under a name that tells its bytes (load.c), so that putting it is repeated
 * until an answer comes, and one that comes late changes nothing. Without a volume that works,
 * deliveries go as parameters of statements: nothing waits for it. Called by delivery.c,
 * delta_table.c and loader.c.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/fault.h"
#include "databricks/databricks.h"
#include "databricks/delta_sql.h"
#include "deliver/volume.h"
#include "state/volume_state.h"
#include "worker/self.h"
#include "worker/unit.h"

#define FAILS_MS 900000			/* so long it is left alone */
#define LOSSES 3				/* in a row */
#define TRIES 6					/* of one upload, in half a minute */
#define DELETE_TRIES 3
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 10000

/* What this process knows of the volume of a workspace */
typedef struct Volume
{
	dlist_node	node;
	char	   *workspace;
	TimestampTz fails_until;	/* 0: it does not */
	int			losses;
	bool		told;			/* that it works */
} Volume;

/* A file that is put, or files that are deleted */
typedef struct Work
{
	dlist_node	node;
	MemoryContext context;
	ExactWorkspace *workspace;
	List	   *paths;			/* left to do */
	const char *data;			/* NULL: they are deleted */
	size_t		len;
	bool		busy;			/* a request is under way */
	TimestampTz due;
	int			tries;
	const ExactFault *told;		/* by trouble */
	ExactStatementTrouble trouble;
	void	   *trouble_arg;
	ExactVolumeDone done;
	void	   *arg;
} Work;

static dlist_head volumes = DLIST_STATIC_INIT(volumes);
static dlist_head works = DLIST_STATIC_INIT(works);

/* ---- whether it can be used ---- */

static Volume *
get_volume(const ExactWorkspace *workspace)
{
	dlist_iter	iter;
	Volume	   *volume;

	dlist_foreach(iter, &volumes)
	{
		volume = dlist_container(Volume, node, iter.cur);
		if (strcmp(volume->workspace, workspace->name) == 0)
			return volume;
	}
	volume = MemoryContextAllocZero(TopMemoryContext, sizeof(Volume));
	volume->workspace = MemoryContextStrdup(TopMemoryContext, workspace->name);
	dlist_push_tail(&volumes, &volume->node);
	return volume;
}

bool
exact_volume_usable(const ExactWorkspace *workspace)
{
	return workspace->volume != NULL && *workspace->volume != '\0' &&
		get_volume(workspace)->fails_until <= GetCurrentTimestamp();
}

typedef struct State
{
	const ExactWorkspace *workspace;
	const ExactFault *fault;
} State;

static void
state_unit(void *arg)
{
	State	   *state = arg;

	exact_volume_state_store(state->workspace->name, state->workspace->volume, state->fault);
}

static char *
volume_name(const ExactWorkspace *workspace)
{
	return psprintf("%s.%s.%s", workspace->catalog, workspace->schema, workspace->volume);
}

/* What to do: the service's words name the volume when it is missing or not granted. */
static char *
next_step(const ExactWorkspace *workspace, const ExactFault *fault)
{
	const char *name = exact_delta_sql_for_people(volume_name(workspace));

	if (strstr(fault->message, "olume") == NULL && strstr(fault->message, "VOLUME") == NULL)
		return psprintf("Look who else deletes or refuses files of some MB in %s; the hub tries it"
						" again within a quarter of an hour.", name);
	return psprintf("CREATE VOLUME IF NOT EXISTS %s; GRANT READ VOLUME, WRITE VOLUME ON VOLUME %s"
					" TO `%s`; the hub tries it again within a quarter of an hour.", name, name,
					workspace->principal != NULL ? workspace->principal : "<owner of the token>");
}

void
exact_volume_fails(const ExactWorkspace *workspace, const ExactFault *fault)
{
	Volume	   *volume = get_volume(workspace);
	ExactFault	told = *fault;
	State		state = {workspace, &told};

	told.hint = next_step(workspace, fault);
	volume->fails_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), FAILS_MS);
	volume->losses = 0;
	volume->told = false;
	exact_log(WARNING, "workspace=%s volume=%s cannot be used, deliveries go without it: %s",
			  workspace->name, volume_name(workspace), fault->message);
	(void) exact_unit_run("volume state", state_unit, &state, NULL);
}

void
exact_volume_loses(const ExactWorkspace *workspace, const ExactFault *fault)
{
	Volume	   *volume = get_volume(workspace);

	if (++volume->losses >= LOSSES)
		exact_volume_fails(workspace, fault);
	else
		exact_log(LOG, "workspace=%s volume=%s: the files are put again: %s", workspace->name,
				  volume_name(workspace), fault->message);
}

void
exact_volume_works(const ExactWorkspace *workspace)
{
	Volume	   *volume = get_volume(workspace);
	State		state = {workspace, NULL};

	volume->losses = 0;
	volume->fails_until = 0;
	if (!volume->told)
		volume->told = exact_unit_run("volume state", state_unit, &state, NULL);
}

void
exact_volume_retry(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &volumes)
		dlist_container(Volume, node, iter.cur)->fails_until = 0;
}

char *
exact_volume_directory(const ExactTargetPlan *plan)
{
	const ExactWorkspace *workspace = plan->workspace;

	return psprintf("/Volumes/%s/%s/%s/exact_databricks/%s/%s", workspace->catalog,
					workspace->schema, workspace->volume, plan->sql.hub->installation,
					plan->sql.entity);
}

/* ---- work ---- */

static Work *
make_work(const ExactWorkspace *workspace, ExactVolumeDone done, void *arg)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact volume work",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Work	   *work = palloc0(sizeof(Work));

	work->context = context;
	work->workspace = exact_databricks_copy(workspace);
	work->done = done;
	work->arg = arg;
	MemoryContextSwitchTo(old);
	dlist_push_tail(&works, &work->node);
	return work;
}

static void
end_work(Work *work, const ExactFault *fault)
{
	MemoryContext old = MemoryContextSwitchTo(work->context);

	dlist_delete(&work->node);
	work->done(fault, work->arg);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work->context);
}

static void
trouble_unit(void *arg)
{
	Work	   *work = arg;

	work->trouble(work->told, work->tries, work->due, work->trouble_arg);
}

/* Not yet, or nobody knows: the same once more, a few times. */
static void
again_later(Work *work, const ExactCallAnswer *answer)
{
	if (work->tries >= (work->data != NULL ? TRIES : DELETE_TRIES))
	{
		end_work(work, answer->fault);
		return;
	}
	work->due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											exact_backoff_ms(work->tries, RETRY_FIRST_MS,
															 RETRY_MAX_MS));
	work->due = Max(work->due, answer->retry_at);
	exact_log(LOG, "%s is repeated, workspace=%s attempt=%d: %s",
			  work->data != NULL ? "upload" : "deletion", work->workspace->name, work->tries,
			  answer->fault->message);
	work->told = answer->fault;
	if (work->trouble != NULL)
		(void) exact_unit_run("show trouble", trouble_unit, work, NULL);
}

static void
take_put(const ExactCallAnswer *answer, void *arg)
{
	Work	   *work = arg;

	work->busy = false;
	if (answer->outcome == EXACT_CALL_OK)
		end_work(work, NULL);
	else if (answer->outcome == EXACT_CALL_REFUSED)
		end_work(work, answer->fault);
	else
		again_later(work, answer);
}

static void start_step(Work *work);

static void
take_deleted(const ExactCallAnswer *answer, void *arg)
{
	Work	   *work = arg;

	work->busy = false;
	if (answer->outcome == EXACT_CALL_LATER || answer->outcome == EXACT_CALL_UNKNOWN)
	{
		again_later(work, answer);
		return;
	}
	if (answer->outcome == EXACT_CALL_REFUSED)
	{
		end_work(work, answer->fault);
		return;
	}
	work->tries = 0;
	work->paths = list_delete_first(work->paths);
	if (work->paths == NIL)
		end_work(work, NULL);
	else
		start_step(work);
}

static void
start_step(Work *work)
{
	work->busy = true;
	work->tries++;
	if (work->data != NULL)
		exact_databricks_put(work->workspace, linitial(work->paths), work->data, work->len,
							 take_put, work);
	else
		exact_databricks_delete(work->workspace, linitial(work->paths), take_deleted, work);
}

void
exact_volume_put(const ExactWorkspace *workspace, const char *path, const char *data, size_t len,
				 ExactStatementTrouble trouble, void *trouble_arg, ExactVolumeDone done, void *arg)
{
	Work	   *work = make_work(workspace, done, arg);
	MemoryContext old = MemoryContextSwitchTo(work->context);

	work->paths = list_make1(pstrdup(path));
	work->data = data;
	work->len = len;
	work->trouble = trouble;
	work->trouble_arg = trouble_arg;
	MemoryContextSwitchTo(old);
	start_step(work);
}

void
exact_volume_delete(const ExactWorkspace *workspace, const List *paths, ExactVolumeDone done,
					void *arg)
{
	Work	   *work = make_work(workspace, done, arg);
	MemoryContext old = MemoryContextSwitchTo(work->context);
	ListCell   *cell;

	foreach(cell, paths)
		work->paths = lappend(work->paths, pstrdup(lfirst(cell)));
	MemoryContextSwitchTo(old);
	start_step(work);
}

/* ---- sweeping ---- */

/* The files of a directory, as the work of deleting them */
static void
take_list(const ExactCallAnswer *answer, void *arg)
{
	Work	   *work = arg;
	const char *directory = linitial(work->paths);
	MemoryContext old;

	if (answer->outcome != EXACT_CALL_OK || answer->nfiles == 0)
	{
		end_work(work, answer->outcome == EXACT_CALL_OK || answer->outcome == EXACT_CALL_GONE ?
				 NULL : answer->fault);
		return;
	}
	exact_log(LOG, "files of an earlier delivery are deleted, workspace=%s files=%d",
			  work->workspace->name, answer->nfiles);
	old = MemoryContextSwitchTo(work->context);
	work->paths = NIL;
	for (int i = 0; i < answer->nfiles; i++)
		work->paths = lappend(work->paths, psprintf("%s/%s", directory, answer->files[i]));
	MemoryContextSwitchTo(old);
	start_step(work);
}

void
exact_volume_sweep(const ExactTargetPlan *plan, ExactVolumeDone done, void *arg)
{
	Work	   *work = make_work(plan->workspace, done, arg);
	MemoryContext old = MemoryContextSwitchTo(work->context);

	work->paths = list_make1(exact_volume_directory(plan));
	MemoryContextSwitchTo(old);
	work->busy = true;
	exact_databricks_list(work->workspace, linitial(work->paths), take_list, work);
}

/* ---- the turn ---- */

long
exact_volume_turn(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long		wait = -1;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &works)
	{
		Work	   *work = dlist_container(Work, node, iter.cur);

		if (!work->busy && work->due <= now)
			start_step(work);
		else if (!work->busy)
			wait = exact_clock_sooner(wait, exact_clock_wait_ms(work->due));
	}
	return wait;
}

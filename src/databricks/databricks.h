/*
 * databricks.h - Databricks' REST API: statements, query history, warehouses, files of a volume.
 * Loader only.
 *
 * Every call takes a token, sends one request and classifies the answer by what is known about its
 * effect; it never sends a statement twice, but for a token that was refused before the statement
 * was looked at. Sources of the service's behaviour: Databricks REST API 2.0 (Statement Execution,
 * Query History, SQL Warehouses) and the official SDKs' error mappings.
 */
#ifndef EXACT_DATABRICKS_H
#define EXACT_DATABRICKS_H

#include "utils/timestamp.h"

#include "base/fault.h"

typedef struct ExactWorkspace
{
	const char *name;
	const char *origin;			/* "https://adb-1.2.azuredatabricks.net" */
	const char *workspace_id;	/* for hosts that serve several workspaces; NULL: none */
	const char *warehouse;
	const char *catalog;
	const char *schema;
	/* client id, for GRANTs in hints; NULL: a personal access token is used */
	const char *principal;
	const char *volume;			/* of bulk files, in that schema; NULL: none */
	/* when its warehouse is woken and stopped (warehouse.h); all 0: whenever a statement comes */
	int64		wake_after_ms;
	int			wake_rows;
	bool		quiet_hours;	/* there are some */
	bool		stop_own;		/* it is stopped if this hub has woken it */
} ExactWorkspace;

typedef enum ExactCallOutcome
{
	EXACT_CALL_OK,				/* the service answered the question */
	EXACT_CALL_LATER,			/* surely not processed: not sent, throttled, no token yet */
	EXACT_CALL_UNKNOWN,			/* sent, but without a usable answer: may have been processed */
	EXACT_CALL_GONE,			/* 404: no such statement, file or directory (any more) */
	EXACT_CALL_REFUSED			/* a human must act */
} ExactCallOutcome;

typedef enum ExactStatementState
{
	EXACT_STATEMENT_PENDING,	/* or running */
	EXACT_STATEMENT_SUCCEEDED,
	EXACT_STATEMENT_CLOSED,		/* succeeded; its result comes with the answer or is gone */
	EXACT_STATEMENT_FAILED,
	EXACT_STATEMENT_CANCELED
} ExactStatementState;

/* Of a statement that succeeded: are its rows all in the answer? */
typedef enum ExactRows
{
	EXACT_ROWS_WHOLE,
	EXACT_ROWS_LATER,			/* a chunk could not be read now: the same question again */
	/* gone, cut or never sent: they come only when the statement runs again */
	EXACT_ROWS_GONE
} ExactRows;

typedef struct ExactCallAnswer
{
	ExactCallOutcome outcome;
	const ExactFault *fault;	/* unless OK with all rows */
	TimestampTz retry_at;		/* LATER, when the service said so; else 0 */
	double		ms;
	bool		too_large;		/* REFUSED: somebody on the way takes no request of this size */
	/* of a statement */
	ExactStatementState state;
	bool		queued;			/* PENDING: it does not run yet */
	const char *statement_id;
	const char *error_code;		/* FAILED: "BAD_REQUEST", ... */
	const char *error_class;	/* "CAST_INVALID_INPUT", "" when there is none */
	const char *sqlstate;		/* "22018", also that of the class; "" when there is none */
	const char *error_text;		/* as sent: may hold values of records, not for logs */
	const char *error_words;	/* of it, behind class, code and exception; likewise */
	ExactRows	rows;
	int			nrows;
	int			ncolumns;
	char	  **cells;			/* row by row; NULL for null */
	/* of the history: a statement with the mark that is queued or running; NULL: none */
	const char *running_id;
	/* REFUSED: such a statement may run, its text is not shown */
	bool		hidden;
	/* of a directory: the names of its files */
	int			nfiles;
	char	  **files;
	/* of a warehouse */
	const char *warehouse_state;
	const char *warehouse_name;
	const char *warehouse_size; /* "2X-Small"; NULL: not told */
	int			auto_stop_min;	/* 0: never; -1: not told */
} ExactCallAnswer;

/*
 * Called once, outside a transaction, maybe before the starting function returns; the answer is
 * gone when it returns.
 */
typedef void (*ExactCallDone) (const ExactCallAnswer *answer, void *arg);

/*
 * Sends a statement; parameter (may be NULL) is bound to :batch. Waits up to 30 s on the server.
 * Of one that has succeeded all chunks of its result are read before done is called, by poll too.
 */
extern void exact_databricks_execute(const ExactWorkspace *workspace, const char *statement,
									 const char *parameter, bool quoted, ExactCallDone done,
									 void *arg);
extern void exact_databricks_poll(const ExactWorkspace *workspace, const char *statement_id,
								  ExactCallDone done, void *arg);
/*
 * Is a statement that begins with this mark, and not with the other one (may be NULL), not yet over
 * in any warehouse of the workspace? since: it was sent no earlier. Only what the principal may see
 * is found: its own statements. Databricks may be set to show nobody's text but to administrators
 * and members of databricks_pii_access: while something runs whose text is not shown, the answer is
 * REFUSED and hidden.
 */
extern void exact_databricks_find(const ExactWorkspace *workspace, const char *mark,
								  const char *other, TimestampTz since, ExactCallDone done,
								  void *arg);
/*
 * Has somebody used the warehouse since then whose statements do not begin with this mark? Those
 * of others are only shown to who has CAN VIEW, CAN MONITOR or CAN MANAGE on it.
 */
extern void exact_databricks_others(const ExactWorkspace *workspace, const char *mark,
									TimestampTz since, ExactCallDone done, void *arg);
extern void exact_databricks_warehouse(const ExactWorkspace *workspace, ExactCallDone done,
									   void *arg);
/* Ends what runs there, too. Needs CAN MANAGE. */
extern void exact_databricks_stop(const ExactWorkspace *workspace, ExactCallDone done, void *arg);

/*
 * Puts a file, over what is there; data is not copied, and must live until done is called. A path
 * is "/Volumes/catalog/schema/volume/...".
 */
extern void exact_databricks_put(const ExactWorkspace *workspace, const char *path,
								 const char *data, size_t len, ExactCallDone done, void *arg);
extern void exact_databricks_delete(const ExactWorkspace *workspace, const char *path,
									ExactCallDone done, void *arg);
/* The files of a directory, at most 20,000 of them */
extern void exact_databricks_list(const ExactWorkspace *workspace, const char *path,
								  ExactCallDone done, void *arg);

/* A deep copy in the current memory context */
extern ExactWorkspace *exact_databricks_copy(const ExactWorkspace *workspace);

#endif

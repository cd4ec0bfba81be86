/*
 * statement_log.h - exact.statement_log: a row for each statement that is sent to Databricks.
 * Loader only; all of it in a unit.
 */
#ifndef EXACT_STATEMENT_LOG_H
#define EXACT_STATEMENT_LOG_H

#include "utils/timestamp.h"

#include "databricks/statement.h"

/* What becomes of a statement */
typedef struct ExactLogEntry
{
	int64		id;
	const char *state;			/* sending, unknown, running, succeeded, failed */
	int			attempt;
	const char *statement_id;	/* may be NULL, as the texts below */
	int64		affected;		/* rows, -1: not known */
	const char *error;
	const char *sqlstate;
} ExactLogEntry;

/* Does a statement of this kind write rows? Else it may be repeated at any time. */
extern bool exact_statement_log_writes_rows(const char *kind);

/* Records that it is about to be sent; returns the id of its row. */
extern int64 exact_statement_log_add(const ExactStatementRequest *request);
extern void exact_statement_log_update(const ExactLogEntry *entry);

/* A statement that an earlier process left */
typedef struct ExactLeftover
{
	int64		id;
	char	   *entity;
	char	   *table;			/* may be NULL */
	char	   *kind;
	char	   *statement_id;	/* NULL: its answer was never seen */
	TimestampTz at;
	ExactRange	range;
} ExactLeftover;

/*
 * Closes what an earlier process left of these entities, but for statements that write rows: reads,
 * DDL and claims may be repeated at any time. workspace: NULL, of any.
 */
extern void exact_statement_log_close(const char *workspace, const char *const *entities, int n);
/* The same of a kind that writes no rows, whatever its entity */
extern void exact_statement_log_close_kind(const char *workspace, const char *kind);

/*
 * Those that write rows and were left, the oldest first; returns their number. *rows in `context`
 */
extern int	exact_statement_log_left(const char *workspace, const char *const *entities, int n,
									 MemoryContext context, ExactLeftover **rows);

#endif

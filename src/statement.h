/*
 * statement.h - the life of one statement in Databricks: recorded, sent, polled, sent again only when it is known not to run.
 *
 * Loader only. The service has no idempotency key: a statement whose answer was lost is looked for in the query history, and the
 * same text goes out again once none is queued or running; its effect does not depend on how often it ran (merge_sql.h).
 */
#ifndef EXACT_STATEMENT_H
#define EXACT_STATEMENT_H

#include "databricks.h"
#include "worker.h"

/* Rows of staged batches that a statement carries, both ends included */
typedef struct ExactRange
{
	int64		first_batch;	/* 0: none */
	int			first_ord;
	int64		last_batch;
	int			last_ord;
} ExactRange;

typedef enum ExactVerdict
{
	EXACT_VERDICT_SUCCEEDED,
	EXACT_VERDICT_REFUSED,		/* a human must act, or the caller knows better */
	EXACT_VERDICT_LAPSED		/* of an earlier process: does not run (any more), its outcome stays unknown */
} ExactVerdict;

typedef struct ExactStatementResult
{
	ExactVerdict verdict;
	const ExactFault *fault;	/* REFUSED: for people, without values of records */
	const char *sqlstate;		/* of Databricks; "" when there is none */
	bool		fenced;			/* REFUSED: Databricks takes statements of another epoch than ours */
	const char *statement_id;	/* may be NULL */
	bool		first_attempt;	/* one sending, one answer: its counts are the whole truth */
	int64		affected;		/* num_affected_rows, -1 when not known */
	int			nrows;
	int			ncolumns;
	char	  **cells;
	double		ms;				/* from the first sending to the end */
} ExactStatementResult;

/* Called once, outside a transaction; the result is gone when it returns. */
typedef void (*ExactStatementDone) (const ExactStatementResult *result, void *arg);
/* Called in the unit that records it: not yet done because of fault, tried again at `at`. */
typedef void (*ExactStatementTrouble) (const ExactFault *fault, int attempts, TimestampTz at, void *arg);

typedef struct ExactStatementRequest
{
	const ExactWorkspace *workspace;
	const char *entity;
	const char *table;			/* "main.exact.glaccount" */
	const char *kind;			/* ddl, history, current, check, fence, state, view */
	const char *verb;			/* for people: "MERGE into" */
	const char *mark;			/* leading comment (exact_merge_sql_mark) */
	const char *sql;			/* without the mark */
	const char *parameter;		/* not copied: must live until done is called; may be NULL */
	ExactRange	range;
	int			rows;
	bool		may_be_absent;	/* that the table is not there (42P01, 42704) is an answer, not an error */
	ExactStatementTrouble trouble;	/* may be NULL */
	ExactStatementDone done;
	void	   *arg;
} ExactStatementRequest;

extern void exact_statement_start(const ExactStatementRequest *request);

/*
 * A statement that an earlier process recorded (request without sql): followed until it is over. statement_id may be NULL: its answer was
 * never seen.
 */
extern void exact_statement_recover(const ExactStatementRequest *request, int64 log_id, const char *statement_id, TimestampTz sent_at);

/* Does what is due; returns ms until the next turn is wanted, -1 = none. */
extern long exact_statement_turn(void);

/* Does this SQLSTATE say that the table or its schema is not there? */
extern bool exact_statement_absent(const char *sqlstate);

/* Exponential: 1 s, 2 s, ... up to max_ms, less up to a half at random. failures from 1 */
extern long exact_statement_backoff(int failures, long max_ms);

#endif

/*
 * statement.h - the life of one statement in Databricks: recorded, sent, polled, sent again only
 * when it is known not to run.
 *
 * Loader only. The service has no idempotency key: a statement whose answer was lost is looked for
 * in the query history, and the same text goes out again once none is queued or running; its effect
 * does not depend on how often it ran (merge_sql.h).
 */
#ifndef EXACT_STATEMENT_H
#define EXACT_STATEMENT_H

#include "utils/timestamp.h"

#include "base/fault.h"
#include "databricks/databricks.h"
#include "databricks/delta_sql.h"

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
	/* of an earlier process: does not run (any more), its outcome stays unknown */
	EXACT_VERDICT_LAPSED
} ExactVerdict;

typedef struct ExactStatementResult
{
	ExactVerdict verdict;
	const ExactFault *fault;	/* REFUSED: for people, without values of records */
	const char *sqlstate;		/* of Databricks; "" when there is none */
	/* REFUSED: Databricks takes statements of another epoch than ours */
	bool		fenced;
	bool		too_large;		/* REFUSED: with fewer rows it may be taken */
	/* REFUSED: of the table, that a row does not meet, or its column that must not be null */
	const char *constraint;		/* NULL: none is named */
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
typedef void (*ExactStatementTrouble) (const ExactFault *fault, int attempts, TimestampTz at,
									   void *arg);

typedef struct ExactStatementRequest
{
	const ExactWorkspace *workspace;
	const ExactHub *hub;
	const char *entity;
	const char *table;			/* "main.exact.glaccount" */
	const char *kind;			/* a value of exact.statement_log.kind: ddl, history, ... */
	/* what tells it from others of its entity and kind; NULL: its range, or the workspace */
	const char *scope;
	const char *verb;			/* for people: "MERGE into" */
	const char *sql;
	const char *parameter;		/* not copied: must live until done is called; may be NULL */
	bool		quoted;			/* the parameter is a string of JSON already */
	ExactRange	range;
	int			rows;
	int64		bytes;			/* of files that it reads, if nobody else counts them */
	/* that the table is not there (42P01, 42704) is an answer, not an error */
	bool		may_be_absent;
	/* that it fails with this SQLSTATE is an answer, not an error; a constant, may be NULL */
	const char *expected;
	ExactStatementTrouble trouble;	/* may be NULL */
	void	   *trouble_arg;
	ExactStatementDone done;
	void	   *arg;
} ExactStatementRequest;

/* Copies what it needs, but for the parameter. done may be called before it returns. */
extern void exact_statement_start(const ExactStatementRequest *request);

/* A copy in the current memory context, but for parameter, hub and the arguments */
extern ExactStatementRequest *exact_statement_copy(const ExactStatementRequest *request);

/*
 * What an earlier process left of these entities in the workspace: statements that write rows are
 * followed until they are over, from the next turn on; the others are closed. One whose id is not
 * known has lapsed: the fence (deliver/fence.h) is held once none of an earlier process runs.
 * `like` has workspace, hub, trouble and done. Returns how many are followed, -1 when the log could
 * not be read.
 */
extern int	exact_statement_follow(const ExactStatementRequest *like, const char *const *entities,
								   int n);

/* What is told of a statement that is waited for: its id, and how to end it. palloc'd */
extern ExactFault *exact_statement_waits(const char *statement_id, const char *what);

/*
 * The query history may list a statement late: that it shows none counts when two looks so far
 * apart agree.
 */
#define EXACT_STATEMENT_LOOKS_APART_MS 5000

/*
 * What waits because something failed is tried again at once: the service answers again, or what
 * kept it from answering may have been mended.
 */
extern void exact_statement_hurry(const char *workspace);

/* Does what is due; returns ms until the next turn is wanted, -1 = none. */
extern long exact_statement_turn(void);

/* Does this SQLSTATE say that the table or its schema is not there? */
extern bool exact_statement_absent(const char *sqlstate);

#endif

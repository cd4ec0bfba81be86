/*
 * databricks_call.h - one call of Databricks' REST API, for databricks.c.
 */
#ifndef EXACT_DATABRICKS_CALL_H
#define EXACT_DATABRICKS_CALL_H

#include "nodes/pg_list.h"

#include "databricks/databricks.h"
#include "databricks/databricks_answer.h"

typedef enum ExactCallKind
{
	EXACT_KIND_EXECUTE,
	EXACT_KIND_POLL,
	EXACT_KIND_CHUNK,					/* of either: the next chunk of its result */
	EXACT_KIND_FIND,
	EXACT_KIND_OTHERS,
	EXACT_KIND_WAREHOUSE,
	EXACT_KIND_STOP,
	EXACT_KIND_PUT,
	EXACT_KIND_DELETE,
	EXACT_KIND_LIST
} ExactCallKind;

typedef struct ExactCall
{
	MemoryContext context;
	ExactCallKind kind;
	const char *workspace;
	const char *routing;		/* header line for the workspace id, NULL none */
	const char *method;
	char	   *url;
	const char *body;
	size_t		body_len;
	ExactHistory history;		/* FIND, OTHERS */
	char	   *first_url;			/* FIND, OTHERS, LIST: of the first of its pages */
	int			pages;
	List	   *files;			/* LIST: names of those that were read so far */
	bool		renewed;		/* its token was refused once */
	bool		refused;		/* it was refused once */
	bool		too_large;		/* for its size */
	const char *origin;			/* EXECUTE, POLL: of the workspace */
	ExactCallAnswer *answer;	/* CHUNK: what was read so far */
	ExactChunk	chunk;
	ExactCallDone done;
	void	   *arg;
} ExactCall;

/*
 * A GET of no address yet; what the caller sets lives in its context. It ends, and its context with
 * it, when done was called.
 */
extern ExactCall *exact_databricks_call_make(const ExactWorkspace *workspace, ExactCallKind kind,
											 ExactCallDone done, void *arg);
/* Not with the call's own context as the current one */
extern void exact_databricks_call_start(ExactCall *call);

#endif

/*
 * service_state.h - exact.service_state: does each app of Exact Online, and each workspace of
 * Databricks, answer?
 */
#ifndef EXACT_SERVICE_STATE_H
#define EXACT_SERVICE_STATE_H

#include "utils/timestamp.h"

typedef struct ExactServiceState
{
	const char *side;			/* "exact" or "databricks" */
	const char *name;			/* of the app or workspace */
	/* 0: never, or not so */
	TimestampTz asked_at;		/* last call */
	TimestampTz answered_at;	/* last good answer */
	TimestampTz failing_since;	/* first call that no good answer has followed */
	const char *kind;			/* of the failure: "silent" or "token" */
	const char *cause;			/* of the last one, for people */
	TimestampTz slowed_until;	/* it asked to be asked later */
	TimestampTz starting_since; /* its warehouse is being started */
} ExactServiceState;

/* In a unit. */
extern void exact_service_state_store(const ExactServiceState *state);

/* Since when each one of a side fails; in a unit. Texts in the current context. */
typedef struct ExactServiceFailure
{
	char	   *name;
	TimestampTz since;
	char	   *kind;
	char	   *cause;
} ExactServiceFailure;

/* *rows is palloc'd in the context; returns how many. */
extern int	exact_service_state_failing(const char *side, MemoryContext context,
										ExactServiceFailure **rows);

#endif

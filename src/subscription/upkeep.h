/*
 * upkeep.h - upkeep of the webhook subscriptions of one division: what is wanted, found and done.
 * Types alone.
 */
#ifndef EXACT_UPKEEP_H
#define EXACT_UPKEEP_H

#include "utils/timestamp.h"

#include "subscription/reach.h"

/* Between two looks, and two attempts that were refused */
#define EXACT_UPKEEP_CHECK_US USECS_PER_DAY

typedef enum ExactTopicStep
{
	EXACT_STEP_NONE,
	EXACT_STEP_DELETE,			/* not wanted any more */
	EXACT_STEP_REPLACE,			/* delete what leads elsewhere, then post */
	EXACT_STEP_POST
} ExactTopicStep;

/* One row of exact.subscription. Texts live in the memory context of the upkeep. */
typedef struct ExactTopic
{
	char	   *name;
	bool		wanted;			/* by an enabled entity */
	char	   *id;				/* ours; NULL: none, or not known */
	char	   *callback_url;
	const char *state;			/* "wanted", "present", "foreign", "refused" */
	const char *cause;			/* NULL: none */
	const char *reason;
	const char *next_step;
	TimestampTz tried_at;
	TimestampTz checked_at;
	TimestampTz replaced_at;
	/* of the running upkeep */
	ExactTopicStep step;
	/* id of what is to be deleted: this one, or what leads elsewhere */
	const char *target;
	bool		made;
	bool		replaced;
	bool		removed;
} ExactTopic;

/* One subscription in the list of Exact Online */
typedef struct ExactListed
{
	char	   *id;
	char	   *topic;
	char	   *callback_url;	/* may be NULL */
} ExactListed;

typedef enum ExactUpkeepPhase
{
	EXACT_UPKEEP_IDLE,
	EXACT_UPKEEP_LIST,
	EXACT_UPKEEP_STEPS
} ExactUpkeepPhase;

typedef enum ExactCount
{
	EXACT_COUNT_TOPICS,
	EXACT_COUNT_PRESENT,
	EXACT_COUNT_MADE,
	EXACT_COUNT_REPLACED,
	EXACT_COUNT_REMOVED,
	EXACT_COUNT_FOREIGN,
	EXACT_COUNT_REFUSED,
	EXACT_COUNT_WAITING,
	EXACT_NCOUNTS
} ExactCount;

/* One division. Never freed: requests on the way point to it. */
typedef struct ExactUpkeep
{
	int			division;		/* key */
	bool		present;		/* in the last reading */
	MemoryContext context;		/* of all texts below */
	char	   *app;
	bool		has_secret;
	TimestampTz consented_at;	/* last consent; one of a clock that was ahead does not count */
	TimestampTz consent_used;	/* the one at which the last upkeep began */
	char	   *callback_url;	/* NULL: none, see cause */
	/* why no subscription can be made: address, listener, secret; NULL: it can */
	const char *cause;
	const char *reason;
	const char *next_step;
	ExactReach *reach;
	ExactTopic *topics;
	int			ntopics;
	/* memory only */
	ExactUpkeepPhase phase;
	bool		stale;			/* it has ended: what is due is known after the next reading */
	bool		busy;			/* a call is on the way */
	bool		forced;			/* an operator asked: refused topics are tried as well */
	bool		yield;			/* the division's feeds have the next call */
	/* least time between two that nobody asked for; grows while they change nothing */
	int64		gap_us;
	int			pass;			/* lists read in this upkeep */
	int			failures;		/* refused posts in a row */
	int			errors;			/* calls in a row that ended without an answer */
	TimestampTz requested_at;	/* newest open request that covers it */
	TimestampTz begun_at;
	TimestampTz ended_at;		/* 0 while one runs */
	TimestampTz not_before;
	int			counts[EXACT_NCOUNTS];	/* of the last upkeep, for the request's result */
	char		waits_for[256]; /* why some topics were not made */
	char		problem[256];	/* why the last upkeep could not be done; "" = it was */
	char	   *list_url;		/* next page, malloc'ed */
	ExactListed *listed;
	int			nlisted;
} ExactUpkeep;

#endif

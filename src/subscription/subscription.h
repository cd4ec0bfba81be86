/*
 * subscription.h - upkeep of the webhook subscriptions at Exact Online: the fetcher's turn, and its memory of exact.subscription.
 */
#ifndef EXACT_SUBSCRIPTION_H
#define EXACT_SUBSCRIPTION_H

#include "exact_online/exact_api.h"
#include "subscription/reach.h"
#include "utils/timestamp.h"

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
	const char *target;			/* what is to be deleted: this one's id, or of what leads elsewhere */
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
	TimestampTz consented_at;	/* last time somebody consented; a clock that was ahead does not count */
	TimestampTz consent_used;	/* the one at which the last upkeep began */
	char	   *callback_url;	/* NULL: none, see cause */
	const char *cause;			/* why no subscription can be made: address, listener, secret; NULL: it can */
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
	int64		gap_us;			/* at least this long between two that nobody asked for; grows while they follow each other and change nothing */
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

/* ---- subscription.c ---- */

/* Subscriptions, entities or settings may have changed: looked at in one of the next turns. */
extern void exact_subscription_want(void);
/* Sends what is due where a lane is idle; returns ms until something will be due, -1 = nothing by itself. */
extern long exact_subscription_turn(void);

/* ---- subscription_answer.c ---- */

#define EXACT_CHECK_US USECS_PER_DAY	/* between two looks, and two attempts that were refused */

extern void exact_upkeep_on_list(ExactApiAnswer *answer, void *upkeep);
extern void exact_upkeep_on_step(ExactApiAnswer *answer, void *upkeep);
/* May this topic be made now, or only tomorrow? */
extern bool exact_upkeep_may_try(const ExactUpkeep *upkeep, const ExactTopic *topic);
/* The upkeep is over; problem (NULL: none) is why it could not be done. */
extern void exact_upkeep_end(ExactUpkeep *upkeep, const char *problem, TimestampTz not_before);
/* Nothing can be sent: the rows say why. */
extern void exact_upkeep_say_blocked(ExactUpkeep *upkeep);
extern void exact_upkeep_set_link(ExactUpkeep *upkeep, const char *link);

/* ---- subscription_store.c ---- */

extern int	exact_upkeep_all(ExactUpkeep ***out);
/* Reads wanted topics, rows and open requests; in no transaction. False: to be tried again. */
extern bool exact_upkeep_read(void);
/* In a unit: writes a row as it is in memory; of a topic that is neither wanted nor known at Exact Online, removes it. */
extern void exact_upkeep_save(const ExactUpkeep *upkeep, const ExactTopic *topic);
/* In a unit: an event of the audit log. */
extern void exact_upkeep_audit(const ExactUpkeep *upkeep, const ExactTopic *topic, const char *what);
/* At the end of an upkeep: counts its topics. */
extern void exact_upkeep_count(ExactUpkeep *upkeep);
/* Ends requests whose divisions have all been looked at; in no transaction. */
extern void exact_upkeep_settle(void);

#endif

/*
 * plan.h - what the fetcher has to do: divisions (lanes), their feeds, and where each stands. Memory of exact.feed_state.
 */
#ifndef EXACT_PLAN_H
#define EXACT_PLAN_H

#include "exact_online/feed.h"
#include "utils/timestamp.h"

struct ExactLane;

/* An entity whose keyed reads fail */
typedef struct ExactRefusal
{
	char		entity[NAMEDATALEN];
	int			errors;			/* in a row */
	int			most;			/* keys that one read takes: fewer after each refusal, until the key that causes it is alone */
	TimestampTz not_before;
} ExactRefusal;

typedef struct ExactRun
{
	struct ExactLane *lane;
	char		name[NAMEDATALEN];	/* feed */
	MemoryContext context;		/* of def and enabled */
	ExactFeed  *def;
	bool	   *enabled;		/* entities of def that this division has */
	bool		present;		/* in the last reading of the plan */
	bool		paused;			/* pause() of one of its entities */
	/* as in exact.feed_state */
	int64		mark;
	int64		run;			/* 0 before the first */
	bool		paging;
	char	   *next_link;		/* malloc'ed, NULL at the run's first page */
	TimestampTz run_started_at;
	int64		run_first_max;
	int64		run_max;
	bool		run_rising;
	int64		run_rows;
	TimestampTz complete_at;
	int			errors;			/* in a row */
	bool		whole;			/* the running run reads everything: what it does not show is gone */
	TimestampTz whole_at;		/* start of the last complete one */
	int64		whole_rows;
	int64		reread_from;	/* 0 = from the mark */
	TimestampTz notified_first; /* notifications that no complete run has followed yet; 0 none */
	TimestampTz notified_last;
	TimestampTz told_at;		/* the last run or keyed read that notifications asked for; memory only */
	TimestampTz keyed_at;		/* the last keyed read; memory only */
	char		digest[65];		/* of the fields that were read when the mark was set; "" = none yet */
	/* memory only */
	TimestampTz wanted_at;		/* a run that starts later satisfies it; 0 none */
	TimestampTz not_before;		/* after an error */
	TimestampTz sent_at;		/* of the last request */
	int64		sent_seq;
	bool		superseded;		/* someone reset the feed while its page was on the way */
} ExactRun;

typedef struct ExactLane
{
	int			division;		/* key */
	bool		present;
	char		app[NAMEDATALEN];
	char	   *base_url;		/* malloc'ed, NULL when it cannot be used */
	char	   *language;		/* malloc'ed or NULL */
	char		state[16];		/* ok, paused, frozen, parked */
	TimestampTz state_since;
	int			mark_generation;
	bool		busy;			/* a request is on the way: reads of a division are serial */
	bool		reread;			/* the plan changed while a request was on the way */
	bool		keyed_last;		/* the last request was a keyed read */
	TimestampTz not_before;		/* nothing of this division before */
	TimestampTz keys_at;		/* next keyed read of dirty keys; PG_INT64_MAX none */
	struct Keyed *rest;			/* keyed read of which pages are still to be read; NULL none */
	int			nrefused;
	ExactRefusal *refused;
	int			nruns;
	int			capacity;
	ExactRun  **runs;
} ExactLane;

/* Asks for the plan to be read anew in the fetcher's next turn. */
extern void exact_plan_want(void);
/* The same for whoever may ask a hundred times a second: not within a second of the last reading. */
extern void exact_plan_look(void);
/*
 * Reads divisions, feeds, states and requests anew when that was asked for; in no transaction. Runs on the way are kept. Returns ms
 * until it wants to be called again because something could not be read, -1 = when asked.
 */
extern long exact_plan_turn(void);
extern int	exact_plan_lanes(ExactLane ***lanes);
extern ExactLane *exact_plan_lane(int division);
extern ExactRun *exact_plan_run(ExactLane *lane, const char *feed);
/* 0 = now or overdue; INT64_MAX = not by itself */
extern TimestampTz exact_plan_due_at(const ExactRun *run);
/* Is a request of exact.request on the way? Then exact_plan_settle() looks whether its runs have ended. */
extern void exact_plan_settle(void);
/* Microseconds that lie between two runs, or two keyed reads, of a feed that notifications ask for, so that the day's calls last. */
extern int64 exact_plan_gap(const ExactLane *lane);
/* In a unit, or after one that has stored it: a feed has been notified of changes between first and last. */
extern void exact_plan_notified(int division, const char *feed, TimestampTz first, TimestampTz last);
extern void exact_plan_set_link(ExactRun *run, const char *link);

#endif

/*
 * lane.h - divisions (lanes) and their feeds (runs) in memory: where each stands, when it is due.
 *
 * Filled from exact._plan by plan.c. Lanes and runs are never freed while the process lives:
 * requests on the way point to them.
 */
#ifndef EXACT_LANE_H
#define EXACT_LANE_H

#include "utils/timestamp.h"

#include "base/digest.h"
#include "exact_online/feed.h"
#include "state/dirty_key.h"

struct ExactLane;

/* An entity whose keyed reads fail */
typedef struct ExactRefusal
{
	char		entity[NAMEDATALEN];
	int			errors;			/* in a row */
	/* keys that one read takes: fewer after each refusal, until the key that causes it is alone */
	int			most;
	TimestampTz not_before;
	bool		incredible;		/* the last answer was: an operator's word does not wait */
	bool		unreached;		/* there was none of the service */
	int			write_errors;	/* writes of it that failed, in a row */
	TimestampTz no_write_before;
} ExactRefusal;

/* The pages that a run has been at: eight bytes each */
typedef struct ExactTrail
{
	int			n;
	int			capacity;
	uint64	   *addresses;		/* digests of them */
} ExactTrail;

typedef struct ExactRun
{
	struct ExactLane *lane;
	char		name[NAMEDATALEN];	/* feed */
	ExactFeed  *def;			/* shared: definition.c */
	bool	   *enabled;		/* entities of def that this division has */
	/* the second cursor of the feed, NULL none; of that one: the live cursor */
	struct ExactRun *backfill;
	struct ExactRun *live;
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
	/* the running run reads everything: what it does not show is gone */
	bool		whole;
	TimestampTz whole_at;		/* start of the last complete one */
	int64		whole_rows;
	int64		reread_from;	/* 0 = from the mark */
	/* the mark at the beginning of the night, which is read from in the next one; 0 none */
	int64		night_mark;
	TimestampTz night_at;
	TimestampTz again_at;		/* a notified run showed nothing: once more then; 0 none */
	/* notifications that no complete run has followed yet; 0 none */
	TimestampTz notified_first;
	TimestampTz notified_last;
	TimestampTz told_at;		/* the last run that notifications asked for; memory only */
	TimestampTz keyed_at;		/* the last keyed read; memory only */
	TimestampTz wrote_at;		/* the hub's last write of one of its records; memory only */
	/* of the fields that were read when the mark was set; "" = none yet */
	char		digest[EXACT_DIGEST_HEX_LEN + 1];
	/* of a backfill */
	int64		until;			/* it reads to this time of change; 0 = to the end */
	bool		nightly;		/* so many calls a night */
	/* memory only, of the running run */
	ExactTrail	trail;
	bool		showed;			/* it has shown something new */
	int64		failed_rows;	/* rows that it had read when a page failed */
	int64		most_rows;		/* that it may read without doubt */
	bool		leads_back;		/* the last answer does, to where the run has been */
	int			refusals;		/* of its link, in a row */
	int			top;			/* rows to ask for, as a page was too large; 0 a whole page */
	int			sent_top;		/* likewise, of the request on its way */
	TimestampTz stuck_since;	/* it got no further since then; 0: it does */
	TimestampTz alarmed_at;		/* the last alarm about that */
	/* memory only */
	TimestampTz wanted_at;		/* a run that starts later satisfies it; 0 none */
	TimestampTz not_before;		/* after an error */
	bool		unreached;		/* which was no answer of the service */
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
	TimestampTz resumed_at;		/* last resume() that was obeyed; memory only */
	char		reached_by[33]; /* digest of what its app is called with; memory only */
	bool		known;			/* the plan has shown it before */
	int			mark_generation;
	int			blocking_status;	/* not 0: nothing is read as a whole, nothing is gone */
	TimestampTz guard_at;		/* the guard runs then, besides; memory only; 0 none */
	bool		busy;			/* a request is on the way: reads of a division are serial */
	bool		reread;			/* the plan changed while a request was on the way */
	bool		keyed_last;		/* the last request was a keyed read */
	bool		unsettled;		/* requests are to be looked at: something has ended */
	TimestampTz not_before;		/* nothing of this division before */
	TimestampTz keys_at;		/* next keyed read of dirty keys; PG_INT64_MAX none */
	/* next step of the write-back; 0 to be asked for, PG_INT64_MAX none */
	TimestampTz writes_at;
	bool		wrote_last;		/* the last request was a write */
	int			night;			/* the last night with nightly calls, and how many; 0 none */
	int			night_calls;
	int			lives_in_row;	/* pages of live runs since one of another kind */
	struct Keyed *rest;			/* keyed read of which pages are still to be read; NULL none */
	int			nrefused;
	ExactRefusal *refused;
	int			nruns;
	int			capacity;
	ExactRun  **runs;
} ExactLane;

/* All lanes; returns their number. */
extern int	exact_lane_all(ExactLane ***lanes);
/* NULL when the division has none. */
extern ExactLane *exact_lane_find(int division);
extern ExactLane *exact_lane_make(int division);
/* The run of a feed, made when there is none. */
extern ExactRun *exact_lane_run(ExactLane *lane, const char *feed);

/*
 * A request of the lane goes out: until its answer is there nothing else of the division is sent.
 */
extern void exact_lane_hold(ExactLane *lane);
/* Its answer is there. */
extern void exact_lane_release(ExactLane *lane);
/* Lanes that are held. */
extern int	exact_lane_held(void);

/* When a run is due: 0 = now or overdue; PG_INT64_MAX = not by itself. */
extern TimestampTz exact_lane_due_at(const ExactRun *run);
/*
 * Microseconds that lie between two runs, or two keyed reads, of a feed that notifications ask
 * for, so that the day's calls last.
 */
extern int64 exact_lane_gap(const ExactLane *lane);
/* A feed has been notified of changes between these moments; called when that is stored. */
extern void exact_lane_notified(int division, const char *feed, TimestampTz first,
								TimestampTz last);
/* The hub has written a record of this entity: what is notified of it in a moment is its own. */
extern void exact_lane_wrote(ExactLane *lane, const char *entity);
/* Something of it has been read, which a write may have waited for. */
extern void exact_lane_has_read(ExactLane *lane);
/* Whatever waits after errors may be tried at once: an operator has resumed the division. */
extern void exact_lane_forgive(ExactLane *lane);
/*
 * Whatever got no answer of the service may be tried at once: the app's is back, or what kept it
 * from being called may have been mended.
 */
extern void exact_lane_hurry(const char *app);

/* What is known of the failures and absences of an entity's keyed reads; NULL: nothing yet. */
extern ExactRefusal *exact_lane_refusal(ExactLane *lane, const char *entity);
/* Likewise, made when there is nothing. */
extern ExactRefusal *exact_lane_make_refusal(ExactLane *lane, const char *entity);

/*
 * Entities that were refused lately, whose last answer was not believed, or of whose feed the last
 * keyed read was a moment ago; *until: when the first of them waits no longer. palloc'd
 */
extern ExactDirtyWait exact_lane_waiting(const ExactLane *lane, TimestampTz *until);
/*
 * When the next keyed read of a division is due, PG_INT64_MAX never; live: the next that no first
 * load asks for. In a unit.
 */
extern TimestampTz exact_lane_keys_due_at(const ExactLane *lane, bool live);

/* The plan is to be read anew in the fetcher's next turn. */
extern void exact_lane_want_plan(void);
/*
 * The same for whoever may ask a hundred times a second: not within a second of the last reading.
 */
extern void exact_lane_look_at_plan(void);
/* ms until the plan is to be read: 0 = now, -1 = when asked. */
extern long exact_lane_plan_wait(void);
/* It is read now; again after so many ms. */
extern void exact_lane_plan_begun(void);
extern void exact_lane_plan_again(long ms);

/* A text that lives as long as the lane; NULL: none. */
extern void exact_lane_set_text(char **field, const char *value);

#endif

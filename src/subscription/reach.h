/*
 * reach.h - does a callback address lead to this hub? Tried by an empty POST, as Exact Online does
 * before it accepts one.
 */
#ifndef EXACT_REACH_H
#define EXACT_REACH_H

#include "postgres.h"
#include "utils/timestamp.h"

typedef enum ExactReachState
{
	EXACT_REACH_UNTRIED,		/* no verdict yet */
	EXACT_REACH_OK,
	EXACT_REACH_UNSURE,			/* not to be tried from here; Exact Online, outside, may reach it */
	EXACT_REACH_BROKEN			/* whoever calls gets the wrong answer */
} ExactReachState;

typedef struct ExactReach
{
	char	   *url;			/* key; all texts malloc'ed */
	bool		own;			/* below public_url: this hub's listener must answer */
	bool		wanted;			/* some division uses it */
	bool		busy;
	ExactReachState state;
	TimestampTz since;			/* in this state */
	TimestampTz tried_at;
	TimestampTz next_at;		/* 0 = now */
	TimestampTz first_at;		/* of this round of attempts */
	char	   *finding;		/* a sentence without a full stop */
	char	   *next_step;		/* NULL: nothing */
} ExactReach;

/* The entry of an address, made when there is none; valid as long as the process. */
extern ExactReach *exact_reach_get(const char *url, bool own);
/* Before all addresses in use are named again by exact_reach_get. */
extern void exact_reach_forget(void);
/*
 * An upkeep begins: it is tried anew, at most hourly; at once, and waited for, when an operator
 * asks.
 */
extern void exact_reach_again(ExactReach *reach, bool forced);
/*
 * In a unit: what was known before a restart, and the mark by which this hub's answers are known.
 */
extern void exact_reach_load(void);
/* Tries what is due; returns ms until something will be, -1 = nothing by itself. */
extern long exact_reach_turn(void);

#endif

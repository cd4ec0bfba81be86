/*
 * division_state.h - exact.division_state: may a division be read, its calls, its generation. Its
 * only writer in C.
 */
#ifndef EXACT_DIVISION_STATE_H
#define EXACT_DIVISION_STATE_H

#include "postgres.h"

#include "utils/timestamp.h"

/* Calls as the service said last; a limit of 0: not said */
typedef struct ExactDivisionBudget
{
	int			minute_limit;
	int			minute_left;
	TimestampTz minute_reset;
	int			day_limit;
	int			day_left;
	TimestampTz day_reset;
	int64		gap;			/* between two runs, in µs; 0 none */
} ExactDivisionBudget;

/* All in a unit. */

/*
 * The division stands still: state "frozen" or "parked". An operator's pause stays, unless it is
 * frozen.
 */
extern void exact_division_state_stop(int division, const char *state, const char *reason,
									  const char *next_step);
/* A parked division has answered. */
extern void exact_division_state_free(int division);
/*
 * Stores the dates of the last move and HR link; returns the generation of row versions, which a
 * change of them raises. blocking_status: 0 = nothing goes on in the division.
 */
extern int	exact_division_state_dates(int division, const char *move_date,
									   const char *hr_link_date, int blocking_status);
extern void exact_division_state_budget(int division, const ExactDivisionBudget *budget);

#endif

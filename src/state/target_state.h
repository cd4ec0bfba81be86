/*
 * target_state.h - exact.target_state: what is known of the Delta tables of an entity in a
 * workspace.
 *
 * The only C code that writes it; an operator's part is exact.resume(). Everything runs in a unit.
 */
#ifndef EXACT_TARGET_STATE_H
#define EXACT_TARGET_STATE_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "base/fault.h"

/* The Delta tables that a row is about */
typedef struct ExactTargetNames
{
	const char *workspace;
	const char *entity;
	const char *table;			/* NULL here and below: what was recorded stays */
	const char *history;
} ExactTargetNames;

/* What is in the way of a delivery */
typedef struct ExactTargetTrouble
{
	const ExactFault *fault;
	const char *sqlstate;		/* NULL: none */
	int			attempts;		/* failures in a row */
	TimestampTz next_attempt;	/* 0: only when an operator resumes it */
} ExactTargetTrouble;

/* Databricks has the tables, with the columns of this digest. */
extern void exact_target_state_verified(const ExactTargetNames *names, const char *digest);
/* So many rows are about to be sent to the tables, which are new, as their first ones. */
extern void exact_target_state_first(const ExactTargetNames *names, int rows);
/* Something was delivered at `at` (0: not known), and whatever stopped deliveries is over. */
extern void exact_target_state_delivered(const ExactTargetNames *names, const char *digest,
										 TimestampTz at);
/* Deliveries stop. The time since when they do is that of the first of several calls. */
extern void exact_target_state_paused(const ExactTargetNames *names,
									  const ExactTargetTrouble *trouble);
/* Deliveries go on by themselves, later: shown, and nobody has to act. */
extern void exact_target_state_delayed(const ExactTargetNames *names,
									   const ExactTargetTrouble *trouble);
/*
 * What was delivered is not there any more, or is to be in another place: once deliveries are not
 * paused, all of it goes again (exact_target_state_goes_again).
 */
extern void exact_target_state_lost(const char *workspace, const char *entity);
/*
 * Versions of the batches below the next one are written over what the tables hold of them, and
 * what was done to the tables until now is not asked for any more.
 */
extern void exact_target_state_goes_again(const char *workspace, const char *entity);
/* What a look at the operations on the tables found; versions: -1 where it did not look */
typedef struct ExactTargetLook
{
	int64		current_version;
	int64		history_version;
	const char *note;			/* NULL: nothing */
	const char *note_step;
} ExactTargetLook;
/* The tables hold what was delivered. */
extern void exact_target_state_looked(const char *workspace, const char *entity,
									  const ExactTargetLook *look);
/* Nothing that another copy of the hub delivered before this epoch is unknown here any more. */
extern void exact_target_state_compared(const char *workspace, const char *entity, int epoch);
/* OPTIMIZE and VACUUM were run: again in a week; or (done = false) not all of it: in a day. */
extern void exact_target_state_maintained(const char *workspace, const char *entity, bool done);

#endif

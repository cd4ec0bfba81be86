/*
 * judgement.h - exact.judgement: documents that a rule found something about. Its only writer in C.
 */
#ifndef EXACT_JUDGEMENT_H
#define EXACT_JUDGEMENT_H

#include "postgres.h"

typedef enum ExactJudged
{
	EXACT_JUDGED_UNREAD,		/* not all its lines are read: nothing is said of it yet */
	EXACT_JUDGED_DOUBT,			/* dimension and document are to be read again */
	EXACT_JUDGED_HELD,
	EXACT_JUDGED_FLAGGED,
	EXACT_JUDGED_RELEASED
} ExactJudged;

typedef struct ExactJudgement
{
	int			division;
	const char *entity;			/* of its header */
	const char *key;
	ExactJudged state;
	const char *const *problems;	/* sentences */
	int			nproblems;
	const char *const *waits;	/* entity:code or entity:key */
	int			nwaits;
	int64		seq;			/* highest of its records */
	bool		first;			/* of a first load or backfill */
} ExactJudgement;

/* All in a unit. */

/* The document stands so now. A new doubt begins when it is not in doubt yet. */
extern void exact_judgement_put(const ExactJudgement *judgement);

/* Nothing is wrong with these documents, or they are gone. */
extern void exact_judgement_end(int division, const char *entity, char **keys, int nkeys);

/*
 * A customer's rule said nothing of a document, for a reason; timeouts in a row, the last of which
 * may suspend it.
 */
extern void exact_judgement_rule_failed(const char *rule, int division, const char *entity,
										const char *key, const char *reason, int timeouts,
										bool suspend);

/* It did not take too long, after documents for which it did. */
extern void exact_judgement_rule_answered(const char *rule);

#endif

/*
 * user_rule.h - the customers' own rules: SQL functions that are registered in exact.rule.
 *
 * Each call runs as exact_rule, who owns nothing, in a subtransaction that is always rolled back,
 * with a limit of time, rows and temporary files. Whatever the function does, the unit goes on; one
 * that cannot even be cancelled ends the process and is switched off (docs/rules.md). In a unit.
 */
#ifndef EXACT_USER_RULE_H
#define EXACT_USER_RULE_H

#include "postgres.h"

#define EXACT_USER_RULE_PROBLEMS 1000	/* more of one document are nonsense */
#define EXACT_USER_RULE_TIMEOUTS 5	/* so many documents in a row suspend a rule */

typedef struct ExactUserRule
{
	char	   *name;			/* in exact.rule */
	char	   *function;		/* "schema.name", quoted where it must be */
	bool		quarantine;		/* else flag */
	int			timeouts;		/* for so many documents in a row it took too long */
} ExactUserRule;

typedef struct ExactUserProblem
{
	int64		line;			/* LineNumber of a line of the document; -1: the document */
	char	   *text;			/* one line, at most 500 characters, tidied (words.h) */
} ExactUserProblem;

typedef struct ExactUserVerdict
{
	int			n;
	ExactUserProblem *problems; /* in the order of the function */
	/* Why there is no verdict on this document: "function x.y did not ..."; NULL: there is one */
	char	   *failure;
	char	   *hint;			/* to a failure: the next step */
	bool		timed_out;		/* the failure is that it took too long */
} ExactUserVerdict;

/*
 * The enabled rules that have a function, by name (palloc'd), but for those that are suspended;
 * their number. A rule that had to be
 * ended with its worker is switched off first, when this transaction commits.
 */
extern int	exact_user_rules(ExactUserRule **rules);

/* The rule of this name, enabled or not; false when it is no rule with a function. */
extern bool exact_user_rule_find(const char *name, ExactUserRule *rule);

/*
 * What the rule says of a document; header_json is "null" for a ledger entry, lines_json an array.
 * The verdict is palloc'd. Raises only when somebody cancelled this process, and for memory.
 */
extern void exact_user_rule_judge(const ExactUserRule *rule, int division,
								  const char *header_json, const char *lines_json,
								  ExactUserVerdict *verdict);

#endif

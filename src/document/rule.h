/*
 * rule.h - which rules a document breaks (accounting.md §7).
 *
 * Pure: what the dimensions are is asked of the caller, and whether a problem holds the document
 * back is decided by him, too. A problem that may come of a reading that was late is a doubt until
 * dimension and document were read again. Nothing is raised but for memory.
 */
#ifndef EXACT_RULE_H
#define EXACT_RULE_H

#include "document/document.h"

typedef enum ExactRule
{
	EXACT_RULE_GL_ACCOUNT_EXISTS,
	EXACT_RULE_COST_CENTER_EXISTS,
	EXACT_RULE_COST_UNIT_EXISTS,
	EXACT_RULE_COST_CENTER_REQUIRED,
	EXACT_RULE_COST_CENTER_ENDED,
	EXACT_RULE_GL_ACCOUNT_BLOCKED,
	EXACT_RULE_ENTRY_BALANCES,
	EXACT_RULE_LINES_MATCH_HEADER,
	EXACT_RULES
} ExactRule;

typedef enum ExactRuleAction
{
	EXACT_RULE_OFF,
	EXACT_RULE_FLAG,
	EXACT_RULE_QUARANTINE
} ExactRuleAction;

/* Times are milliseconds of the service's wall clock, as those of a document. */
typedef struct ExactGlAccount
{
	const char *code;
	bool		deleted;
	int64		deleted_at;
	bool		blocked;
	int64		blocked_seen;	/* when the hub saw the block first */
	bool		wants_center;	/* UseCostcenter is 1 */
	int64		wants_seen;
} ExactGlAccount;

typedef struct ExactCostCenter
{
	const char *code;
	int64		end;			/* the last day, at midnight; EXACT_NO_TIME: none */
	int64		end_seen;		/* when the hub saw this end first */
} ExactCostCenter;

/* What the caller knows of the division */
typedef struct ExactDimensions
{
	void	   *arg;
	/* by Guid in lower case, deleted ones too; NULL: unknown */
	const ExactGlAccount *(*gl_account) (void *arg, const char *id);
	/* the living by code without regard to case, or by Guid; NULL: none */
	const ExactCostCenter *(*cost_center) (void *arg, const char *code);
	bool		(*cost_unit) (void *arg, const char *code);
	/* is the code's VAT owed to the supplier? false for reverse charge, true when unknown */
	bool		(*vat_is_owed) (void *arg, const char *code);
	bool		knows_gl_accounts;	/* read to the end, and not refused since */
	bool		knows_cost_centers;
	bool		knows_cost_units;
	bool		uses_cost_centers;	/* at least one lives */
	const char *currency;		/* of the division; NULL: unknown */
} ExactDimensions;

/* What the caller knows of the document beside its rows */
typedef struct ExactRuleContext
{
	const ExactDimensions *dimensions;
	ExactRuleAction action[EXACT_RULES];	/* for this kind of documents */
	bool		reads_again;	/* first load, backfill or replay: nothing is held */
	bool		closed;			/* its period is: nobody could correct it */
	bool		confirmed;		/* dimension and document were read after the first doubt */
	int64		first_seen;		/* stands for Created where that is missing */
	int			ledger;			/* do its ledger rows balance? 1 yes, 0 no, -1 not read */
	bool		charges_known;	/* sales invoices: order charge lines were read, */
	int64		charges;		/* and their sum is this (amount.h) */
} ExactRuleContext;

typedef struct ExactProblem
{
	ExactRule	rule;			/* EXACT_RULES: a customer's own */
	ExactRuleAction action;		/* FLAG or QUARANTINE */
	bool		doubt;			/* read again before it counts */
	bool		blind;			/* the dimension is not known as a whole: an alarm */
	int			line;			/* place in lines; -1: the document */
	const char *missing;		/* code or Guid of the dimension that is unknown, or NULL */
	char	   *text;			/* a sentence for people */
} ExactProblem;

/* Name in exact.rule */
extern const char *exact_rule_name(ExactRule rule);

/* Is the document one that is judged? Not drafts, rejected documents and budget rows. */
extern bool exact_rule_judged(const ExactDocument *document);

/* Could the rule be switched on for this kind of documents? */
extern bool exact_rule_applies(ExactRule rule, ExactDocumentKind kind);

/*
 * The problems of a document in the order of its lines, at most one a rule and line (palloc'd);
 * *n is their number. None for drafts, rejected documents and budget rows.
 */
extern ExactProblem *exact_rule_judge(const ExactDocument *document,
									  const ExactRuleContext *context, int *n);

#define EXACT_RULE_SENTENCES 20 /* of one text */

/*
 * The sentences of those problems that are of this line; of -1 all of the document. With this text
 * before the first; NULL: there are none (palloc'd).
 */
extern const char *exact_rule_sentences(const ExactProblem *problems, int n, int line,
										const char *before);

#endif

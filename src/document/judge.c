/*
 * judge.c - documents with all their living lines are judged by the rules, and what was found is
 * written beside their versions.
 *
 * A document that was just staged is looked at as its page showed it. What has a problem, and all
 * else, is read from the stage.
 *
 * A doubt is settled by reading: dimension and document are read again, and the document is judged
 * once more. Until then nothing of it reaches the current table if the rule would hold it. Some
 * batches, or some documents that are to be judged again, are one transaction.
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/sql.h"
#include "document/judge.h"
#include "document/known.h"
#include "document/recent.h"
#include "document/rule.h"
#include "document/user_rule.h"
#include "document/wanted.h"
#include "state/judgement.h"
#include "state/verdict.h"
#include "worker/role.h"
#include "worker/self.h"
#include "worker/unit.h"
#include "worker/wake.h"

#define AGAIN_MOST 200			/* documents that are judged again in one transaction */
#define LIVE_US (50 * INT64CONST(1000))	/* from one look at what was staged to the next */
#define FIRST_US USECS_PER_SEC	/* likewise in a first load, for which nobody waits */
#define DOUBT_US (500 * INT64CONST(1000))	/* is it settled? */
#define DOUBT_SHARE 10			/* that question takes at most a tenth of the time */
#define WAIT_US (5 * USECS_PER_SEC)	/* what could not be judged is looked at again */
#define HELD "held: "

/* One document, and how it stood */
typedef struct Case
{
	char	   *key;
	int64		batch;			/* the newest of the judgement that has rows of it */
	ExactDocument *document;	/* NULL: it is gone, or cannot be read */
	bool		recent;			/* this is how its page showed it: its rows are not read */
	int64		first_seen;		/* of its header on the service's clock; none in a first load */
	bool		unread;			/* not all its lines were read */
	int			nrows;			/* of header and lines, in this order */
	ExactFinding *rows;
	char	  **payloads;		/* of these */
	bool		has_header;
	bool		judged;			/* it had a problem */
	bool		first;
	bool		settled;		/* its doubt is: dimension and document were read again */
	int64		seq;			/* highest of its records */
	int64		released_seq;	/* an operator has released versions up to this one; 0 none */
} Case;

typedef struct Judging
{
	int			division;
	char	   *document;		/* entity of the headers */
	char	   *line;			/* of the lines; of a ledger entry the same */
	char	   *zone;			/* of the service's wall clock */
	ExactDocumentKind kind;
	bool		first;			/* a first load or a backfill brought them */
	char	   *batches;		/* an array of SQL; NULL: documents that are judged again */
	int			ncases;
	Case	   *cases;			/* in the order of their keys */
	ExactRuleAction action[EXACT_RULES];
	ExactKnown *known;
	ExactUserRule *user_rules;
	int			nuser_rules;
	ExactWanted *wanted;		/* what is to be read again */
	/* results */
	bool		any;			/* there was something to do */
	bool		doubts;			/* documents are in doubt */
	bool		again;			/* documents are to be judged again */
	bool		waits;			/* batches that cannot be judged yet */
} Judging;

static TimestampTz look_at;
static TimestampTz looked_at;	/* at what was staged */
static TimestampTz settle_at;	/* when it may be asked again whether doubts are settled */

/* ---- what is to be judged ---- */

static int
compare_case(const void *a, const void *b)
{
	return strcmp(((const Case *) a)->key, ((const Case *) b)->key);
}

static Case *
find_case(Judging *j, const char *key)
{
	Case		wanted = {.key = (char *) key};

	return bsearch(&wanted, j->cases, j->ncases, sizeof(Case), compare_case);
}

/* Has documents judged again whose doubt is settled: a question about all that are in doubt. */
static void
settle(void)
{
	TimestampTz begun = GetCurrentTimestamp();
	TimestampTz ended;

	if (begun < settle_at)
		return;
	exact_sql("SELECT exact._judge_settled()", 0, NULL);
	ended = GetCurrentTimestamp();
	settle_at = ended + (DOUBT_SHARE - 1) * (ended - begun);
}

static void
find_documents(Judging *j)
{
	static const char next_sql[] =
	"WITH next AS MATERIALIZED (SELECT * FROM exact._judge_next()),"
	" document AS MATERIALIZED ("
	"  SELECT k.key, max(u.batch) AS batch"
	"  FROM next n"
	"  CROSS JOIN LATERAL unnest(n.batches) AS b (id)"
	"  CROSS JOIN LATERAL (SELECT x.batch, x.keys FROM exact.unjudged x"
	"   WHERE x.batch = b.id OFFSET 0) u"
	"  CROSS JOIN LATERAL unnest(u.keys) AS k (key)"
	"  GROUP BY k.key)"
	" SELECT n.division, n.document, n.first, n.batches,"
	"  (SELECT d.entity FROM exact._document_entity d WHERE d.document = n.document AND d.line),"
	"  exact._service_zone(n.division), d.keys, d.batch"
	" FROM next n"
	" CROSS JOIN (SELECT array_agg(key ORDER BY key COLLATE \"C\") AS keys,"
	"  array_agg(batch ORDER BY key COLLATE \"C\") AS batch FROM document) d";
	static const char again_sql[] =
	"WITH one AS (SELECT division, entity FROM exact.judgement WHERE again"
	"  ORDER BY division, entity LIMIT 1)"
	" SELECT o.division, o.entity, false, NULL::bigint[],"
	"  (SELECT d.entity FROM exact._document_entity d WHERE d.document = o.entity AND d.line),"
	"  exact._service_zone(o.division),"
	"  ARRAY("
	"   SELECT k.key FROM exact.judgement k"
	"   WHERE k.again AND k.division = o.division AND k.entity = o.entity"
	"   ORDER BY k.seq, k.key LIMIT $1), NULL::bigint[]"
	" FROM one o";
	ExactArg	most = exact_arg_int4(AGAIN_MOST);
	char	  **keys;
	int64	   *batches;
	int			n,
				nbatches;

	settle();
	if (exact_sql(next_sql, 0, NULL) == 0 && exact_sql(again_sql, 1, &most) == 0)
		return;
	j->division = (int) exact_cell_int8(0, 1, 0);
	j->document = exact_cell_text(0, 2);
	j->first = exact_cell_bool(0, 3, false);
	j->batches = exact_cell_text(0, 4);
	j->line = exact_cell_text(0, 5);
	j->zone = exact_cell_text(0, 6);
	keys = exact_cell_texts(0, 7, &n);
	batches = exact_cell_int8s(0, 8, &nbatches);
	j->any = exact_document_kind(j->document, &j->kind);
	j->cases = palloc0((n + 1) * sizeof(Case));
	for (int i = 0; i < n; i++)
		if (keys[i] != NULL)
			j->cases[j->ncases++] = (Case) {
				.key = keys[i],
				.batch = i < nbatches ? batches[i] : 0,
				.first = j->first
			};
	qsort(j->cases, j->ncases, sizeof(Case), compare_case);
}

/* The keys of the documents: of all, or of those that must be read. */
static ExactArg
keys_of(const Judging *j, bool all)
{
	const char **keys = palloc((j->ncases + 1) * sizeof(char *));
	int			n = 0;

	for (int i = 0; i < j->ncases; i++)
		if (all || !j->cases[i].recent)
			keys[n++] = j->cases[i].key;
	return exact_arg_text_array(keys, NULL, n);
}

/* How the documents stood, and what the rules do. */
static void
read_state(Judging *j)
{
	static const char judged_sql[] =
	"SELECT g.key, g.first, g.state <> 'doubt' OR g.again, g.released_seq"
	" FROM unnest($3::text[]) AS u (key)"
	" CROSS JOIN LATERAL (SELECT x.* FROM exact.judgement x"
	"  WHERE x.division = $1 AND x.entity = $2 AND x.key = u.key OFFSET 0) g";
	static const char rule_sql[] =
	"SELECT rule, action FROM exact._rule WHERE entity = $1";
	ExactArg	document = exact_arg_text(j->document);
	ExactArg	args[3];
	uint64		n;

	args[0] = exact_arg_int4(j->division);
	args[1] = document;
	args[2] = keys_of(j, true);
	n = exact_sql(judged_sql, 3, args);
	for (uint64 i = 0; i < n; i++)
	{
		Case	   *c = find_case(j, exact_cell_text(i, 1));

		if (c == NULL)
			continue;
		c->judged = true;
		c->first = exact_cell_bool(i, 2, false) && (j->first || j->batches == NULL);
		c->settled = exact_cell_bool(i, 3, false) && j->batches == NULL;
		c->released_seq = exact_cell_int8(i, 4, 0);
	}
	n = exact_sql(rule_sql, 1, &document);
	for (uint64 i = 0; i < n; i++)
		for (int rule = 0; rule < EXACT_RULES; rule++)
			if (strcmp(exact_rule_name(rule), exact_cell_text(i, 1)) == 0)
			{
				const char *action = exact_cell_text(i, 2);

				j->action[rule] = strcmp(action, "off") == 0 ? EXACT_RULE_OFF
					: strcmp(action, "flag") == 0 ? EXACT_RULE_FLAG : EXACT_RULE_QUARANTINE;
			}
}

/* ---- reading the documents ---- */

/* A row of the result becomes one of a document. */
typedef struct Row
{
	char	   *document;
	bool		is_header;
	ExactFinding finding;
	char	   *payload;
	int64		first_seen;
	bool		unread;
} Row;

static void
take_case(Judging *j, Row *rows, int n)
{
	Case	   *c = find_case(j, rows[0].document);
	ExactPayload header = {0};
	ExactPayload *lines = palloc(n * sizeof(ExactPayload));
	int			nlines = 0;
	bool		lost = false;	/* a version is not in the stage any more */

	if (c == NULL)
		return;
	c->rows = palloc(n * sizeof(ExactFinding));
	c->payloads = palloc(n * sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		c->rows[i] = rows[i].finding;
		c->payloads[i] = rows[i].payload;
		c->unread |= rows[i].unread;
		c->seq = Max(c->seq, rows[i].finding.seq);
		if (rows[i].payload == NULL)
			lost = true;
		else if (rows[i].is_header)
			header = (ExactPayload) {rows[i].payload, strlen(rows[i].payload)};
		else
			lines[nlines++] = (ExactPayload) {rows[i].payload, strlen(rows[i].payload)};
	}
	c->nrows = n;
	c->has_header = header.text != NULL;
	c->first_seen = rows[0].first_seen;
	if (c->unread || lost || (header.text == NULL && j->kind != EXACT_LEDGER_ENTRY))
		return;
	c->document = exact_document_read(j->kind, header, lines, nlines);
}

/* Reads those that are not known from their pages. */
static void
read_documents(Judging *j)
{
	static const char sql[] =
	"WITH row AS ("
	"  SELECT u.key AS document, true AS is_header, r.*"
	"  FROM unnest($3::text[]) AS u (key)"
	"  CROSS JOIN LATERAL (SELECT x.* FROM exact.record x"
	"   WHERE x.division = $1 AND x.entity = $2 AND x.key = u.key OFFSET 0) r"
	"  WHERE $2 <> $4"
	"  UNION ALL"
	"  SELECT u.key, false, r.*"
	"  FROM unnest($3::text[]) AS u (key)"
	"  CROSS JOIN LATERAL (SELECT x.* FROM exact.record x"
	"   WHERE x.division = $1 AND x.entity = $4 AND x.parent = u.key OFFSET 0) r)"
	" SELECT r.document, r.is_header, r.entity, r.key, r.seq, r.slot::int, r.batch, r.ord,"
	"  s.payload, CASE WHEN r.first_seen > (SELECT f.first_complete_at FROM exact.feed_state f"
	"    JOIN exact.catalogue c ON c.feed = f.feed WHERE f.division = $1 AND c.entity = $2)"
	"   THEN (extract(epoch FROM r.first_seen AT TIME ZONE $5) * 1000)::bigint END,"
	"  r.is_header AND exact._document_unread($1, $2, $4, r.document)"
	" FROM row r"
	" CROSS JOIN LATERAL (SELECT x.payload FROM exact.stage x"
	"  WHERE x.slot = r.slot AND x.batch = r.batch AND x.ord = r.ord OFFSET 0) s"
	" WHERE NOT r.deleted"
	" ORDER BY r.document COLLATE \"C\", r.is_header DESC, r.seq";
	ExactArg	args[5];
	uint64		n;
	Row		   *rows;

	args[0] = exact_arg_int4(j->division);
	args[1] = exact_arg_text(j->document);
	args[2] = keys_of(j, false);
	args[3] = exact_arg_text(j->line);
	args[4] = exact_arg_text(j->zone);
	n = exact_sql(sql, 5, args);
	rows = palloc((n + 1) * sizeof(Row));
	for (uint64 i = 0; i < n; i++)
		rows[i] = (Row) {
			.document = exact_cell_text(i, 1),
			.is_header = exact_cell_bool(i, 2, false),
			.finding = {
				.entity = exact_cell_text(i, 3),
				.key = exact_cell_text(i, 4),
				.seq = exact_cell_int8(i, 5, 0),
				.slot = (int) exact_cell_int8(i, 6, 0),
				.batch = exact_cell_int8(i, 7, 0),
				.ord = (int) exact_cell_int8(i, 8, 0)
			},
			.payload = exact_cell_text(i, 9),
			.first_seen = exact_cell_int8(i, 10, EXACT_NO_TIME),
			.unread = exact_cell_bool(i, 11, false)
		};
	for (uint64 from = 0; from < n;)
	{
		uint64		to = from + 1;

		while (to < n && strcmp(rows[to].document, rows[from].document) == 0)
			to++;
		take_case(j, &rows[from], (int) (to - from));
		from = to;
	}
}

/* ---- the verdict ---- */

/* What a problem waits for: entity:key, NULL: nothing but a new version of the document */
static char *
subject(const Case *c, const ExactProblem *problem)
{
	const ExactDocumentRow *line;

	if (problem->line < 0)
		return NULL;
	line = &c->document->lines[problem->line];
	switch (problem->rule)
	{
		case EXACT_RULE_GL_ACCOUNT_EXISTS:
		case EXACT_RULE_GL_ACCOUNT_BLOCKED:
		case EXACT_RULE_COST_CENTER_REQUIRED:
			return psprintf("glaccount:%s", line->gl_account);
		case EXACT_RULE_COST_CENTER_EXISTS:
		case EXACT_RULE_COST_CENTER_ENDED:
			return psprintf("costcenter:%s", line->cost_center);
		case EXACT_RULE_COST_UNIT_EXISTS:
			return psprintf("costunit:%s", line->cost_unit);
		default:
			return NULL;
	}
}

static bool
has(const ExactProblem *problems, int n, ExactRuleAction action)
{
	for (int i = 0; i < n; i++)
		if (problems[i].action == action)
			return true;
	return false;
}

static ExactProblem *
add_problem(ExactProblem *problems, int *n, ExactProblem problem)
{
	Size		size = (*n + 1) * sizeof(ExactProblem);

	problems = problems != NULL ? repalloc(problems, size) : palloc(size);
	problems[(*n)++] = problem;
	return problems;
}

/* The payloads of the lines as one array */
static char *
lines_json(const Case *c)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = c->has_header ? 1 : 0; i < c->nrows; i++)
		appendStringInfo(&out, "%c%s", out.len == 0 ? '[' : ',', c->payloads[i]);
	appendStringInfoString(&out, out.len == 0 ? "[]" : "]");
	return out.data;
}

/* What the customers' own rules find. One that fails says nothing of this document. */
static ExactProblem *
judge_by_users(const Judging *j, const Case *c, int *n)
{
	const char *header = c->has_header ? c->payloads[0] : "null";
	const char *lines = lines_json(c);
	bool		may_hold = j->kind != EXACT_PURCHASE_ORDER && j->kind != EXACT_LEDGER_ENTRY;
	ExactProblem *problems = NULL;

	for (int r = 0; r < j->nuser_rules; r++)
	{
		ExactUserRule *rule = &j->user_rules[r];
		ExactUserVerdict verdict;
		bool		suspend;

		if (rule->timeouts >= EXACT_USER_RULE_TIMEOUTS)
			continue;			/* suspended by a document of this judgement */
		exact_user_rule_judge(rule, j->division, header, lines, &verdict);
		if (!verdict.timed_out && rule->timeouts > 0)
			exact_judgement_rule_answered(rule->name);
		rule->timeouts = verdict.timed_out ? rule->timeouts + 1 : 0;
		if (verdict.failure != NULL)
		{
			suspend = rule->timeouts == EXACT_USER_RULE_TIMEOUTS;
			exact_log(LOG, "alarm rule=%s%s division=%d entity=%s document=%s: %s", rule->name,
					  suspend ? " suspended" : "", j->division, j->document, c->key,
					  verdict.failure);
			exact_judgement_rule_failed(rule->name, j->division, j->document, c->key,
										verdict.failure, rule->timeouts, suspend);
			continue;
		}
		for (int i = 0; i < verdict.n; i++)
		{
			ExactProblem problem = {
				.rule = EXACT_RULES,
				.action = rule->quarantine && may_hold ? EXACT_RULE_QUARANTINE : EXACT_RULE_FLAG,
				.line = -1,
				.text = verdict.problems[i].text
			};

			for (int l = 0; l < c->document->nlines && verdict.problems[i].line >= 0; l++)
				if (c->document->lines[l].number == verdict.problems[i].line)
					problem.line = l;
			problems = add_problem(problems, n, problem);
		}
	}
	return problems;
}

static ExactRuleContext
context_of(const Judging *j, const Case *c)
{
	ExactRuleContext context = {
		.dimensions = exact_known_dimensions(j->known),
		.reads_again = c->first,
		.confirmed = c->settled,
		.first_seen = c->first ? EXACT_NO_TIME : c->first_seen,
		.ledger = -1
	};

	for (int rule = 0; rule < EXACT_RULES; rule++)
		context.action[rule] = exact_known_any(j->known, rule) ? j->action[rule] : EXACT_RULE_OFF;
	return context;
}

/* What the rules find, with all that they may ask for */
static ExactProblem *
judge(Judging *j, Case *c, int *n)
{
	ExactRuleContext context = context_of(j, c);
	ExactProblem *problems;
	ExactProblem *own = NULL;
	int			nown = 0;

	problems = exact_rule_judge(c->document, &context, n);
	if (j->nuser_rules > 0 && exact_rule_judged(c->document))
		own = judge_by_users(j, c, &nown);
	for (int i = 0; i < nown; i++)
		problems = add_problem(problems, n, own[i]);
	if (*n == 0)
		return NULL;
	for (int i = 0; i < *n; i++)
		if (problems[i].rule == EXACT_RULE_ENTRY_BALANCES && j->kind == EXACT_JOURNAL_ENTRY)
			context.ledger = exact_known_balance(j->division, c->key);
	context.closed = has(problems, *n, EXACT_RULE_QUARANTINE) &&
		exact_known_closed(j->division, c->document);
	if (context.closed || context.ledger == 1)
	{
		problems = exact_rule_judge(c->document, &context, n);
		for (int i = 0; i < nown; i++)
			problems = add_problem(problems, n, own[i]);
	}
	for (int i = 0; i < *n; i++)
		if (c->first || context.closed)
			problems[i].action = EXACT_RULE_FLAG;
	return problems;
}

/* Marks the rows of the document. Where it has no header, a problem of the document is of each. */
static void
mark_rows(Case *c, const ExactProblem *problems, int n, ExactHeld held)
{
	const char *all = exact_rule_sentences(problems, n, -1, held == EXACT_HELD_NOT ? "" : HELD);
	bool		whole = held != EXACT_HELD_NOT;

	for (int i = 0; i < n; i++)
		whole |= problems[i].line < 0 && !c->has_header;
	for (int i = 0; i < c->nrows; i++)
	{
		bool		is_header = c->has_header && i == 0;

		c->rows[i].held = held;
		c->rows[i].problems = whole || is_header ? all
			: exact_rule_sentences(problems, n, i - (c->has_header ? 1 : 0), "");
	}
}

static void
settle_by_reading(Judging *j, const Case *c, const ExactProblem *problems, int n)
{
	static const char *const dimensions[] = {
		[EXACT_RULE_GL_ACCOUNT_EXISTS] = "glaccount",
		[EXACT_RULE_COST_CENTER_EXISTS] = "costcenter",
		[EXACT_RULE_COST_UNIT_EXISTS] = "costunit",
	};

	for (int i = 0; i < n; i++)
		if (problems[i].doubt && problems[i].missing != NULL)
			j->wanted = exact_wanted_add(j->wanted, dimensions[problems[i].rule],
										 problems[i].missing, c->first);
	j->wanted = exact_wanted_add(j->wanted, j->document, c->key, c->first);
}

/* Writes down how the document stands, and its rows with it. */
static void
put(Judging *j, Case *c, const ExactProblem *problems, int n, ExactJudged state)
{
	ExactJudgement judgement = {.division = j->division,.entity = j->document,.key = c->key,
	.state = state,.seq = c->seq,.first = c->first};
	const char **texts = palloc((n + 1) * sizeof(char *));
	const char **waits = palloc((n + 1) * sizeof(char *));

	for (int i = 0; i < n; i++)
	{
		char	   *name = state != EXACT_JUDGED_DOUBT || problems[i].doubt ?
		subject(c, &problems[i]) : NULL;

		if (judgement.nproblems < EXACT_RULE_SENTENCES)
			texts[judgement.nproblems++] = problems[i].text;
		if (name != NULL)
			waits[judgement.nwaits++] = name;
	}
	judgement.problems = texts;
	judgement.waits = waits;
	exact_judgement_put(&judgement);
}

/* A problem in doubt does not count yet, but a document that it would hold is not shown. */
static void
put_in_doubt(Judging *j, Case *c, ExactProblem *problems, int n)
{
	ExactProblem *certain = palloc(n * sizeof(ExactProblem));
	int			ncertain = 0;
	bool		holds = false;

	for (int i = 0; i < n; i++)
	{
		if (problems[i].doubt)
			holds |= problems[i].action == EXACT_RULE_QUARANTINE;
		else
			certain[ncertain++] = problems[i];
	}
	settle_by_reading(j, c, problems, n);
	put(j, c, problems, n, EXACT_JUDGED_DOUBT);
	if (holds)
		mark_rows(c, problems, n, EXACT_HELD_DOUBT);
	else
		mark_rows(c, certain, ncertain, EXACT_HELD_NOT);
	exact_verdict_put(j->division, c->rows, c->nrows);
}

/* Returns true when the document has no problem. */
static bool
judge_case(Judging *j, Case *c)
{
	ExactProblem *problems;
	int			n;
	bool		holds;
	bool		released;

	if (c->unread)
	{
		put(j, c, NULL, 0, EXACT_JUDGED_UNREAD);
		return false;
	}
	if (c->document == NULL)
		return true;
	problems = judge(j, c, &n);
	if (n == 0)
	{
		if (c->judged)
		{
			mark_rows(c, NULL, 0, EXACT_HELD_NOT);
			exact_verdict_put(j->division, c->rows, c->nrows);
		}
		return true;
	}
	for (int i = 0; i < n; i++)
		if (problems[i].doubt)
		{
			put_in_doubt(j, c, problems, n);
			return false;
		}
	released = c->released_seq >= c->seq;
	holds = has(problems, n, EXACT_RULE_QUARANTINE) && !released;
	put(j, c, problems, n, holds ? EXACT_JUDGED_HELD
		: released ? EXACT_JUDGED_RELEASED : EXACT_JUDGED_FLAGGED);
	mark_rows(c, problems, n, holds ? EXACT_HELD_MARKED : EXACT_HELD_NOT);
	exact_verdict_put(j->division, c->rows, c->nrows);
	return false;
}

/* ---- a turn ---- */

/* The documents as their pages showed them: those of which nothing more need be known. */
static void
find_recent(Judging *j)
{
	if (j->batches == NULL || j->nuser_rules > 0)
		return;
	for (int i = 0; i < j->ncases; i++)
	{
		Case	   *c = &j->cases[i];

		if (c->judged)
			continue;
		c->document = exact_recent_find(j->division, j->kind, c->key, c->batch);
		c->recent = c->document != NULL;
		c->first_seen = PG_INT64_MAX;	/* it may be new: all that may be wrong is found */
	}
}

static void
find_known(Judging *j)
{
	ExactDocument **documents = palloc((j->ncases + 1) * sizeof(ExactDocument *));

	for (int i = 0; i < j->ncases; i++)
		documents[i] = j->cases[i].document;
	j->known = exact_known_read(j->division, documents, j->ncases);
}

/* Those with a problem are read from the stage, with all that is to be said of them. */
static void
judge_recent(Judging *j)
{
	bool		read = false;

	for (int i = 0; i < j->ncases; i++)
	{
		Case	   *c = &j->cases[i];
		ExactRuleContext context = context_of(j, c);
		int			n = 0;

		if (c->recent)
			exact_rule_judge(c->document, &context, &n);
		if (n == 0)
			continue;
		c->recent = false;
		c->document = NULL;
		read = true;
	}
	for (int i = 0; i < j->ncases; i++)
		read |= !j->cases[i].recent;
	if (!read)
		return;
	read_documents(j);
	find_known(j);
}

/* All that the judgement needs to know. Plans go by index: tables grow while they are kept. */
static void
gather(Judging *j)
{
	int			level = exact_sql_index_nest_level();

	find_documents(j);
	if (j->any && j->ncases > 0)
	{
		read_state(j);
		j->nuser_rules = exact_user_rules(&j->user_rules);
		find_recent(j);
		find_known(j);
		judge_recent(j);
	}
	AtEOXact_GUC(true, level);
}

static void
judge_cases(Judging *j)
{
	char	  **ended = palloc((j->ncases + 1) * sizeof(char *));
	int			nended = 0;

	for (int i = 0; i < j->ncases; i++)
	{
		Case	   *c = &j->cases[i];

		if (!c->recent && judge_case(j, c) && c->judged)
			ended[nended++] = c->key;
	}
	if (nended > 0)
		exact_judgement_end(j->division, j->document, ended, nended);
	exact_wanted_read(j->wanted, j->division);
}

static void
judge_unit(void *arg)
{
	Judging    *j = arg;

	memset(j, 0, sizeof(*j));
	gather(j);
	if (j->any)
		judge_cases(j);
	if (j->batches != NULL)
	{
		ExactArg	batches = exact_arg_text(j->batches);

		exact_sql("SELECT exact._judged($1::text::bigint[])", 1, &batches);
	}
	exact_sql("SELECT EXISTS (SELECT FROM exact.unjudged),"
			  " EXISTS (SELECT FROM exact.judgement WHERE state IN ('doubt', 'unread')),"
			  " EXISTS (SELECT FROM exact.judgement WHERE again)", 0, NULL);
	j->waits = exact_cell_bool(0, 1, false);
	j->doubts = exact_cell_bool(0, 2, false);
	j->again = exact_cell_bool(0, 3, false);
}

void
exact_judge_want(bool first)
{
	look_at = Min(look_at, looked_at + (first ? FIRST_US : LIVE_US));
}

/* When is it to look again, after a turn? */
static TimestampTz
next_look(const Judging *j, TimestampTz now)
{
	if (j->any && (j->waits || j->again))
		return now;
	if (j->doubts)
		return Max(now + DOUBT_US, settle_at);
	return j->waits ? now + WAIT_US : PG_INT64_MAX;
}

long
exact_judge_turn(bool woken)
{
	Judging		j;
	TimestampTz now = GetCurrentTimestamp();

	if (woken)
		look_at = now;
	if (look_at > now)
		return exact_clock_wait_ms(look_at);
	looked_at = now;
	if (!exact_unit_run("judge documents", judge_unit, &j, NULL))
		look_at = now + WAIT_US;
	else
	{
		if (j.any)
			exact_wake(EXACT_ROLE_LOADER);
		if (j.wanted != NULL)
			exact_wake(EXACT_ROLE_FETCHER);
		if (!j.waits)
			exact_recent_forget();
		look_at = next_look(&j, now);
	}
	return exact_clock_wait_ms(look_at);
}

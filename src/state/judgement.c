/*
 * judgement.c - exact.judgement: how documents with a problem stand.
 *
 * exact.release() and what makes a document be judged again write it in SQL: 59_judgement.sql.
 */
#include "postgres.h"

#include "base/sql.h"
#include "state/audit.h"
#include "state/judgement.h"

static const char *const states[] = {
	[EXACT_JUDGED_UNREAD] = "unread",
	[EXACT_JUDGED_DOUBT] = "doubt",
	[EXACT_JUDGED_HELD] = "held",
	[EXACT_JUDGED_FLAGGED] = "flagged",
	[EXACT_JUDGED_RELEASED] = "released",
};

void
exact_judgement_put(const ExactJudgement *j)
{
	static const char sql[] =
	"WITH old AS (SELECT state, problems FROM exact.judgement"
	"  WHERE division = $1 AND entity = $2 AND key = $3),"
	" put AS ("
	"  INSERT INTO exact.judgement AS j"
	"   (division, entity, key, state, problems, waits, seq, first, doubt_at)"
	"  VALUES ($1, $2, $3, $4, $5,"
	"   ARRAY(SELECT DISTINCT exact._folded(w) FROM unnest($6::text[]) w), $7, $8,"
	"   CASE WHEN $4 = 'doubt' THEN clock_timestamp() END)"
	"  ON CONFLICT (division, entity, key) DO UPDATE SET"
	"   state = excluded.state,"
	"   since = CASE WHEN j.state = 'unread' THEN excluded.since ELSE j.since END,"
	"   problems = excluded.problems,"
	"   waits = excluded.waits,"
	"   seq = excluded.seq,"
	"   first = excluded.first,"
	"   doubt_at = CASE WHEN excluded.state = 'doubt' AND j.state = 'doubt'"
	"     AND excluded.waits <@ j.waits THEN j.doubt_at ELSE excluded.doubt_at END,"
	"   asked_at = CASE WHEN excluded.state = 'doubt' AND j.state = 'doubt'"
	"     AND excluded.waits <@ j.waits THEN j.asked_at END,"
	"   again = false)"
	" SELECT o.state, o.problems = $5 FROM (SELECT) x LEFT JOIN old o ON true";
	ExactArg	args[8];
	char	   *before;
	bool		same;

	args[0] = exact_arg_int4(j->division);
	args[1] = exact_arg_text(j->entity);
	args[2] = exact_arg_text(j->key);
	args[3] = exact_arg_text(states[j->state]);
	args[4] = exact_arg_text_array(j->problems, NULL, j->nproblems);
	args[5] = exact_arg_text_array(j->waits, NULL, j->nwaits);
	args[6] = exact_arg_int8(j->seq);
	args[7] = exact_arg_bool(j->first);
	exact_sql(sql, 8, args);
	before = exact_cell_text(0, 1);
	same = exact_cell_bool(0, 2, false) && strcmp(before, states[j->state]) == 0;
	if (!same && j->state != EXACT_JUDGED_UNREAD && j->state != EXACT_JUDGED_DOUBT)
		exact_audit_judgement(j->division, j->entity, j->key, states[j->state],
							  j->nproblems > 0 ? j->problems[0] : NULL, j->nproblems);
}

void
exact_judgement_end(int division, const char *entity, char **keys, int nkeys)
{
	static const char sql[] =
	"DELETE FROM exact.judgement"
	" WHERE ctid = ANY (ARRAY(SELECT j.ctid"
	"  FROM unnest($3::text[]) AS u (key)"
	"  CROSS JOIN LATERAL (SELECT x.ctid FROM exact.judgement x"
	"   WHERE x.division = $1 AND x.entity = $2 AND x.key = u.key OFFSET 0) j))"
	" RETURNING key, state IN ('unread', 'doubt')";
	ExactArg	args[3];
	uint64		n;
	char	  **ended;
	int			nended = 0;

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	n = exact_sql_by_index(sql, 3, args);
	ended = palloc((n + 1) * sizeof(char *));
	for (uint64 i = 0; i < n; i++)
		if (!exact_cell_bool(i, 2, false))
			ended[nended++] = exact_cell_text(i, 1);
	for (int i = 0; i < nended; i++)
		exact_audit_judgement(division, entity, ended[i], "no problem any more", NULL, 0);
}

void
exact_judgement_rule_failed(const char *rule, int division, const char *entity, const char *key,
							const char *reason, int timeouts, bool suspend)
{
	static const char sql[] =
	"INSERT INTO exact.rule_failure AS f"
	"  (rule, division, entity, key, reason, timeouts, suspended_at)"
	" VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $7 THEN clock_timestamp() END)"
	" ON CONFLICT (rule) DO UPDATE SET"
	"  division = excluded.division,"
	"  entity = excluded.entity,"
	"  key = excluded.key,"
	"  reason = excluded.reason,"
	"  times = f.times + 1,"
	"  at = excluded.at,"
	"  timeouts = excluded.timeouts,"
	"  suspended_at = excluded.suspended_at";
	ExactArg	args[7];

	args[0] = exact_arg_text(rule);
	args[1] = exact_arg_int4(division);
	args[2] = exact_arg_text(entity);
	args[3] = exact_arg_text(key);
	args[4] = exact_arg_text(reason);
	args[5] = exact_arg_int4(timeouts);
	args[6] = exact_arg_bool(suspend);
	exact_sql(sql, 7, args);
	if (suspend)
		exact_audit_judgement(division, entity, key, psprintf("rule %s is suspended", rule),
							  reason, 1);
}

void
exact_judgement_rule_answered(const char *rule)
{
	ExactArg	arg = exact_arg_text(rule);

	exact_sql("UPDATE exact.rule_failure SET timeouts = 0 WHERE rule = $1", 1, &arg);
}

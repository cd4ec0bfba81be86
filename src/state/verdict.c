/*
 * verdict.c - exact.verdict: written by the fetcher when documents are judged, and by the loader
 * when Delta has what was found.
 *
 * A version without a row is valid. One whose problem is gone keeps its row until Delta knows.
 */
#include "postgres.h"

#include "base/sql.h"
#include "state/verdict.h"

#define SURELY_WAITS "9 min"	/* a batch that is not judged is not delivered: ten minutes */

static const char *const held_texts[] = {
	[EXACT_HELD_NOT] = NULL,
	[EXACT_HELD_DOUBT] = "doubt",
	[EXACT_HELD_MARKED] = "held",
};

void
exact_verdict_put(int division, const ExactFinding *findings, int n)
{
	static const char sql[] =
	"WITH want AS MATERIALIZED ("
	"  SELECT u.*, coalesce(b.workspace, d.workspace) AS workspace,"
	"   NOT EXISTS (SELECT FROM exact.unjudged w WHERE w.batch = u.batch AND w.waits"
	"    AND w.since > clock_timestamp() - interval '" SURELY_WAITS "') AS again"
	"  FROM unnest($2::bigint[], $3::int[], $4::int[], $5::text[], $6::text[], $7::bigint[],"
	"   $8::text[], $9::text[]) AS u (batch, ord, slot, entity, key, seq, held, problems)"
	"  JOIN exact.batch b ON b.id = u.batch"
	"  LEFT JOIN exact.division d ON d.division = $1),"
	" made AS ("
	"  INSERT INTO exact.verdict AS v"
	"   (batch, ord, slot, workspace, division, entity, key, seq, held, problems, again)"
	"  SELECT batch, ord, slot, workspace, $1, entity, key, seq, held, problems, again"
	"  FROM want"
	"  WHERE problems IS NOT NULL"
	"  ON CONFLICT (batch, ord) DO UPDATE SET"
	"   held = excluded.held,"
	"   problems = excluded.problems,"
	"   changed_at = clock_timestamp(),"
	"   again = true"
	"  WHERE (v.held, v.problems) IS DISTINCT FROM (excluded.held, excluded.problems))"
	" UPDATE exact.verdict"
	" SET held = NULL, problems = NULL, changed_at = clock_timestamp(), again = true"
	" WHERE ctid = ANY (ARRAY(SELECT v.ctid FROM want w"
	"  CROSS JOIN LATERAL (SELECT x.ctid FROM exact.verdict x"
	"   WHERE x.batch = w.batch AND x.ord = w.ord AND x.problems IS NOT NULL OFFSET 0) v"
	"  WHERE w.problems IS NULL))";
	int64	   *batches = palloc(n * sizeof(int64));
	int32	   *ords = palloc(n * sizeof(int32));
	int32	   *slots = palloc(n * sizeof(int32));
	int64	   *seqs = palloc(n * sizeof(int64));
	const char **entities = palloc(n * sizeof(char *));
	const char **keys = palloc(n * sizeof(char *));
	const char **held = palloc(n * sizeof(char *));
	const char **problems = palloc(n * sizeof(char *));
	ExactArg	args[9];

	for (int i = 0; i < n; i++)
	{
		batches[i] = findings[i].batch;
		ords[i] = findings[i].ord;
		slots[i] = findings[i].slot;
		seqs[i] = findings[i].seq;
		entities[i] = findings[i].entity;
		keys[i] = findings[i].key;
		held[i] = held_texts[findings[i].held];
		problems[i] = findings[i].problems;
	}
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_int8_array(batches, NULL, n);
	args[2] = exact_arg_int4_array(ords, NULL, n);
	args[3] = exact_arg_int4_array(slots, NULL, n);
	args[4] = exact_arg_text_array(entities, NULL, n);
	args[5] = exact_arg_text_array(keys, NULL, n);
	args[6] = exact_arg_int8_array(seqs, NULL, n);
	args[7] = exact_arg_text_array(held, NULL, n);
	args[8] = exact_arg_text_array(problems, NULL, n);
	exact_sql_by_index(sql, 9, args);
}

/*
 * Rows that are as they were sent, each looked up by its whole key: a plan that was made while the
 * table was empty might read all of it, and would by a partial index if the last condition stood
 * outside. They are locked, since the judge may write about them between the look and the change.
 */
#define TOLD_SQL(condition) \
	" WHERE ctid = ANY (ARRAY(SELECT v.ctid" \
	"  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS u (batch, ord, at)" \
	"  CROSS JOIN LATERAL (SELECT x.ctid FROM exact.verdict x" \
	"   WHERE x.batch = u.batch AND x.ord = u.ord" \
	"   AND (extract(epoch FROM x.changed_at) * 1000000)::bigint = u.at" \
	"   AND " condition " OFFSET 0 FOR UPDATE) v))"

void
exact_verdict_delivered(const int64 *batches, const int64 *ords, const TimestampTz *changed_at,
						int n)
{
	/* moments as microseconds: an array of them */
	static const char gone_sql[] =
	"DELETE FROM exact.verdict" TOLD_SQL("x.problems IS NULL");
	static const char told_sql[] =
	"UPDATE exact.verdict SET again = false" TOLD_SQL("x.again");
	int64	   *at = palloc(n * sizeof(int64));
	ExactArg	args[3];

	for (int i = 0; i < n; i++)
		at[i] = changed_at[i] + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	args[0] = exact_arg_int8_array(batches, NULL, n);
	args[1] = exact_arg_int8_array(ords, NULL, n);
	args[2] = exact_arg_int8_array(at, NULL, n);
	exact_sql_by_index(gone_sql, 3, args);
	exact_sql_by_index(told_sql, 3, args);
}

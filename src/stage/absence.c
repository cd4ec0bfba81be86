/*
 * absence.c - records that an answer did not show: which may be deleted, and which are held.
 */
#include "postgres.h"

#include "base/sql.h"
#include "stage/absence.h"
#include "worker/self.h"

char **
exact_absence_judge(ExactAbsence *a, char **keys, int nkeys, int *nbelieved)
{
	static const char sql[] =
	"SELECT j.believed, j.held, j.reason, j.again, j.once"
	" FROM exact._judge_absent($1, $2, $3, $4, $5, $6, $7) j";
	ExactArg	args[7];

	a->again = false;
	a->once = NULL;
	a->nonce = 0;
	*nbelieved = 0;
	if (nkeys == 0)
		return NULL;
	args[0] = exact_arg_int4(a->division);
	args[1] = exact_arg_text(a->feed);
	args[2] = exact_arg_text(a->entity);
	args[3] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	args[4] = exact_arg_text(a->doubt);
	args[5] = exact_arg_bool(a->passes);
	args[6] = exact_arg_bool(a->approved);
	exact_sql(sql, 7, args);
	a->again = exact_cell_bool(0, 4, false);
	a->once = exact_cell_texts(0, 5, &a->nonce);
	if (!exact_cell_isnull(0, 2))
		exact_log(LOG, "alarm division=%d entity=%s absent=%d held=" INT64_FORMAT " reason=\"%s\"",
				  a->division, a->entity, nkeys, exact_cell_int8(0, 2, 0), exact_cell_text(0, 3));
	return exact_cell_texts(0, 1, nbelieved);
}

static char **
take_keys(uint64 n, int *nkeys)
{
	char	  **keys = palloc((n + 1) * sizeof(char *));

	for (uint64 i = 0; i < n; i++)
		keys[i] = exact_cell_text(i, 1);
	*nkeys = (int) n;
	return keys;
}

/*
 * Living lines of documents that were known then, without these keys. Each document is looked up by
 * itself: a plan that was made while the table was empty might read all of the entity.
 */
#define LINES_SQL \
	" FROM (SELECT DISTINCT u.document FROM unnest($3::text[]) AS u (document)) d" \
	" CROSS JOIN LATERAL (SELECT r.key, r.parent, r.deleted, r.seq" \
	"  FROM exact.record r" \
	"  WHERE r.division = $1 AND r.entity = $2 AND r.parent = d.document OFFSET 0) l" \
	" WHERE NOT deleted AND key <> ALL ($4::text[]) AND seq <= $5"

static void
bind_lines(ExactArg *args, int division, const char *lines, char **documents, int ndocuments,
		   char **keys, int nkeys, int64 known_seq)
{
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(lines);
	args[2] = exact_arg_text_array((const char *const *) documents, NULL, ndocuments);
	args[3] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	args[4] = exact_arg_int8(known_seq);
}

char **
exact_absence_lines(int division, const char *lines, char **documents, int ndocuments,
					char **keys, int nkeys, int64 known_seq, int *nlines)
{
	static const char sql[] = "SELECT key" LINES_SQL;
	ExactArg	args[5];

	bind_lines(args, division, lines, documents, ndocuments, keys, nkeys, known_seq);
	return take_keys(exact_sql(sql, 5, args), nlines);
}

char **
exact_absence_lined(int division, const char *lines, char **documents, int ndocuments,
					char **keys, int nkeys, int64 known_seq, int *nlined)
{
	static const char sql[] = "SELECT DISTINCT parent" LINES_SQL;
	ExactArg	args[5];

	bind_lines(args, division, lines, documents, ndocuments, keys, nkeys, known_seq);
	return take_keys(exact_sql(sql, 5, args), nlined);
}

char **
exact_absence_documents(int division, const char *lines, char **keys, int nkeys, int *ndocuments)
{
	static const char sql[] =
	"SELECT DISTINCT parent"
	" FROM exact.record"
	" WHERE division = $1 AND entity = $2 AND key = ANY ($3::text[]) AND parent IS NOT NULL";
	ExactArg	args[3];

	*ndocuments = 0;
	if (nkeys == 0)
		return NULL;
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(lines);
	args[2] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	return take_keys(exact_sql(sql, 3, args), ndocuments);
}

void
exact_absence_seen(int division, const char *entity, char **keys, int nkeys)
{
	static const char sql[] = "SELECT exact._see_held($1, $2, $3)";
	ExactArg	args[3];

	if (nkeys == 0)
		return;
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	exact_sql(sql, 3, args);
}

void
exact_absence_deleted(int division, const char *entity, const char *line_entity, char **keys,
					  int nkeys)
{
	static const char sql[] =
	"SELECT exact._leave_hold($1, e.name, CASE WHEN e.name = $2 THEN $4::text[] END)"
	" FROM (VALUES ($2), ($3)) e(name)"
	" WHERE EXISTS (SELECT FROM exact.held_key k"
	"  WHERE k.division = $1 AND k.entity = e.name)"
	" OR EXISTS (SELECT FROM exact.held_delete h"
	"  WHERE h.division = $1 AND h.entity = e.name AND h.state = 'held')";
	ExactArg	args[4];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text(line_entity);
	args[3] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	exact_sql(sql, 4, args);
}

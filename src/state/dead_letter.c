/*
 * dead_letter.c - exact.dead_letter: rows that could be neither staged nor delivered as they are.
 *
 * dead -> retry (exact.retry()) -> done, or dead again when the same row is refused again. Of a
 * reading it is done without an operator, too, when a good version of its key comes. Of a delivery
 * it is passed then: the record is right again, and only the history lacks the version.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "base/digest.h"
#include "base/sql.h"
#include "state/dead_letter.h"

#define PAYLOAD_MOST 65536		/* bytes of a row that are kept */

static const char *const sides[] = {
	[EXACT_DEAD_LETTER_READING] = "reading",
	[EXACT_DEAD_LETTER_DELIVERY] = "delivery",
};

/* As much of a row as is kept, as a text: bytes that no text can hold become U+FFFD. */
static char *
kept_text(const char *payload, size_t len)
{
	const char *end = payload + Min(len, PAYLOAD_MOST);
	char	   *text = palloc((end - payload) * 3 + 1);
	char	   *out = text;

	for (const char *p = payload; p < end;)
	{
		int			n = pg_utf_mblen((const unsigned char *) p);

		if (*p != '\0' && n <= end - p && pg_utf8_islegal((const unsigned char *) p, n))
		{
			memcpy(out, p, n);
			out += n;
			p += n;
			continue;
		}
		memcpy(out, "\xEF\xBF\xBD", 3);
		out += 3;
		p++;
	}
	*out = '\0';
	return text;
}

/* $1 to $7 are what both sides have. */
#define ADD_SQL(columns, values, same) \
	"INSERT INTO exact.dead_letter AS l" \
	" (side, division, entity, key, column_name, value_type, reason, " columns ")" \
	" VALUES ($1, $2, $3, $4, $5, $6, $7, " values ")" \
	" ON CONFLICT " same " DO UPDATE SET" \
	"  times = l.times + 1," \
	"  last_at = clock_timestamp()," \
	"  key = excluded.key," \
	"  column_name = excluded.column_name," \
	"  value_type = excluded.value_type," \
	"  reason = excluded.reason," \
	"  state = 'dead'," \
	"  done_at = NULL" \
	" RETURNING id, times"

bool
exact_dead_letter_add(const ExactDeadLetter *letter, int64 *id)
{
	static const char reading_sql[] =
	ADD_SQL("payload, digest", "$8, $9", "(division, entity, digest) WHERE side = 'reading'");
	static const char delivery_sql[] =
	ADD_SQL("workspace, slot, batch, ord, seq", "$8, $9, $10, $11, $12",
			"(workspace, batch, ord) WHERE side = 'delivery'");
	uint8		digest[EXACT_DIGEST_LEN];
	ExactArg	args[12];

	args[0] = exact_arg_text(sides[letter->side]);
	args[1] = exact_arg_int4(letter->division);
	args[2] = exact_arg_text(letter->entity);
	args[3] = exact_arg_text(letter->key);
	args[4] = exact_arg_text(letter->column);
	args[5] = exact_arg_text(letter->value_type);
	args[6] = exact_arg_text(letter->reason);
	if (letter->side == EXACT_DEAD_LETTER_READING)
	{
		exact_sha256(letter->payload, letter->payload_len, digest);
		args[7] = exact_arg_text(kept_text(letter->payload, letter->payload_len));
		args[8] = exact_arg_bytea(digest, sizeof(digest));
		exact_sql(reading_sql, 9, args);
	}
	else
	{
		args[7] = exact_arg_text(letter->workspace);
		args[8] = exact_arg_int4(letter->slot);
		args[9] = exact_arg_int8(letter->batch);
		args[10] = exact_arg_int4(letter->ord);
		args[11] = exact_arg_int8(letter->seq);
		exact_sql(delivery_sql, 12, args);
	}
	*id = exact_cell_int8(0, 1, 0);
	return exact_cell_int8(0, 2, 0) == 1;
}

void
exact_dead_letter_done(int division, const char *entity, char **keys, int nkeys)
{
	static const char sql[] =
	"UPDATE exact.dead_letter SET state = 'done', done_at = clock_timestamp()"
	" WHERE side = 'reading' AND division = $1 AND entity = $2 AND state <> 'done'"
	" AND key = ANY ($3::text[])";
	ExactArg	args[3];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	exact_sql(sql, 3, args);
}

void
exact_dead_letter_reread(int division, const char *const *entities, int nentities,
						 TimestampTz run_started_at)
{
	static const char sql[] =
	"UPDATE exact.dead_letter SET state = 'done', done_at = clock_timestamp()"
	" WHERE side = 'reading' AND division = $1 AND entity = ANY ($2::text[])"
	" AND state = 'retry' AND decided_at < $3 AND last_at < $3";
	ExactArg	args[3];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text_array(entities, NULL, nentities);
	args[2] = exact_arg_time(run_started_at);
	exact_sql(sql, 3, args);
}

int64
exact_dead_letter_alike(const char *workspace, const char *entity, const char *reason)
{
	static const char sql[] =
	"SELECT count(*)"
	" FROM exact.dead_letter"
	" WHERE side = 'delivery' AND workspace = $1 AND entity = $2 AND reason = $3"
	" AND state IN ('dead', 'retry')";
	ExactArg	args[3];

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text(reason);
	exact_sql(sql, 3, args);
	return exact_cell_int8(0, 1, 0);
}

void
exact_dead_letter_delivered(const char *workspace, const int64 *batches, const int64 *ords, int n)
{
	static const char sql[] =
	"UPDATE exact.dead_letter l SET state = 'done', done_at = clock_timestamp()"
	" FROM unnest($2::bigint[], $3::bigint[]) AS u (batch, ord)"
	" WHERE l.side = 'delivery' AND l.workspace = $1 AND l.batch = u.batch AND l.ord = u.ord"
	" AND l.state <> 'done'";
	ExactArg	args[3];

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_int8_array(batches, NULL, n);
	args[2] = exact_arg_int8_array(ords, NULL, n);
	exact_sql(sql, 3, args);
}

void
exact_dead_letter_passed(const char *workspace, const char *entity)
{
	static const char sql[] =
	"UPDATE exact.dead_letter l SET state = 'passed'"
	" FROM exact.record r"
	" JOIN exact.batch b ON b.id = r.batch"
	" WHERE l.side = 'delivery' AND l.workspace = $1 AND l.entity = $2 AND l.state = 'dead'"
	" AND r.division = l.division AND r.entity = l.entity AND r.key = l.key"
	" AND (r.batch, r.ord) > (l.batch, l.ord)"
	" AND (b.delivered_at IS NOT NULL OR b.delivered_rows > r.ord)"
	" AND NOT EXISTS (SELECT FROM exact.dead_letter o"
	"  WHERE o.side = 'delivery' AND o.workspace = $1 AND o.batch = r.batch AND o.ord = r.ord"
	"  AND o.state <> 'done')";
	ExactArg	args[2];

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text(entity);
	exact_sql(sql, 2, args);
}

/*
 * aside.c - rows that cannot be staged are put aside, and what they are of is not taken for gone.
 *
 * One bad row must not stop its feed: it goes to exact.dead_letter with its reason, the rest of the
 * page goes on. But a row that was put aside was there: its record counts as seen, and where nobody
 * knows which record it is of, nothing is deleted because it seems to be missing.
 */
#include "postgres.h"

#include "base/sql.h"
#include "base/words.h"
#include "exact_online/odata_value.h"
#include "stage/aside.h"
#include "state/dead_letter.h"
#include "worker/self.h"


void
exact_aside_put(const ExactAsideRow *row)
{
	ExactDeadLetter letter = {.side = EXACT_DEAD_LETTER_READING};
	int64		id;

	letter.division = row->division;
	letter.entity = row->entity;
	letter.key = row->key;
	letter.column = row->field;
	letter.reason = row->reason;
	letter.payload = row->text.start;
	letter.payload_len = row->text.len;
	if (exact_dead_letter_add(&letter, &id))
		exact_log(LOG, "alarm division=%d entity=%s put_aside=" INT64_FORMAT " key=\"%s\" "
				  "reason=\"%s\"", row->division, row->entity, id, row->key ? row->key : "",
				  row->reason);
}

/* A key whose field is there twice, or was not readable, is none. */
static char *
known_key(const ExactRecord *record, const char *const *fields, const int *of, int nof, char *key)
{
	if (key == NULL || strstr(key, EXACT_WORDS_REPLACEMENT) != NULL)
		return NULL;
	for (int i = 0; i < nof && record->problem_field != NULL; i++)
		if (strcmp(record->problem_field, fields[of[i]]) == 0)
			return NULL;
	return key;
}

const char *
exact_aside_reason(const ExactFeed *feed, const ExactFeedEntity *entity,
				   const ExactRecord *record, char **key, const char **field)
{
	const char *const *fields = exact_feed_is_document_line(feed, entity) ? feed->line_fields
		: feed->fields;
	int64		n;

	*key = known_key(record, fields, entity->keys, entity->nkeys,
					 exact_feed_own_key(entity, record));
	*field = record->problem_field;
	if (*key == NULL && entity->row_kind == EXACT_FEED_RECORD && entity->parent >= 0 &&
		feed->line_number >= 0 && exact_odata_int64(record->values[feed->line_number], &n) &&
		n == 0)
		/* a document's own row among its lines */
		*key = known_key(record, fields, &entity->parent, 1,
						 exact_feed_key(record, entity->parent));
	if (record->problem != NULL)
		return record->problem;
	if (*key == NULL)
	{
		*field = fields[entity->keys[0]];
		return "it has no key";
	}
	if (feed->method == EXACT_FEED_SYNC && feed->timestamp >= 0 &&
		!exact_odata_int64(record->values[feed->timestamp], &n))
	{
		*field = feed->fields[feed->timestamp];
		return "it has no Timestamp";
	}
	return NULL;
}

#define SEEN_SQL(of) \
	"UPDATE exact.record SET run = greatest(run, $4)" \
	" WHERE division = $1 AND entity = $2 AND " of " = ANY ($3::text[])" \
	" AND NOT deleted AND run IS DISTINCT FROM $4"

static void
see(const char *sql, int division, const char *entity, char **keys, int nkeys, int64 run)
{
	ExactArg	args[4];

	if (nkeys == 0)
		return;
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	args[3] = exact_arg_int8(run);
	exact_sql(sql, 4, args);
}

void
exact_aside_seen(int division, const char *entity, char **keys, int nkeys, int64 run)
{
	static const char sql[] = SEEN_SQL("key");

	see(sql, division, entity, keys, nkeys, run);
}

void
exact_aside_seen_lines(int division, const char *entity, char **documents, int ndocuments,
					   int64 run)
{
	static const char sql[] = SEEN_SQL("parent");

	see(sql, division, entity, documents, ndocuments, run);
}

bool
exact_aside_nameless(int division, const ExactFeed *feed, TimestampTz run_started_at)
{
	static const char sql[] =
	"SELECT EXISTS (SELECT FROM exact.dead_letter"
	" WHERE side = 'reading' AND division = $1 AND entity = ANY ($2::text[])"
	" AND state <> 'done' AND key IS NULL AND last_at >= $3)";
	const char **entities = palloc(feed->nentities * sizeof(char *));
	ExactArg	args[3];

	for (int e = 0; e < feed->nentities; e++)
		entities[e] = feed->entities[e].name;
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text_array(entities, NULL, feed->nentities);
	args[2] = exact_arg_time(run_started_at);
	exact_sql(sql, 3, args);
	return exact_cell_bool(0, 1, true);
}

/*
 * stage_page.c - takes a page of records apart.
 *
 * A page of a plain feed is rows of one entity; of a combined set, headers and lines side by side;
 * of an expanded feed, documents that hold their lines. Every record must be of the division that
 * was asked.
 */
#include "postgres.h"

#include "base/digest.h"
#include "base/errors.h"
#include "base/sql.h"
#include "exact_online/feed.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"
#include "stage/stage.h"
#include "stage/stage_page.h"
#include "state/dirty_key.h"

static ExactStageRows *
make_rows(int capacity)
{
	ExactStageRows *rows = palloc0(sizeof(ExactStageRows));

	capacity = Max(capacity, 1);
	rows->keys = palloc(capacity * sizeof(char *));
	rows->parents = palloc(capacity * sizeof(char *));
	rows->hashes = palloc(capacity * sizeof(void *));
	rows->hash_lens = palloc(capacity * sizeof(size_t));
	rows->versions = palloc(capacity * sizeof(int64));
	rows->no_version = palloc(capacity * sizeof(bool));
	rows->payloads = palloc(capacity * sizeof(char *));
	rows->payload_lens = palloc(capacity * sizeof(size_t));
	return rows;
}

/* Adds a record, the number-th of its page. Raises EX009 when it has no key. */
static void
add_row(ExactStageRows *rows, const ExactFeed *feed, const ExactFeedEntity *entity,
		const ExactRecord *record, int number)
{
	int			n = rows->n;
	uint8	   *hash = palloc(EXACT_DIGEST_LEN);
	int64		line;

	rows->keys[n] = exact_feed_key(record, entity->key);
	rows->parents[n] = entity->parent >= 0 ? exact_feed_key(record, entity->parent) : NULL;
	if (rows->keys[n] == NULL && entity->row_kind == EXACT_FEED_RECORD && feed->line_number >= 0 &&
		exact_odata_int64(record->values[feed->line_number], &line) && line == 0)
		rows->keys[n] = rows->parents[n];	/* a document's own row among its lines */
	if (rows->keys[n] == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_BAD_ANSWER),
				 errmsg("Exact Online answered with a record of %s that has no key", entity->name),
				 errdetail("Row %d of the page. Nothing of that page was kept.", number),
				 errhint("The hub asks again by itself.")));
	rows->versions[n] = 0;
	rows->no_version[n] = feed->timestamp < 0 ||
		!exact_odata_int64(record->values[feed->timestamp], &rows->versions[n]);
	exact_feed_hash(entity, record, hash);
	rows->hashes[n] = hash;
	rows->hash_lens[n] = EXACT_DIGEST_LEN;
	rows->payloads[n] = record->text.start;
	rows->payload_lens[n] = record->text.len;
	rows->n++;
}

/*
 * Design: the division of each record is checked, and nothing of a page with a foreign one is
 * kept.
 */
static void
check_division(const ExactStagePage *p, const ExactRecord *record, int field, int number)
{
	ExactSlice	none = {NULL, 0};
	int64		division = exact_odata_division(record, field >= 0 ? record->values[field] : none,
												p->division);

	if (division == p->division)
		return;
	if (division < 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_BAD_ANSWER),
				 errmsg("Exact Online answered with a record of %s that names no division",
						p->feed->name),
				 errdetail("Row %d of the page. Nothing of that page was kept.", number),
				 errhint("The hub asks again by itself.")));
	ereport(ERROR,
			(errcode(ERRCODE_EXACT_DIVISION_GUARD),
			 errmsg("division %d is frozen: Exact Online answered with a record of division "
					INT64_FORMAT, p->division, division),
			 errdetail("GET %s, row %d. Nothing of that page was kept.", p->feed->resource, number),
			 errhint("Check the administration in Exact Online; then SELECT exact.resume(%d).",
					 p->division)));
}

/* ---- documents with their lines ---- */

/* A page of expanded documents, taken apart */
typedef struct Documents
{
	ExactPage **expanded;		/* the lines of each */
	/* keys of those that came with all their lines: any other line of theirs is gone */
	char	  **whole;
	int			nwhole;
	char	  **others;			/* keys of the rest */
	int			nothers;
	ExactStageRows *headers;
	ExactStageRows *lines;
} Documents;

/*
 * Documents whose lines did not all come with them: these are read by the keys of their documents.
 * Until then none of the lines that are known is missing.
 */
static void
want_lines(ExactStagePage *p, const ExactFeedEntity *line, char **documents, int ndocuments)
{
	static const char seen_sql[] =
	"UPDATE exact.record SET run = $4"
	" WHERE division = $1 AND entity = $2 AND parent = ANY ($3::text[])"
	" AND NOT deleted AND run IS DISTINCT FROM $4";
	ExactArg	args[4];

	args[0] = exact_arg_int4(p->division);
	args[1] = exact_arg_text(line->name);
	args[2] = exact_arg_text_array((const char *const *) documents, NULL, ndocuments);
	args[3] = exact_arg_int8(p->run);
	exact_sql(seen_sql, 4, args);
	exact_dirty_key_want(p->division, line->name, documents, ndocuments,
						 p->first ? EXACT_DIRTY_FIRST_LOAD : EXACT_DIRTY_LINES_MISSING);
	p->unread += ndocuments;
}

/*
 * Checks each document and finds its lines; returns the number of lines. Raises when a document is
 * incomplete.
 */
static int
expand_documents(ExactStagePage *p, Documents *d)
{
	const ExactFeed *feed = p->feed;
	int			nlines = 0;

	for (int i = 0; i < p->page->nrecords; i++)
	{
		const ExactRecord *record = &p->page->records[i];
		char	   *problem;

		check_division(p, record, feed->division, i + 1);
		d->expanded[i] = exact_odata_expanded(record->values[feed->collection], feed->line_fields,
											  feed->nline_fields, &problem);
		if (d->expanded[i] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_BAD_ANSWER),
					 errmsg("Exact Online answered with an incomplete document of %s: %s",
							feed->entities[0].name, problem),
					 errdetail("GET %s, row %d. Nothing of that page was kept.",
							   feed->resource, i + 1),
					 errhint("The hub asks again by itself.")));
		nlines += d->expanded[i]->nrecords;
	}
	return nlines;
}

/*
 * Rows of one document: a header's version is without its lines, each line is a version of its
 * own.
 */
static void
add_document(ExactStagePage *p, Documents *d, int i)
{
	const ExactFeed *feed = p->feed;
	const ExactRecord *record = &p->page->records[i];
	const ExactPage *expanded = d->expanded[i];
	ExactRecord without = *record;
	char	   *key;

	without.text = exact_odata_without(record, record->values[feed->collection]);
	add_row(d->headers, feed, &feed->entities[0], &without, i + 1);
	key = d->headers->keys[i];
	if (expanded->is_list && expanded->next == NULL)
		d->whole[d->nwhole++] = key;
	else
		d->others[d->nothers++] = key;
	for (int l = 0; l < expanded->nrecords; l++)
	{
		check_division(p, &expanded->records[l], feed->line_division, i + 1);
		add_row(d->lines, feed, &feed->entities[1], &expanded->records[l], i + 1);
		d->lines->parents[d->lines->n - 1] = key;
	}
}

static void
store_documents(ExactStagePage *p)
{
	const ExactFeedEntity *line = &p->feed->entities[1];
	int			n = Max(p->page->nrecords, 1);
	Documents	d = {0};

	d.expanded = palloc(n * sizeof(ExactPage *));
	d.whole = palloc(n * sizeof(char *));
	d.others = palloc(n * sizeof(char *));
	d.headers = make_rows(n);
	d.lines = make_rows(expand_documents(p, &d));
	for (int i = 0; i < p->page->nrecords; i++)
		add_document(p, &d, i);
	if (p->enabled[0] && d.headers->n > 0)
		exact_stage_rows(p, &p->feed->entities[0], d.headers);
	if (!p->enabled[1])
		return;
	if (d.lines->n > 0)
		exact_stage_rows(p, line, d.lines);
	if (d.nwhole > 0)
		exact_stage_vanished(p, line->name, d.whole, d.nwhole, d.lines->keys, d.lines->n,
							 p->sent_seq);
	if (d.nothers > 0)
		want_lines(p, line, d.others, d.nothers);
}

/* ---- pages ---- */

void
exact_stage_page_lines(ExactStagePage *p)
{
	const ExactFeedEntity *line = &p->feed->entities[1];
	ExactStageRows *lines = make_rows(p->page->nrecords);

	for (int i = 0; i < p->page->nrecords; i++)
	{
		check_division(p, &p->page->records[i], p->feed->line_division, i + 1);
		add_row(lines, p->feed, line, &p->page->records[i], i + 1);
	}
	p->rows = p->page->nrecords;
	if (lines->n > 0)
		exact_stage_rows(p, line, lines);
}

/* Is a record of a combined set a header or a line? Raises when it does not say so. */
static ExactFeedRowKind
row_kind(const ExactFeed *feed, const ExactRecord *record, int number)
{
	int64		line;

	if (feed->line_number < 0 || feed->nentities < 2)
		return EXACT_FEED_RECORD;
	if (!exact_odata_int64(record->values[feed->line_number], &line))
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_BAD_ANSWER),
				 errmsg("Exact Online answered with a record of %s that has no LineNumber",
						feed->name),
				 errdetail("Row %d of the page. Nothing of that page was kept.", number),
				 errhint("The hub asks again by itself.")));
	return line == 0 ? EXACT_FEED_HEADER : EXACT_FEED_LINE;
}

/* Gives each record to the entities of its kind, then stages entity by entity. */
void
exact_stage_page_store(ExactStagePage *p)
{
	const ExactFeed *feed = p->feed;
	ExactStageRows **rows = palloc(feed->nentities * sizeof(ExactStageRows *));

	p->rows = p->page->nrecords;
	if (feed->collection >= 0)
	{
		store_documents(p);
		return;
	}
	for (int e = 0; e < feed->nentities; e++)
		rows[e] = make_rows(p->page->nrecords);
	for (int i = 0; i < p->page->nrecords; i++)
	{
		const ExactRecord *record = &p->page->records[i];
		ExactFeedRowKind kind;

		check_division(p, record, feed->division, i + 1);
		kind = row_kind(feed, record, i + 1);
		for (int e = 0; e < feed->nentities; e++)
			if (feed->entities[e].row_kind == kind && p->enabled[e])
				add_row(rows[e], feed, &feed->entities[e], record, i + 1);
	}
	for (int e = 0; e < feed->nentities; e++)
		if (rows[e]->n > 0)
			exact_stage_rows(p, &feed->entities[e], rows[e]);
}

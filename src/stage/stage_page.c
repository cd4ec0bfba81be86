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
#include "document/recent.h"
#include "exact_online/feed.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"
#include "stage/absence.h"
#include "stage/aside.h"
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
	rows->formers = palloc(capacity * sizeof(void *));
	rows->former_lens = palloc(capacity * sizeof(size_t));
	rows->versions = palloc(capacity * sizeof(int64));
	rows->no_version = palloc(capacity * sizeof(bool));
	rows->payloads = palloc(capacity * sizeof(char *));
	rows->payload_lens = palloc(capacity * sizeof(size_t));
	return rows;
}

/* Puts a row of the page aside. key: NULL when nobody knows which record it is of. */
static void
put_aside(ExactStagePage *p, const char *entity, const char *key, const char *field,
		  const char *reason, const ExactRecord *record)
{
	ExactAsideRow row = {.division = p->division,.entity = entity,.key = key,.field = field,
	.reason = reason,.text = record->text};

	exact_aside_put(&row);
	p->aside++;
	if (key == NULL)
		p->nameless++;
}

/* Adds a record that can be staged, under its key. */
static void
add_row(ExactStageRows *rows, const ExactFeed *feed, const ExactFeedEntity *entity,
		const ExactRecord *record, char *key)
{
	int			n = rows->n;
	uint8	   *hash = palloc(EXACT_FEED_HASH_LEN);
	uint8	   *former = palloc(EXACT_DIGEST_LEN);

	rows->keys[n] = key;
	rows->parents[n] = entity->parent >= 0 ? exact_feed_key(record, entity->parent) : NULL;
	rows->versions[n] = 0;
	rows->no_version[n] = feed->timestamp < 0 ||
		!exact_odata_int64(record->values[feed->timestamp], &rows->versions[n]);
	exact_feed_hash(entity, record, hash, former);
	rows->hashes[n] = hash;
	rows->hash_lens[n] = EXACT_FEED_HASH_LEN;
	rows->formers[n] = former;
	rows->former_lens[n] = EXACT_DIGEST_LEN;
	rows->payloads[n] = record->text.start;
	rows->payload_lens[n] = record->text.len;
	rows->n++;
}

/*
 * Design: the division of each record is checked, and nothing of a page with a foreign one is
 * kept. False: the record names no division.
 */
static bool
check_division(const ExactStagePage *p, const ExactRecord *record, int field, int number)
{
	ExactSlice	none = {NULL, 0};
	int64		division = exact_odata_division(record, field >= 0 ? record->values[field] : none,
												p->division);

	if (division == p->division)
		return true;
	if (division < 0)
		return false;
	ereport(ERROR,
			(errcode(ERRCODE_EXACT_DIVISION_GUARD),
			 errmsg("division %d is frozen: Exact Online answered with a record of division "
					INT64_FORMAT, p->division, division),
			 errdetail("GET %s, row %d. Nothing of that page was kept.", p->feed->resource, number),
			 errhint("Check the administration in Exact Online; then SELECT exact.resume(%d).",
					 p->division)));
}

/*
 * Why the number-th record of the page cannot be staged; NULL: it can, under *key. Raises when it
 * is of another division.
 */
static const char *
check_record(const ExactStagePage *p, const ExactFeedEntity *entity, const ExactRecord *record,
			 int number, char **key, const char **field)
{
	int			division = exact_feed_is_document_line(p->feed, entity) ? p->feed->line_division
		: p->feed->division;
	bool		ours = check_division(p, record, division, number);
	const char *reason = exact_aside_reason(p->feed, entity, record, key, field);

	if (reason == NULL && !ours)
		return "it names no division";
	return reason;
}

/* ---- documents with their lines ---- */

/* A page of expanded documents, taken apart */
typedef struct Documents
{
	ExactPage **expanded;		/* the lines of each; NULL: it was put aside */
	char	  **keys;			/* of each */
	/* keys of those that came with all their lines: any other that is known is asked for */
	char	  **whole;
	int			nwhole;
	char	  **others;			/* keys of those that did not */
	int			nothers;
	/* keys of those that were put aside, whole or a line of them: no line of theirs is gone */
	char	  **aside;
	int			naside;
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
	exact_aside_seen_lines(p->division, line->name, documents, ndocuments, p->run);
	exact_dirty_key_want(p->division, line->name, documents, ndocuments,
						 p->first ? EXACT_DIRTY_FIRST_LOAD : EXACT_DIRTY_LINES_MISSING);
	p->unread += ndocuments;
}

/*
 * Checks each document and finds its lines; returns the number of lines. One that cannot be staged
 * or is incomplete is put aside and has none.
 */
static int
expand_documents(ExactStagePage *p, Documents *d)
{
	const ExactFeed *feed = p->feed;
	const ExactFeedEntity *header = &feed->entities[0];
	int			nlines = 0;

	for (int i = 0; i < p->page->nrecords; i++)
	{
		const ExactRecord *record = &p->page->records[i];
		char	   *key;
		const char *field;
		const char *reason = check_record(p, header, record, i + 1, &key, &field);
		char	   *problem;

		d->expanded[i] = NULL;
		if (reason == NULL)
		{
			d->expanded[i] = exact_odata_expanded(record->values[feed->collection],
												  feed->line_fields, feed->nline_fields,
												  &problem);
			if (d->expanded[i] == NULL)
			{
				reason = psprintf("an incomplete document: %s", problem);
				field = feed->fields[feed->collection];
			}
		}
		d->keys[i] = key;
		if (d->expanded[i] != NULL)
		{
			nlines += d->expanded[i]->nrecords;
			continue;
		}
		put_aside(p, header->name, key, field, reason, record);
		if (key != NULL)
			d->aside[d->naside++] = key;
	}
	/* these headers are not staged, and seen all the same */
	exact_aside_seen(p->division, header->name, d->aside, d->naside, p->run);
	return nlines;
}

/*
 * Rows of one document: a header's version is without its lines, each line is a version of its
 * own. A line that cannot be staged is put aside under the key of its document.
 */
static void
add_document(ExactStagePage *p, Documents *d, int i)
{
	const ExactFeed *feed = p->feed;
	const ExactRecord *record = &p->page->records[i];
	const ExactPage *expanded = d->expanded[i];
	ExactRecord without = *record;
	char	   *document = d->keys[i];
	int			aside = p->aside;

	if (expanded == NULL)
		return;
	without.text = exact_odata_without(record, record->values[feed->collection]);
	add_row(d->headers, feed, &feed->entities[0], &without, document);
	for (int l = 0; l < expanded->nrecords; l++)
	{
		const ExactRecord *line = &expanded->records[l];
		char	   *key;
		const char *field;
		const char *reason = check_record(p, &feed->entities[1], line, i + 1, &key, &field);

		if (reason != NULL)
		{
			put_aside(p, feed->entities[0].name, document, field,
					  psprintf("a line of it cannot be used: %s", reason), line);
			continue;
		}
		add_row(d->lines, feed, &feed->entities[1], line, key);
		d->lines->parents[d->lines->n - 1] = document;
	}
	if (p->aside > aside)
		d->aside[d->naside++] = document;
	else if (expanded->is_list && expanded->next == NULL)
		d->whole[d->nwhole++] = document;
	else
		d->others[d->nothers++] = document;
}

/*
 * That a document does not show a line, or none at all, is what a lost right or a cut answer looks
 * like, too: its lines are asked for beside lines that live.
 */
static void
doubt_lines(ExactStagePage *p, const ExactFeedEntity *line, const Documents *d)
{
	char	  **keys;
	int			n;

	keys = exact_absence_lined(p->division, line->name, d->whole, d->nwhole, d->lines->keys,
							   d->lines->n, p->sent_seq, &n);
	if (n > 0)
		want_lines(p, line, keys, n);
}

static int
compare_key(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static bool
has_changed(const ExactStageRows *rows, const char *key)
{
	return bsearch(&key, rows->documents, rows->ndocuments, sizeof(char *), compare_key) != NULL;
}

/*
 * The judgement looks at documents that changed: it finds them as this page shows them. Only where
 * the page is all that there is of each.
 */
static void
remember(const ExactStagePage *p, const Documents *d)
{
	ExactDocumentKind kind;
	ExactPayload *lines = palloc((d->lines->n + 1) * sizeof(ExactPayload));
	int			line = 0;

	if (p->stale + p->unread + p->aside > 0 || !p->enabled[0] || !p->enabled[1] ||
		!exact_document_kind(p->feed->entities[0].name, &kind))
		return;
	for (int i = 0; i < d->lines->n; i++)
		lines[i] = (ExactPayload) {d->lines->payloads[i], d->lines->payload_lens[i]};
	for (int i = 0; i < d->headers->n; i++)
	{
		ExactPayload header = {d->headers->payloads[i], d->headers->payload_lens[i]};
		const char *key = d->headers->keys[i];
		int			n = d->expanded[i]->nrecords;
		bool		changed = has_changed(d->lines, key);

		if (changed || has_changed(d->headers, key))
			exact_recent_put(p->division, kind, key,
							 changed ? d->lines->batch : d->headers->batch, header, &lines[line],
							 n);
		line += n;
	}
}

static void
store_documents(ExactStagePage *p)
{
	const ExactFeedEntity *line = &p->feed->entities[1];
	int			n = Max(p->page->nrecords, 1);
	Documents	d = {0};

	d.expanded = palloc(n * sizeof(ExactPage *));
	d.keys = palloc(n * sizeof(char *));
	d.aside = palloc(n * sizeof(char *));
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
	exact_aside_seen_lines(p->division, line->name, d.aside, d.naside, p->run);
	if (d.lines->n > 0)
		exact_stage_rows(p, line, d.lines);
	doubt_lines(p, line, &d);
	if (d.nothers > 0)
		want_lines(p, line, d.others, d.nothers);
	remember(p, &d);
}

/* ---- pages ---- */

void
exact_stage_page_lines(ExactStagePage *p)
{
	const ExactFeedEntity *line = &p->feed->entities[1];
	ExactStageRows *lines = make_rows(p->page->nrecords);

	for (int i = 0; i < p->page->nrecords; i++)
	{
		const ExactRecord *record = &p->page->records[i];
		char	   *key;
		const char *field;
		const char *reason = check_record(p, line, record, i + 1, &key, &field);

		if (reason == NULL)
			add_row(lines, p->feed, line, record, key);
		else
			put_aside(p, p->feed->entities[0].name, exact_feed_key(record, line->parent), field,
					  psprintf("a line of it cannot be used: %s", reason), record);
	}
	p->rows = p->page->nrecords;
	if (lines->n > 0)
		exact_stage_rows(p, line, lines);
}

/* Is a record of a combined set a header or a line? False when it does not say so. */
static bool
row_kind(const ExactFeed *feed, const ExactRecord *record, ExactFeedRowKind *kind)
{
	int64		line;

	*kind = EXACT_FEED_RECORD;
	if (feed->line_number < 0 || feed->nentities < 2)
		return true;
	if (!exact_odata_int64(record->values[feed->line_number], &line))
		return false;
	*kind = line == 0 ? EXACT_FEED_HEADER : EXACT_FEED_LINE;
	return record->problem_field == NULL ||
		strcmp(record->problem_field, feed->fields[feed->line_number]) != 0;
}

/* One record of a page: a row of the entities of its kind, or put aside. */
static void
add_record(ExactStagePage *p, ExactStageRows **rows, int i)
{
	const ExactFeed *feed = p->feed;
	const ExactRecord *record = &p->page->records[i];
	ExactFeedRowKind kind;

	check_division(p, record, feed->division, i + 1);
	if (!row_kind(feed, record, &kind))
	{
		put_aside(p, feed->entities[0].name, NULL, feed->fields[feed->line_number],
				  record->problem ? record->problem : "it has no LineNumber", record);
		return;
	}
	for (int e = 0; e < feed->nentities; e++)
	{
		const ExactFeedEntity *entity = &feed->entities[e];
		char	   *key;
		const char *field;
		const char *reason;

		if (entity->row_kind != kind || !p->enabled[e])
			continue;
		reason = check_record(p, entity, record, i + 1, &key, &field);
		if (reason == NULL)
		{
			add_row(rows[e], feed, entity, record, key);
			continue;
		}
		put_aside(p, entity->name, key, field, reason, record);
		exact_aside_seen(p->division, entity->name, &key, key != NULL ? 1 : 0, p->run);
	}
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
		add_record(p, rows, i);
	for (int e = 0; e < feed->nentities; e++)
		if (rows[e]->n > 0)
			exact_stage_rows(p, &feed->entities[e], rows[e]);
}

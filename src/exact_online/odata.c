/*
 * odata.c - an answer of Exact Online as slices of its own bytes.
 *
 * Uses PostgreSQL's own JSON parser without unescaping: a name is read from the raw text before its
 * value, so neither "\u0000" nor a lone surrogate in some description can make a page unreadable.
 * Called by the fetcher only.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <ctype.h>

#include "common/jsonapi.h"
#include "base/compat.h"
#include "base/json.h"
#include "exact_online/link.h"
#include "exact_online/odata.h"
#include "exact_online/odata_text.h"
#include "exact_online/odata_value.h"

#define MAX_DEPTH 32
#define MAX_RECORDS 100000
#define MAX_BODY (256 * 1024 * 1024)

typedef struct Reader
{
	JsonLexContext *lex;
	ExactPage  *page;
	int			capacity;
	int			depth;			/* open objects and arrays */
	int			record_depth;	/* depth inside a record, 0 before "d" was met */
	bool		in_d;
	bool		in_results;
	bool		in_record;
	bool		in_metadata;
	bool		seen_d;
	int			guess;			/* index of the next wanted field, if the server keeps its order */
	const char *value_start;	/* start of the field value being read, at record level */
	int			value_field;	/* wanted index of it, -1 none */
	const char *record_start;
	ExactSlice	next;
	const char *name;			/* last field name, raw */
	size_t		name_len;
	char	   *problem;
} Reader;

static bool
name_is(const Reader *r, const char *what)
{
	return r->name_len == strlen(what) && memcmp(r->name, what, r->name_len) == 0;
}

static int
find_field(Reader *r)
{
	ExactPage  *page = r->page;

	for (int i = 0; i < page->nfields; i++)
	{
		int			n = (r->guess + i) % page->nfields;

		if (name_is(r, page->fields[n]))
		{
			r->guess = n + 1;
			return n;
		}
	}
	return -1;
}

/* The record that is being read has a field twice: which of them counts, nobody knows. */
static void
spoil(Reader *r, const char *field)
{
	ExactRecord *record = &r->page->records[r->page->nrecords - 1];

	record->problem = psprintf("field %s appears twice in a record", field);
	record->problem_field = field;
}

static void
begin_record(Reader *r)
{
	ExactPage  *page = r->page;
	ExactRecord *record;

	if (page->nrecords == r->capacity)
	{
		if (r->capacity >= MAX_RECORDS)
		{
			r->problem = psprintf("more than %d records in one answer", MAX_RECORDS);
			return;
		}
		r->capacity *= 2;
		page->records = repalloc(page->records, r->capacity * sizeof(ExactRecord));
	}
	record = &page->records[page->nrecords++];
	memset(record, 0, sizeof(*record));
	record->values = palloc0(sizeof(ExactSlice) * Max(page->nfields, 1));
	r->in_record = true;
	r->record_depth = r->depth;
	r->record_start = r->lex->token_start;
	r->guess = 0;
}

static ExactJsonResult
object_start(void *state)
{
	Reader	   *r = state;

	r->depth++;
	if (r->problem == NULL && !r->in_record && r->in_d && r->page->is_list &&
		r->depth == (r->in_results ? 4 : 3))
		begin_record(r);
	EXACT_JSON_OK;
}

static ExactJsonResult
object_end(void *state)
{
	Reader	   *r = state;

	if (r->in_record && r->depth == r->record_depth)
	{
		ExactRecord *record = &r->page->records[r->page->nrecords - 1];

		record->text.start = r->record_start;
		record->text.len = r->lex->prev_token_terminator - r->record_start;
		r->in_record = false;
	}
	r->depth--;
	EXACT_JSON_OK;
}

static ExactJsonResult
array_start(void *state)
{
	((Reader *) state)->depth++;
	EXACT_JSON_OK;
}

static ExactJsonResult
array_end(void *state)
{
	((Reader *) state)->depth--;
	EXACT_JSON_OK;
}

/* {"d": the value decides the shape */
static void
begin_d(Reader *r)
{
	if (r->seen_d)
	{
		r->problem = pstrdup("\"d\" appears twice");
		return;
	}
	r->seen_d = true;
	r->in_d = true;
	if (*r->lex->token_start == '[')
		r->page->is_list = true;
	else if (*r->lex->token_start != '{')
		r->problem = pstrdup("\"d\" is neither a list nor an object");
}

static void
begin_next(Reader *r)
{
	if (r->next.start != NULL)
		r->problem = pstrdup("\"__next\" appears twice");
	r->next.start = r->lex->token_start;
}

/*
 * A name has been read and its value begins: "d" and "__next" around the records, wanted fields of
 * a record, the uri of its __metadata.
 */
static ExactJsonResult
field_start(void *state, char *fname pg_attribute_unused(), bool isnull pg_attribute_unused())
{
	Reader	   *r = state;

	if (r->problem != NULL || r->lex->token_start == NULL)	/* the text ends behind the colon */
		EXACT_JSON_OK;
	r->name = exact_json_raw_name(r->lex, &r->name_len);
	if (r->depth == 1)
	{
		if (name_is(r, "d"))
			begin_d(r);
		else
			r->in_d = false;
	}
	else if (r->in_d && !r->in_record && r->depth == 2 && !r->page->is_list)
	{
		if (name_is(r, "results") && *r->lex->token_start == '[')
		{
			r->page->is_list = true;
			r->in_results = true;
		}
		else if (name_is(r, "__next"))
			begin_next(r);
	}
	else if (r->in_d && !r->in_record && r->depth == 2 && r->in_results && name_is(r, "__next"))
		begin_next(r);
	else if (r->in_record && r->depth == r->record_depth)
	{
		r->value_field = -1;
		if (name_is(r, "__metadata"))
			r->in_metadata = true;
		else
		{
			r->value_field = find_field(r);
			r->value_start = r->lex->token_start;
		}
	}
	else if (r->in_metadata && r->depth == r->record_depth + 1 && name_is(r, "uri"))
	{
		ExactSlice *uri = &r->page->records[r->page->nrecords - 1].uri;

		/* the slice is of the first one: its length is known already */
		if (uri->start != NULL)
			spoil(r, "uri");
		else
			uri->start = r->lex->token_start;
	}
	EXACT_JSON_OK;
}

/* A value has ended: its slice is known now. */
static ExactJsonResult
field_end(void *state, char *fname pg_attribute_unused(), bool isnull pg_attribute_unused())
{
	Reader	   *r = state;
	const char *end = r->lex->prev_token_terminator;

	if (r->problem != NULL)
		EXACT_JSON_OK;
	if (r->in_record && r->depth == r->record_depth)
	{
		r->in_metadata = false;
		if (r->value_field >= 0)
		{
			ExactSlice *slice = &r->page->records[r->page->nrecords - 1].values[r->value_field];

			if (slice->start != NULL)
				spoil(r, r->page->fields[r->value_field]);
			slice->start = r->value_start;
			slice->len = end - r->value_start;
			r->value_field = -1;
		}
	}
	else if (r->in_metadata && r->depth == r->record_depth + 1)
	{
		ExactSlice *uri = &r->page->records[r->page->nrecords - 1].uri;

		if (uri->start != NULL && uri->len == 0)
			uri->len = end - uri->start;
	}
	else if (!r->in_record && r->depth == 2 && r->next.start != NULL && r->next.len == 0)
		r->next.len = end - r->next.start;
	else if (r->depth == 1)
		r->in_d = false;
	EXACT_JSON_OK;
}

/* A single entity: "d" itself is the record. */

static ExactJsonResult
single_object_start(void *state)
{
	Reader	   *r = state;

	r->depth++;
	if (r->problem == NULL && r->in_d && !r->in_record && r->depth == 2 && r->page->nrecords == 0)
		begin_record(r);
	EXACT_JSON_OK;
}

static JsonParseErrorType
run_parser(Reader *r, const char *body, size_t len, bool single)
{
	JsonSemAction sem;
	JsonParseErrorType result;

	memset(&sem, 0, sizeof(sem));
	sem.semstate = r;
	sem.object_start = single ? single_object_start : object_start;
	sem.object_end = object_end;
	sem.array_start = array_start;
	sem.array_end = array_end;
	sem.object_field_start = field_start;
	sem.object_field_end = field_end;

	r->value_field = -1;
	r->capacity = 64;
	r->page->nrecords = 0;
	r->page->records = palloc(r->capacity * sizeof(ExactRecord));
	r->lex = exact_json_lexer(body, len, false);
	result = pg_parse_json(r->lex, &sem);
	if (result != JSON_SUCCESS && r->problem == NULL)
		r->problem = psprintf("not valid JSON near byte %d of %zu",
							  (int) (r->lex->token_start ? r->lex->token_start - r->lex->input : 0),
							  len);
	return result;
}

/* Bytes that are no UTF-8 spoil the record that they stand in; elsewhere the page: false. */
static bool
spoil_records(ExactPage *page, const ExactOdataText *mended)
{
	int			found = 0;

	if (mended->nbad == 0)
		return true;
	for (int i = 0; i < page->nrecords; i++)
	{
		ExactRecord *record = &page->records[i];
		size_t		from = record->text.start - mended->start;

		while (found < mended->nbad && mended->bad[found] < from)
			return false;
		if (!exact_odata_text_bad(mended, record->text.start, record->text.len))
			continue;
		record->problem = pstrdup("a text of it is not valid UTF-8");
		record->problem_field = NULL;
		while (found < mended->nbad && mended->bad[found] < from + record->text.len)
			found++;
	}
	return found == mended->nbad;
}

/*
 * A list is read in one pass. Only when "d" is no list the text is read once more as a single
 * entity: that shows at its end.
 */
ExactPage *
exact_odata_parse_rows(const char *body, size_t len, const char *const *fields, int nfields,
					   char **problem)
{
	Reader		r;
	ExactPage  *page = palloc0(sizeof(ExactPage));
	ExactOdataText *mended = palloc(sizeof(ExactOdataText));

	*problem = NULL;
	if (len == 0 || len > MAX_BODY)
	{
		*problem = pstrdup(len == 0 ? "the answer is empty" : "the answer is too large");
		return NULL;
	}
	if (!exact_odata_text_mend(body, len, mended) || mended->len > MAX_BODY)
	{
		*problem = pstrdup("the answer is not valid UTF-8");
		return NULL;
	}
	/* before a parser that recurses */
	if (exact_json_too_deep(mended->start, mended->len, MAX_DEPTH))
	{
		*problem = psprintf("nested deeper than %d levels", MAX_DEPTH);
		return NULL;
	}
	page->fields = fields;
	page->nfields = nfields;
	page->text.start = mended->start;
	page->text.len = mended->len;

	memset(&r, 0, sizeof(r));
	r.page = page;
	run_parser(&r, mended->start, mended->len, false);
	if (r.problem == NULL && !r.seen_d)
		r.problem = pstrdup("the answer has no \"d\"");
	if (r.problem == NULL && !page->is_list)
	{
		memset(&r, 0, sizeof(r));
		r.page = page;
		run_parser(&r, mended->start, mended->len, true);
		page->is_list = false;
	}
	if (r.problem == NULL && !spoil_records(page, mended))
		r.problem = pstrdup("the answer is not valid UTF-8");
	if (r.problem != NULL)
	{
		*problem = r.problem;
		return NULL;
	}
	if (r.next.start != NULL && !exact_odata_is_null(r.next))
		page->next = exact_link_encode(exact_odata_string(r.next));
	return page;
}

ExactPage *
exact_odata_parse(const char *body, size_t len, const char *const *fields, int nfields,
				  char **problem)
{
	ExactPage  *page = exact_odata_parse_rows(body, len, fields, nfields, problem);

	for (int i = 0; page != NULL && i < page->nrecords; i++)
		if (page->records[i].problem != NULL)
		{
			*problem = page->records[i].problem;
			return NULL;
		}
	return page;
}

ExactPage *
exact_odata_expanded(ExactSlice value, const char *const *fields, int nfields, char **problem)
{
	char	   *body;
	ExactPage  *page;

	*problem = NULL;
	if (value.start == NULL)
	{
		*problem = pstrdup("its lines are missing");
		return NULL;
	}
	if (exact_odata_is_null(value))
		return palloc0(sizeof(ExactPage));
	/* the shapes of a collection are those of a list */
	body = palloc(value.len + 8);
	memcpy(body, "{\"d\":", 5);
	memcpy(body + 5, value.start, value.len);
	body[value.len + 5] = '}';
	page = exact_odata_parse_rows(body, value.len + 6, fields, nfields, problem);
	if (page != NULL && !page->is_list)
		page->nrecords = 0;		/* a link to them */
	return page;
}

/* The member goes with its name and one of the commas beside it. */
ExactSlice
exact_odata_without(const ExactRecord *record, ExactSlice value)
{
	const char *from = value.start;
	const char *to = value.start + value.len;
	const char *end = record->text.start + record->text.len;
	ExactSlice	out;
	char	   *rest;

	/* back over the colon and the name, whose last quote is escaped by nothing: it ends a token */
	while (*--from != ':')
		;
	while (*--from != '"')
		;
	while (*--from != '"')
		;
	while (to < end && isspace((unsigned char) *to))
		to++;
	if (to < end && *to == ',')
		to++;
	else
		while (from > record->text.start && *from != ',' && *from != '{')
			from--;				/* the last member: the comma before it goes */
	if (*from == '{')
		from++;
	out.len = (from - record->text.start) + (end - to);
	out.start = rest = palloc(out.len + 1);
	memcpy(rest, record->text.start, from - record->text.start);
	memcpy(rest + (from - record->text.start), to, end - to);
	rest[out.len] = '\0';
	return out;
}

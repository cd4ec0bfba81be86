/*
 * odata.h - an answer of Exact Online (OData verbose JSON) as slices of its own bytes.
 *
 * Pure reading: no SQL, no network. Nothing is decoded but what the caller asks for, so that a
 * record is staged as received and numbers are never printed again. Shapes: {"d":[...]},
 * {"d":{"results":[...],"__next":"..."}}, {"d":{...}}.
 */
#ifndef EXACT_ODATA_H
#define EXACT_ODATA_H

#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"

#endif

typedef struct ExactSlice
{
	const char *start;			/* NULL: the field is absent */
	size_t		len;
} ExactSlice;

typedef struct ExactRecord
{
	ExactSlice	text;			/* the whole object */
	ExactSlice	uri;			/* __metadata.uri, the raw string token */
	ExactSlice *values;			/* one for each wanted field: the raw value token */
	char	   *problem;		/* why it cannot be used: a sentence; NULL: it can */
	const char *problem_field;	/* of which field; NULL: not of one */
} ExactRecord;

typedef struct ExactPage
{
	int			nfields;
	const char *const *fields;
	ExactRecord *records;
	int			nrecords;
	bool		is_list;		/* false: a single entity */
	char	   *next;			/* decoded __next, or NULL */
	ExactSlice	text;			/* what the slices are of: the answer, or a mended copy of it */
} ExactPage;

/*
 * Reads body with the wanted fields (names as Exact spells them). On success returns the page,
 * palloc'd, with slices into body or a mended copy (odata_text.h); on malformed input (not JSON,
 * cut off, not UTF-8, no "d", deeper than 32, a wanted field twice) returns NULL and a palloc'd
 * sentence in *problem.
 */
extern ExactPage *exact_odata_parse(const char *body, size_t len, const char *const *fields,
									int nfields, char **problem);

/*
 * Likewise, but what is wrong with one record only (a wanted field twice, a text that is no UTF-8)
 * is said in that record, and the others are good.
 */
extern ExactPage *exact_odata_parse_rows(const char *body, size_t len, const char *const *fields,
										 int nfields, char **problem);

/*
 * The records of an expanded collection, a value of a record that was read; NULL and *problem
 * likewise. They are all of them only when the page is a list (else null or deferred) and has no
 * next one.
 */
extern ExactPage *exact_odata_expanded(ExactSlice value, const char *const *fields, int nfields,
									   char **problem);
/* The text of a record without the member whose value this is (palloc'd). */
extern ExactSlice exact_odata_without(const ExactRecord *record, ExactSlice value);

#endif

/*
 * odata_text.h - the bytes of an answer, made fit for a parser that takes JSON by the letter.
 */
#ifndef EXACT_ODATA_TEXT_H
#define EXACT_ODATA_TEXT_H

#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#define EXACT_ODATA_BAD_BYTES 1000	/* in one answer: more, and it is in another encoding */

/* An answer, without the byte order mark before it; a copy when something had to be mended */
typedef struct ExactOdataText
{
	const char *start;
	size_t		len;
	int			nbad;			/* bytes that are no UTF-8, each written as U+FFFD */
	size_t		bad[EXACT_ODATA_BAD_BYTES];	/* where these stand, rising */
} ExactOdataText;

/*
 * Passes over a byte order mark; writes raw control characters of strings as escapes, which means
 * the same; replaces bytes that are no UTF-8. False when there are too many of the latter.
 */
extern bool exact_odata_text_mend(const char *body, size_t len, ExactOdataText *mended);

/* Has a part of the text such bytes? */
extern bool exact_odata_text_bad(const ExactOdataText *mended, const char *start, size_t len);

#endif

/*
 * words.h - the border for texts of a service: error texts, headers, what a library says of them.
 */
#ifndef EXACT_WORDS_H
#define EXACT_WORDS_H

#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#define EXACT_WORDS_REPLACEMENT "\xEF\xBF\xBD"	/* U+FFFD: what was no text */

/* Bytes of the character of UTF-8 that begins here, before the end; 0: none, or a NUL */
extern int	exact_words_character(const char *text, const char *end);

/*
 * One line of UTF-8 that may be shown, logged and stored: bytes that are no UTF-8 become U+FFFD;
 * control characters (C0, DEL, C1), separators of lines and what turns the direction of writing
 * become blanks; several blanks become one; what is longer than `most` bytes is cut at a whole
 * character and ends in "...". palloc'd; NULL when nothing is left.
 */
extern char *exact_words_tidy(const char *text, int most);

/* Likewise, as the end of a sentence of ours: without its full stop. */
extern char *exact_words_clause(const char *text, int most);

/*
 * The second fence, for what goes into a table: the text itself when it is UTF-8 without a NUL,
 * else a palloc'd copy, NUL-terminated, with U+FFFD for each byte that is not; *len: its bytes. At
 * most 1 GB.
 */
extern const char *exact_words_valid(const char *text, size_t *len);

#endif

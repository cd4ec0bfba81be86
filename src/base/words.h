/*
 * words.h - texts of a service made fit for people: error texts, log lines, views.
 */
#ifndef EXACT_WORDS_H
#define EXACT_WORDS_H

#include "postgres.h"

/*
 * One line: control characters become blanks, several blanks become one, what is longer than `most`
 * bytes is cut at a whole character and ends in "...". palloc'd; NULL when nothing is left.
 */
extern char *exact_words_tidy(const char *text, int most);

/* Likewise, as the end of a sentence of ours: without its full stop. */
extern char *exact_words_clause(const char *text, int most);

#endif

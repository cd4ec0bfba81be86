/*
 * sql_text.h - for test programs of SQL texts: expect() compares one, or writes it instead when the
 * program was called with the argument "print", one a line of dashes apart.
 *
 * To be included behind lib/stringinfo.h.
 */
#ifndef EXACT_UNIT_SQL_TEXT_H
#define EXACT_UNIT_SQL_TEXT_H

#include <stdio.h>
#include <string.h>

static int	failures;
static bool print;

static void
expect(const char *what, StringInfo got, const char *expected)
{
	if (print)
		printf("%s\n-----\n", got->data);
	else if (strcmp(got->data, expected) != 0)
	{
		printf("FAILED %s\n--- got\n%s\n--- expected\n%s\n", what, got->data, expected);
		failures++;
	}
	resetStringInfo(got);
}

#endif

/*
 * words_test.c - texts of a service made fit for people.
 */
#include "backend.h"

#include "base/words.c"

#include "check.h"

static bool
tidy_is(const char *text, int most, const char *expected)
{
	char	   *out = exact_words_tidy(text, most);

	return expected ? out != NULL && strcmp(out, expected) == 0 : out == NULL;
}

static bool
clause_is(const char *text, int most, const char *expected)
{
	char	   *out = exact_words_clause(text, most);

	return expected ? out != NULL && strcmp(out, expected) == 0 : out == NULL;
}

int
main(void)
{
	CHECK(tidy_is(NULL, 10, NULL));
	CHECK(tidy_is("", 10, NULL));
	CHECK(tidy_is(" \r\n\t ", 10, NULL));
	CHECK(tidy_is("\n [X] one\r\n\ttwo \177 three ", 40, "[X] one two three"));
	CHECK(tidy_is("1234567890", 10, "1234567890"));
	CHECK(tidy_is("12345678901", 10, "1234567890..."));
	CHECK(tidy_is("123456789 ", 10, "123456789"));
	/*
	 * a character that begins before the limit is whole: é is two bytes, the euro sign three, a
	 * face four
	 */
	CHECK(tidy_is("123456789\xc3\xa9", 10, "123456789\xc3\xa9"));
	CHECK(tidy_is("123456789\xe2\x82\xac.", 10, "123456789\xe2\x82\xac..."));
	CHECK(tidy_is("123456789\xf0\x9f\x98\x80", 10, "123456789\xf0\x9f\x98\x80"));
	CHECK(tidy_is("1234567890\xc3\xa9", 10, "1234567890..."));
	/* bytes that are no characters do not run over the end */
	CHECK(tidy_is("1234567890\x80\x80\x80\x80\x80\x80", 10, "1234567890\x80\x80\x80..."));

	CHECK(clause_is("Access denied. ", 40, "Access denied"));
	CHECK(clause_is("...", 40, "..."));
	CHECK(clause_is(". .", 40, NULL));
	CHECK(clause_is("12345678901.", 10, "1234567890..."));
	return checks_done();
}

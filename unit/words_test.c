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

static bool
valid_is(const char *text, size_t len, const char *expected, size_t expected_len)
{
	const char *out = exact_words_valid(text, &len);

	return len == expected_len && memcmp(out, expected, len) == 0;
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
	/* bytes that are no characters: each is U+FFFD, also where the text ends within a character */
	CHECK(tidy_is("1234567890\x80\x80\x80\x80\x80\x80", 10, "1234567890..."));
	CHECK(tidy_is("f\xfcr", 40, "f\xef\xbf\xbdr"));
	CHECK(tidy_is("a\xe2\x82", 40, "a\xef\xbf\xbd\xef\xbf\xbd"));
	CHECK(tidy_is("\xf0", 40, "\xef\xbf\xbd"));
	CHECK(tidy_is("\xc0\x80\xed\xa0\x80", 3, "\xef\xbf\xbd..."));
	CHECK(tidy_is("\xff\xff\xff\xff", 10, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"));
	CHECK(tidy_is("\xff\xff\xff\xff", 9, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd..."));
	/* C1, separators of lines, what turns the direction of writing; their neighbours stay */
	CHECK(tidy_is("a\xc2\x80" "b\xc2\x9b" "c\xc2\x9f" "d\xc2\xa0" "e", 40, "a b c d\xc2\xa0" "e"));
	CHECK(tidy_is("a\xe2\x80\xa7" "b\xe2\x80\xa8" "c\xe2\x80\xa9" "d\xe2\x80\xaa" "e\xe2\x80\xae"
				  "f\xe2\x80\xaf" "g", 60, "a\xe2\x80\xa7" "b c d e f\xe2\x80\xaf" "g"));
	CHECK(tidy_is("a\xe2\x81\xa5" "b\xe2\x81\xa6" "c\xe2\x81\xa9" "d\xe2\x81\xaa" "e", 60,
				  "a\xe2\x81\xa5" "b c d\xe2\x81\xaa" "e"));
	CHECK(tidy_is("\033[31mred\x07", 40, "[31mred"));

	CHECK(clause_is("Access denied. ", 40, "Access denied"));
	CHECK(clause_is("...", 40, "..."));
	CHECK(clause_is(". .", 40, NULL));
	CHECK(clause_is("12345678901.", 10, "1234567890..."));

	CHECK(valid_is("", 0, "", 0));
	CHECK(valid_is("a\xc3\xbc\n\x1b", 5, "a\xc3\xbc\n\x1b", 5));
	CHECK(valid_is("a\0b", 3, "a\xef\xbf\xbd" "b", 5));
	CHECK(valid_is("\xfc\xfc", 2, "\xef\xbf\xbd\xef\xbf\xbd", 6));
	CHECK(valid_is("f\xfcr \xe2\x82\xac \xe2\x82", 10,
				   "f\xef\xbf\xbdr \xe2\x82\xac \xef\xbf\xbd\xef\xbf\xbd", 16));
	return checks_done();
}

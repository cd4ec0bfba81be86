/*
 * odata_test.c - odata.c alone, with the parser of PostgreSQL's client library.
 */
#include "frontend.h"

#include "base/json.c"
#include "base/words.c"
#include "exact_online/link.c"
#include "exact_online/odata.c"
#include "exact_online/odata_text.c"
#include "exact_online/odata_value.c"

#include "check.h"

static const char *const wanted[] = {"ID", "Code", "Timestamp", "Division", "Amount"};
static char *problem;

static ExactPage *
parse(const char *body)
{
	return exact_odata_parse(body, strlen(body), wanted, lengthof(wanted), &problem);
}

static bool
refuses(const char *body, const char *because)
{
	return parse(body) == NULL && problem != NULL && strstr(problem, because) != NULL;
}

static bool
slice_is(ExactSlice slice, const char *expected)
{
	return slice.start != NULL && slice.len == strlen(expected) &&
		memcmp(slice.start, expected, slice.len) == 0;
}

static const char *
decoded(const char *token)
{
	ExactSlice	slice = {token, strlen(token)};

	return exact_odata_string(slice);
}

static void
test_shapes(void)
{
	ExactPage  *page;

	page = parse("{\"d\":[{\"ID\":\"a\",\"Code\":\"1\"},{\"ID\":\"b\"}]}");
	CHECK(page != NULL && page->is_list && page->nrecords == 2 && page->next == NULL);
	CHECK(page && slice_is(page->records[0].text, "{\"ID\":\"a\",\"Code\":\"1\"}"));
	CHECK(page && slice_is(page->records[1].values[0], "\"b\"") &&
		  page->records[1].values[1].start == NULL);

	page = parse("{\"d\" : {\"results\" :\n[ {\"ID\" : \"a\" , \"Amount\" : 1.10 } ] , "
				 "\"__next\":\"https:\\/\\/host\\/x?a=b\"}}");
	CHECK(page != NULL && page->is_list && page->nrecords == 1 && page->next &&
		  strcmp(page->next, "https://host/x?a=b") == 0);
	CHECK(page && slice_is(page->records[0].values[4], "1.10") && slice_is(page->records[0].text,
			"{\"ID\" : \"a\" , \"Amount\" : 1.10 }"));

	page = parse("{\"d\":{\"__next\":\"n\",\"results\":[]}}");
	CHECK(page != NULL && page->is_list && page->nrecords == 0 && page->next &&
		  strcmp(page->next, "n") == 0);
	page = parse("{\"d\":{\"results\":[],\"__next\":null}}");
	CHECK(page != NULL && page->next == NULL);
	page = parse("{\"d\":[]}");
	CHECK(page != NULL && page->is_list && page->nrecords == 0);

	page = parse("{\"d\":{\"ID\":\"x\",\"Lines\":{\"results\":[{\"ID\":\"inner\"}]}}}");
	CHECK(page != NULL && !page->is_list && page->nrecords == 1 &&
		  slice_is(page->records[0].values[0], "\"x\""));
}

static void
test_records(void)
{
	ExactPage  *page;
	int64		n;

	/* nested objects and collections never leak into the record's own fields */
	page =
	parse(
		"{\"d\":{\"results\":[{\"__metadata\":{\"uri\":\"https://h/api/v1/101001/crm/"
		"Accounts(guid'1')\",\"type\":\"T\"},"
		  "\"ID\":\"k\",\"Lines\":{\"__deferred\":{\"uri\":\"https://h/api/v1/9/x\"}},"
		  "\"Deep\":[{\"ID\":\"no\",\"Amount\":5}],\"Timestamp\":\"128\",\"Division\":101001}]}}");
	CHECK(page != NULL && page->nrecords == 1);
	CHECK(page && slice_is(page->records[0].values[0], "\"k\"") &&
		  page->records[0].values[4].start == NULL);
	CHECK(page && exact_odata_int64(page->records[0].values[2], &n) && n == 128);
	CHECK(page && exact_odata_division(&page->records[0], page->records[0].values[3],
									   101001) == 101001);

	page =
		parse(
			"{\"d\":[{\"__metadata\":{\"uri\":\"https://h/api/v1/202002/crm/Accounts(guid'1')\"},"
			"\"ID\":\"k\",\"Division\":101001}]}");
	CHECK(page && exact_odata_division(&page->records[0], page->records[0].values[3],
									   101001) == 202002);
	page = parse("{\"d\":[{\"__metadata\":{\"uri\":\"https://h/api/v1/101001/x\"},\"ID\":\"k\"}]}");
	CHECK(page && exact_odata_division(&page->records[0], page->records[0].values[3],
									   101001) == 101001);
	page = parse("{\"d\":[{\"ID\":\"k\"}]}");
	CHECK(page && exact_odata_division(&page->records[0], page->records[0].values[3],
									   101001) == -1);

	/* what no text can hold does not make a page unreadable, and the record stays as received */
	page = parse("{\"d\":[{\"ID\":\"a\\u0000b\\ud83d\",\"Code\":\"\\\"},{\\\"ID\\\":\\\"\"}]}");
	CHECK(page != NULL && page->nrecords == 1 && slice_is(page->records[0].values[0],
														  "\"a\\u0000b\\ud83d\""));
	CHECK(page && strcmp(exact_odata_string(page->records[0].values[1]), "\"},{\"ID\":\"") == 0);
}

/* What stands deeper is no part of the page and of its records. */
static void
test_deeper(void)
{
	ExactPage  *page;

	page = parse("{\"d\":{\"results\":[{\"ID\":\"a\",\"__next\":\"https://evil/\"}]}}");
	CHECK(page != NULL && page->next == NULL);
	page = parse("{\"d\":{\"results\":[{\"ID\":\"a\",\"Lines\":{\"results\":[],"
				 "\"__next\":\"https://evil/\"}}]}}");
	CHECK(page != NULL && page->next == NULL);
	page = parse("{\"d\":[{\"ID\":\"a\"}],\"__next\":\"https://evil/\"}");
	CHECK(page != NULL && page->next == NULL);

	page = parse("{\"d\":[{\"__metadata\":{\"uri\":\"own\"},\"Account\":{\"uri\":\"other\"},"
				 "\"ID\":\"a\"}]}");
	CHECK(page != NULL && page->records[0].problem == NULL &&
		  slice_is(page->records[0].uri, "\"own\""));
}

/* The division of a record: what contradicts, and what is none */
static void
test_divisions(void)
{
	static const struct
	{
		const char *uri;
		const char *field;
		int64		found;		/* for 101001 */
	}			cases[] = {
		{"h/api/v1/101001/x", "101001", 101001}, {"h/api/v1/101001/x", "0", 0},
		{"h/api/v1/7/x", "101001", 7}, {"h/api/v1/beta/7", "101001", 7},
		{"h/x", "101001", 101001}, {"h/x", "\"101001x\"", -1}, {"h/x", "\"7x\"", -1},
		{"h/x", "null", -1}, {"h/api/v1/101001/x", "null", 101001},
	};

	for (int i = 0; i < (int) lengthof(cases); i++)
	{
		ExactPage  *page = parse(psprintf("{\"d\":[{\"__metadata\":{\"uri\":\"%s\"},"
										  "\"Division\":%s}]}", cases[i].uri, cases[i].field));

		CHECK(page != NULL && exact_odata_division(&page->records[0], page->records[0].values[3],
												   101001) == cases[i].found);
	}
}

/* Numbers that are the same have the same text, others another. */
static void
test_same_numbers(void)
{
	static const char *const same[] = {
		"1 1.0 10E-1 0.1e1 1e0 1e+0 1.00E-0 100e-2", "0 0.0 -0 0e5 -0.00", "-1.50 -1.5 -15e-1",
		"100000 1e5 1E+5 0.1e6 100000.0", "0.10 0.1 1E-1 1e-01", "1.05 105e-2", "90 9e1 9E01",
		"\"1\"", "\"1.0\"", "1e9999999999", "1e99999999999", "1e5x", "1.05e", "12"};
	StringInfoData texts[lengthof(same)];

	for (int i = 0; i < (int) lengthof(same); i++)
	{
		initStringInfo(&texts[i]);
		for (const char *p = same[i]; *p != '\0';)
		{
			ExactSlice	value = {p, strcspn(p, " ")};
			StringInfoData one;

			initStringInfo(&one);
			exact_odata_append_value(&one, value);
			if (p == same[i])
				appendStringInfoString(&texts[i], one.data);
			if (strcmp(one.data, texts[i].data) != 0)
				fprintf(stderr, "%s of %s\n", one.data, same[i]);
			CHECK(strcmp(one.data, texts[i].data) == 0);
			p += value.len;
			p += strspn(p, " ");
		}
		for (int k = 0; k < i; k++)
		{
			if (strcmp(texts[i].data, texts[k].data) == 0)
				fprintf(stderr, "%s and %s\n", same[i], same[k]);
			CHECK(strcmp(texts[i].data, texts[k].data) != 0);
		}
	}
}

static void
test_bad(void)
{
	static const char two_uris[] =
	"{\"d\":[{\"__metadata\":{\"uri\":\"a long one\",\"uri\":\"u\"},\"ID\":\"a\"}]}";
	ExactPage  *page;
	char		deep[200] = "{\"d\":";
	static char many_bad[EXACT_ODATA_BAD_BYTES + 100];

	CHECK(refuses("", "empty"));
	CHECK(refuses("<html>", "not valid JSON"));
	CHECK(refuses("{\"d\":[{\"ID\":\"a\"}", "not valid JSON"));
	CHECK(refuses("{\"d\":[{\"ID\":\"a\"", "not valid JSON"));
	CHECK(refuses("{\"d\":[]} x", "not valid JSON"));
	CHECK(refuses("{\"error\":{}}", "no \"d\""));
	CHECK(refuses("[]", "no \"d\""));
	CHECK(refuses("{\"d\":5}", "neither a list nor an object"));
	CHECK(refuses("{\"d\":[],\"d\":[]}", "twice"));
	CHECK(refuses("{\"d\":[{\"ID\":\"a\",\"ID\":\"b\"}]}", "twice"));
	CHECK(refuses("{\"d\":{\"results\":[],\"__next\":\"a long one\",\"__next\":\"b\"}}", "twice"));
	CHECK(refuses("{\"d\":{\"__next\":\"a long one\",\"results\":[],\"__next\":\"b\"}}", "twice"));
	CHECK(refuses("{\"d\":[{\"__metadata\":{\"uri\":\"a long one\",\"uri\":\"u\"}}]}", "twice"));
	page = exact_odata_parse_rows(two_uris, strlen(two_uris), wanted, lengthof(wanted), &problem);
	CHECK(page != NULL && page->records[0].problem != NULL &&
		  slice_is(page->records[0].uri, "\"a long one\""));
	CHECK(refuses("{\"d\":[{\"__metadata\":{\"uri\":\"a long "
				  "one\"},\"__metadata\":{\"uri\":\"u\"}}]}", "twice"));
	CHECK(refuses("{\"d\":[{\"ID\":\"\xff\"}]}", "UTF-8"));
	memset(many_bad, '\xff', sizeof(many_bad));
	memcpy(many_bad, "{\"d\":[{\"ID\":\"", 14);
	memcpy(many_bad + sizeof(many_bad) - 5, "\"}]}", 5);
	CHECK(exact_odata_parse_rows(many_bad, sizeof(many_bad) - 1, wanted, lengthof(wanted),
								 &problem) == NULL && strstr(problem, "UTF-8") != NULL);
	memset(deep + 5, '[', 60);
	CHECK(refuses(deep, "nested deeper"));
	CHECK(parse("{\"d\":[{\"ID\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}]}") != NULL);
}

static void
test_values(void)
{
	ExactSlice	s = {"\"9223372036854775807\"", 21};
	int64		n;

	CHECK(exact_odata_int64(s, &n) && n == PG_INT64_MAX);
	s.start = "9223372036854775808";
	s.len = 19;
	CHECK(!exact_odata_int64(s, &n));
	s.start = "\"\"";
	s.len = 2;
	CHECK(!exact_odata_int64(s, &n));
	s.start = "\" 5\"";
	s.len = 4;
	CHECK(!exact_odata_int64(s, &n));
	s.start = "\"+5\"";
	CHECK(!exact_odata_int64(s, &n));
	s.start = "\"-5\"";
	CHECK(exact_odata_int64(s, &n) && n == -5);
	s.start = "1.5";
	s.len = 3;
	CHECK(!exact_odata_int64(s, &n));
	s.start = "null";
	s.len = 4;
	CHECK(exact_odata_is_null(s) && exact_odata_string(s) == NULL && !exact_odata_int64(s, &n));

	CHECK(strcmp(decoded("\"a\\\\b\\/c\\n\\u00e9\\ud83d\\ude00\""),
				 "a\\b/c\n\xc3\xa9\xf0\x9f\x98\x80") == 0);
	CHECK(strcmp(decoded("\"\\u0000\""), "\xef\xbf\xbd") == 0);
	CHECK(strcmp(decoded("\"\\ud83dx\""), "\xef\xbf\xbdx") == 0);
	CHECK(strcmp(decoded("\"\\u0041\\udc00\""), "A\xef\xbf\xbd") == 0);
	CHECK(strcmp(decoded("\"\\ud83d\\u0041\""), "\xef\xbf\xbd" "A") == 0);
	CHECK(strcmp(decoded("\"\\ue000\\udc00\""), "\xee\x80\x80\xef\xbf\xbd") == 0);
	CHECK(strcmp(decoded("\"\\ud83d\\ue000\""), "\xef\xbf\xbd\xee\x80\x80") == 0);
	CHECK(strcmp(decoded("12.5"), "12.5") == 0);

#define URL_DIVISION(url) exact_odata_url_division(url, strlen(url))
	CHECK(URL_DIVISION("https://start.exactonline.nl/api/v1/101001/crm/Accounts") == 101001);
	CHECK(URL_DIVISION("https://start.exactonline.nl/API/V1/beta/7/x") == 7);
	CHECK(URL_DIVISION("https://start.exactonline.nl/api/v1/beta/7") == 7);
	CHECK(URL_DIVISION("https://start.exactonline.nl/api/v1/current/Me") == -1);
	CHECK(URL_DIVISION("https://start.exactonline.nl/api/v1/12a/x") == -1);
	CHECK(URL_DIVISION("") == -1);
}

/* An answer that was cut off anywhere is refused, whatever its shape. */
static void
test_count(void)
{
	static const char *const bad[] = {
		"", " ", "\xEF\xBB\xBF", "-1", "+1", "1.0", "1 2", "1,5", "0x10", "\"12\"", "null", "12<",
		"{\"d\":12}", "9223372036854775808", "1000000000001"
	};
	static const struct
	{
		const char *text;
		int64		n;
	}			good[] = {
		{"0", 0}, {"117", 117}, {"\xEF\xBB\xBF" "60", 60}, {" 1000\r\n", 1000},
		{"1000000000000", EXACT_ODATA_COUNT_MAX}
	};
	int64		n;

	for (size_t i = 0; i < lengthof(bad); i++)
		CHECK(!exact_odata_count(bad[i], strlen(bad[i]), &n));
	for (size_t i = 0; i < lengthof(good); i++)
		CHECK(exact_odata_count(good[i].text, strlen(good[i].text), &n) && n == good[i].n);
	CHECK(exact_odata_count("123", 2, &n) && n == 12);
}

static void
test_cut_off(void)
{
	static const char *const bodies[] = {
		"{\"d\":{\"results\":[{\"__metadata\":{\"uri\":\"u\"},\"ID\":\"a\",\"Code\":null},"
		"{\"ID\":\"b\"}],\"__next\":\"n\"}}",
		"{ \"d\" : [ {\"ID\":\"a\", \"Lines\":{\"results\":[{\"ID\":1}]}} ] }",
		"{\"d\":{\"ID\":\"a\",\"__metadata\":{\"uri\":\"u\"}}}",
	};

	for (int i = 0; i < (int) lengthof(bodies); i++)
	{
		CHECK(parse(bodies[i]) != NULL);
		for (size_t n = 0; n < strlen(bodies[i]); n++)
			CHECK(exact_odata_parse(bodies[i], n, wanted, lengthof(wanted), &problem) == NULL &&
				  problem != NULL);
	}
}

/* What spoils one record leaves the others; what JSON forbids and loses nothing is read. */
static void
test_rows(void)
{
	static const struct
	{
		const char *body;
		int			spoiled;	/* which record, -1 none */
	}			cases[] = {
		{"{\"d\":[{\"ID\":\"a\"},{\"ID\":\"b\",\"ID\":\"c\"},{\"ID\":\"d\"}]}", 1},
		{"{\"d\":[{\"ID\":\"a\",\"Code\":\"M\xfcller\"},{\"ID\":\"b\"},{\"ID\":\"c\"}]}", 0},
		{"{\"d\":[{\"ID\":\"a\"},{\"ID\":\"b\"},{\"ID\":\"c\",\"x\":\"\xed\xa0\x80\"}]}", 2},
		{"\xef\xbb\xbf{\"d\":[{\"ID\":\"a\"},{\"ID\":\"b\"},{\"ID\":\"c\"}]}", -1},
		{"{\"d\":[{\"ID\":\"a\tb\"},{\"ID\":\"\v\\\\\"},{\"ID\":\"c\"}]}", -1},
		{"{\"d\":[{\"ID\":\"a\\\\\"},\n{\"ID\":\"\\\"\tb\"},{\"ID\":\"\\\\\\\"\t\"}\t]}", -1},
		{"{\"d\":[{\"ID\":\"a\\ud800\"},{\"ID\":\"b\"},\r\n\t{\"ID\":\"c\"}]}", -1},
	};

	for (int i = 0; i < (int) lengthof(cases); i++)
	{
		ExactPage  *page = exact_odata_parse_rows(cases[i].body, strlen(cases[i].body), wanted,
												  lengthof(wanted), &problem);

		CHECK(page != NULL && page->nrecords == 3);
		for (int n = 0; page != NULL && n < page->nrecords; n++)
			CHECK((page->records[n].problem != NULL) == (n == cases[i].spoiled));
		CHECK((parse(cases[i].body) == NULL) == (cases[i].spoiled >= 0));
	}
	CHECK(slice_is(parse("{\"d\":[{\"ID\":\"a\tb\"}]}")->records[0].values[0], "\"a\\u0009b\""));
	/* outside the records it is the page that is spoiled */
	CHECK(exact_odata_parse_rows("{\"d\":[{\"ID\":\"a\"}],\"x\":\"\xff\"}", 25, wanted,
								 lengthof(wanted), &problem) == NULL);
}

/* A document's lines, and its text without them */
static void
test_expanded(void)
{
	static const char *const header[] = {"EntryID", "Lines"};
	static const char *const line[] = {"ID", "Amount"};
	static const struct
	{
		const char *record;
		int			lines;		/* -1: refused */
		const char *without;
		bool		part;		/* not all of them */
	}			cases[] = {
		{"{\"EntryID\":\"e\",\"Lines\":{\"results\":[{\"ID\":1},{\"ID\":2}]},\"Z\":1}", 2,
			"{\"EntryID\":\"e\",\"Z\":1}"},
		{"{\"Lines\":[{\"ID\":1}],\"EntryID\":\"e\"}", 1, "{\"EntryID\":\"e\"}"},
		{"{\"EntryID\":\"e\" , \"Lines\" : {\"results\":[]} }", 0, "{\"EntryID\":\"e\" }"},
		{"{\"Lines\":{\"results\":[]}}", 0, "{}"},
		{"{ \"Lines\":[] , \"EntryID\":\"Lines\"}", 0, "{  \"EntryID\":\"Lines\"}"},
		{"{\"EntryID\":\"\\\"Lines\\\":\",\"Lines\":[{\"ID\":\"]}\"}]}", 1,
			"{\"EntryID\":\"\\\"Lines\\\":\"}"},
		{"{\"EntryID\":\"e\",\"Lines\":{\"__deferred\":{\"uri\":\"u\"}}}", 0,
			"{\"EntryID\":\"e\"}", true},
		{"{\"EntryID\":\"e\",\"Lines\":null}", 0, "{\"EntryID\":\"e\"}", true},
		{"{\"EntryID\":\"e\",\"Lines\":{\"results\":[{\"ID\":1}],\"__next\":\"n\"}}", 1,
			"{\"EntryID\":\"e\"}", true},
		{"{\"EntryID\":\"e\",\"Lines\":\"none\"}", -1, NULL},
		{"{\"EntryID\":\"e\"}", -1, NULL},
	};

	for (int i = 0; i < (int) lengthof(cases); i++)
	{
		char	   *body = psprintf("{\"d\":{\"results\":[%s]}}", cases[i].record);
		ExactPage  *page = exact_odata_parse(body, strlen(body), header,
											 lengthof(header), &problem);
		ExactPage  *lines;

		CHECK(page != NULL && page->nrecords == 1);
		problem = NULL;
		lines = exact_odata_expanded(page->records[0].values[1], line, lengthof(line), &problem);
		CHECK(cases[i].lines < 0 ? lines == NULL && problem != NULL : lines != NULL &&
			  problem == NULL && lines->nrecords == cases[i].lines);
		CHECK(lines == NULL || cases[i].part == (!lines->is_list || lines->next != NULL));
		if (cases[i].without != NULL)
			CHECK(slice_is(exact_odata_without(&page->records[0], page->records[0].values[1]),
						   cases[i].without));
	}
}

int
main(void)
{
	test_expanded();
	test_shapes();
	test_cut_off();
	test_records();
	test_deeper();
	test_divisions();
	test_same_numbers();
	test_bad();
	test_rows();
	test_values();
	test_count();
	return checks_done();
}

/*
 * json_test.c - json.c alone, with the parser of PostgreSQL's client library.
 */
#include "frontend.h"

#include "base/json.c"

#include "check.h"

static bool
reads(const char *body)
{
	ExactJson	json;

	return exact_json_read(body, strlen(body), &json);
}

static const char *
at(const char *body, const char *path)
{
	ExactJsonMember m;
	const char *found;

	if (!exact_json_find(body, strlen(body), path, &m))
		return "(absent)";
	found = exact_json_text(&m);
	return found ? found : "(null)";
}

static bool
number(const char *body, int64 expected)
{
	ExactJsonMember m;
	int64		value;

	return exact_json_find(body, strlen(body), "0", &m) && exact_json_int64(&m, &value) &&
		value == expected;
}

static bool
not_number(const char *body)
{
	ExactJsonMember m;
	int64		value;

	return exact_json_find(body, strlen(body), "0", &m) && !exact_json_int64(&m, &value);
}

static void
test_token_answers(void)
{
	static const char body[] = "{\"access_token\":\"a!+/=\\\\x\",\"token_type\":\"bearer\",\n "
		"\"expires_in\" : \"600\" ,\"refresh_token\":null}";
	ExactJson	json;
	int64		n = 0;
	char		buffer[64];
	size_t		len = 0;

	CHECK(exact_json_read(body, strlen(body), &json));
	CHECK(json.kind == EXACT_JSON_OBJECT && json.n == 4);
	CHECK(strcmp(json.members[2].key, "expires_in") == 0);
	CHECK(exact_json_int64(exact_json_member(&json, "expires_in"), &n) && n == 600);
	CHECK(exact_json_member(&json, "refresh_token")->kind == EXACT_JSON_NULL);
	CHECK(exact_json_text(exact_json_member(&json, "refresh_token")) == NULL);
	CHECK(exact_json_member(&json, "scope") == NULL);
	CHECK(exact_json_text(NULL) == NULL && !exact_json_int64(NULL, &n));
	CHECK(exact_json_decode(exact_json_member(&json, "access_token"), buffer, &len));
	CHECK(len == 7 && strcmp(buffer, "a!+/=\\x") == 0);
	CHECK(!exact_json_decode(exact_json_member(&json, "refresh_token"), buffer, &len));
	CHECK(!exact_json_decode(NULL, buffer, &len));
	CHECK(strcmp(at("{\"token_endpoint\":\"https:\\/\\/h\\/oidc\\/v1\\/token\"}", "token_endpoint"),
				 "https://h/oidc/v1/token") == 0);
}

static void
test_paths(void)
{
	static const char body[] =
		" {\"status\":{\"state\":\"FAILED\",\"error\":{\"message\":\"[X] \\u00e9 \\\"q\\\"\"}},"
		"\"result\":{\"data_array\":[[\"1\",null],[\"2\",\"b\"]],\"row_count\":2},\"ok\":true,"
		"\"n\":-1.50e3}";

	CHECK(strcmp(at(body, "status.state"), "FAILED") == 0);
	CHECK(strcmp(at(body, "status.error.message"), "[X] \xc3\xa9 \"q\"") == 0);
	CHECK(strcmp(at(body, "result.data_array.1.1"), "b") == 0);
	CHECK(strcmp(at(body, "result.data_array.0.1"), "(null)") == 0);
	CHECK(strcmp(at(body, "result.data_array.2"), "(absent)") == 0);
	CHECK(strcmp(at(body, "result.data_array.-1"), "(absent)") == 0);
	CHECK(strcmp(at(body, "result.data_array.x"), "(absent)") == 0);
	CHECK(strcmp(at(body, "status.state.more"), "(absent)") == 0);
	CHECK(strcmp(at(body, "result.data_array.1"), "[\"2\",\"b\"]") == 0);
	CHECK(strcmp(at(body, "ok"), "true") == 0);
	CHECK(strcmp(at(body, "n"), "-1.50e3") == 0);
	CHECK(strcmp(at(body, "Status.state"), "(absent)") == 0);
}

static void
test_malformed(void)
{
	char		deep[300];
	static const char nul[] = "{\"a\":\"x\0y\"}";
	static const char whole[] = "{\"a\" : {\"b\":[1,-2.5e3,{}],\"c\":\"\\u00e9\"}, "
		"\"d\":null,\"e\":true}";
	static const char list[] = "[1, [2,\"x\"],{\"a\":false}, null]";
	ExactJson	json;

	CHECK(!reads(""));
	CHECK(!reads("   "));
	CHECK(!reads("\"text\""));
	CHECK(!reads("600"));
	CHECK(!reads("<html><body>Object moved</body></html>"));
	CHECK(!reads("{\"a\":1"));
	CHECK(!reads("{\"a\":1} trailing"));
	CHECK(!reads("{\"a\":1}{\"b\":2}"));
	CHECK(!reads("{a:1}"));
	CHECK(!reads("{\"a\":'x'}"));
	CHECK(!reads("[1,]"));
	CHECK(!reads("{\"a\":1,\"a\":2}"));
	CHECK(!reads("{\"a\":1,\"\\u0061\":2}"));
	CHECK(!reads("{\"a\":\"\xff\xfe\"}"));
	CHECK(!exact_json_read(nul, sizeof(nul) - 1, &json));
	for (size_t n = 0; n < sizeof(whole) - 1; n++)	/* cut off anywhere */
	{
		if (exact_json_read(whole, n, &json))
			fprintf(stderr, "cut off after %zu bytes\n", n);
		CHECK(!exact_json_read(whole, n, &json) &&
			  !exact_json_read(list, Min(n, sizeof(list) - 2), &json));
	}
	CHECK(reads("{}"));
	CHECK(reads("[]"));
	CHECK(reads("{\"a\":[[[[{}]]]]}"));
	CHECK(reads("{\"a\":\"[[[{{{\"}"));

	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	deep[200] = '\0';
	CHECK(!reads(deep));
	memset(deep, '[', 60);
	memset(deep + 60, ']', 60);
	deep[120] = '\0';
	CHECK(reads(deep));
}

static void
test_names(void)
{
	static const char body[] = "{\"a\\\"b\" "
		"\t:1,\"back\\\\\":2,\"\":3,\"x:y\":{\"in\":4},\"quo\\\\\\\"te\":5}";
	ExactJson	json;

	CHECK(exact_json_read(body, strlen(body), &json) && json.n == 5);
	CHECK(strcmp(json.members[0].key, "a\"b") == 0);
	CHECK(strcmp(json.members[1].key, "back\\") == 0);
	CHECK(strcmp(json.members[2].key, "") == 0);
	CHECK(strcmp(json.members[3].key, "x:y") == 0 && json.members[3].len == 8);
	CHECK(strcmp(json.members[4].key, "quo\\\"te") == 0);
}

static void
test_numbers(void)
{
	CHECK(number("[0]", 0));
	CHECK(number("[9223372036854775807]", PG_INT64_MAX));
	CHECK(number("[\"-9223372036854775808\"]", PG_INT64_MIN));
	CHECK(not_number("[9223372036854775808]"));
	CHECK(not_number("[\"-9223372036854775809\"]"));
	CHECK(not_number("[99999999999999999999]"));
	CHECK(not_number("[1.5]"));
	CHECK(not_number("[1e3]"));
	CHECK(not_number("[\"\"]"));
	CHECK(not_number("[\"-\"]"));
	CHECK(not_number("[\"12x\"]"));
	CHECK(not_number("[true]"));
	CHECK(not_number("[null]"));
}

static void
test_strings_no_text_can_hold(void)
{
	char		buffer[64];
	size_t		len;
	ExactJson	json;
	static const char body[] = "[\"a\\u0000b\",\"\\ud83d\",\"\\ud83d\\ude00\"]";

	CHECK(exact_json_read(body, strlen(body), &json) && json.n == 3);
	CHECK(!exact_json_decode(&json.members[0], buffer, &len));
	CHECK(strcmp(exact_json_text(&json.members[0]), "a\\u0000b") == 0);
	CHECK(!exact_json_decode(&json.members[1], buffer, &len));
	CHECK(exact_json_decode(&json.members[2], buffer, &len) &&
		  strcmp(buffer, "\xf0\x9f\x98\x80") == 0);
}

/* How deep it is, counted without a parser: brackets of texts are none. */
static void
test_depth(void)
{
	static const struct
	{
		const char *body;
		int			depth;
	}			cases[] = {
		{"1", 0}, {"[]", 1}, {"[1,[2],[3,[4]],{\"a\":{}}]", 3},
		{"[[],[],[],[],[],[],[]]", 2}, {"{\"a\":1,\"b\":[\"[[[[{{{{\"]}", 2},
		{"[\"\\\"[[\",[1,[1,[1]]]]", 4}, {"]]]][[[[", 0},
	};

	for (int i = 0; i < (int) lengthof(cases); i++)
	{
		size_t		len = strlen(cases[i].body);

		CHECK(!exact_json_too_deep(cases[i].body, len, cases[i].depth));
		CHECK(cases[i].depth == 0 || exact_json_too_deep(cases[i].body, len, cases[i].depth - 1));
	}
}

/* A byte as a string of JSON has it */
static void
append_quoted(StringInfo out, unsigned char c)
{
	if (c == '\n')
		appendStringInfoString(out, "\\n");
	else if (c < 0x20)
		appendStringInfo(out, "\\u%04x", c);
	else if (c == '"' || c == '\\')
		appendStringInfo(out, "\\%c", c);
	else
		appendStringInfoChar(out, (char) c);
}

/* Each byte at each place among bytes that need no escape, with another one behind it */
static void
test_quoting(void)
{
	int			wrong = 0;

	for (int len = 1; len < 40; len++)
		for (int place = 0; place < len; place++)
			for (int c = 1; c < 256; c++)
			{
				char		value[40];
				StringInfoData expected;
				StringInfoData out;

				memset(value, 'x', len);
				value[place] = (char) c;
				if (place + 9 < len)
					value[place + 9] = c == 0x80 ? '"' : (char) (c ^ 0x80);
				initStringInfo(&expected);
				appendStringInfoChar(&expected, '"');
				for (int i = 0; i < len; i++)
					append_quoted(&expected, (unsigned char) value[i]);
				appendStringInfoChar(&expected, '"');
				initStringInfo(&out);
				exact_json_quote(&out, value, len);
				wrong += out.len != expected.len || strcmp(out.data, expected.data) != 0;
				pfree(out.data);
				pfree(expected.data);
			}
	CHECK(wrong == 0);
}

/* Blocks of a long text, whose last bytes stand before the end of a block and behind it */
static void
test_quoting_blocks(void)
{
	for (size_t len = QUOTE_BLOCK - 9; len < QUOTE_BLOCK + 9; len++)
	{
		char	   *value = palloc(2 * QUOTE_BLOCK);
		StringInfoData out;

		memset(value, '"', len);
		initStringInfo(&out);
		exact_json_quote(&out, value, len);
		CHECK(out.len == (int) (2 * len + 2));
		CHECK(out.data[out.len - 1] == '"' && out.data[out.len - 3] == '\\');
		pfree(out.data);
		pfree(value);
	}
}

int
main(void)
{
	test_quoting();
	test_quoting_blocks();
	test_token_answers();
	test_paths();
	test_malformed();
	test_names();
	test_numbers();
	test_depth();
	test_strings_no_text_can_hold();
	return checks_done();
}

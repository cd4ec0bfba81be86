/*
 * border_fuzz.c - error bodies and headers of both services on their way to tables, log and pages.
 *
 * The first byte of an input chooses the length that is allowed; the rest is a header's value, an
 * error body, a string that no parser has seen.
 */
#include "backend.h"

#include "mb/pg_wchar.h"

#include "arena.h"

#include "base/json.c"
#include "base/words.c"
#include "databricks/error_class.c"
#include "exact_online/odata_text.c"
#include "exact_online/odata_value.c"
#include "databricks/databricks_answer.c"
#include "exact_online/api_error.c"

char *
exact_url_escape(const char *value)
{
	return pstrdup(value);
}

/* UTF-8 without control characters, not longer than allowed */
static void
check_words(const char *words, int most)
{
	const char *end;

	if (words == NULL)
		return;
	HOLDS(*words != '\0' && strlen(words) <= (size_t) most + 6);
	HOLDS(pg_encoding_verifymbstr(PG_UTF8, words, (int) strlen(words)) == (int) strlen(words));
	end = words + strlen(words);
	for (const char *p = words; p < end; p += exact_words_character(p, end))
		HOLDS(!is_control(p, exact_words_character(p, end)));
}

static void
check_valid(const char *text, size_t len)
{
	size_t		n = len;
	const char *valid = exact_words_valid(text, &n);

	HOLDS(pg_encoding_verifymbstr(PG_UTF8, valid, (int) n) == (int) n && n >= len && n <= 3 * len);
	HOLDS((valid == text) == (pg_encoding_verifymbstr(PG_UTF8, text, (int) len) == (int) len));
}

static void
check_answer(char *body, size_t len)
{
	ExactHttpResponse response = {.status = HTTP_FORBIDDEN, .body = body, .body_len = len};
	ExactCallAnswer answer = {0};
	ExactChunk	chunk;

	check_words(exact_databricks_answer_words(&response), 2 * EXACT_DATABRICKS_WORDS_MAX + 8);
	(void) exact_databricks_answer_token_refused(&response);
	if (exact_databricks_answer_statement(&response, &answer, &chunk))
		check_words(answer.statement_id, ID_MAX);
	/* "" when the text names no class */
	if (answer.error_class != NULL && *answer.error_class != '\0')
		check_words(answer.error_class, (int) len + 1);
	if (answer.error_words != NULL)
		check_words(exact_words_clause(answer.error_words, 300), 300);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int			most;
	char	   *text;

	if (size == 0)
		return 0;
	most = data[0] + 1;
	/* exactly so long: what is read beyond the NUL is found */
	text = palloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	check_words(exact_words_tidy(text, most), most);
	check_words(exact_words_clause(text, most), most);
	check_valid(text, size - 1);
	check_words(exact_api_error_words(text, size - 1), EXACT_API_ERROR_WORDS_MAX);
	check_answer(text, size - 1);
	(void) exact_odata_string((ExactSlice) {(const char *) data + 1, size - 1});
	arena_reset();
	return 0;
}

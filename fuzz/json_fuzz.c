/*
 * json_fuzz.c - small answers of both services: tokens, errors, statement states.
 */
#include "frontend.h"

#include "arena.h"

#include "base/json.c"

static void
check_value(const char *body, size_t len, const ExactJsonMember *member)
{
	char	   *buffer = palloc(Max(member->len, 1));
	size_t		decoded;
	int64		number;

	HOLDS(member->raw >= body && member->raw + member->len <= body + len && member->len > 0);
	(void) exact_json_text(member);
	(void) exact_json_int64(member, &number);
	if (exact_json_decode(member, buffer, &decoded))
		HOLDS(decoded + 2 <= member->len && buffer[decoded] == '\0' &&
			  pg_encoding_verifymbstr(PG_UTF8, buffer, (int) decoded) >= 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {
		"", ".", "access_token", "error.message.value", "error.0.message", "status.error.message",
		"result.data_array.0.1",
		"manifest.schema.columns.2.name", "0", "1.2.3.4", "999999999", "d.results.0.ID"
	};
	const char *body = (const char *) data;
	ExactJson	json;

	if (exact_json_read(body, size, &json))
	{
		HOLDS(json.kind == EXACT_JSON_OBJECT || json.kind == EXACT_JSON_ARRAY);
		for (int i = 0; i < json.n; i++)
		{
			check_value(body, size, &json.members[i]);
			HOLDS((json.members[i].key == NULL) == (json.kind == EXACT_JSON_ARRAY));
			if (json.members[i].key != NULL)
				HOLDS(exact_json_member(&json, json.members[i].key) == &json.members[i]);
		}
		/* no text can be this name: names are UTF-8 */
		HOLDS(exact_json_member(&json, "\xff") == NULL);
	}
	for (int i = 0; i < (int) lengthof(paths); i++)
	{
		ExactJsonMember found;

		if (exact_json_find(body, size, paths[i], &found))
			check_value(body, size, &found);
	}
	arena_reset();
	return 0;
}

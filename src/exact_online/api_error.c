/*
 * api_error.c - what an error body of Exact Online says, for people. Called by exact_api.c.
 */
#include "postgres.h"

#include "base/json.h"
#include "base/words.h"
#include "exact_online/api_error.h"
#include "exact_online/odata_text.h"

#define BODY_MAX 1000000		/* bytes: what is larger is no error of the service */

/*
 * The service has several forms, and the gateway before it another. A message in another encoding
 * keeps its other letters.
 */
char *
exact_api_error_words(const char *body, size_t len)
{
	static const char *const paths[] = {
		"error.message.value", "odata.error.message.value", "error_description",
		"fault.faultstring", "error.message", "message", "Message"
	};
	ExactOdataText *mended = palloc(sizeof(ExactOdataText));

	if (len > BODY_MAX || !exact_odata_text_mend(body, len, mended))
		return NULL;
	for (size_t i = 0; i < lengthof(paths); i++)
	{
		ExactJsonMember member;
		char	   *text;

		if (!exact_json_find(mended->start, mended->len, paths[i], &member) ||
			member.kind != EXACT_JSON_STRING)
			continue;
		text = exact_words_tidy(exact_json_text(&member), EXACT_API_ERROR_WORDS_MAX);
		if (text != NULL)
			return text;
	}
	return NULL;
}

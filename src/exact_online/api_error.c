/*
 * api_error.c - what an error body of Exact Online says, for people. Called by exact_api.c.
 */
#include "postgres.h"

#include "base/json.h"
#include "base/words.h"
#include "exact_online/api_error.h"
#include "exact_online/odata_text.h"

#define BODY_MAX 1000000		/* bytes: what is larger is no error of the service */

#define MESSAGE_MAX 4000		/* bytes of a message that is shown in full */

/* The first text at one of these places of a body; a message in another encoding keeps the rest. */
static char *
find_words(const char *body, size_t len, const char *const *paths, int npaths, int most)
{
	ExactOdataText *mended = palloc(sizeof(ExactOdataText));

	if (len > BODY_MAX || !exact_odata_text_mend(body, len, mended))
		return NULL;
	for (int i = 0; i < npaths; i++)
	{
		ExactJsonMember member;
		char	   *text;

		if (!exact_json_find(mended->start, mended->len, paths[i], &member) ||
			member.kind != EXACT_JSON_STRING)
			continue;
		text = exact_words_tidy(exact_json_text(&member), most);
		if (text != NULL)
			return text;
	}
	return NULL;
}

/* The service has several forms, and the gateway before it another. */
char *
exact_api_error_words(const char *body, size_t len)
{
	static const char *const paths[] = {
		"error.message.value", "odata.error.message.value", "error_description",
		"fault.faultstring", "error.message", "message", "Message"
	};

	return find_words(body, len, paths, lengthof(paths), EXACT_API_ERROR_WORDS_MAX);
}

char *
exact_api_error_message(const char *body, size_t len)
{
	static const char *const paths[] = {"error.message.value", "odata.error.message.value"};

	return find_words(body, len, paths, lengthof(paths), MESSAGE_MAX);
}

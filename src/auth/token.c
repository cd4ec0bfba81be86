/*
 * token.c - those who wait for an access token, of either service.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "auth/secret.h"
#include "auth/token.h"
#include "base/errors.h"
#include "base/fault.h"

#define HUMAN_RETRY_MS 60000	/* a credential, the key file or a consent is missing: look again */
#define BUSY_RETRY_MS 1000		/* the database was */

struct ExactTokenWaiter
{
	ExactTokenWaiter *next;
	ExactTokenDone done;
	void	   *arg;
};

TimestampTz
exact_token_in_ms(int64 ms)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

void
exact_token_wait(ExactTokenWaiter **waiters, ExactTokenDone done, void *arg)
{
	ExactTokenWaiter *waiter = MemoryContextAlloc(TopMemoryContext, sizeof(ExactTokenWaiter));

	waiter->next = NULL;
	waiter->done = done;
	waiter->arg = arg;
	while (*waiters != NULL)
		waiters = &(*waiters)->next;
	*waiters = waiter;
}

/*
 * Whoever is answered may ask again at once, and that may change the token: so the list is taken
 * first, and the token is copied.
 */
void
exact_token_answer(ExactTokenWaiter **waiters, ExactTokenState state, const ExactSecret *token,
				   int64 id, const ExactFault *fault, TimestampTz retry_at)
{
	ExactTokenWaiter *list = *waiters;
	ExactTokenAnswer answer = {state, NULL, fault, retry_at, id};
	ExactSecret *copy = NULL;

	if (list == NULL)
		return;
	*waiters = NULL;
	if (state == EXACT_TOKEN_OK)
	{
		size_t		len;
		const char *data = exact_secret_reveal(token, &len);

		answer.token = copy = exact_secret_new(data, len);
	}
	while (list != NULL)
	{
		ExactTokenWaiter *waiter = list;

		list = waiter->next;
		waiter->done(&answer, waiter->arg);
		pfree(waiter);
	}
	exact_secret_free(copy);
}

static bool
needs_a_human(int sqlstate)
{
	return sqlstate == ERRCODE_EXACT_KEY_FILE || sqlstate == ERRCODE_EXACT_SECRET ||
		sqlstate == ERRCODE_EXACT_NOT_AUTHORIZED || sqlstate == ERRCODE_EXACT_HOST_NOT_ALLOWED ||
		sqlstate == ERRCODE_EXACT_INSTALLATION;
}

void
exact_token_answer_local(ExactTokenWaiter **waiters, const ExactFault *fault)
{
	bool		human = needs_a_human(fault->sqlstate);

	exact_token_answer(waiters, human ? EXACT_TOKEN_REAUTHORIZE : EXACT_TOKEN_WAIT, NULL, 0, fault,
					   exact_token_in_ms(human ? HUMAN_RETRY_MS : BUSY_RETRY_MS));
}

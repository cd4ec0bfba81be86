/*
 * token.h - what everybody gets who asks for an access token: Exact Online's (exact_token.h) or
 * Databricks' (databricks_token.h).
 *
 * Callers ask with a callback; it is called at once when a fresh token is at hand, else when the
 * refresh has been committed. One refresh per app or workspace is in flight at most; other callers
 * wait for it.
 */
#ifndef EXACT_TOKEN_H
#define EXACT_TOKEN_H

#include "utils/timestamp.h"

#include "auth/secret.h"
#include "base/fault.h"

typedef enum ExactTokenState
{
	EXACT_TOKEN_OK,				/* token is set */
	/* not now: retry_at says when (service down, unknown outcome pending) */
	EXACT_TOKEN_WAIT,
	/* a human must consent again, or credentials are missing or refused; fault says what to do */
	EXACT_TOKEN_REAUTHORIZE,
} ExactTokenState;

typedef struct ExactTokenAnswer
{
	ExactTokenState state;
	const ExactSecret *token;	/* valid while the callback runs */
	const ExactFault *fault;	/* unless OK */
	TimestampTz retry_at;		/* for WAIT */
	int64		id;				/* of an Exact Online token: for exact_token_rejected */
} ExactTokenAnswer;

typedef void (*ExactTokenDone) (const ExactTokenAnswer *answer, void *arg);

/* Those who wait for one app's or workspace's token, the first one first; NULL: nobody. */
typedef struct ExactTokenWaiter ExactTokenWaiter;

extern void exact_token_wait(ExactTokenWaiter **waiters, ExactTokenDone done, void *arg);

/* Answers all of them; for OK, each gets `token`. They may ask again at once. */
extern void exact_token_answer(ExactTokenWaiter **waiters, ExactTokenState state,
							   const ExactSecret *token, int64 id,
							   const ExactFault *fault, TimestampTz retry_at);

/*
 * Answers them with a fault of this machine. What a human must put right (key file, credential,
 * address, installation) is looked at again in a minute, a busy database in a second.
 */
extern void exact_token_answer_local(ExactTokenWaiter **waiters, const ExactFault *fault);

/* The moment so many milliseconds from now */
extern TimestampTz exact_token_in_ms(int64 ms);

#endif

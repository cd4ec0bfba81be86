/*
 * token_chain.h - one app's token chain in the memory of the fetcher: shared by exact_token.c (who gets what, when) and token_call.c
 * (calls of the token endpoint and what comes of them).
 */
#ifndef EXACT_TOKEN_CHAIN_H
#define EXACT_TOKEN_CHAIN_H

#include "auth/token.h"
#include "auth/token_store.h"
#include "base/fault.h"

typedef struct ExactTokenWaiter
{
	struct ExactTokenWaiter *next;
	ExactTokenDone done;
	void	   *arg;
} ExactTokenWaiter;

typedef enum ExactTokenPhase
{
	EXACT_CHAIN_IDLE,
	EXACT_CHAIN_CALLING,		/* a call is in flight */
	EXACT_CHAIN_PAUSING,		/* before the second attempt of a refresh */
	EXACT_CHAIN_STORING			/* a pair is here and not stored yet */
} ExactTokenPhase;

typedef struct ExactTokenChain
{
	struct ExactTokenChain *next;
	char	   *app;
	ExactTokenPhase phase;
	ExactTokenWaiter *waiters;
	bool		met;			/* looked at by this process */

	/* the stored pair as last opened */
	int64		id;
	ExactSecret *access;
	TimestampTz issued_at;
	bool		rejected;		/* the service answered 401 to it */
	TimestampTz kept_until;		/* the service says that the pair at hand is not expired, whatever our clock says */
	bool		tried_early;	/* a refresh before its time was tried because of that */

	/* attempts */
	int			unclear;		/* in a row without a clear outcome */
	int			down;			/* in a row that could not be sent, or were put off */
	TimestampTz not_before;		/* of the next call */
	char		finding[400];	/* what went wrong last */
	int			day;			/* UTC day that calls counts */
	int			calls;

	/* the call in flight */
	bool		exchange;		/* it is for an authorisation code, not a refresh */
	ExactSecret *sent_token;	/* refresh token or code */
	ExactSecret *sent_client_secret;
	char	   *origin;			/* it went there */
	int64		sent_id;		/* the pair then */
	TimestampTz sent_issued_at;
	TimestampTz sent_at;
	int			sent_age;		/* s, of the pair then; -1: not known */
	bool		sent_alive;		/* the access token was still good then */
	bool		sent_early;		/* before its time, to learn whether the chain lives */
	ExactTokenCall call;		/* to be recorded */

	/* a pair that is not stored yet */
	ExactSecret *new_access;
	ExactSecret *new_refresh;
	TimestampTz new_issued_at;
	TimestampTz new_expires_at;
	TimestampTz new_not_before;

	/* what exact.app_state is to say; note_due until it does */
	bool		note_due;
	TimestampTz note_since;
	ExactTokenNote note;
	char		note_reason[400];
	char		note_step[250];

	/* an authorisation that waits for its turn, or is in flight */
	ExactSecret *code;
	char	   *redirect_uri;
	ExactTokenDone exchange_done;
	void	   *exchange_arg;

	TimestampTz timer;			/* when to go on: PAUSING, STORING, note_due */
} ExactTokenChain;

/* token_call.c. The chain is idle. */
extern void exact_token_call_refresh(ExactTokenChain *chain);
extern void exact_token_call_exchange(ExactTokenChain *chain);
/* The timer of a chain has passed. */
extern void exact_token_call_timer(ExactTokenChain *chain);

/* exact_token.c: serves what waits on a chain, if it is idle. */
extern void exact_token_go_on(ExactTokenChain *chain);
/* Answers all who wait for a token. */
extern void exact_token_answer(ExactTokenChain *chain, ExactTokenState state, const ExactFault *fault, TimestampTz retry_at);
/* Answers them with a fault of this machine: key file, credential, database. */
extern void exact_token_answer_local(ExactTokenChain *chain, const ExactFault *fault);
/* Reads the app, and opens its access token when it is another pair than the one at hand. In a unit; texts in the current context. */
extern void exact_token_look(ExactTokenChain *chain, ExactTokenRow *row);

/* Texts and times, palloc'd */
extern char *exact_token_consent_step(const char *app);
extern TimestampTz exact_token_in_ms(int64 ms);
extern void exact_token_forget(ExactSecret **secret);

#endif

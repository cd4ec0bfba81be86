/*
 * token_chain.h - one app's token chain in the memory of the fetcher.
 *
 * Each pair's refresh token works once and gives the next pair. The chain is a state machine of
 * four phases; exact_token.c decides what happens in IDLE, token_call.c does the rest and reports
 * its end:
 *
 *   IDLE      nothing is on the way: exact_token.c serves what waits
 *     -> CALLING    a refresh or an exchange is sent
 *   CALLING   one call is in flight
 *     -> STORING    a pair has come: it is committed before anybody gets its access token
 *     -> PAUSING    the first outcome that is not clear
 *     -> IDLE       any other outcome
 *   PAUSING   two seconds, then the same refresh token once more
 *     -> CALLING
 *   STORING   the pair is tried again until the database has taken it
 *     -> IDLE
 *
 * Beside the phase the chain may owe exact.app_state a note: it is written when the row is free.
 */
#ifndef EXACT_TOKEN_CHAIN_H
#define EXACT_TOKEN_CHAIN_H

#include "utils/timestamp.h"

#include "auth/secret.h"
#include "auth/token.h"
#include "auth/token_store.h"
#include "base/fault.h"

typedef enum ExactTokenPhase
{
	EXACT_CHAIN_IDLE,
	EXACT_CHAIN_CALLING,
	EXACT_CHAIN_PAUSING,
	EXACT_CHAIN_STORING
} ExactTokenPhase;

typedef struct ExactTokenChain ExactTokenChain;

/* The stored pair as last opened, and what the service said about it */
typedef struct ExactTokenAtHand
{
	int64		id;				/* 0: none */
	ExactSecret *access;
	TimestampTz issued_at;
	bool		rejected;		/* the service answered 401 to it */
	/* the service says that it is not expired, whatever our clock says */
	TimestampTz kept_until;
	bool		tried_early;	/* a refresh before its time was tried because of that */
	bool		tried_again;	/* a borrowed refresh token was tried since */
} ExactTokenAtHand;

/* The call in flight: what it carries, and how things stood when it was sent */
typedef struct ExactTokenSent
{
	bool		exchange;		/* it is for an authorisation code, not a refresh */
	ExactSecret *token;			/* refresh token or code */
	ExactSecret *client_secret;
	char	   *origin;			/* it went there */
	TimestampTz at;
	int64		id;				/* the pair then */
	TimestampTz issued_at;
	int			age;			/* s, of the pair then; -1: not known */
	bool		alive;			/* the access token was still good then */
	bool		early;			/* before its time, to learn whether the chain lives */
	bool		borrowed;		/* the refresh token is that of the pair before */
	TimestampTz expires_at;		/* of the access token then */
} ExactTokenSent;

/* A pair that has come and is not stored yet */
typedef struct ExactTokenFresh
{
	ExactSecret *access;
	ExactSecret *refresh;
	TimestampTz issued_at;
	TimestampTz expires_at;
	TimestampTz not_before;		/* of the next call once it is stored */
	bool		borrowed;		/* no refresh token came: refresh is the one that was sent */
} ExactTokenFresh;

/* What exact.app_state is to say */
typedef struct ExactTokenOwed
{
	bool		due;			/* not written yet */
	TimestampTz since;
	ExactTokenNote note;		/* its texts are these: */
	char		reason[400];
	char		step[250];
} ExactTokenOwed;

/* An authorisation that waits for its turn, or is in flight */
typedef struct ExactTokenConsent
{
	ExactSecret *code;			/* until it is sent */
	char	   *redirect_uri;
	ExactTokenDone done;		/* NULL: none */
	void	   *arg;
} ExactTokenConsent;

struct ExactTokenChain
{
	ExactTokenChain *next;
	char	   *app;
	ExactTokenPhase phase;
	ExactTokenWaiter *waiters;
	TimestampTz timer;			/* when to go on: PAUSING, STORING, owed.due */
	void		(*on_idle) (ExactTokenChain *chain);	/* it has become IDLE */

	/* attempts */
	bool		met;			/* looked at by this process */
	int			unclear;		/* in a row without a clear outcome */
	int			down;			/* in a row that could not be sent, or were put off */
	bool		unreached;		/* the last one did not reach the service */
	TimestampTz not_before;		/* of the next call */
	char		finding[400];	/* what went wrong last */
	int			day;			/* UTC day that calls counts */
	int			calls;

	ExactTokenAtHand at_hand;
	ExactTokenSent sent;
	ExactTokenCall call;		/* the same call, to be recorded */
	ExactTokenFresh fresh;
	ExactTokenOwed owed;
	ExactTokenConsent consent;
};

/* After an unclear outcome: the pause before each further attempt, 1, 2, 4, ... minutes */
#define EXACT_CHAIN_UNCLEAR_FIRST_MS 60000
#define EXACT_CHAIN_UNCLEAR_LAST_MS 600000

/* The chain of an app, made when there is none; the first of all chains. */
extern ExactTokenChain *exact_token_chain_of(const char *app);
extern ExactTokenChain *exact_token_chain_first(void);

/*
 * Reads the app, and opens its access token when it is another pair than the one at hand. In a
 * unit; texts in the current context.
 */
extern void exact_token_chain_look(ExactTokenChain *chain, ExactTokenRow *row);

/* Answers all who wait; for OK with the token at hand. */
extern void exact_token_chain_answer(ExactTokenChain *chain, ExactTokenState state,
									 const ExactFault *fault, TimestampTz retry_at);

/* Has the chain something to do at its timer? */
extern bool exact_token_chain_is_timed(const ExactTokenChain *chain);

/* How a human consents, as the end of a sentence (palloc'd) */
extern char *exact_token_chain_consent_step(const ExactTokenChain *chain);

#endif

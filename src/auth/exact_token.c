/*
 * exact_token.c - Exact Online's access tokens: who gets which, and when a chain is refreshed
 * (fetcher only).
 *
 * One chain per app, one call in flight per chain, callers wait for it. Whenever a chain is idle,
 * this file looks at what is stored and decides. The chain: token_chain.h. The calls: token_call.c.
 * Rules: exact-online.md §2.4-2.6.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "auth/exact_token.h"
#include "auth/secret.h"
#include "auth/token.h"
#include "auth/token_call.h"
#include "auth/token_chain.h"
#include "auth/token_store.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/guc.h"
#include "worker/service.h"
#include "worker/unit.h"

#define CONSENT_RETRY_MS 60000	/* until somebody looks again whether there is a consent */
#define BUSY_RETRY_MS 1000		/* another authorisation is running */
#define CALLS_A_DAY 200			/* exact-online.md §2.4 */
#define IDLE_DAYS 7				/* of the 30 that a refresh token lives */
#define IDLE_CHECK_MS (3600 * 1000L)

typedef struct LookUnit
{
	ExactTokenChain *chain;
	MemoryContext context;
	ExactTokenRow row;
} LookUnit;

typedef struct IdleUnit
{
	MemoryContext context;
	char	  **names;
	int			n;
} IdleUnit;

/* How a chain stands now, as decide() needs it */
typedef struct Standing
{
	int			age;			/* s, of the pair */
	bool		alive;			/* its access token is good, or the service says so */
	bool		early;			/* it is too young for a refresh */
	bool		spent;			/* the calls of this day are used up */
	TimestampTz when;			/* no call before */
} Standing;

static TimestampTz next_idle_check = 0;

static void serve(ExactTokenChain *chain);

static ExactTokenChain *
chain_of(const char *app)
{
	ExactTokenChain *chain = exact_token_chain_of(app);

	chain->on_idle = serve;
	return chain;
}

/* 0 also when the clock was set back since */
static int
age_of(TimestampTz issued_at)
{
	return issued_at == 0 || exact_clock_is_future(issued_at) ? 0 :
		(int) ((GetCurrentTimestamp() - issued_at) / USECS_PER_SEC);
}

static void
look_unit(void *arg)
{
	LookUnit   *unit = arg;
	MemoryContext old = MemoryContextSwitchTo(unit->context);

	exact_token_chain_look(unit->chain, &unit->row);
	MemoryContextSwitchTo(old);
}

/*
 * Was the newest pair refused, with nothing done since? A new client secret is worth one more try.
 */
static bool
still_refused(const ExactTokenChain *chain, const ExactTokenRow *row)
{
	bool		unsaid = chain->owed.due && chain->owed.note.state != NULL;
	bool		refused = unsaid ? strcmp(chain->owed.note.state, "reauthorize") == 0 :
		row->reauthorize;
	TimestampTz since = unsaid ? chain->owed.since : row->since;

	return refused && row->issued_at <= since && row->client_secret_set_at <= since;
}

static void
answer_unauthorised(ExactTokenChain *chain, char *message, const char *reason, const char *step)
{
	ExactFault *fault;

	if (step == NULL)
		step = exact_token_chain_consent_step(chain);
	fault = exact_fault_make(ERRCODE_EXACT_NOT_AUTHORIZED, message,
							 reason ? psprintf("%s.", reason) : NULL, psprintf("%s.", step));
	exact_token_chain_answer(chain, EXACT_TOKEN_REAUTHORIZE, fault,
							 exact_token_in_ms(CONSENT_RETRY_MS));
}

static void
answer_refused(ExactTokenChain *chain, const ExactTokenRow *row)
{
	bool		unsaid = chain->owed.due && chain->owed.note.reason != NULL;

	answer_unauthorised(chain, psprintf("app \"%s\" must be authorised again", chain->app),
						unsaid ? chain->owed.note.reason : row->reason,
						unsaid ? chain->owed.note.next_step : row->next_step);
}

/* No token and no call now: says why, and when the next call may be. */
static void
answer_not_now(ExactTokenChain *chain, const Standing *now)
{
	const char *when = timestamptz_to_str(now->when);
	bool		so_soon = chain->at_hand.rejected && chain->at_hand.tried_early && now->early;
	int			sqlstate = now->spent ? ERRCODE_EXACT_BUDGET : ERRCODE_EXACT_UNAVAILABLE;
	char	   *message;
	char	   *detail;
	char	   *hint;

	if (now->spent)
	{
		message = psprintf("app \"%s\" has used its %d token calls of today", chain->app,
						   CALLS_A_DAY);
		detail = pstrdup("Another program uses the same app and user, "
						 "or the service has failed all day.");
		hint = psprintf("The hub goes on at %s.", when);
	}
	else
	{
		message = psprintf("app \"%s\" has no valid access token now", chain->app);
		detail = so_soon ?
			pstrdup("Exact Online rejects the current one and gives no new one so soon.") :
			psprintf("The last call for a new one: %s.",
					 chain->finding[0] ? chain->finding : "no clear answer");
		if (so_soon)
			exact_service_no_token(chain->app,
								   "it rejects the access token and gives no new one yet");
		hint = psprintf("The refresh token is kept; the hub tries again at %s.", when);
	}
	exact_token_chain_answer(chain, EXACT_TOKEN_WAIT,
							 exact_fault_make(sqlstate, message, detail, hint), now->when);
}

/* Reads off the chain and its row how things stand; nothing is changed. */
static Standing
standing_of(const ExactTokenChain *chain, const ExactTokenRow *row)
{
	const ExactTokenAtHand *at_hand = &chain->at_hand;
	TimestampTz now = GetCurrentTimestamp();
	int			today = (int) (now / USECS_PER_DAY);
	int64		life = row->expires_at > row->issued_at ? row->expires_at - row->issued_at : 0;
	TimestampTz good_until = row->expires_at - Min(5 * USECS_PER_SEC, life / 10);
	int			learned_age = Max(row->learned_age,
								  chain->owed.due ? chain->owed.note.learned_age : 0);
	int			refresh_age = Max(exact_refresh_after_s, learned_age);
	Standing	s;

	s.spent = chain->day == today && chain->calls >= CALLS_A_DAY;
	s.age = age_of(row->issued_at);
	s.alive = at_hand->access != NULL && (now < good_until || now < at_hand->kept_until);
	s.early = s.alive && s.age < refresh_age;
	s.when = chain->not_before;

	/*
	 * A rejected token may mean a dead chain: one call tells, before the time at which the service
	 * gives a new one.
	 */
	if (s.early && at_hand->tried_early)
		s.when = Max(s.when, TimestampTzPlusMilliseconds(row->issued_at,
														 (int64) refresh_age * 1000));
	if (s.spent)
		s.when = Max(s.when, (TimestampTz) (today + 1) * USECS_PER_DAY);
	return s;
}

/*
 * Decides for those who wait: the token at hand, a refresh, or why neither. Of a chain that was
 * refused only an access token that came without a refresh token is used, until it ends: it was
 * issued by the last refresh that was taken.
 */
static void
decide(ExactTokenChain *chain, const ExactTokenRow *row)
{
	Standing	s = standing_of(chain, row);
	bool		good = s.alive && !chain->at_hand.rejected;
	bool		untried = row->borrowed && !chain->at_hand.tried_again;
	bool		refused = still_refused(chain, row);
	bool		may_call = !refused && GetCurrentTimestamp() >= s.when;

	if (refused && !(good && row->borrowed))
		answer_refused(chain, row);
	else if (good && (!may_call || (s.early && !untried)))
		exact_token_chain_answer(chain, EXACT_TOKEN_OK, NULL, 0);
	else if (may_call)
	{
		chain->at_hand.tried_again = true;
		chain->sent.age = chain->at_hand.access != NULL ? s.age : -1;
		chain->sent.alive = s.alive;
		chain->sent.early = s.early;
		chain->at_hand.tried_early = chain->at_hand.tried_early || s.early;
		exact_token_call_refresh(chain);
	}
	else
		answer_not_now(chain, &s);
}

/* Looks at what is stored and does what is due for those who wait. */
static void
serve_waiters(ExactTokenChain *chain)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "exact token",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	LookUnit	unit = {chain, context, {0}};
	ExactFault *fault = NULL;

	if (!exact_unit_run("token", look_unit, &unit, &fault))
		exact_token_answer_local(&chain->waiters, fault);
	else if (unit.row.id == 0)
		answer_unauthorised(chain, psprintf("app \"%s\" is not authorised yet", chain->app),
							NULL, NULL);
	else
		decide(chain, &unit.row);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* Serves what waits, if the chain is idle. An authorisation goes first: it ends the old chain. */
static void
serve(ExactTokenChain *chain)
{
	if (chain->phase != EXACT_CHAIN_IDLE)
		return;
	if (chain->consent.code != NULL)
		exact_token_call_exchange(chain);
	else if (chain->waiters != NULL)
		serve_waiters(chain);
}

void
exact_token_get(const char *app, ExactTokenDone done, void *arg)
{
	ExactTokenChain *chain = chain_of(app);

	exact_token_wait(&chain->waiters, done, arg);
	serve(chain);
}

void
exact_token_rejected(const char *app, int64 id)
{
	ExactTokenChain *chain = chain_of(app);

	if (chain->at_hand.access != NULL && chain->at_hand.id == id)
		chain->at_hand.rejected = true;
}

void
exact_token_authorize(const char *app, const char *code, const char *redirect_uri,
					  ExactTokenDone done, void *arg)
{
	ExactTokenChain *chain = chain_of(app);
	ExactTokenConsent *consent = &chain->consent;

	if (consent->done != NULL)
	{
		ExactTokenAnswer answer = {.state = EXACT_TOKEN_WAIT};

		answer.retry_at = exact_token_in_ms(BUSY_RETRY_MS);
		answer.fault = exact_fault_make(ERRCODE_EXACT_NOT_AUTHORIZED,
										psprintf("another authorisation of app \"%s\" is running",
												 app), NULL, pstrdup("Wait for its end."));
		done(&answer, arg);
		return;
	}
	consent->code = exact_secret_new(code, strlen(code));
	consent->redirect_uri = MemoryContextStrdup(TopMemoryContext, redirect_uri);
	consent->done = done;
	consent->arg = arg;
	serve(chain);
}

static void
idle_unit(void *arg)
{
	IdleUnit   *unit = arg;
	MemoryContext old = MemoryContextSwitchTo(unit->context);

	unit->names = exact_token_store_idle(IDLE_DAYS, &unit->n);
	MemoryContextSwitchTo(old);
}

static void
on_kept_alive(const ExactTokenAnswer *answer, void *arg)
{
	(void) answer;				/* what went wrong is in the log and in exact.app_state */
	(void) arg;
}

/*
 * Refresh tokens live 30 days: an idle chain is renewed weekly, an imported one as soon as it is
 * seen.
 */
static void
keep_alive(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "exact idle tokens",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	IdleUnit	unit = {context, NULL, 0};

	if (exact_unit_run("idle tokens", idle_unit, &unit, NULL))
		for (int i = 0; i < unit.n; i++)
			exact_token_get(unit.names[i], on_kept_alive, NULL);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
exact_token_hurry(const char *app, bool certain)
{
	for (ExactTokenChain *chain = exact_token_chain_first(); chain != NULL; chain = chain->next)
	{
		if (strcmp(chain->app, app) != 0)
			continue;
		if (chain->unreached || (certain && chain->unclear > 0))
			chain->not_before = 0;
		chain->at_hand.rejected = false;
	}
}

long
exact_token_turn(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next;

	if (now >= next_idle_check)
	{
		next_idle_check = exact_token_in_ms(IDLE_CHECK_MS);
		keep_alive();
	}
	next = next_idle_check;
	for (ExactTokenChain *chain = exact_token_chain_first(); chain != NULL; chain = chain->next)
	{
		if (exact_token_chain_is_timed(chain) && chain->timer <= now)
			exact_token_call_timer(chain);
		if (exact_token_chain_is_timed(chain))
			next = Min(next, chain->timer);
	}
	return exact_clock_wait_ms(next);
}

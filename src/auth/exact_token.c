/*
 * exact_token.c - Exact Online's access tokens: who gets which, and when a chain is refreshed (fetcher only).
 *
 * One chain per app, one call in flight per chain, callers wait for it. What is stored decides, not what is remembered: each request
 * looks at the app's row, its newest pair and its state, so a new import, a changed host or a re-encrypted pair counts at once. The
 * calls themselves: token_call.c. Rules: exact-online.md §2.4-2.6.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "auth/oauth.h"
#include "auth/token_chain.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/guc.h"
#include "worker/self.h"
#include "worker/unit.h"

#define LOCAL_RETRY_MS 60000	/* a credential, the key file or a consent is missing: look again */
#define BUSY_RETRY_MS 1000		/* the database was */
#define CALLS_A_DAY 200			/* exact-online.md §2.4 */
#define IDLE_DAYS 7				/* of the 30 that a refresh token lives */
#define IDLE_CHECK_MS (3600 * 1000L)
#define UNCLEAR_BASE_MS 60000
#define UNCLEAR_CAP_MS 600000

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

static ExactTokenChain *chains = NULL;
static TimestampTz next_idle_check = 0;

TimestampTz
exact_token_in_ms(int64 ms)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

void
exact_token_forget(ExactSecret **secret)
{
	exact_secret_free(*secret);
	*secret = NULL;
}

char *
exact_token_consent_step(const char *app)
{
	return psprintf("SELECT exact.authorize_url('%s'); and open the address in a browser", app);
}

static ExactTokenChain *
find_chain(const char *app)
{
	ExactTokenChain *chain;

	for (chain = chains; chain != NULL; chain = chain->next)
		if (strcmp(chain->app, app) == 0)
			return chain;
	chain = MemoryContextAllocZero(TopMemoryContext, sizeof(ExactTokenChain));
	chain->app = MemoryContextStrdup(TopMemoryContext, app);
	chain->next = chains;
	chains = chain;
	return chain;
}

/* Those who wait may ask again at once, so the list is taken first and the token copied. */
void
exact_token_answer(ExactTokenChain *chain, ExactTokenState state, const ExactFault *fault, TimestampTz retry_at)
{
	ExactTokenWaiter *waiters = chain->waiters;
	ExactTokenAnswer answer = {state, NULL, fault, retry_at, chain->id};
	ExactSecret *token = NULL;

	if (waiters == NULL)
		return;
	chain->waiters = NULL;
	if (state == EXACT_TOKEN_OK)
	{
		size_t		len;
		const char *data = exact_secret_reveal(chain->access, &len);

		answer.token = token = exact_secret_new(data, len);
	}
	while (waiters != NULL)
	{
		ExactTokenWaiter *waiter = waiters;

		waiters = waiter->next;
		waiter->done(&answer, waiter->arg);
		pfree(waiter);
	}
	exact_secret_free(token);
}

void
exact_token_answer_local(ExactTokenChain *chain, const ExactFault *fault)
{
	bool		ours = fault->sqlstate == ERRCODE_EXACT_KEY_FILE || fault->sqlstate == ERRCODE_EXACT_SECRET ||
		fault->sqlstate == ERRCODE_EXACT_NOT_AUTHORIZED || fault->sqlstate == ERRCODE_EXACT_HOST_NOT_ALLOWED ||
		fault->sqlstate == ERRCODE_EXACT_INSTALLATION;

	exact_token_answer(chain, ours ? EXACT_TOKEN_REAUTHORIZE : EXACT_TOKEN_WAIT, fault,
					   exact_token_in_ms(ours ? LOCAL_RETRY_MS : BUSY_RETRY_MS));
}

static int
age_of(TimestampTz issued_at, TimestampTz now)
{
	return issued_at == 0 || now < issued_at ? 0 : (int) ((now - issued_at) / USECS_PER_SEC);
}

/*
 * First look of this process at an app. A refresh that an earlier process sent, and did not live to record the outcome of, was an
 * attempt with an unclear outcome.
 */
static void
meet(ExactTokenChain *chain, const ExactTokenRow *row)
{
	chain->calls = exact_token_store_calls_today(chain->app);
	chain->day = (int) (GetCurrentTimestamp() / USECS_PER_DAY);
	chain->met = true;
	if (row->refreshing_since == 0 || row->refreshing_since < row->issued_at)
		return;
	chain->unclear = Max(row->attempts, 1);
	if (chain->unclear >= 2)
		chain->not_before = TimestampTzPlusMilliseconds(row->refreshing_since,
														exact_oauth_backoff_ms(chain->unclear - 1, UNCLEAR_BASE_MS, UNCLEAR_CAP_MS));
	exact_log(LOG, "token app=%s event=\"outcome unknown\" attempt=%d finding=\"the process that sent it ended\"", chain->app, chain->unclear);
}

void
exact_token_look(ExactTokenChain *chain, ExactTokenRow *row)
{
	exact_token_store_look(chain->app, row);
	if (row->issued_at != chain->issued_at)
	{
		/* another pair, not the same one encrypted again: nothing that was learned about the old one counts */
		chain->rejected = chain->tried_early = false;
		chain->unclear = chain->down = 0;
		chain->not_before = chain->kept_until = 0;
		chain->issued_at = row->issued_at;
	}
	if (!chain->met)
		meet(chain, row);
	if (row->id == chain->id && (row->id == 0 || strcmp(row->host, row->origin) == 0))
		return;
	exact_token_forget(&chain->access);
	chain->id = 0;
	if (row->id != 0 && row->has_access)
		chain->access = exact_token_store_open(chain->app, row, "access");
	chain->id = row->id;
}

static void
look_unit(void *arg)
{
	LookUnit   *unit = arg;
	MemoryContext old = MemoryContextSwitchTo(unit->context);

	exact_token_look(unit->chain, &unit->row);
	MemoryContextSwitchTo(old);
}

/* Was the newest pair refused, with nothing done about it since? A new client secret is worth one more try. */
static bool
still_refused(const ExactTokenChain *chain, const ExactTokenRow *row)
{
	bool		unsaid = chain->note_due && chain->note.state != NULL;
	bool		refused = unsaid ? strcmp(chain->note.state, "reauthorize") == 0 : row->reauthorize;
	TimestampTz since = unsaid ? chain->note_since : row->since;

	return refused && row->issued_at <= since && row->client_secret_set_at <= since;
}

/* Decides for those who wait: the token at hand, a refresh, or why neither. */
static void
decide(ExactTokenChain *chain, const ExactTokenRow *row)
{
	TimestampTz now = GetCurrentTimestamp();
	int			today = (int) (now / USECS_PER_DAY);
	bool		spent = chain->day == today && chain->calls >= CALLS_A_DAY;
	int			age = age_of(row->issued_at, now);
	int64		life = row->expires_at > row->issued_at ? row->expires_at - row->issued_at : 0;
	bool		alive = chain->access != NULL && (now < row->expires_at - Min(5 * USECS_PER_SEC, life / 10) || now < chain->kept_until);
	int			refresh_age = Max(exact_refresh_after_s, Max(row->learned_age, chain->note_due ? chain->note.learned_age : 0));
	bool		early = alive && age < refresh_age;
	TimestampTz when = chain->not_before;

	/* a rejected token may mean a dead chain: one call tells, before the time at which the service gives a new one */
	if (early && chain->tried_early)
		when = Max(when, TimestampTzPlusMilliseconds(row->issued_at, (int64) refresh_age * 1000));
	if (spent)
		when = Max(when, (TimestampTz) (today + 1) * USECS_PER_DAY);

	if (alive && !chain->rejected && (early || now < when))
		exact_token_answer(chain, EXACT_TOKEN_OK, NULL, 0);
	else if (now >= when)
	{
		chain->sent_age = chain->access != NULL ? age : -1;
		chain->sent_alive = alive;
		chain->sent_early = early;
		chain->tried_early = chain->tried_early || early;
		exact_token_call_refresh(chain);
	}
	else if (spent)
		exact_token_answer(chain, EXACT_TOKEN_WAIT,
						   exact_fault_make(ERRCODE_EXACT_BUDGET,
											 psprintf("app \"%s\" has used its %d token calls of today", chain->app, CALLS_A_DAY),
											 pstrdup("Another program uses the same app and user, or the service has failed all day."),
											 psprintf("The hub goes on at %s.", timestamptz_to_str(when))), when);
	else
		exact_token_answer(chain, EXACT_TOKEN_WAIT,
						   exact_fault_make(ERRCODE_EXACT_UNAVAILABLE,
											 psprintf("app \"%s\" has no valid access token now", chain->app),
											 chain->rejected && chain->tried_early && early ?
											 pstrdup("Exact Online rejects the current one and gives no new one so soon.") :
											 psprintf("The last call for a new one: %s.", chain->finding[0] ? chain->finding : "no clear answer"),
											 psprintf("The refresh token is kept; the hub tries again at %s.", timestamptz_to_str(when))), when);
}

/* An authorisation goes first, since it ends the old chain anyway. */
void
exact_token_go_on(ExactTokenChain *chain)
{
	MemoryContext context;
	MemoryContext old;
	LookUnit	unit = {chain, NULL, {0}};
	ExactFault *fault = NULL;

	if (chain->phase != EXACT_CHAIN_IDLE)
		return;
	if (chain->code != NULL)
	{
		exact_token_call_exchange(chain);
		return;
	}
	if (chain->waiters == NULL)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "exact token", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	unit.context = context;
	if (!exact_unit_run("token", look_unit, &unit, &fault))
		exact_token_answer_local(chain, fault);
	else if (unit.row.id == 0)
		exact_token_answer(chain, EXACT_TOKEN_REAUTHORIZE,
						   exact_fault_make(ERRCODE_EXACT_NOT_AUTHORIZED, psprintf("app \"%s\" is not authorised yet", chain->app), NULL,
											 psprintf("%s.", exact_token_consent_step(chain->app))), exact_token_in_ms(LOCAL_RETRY_MS));
	else if (still_refused(chain, &unit.row))
	{
		const ExactTokenRow *row = &unit.row;
		bool		unsaid = chain->note_due && chain->note.reason != NULL;
		const char *reason = unsaid ? chain->note.reason : row->reason;
		const char *step = unsaid ? chain->note.next_step : row->next_step;

		exact_token_answer(chain, EXACT_TOKEN_REAUTHORIZE,
						   exact_fault_make(ERRCODE_EXACT_NOT_AUTHORIZED, psprintf("app \"%s\" must be authorised again", chain->app),
											 reason ? psprintf("%s.", reason) : NULL,
											 psprintf("%s.", step ? step : exact_token_consent_step(chain->app))),
						   exact_token_in_ms(LOCAL_RETRY_MS));
	}
	else
		decide(chain, &unit.row);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
exact_token_get(const char *app, ExactTokenDone done, void *arg)
{
	ExactTokenChain *chain = find_chain(app);
	ExactTokenWaiter *waiter = MemoryContextAlloc(TopMemoryContext, sizeof(ExactTokenWaiter));
	ExactTokenWaiter **tail = &chain->waiters;

	waiter->next = NULL;
	waiter->done = done;
	waiter->arg = arg;
	while (*tail != NULL)
		tail = &(*tail)->next;
	*tail = waiter;
	exact_token_go_on(chain);
}

void
exact_token_rejected(const char *app, int64 id)
{
	ExactTokenChain *chain = find_chain(app);

	if (chain->access != NULL && chain->id == id)
		chain->rejected = true;
}

void
exact_token_authorize(const char *app, const char *code, const char *redirect_uri, ExactTokenDone done, void *arg)
{
	ExactTokenChain *chain = find_chain(app);

	if (chain->exchange_done != NULL)
	{
		ExactTokenAnswer answer = {.state = EXACT_TOKEN_WAIT};

		answer.retry_at = exact_token_in_ms(BUSY_RETRY_MS);
		answer.fault = exact_fault_make(ERRCODE_EXACT_NOT_AUTHORIZED, psprintf("another authorisation of app \"%s\" is running", app), NULL,
										 pstrdup("Wait for its end."));
		done(&answer, arg);
		return;
	}
	chain->code = exact_secret_new(code, strlen(code));
	chain->redirect_uri = MemoryContextStrdup(TopMemoryContext, redirect_uri);
	chain->exchange_done = done;
	chain->exchange_arg = arg;
	exact_token_go_on(chain);
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

/* Refresh tokens live 30 days: an idle chain is renewed weekly, an imported one as soon as it is seen. */
static void
keep_alive(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "exact idle tokens", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	IdleUnit	unit = {context, NULL, 0};

	if (exact_unit_run("idle tokens", idle_unit, &unit, NULL))
		for (int i = 0; i < unit.n; i++)
			exact_token_get(unit.names[i], on_kept_alive, NULL);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

static bool
is_timed(const ExactTokenChain *chain)
{
	return chain->phase == EXACT_CHAIN_PAUSING || chain->phase == EXACT_CHAIN_STORING || chain->note_due;
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
	for (ExactTokenChain *chain = chains; chain != NULL; chain = chain->next)
	{
		if (is_timed(chain) && chain->timer <= now)
			exact_token_call_timer(chain);
		if (is_timed(chain) && chain->timer < next)
			next = chain->timer;
	}
	now = GetCurrentTimestamp();
	return next <= now ? 0 : (long) ((next - now) / 1000) + 1;
}

/*
 * token_call.c - calls of Exact Online's token endpoint, and what comes of each (fetcher only).
 *
 * A refresh token works once, and losing its answer can mean that a human must consent again
 * (exact-online.md §2.3-2.6). So the attempt is recorded before it is sent, a new pair is committed
 * before anybody gets its access token, an unclear outcome is tried once more with the same refresh
 * token, and a refusal is final until somebody acts. Called by exact_token.c, which decides when.
 *
 * An access token that comes without a refresh token is stored with the refresh token that was
 * sent, which is all that is left: RFC 6749 §6 calls that one still good, Exact Online's rules call
 * it used up. Exact Online perhaps takes it until the access token is used (§2.6), so it is tried
 * once before anybody gets the access token.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "auth/credential.h"
#include "auth/oauth.h"
#include "auth/secret.h"
#include "auth/token.h"
#include "auth/token_call.h"
#include "auth/token_chain.h"
#include "auth/token_store.h"
#include "base/backoff.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/fault.h"
#include "http/http_client.h"
#include "worker/self.h"
#include "worker/service.h"
#include "worker/unit.h"

#define TOKEN_TIMEOUT_MS 130000
#define RETRY_MS 2000			/* until the second attempt after an unclear outcome */
#define DOWN_FIRST_MS 1000		/* while nothing can be sent */
#define DOWN_LAST_MS 60000
#define MIN_REFRESH_AGE_S 570	/* exact-online.md §2.4 */
#define TOKEN_LIFE_S 600
#define UNKNOWN_AGE_MS 30000	/* wait after "too early" when the time of issue is not known */
#define STORE_RETRY_MS 250
#define NOTE_RETRY_MS 2000

typedef struct PrepareUnit
{
	ExactTokenChain *chain;
	MemoryContext context;
	ExactTokenRow row;
} PrepareUnit;

static void on_answer(ExactHttpResponse *response, void *arg);

static void
note_unit(void *arg)
{
	ExactTokenChain *chain = arg;

	chain->owed.due = !exact_token_store_note(chain->app, &chain->owed.note);
}

/* Says in exact.app_state how things are: now, or when its row is free. */
static void
write_note(ExactTokenChain *chain)
{
	if (!exact_unit_run("token state", note_unit, chain, NULL))
		chain->owed.due = true;
	if (chain->owed.due && chain->phase != EXACT_CHAIN_PAUSING)
		chain->timer = exact_token_in_ms(NOTE_RETRY_MS);
}

/* Begins what is to be said next; what could not be said yet stays part of it. */
static void
begin_note(ExactTokenChain *chain, TimestampTz refreshing_since, int attempts)
{
	if (!chain->owed.due)
		memset(&chain->owed.note, 0, sizeof(chain->owed.note));
	chain->owed.note.refreshing_since = refreshing_since;
	chain->owed.note.attempts = attempts;
}

static void
note_state(ExactTokenChain *chain, const char *state, const char *reason, const char *step)
{
	begin_note(chain, 0, 0);
	chain->owed.since = GetCurrentTimestamp();
	chain->owed.note.state = state;
	chain->owed.note.reason = chain->owed.note.next_step = NULL;
	if (reason != NULL)
	{
		strlcpy(chain->owed.reason, reason,
				pg_mbcliplen(reason, (int) strlen(reason), sizeof(chain->owed.reason) - 1) + 1);
		strlcpy(chain->owed.step, step, sizeof(chain->owed.step));
		chain->owed.note.reason = chain->owed.reason;
		chain->owed.note.next_step = chain->owed.step;
	}
}

static void
record_unit(void *arg)
{
	const ExactTokenChain *chain = arg;

	exact_token_store_record(chain->app, &chain->call);
}

/* Sends one request to the token endpoint; its secrets are in chain->sent already. */
static void
send_call(ExactTokenChain *chain, const ExactTokenRow *row)
{
	static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
	"Accept: application/json", NULL};
	int			today = (int) (GetCurrentTimestamp() / USECS_PER_DAY);
	ExactOauthField fields[] = {
		{"grant_type", chain->sent.exchange ? "authorization_code" : "refresh_token", NULL},
		{"client_id", row->client_id, NULL},
		{"client_secret", NULL, chain->sent.client_secret},
		{chain->sent.exchange ? "code" : "refresh_token", NULL, chain->sent.token},
		{"redirect_uri", chain->consent.redirect_uri, NULL},
	};
	ExactSecret *body = exact_oauth_form(fields, chain->sent.exchange ? 5 : 4);
	ExactHttpRequest request = {0};

	request.method = "POST";
	request.url = psprintf("%s/api/oauth2/token", row->base_url);
	request.headers = headers;
	request.body = exact_secret_reveal(body, &request.body_len);
	request.timeout_ms = TOKEN_TIMEOUT_MS;
	request.max_bytes = 1024 * 1024;
	request.sensitive = true;

	chain->unreached = false;
	if (chain->sent.origin != NULL)
		pfree(chain->sent.origin);
	chain->sent.origin = MemoryContextStrdup(TopMemoryContext, row->origin);
	chain->sent.id = row->id;
	chain->sent.issued_at = row->issued_at;
	chain->sent.expires_at = row->expires_at;
	chain->sent.borrowed = row->borrowed;
	chain->calls = chain->day == today ? chain->calls + 1 : 1;
	chain->day = today;
	chain->phase = EXACT_CHAIN_CALLING;
	chain->sent.at = GetCurrentTimestamp();
	exact_self_hold_exit();
	exact_service_begin(chain->app, request.url);
	exact_http_start(&request, on_answer, chain);
	exact_secret_free(body);
}

/* The call is over: its secrets go, and whoever wants to end this process may. */
static void
end_call(ExactTokenChain *chain, ExactTokenPhase phase)
{
	chain->phase = phase;
	exact_secret_drop(&chain->sent.token);
	exact_secret_drop(&chain->sent.client_secret);
	exact_self_release_exit();
}

static void
refresh_unit(void *arg)
{
	PrepareUnit *unit = arg;
	ExactTokenChain *chain = unit->chain;
	MemoryContext old = MemoryContextSwitchTo(unit->context);

	exact_secret_drop(&chain->sent.token); /* a unit may run again */
	exact_secret_drop(&chain->sent.client_secret);
	exact_token_chain_look(chain, &unit->row);
	chain->sent.token = exact_token_store_open(chain->app, &unit->row, "refresh");
	chain->sent.client_secret = exact_credential_open("app", chain->app, "client_secret", NULL);
	MemoryContextSwitchTo(old);
}

/* The attempt is recorded before it is sent. */
void
exact_token_call_refresh(ExactTokenChain *chain)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "exact refresh",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	PrepareUnit unit = {chain, context, {0}};
	ExactFault *fault = NULL;

	if (exact_unit_run("token refresh", refresh_unit, &unit, &fault))
	{
		/*
		 * For a process that finds this after a crash; while a user's transaction has the row, only
		 * this process knows.
		 */
		begin_note(chain, GetCurrentTimestamp(), chain->unclear + 1);
		write_note(chain);
		chain->sent.exchange = false;
		send_call(chain, &unit.row);
	}
	else
	{
		exact_secret_drop(&chain->sent.token);
		exact_secret_drop(&chain->sent.client_secret);
		exact_token_answer_local(&chain->waiters, fault);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

static void
exchange_unit(void *arg)
{
	PrepareUnit *unit = arg;
	ExactTokenChain *chain = unit->chain;
	MemoryContext old = MemoryContextSwitchTo(unit->context);

	exact_secret_drop(&chain->sent.client_secret);
	exact_token_store_look(chain->app, &unit->row);
	chain->sent.client_secret = exact_credential_open("app", chain->app, "client_secret", NULL);
	if (!exact_token_store_use_state(chain->app))
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_NOT_AUTHORIZED),
				 errmsg("no authorisation of app \"%s\" is waiting", chain->app),
				 errdetail("The address was used already, or authorize_url() was called in a "
						   "transaction that is not committed."),
				 errhint("Begin again: %s.", exact_token_chain_consent_step(chain))));
	MemoryContextSwitchTo(old);
}

/* An authorisation has ended: tells the one who asked for it. */
static void
answer_exchange(ExactTokenChain *chain, ExactTokenState state, const ExactFault *fault)
{
	ExactTokenDone done = chain->consent.done;
	ExactTokenAnswer answer = {state, state == EXACT_TOKEN_OK ? chain->at_hand.access : NULL, fault,
	state == EXACT_TOKEN_OK ? 0 : GetCurrentTimestamp(), chain->at_hand.id};

	chain->sent.exchange = false;
	chain->consent.done = NULL;
	exact_secret_drop(&chain->consent.code);
	pfree(chain->consent.redirect_uri);
	chain->consent.redirect_uri = NULL;
	done(&answer, chain->consent.arg);
}

void
exact_token_call_exchange(ExactTokenChain *chain)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "exact exchange",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	PrepareUnit unit = {chain, context, {0}};
	ExactFault *fault = NULL;

	if (exact_unit_run("authorise", exchange_unit, &unit, &fault))
	{
		chain->sent.exchange = true;
		chain->sent.token = chain->consent.code;
		chain->consent.code = NULL;
		send_call(chain, &unit.row);
	}
	else
	{
		exact_secret_drop(&chain->sent.client_secret);
		answer_exchange(chain, EXACT_TOKEN_REAUTHORIZE, fault);
		chain->on_idle(chain);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

typedef struct StoreUnit
{
	ExactTokenChain *chain;
	int64		id;
} StoreUnit;

static void
store_unit(void *arg)
{
	StoreUnit  *unit = arg;
	ExactTokenChain *chain = unit->chain;
	ExactTokenPair pair = {chain->sent.origin, chain->fresh.access, chain->fresh.refresh,
	chain->fresh.issued_at, chain->fresh.expires_at,
	chain->sent.exchange ? "authorize" : chain->fresh.borrowed ? "access" : "refresh",
	chain->sent.id, chain->sent.issued_at};

	unit->id = exact_token_store_append(chain->app, &pair);
}

/* An access token came without a refresh token: what that is, and what comes of it. */
static void
note_borrowed(ExactTokenChain *chain)
{
	char	   *until = pstrdup(timestamptz_to_str(chain->fresh.expires_at));

	note_state(chain, "authorized",
			   psprintf("Exact Online gave an access token, which ends at %s, without a refresh "
						"token", until),
			   psprintf("nothing yet: the hub tries the previous refresh token again; if that is "
						"refused, a person must consent before %s", until));
}

/* Commits the pair that has come; until that has worked nobody gets its access token. */
static void
store_pair(ExactTokenChain *chain)
{
	StoreUnit	unit = {chain, 0};
	bool		exchange = chain->sent.exchange;

	if (!exact_unit_run("store tokens", store_unit, &unit, NULL))
	{
		chain->phase = EXACT_CHAIN_STORING;
		chain->timer = exact_token_in_ms(STORE_RETRY_MS);
		return;
	}
	exact_secret_drop(&chain->at_hand.access);
	exact_secret_drop(&chain->fresh.refresh);
	chain->at_hand.access = chain->fresh.access;
	chain->fresh.access = NULL;
	chain->at_hand.id = unit.id;
	chain->at_hand.issued_at = chain->fresh.issued_at;
	chain->at_hand.rejected = chain->at_hand.tried_early = false;
	/* a service that gives no refresh token time after time leaves the old one good */
	chain->at_hand.tried_again = chain->fresh.borrowed && chain->sent.borrowed;
	chain->unclear = chain->down = 0;
	chain->not_before = chain->fresh.not_before;
	end_call(chain, EXACT_CHAIN_IDLE);

	chain->call.token_id = unit.id;
	chain->call.expires_at = chain->fresh.expires_at;
	exact_unit_run("record token call", record_unit, chain, NULL);
	if (chain->fresh.borrowed)
		note_borrowed(chain);
	else
		note_state(chain, "authorized", NULL, NULL);
	write_note(chain);
	exact_log(LOG, "token app=%s event=\"%s\" ms=%.0f expires_s=%d", chain->app, chain->call.event,
			  chain->call.ms,
			  (int) ((chain->fresh.expires_at - chain->sent.at) / USECS_PER_SEC));
	if (exchange)
		answer_exchange(chain, EXACT_TOKEN_OK, NULL);
	chain->on_idle(chain);
}

static ExactSecret *
copy_of(const ExactSecret *secret)
{
	size_t		len;
	const char *data = exact_secret_reveal(secret, &len);

	return exact_secret_new(data, len);
}

/* The service gave no new pair and says that it was too early: the current one goes on. */
static void
on_too_early(ExactTokenChain *chain, ExactOauthAnswer *answer)
{
	chain->unclear = chain->down = 0;
	exact_log(LOG, "token app=%s event=\"too early\" age_s=%d", chain->app, chain->sent.age);
	if (chain->sent.early)
		return;					/* exact_token.c knows when its time comes */
	/* a greater age is a clock's fault */
	if (chain->sent.age >= 0 && chain->sent.age < TOKEN_LIFE_S)
		chain->owed.note.learned_age = chain->sent.age < MIN_REFRESH_AGE_S ? MIN_REFRESH_AGE_S :
			chain->sent.age + UNKNOWN_AGE_MS / 1000;
	if (!chain->sent.alive)
		chain->not_before = Max(exact_token_in_ms(UNKNOWN_AGE_MS), chain->sent.age < 0 ? 0 :
								TimestampTzPlusMilliseconds(chain->at_hand.issued_at,
															MIN_REFRESH_AGE_S * 1000));
	/* "not expired": the service knows better than a clock that was moved */
	if (!chain->sent.alive && !chain->at_hand.rejected)
		chain->at_hand.kept_until = chain->not_before;

	/* not seen in two independent reports; but a refresh token that is not kept is lost */
	if (answer->refresh != NULL && chain->at_hand.access != NULL)
	{
		chain->fresh.access = copy_of(chain->at_hand.access);
		chain->fresh.borrowed = false;
		chain->fresh.refresh = answer->refresh;
		answer->refresh = NULL;
		chain->fresh.issued_at = chain->sent.issued_at + 1000;
		chain->fresh.expires_at = TimestampTzPlusMilliseconds(chain->at_hand.issued_at,
															  TOKEN_LIFE_S * 1000);
		chain->fresh.not_before = chain->not_before;
	}
}

/*
 * A human must act: stop, say so, raise the alarm. What is to be done depends on what the service
 * refuses.
 */
static void
on_refused(ExactTokenChain *chain, const ExactOauthAnswer *answer)
{
	bool		client = strcmp(answer->error, "invalid_client") == 0;
	char	   *reason = client ?
		psprintf("Exact Online refuses the client id or secret: %s", answer->finding) :
		chain->sent.borrowed ?
		psprintf("Exact Online gave an access token, which ends at %s, without a refresh token, "
				 "and no longer takes the previous refresh token: %s",
				 timestamptz_to_str(chain->sent.expires_at), answer->finding) :
		psprintf("Exact Online no longer takes the refresh token: %s%s", answer->finding,
				 chain->unclear > 0 ? " (the answer to the attempt before was lost)" : "");
	char	   *step = client ?
		psprintf("correct client_id in exact.app or the file app.%s.client_secret, "
				 "then SELECT * FROM exact.import_secrets()", chain->app) :
		exact_token_chain_consent_step(chain);

	chain->unclear = chain->down = 0;
	chain->not_before = 0;
	note_state(chain, "reauthorize", reason, step);
	exact_log(WARNING, "alarm app=%s state=reauthorize reason=\"%s\" next=\"%s\"", chain->app,
			  reason, step);
}

/*
 * Nothing is known about the refresh token that was sent: once more with the same one, then ever
 * more rarely.
 */
static void
on_unclear(ExactTokenChain *chain)
{
	chain->unclear++;
	exact_log(LOG, "token app=%s event=\"outcome unknown\" attempt=%d finding=\"%s\"", chain->app,
			  chain->unclear, chain->finding);
	chain->not_before = chain->unclear == 1 ? 0 :
		exact_token_in_ms(exact_backoff_ms(chain->unclear - 1, EXACT_CHAIN_UNCLEAR_FIRST_MS,
										   EXACT_CHAIN_UNCLEAR_LAST_MS));
	/* stays recorded: another process would have to know of it */
	begin_note(chain, chain->sent.at, chain->unclear);
}

/* Surely not processed. */
static void
on_not_processed(ExactTokenChain *chain, const ExactOauthAnswer *answer)
{
	int64		ms;

	chain->down++;
	exact_log(LOG, "token app=%s event=\"not sent\" attempt=%d finding=\"%s\"", chain->app,
			  chain->down, chain->finding);
	if (answer->retry_after >= 0)
		ms = Max(answer->retry_after, 1) * 1000;
	else if (answer->kind == EXACT_OAUTH_BUSY)
		ms = exact_backoff_ms(chain->down, EXACT_CHAIN_UNCLEAR_FIRST_MS,
							  EXACT_CHAIN_UNCLEAR_LAST_MS);
	else
		ms = exact_backoff_ms(chain->down, DOWN_FIRST_MS, DOWN_LAST_MS);
	chain->unreached = answer->retry_after < 0 && answer->kind != EXACT_OAUTH_BUSY &&
		chain->unclear == 0;
	/* one that was not sent is no call of the day */
	if (answer->kind == EXACT_OAUTH_NOT_SENT && chain->calls > 0)
		chain->calls--;
	chain->not_before = exact_token_in_ms(ms);
	if (chain->unclear > 0)
		begin_note(chain, chain->sent.at, chain->unclear);
}

/* A refresh was answered without a pair, but perhaps with a refresh token that must be kept. */
static void
end_refresh(ExactTokenChain *chain, ExactOauthAnswer *answer)
{
	begin_note(chain, 0, 0);
	if (answer->kind == EXACT_OAUTH_TOO_EARLY)
		on_too_early(chain, answer);
	else if (answer->kind == EXACT_OAUTH_REFUSED)
		on_refused(chain, answer);
	else if (answer->kind == EXACT_OAUTH_UNCLEAR)
		on_unclear(chain);
	else
		on_not_processed(chain, answer);

	if (chain->fresh.refresh != NULL)
		store_pair(chain);
	else if (answer->kind == EXACT_OAUTH_UNCLEAR && chain->unclear == 1)
	{
		end_call(chain, EXACT_CHAIN_PAUSING);
		chain->timer = exact_token_in_ms(RETRY_MS);
		write_note(chain);
	}
	else
	{
		end_call(chain, EXACT_CHAIN_IDLE);
		write_note(chain);
		chain->on_idle(chain);
	}
}

/*
 * No pair came for an authorisation code. A code works once: there is no second attempt, a person
 * is there to begin again.
 */
static void
end_exchange(ExactTokenChain *chain, const ExactOauthAnswer *answer)
{
	bool		refused = answer->kind == EXACT_OAUTH_REFUSED;
	char	   *step = exact_token_chain_consent_step(chain);
	char	   *detail = psprintf("%s.", answer->finding);
	int			sqlstate;
	char	   *message;
	char	   *hint;
	ExactFault *fault;

	if (refused && strcmp(answer->error, "invalid_client") == 0)
	{
		sqlstate = ERRCODE_EXACT_SECRET;
		message = psprintf("Exact Online refuses the client id or secret of app \"%s\"",
						   chain->app);
		hint = psprintf("Correct client_id in exact.app or the file app.%s.client_secret, "
						"SELECT * FROM exact.import_secrets(); then %s.", chain->app, step);
	}
	else if (refused)
	{
		sqlstate = ERRCODE_EXACT_NOT_AUTHORIZED;
		message = psprintf("Exact Online refuses the authorisation of app \"%s\"", chain->app);
		hint = psprintf("A code works once and for three minutes. Begin again: %s.", step);
	}
	else
	{
		sqlstate = ERRCODE_EXACT_UNAVAILABLE;
		message = psprintf("the authorisation of app \"%s\" got no clear answer", chain->app);
		hint = psprintf("Begin again: %s.", step);
	}
	fault = exact_fault_make(sqlstate, message, detail, hint);
	exact_log(LOG, "token app=%s event=\"not authorized\" finding=\"%s\"", chain->app,
			  answer->finding);
	end_call(chain, EXACT_CHAIN_IDLE);
	answer_exchange(chain, refused ? EXACT_TOKEN_REAUTHORIZE : EXACT_TOKEN_WAIT, fault);
	chain->on_idle(chain);
}

/* What the answer says of the service itself */
static void
tell_service(ExactTokenChain *chain, const ExactOauthAnswer *answer,
			 const ExactHttpResponse *response)
{
	TimestampTz until = answer->retry_after < 0 ? 0 :
		exact_token_in_ms(Max(answer->retry_after, 1) * 1000);

	if (answer->kind == EXACT_OAUTH_BUSY)
		exact_service_slowed(chain->app, until);
	else if (answer->kind == EXACT_OAUTH_TOO_EARLY && chain->at_hand.rejected)
	{
		exact_service_refused(chain->app);
		exact_service_no_token(chain->app, "it rejects the access token and gives no new one yet");
	}
	else if (answer->kind == EXACT_OAUTH_NOT_SENT || answer->kind == EXACT_OAUTH_UNCLEAR)
	{
		if (answer->kind == EXACT_OAUTH_UNCLEAR && answer->retry_after >= 0)
			exact_service_slowed(chain->app, until);
		else if (exact_service_is_away(response))
			exact_service_silent(chain->app, exact_service_away_cause(response));
		else
		{
			exact_service_refused(chain->app);
			exact_service_no_token(chain->app, answer->finding);
		}
	}
	else
		exact_service_answered(chain->app);
}

/* CALLING ends here: what the answer means, and which phase follows. */
static void
on_answer(ExactHttpResponse *response, void *arg)
{
	/* by ExactOauthKind */
	static const char *const outcomes[] = {"ok", "limit", "refused", "limit", "transient",
	"transient", "transient"};
	static const char *const events[] = {"refreshed", "too early", "refused", NULL, NULL,
	"outcome unknown", "no refresh token"};
	ExactTokenChain *chain = arg;
	const ExactSecret *hiding[] = {chain->sent.token, chain->sent.client_secret};
	ExactOauthAnswer answer;

	exact_oauth_read(response, true, hiding, lengthof(hiding), &answer);
	memset(&chain->call, 0, sizeof(chain->call));
	chain->call.at = chain->sent.at;
	chain->call.ms = response->ms;
	chain->call.status = response->status;
	chain->call.outcome = outcomes[answer.kind];
	chain->call.event = answer.kind == EXACT_OAUTH_TOKEN && chain->sent.exchange ? "authorized" :
		events[answer.kind];
	chain->call.bytes = response->body_len;
	tell_service(chain, &answer, response);
	chain->finding[0] = '\0';
	if (answer.finding != NULL)
		strlcpy(chain->finding, answer.finding, sizeof(chain->finding));

	if (answer.kind != EXACT_OAUTH_TOKEN)
		chain->call.error = chain->finding;
	if (answer.kind == EXACT_OAUTH_TOKEN ||
		(answer.kind == EXACT_OAUTH_NO_REFRESH && !chain->sent.exchange))
	{
		chain->fresh.borrowed = answer.kind == EXACT_OAUTH_NO_REFRESH;
		chain->fresh.access = answer.access;
		chain->fresh.refresh = chain->fresh.borrowed ? copy_of(chain->sent.token) : answer.refresh;

		/*
		 * Later than the pair before even when the clock was set back: the newest pair is told by
		 * this time.
		 */
		chain->fresh.issued_at = Max(GetCurrentTimestamp(), chain->sent.issued_at + 1000);
		chain->fresh.expires_at = TimestampTzPlusMilliseconds(chain->sent.at,
															  answer.expires_in * 1000);
		chain->fresh.not_before = 0;
		store_pair(chain);
		return;
	}
	exact_unit_run("record token call", record_unit, chain, NULL);
	if (chain->sent.exchange)
		end_exchange(chain, &answer);
	else
		end_refresh(chain, &answer);
	exact_oauth_forget(&answer);
}

void
exact_token_call_timer(ExactTokenChain *chain)
{
	if (chain->phase == EXACT_CHAIN_STORING)
		store_pair(chain);
	else if (chain->phase == EXACT_CHAIN_PAUSING)
	{
		chain->phase = EXACT_CHAIN_IDLE;
		exact_token_call_refresh(chain);
	}
	else
		write_note(chain);
}

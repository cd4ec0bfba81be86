/*
 * callback.c - the page to which Exact Online sends a browser after the consent: finishes what
 * exact.authorize_url() began.
 *
 * Called by listener.c. The state in the address says which app's authorisation it is; the code
 * goes to the fetcher through shared memory, never through a table, and the page waits for what
 * Exact Online says to it. Neither is logged or shown.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "auth/token_store.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/sql.h"
#include "base/words.h"
#include "http/http_server.h"
#include "listener/callback.h"
#include "listener/html.h"
#include "listener/rate.h"
#include "worker/asker.h"
#include "worker/role.h"
#include "worker/unit.h"

#define WAIT_MS 45000			/* a proxy in front gives up after 60 s */
#define USER_WAIT_MS 8000		/* for the name of the one who consented: a courtesy */
#define LOOK_MS 200
#define MAX_WAITING 16
#define MAX_A_SECOND 10			/* of one client: each costs a transaction, and anybody may ask */
#define MAX_OF_ALL 200
#define STATE_LEN 64
#define MOST_NAME 200			/* bytes of it */

typedef struct Callback
{
	dlist_node	node;
	MemoryContext context;		/* of this and all that follows */
	ExactRequest *request;
	char	   *address;
	char	   *app;
	char	   *code;
	char	   *redirect_uri;
	char	   *finding;
	char	   *detail;
	char	   *hint;
	char	   *user;
	bool		held;			/* its request is answered in a later turn */
	bool		authorized;		/* what is asked now is who consented */
	ExactAsking *asking;
	TimestampTz deadline;
} Callback;

static dlist_head callbacks = DLIST_STATIC_INIT(callbacks);
static int	nwaiting = 0;

static void
answer_page(ExactRequest *request, int status, const char *heading, const char *class,
			const char *text, const char *detail, const char *hint)
{
	StringInfoData page;
	ExactReply	reply = {
		.status = status,
		.type = "text/html; charset=utf-8",
		.style_hash = exact_html_style_hash()
	};

	initStringInfo(&page);
	exact_html_begin(&page, heading, heading, 0);
	exact_html_paragraph(&page, class, text);
	exact_html_paragraph(&page, NULL, detail);
	exact_html_paragraph(&page, "next", hint);
	exact_html_end(&page);
	reply.body = page.data;
	reply.len = page.len;
	exact_http_server_answer(request, &reply);
}

static void
end_callback(Callback *callback)
{
	if (callback->asking)
	{
		exact_asking_free(callback->asking);
		dlist_delete(&callback->node);
		nwaiting--;
	}
	if (callback->code)
		explicit_bzero(callback->code, strlen(callback->code));
	explicit_bzero(callback->address, strlen(callback->address));
	MemoryContextDelete(callback->context);
}

/* Sentences begin large and end with a point; messages of errors do not. */
static char *
sentence(const char *text)
{
	bool		ends = text[0] != '\0' && strchr(".!?", text[strlen(text) - 1]) != NULL;
	char	   *copy = psprintf("%s%s", text, ends ? "" : ".");

	if (copy[0] >= 'a' && copy[0] <= 'z')
		copy[0] -= 'a' - 'A';
	return copy;
}

static void
refuse(Callback *callback, int status, const char *text, const char *detail, const char *hint)
{
	answer_page(callback->request, status, "Not authorised", "fail", sentence(text), detail, hint);
	end_callback(callback);
}

static void
look_unit(void *arg)
{
	static const char sql[] =
	"SELECT app, code, redirect_uri, finding, detail, hint"
	" FROM exact._authorization($1)";
	Callback   *callback = arg;
	ExactArg	args[] = {exact_arg_text(callback->address)};
	char	  **texts[] = {
		&callback->app, &callback->code, &callback->redirect_uri,
		&callback->finding, &callback->detail, &callback->hint
	};
	MemoryContext old;

	exact_sql(sql, 1, args);
	old = MemoryContextSwitchTo(callback->context);
	for (size_t i = 0; i < lengthof(texts); i++)
		*texts[i] = exact_cell_text(0, (int) i + 1);
	MemoryContextSwitchTo(old);
}

static void
user_unit(void *arg)
{
	Callback   *callback = arg;

	exact_token_store_user(callback->app, callback->user);
}

/* Asks the fetcher; false, with nothing begun, when it does not take questions. */
static bool
ask(Callback *callback, const char *op, int nargs, const char *const *args, long wait_ms)
{
	MemoryContext old = MemoryContextSwitchTo(callback->context);
	ExactAsking *asking = exact_asking_new(EXACT_ROLE_FETCHER, op, NULL, nargs, args);

	MemoryContextSwitchTo(old);
	if (!exact_asking_start(asking, NULL, NULL))
	{
		exact_asking_free(asking);
		return false;
	}
	callback->asking = asking;
	if (!callback->held)
		exact_http_server_hold(callback->request);
	callback->held = true;
	callback->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms);
	dlist_push_tail(&callbacks, &callback->node);
	nwaiting++;
	return true;
}

static bool
too_many(const ExactPeer *client)
{
	static ExactRate looks = {.max = MAX_A_SECOND, .max_all = MAX_OF_ALL, .span_ms = 1000};

	if (nwaiting >= MAX_WAITING || exact_rate_spent(&looks, client))
		return true;
	exact_rate_count(&looks, client);
	return false;
}

/* Is there a state as exact.authorize_url() makes them? No other costs a look. */
static bool
has_state(const char *query)
{
	static const char hex[] = "0123456789abcdef";

	for (const char *part = query; part != NULL; part = strchr(part, '&'))
	{
		part += part != query;
		if (strncmp(part, "state=", 6) == 0)
			return strcspn(part + 6, "&") == STATE_LEN && strspn(part + 6, hex) == STATE_LEN;
	}
	return false;
}

/* A code works once: whoever only looks what is there, or comes too early, must not spend it. */
static bool
answered_at_once(ExactRequest *request, const ExactFault *not_now)
{
	if (request->head)
		answer_page(request, 200, "Authorisation", NULL, "", NULL, NULL);
	else if (!has_state(request->query))
		answer_page(request, 400, "Not authorised", "fail",
					"This is not the address that Exact Online sent the browser to.", NULL,
					"Copy the whole address from the browser after the consent: it holds code= and"
					" state=.");
	else if (not_now != NULL || too_many(&request->client))
		answer_page(request, 503, "Not yet authorised", "warn",
					not_now ? sentence(not_now->message) : "Too many ask at once.", NULL,
					"Load this page again in a few seconds.");
	else
		return false;
	return true;
}

/* Whose authorisation it is stands in the database; the code then goes to the fetcher. */
void
exact_callback_start(ExactRequest *request, const ExactFault *not_now)
{
	static const char hint_again[] = "Load this page again within three minutes, when"
		" SELECT * FROM exact.workers shows that it runs; later begin again with"
		" exact.authorize_url().";
	MemoryContext context;
	MemoryContext old;
	Callback   *callback;

	if (answered_at_once(request, not_now))
		return;
	context = AllocSetContextCreate(TopMemoryContext, "exact callback", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	callback = palloc0(sizeof(Callback));
	callback->context = context;
	callback->request = request;
	callback->address = psprintf("?%s", request->query);
	MemoryContextSwitchTo(old);
	if (!exact_unit_run("authorisation", look_unit, callback, NULL))
		refuse(callback, 503, "the database cannot look at it now", NULL, hint_again);
	else if (callback->finding != NULL)
		refuse(callback, 400, callback->finding, callback->detail, callback->hint);
	else
	{
		const char *args[] = {callback->app, callback->code, callback->redirect_uri};

		if (!ask(callback, "authorize", lengthof(args), args, WAIT_MS))
			refuse(callback, 503, "the fetcher, which would finish the authorisation, does not run",
				   NULL, hint_again);
	}
}

static void
succeed(Callback *callback)
{
	const char *who = callback->user ? psprintf(" as %s", callback->user) : "";
	char	   *text = psprintf("App %s may now read Exact Online%s.", callback->app, who);
	char	   *next = psprintf("Next, in the database: SELECT * FROM"
								" exact.discover_divisions('%s'); if its divisions are enabled"
								" already, SELECT * FROM exact.status; shows the first load.",
								callback->app);

	answer_page(callback->request, 200, "Authorised", "ok", text,
				"You can close this page. From now on the hub reads Exact Online.", next);
	end_callback(callback);
}

/* The app is authorised: who consented? */
static void
ask_user(Callback *callback)
{
	const char *args[] = {callback->app};

	exact_asking_free(callback->asking);
	callback->asking = NULL;
	dlist_delete(&callback->node);
	nwaiting--;
	callback->authorized = true;
	if (!ask(callback, "me", 1, args, USER_WAIT_MS))
		succeed(callback);
}

static void
take_user(Callback *callback, const char *answer, size_t len)
{
	ExactJsonMember member;
	MemoryContext old = MemoryContextSwitchTo(callback->context);

	if (exact_json_find(answer, len, "FullName", &member))
	{
		const char *name = exact_json_text(&member);

		callback->user = name ? exact_words_tidy(name, MOST_NAME) : NULL;
	}
	MemoryContextSwitchTo(old);
	if (callback->user != NULL)
		exact_unit_run("name of the user", user_unit, callback, NULL);
}

/* Each of those that wait is answered when the fetcher has answered, or after its time. */
long
exact_callback_run(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &callbacks)
	{
		Callback   *callback = dlist_container(Callback, node, iter.cur);
		char	   *answer;
		size_t		len;
		ExactFault *fault;
		ExactAskingState state = exact_asking_look(callback->asking, &answer, &len, &fault);

		if (state == EXACT_ASKING_WAITS && callback->deadline > GetCurrentTimestamp())
			continue;
		if (!callback->authorized && state == EXACT_ASKING_ANSWERED)
			ask_user(callback);
		else if (callback->authorized)
		{
			if (state == EXACT_ASKING_ANSWERED)
				take_user(callback, answer, len);
			succeed(callback);
		}
		else if (state == EXACT_ASKING_FAILED)
			refuse(callback, fault->sqlstate == ERRCODE_EXACT_NOT_AUTHORIZED ? 400 : 503,
				   fault->message, fault->detail, fault->hint);
		else
			refuse(callback, 503, "Exact Online has not answered yet",
				   "The hub goes on waiting for the answer.",
				   "SELECT * FROM exact.apps shows what came of it.");
	}
	return dlist_is_empty(&callbacks) ? -1 : LOOK_MS;
}

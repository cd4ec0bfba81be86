/*
 * webhook_secret.c - the webhook secrets of the apps, current and next: opened once, found by what
 * they signed.
 *
 * Rows of exact.credential are read with each load, as the transaction sees them, and opened again
 * only when a row or the key file changed: a rotation counts from its commit on, in every process.
 * Plaintexts are in the secure heap of secret.c. Called by inbox.c.
 */
#include "postgres.h"

#include <sys/stat.h>

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "auth/credential.h"
#include "auth/envelope.h"
#include "auth/secret.h"
#include "base/compat.h"
#include "base/guc.h"
#include "base/sql.h"
#include "listener/webhook.h"
#include "listener/webhook_secret.h"
#include "worker/self.h"

#define OPEN_AGAIN_MS 1000		/* after one could not be opened */

/* Texts are its own. */
typedef struct WebhookSecret
{
	ExactWebhookSecret known;	/* first: what callers see */
	ExactSecretPlace place;
	bytea	   *envelope;
	bool		host_changed;	/* it was set for another host than the app has now */
	ExactSecret *secret;		/* NULL: it cannot be opened */
	char	   *problem;		/* why */
	TimestampTz tried_at;
} WebhookSecret;

static WebhookSecret *secrets = NULL;	/* of this process, in the order of app and field */
static int	nsecrets = 0;
static struct stat key_file_seen;

static void
forget_secrets(void)
{
	for (int i = 0; i < nsecrets; i++)
	{
		WebhookSecret *s = &secrets[i];

		exact_secret_free(s->secret);
		pfree(unconstify(char *, s->place.name));
		pfree(unconstify(char *, s->place.field));
		pfree(unconstify(char *, s->place.installation));
		pfree(unconstify(char *, s->place.host));
		pfree(unconstify(char *, s->known.client_id));
		pfree(s->envelope);
		if (s->problem != NULL)
			pfree(s->problem);
	}
	if (secrets != NULL)
		pfree(secrets);
	secrets = NULL;
	nsecrets = 0;
}

static void
set_problem(WebhookSecret *s, const char *problem)
{
	if (s->problem != NULL && strcmp(s->problem, problem) == 0)
		return;
	if (MyBackendType == B_BG_WORKER)
		exact_log(WARNING, "%s", problem);
	if (s->problem != NULL)
		pfree(s->problem);
	s->problem = MemoryContextStrdup(TopMemoryContext, problem);
}

/* Opens one; what keeps it closed is remembered, and tried again after a second. */
static void
open_secret(WebhookSecret *s)
{
	char	   *problem;

	s->tried_at = GetCurrentTimestamp();
	if (s->host_changed)
	{
		set_problem(s, psprintf("the %s of app \"%s\" is for another host", s->place.field,
								s->place.name));
		return;
	}
	s->secret = exact_credential_try(&s->place, s->envelope, &problem);
	if (s->secret == NULL)
		set_problem(s, problem);
}

/* Is the key file still the one that the secrets were opened with? */
static bool
same_key_file(void)
{
	struct stat now;
	bool		same;

	memset(&now, 0, sizeof(now));
	if (exact_key_file[0] != '\0' && stat(exact_key_file, &now) != 0)
		memset(&now, 0, sizeof(now));
	same = now.st_dev == key_file_seen.st_dev && now.st_ino == key_file_seen.st_ino &&
		now.st_size == key_file_seen.st_size &&
		now.st_mtim.tv_sec == key_file_seen.st_mtim.tv_sec &&
		now.st_mtim.tv_nsec == key_file_seen.st_mtim.tv_nsec;
	key_file_seen = now;
	return same;
}

/*
 * Row of the last result: app, field, client id, installation, host, secret, host changed. Is it
 * what this one was made of?
 */
static bool
same_row(const WebhookSecret *s, uint64 row)
{
	const char *texts[] = {
		s->place.name, s->place.field, s->known.client_id, s->place.installation, s->place.host
	};
	bytea	   *envelope = exact_cell_bytea(row, 6);

	for (int i = 0; i < (int) lengthof(texts); i++)
		if (strcmp(exact_cell_text(row, i + 1), texts[i]) != 0)
			return false;
	return exact_cell_bool(row, 7, false) == s->host_changed &&
		VARSIZE(envelope) == VARSIZE(s->envelope) &&
		memcmp(envelope, s->envelope, VARSIZE(envelope)) == 0;
}

/* Makes the secrets of the last result's rows, none of them opened yet. */
static void
read_secrets(int n)
{
	MemoryContext old;

	forget_secrets();
	old = MemoryContextSwitchTo(TopMemoryContext);
	secrets = palloc0(sizeof(WebhookSecret) * Max(n, 1));
	for (; nsecrets < n; nsecrets++)
	{
		WebhookSecret *s = &secrets[nsecrets];

		s->place.kind = "app";
		s->place.name = exact_cell_text(nsecrets, 1);
		s->place.field = exact_cell_text(nsecrets, 2);
		s->known.client_id = exact_cell_text(nsecrets, 3);
		s->place.installation = exact_cell_text(nsecrets, 4);
		s->place.host = exact_cell_text(nsecrets, 5);
		s->envelope = exact_cell_bytea(nsecrets, 6);
		s->host_changed = exact_cell_bool(nsecrets, 7, false);
		s->known.app = s->place.name;
		s->known.field = strcmp(s->place.field, "webhook_secret") == 0 ? "current" : "next";
	}
	MemoryContextSwitchTo(old);
}

/* Brings the opened secrets up to date with what this transaction sees. */
static void
load_secrets(void)
{
	static const char sql[] =
	"SELECT c.name, c.field, a.client_id, i.id, c.host, c.secret,"
	" c.host IS DISTINCT FROM exact._app_host(a.base_url, a.region)"
	" FROM exact._listener_secrets() AS c"
	" JOIN exact.app AS a ON a.name = c.name"
	" CROSS JOIN (SELECT id FROM exact.installation ORDER BY made_at, id LIMIT 1) AS i"
	" WHERE c.kind = 'app'"
	" AND c.field IN ('webhook_secret', 'webhook_secret_next')"
	" AND c.host IS NOT NULL"
	" ORDER BY c.name, c.field";
	uint64		n = exact_sql(sql, 0, NULL);
	bool		same = same_key_file() && n == (uint64) nsecrets;

	for (uint64 i = 0; same && i < n; i++)
		same = same_row(&secrets[i], i);
	if (!same)
		read_secrets((int) n);
	for (int i = 0; i < nsecrets; i++)
		if (secrets[i].secret == NULL &&
			TimestampDifferenceExceeds(secrets[i].tried_at, GetCurrentTimestamp(), OPEN_AGAIN_MS))
			open_secret(&secrets[i]);
}

static bool
is_of(const WebhookSecret *s, const char *app)
{
	return app == NULL || strcmp(app, s->known.app) == 0;
}

int
exact_webhook_secret_load(const char *app, const char **problem)
{
	int			usable = 0;
	const char *why = NULL;

	load_secrets();
	for (int i = 0; i < nsecrets; i++)
	{
		if (!is_of(&secrets[i], app))
			continue;
		if (secrets[i].secret != NULL)
			usable++;
		else
			why = secrets[i].problem;
	}
	if (problem != NULL)
	{
		if (why == NULL && app != NULL)
			why = psprintf("app \"%s\" has no webhook secret", app);
		*problem = why ? why : "no app has a webhook secret";
	}
	return usable;
}

static bool
names(const ExactWebhook *webhook, const char *client_id)
{
	return memmem(webhook->content, webhook->content_len, client_id, strlen(client_id)) != NULL;
}

static bool
signed_by(const ExactWebhook *webhook, const WebhookSecret *s)
{
	size_t		len;
	const char *data;

	if (s->secret == NULL)
		return false;
	data = exact_secret_reveal(s->secret, &len);
	return exact_webhook_signed(webhook, data, len);
}

const ExactWebhookSecret *
exact_webhook_secret_find(const ExactWebhook *webhook, const char *app)
{
	for (int named = 1; named >= 0; named--)
		for (int i = 0; i < nsecrets; i++)
			if (is_of(&secrets[i], app) &&
				names(webhook, secrets[i].known.client_id) == (named == 1) &&
				signed_by(webhook, &secrets[i]))
				return &secrets[i].known;
	return NULL;
}

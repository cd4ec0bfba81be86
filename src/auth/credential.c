/*
 * credential.c - secrets of apps and workspaces in exact.credential: store and open.
 *
 * A secret is encrypted before a tuple is formed and bound to its place, the installation and the
 * host as configured then; a changed host voids it. Each change of the table is audited by its
 * trigger. Runs with SPI connected: in units of the workers, and in backends for credential_sql.c.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "auth/address.h"
#include "auth/credential.h"
#include "auth/envelope.h"
#include "auth/secret.h"
#include "auth/token_store.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/sql.h"
#include "http/url.h"
#include "state/installation.h"
#include "worker/self.h"

static const struct
{
	const char *kind;
	const char *field;
	size_t		least;			/* bytes; a shorter one can be guessed by who tries many */
}			known[] =
{
	{"app", "client_secret", 1},
	{"app", "webhook_secret", 16},
	{"app", "webhook_secret_next", 16},
	{"app", "refresh_token", 1},
	{"workspace", "client_secret", 1},
	{"workspace", "token", 1},
	{"listener", "token", 32},
};

bool
exact_credential_known(const char *kind, const char *field, const char **why)
{
	bool		kind_known = false;

	for (int i = 0; i < (int) lengthof(known); i++)
	{
		if (strcmp(known[i].kind, kind) != 0)
			continue;
		kind_known = true;
		if (strcmp(known[i].field, field) == 0)
			return true;
	}
	if (!kind_known)
		*why = "A secret is of kind app, workspace or listener.";
	else if (strcmp(kind, "listener") == 0)
		*why = "The listener has token "
			"(who shows it may read /status and /metrics).";
	else if (strcmp(kind, "app") == 0)
		*why = "An app has client_secret, webhook_secret, webhook_secret_next and refresh_token.";
	else
		*why = "A workspace has client_secret (of its service principal) "
			"or token (personal access token).";
	return false;
}

/* The origin that a secret is for, as now configured. With SPI connected. Raises. */
static char *
host_for(const char *kind, const char *name)
{
	if (strcmp(kind, "app") == 0)
		return exact_url_origin(exact_app_base_url(name));
	if (strcmp(kind, "listener") == 0)
	{
		if (strcmp(name, "status") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_SECRET),
					 errmsg("there is no listener secret of the name \"%s\"", name),
					 errhint("Its name is status: the file is listener.status.token.")));
		return pstrdup("this database");	/* it is sent nowhere */
	}
	return exact_workspace_origin(name, NULL);
}

static size_t
least_bytes(const char *kind, const char *field)
{
	for (int i = 0; i < (int) lengthof(known); i++)
		if (strcmp(known[i].kind, kind) == 0 && strcmp(known[i].field, field) == 0)
			return known[i].least;
	return 1;
}

/*
 * What a value must look like to be a secret; NULL when it does. Control characters could end a
 * header line.
 */
static const char *
value_problem(const char *kind, const char *field, const ExactSecret *value)
{
	size_t		len;
	size_t		least = least_bytes(kind, field);
	const char *data = exact_secret_reveal(value, &len);

	if (len == 0)
		return "it is empty";
	if (len > EXACT_CREDENTIAL_MAX)
		return "it is longer than 64 kB";
	if (len < least)
		return psprintf("it has %zu bytes, the minimum is %zu", len, least);
	for (size_t i = 0; i < len; i++)
		if ((uint8) data[i] < 0x20 || data[i] == 0x7f)
			return "it holds a line end or another control character";
	return NULL;
}

/* Nothing but the two codes of exact_envelope_open is caught. */
ExactSecret *
exact_credential_try(const ExactSecretPlace *place, const bytea *envelope, char **problem)
{
	MemoryContext context = CurrentMemoryContext;
	ExactSecret *volatile secret = NULL;

	PG_TRY();
	{
		secret = exact_envelope_open(place, envelope);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* only our own refusals: nothing but memory was touched, so the transaction goes on */
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_EXACT_SECRET &&
			error->sqlerrcode != ERRCODE_EXACT_KEY_FILE)
			PG_RE_THROW();
		FlushErrorState();
		*problem = error->message;
	}
	PG_END_TRY();
	return secret;
}

/* What is stored: host, secret, set_at as the result of one row; false when there is nothing. */
static bool
select_stored(const char *kind, const char *name, const char *field)
{
	static const char sql[] =
		"SELECT host, secret, set_at FROM exact.credential"
		" WHERE kind = $1 AND name = $2 AND field = $3";
	static const char listener_sql[] =
		"SELECT host, secret, set_at FROM exact._listener_secrets()"
		" WHERE kind = $1 AND name = $2 AND field = $3";
	ExactArg	args[] = {exact_arg_text(kind), exact_arg_text(name), exact_arg_text(field)};

	/* the listener may see no others */
	if (strcmp(kind, "listener") == 0)
		return exact_sql(listener_sql, lengthof(args), args) > 0;
	return exact_sql(sql, lengthof(args), args) > 0;
}

/*
 * Is this value what is stored now, for the same host? A stored one that cannot be opened is
 * another.
 */
static bool
is_stored(const ExactSecretPlace *place, const ExactSecret *value)
{
	char	   *host;
	bytea	   *envelope;
	ExactSecret *stored;
	char	   *problem;
	bool		same;

	if (!select_stored(place->kind, place->name, place->field))
		return false;
	host = exact_cell_text(0, 1);
	envelope = exact_cell_bytea(0, 2);
	if (host == NULL || strcmp(host, place->host) != 0)
		return false;
	stored = exact_credential_try(place, envelope, &problem);
	if (stored == NULL)
		return false;
	same = exact_secret_equal(stored, value);
	exact_secret_free(stored);
	return same;
}

/* The value goes into a tuple as an envelope only. */
bool
exact_credential_store(const char *kind, const char *name, const char *field,
					   const ExactSecret *value, bool only_new)
{
	static const char upsert[] =
		"INSERT INTO exact.credential AS c"
		" (kind, name, field, secret, key_id, host, set_at, set_by)"
		" VALUES ($1, $2, $3, $4, $5, $6, pg_catalog.clock_timestamp(),"
		"  coalesce($7, session_user::text))"
		" ON CONFLICT (kind, name, field) DO UPDATE SET"
		"  secret = EXCLUDED.secret, key_id = EXCLUDED.key_id, host = EXCLUDED.host,"
		"  set_at = EXCLUDED.set_at, set_by = EXCLUDED.set_by";
	const char *why = NULL;
	const char *problem;
	ExactSecretPlace place = {kind, name, field, NULL, NULL};
	char	   *key_id;
	bytea	   *sealed;

	if (!exact_credential_known(kind, field, &why))
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_SECRET),
				 errmsg("there is no secret \"%s\" of kind \"%s\"", field, kind),
				 errhint("%s", why)));
	problem = value_problem(kind, field, value);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_SECRET),
				 errmsg("this cannot be the %s of %s \"%s\": %s", field, kind, name, problem),
				 errhint("%s", strcmp(kind, "listener") == 0 ?
						 "Make it by openssl rand -hex 32." :
						 "Give the value as the service shows it, in one line.")));
	place.host = host_for(kind, name);
	place.installation = exact_installation_id();
	if (only_new && is_stored(&place, value))
		return false;

	sealed = exact_envelope_seal(&place, value, &key_id);
	{
		ExactArg	args[] = {
			exact_arg_text(kind),
			exact_arg_text(name),
			exact_arg_text(field),
			exact_arg_bytea(VARDATA(sealed), VARSIZE(sealed) - VARHDRSZ),
			exact_arg_text(key_id),
			exact_arg_text(place.host),
			exact_arg_text(MyBackendType == B_BG_WORKER ?
						   psprintf("exact %s", exact_self_name()) : NULL),
		};

		exact_sql(upsert, lengthof(args), args);
	}
	if (strcmp(field, "refresh_token") == 0)
		exact_token_store_import(name, place.host, value);
	return true;
}

/* What was set for another host stays closed: it must not be sent to this one. */
ExactSecret *
exact_credential_open(const char *kind, const char *name, const char *field, TimestampTz *set_at)
{
	char	   *now_host = host_for(kind, name);
	ExactSecretPlace place = {kind, name, field, NULL, now_host};
	char	   *host;
	bytea	   *envelope;

	if (!select_stored(kind, name, field))
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_SECRET),
				 errmsg("the %s of %s \"%s\" is not set", field, kind, name),
				 errhint("Put it into the file %s.%s.%s in exact_databricks.secrets_directory, "
						 "then SELECT * FROM exact.import_secrets();",
						 kind, name, field)));
	host = exact_cell_text(0, 1);
	envelope = exact_cell_bytea(0, 2);
	if (set_at != NULL)
		*set_at = exact_cell_time(0, 3, 0);
	if (host == NULL || strcmp(host, now_host) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_SECRET),
				 errmsg("the %s of %s \"%s\" is for another host", field, kind, name),
				 errdetail("It was set for %s; the %s now points to %s.", host ? host : "none",
						   kind, now_host),
				 errhint("Set it again: SELECT * FROM exact.import_secrets();")));
	place.installation = exact_installation_id();
	return exact_envelope_open(&place, envelope);
}

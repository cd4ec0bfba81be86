/*
 * credential.c - secrets of apps and workspaces in exact.credential: store, open, exact.set_secret(), exact.rotate_key().
 *
 * A secret is encrypted before a tuple is formed and bound to its place, the installation and the host as configured then; a changed
 * host voids it. Each change of the table is audited by its trigger. Runs with SPI connected: in units of the workers, and in backends
 * for the SQL functions, which never return a secret.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "tcop/cmdtag.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "auth/credential.h"
#include "auth/secret_file.h"
#include "auth/token.h"
#include "auth/token_store.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/sql.h"
#include "http/http_client.h"
#include "http/url.h"
#include "worker/self.h"

PG_FUNCTION_INFO_V1(exact_set_secret);
PG_FUNCTION_INFO_V1(exact_rotate_key);
PG_FUNCTION_INFO_V1(exact__key_file_finding);
PG_FUNCTION_INFO_V1(exact__hide_statement);

#define SECRET_MAX (64 * 1024)

static const struct
{
	const char *kind;
	const char *field;
}			known[] =
{
	{"app", "client_secret"},
	{"app", "webhook_secret"},
	{"app", "webhook_secret_next"},
	{"app", "refresh_token"},
	{"workspace", "client_secret"},
	{"workspace", "token"},
	{"listener", "token"},
};

char *
exact_installation_id(void)
{
	if (exact_sql("SELECT id FROM exact.installation ORDER BY made_at, id LIMIT 1", 0, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_INSTALLATION),
				 errmsg("this database has no installation yet"),
				 errdetail("Secrets are bound to the installation, which the first worker makes."),
				 errhint("Put exact_databricks into shared_preload_libraries and restart the server; SELECT * FROM exact.check(); says what else is missing.")));
	return exact_cell_text(0, 1);
}

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
	*why = !kind_known ? "A secret is of kind app, workspace or listener." :
		strcmp(kind, "listener") == 0 ? "The listener has token (who shows it may read /status and /metrics from elsewhere)." :
		strcmp(kind, "app") == 0 ? "An app has client_secret, webhook_secret, webhook_secret_next and refresh_token." :
		"A workspace has client_secret (of its service principal) or token (personal access token).";
	return false;
}

char *
exact_credential_host(const char *kind, const char *name)
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

/* What a value must look like to be a secret; NULL when it does. Control characters could end a header line. */
static const char *
value_problem(const ExactSecret *value)
{
	size_t		len;
	const char *data = exact_secret_reveal(value, &len);

	if (len == 0)
		return "it is empty";
	if (len > SECRET_MAX)
		return "it is longer than 64 kB";
	for (size_t i = 0; i < len; i++)
		if ((uint8) data[i] < 0x20 || data[i] == 0x7f)
			return "it holds a line end or another control character";
	return NULL;
}

/*
 * A refresh token that was issued elsewhere becomes this app's newest pair; without an access token, so that the first call refreshes.
 * When it was issued is not known: now at the latest, which also makes it the newest.
 */
static void
store_authorisation(const ExactSecretPlace *place, const ExactSecret *value)
{
	ExactSecretPlace token = {"token", place->name, "refresh", place->installation, place->host};
	char	   *key_id;
	bytea	   *sealed = exact_envelope_seal(&token, value, &key_id);
	ExactArg	args[] = {
		exact_arg_text(place->name),
		exact_arg_text(place->installation),
		exact_arg_text(place->host),
		exact_arg_text(key_id),
		exact_arg_bytea(VARDATA(sealed), VARSIZE(sealed) - VARHDRSZ),
	};

	exact_sql("INSERT INTO exact.token (app, installation, host, key_id, refresh, issued_at, expires_at, origin)"
			  " SELECT $1, $2, $3, $4, $5, t.moment, t.moment, 'import' FROM (SELECT greatest(pg_catalog.clock_timestamp(), (" EXACT_TOKEN_NEXT_ISSUED ")) AS moment) AS t",
			  5, args);
	exact_sql("INSERT INTO exact.app_state AS s (app, state, since) VALUES ($1, 'authorized', pg_catalog.clock_timestamp())"
			  " ON CONFLICT (app) DO UPDATE SET state = 'authorized', since = pg_catalog.clock_timestamp(), reason = NULL,"
			  " next_step = NULL, refreshing_since = NULL, refresh_attempts = 0",
			  1, args);
}

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

		/* only our own refusals to open: nothing but memory was touched, so the transaction goes on */
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_EXACT_SECRET && error->sqlerrcode != ERRCODE_EXACT_KEY_FILE)
			PG_RE_THROW();
		FlushErrorState();
		*problem = error->message;
	}
	PG_END_TRY();
	return secret;
}

/* Is this value what is stored now, for the same host? A stored one that cannot be opened is another. */
static bool
is_stored(const ExactSecretPlace *place, const ExactSecret *value)
{
	ExactArg	args[] = {exact_arg_text(place->kind), exact_arg_text(place->name), exact_arg_text(place->field)};
	char	   *host;
	bytea	   *envelope;
	ExactSecret *stored;
	char	   *problem;
	bool		same;

	if (exact_sql("SELECT host, secret FROM exact.credential WHERE kind = $1 AND name = $2 AND field = $3", 3, args) == 0)
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

bool
exact_credential_store(const char *kind, const char *name, const char *field, const ExactSecret *value, bool only_new)
{
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
	problem = value_problem(value);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_SECRET),
				 errmsg("this cannot be the %s of %s \"%s\": %s", field, kind, name, problem),
				 errhint("Give the value as the service shows it, in one line.")));
	place.host = exact_credential_host(kind, name);
	place.installation = exact_installation_id();
	if (only_new && is_stored(&place, value))
		return false;

	sealed = exact_envelope_seal(&place, value, &key_id);
	{
		ExactArg	args[] = {
			exact_arg_text(kind), exact_arg_text(name), exact_arg_text(field),
			exact_arg_bytea(VARDATA(sealed), VARSIZE(sealed) - VARHDRSZ),
			exact_arg_text(key_id), exact_arg_text(place.host),
			exact_arg_text(MyBackendType == B_BG_WORKER ? psprintf("exact %s", exact_self_name()) : NULL),
		};

		exact_sql("INSERT INTO exact.credential AS c (kind, name, field, secret, key_id, host, set_at, set_by)"
				  " VALUES ($1, $2, $3, $4, $5, $6, pg_catalog.clock_timestamp(), coalesce($7, session_user::text))"
				  " ON CONFLICT (kind, name, field) DO UPDATE SET secret = EXCLUDED.secret, key_id = EXCLUDED.key_id,"
				  " host = EXCLUDED.host, set_at = EXCLUDED.set_at, set_by = EXCLUDED.set_by",
				  7, args);
	}
	if (strcmp(field, "refresh_token") == 0)
		store_authorisation(&place, value);
	return true;
}

ExactSecret *
exact_credential_open(const char *kind, const char *name, const char *field, TimestampTz *set_at)
{
	ExactArg	args[] = {exact_arg_text(kind), exact_arg_text(name), exact_arg_text(field)};
	char	   *now_host = exact_credential_host(kind, name);
	ExactSecretPlace place = {kind, name, field, NULL, now_host};
	char	   *host;
	bytea	   *envelope;

	if (exact_sql("SELECT host, secret, set_at FROM exact.credential WHERE kind = $1 AND name = $2 AND field = $3", 3, args) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_SECRET),
				 errmsg("the %s of %s \"%s\" is not set", field, kind, name),
				 errhint("Put it into the file %s.%s.%s in exact_databricks.secrets_directory, then SELECT * FROM exact.import_secrets();",
						 kind, name, field)));
	host = exact_cell_text(0, 1);
	envelope = exact_cell_bytea(0, 2);
	if (set_at != NULL)
		*set_at = exact_cell_time(0, 3, 0);
	if (host == NULL || strcmp(host, now_host) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_SECRET),
				 errmsg("the %s of %s \"%s\" is for another host", field, kind, name),
				 errdetail("It was set for %s; the %s now points to %s.", host ? host : "none", kind, now_host),
				 errhint("Set it again: SELECT * FROM exact.import_secrets();")));
	place.installation = exact_installation_id();
	return exact_envelope_open(&place, envelope);
}

/* The setting that would put the text of this statement into the server log; NULL when none does. */
static const char *
logging_setting(void)
{
	static const struct
	{
		const char *name;
		const char *off;		/* value at which nothing is logged */
	}			settings[] =
	{
		{"log_min_duration_statement", "-1"},
		{"log_min_duration_sample", "-1"},
		{"log_transaction_sample_rate", "0"},
		{"debug_print_parse", "off"},
		{"debug_print_rewritten", "off"},
		{"debug_print_plan", "off"},
		{"auto_explain.log_min_duration", "-1"},
		{"pgaudit.log", "none"},
	};
	const char *value = GetConfigOption("log_statement", false, false);

	/* ddl and mod log a SELECT only as part of another statement, which is refused below */
	if (strcmp(value, "all") == 0)
		return "log_statement = all";
	for (int i = 0; i < (int) lengthof(settings); i++)
	{
		value = GetConfigOption(settings[i].name, true, false);
		if (value != NULL && value[0] != '\0' && strcmp(value, settings[i].off) != 0 && strtod(value, NULL) >= 0)
			return psprintf("%s = %s", settings[i].name, value);
	}
	return NULL;
}

/*
 * Keeps the text of the running statement out of pg_stat_activity and out of reports of errors, which would quote it as STATEMENT or, for
 * a caller in another language, in CONTEXT. An error puts the context back by itself; a normal return does it with the returned value.
 */
static ErrorContextCallback *
hide_statement(void)
{
	ErrorContextCallback *context = error_context_stack;

	debug_query_string = "SELECT exact.set_secret(...)";
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	error_context_stack = NULL;
	return context;
}

static void
refuse_logging(void)
{
	const char *setting = logging_setting();

	if (setting != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_LOGGING_ON),
				 errmsg("exact.set_secret() is refused while statements are logged"),
				 errdetail("With %s this value is in the server log, or would be at the end of the statement.", setting),
				 errhint("Make a new secret and let exact.import_secrets() read it from a file; or turn that logging off for this session.")));
	if (ActivePortal == NULL || ActivePortal->commandTag != CMDTAG_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_LOGGING_ON),
				 errmsg("exact.set_secret() is refused inside another statement"),
				 errdetail("The text of DO, CALL and the like is kept as it is by statement statistics."),
				 errhint("Call it as SELECT exact.set_secret(kind, name, field, value); or use exact.import_secrets().")));
}

/* exact.set_secret(kind text, name text, field text, value text) */
Datum
exact_set_secret(PG_FUNCTION_ARGS)
{
	char	   *part[3];
	text	   *value;
	ExactSecret *secret;
	ErrorContextCallback *context = hide_statement();

	for (int i = 0; i < 4; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_SECRET),
					 errmsg("kind, name, field and value of a secret must not be null"),
					 errhint("For example SELECT exact.set_secret('app', 'erp', 'client_secret', '...');")));
	refuse_logging();
	for (int i = 0; i < 3; i++)
		part[i] = text_to_cstring(PG_GETARG_TEXT_PP(i));
	value = PG_GETARG_TEXT_PP(3);
	secret = exact_secret_new(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	PG_TRY();
	{
		SPI_connect();
		exact_credential_store(part[0], part[1], part[2], secret, false);
		SPI_finish();
	}
	PG_FINALLY();
	{
		exact_secret_free(secret);
	}
	PG_END_TRY();
	ereport(NOTICE,
			(errmsg("a value given to exact.set_secret() can be kept by client histories and statement statistics"),
			 errhint("exact.import_secrets() reads it from a file that only the server can read.")));
	error_context_stack = context;
	PG_RETURN_VOID();
}

/* Seals again what an envelope holds; NULL when it is sealed with the newest key already. */
static bytea *
reseal(const ExactSecretPlace *place, const bytea *envelope, const char *newest)
{
	ExactSecret *secret;
	bytea	   *volatile sealed = NULL;
	char	   *key_id = exact_envelope_key_id(envelope);

	if (key_id != NULL && strcmp(key_id, newest) == 0)
		return NULL;
	secret = exact_envelope_open(place, envelope);
	PG_TRY();
	{
		sealed = exact_envelope_seal(place, secret, &key_id);
	}
	PG_FINALLY();
	{
		exact_secret_free(secret);
	}
	PG_END_TRY();
	return sealed;
}

static int
rotate_credentials(const char *installation, const char *newest)
{
	uint64		n = exact_sql("SELECT kind, name, field, host, secret FROM exact.credential ORDER BY kind, name, field", 0, NULL);
	SPITupleTable *rows = SPI_tuptable;
	int			done = 0;

	for (uint64 i = 0; i < n; i++)
	{
		ExactSecretPlace place;
		bytea	   *old;
		bytea	   *sealed;

		SPI_tuptable = rows;
		place.kind = exact_cell_text(i, 1);
		place.name = exact_cell_text(i, 2);
		place.field = exact_cell_text(i, 3);
		place.host = exact_cell_text(i, 4);
		place.installation = installation;
		old = exact_cell_bytea(i, 5);
		sealed = place.host ? reseal(&place, old, newest) : NULL;
		if (sealed != NULL)
		{
			ExactArg	args[] = {
				exact_arg_text(place.kind), exact_arg_text(place.name), exact_arg_text(place.field),
				exact_arg_bytea(VARDATA(old), VARSIZE(old) - VARHDRSZ),
				exact_arg_bytea(VARDATA(sealed), VARSIZE(sealed) - VARHDRSZ),
				exact_arg_text(newest),
			};

			/* set again meanwhile: then it has the newest key by itself */
			exact_sql("UPDATE exact.credential SET secret = $5, key_id = $6"
					  " WHERE kind = $1 AND name = $2 AND field = $3 AND secret = $4", 6, args);
			done++;
		}
	}
	return done;
}

/*
 * The newest pair of each app is appended again under the newest key with the time it was issued, by which "newest" goes: a pair that
 * the fetcher stores meanwhile is newer whatever its id.
 */
static int
rotate_tokens(const char *newest)
{
	uint64		n = exact_sql("SELECT t.id, t.app, t.installation, t.host, t.access, t.refresh FROM"
							  " (SELECT DISTINCT app FROM exact.token) AS a CROSS JOIN LATERAL"
							  " (SELECT * FROM exact.token WHERE app = a.app ORDER BY issued_at DESC NULLS LAST, id DESC LIMIT 1) AS t"
							  " ORDER BY t.app", 0, NULL);
	SPITupleTable *rows = SPI_tuptable;
	int			done = 0;

	for (uint64 i = 0; i < n; i++)
	{
		ExactSecretPlace place = {"token", NULL, "access", NULL, NULL};
		bytea	   *access;
		bytea	   *refresh;
		int64		id;

		SPI_tuptable = rows;
		id = exact_cell_int8(i, 1, 0);
		place.name = exact_cell_text(i, 2);
		place.installation = exact_cell_text(i, 3);
		place.host = exact_cell_text(i, 4);
		access = exact_cell_bytea(i, 5);
		refresh = exact_cell_bytea(i, 6);
		if (access != NULL)
			access = reseal(&place, access, newest);
		place.field = "refresh";
		refresh = refresh ? reseal(&place, refresh, newest) : NULL;
		if (refresh != NULL)
		{
			ExactArg	args[] = {
				exact_arg_int8(id), exact_arg_text(newest),
				access ? exact_arg_bytea(VARDATA(access), VARSIZE(access) - VARHDRSZ) : exact_arg_null(BYTEAOID),
				exact_arg_bytea(VARDATA(refresh), VARSIZE(refresh) - VARHDRSZ),
			};

			exact_sql("INSERT INTO exact.token (app, installation, host, key_id, access, refresh, issued_at, expires_at, origin)"
					  " SELECT app, installation, host, $2, $3, $4, issued_at, expires_at, origin FROM exact.token WHERE id = $1", 4, args);
			done++;
		}
	}
	return done;
}

/* exact.rotate_key() → text */
Datum
exact_rotate_key(PG_FUNCTION_ARGS)
{
	char		newest[EXACT_KEY_ID_MAX + 1];
	int			credentials;
	int			tokens;

	(void) fcinfo;
	exact_secret_free(exact_secret_file_key(NULL, newest));
	SPI_connect();
	credentials = rotate_credentials(exact_installation_id(), newest);
	tokens = rotate_tokens(newest);
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(credentials + tokens == 0 ?
									 psprintf("everything is encrypted with key %s already", newest) :
									 psprintf("%d credentials and %d token pairs are now encrypted with key %s", credentials, tokens, newest)));
}

/* exact._key_file_finding() → text: what is wrong with the key file, null when it is fine */
Datum
exact__key_file_finding(PG_FUNCTION_ARGS)
{
	char	   *hint;
	char	   *problem = exact_secret_file_key_problem(&hint);

	(void) fcinfo;
	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

/*
 * exact._hide_statement(): the text of the running statement holds an authorisation code; it goes into no error report and not into
 * pg_stat_activity.
 */
Datum
exact__hide_statement(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	debug_query_string = "SELECT exact.authorize(...)";
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	PG_RETURN_VOID();
}

/*
 * credential_sql.c - exact.set_secret() and exact.rotate_key(): secrets from and for backends.
 *
 * No function here returns a secret, and the text of a statement that holds one goes into no log,
 * no error report and not into pg_stat_activity.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "pgstat.h"
#include "tcop/cmdtag.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "auth/credential.h"
#include "auth/envelope.h"
#include "auth/secret.h"
#include "auth/secret_file.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/sql.h"
#include "state/installation.h"

PG_FUNCTION_INFO_V1(exact_set_secret);
PG_FUNCTION_INFO_V1(exact_rotate_key);
PG_FUNCTION_INFO_V1(exact__key_file_finding);
PG_FUNCTION_INFO_V1(exact__hide_statement);

/*
 * The setting that would put the text of this statement into the server log; NULL when none does.
 */
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
		if (value != NULL && value[0] != '\0' && strcmp(value, settings[i].off) != 0 &&
			strtod(value, NULL) >= 0)
			return psprintf("%s = %s", settings[i].name, value);
	}
	return NULL;
}

/*
 * Keeps the text of the running statement out of pg_stat_activity and out of reports of errors,
 * which would quote it as STATEMENT or, for a caller in another language, in CONTEXT. An error puts
 * the context back by itself; a normal return does it with the returned value.
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
				 errdetail("With %s this value is in the server log, or would be at the end of the "
						   "statement.", setting),
				 errhint("Make a new secret and let exact.import_secrets() read it from a file; or "
						 "turn that logging off for this session.")));
	/* the portal of DECLARE has the tag of its query: only a cursor of SQL is planned fast */
	if (ActivePortal == NULL || ActivePortal->commandTag != CMDTAG_SELECT ||
		(ActivePortal->cursorOptions & CURSOR_OPT_FAST_PLAN) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_LOGGING_ON),
				 errmsg("exact.set_secret() is refused inside another statement"),
				 errdetail("The text of DO, CALL and the like is kept as it is by statement "
						   "statistics."),
				 errhint("Call it as SELECT exact.set_secret(kind, name, field, value); or use "
						 "exact.import_secrets().")));
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
					 errhint("For example SELECT exact.set_secret('app', 'erp', 'client_secret', "
							 "'...');")));
	refuse_logging();
	for (int i = 0; i < 3; i++)
		part[i] = text_to_cstring(PG_GETARG_TEXT_PP(i));
	value = PG_GETARG_TEXT_PP(3);
	/* of one that is too long as much as shows it: the rest would not fit into the heap */
	secret = exact_secret_new(VARDATA_ANY(value),
							  Min(VARSIZE_ANY_EXHDR(value), EXACT_CREDENTIAL_MAX + 1));
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
			(errmsg("a value given to exact.set_secret() can be kept by client histories and "
					"statement statistics"),
			 errhint("exact.import_secrets() reads it from a file that only the server can "
					 "read.")));
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

static ExactArg
arg_envelope(const bytea *envelope)
{
	return exact_arg_bytea(VARDATA(envelope), VARSIZE(envelope) - VARHDRSZ);
}

/* Returns how many were sealed again. */
static int
rotate_credentials(const char *installation, const char *newest)
{
	static const char all[] =
		"SELECT kind, name, field, host, secret FROM exact.credential"
		" ORDER BY kind, name, field";
	/* set again meanwhile: then it has the newest key by itself */
	static const char update[] =
		"UPDATE exact.credential SET secret = $5, key_id = $6"
		" WHERE kind = $1 AND name = $2 AND field = $3 AND secret = $4";
	uint64		n = exact_sql(all, 0, NULL);
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
				exact_arg_text(place.kind),
				exact_arg_text(place.name),
				exact_arg_text(place.field),
				arg_envelope(old),
				arg_envelope(sealed),
				exact_arg_text(newest),
			};

			exact_sql(update, lengthof(args), args);
			done++;
		}
	}
	return done;
}

/*
 * The newest pair of each app is appended again under the newest key with the time it was issued,
 * by which "newest" goes: a pair that the fetcher stores meanwhile is newer whatever its id.
 * Returns how many were sealed again.
 */
static int
rotate_tokens(const char *newest)
{
	static const char pairs[] =
		"SELECT t.id, t.app, t.installation, t.host, t.access, t.refresh"
		" FROM (SELECT DISTINCT app FROM exact.token) AS a"
		" CROSS JOIN LATERAL (SELECT * FROM exact.token"
		"  WHERE app = a.app"
		"  ORDER BY issued_at DESC NULLS LAST, id DESC"
		"  LIMIT 1) AS t"
		" ORDER BY t.app";
	static const char append[] =
		"INSERT INTO exact.token"
		" (app, installation, host, key_id, access, refresh, issued_at, expires_at, origin)"
		" SELECT app, installation, host, $2, $3, $4, issued_at, expires_at, origin"
		" FROM exact.token WHERE id = $1";
	uint64		n = exact_sql(pairs, 0, NULL);
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
				exact_arg_int8(id),
				exact_arg_text(newest),
				access ? arg_envelope(access) : exact_arg_null(BYTEAOID),
				arg_envelope(refresh),
			};

			exact_sql(append, lengthof(args), args);
			done++;
		}
	}
	return done;
}

/* A row in exact.request, and with it an event of who rotated. */
static void
record_rotation(const char *result)
{
	static const char done[] = "SELECT exact._request_done('rotate_key', NULL, NULL, $1)";
	ExactArg	arg = exact_arg_text(result);

	exact_sql(done, 1, &arg);
}

/* exact.rotate_key() → text */
Datum
exact_rotate_key(PG_FUNCTION_ARGS)
{
	char		newest[EXACT_KEY_ID_MAX + 1];
	int			credentials;
	int			tokens;
	char	   *result;
	MemoryContext caller = CurrentMemoryContext;

	(void) fcinfo;
	exact_secret_free(exact_secret_file_key(NULL, newest));
	SPI_connect();
	credentials = rotate_credentials(exact_installation_id(), newest);
	tokens = rotate_tokens(newest);
	MemoryContextSwitchTo(caller);
	if (credentials + tokens == 0)
		result = psprintf("everything is encrypted with key %s already", newest);
	else
		result = psprintf("%d credentials and %d token pairs are now encrypted with key %s",
						  credentials, tokens, newest);
	record_rotation(result);
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/* exact._key_file_finding(key_id) → text: what is wrong with the key file, null when it is fine */
Datum
exact__key_file_finding(PG_FUNCTION_ARGS)
{
	char	   *hint;
	char	   *id = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *problem = exact_secret_file_key_problem(id, &hint);

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

/*
 * exact._hide_statement(): the text of the running statement holds an authorisation code; it goes
 * into no error report and not into pg_stat_activity.
 */
Datum
exact__hide_statement(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	debug_query_string = "SELECT exact.authorize(...)";
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	PG_RETURN_VOID();
}

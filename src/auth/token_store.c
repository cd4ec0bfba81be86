/*
 * token_store.c - exact.token and exact.app_state: what is stored about an app's authorisation.
 *
 * The pairs are append-only, and storing one is a single INSERT that waits for nobody;
 * exact.app_state, which users lock for a while with authorize_url(), is only written by the
 * fetcher when its row is free.
 */
#include "postgres.h"

#include "auth/address.h"
#include "auth/envelope.h"
#include "auth/secret.h"
#include "auth/token_store.h"
#include "base/compat.h"
#include "base/counter.h"
#include "base/errors.h"
#include "base/sql.h"
#include "http/url.h"
#include "state/audit.h"
#include "state/installation.h"

/*
 * The newest of an app's pairs goes by the time of issue: a pair that was encrypted again has a
 * later id and the old time. It is one of the last ids, so that no pair of long ago is read.
 */
#define LAST_PAIRS_SQL \
	" FROM exact.token" \
	" WHERE app = a.name" \
	" ORDER BY id DESC" \
	" LIMIT 20"
#define NEWEST_SQL \
	" ORDER BY n.issued_at DESC NULLS LAST, n.id DESC" \
	" LIMIT 1"

/* A time of issue after all of the app's ($1), even where a clock went back. Null: it has none. */
#define NEXT_ISSUED_SQL \
	"SELECT max(x.issued_at) + interval '1 millisecond'" \
	" FROM (SELECT issued_at FROM exact.token WHERE app = $1 ORDER BY id DESC LIMIT 20) AS x"

/* One statement: app, state, credential and newest pair as they are at one moment. */
void
exact_token_store_look(const char *app, ExactTokenRow *row)
{
	static const char look[] =
		"SELECT a.client_id, c.set_at, s.state = 'reauthorize', s.since, s.reason,"
		" s.learned_refresh_age, s.refreshing_since, s.refresh_attempts, s.next_step,"
		" t.id, t.host, t.has_access, t.issued_at, t.expires_at, t.origin = 'access'"
		" FROM exact.app AS a"
		" LEFT JOIN exact.app_state AS s ON s.app = a.name"
		" LEFT JOIN exact.credential AS c"
		"  ON c.kind = 'app' AND c.name = a.name AND c.field = 'client_secret'"
		" LEFT JOIN LATERAL (SELECT n.* FROM"
		"  (SELECT id, host, access IS NOT NULL AS has_access, issued_at, expires_at, origin"
		LAST_PAIRS_SQL ") AS n"
		NEWEST_SQL ") AS t ON true"
		" WHERE a.name = $1";
	ExactArg	arg = exact_arg_text(app);

	memset(row, 0, sizeof(*row));
	row->base_url = exact_app_base_url(app);
	row->origin = exact_url_origin(row->base_url);
	exact_sql(look, 1, &arg);
	row->client_id = exact_cell_text(0, 1);
	row->client_secret_set_at = exact_cell_time(0, 2, 0);
	row->reauthorize = exact_cell_bool(0, 3, false);
	row->since = exact_cell_time(0, 4, 0);
	row->reason = exact_cell_text(0, 5);
	row->learned_age = (int) exact_cell_int8(0, 6, 0);
	row->refreshing_since = exact_cell_time(0, 7, 0);
	row->attempts = (int) exact_cell_int8(0, 8, 0);
	row->next_step = exact_cell_text(0, 9);
	row->id = exact_cell_int8(0, 10, 0);
	row->host = exact_cell_text(0, 11);
	row->has_access = exact_cell_bool(0, 12, false);
	row->issued_at = exact_cell_time(0, 13, 0);
	row->expires_at = exact_cell_time(0, 14, 0);
	row->borrowed = exact_cell_bool(0, 15, false);
}

/* Only for the host that the pair was issued by. */
ExactSecret *
exact_token_store_open(const char *app, const ExactTokenRow *row, const char *field)
{
	ExactSecretPlace place = {"token", app, field, NULL, row->origin};
	static const char stored[] =
		"SELECT CASE $2 WHEN 'access' THEN access ELSE refresh END"
		" FROM exact.token WHERE id = $1";
	ExactArg	args[] = {exact_arg_int8(row->id), exact_arg_text(field)};
	bytea	   *envelope;

	if (row->host == NULL || strcmp(row->host, row->origin) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_SECRET),
				 errmsg("the tokens of app \"%s\" are for another host", app),
				 errdetail("They were issued by %s; the app now points to %s.", row->host ?
						   row->host : "none", row->origin),
				 errhint("Authorise it there: SELECT exact.authorize_url('%s');", app)));
	exact_sql(stored, lengthof(args), args);
	envelope = exact_cell_bytea(0, 1);
	if (envelope == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_SECRET),
				 errmsg("the stored pair of app \"%s\" has no %s token", app, field),
				 errhint("Authorise it again: SELECT exact.authorize_url('%s');", app)));
	place.installation = exact_installation_id();
	return exact_envelope_open(&place, envelope);
}

static ExactArg
arg_envelope(const bytea *envelope)
{
	return exact_arg_bytea(VARDATA(envelope), VARSIZE(envelope) - VARHDRSZ);
}

/* One INSERT, and the disk has it before anybody gets the access token. */
int64
exact_token_store_append(const char *app, const ExactTokenPair *pair)
{
	static const char durable[] =
		"SELECT pg_catalog.set_config('synchronous_commit', 'on', true)"
		" WHERE pg_catalog.current_setting('synchronous_commit') IN ('off', 'local')";
	static const char append[] =
		"INSERT INTO exact.token"
		" (app, installation, host, key_id, access, refresh, issued_at, expires_at, origin)"
		" SELECT $1, $2, $3, $4, $5, $6,"
		"  CASE WHEN $9 <> 'authorize' AND EXISTS"
		"   (SELECT FROM exact.token WHERE app = $1 AND id > $10 AND issued_at > $11)"
		"  THEN $11 + interval '1 millisecond'"
		"  ELSE greatest($7, (" NEXT_ISSUED_SQL ")) END,"
		"  $8, $9"
		" RETURNING id";
	char	   *installation = exact_installation_id();
	ExactSecretPlace place = {"token", app, "access", installation, pair->host};
	char	   *key_id;
	bytea	   *access = exact_envelope_seal(&place, pair->access, &key_id);
	bytea	   *refresh;

	place.field = "refresh";
	refresh = exact_envelope_seal(&place, pair->refresh, &key_id);
	exact_sql(durable, 0, NULL);
	{
		ExactArg	args[] = {
			exact_arg_text(app),
			exact_arg_text(installation),
			exact_arg_text(pair->host),
			exact_arg_text(key_id),
			arg_envelope(access),
			arg_envelope(refresh),
			exact_arg_time(pair->issued_at),
			exact_arg_time(pair->expires_at),
			exact_arg_text(pair->origin),
			exact_arg_int8(pair->old_id),
			exact_arg_time(pair->old_issued_at),
		};

		exact_sql(append, lengthof(args), args);
	}
	return exact_cell_int8(0, 1, 0);
}

/* When it was issued is not known: now at the latest, which also makes it the newest. */
void
exact_token_store_import(const char *app, const char *host, const ExactSecret *refresh)
{
	static const char append[] =
		"INSERT INTO exact.token"
		" (app, installation, host, key_id, refresh, issued_at, expires_at, origin)"
		" SELECT $1, $2, $3, $4, $5, t.moment, t.moment, 'import'"
		" FROM (SELECT greatest(pg_catalog.clock_timestamp(), (" NEXT_ISSUED_SQL ")) AS moment)"
		"  AS t";
	static const char authorized[] =
		"INSERT INTO exact.app_state AS s (app, state, since)"
		" VALUES ($1, 'authorized', pg_catalog.clock_timestamp())"
		" ON CONFLICT (app) DO UPDATE SET"
		"  state = 'authorized', since = pg_catalog.clock_timestamp(), reason = NULL,"
		"  next_step = NULL, refreshing_since = NULL, refresh_attempts = 0";
	ExactSecretPlace place = {"token", app, "refresh", exact_installation_id(), host};
	char	   *key_id;
	bytea	   *sealed = exact_envelope_seal(&place, refresh, &key_id);
	ExactArg	args[] = {
		exact_arg_text(app),
		exact_arg_text(place.installation),
		exact_arg_text(host),
		exact_arg_text(key_id),
		arg_envelope(sealed),
	};

	exact_sql(append, lengthof(args), args);
	exact_sql(authorized, 1, args);
}

/* The row is taken only when it is free: a user's open transaction may hold it for long. */
bool
exact_token_store_note(const char *app, const ExactTokenNote *note)
{
	static const char update[] =
		"WITH mine AS (SELECT app FROM exact.app_state WHERE app = $1 FOR UPDATE SKIP LOCKED)"
		" UPDATE exact.app_state AS s SET"
		"  since = CASE"
		"   WHEN $2 = 'reauthorize' OR s.state IS DISTINCT FROM coalesce($2, s.state)"
		"   THEN pg_catalog.clock_timestamp() ELSE s.since END,"
		"  state = coalesce($2, s.state),"
		"  reason = CASE WHEN $2 IS NULL THEN s.reason ELSE $3 END,"
		"  next_step = CASE WHEN $2 IS NULL THEN s.next_step ELSE $4 END,"
		"  learned_refresh_age = coalesce($5, s.learned_refresh_age),"
		"  refreshing_since = $6, refresh_attempts = $7"
		" FROM mine"
		" WHERE s.app = mine.app";
	static const char insert[] =
		"INSERT INTO exact.app_state"
		" (app, state, since, reason, next_step, learned_refresh_age, refreshing_since,"
		" refresh_attempts)"
		" SELECT $1, coalesce($2, 'new'), pg_catalog.clock_timestamp(), $3, $4, $5, $6, $7"
		" WHERE NOT EXISTS (SELECT FROM exact.app_state WHERE app = $1)";
	ExactArg	args[] = {
		exact_arg_text(app), exact_arg_text(note->state), exact_arg_text(note->reason),
		exact_arg_text(note->next_step),
		note->learned_age > 0 ? exact_arg_int4(note->learned_age) : exact_arg_null(INT4OID),
		note->refreshing_since != 0 ? exact_arg_time(note->refreshing_since) :
			exact_arg_null(TIMESTAMPTZOID),
		exact_arg_int4(note->attempts),
	};

	return exact_sql(update, 7, args) > 0 || exact_sql(insert, 7, args) > 0;
}

bool
exact_token_store_use_state(const char *app)
{
	static const char use[] =
		"UPDATE exact.app_state SET oauth_state = NULL, oauth_state_at = NULL"
		" WHERE app = $1 AND oauth_state IS NOT NULL";
	ExactArg	arg = exact_arg_text(app);

	return exact_sql(use, 1, &arg) > 0;
}

void
exact_token_store_user(const char *app, const char *user)
{
	static const char consented[] = "SELECT exact._consented($1, $2)";
	ExactArg	args[] = {exact_arg_text(app), exact_arg_text(user)};

	exact_sql(consented, lengthof(args), args);
}

/* exact.api_call for all calls, the audit log for what changes an authorisation. */
void
exact_token_store_record(const char *app, const ExactTokenCall *call)
{
	static const char insert[] =
		"INSERT INTO exact.api_call"
		" (at, took_ms, app, feed, method, path, status, outcome, rows, bytes, error)"
		" VALUES ($1, $2, $3, 'token', 'POST', 'oauth2/token', $4, $5, 0, $6, $7)"
		" RETURNING id";
	ExactArg	args[] = {
		exact_arg_time(call->at),
		exact_arg_float8(call->ms),
		exact_arg_text(app),
		call->status != 0 ? exact_arg_int4((int32) call->status) : exact_arg_null(INT4OID),
		exact_arg_text(call->outcome),
		exact_arg_int8((int64) call->bytes),
		exact_arg_text(call->error),
	};

	int64		id;

	exact_sql(insert, lengthof(args), args);
	id = exact_cell_int8(0, 1, 0);
	exact_counter_add(EXACT_COUNTER_CALL, 0, "", call->outcome ? call->outcome : "", 1);
	if (call->event != NULL)
		exact_audit_exact_token(call->event, app, id, call->error, call->token_id,
								call->expires_at);
}

int
exact_token_store_calls_today(const char *app)
{
	/* the last calls only: more than a day's worth, and found without an index of its own */
	static const char count[] =
		"SELECT count(*)"
		" FROM (SELECT app, path, at FROM exact.api_call ORDER BY id DESC LIMIT 20000) AS c"
		" WHERE c.app = $1 AND c.path = 'oauth2/token'"
		"  AND c.at >= pg_catalog.date_trunc('day', pg_catalog.now(), 'UTC')";
	ExactArg	arg = exact_arg_text(app);

	exact_sql(count, 1, &arg);
	return (int) exact_cell_int8(0, 1, 0);
}

char **
exact_token_store_idle(int days, int *n)
{
	static const char idle[] =
		"SELECT a.name FROM exact.app AS a"
		" CROSS JOIN LATERAL (SELECT n.* FROM"
		"  (SELECT id, access IS NOT NULL AS has_access, issued_at" LAST_PAIRS_SQL ") AS n"
		NEWEST_SQL ") AS t"
		" LEFT JOIN exact.app_state AS s ON s.app = a.name"
		" WHERE coalesce(s.state, 'new') <> 'reauthorize'"
		"  AND (NOT t.has_access"
		"   OR t.issued_at < pg_catalog.now() - pg_catalog.make_interval(days => $1))";
	ExactArg	arg = exact_arg_int4(days);
	uint64		found = exact_sql(idle, 1, &arg);
	char	  **names = palloc(sizeof(char *) * (found + 1));

	for (uint64 i = 0; i < found; i++)
		names[i] = exact_cell_text(i, 1);
	*n = (int) found;
	return names;
}

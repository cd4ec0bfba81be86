/*
 * audit.c - the events that workers append to exact.audit_log, with every key of theirs.
 */
#include "postgres.h"

#include "base/sql.h"
#include "state/audit.h"

static ExactArg
int8_or_null(int64 value)
{
	return value != 0 ? exact_arg_int8(value) : exact_arg_null(INT8OID);
}

/* ---- chain fetcher ---- */

void
exact_audit_exact_token(const char *event, const char *app, int64 call, const char *error,
						int64 token, TimestampTz expires_at)
{
	static const char sql[] =
	"SELECT exact._audit('fetcher', 'token', NULL, NULL,"
	" jsonb_strip_nulls(jsonb_build_object("
	"'event', $1,"
	" 'app', $2,"
	" 'call', $3,"
	" 'error', $4,"
	" 'token', $5,"
	" 'expires_at', $6)))";
	ExactArg	args[] = {
		exact_arg_text(event),
		exact_arg_text(app),
		exact_arg_int8(call),
		exact_arg_text(error),
		int8_or_null(token),
		expires_at != 0 ? exact_arg_time(expires_at) : exact_arg_null(TIMESTAMPTZOID),
	};

	exact_sql(sql, lengthof(args), args);
}

void
exact_audit_batch(const ExactAuditBatch *b)
{
	static const char sql[] =
	"SELECT exact._audit('fetcher', 'batch', $1, $2, jsonb_build_object("
	"'batch', $3,"
	" 'run', $4,"
	" 'call', $5,"
	" 'rows', $6,"
	" 'new', $7,"
	" 'changed', $8,"
	" 'deleted', $9,"
	" 'seq_min', $10,"
	" 'seq_max', $11,"
	" 'digest', $12,"
	" 'how', $13))";
	ExactArg	args[] = {
		exact_arg_int4(b->division),
		exact_arg_text(b->entity),
		exact_arg_int8(b->batch),
		exact_arg_int8(b->run),
		int8_or_null(b->call),
		exact_arg_int8(b->rows),
		exact_arg_int8(b->fresh),
		exact_arg_int8(b->changed),
		exact_arg_int8(b->deleted),
		exact_arg_int8(b->seq_min),
		exact_arg_int8(b->seq_max),
		exact_arg_text(b->digest),
		exact_arg_text(b->how),
	};

	exact_sql(sql, lengthof(args), args);
}

void
exact_audit_division_state(int division, const char *state, const char *reason, const char *detail)
{
	static const char sql[] =
	"SELECT exact._audit('fetcher', 'division', $1, NULL, jsonb_build_object("
	"'state', $2,"
	" 'reason', $3,"
	" 'detail', $4))";
	ExactArg	args[] = {
		exact_arg_int4(division),
		exact_arg_text(state),
		exact_arg_text(reason),
		exact_arg_text(detail),
	};

	exact_sql(sql, lengthof(args), args);
}

void
exact_audit_read_again(int division, const char *why)
{
	static const char sql[] =
	"SELECT exact._audit('fetcher', 'division', $1, NULL, jsonb_build_object("
	"'read_again', $2))";
	ExactArg	args[] = {exact_arg_int4(division), exact_arg_text(why)};

	exact_sql(sql, lengthof(args), args);
}

void
exact_audit_feeds_from_start(int epoch, const char *reason, int64 feeds)
{
	static const char sql[] =
	"SELECT exact._audit('fetcher', 'installation', NULL, NULL, jsonb_build_object("
	"'epoch', $1,"
	" 'reason', $2,"
	" 'feeds_from_start', $3))";
	ExactArg	args[] = {exact_arg_int4(epoch), exact_arg_text(reason), exact_arg_int8(feeds)};

	exact_sql(sql, lengthof(args), args);
}

void
exact_audit_silent(int division, const char *topic, int seconds, int usual)
{
	static const char sql[] =
	"SELECT exact._audit('fetcher', 'notification', $1, NULL, jsonb_build_object("
	"'silent', $2,"
	" 'seconds', $3,"
	" 'usual', $4))";
	ExactArg	args[] = {
		exact_arg_int4(division),
		exact_arg_text(topic),
		exact_arg_int4(seconds),
		exact_arg_int4(usual),
	};

	exact_sql(sql, lengthof(args), args);
}

void
exact_audit_judgement(int division, const char *entity, const char *key, const char *what,
					  const char *problem, int problems)
{
	static const char sql[] =
	"SELECT exact._audit('fetcher', 'document', $1, $2, jsonb_strip_nulls(jsonb_build_object("
	"'key', $3,"
	" 'what', $4,"
	" 'problem', $5,"
	" 'problems', $6)))";
	ExactArg	args[] = {
		exact_arg_int4(division),
		exact_arg_text(entity),
		exact_arg_text(key),
		exact_arg_text(what),
		exact_arg_text(problem),
		exact_arg_int4(problems),
	};

	exact_sql(sql, lengthof(args), args);
}

void
exact_audit_subscription(int division, const char *topic, const char *what, const char *id,
						 const char *callback_url, const char *reason)
{
	static const char sql[] =
	"SELECT exact._audit('fetcher', 'subscription', $1, NULL,"
	" jsonb_strip_nulls(jsonb_build_object("
	"'topic', $2,"
	" 'what', $3,"
	" 'id', $4,"
	" 'callback_url', $5,"
	" 'reason', $6)))";
	ExactArg	args[] = {
		exact_arg_int4(division),
		exact_arg_text(topic),
		exact_arg_text(what),
		exact_arg_text(id),
		exact_arg_text(callback_url),
		exact_arg_text(reason),
	};

	exact_sql(sql, lengthof(args), args);
}

/* ---- chain fetcher or loader ---- */

void
exact_audit_inquiry(const char *chain, const ExactAuditInquiry *q)
{
	static const char sql[] =
	"SELECT exact._audit($1, 'inquiry', nullif($2, 0), NULL, jsonb_strip_nulls(jsonb_build_object("
	"'asked', $3,"
	" 'app', $4,"
	" 'resource', $5,"
	" 'rows', nullif($6, -1),"
	" 'sqlstate', $7)), $8)";
	ExactArg	args[] = {
		exact_arg_text(chain),
		exact_arg_int4(q->division),
		exact_arg_text(q->asked),
		exact_arg_text(q->app),
		exact_arg_text(q->resource),
		exact_arg_int4(q->rows),
		exact_arg_text(q->sqlstate),
		exact_arg_text(q->who),
	};

	exact_sql(sql, lengthof(args), args);
}

/* ---- chain loader ---- */

void
exact_audit_databricks_token(const char *workspace, TimestampTz expires_at)
{
	static const char sql[] =
	"SELECT exact._audit('loader', 'token', NULL, NULL, jsonb_build_object("
	"'event', 'issued',"
	" 'workspace', $1,"
	" 'expires_at', $2))";
	ExactArg	args[] = {exact_arg_text(workspace), exact_arg_time(expires_at)};

	exact_sql(sql, lengthof(args), args);
}

void
exact_audit_delivery(const ExactAuditDelivery *d)
{
	static const char sql[] =
	"SELECT exact._audit('loader', 'statement', NULL, $1, jsonb_build_object("
	"'workspace', $2,"
	" 'table', $3,"
	" 'rows', $4,"
	" 'keys', $5,"
	" 'first_batch', $6,"
	" 'first_ord', $7,"
	" 'last_batch', $8,"
	" 'last_ord', $9,"
	" 'seq_min', $10,"
	" 'seq_max', $11,"
	" 'history_statement', $12,"
	" 'current_statement', $13))";
	ExactArg	args[] = {
		exact_arg_text(d->entity),
		exact_arg_text(d->workspace),
		exact_arg_text(d->table),
		exact_arg_int4(d->rows),
		exact_arg_int4(d->keys),
		exact_arg_int8(d->first_batch),
		exact_arg_int4(d->first_ord),
		exact_arg_int8(d->last_batch),
		exact_arg_int4(d->last_ord),
		exact_arg_int8(d->seq_min),
		exact_arg_int8(d->seq_max),
		exact_arg_text(d->history_statement),
		exact_arg_text(d->current_statement),
	};

	exact_sql(sql, lengthof(args), args);
}

void
exact_audit_paused(const char *entity, const char *workspace, const char *paused,
				   const char *sqlstate)
{
	static const char sql[] =
	"SELECT exact._audit('loader', 'statement', NULL, $1, jsonb_build_object("
	"'workspace', $2,"
	" 'paused', $3,"
	" 'sqlstate', $4))";
	ExactArg	args[] = {
		exact_arg_text(entity),
		exact_arg_text(workspace),
		exact_arg_text(paused),
		exact_arg_text(sqlstate),
	};

	exact_sql(sql, lengthof(args), args);
}

void
exact_audit_changed(const char *entity, const char *workspace, const char *changed)
{
	static const char sql[] =
	"SELECT exact._audit('loader', 'statement', NULL, $1, jsonb_build_object("
	"'workspace', $2,"
	" 'changed', $3))";
	ExactArg	args[] = {
		exact_arg_text(entity),
		exact_arg_text(workspace),
		exact_arg_text(changed),
	};

	exact_sql(sql, lengthof(args), args);
}

void
exact_audit_other_copy(const char *entity, const char *workspace, const char *table, int epoch,
					   int64 versions, int64 unknown_records)
{
	static const char sql[] =
	"SELECT exact._audit('loader', 'installation', NULL, $1, jsonb_build_object("
	"'workspace', $2,"
	" 'table', $3,"
	" 'epoch', $4,"
	" 'versions_of_other_copies', $5,"
	" 'unknown_records', $6))";
	ExactArg	args[] = {
		exact_arg_text(entity),
		exact_arg_text(workspace),
		exact_arg_text(table),
		exact_arg_int4(epoch),
		exact_arg_int8(versions),
		exact_arg_int8(unknown_records),
	};

	exact_sql(sql, lengthof(args), args);
}

void
exact_audit_overtaken(int overtaken_by, int epoch, const char *workspace)
{
	static const char sql[] =
	"SELECT exact._audit('loader', 'installation', NULL, NULL, jsonb_build_object("
	"'overtaken_by', $1,"
	" 'epoch', $2,"
	" 'workspace', $3))";
	ExactArg	args[] = {
		exact_arg_int4(overtaken_by),
		exact_arg_int4(epoch),
		exact_arg_text(workspace),
	};

	exact_sql(sql, lengthof(args), args);
}

/* ---- chain of the worker that stored them ---- */

void
exact_audit_notifications(int64 from, int64 to, int count, const uint8 *digest, size_t digest_len)
{
	static const char sql[] = "SELECT exact._audit_notifications($1, $2, $3, $4)";
	ExactArg	args[] = {
		exact_arg_int8(from),
		exact_arg_int8(to),
		exact_arg_int4(count),
		exact_arg_bytea(digest, digest_len),
	};

	exact_sql(sql, lengthof(args), args);
}

/*
 * audit.h - the events that workers append to exact.audit_log: one function an event, in a unit.
 *
 * Every name and every key of an event stands in audit.c and nowhere else in C; SQL functions
 * append theirs (chain sql: configuration, secrets, requests) by exact._audit() themselves. A text
 * may be NULL. An event is hashed as it is written: a changed key changes no event that is there
 * already.
 */
#ifndef EXACT_AUDIT_H
#define EXACT_AUDIT_H

#include "postgres.h"

#include "utils/timestamp.h"

/* ---- chain fetcher ---- */

/*
 * kind token: what changed an authorisation (event: issued, consent, refused, …); call: id in
 * exact.api_call
 */
extern void exact_audit_exact_token(const char *event, const char *app, int64 call,
									const char *error, int64 token, TimestampTz expires_at);

/* kind batch: versions that were staged; what the digest of their hashes proves */
typedef struct ExactAuditBatch
{
	int			division;
	const char *entity;
	int64		batch;
	int64		run;
	int64		call;			/* 0 = none */
	int64		rows;
	int64		fresh;
	int64		changed;
	int64		deleted;
	int64		seq_min;
	int64		seq_max;
	const char *digest;			/* SHA-256 of the versions' hashes in order, hex */
	const char *how;			/* page, no longer in its document, … */
} ExactAuditBatch;
extern void exact_audit_batch(const ExactAuditBatch *batch);

/* kind division: frozen, parked */
extern void exact_audit_division_state(int division, const char *state, const char *reason,
									   const char *detail);
/* kind division: all its sync feeds are read again from their start */
extern void exact_audit_read_again(int division, const char *why);
/* kind installation: an epoch made all feeds be read from their start */
extern void exact_audit_feeds_from_start(int epoch, const char *reason, int64 feeds);
/*
 * kind notification: a topic has said nothing for `seconds`, usually it does every `usual` seconds
 */
extern void exact_audit_silent(int division, const char *topic, int seconds, int usual);
/* kind subscription: what became of a subscription (what: made, removed, refused, …) */
extern void exact_audit_subscription(int division, const char *topic, const char *what,
									 const char *id, const char *callback_url, const char *reason);

/*
 * kind document: a rule found something about a document (what: held, flagged, released), or finds
 * nothing any more. problem: the first of `problems` sentences, NULL: none
 */
extern void exact_audit_judgement(int division, const char *entity, const char *key,
								  const char *what, const char *problem, int problems);

/* ---- chain fetcher or loader ---- */

/*
 * kind inquiry: what role `who` had a worker ask a service (asked: fetch, me, …), or do. rows: what
 * the answer holds, -1: not known yet; sqlstate: why there is none. app and resource may be NULL,
 * division 0.
 */
typedef struct ExactAuditInquiry
{
	const char *who;
	const char *asked;
	const char *app;
	int			division;
	const char *resource;
	int			rows;
	const char *sqlstate;
} ExactAuditInquiry;
extern void exact_audit_inquiry(const char *chain, const ExactAuditInquiry *inquiry);

/* ---- chain loader ---- */

/* kind token: an access token was issued for a workspace */
extern void exact_audit_databricks_token(const char *workspace, TimestampTz expires_at);

/* kind statement: versions that are in Delta, and the statements that carried them */
typedef struct ExactAuditDelivery
{
	const char *entity;
	const char *workspace;
	const char *table;
	int			rows;
	int			keys;
	int64		first_batch;
	int			first_ord;
	int64		last_batch;
	int			last_ord;
	int64		seq_min;
	int64		seq_max;
	const char *history_statement;
	const char *current_statement;
} ExactAuditDelivery;
extern void exact_audit_delivery(const ExactAuditDelivery *delivery);

/*
 * kind statement: nothing is delivered to the table until its cause is mended or the next attempt
 */
extern void exact_audit_paused(const char *entity, const char *workspace, const char *paused,
							   const char *sqlstate);
/* kind statement: what somebody else did to a table and nothing was done about */
extern void exact_audit_changed(const char *entity, const char *workspace, const char *changed);
/* kind installation: what another copy of this hub had delivered to a table */
extern void exact_audit_other_copy(const char *entity, const char *workspace, const char *table,
								   int epoch, int64 versions, int64 unknown_records);
/* kind installation: another copy works with a higher epoch, this database stops */
extern void exact_audit_overtaken(int overtaken_by, int epoch, const char *workspace);

/* ---- chain of the worker that stored them ---- */

/*
 * kind notification: `count` rows of exact.inbox; digest: SHA-256 of the digests of their contents
 */
extern void exact_audit_notifications(int64 from, int64 to, int count, const uint8 *digest,
									  size_t digest_len);

#endif

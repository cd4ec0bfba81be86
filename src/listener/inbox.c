/*
 * inbox.c - notifications of Exact Online: who signed them, which are repeats, stored in
 * exact.inbox.
 *
 * One path for the listener, which brings many bodies in a unit, and for exact.receive_webhook() in
 * a backend. Rows are only read and added: nothing here waits for another transaction. Signatures:
 * webhook.c and webhook_secret.c.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/errors.h"
#include "base/guc.h"
#include "base/sql.h"
#include "listener/inbox.h"
#include "listener/webhook.h"
#include "listener/webhook_secret.h"
#include "state/audit.h"
#include "worker/role.h"
#include "worker/self.h"
#include "worker/unit.h"
#include "worker/wake.h"

PG_FUNCTION_INFO_V1(exact_verify_webhook);
PG_FUNCTION_INFO_V1(exact_receive_webhook);

#define KEPT_S (7 * 24 * 3600)	/* repeats are known by what is kept */
#define PRUNE_EVERY_MS (3600 * 1000L)
#define PRUNE_AGAIN_MS 50
#define PRUNE_SHARE 60			/* of the retention, when that is sooner */
#define PRUNE_ROWS 1000

/* ---- a group of bodies ---- */

/* One that is to be stored; digest first: it is the key of the group's hash table */
typedef struct Note
{
	uint8		digest[EXACT_DIGEST_LEN];
	ExactInboxItem *item;
	ExactWebhook webhook;
	const ExactWebhookSecret *signer;
	const char *reason;			/* why it causes no work; NULL: it does */
	int			topic;			/* its place in the list of topics; -1: not needed */
} Note;

typedef struct NoteGroup
{
	Note	   *notes;
	int			n;
} NoteGroup;

/* The parts that the statements bind, in the order of the notes */
static const void **
pointers(const NoteGroup *g, size_t offset)
{
	const void **list = palloc(sizeof(void *) * g->n);

	for (int i = 0; i < g->n; i++)
		list[i] = *(const void *const *) ((const char *) &g->notes[i] + offset);
	return list;
}

static ExactArg
texts(const NoteGroup *g, size_t offset)
{
	return exact_arg_text_array((const char *const *) pointers(g, offset), NULL, g->n);
}

static ExactArg
digests(const NoteGroup *g)
{
	const void **list = palloc(sizeof(void *) * g->n);
	size_t	   *lens = palloc(sizeof(size_t) * g->n);

	for (int i = 0; i < g->n; i++)
	{
		list[i] = g->notes[i].digest;
		lens[i] = EXACT_DIGEST_LEN;
	}
	return exact_arg_bytea_array(list, lens, g->n);
}

/* What in the notification itself is the reason why it causes no work; NULL: nothing */
static const char *
judge(Note *note)
{
	const char *problem = exact_webhook_read(&note->webhook);
	const char *client_id;

	if (problem != NULL)
		return problem;
	client_id = note->webhook.client_id;
	if (client_id != NULL && pg_strcasecmp(client_id, note->signer->client_id) != 0)
		return psprintf("it is for client id %s, and app %s signed it", client_id,
						note->signer->app);
	if (note->webhook.division == 0)
		return "it names no division";
	if (note->webhook.topic == NULL)
		return "it names no topic";
	if (note->webhook.key == NULL)
		return "it names no record";
	return NULL;
}

/* Signature and digest of each; what is signed becomes a note, the first of equal ones only. */
static void
check_items(NoteGroup *g, ExactInboxItem *items, int n)
{
	bool		ready = exact_webhook_secret_load(NULL, NULL) > 0;
	HASHCTL		ctl;
	HTAB	   *seen;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = EXACT_DIGEST_LEN;
	ctl.entrysize = EXACT_DIGEST_LEN;
	ctl.hcxt = CurrentMemoryContext;
	seen = hash_create("notifications of a group", n, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	g->notes = palloc0(sizeof(Note) * n);
	g->n = 0;
	for (int i = 0; i < n; i++)
	{
		Note	   *note = &g->notes[g->n];
		ExactWebhookCut cut = exact_webhook_cut(items[i].body, items[i].len, &note->webhook);
		bool		repeated;

		items[i].outcome = EXACT_INBOX_VALIDATION;
		if (cut == EXACT_WEBHOOK_EMPTY)
			continue;
		items[i].outcome = ready ? EXACT_INBOX_REFUSED : EXACT_INBOX_NOT_READY;
		if (!ready || cut != EXACT_WEBHOOK_CUT ||
			(note->signer = exact_webhook_secret_find(&note->webhook, NULL)) == NULL)
			continue;
		exact_sha256(note->webhook.content, note->webhook.content_len, note->digest);
		(void) hash_search(seen, note->digest, HASH_ENTER, &repeated);
		items[i].outcome = repeated ? EXACT_INBOX_DUPLICATE : EXACT_INBOX_ACCEPTED;
		if (repeated)
			continue;
		note->item = &items[i];
		g->n++;
	}
	hash_destroy(seen);
}

/*
 * Takes those out that were received within seven days. Without a time of its event, an equal one
 * may tell of another change once the first was taken, or somebody sends it again and again: it is
 * a repeat for a minute after the first one that was stored, and for twice as long after each
 * further one of a day, up to an hour.
 */
static void
drop_repeats(NoteGroup *g)
{
	static const char sql[] =
	"SELECT i.ord"
	" FROM ROWS FROM (pg_catalog.unnest($1)) WITH ORDINALITY AS i (digest, ord)"
	" CROSS JOIN LATERAL (SELECT"
	"  FROM exact.inbox AS x"
	"  LEFT JOIN exact.inbox_work AS w ON w.id = x.id AND w.taken_at IS NULL"
	"  WHERE x.digest = i.digest"
	"  AND x.at > pg_catalog.now() - interval '7 days'"
	"  HAVING pg_catalog.bool_or(x.event_at IS NOT NULL OR w.id IS NOT NULL)"
	"  OR pg_catalog.max(x.at) FILTER (WHERE x.at <= pg_catalog.clock_timestamp())"
	"  > pg_catalog.clock_timestamp() - interval '1 minute' * least(60,"
	"   pg_catalog.power(2, least(6, pg_catalog.count(*) FILTER ("
	"    WHERE x.at > pg_catalog.now() - interval '1 day') - 1)))) AS r";
	ExactArg	args[] = {digests(g)};
	uint64		n = exact_sql(sql, 1, args);
	int			kept = 0;

	for (uint64 row = 0; row < n; row++)
		g->notes[exact_cell_int8(row, 1, 0) - 1].item->outcome = EXACT_INBOX_DUPLICATE;
	for (int i = 0; i < g->n; i++)
		if (g->notes[i].item->outcome == EXACT_INBOX_ACCEPTED)
			g->notes[kept++] = g->notes[i];
	g->n = kept;
}

/* The divisions and topics of a group that are to be looked up, each once */
typedef struct Topics
{
	const char **apps;			/* who signed it */
	const char **names;
	int32	   *divisions;
	int			n;
} Topics;

/* Its place in the list, added if need be */
static int
find_topic(Topics *topics, const Note *note)
{
	int			t = 0;

	while (t < topics->n &&
		   (topics->divisions[t] != note->webhook.division ||
			topics->apps[t] != note->signer->app ||
			strcmp(topics->names[t], note->webhook.topic) != 0))
		t++;
	if (t == topics->n)
	{
		topics->apps[t] = note->signer->app;
		topics->names[t] = note->webhook.topic;
		topics->divisions[t] = note->webhook.division;
		topics->n++;
	}
	return t;
}

/* Rows in the order of the topics: why the configuration gives them no work, or null */
static void
judge_topics(const Topics *topics)
{
	static const char sql[] =
	"SELECT CASE"
	" WHEN d.division IS NULL THEN"
	" pg_catalog.format('division %s is not in exact.division', t.division)"
	" WHEN d.app <> t.app THEN"
	" pg_catalog.format('division %s belongs to app %s, and app %s signed it',"
	" t.division, d.app, t.app)"
	" WHEN NOT d.enabled THEN"
	" pg_catalog.format('division %s is not enabled', t.division)"
	" WHEN NOT EXISTS (SELECT"
	"  FROM exact.feed AS f"
	"  JOIN exact.catalogue AS c ON c.entity = f.entity"
	"  WHERE f.division = t.division AND f.enabled"
	"  AND t.topic = ANY (c.topics)) THEN"
	" pg_catalog.format('no enabled entity of division %s has topic %s', t.division, t.topic)"
	" END"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3))"
	" WITH ORDINALITY AS t (app, division, topic, ord)"
	" LEFT JOIN exact.division AS d ON d.division = t.division"
	" ORDER BY t.ord";
	ExactArg	args[] = {
		exact_arg_text_array(topics->apps, NULL, topics->n),
		exact_arg_int4_array(topics->divisions, NULL, topics->n),
		exact_arg_text_array(topics->names, NULL, topics->n),
	};

	exact_sql(sql, 3, args);
}

/*
 * What each says, and why it causes no work: each division and topic of the group is looked up
 * once. True when one causes work.
 */
static bool
read_notes(NoteGroup *g)
{
	bool		work = false;
	Topics		topics = {
		.apps = palloc(sizeof(char *) * g->n),
		.names = palloc(sizeof(char *) * g->n),
		.divisions = palloc(sizeof(int32) * g->n)
	};

	for (int i = 0; i < g->n; i++)
	{
		Note	   *note = &g->notes[i];

		note->reason = judge(note);
		note->topic = note->reason == NULL ? find_topic(&topics, note) : -1;
	}
	if (topics.n == 0)
		return false;
	judge_topics(&topics);
	for (int i = 0; i < g->n; i++)
	{
		Note	   *note = &g->notes[i];

		if (note->topic < 0)
			continue;
		note->reason = exact_cell_text(note->topic, 1);
		work |= note->reason == NULL;
	}
	return work;
}

/*
 * One event for all rows of the last result, in the chain of the worker; a backend's come from a
 * trigger at commit.
 */
static void
append_event(const NoteGroup *g, uint64 rows)
{
	uint8	   *all = palloc(EXACT_DIGEST_LEN * g->n);
	uint8		digest[EXACT_DIGEST_LEN];

	for (int i = 0; i < g->n; i++)
		memcpy(all + EXACT_DIGEST_LEN * i, g->notes[i].digest, EXACT_DIGEST_LEN);
	exact_sha256(all, EXACT_DIGEST_LEN * g->n, digest);
	exact_audit_notifications(exact_cell_int8(0, 1, 0), exact_cell_int8(rows - 1, 1, 0), g->n,
							  digest, EXACT_DIGEST_LEN);
}

/* All with one statement, and with one moment. Those without a reason wait for the fetcher. */
static void
insert_notes(const NoteGroup *g)
{
	static const char sql[] =
	"WITH new AS MATERIALIZED ("
	"SELECT pg_catalog.nextval('exact.inbox_id_seq') AS id, t.moment, i.*"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),"
	" pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6),"
	" pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9),"
	" pg_catalog.unnest($10))"
	" AS i (app, secret, division, topic, action, key, event_at, digest, content, reason),"
	" (SELECT pg_catalog.clock_timestamp() AS moment OFFSET 0) AS t"
	"), stored AS ("
	"INSERT INTO exact.inbox"
	" (id, at, app, secret, division, topic, action, key, event_at, digest, content)"
	" SELECT id, moment, app, secret, division, topic, action, key, event_at, digest, content"
	" FROM new"
	")"
	" INSERT INTO exact.inbox_work (id, division, topic, taken_at, reason)"
	" SELECT id, division, topic, CASE WHEN reason IS NOT NULL THEN moment END, reason"
	" FROM new"
	" RETURNING id";
	const void **contents = pointers(g, offsetof(Note, webhook.content));
	size_t	   *lens = palloc(sizeof(size_t) * g->n);
	const char **apps = palloc(sizeof(char *) * g->n);
	const char **fields = palloc(sizeof(char *) * g->n);
	int32	   *divisions = palloc(sizeof(int32) * g->n);
	bool	   *no_division = palloc(sizeof(bool) * g->n);
	ExactArg	args[10];
	uint64		rows;

	for (int i = 0; i < g->n; i++)
	{
		const Note *note = &g->notes[i];

		lens[i] = note->webhook.content_len;
		apps[i] = note->signer->app;
		fields[i] = note->signer->field;
		divisions[i] = note->webhook.division;
		no_division[i] = note->webhook.division == 0;
	}
	args[0] = exact_arg_text_array(apps, NULL, g->n);
	args[1] = exact_arg_text_array(fields, NULL, g->n);
	args[2] = exact_arg_int4_array(divisions, no_division, g->n);
	args[3] = texts(g, offsetof(Note, webhook.topic));
	args[4] = texts(g, offsetof(Note, webhook.action));
	args[5] = texts(g, offsetof(Note, webhook.key));
	args[6] = texts(g, offsetof(Note, webhook.event_at));
	args[7] = digests(g);
	args[8] = exact_arg_bytea_array(contents, lens, g->n);
	args[9] = texts(g, offsetof(Note, reason));
	rows = exact_sql(sql, 10, args);
	if (OidIsValid(exact_self_database()))
		append_event(g, rows);
}

void
exact_inbox_store(ExactInboxItem *items, int n)
{
	NoteGroup	group;
	int			level = exact_sql_index_nest_level();

	check_items(&group, items, n);
	if (group.n > 0)
		drop_repeats(&group);
	if (group.n > 0)
	{
		if (read_notes(&group))
			exact_wake_notified_at_commit();
		insert_notes(&group);
	}
	AtEOXact_GUC(true, level);
}

/* ---- seven days, or the retention, later ---- */

typedef struct Prune
{
	int64		after;			/* in and out: ids up to here were looked at */
	bool		end;			/* out: none of them was old, so that what follows is younger */
} Prune;

/* Rows that someone holds stay for the next time; those that nobody took stay. */
static void
prune_unit(void *arg)
{
	static const char sql[] =
	"WITH oldest AS MATERIALIZED ("
	"SELECT id, at"
	" FROM exact.inbox"
	" WHERE id > $1"
	" ORDER BY id"
	" LIMIT $2"
	"), free AS MATERIALIZED ("
	"SELECT x.id"
	" FROM exact.inbox AS x"
	" JOIN oldest AS o ON o.id = x.id"
	" JOIN exact.inbox_work AS w ON w.id = x.id"
	" WHERE x.at < pg_catalog.now() - pg_catalog.make_interval(secs => $3)"
	" AND w.taken_at IS NOT NULL"
	" FOR UPDATE OF x, w SKIP LOCKED"
	"), gone AS ("
	"DELETE FROM exact.inbox WHERE id IN (SELECT id FROM free)"
	"), done AS ("
	"DELETE FROM exact.inbox_work WHERE id IN (SELECT id FROM free)"
	")"
	" SELECT pg_catalog.max(id),"
	" pg_catalog.count(*) < $2"
	"  OR pg_catalog.min(at) >= pg_catalog.now() - pg_catalog.make_interval(secs => $3)"
	" FROM oldest";
	Prune	   *p = arg;
	ExactArg	args[] = {
		exact_arg_int8(p->after),
		exact_arg_int4(PRUNE_ROWS),
		exact_arg_float8(Min(KEPT_S, exact_retention_s))
	};

	exact_sql(sql, lengthof(args), args);
	p->after = exact_cell_int8(0, 1, p->after);
	p->end = exact_cell_bool(0, 2, true);
}

long
exact_inbox_prune(void)
{
	static Prune prune = {PG_INT64_MIN, false};
	static TimestampTz due = 0;
	TimestampTz now = GetCurrentTimestamp();
	long		every;

	if (now < due)
		return exact_clock_wait_ms(due);
	if (exact_unit_run("old notifications", prune_unit, &prune, NULL) && !prune.end)
		return PRUNE_AGAIN_MS;
	prune.after = PG_INT64_MIN;
	every = Min(PRUNE_EVERY_MS, exact_retention_s * 1000L / PRUNE_SHARE);
	due = TimestampTzPlusMilliseconds(now, every);
	return every;
}

/* ---- SQL functions ---- */

static void
refuse_large(size_t len)
{
	if (len > EXACT_WEBHOOK_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_WEBHOOK),
				 errmsg("a body of %zu bytes is no notification", len),
				 errdetail("Notifications have at most %d bytes; the service sends less than one"
						   " thousand.", EXACT_WEBHOOK_MAX),
				 errhint("Answer it with HTTP 413.")));
}

static void
refuse_unready(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_EXACT_SECRET),
			 errmsg("notifications cannot be checked: %s", problem),
			 errhint("Put it into the file app.<name>.webhook_secret in"
					 " exact_databricks.secrets_directory, then SELECT * FROM"
					 " exact.import_secrets(); until then answer HTTP 503.")));
}

/* exact.verify_webhook(app text, body bytea) → boolean */
Datum
exact_verify_webhook(PG_FUNCTION_ARGS)
{
	char	   *app = text_to_cstring(PG_GETARG_TEXT_PP(0));
	bytea	   *body = PG_GETARG_BYTEA_PP(1);
	const char *problem;
	ExactWebhook webhook;
	ExactWebhookCut cut;
	bool		good;
	int			level = exact_sql_index_nest_level();

	refuse_large(VARSIZE_ANY_EXHDR(body));
	SPI_connect();
	if (exact_webhook_secret_load(app, &problem) == 0)
		refuse_unready(problem);
	cut = exact_webhook_cut(VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body), &webhook);
	good = cut == EXACT_WEBHOOK_CUT && exact_webhook_secret_find(&webhook, app) != NULL;
	SPI_finish();
	AtEOXact_GUC(true, level);
	PG_RETURN_BOOL(good);
}

/* exact.receive_webhook(body bytea) → text */
Datum
exact_receive_webhook(PG_FUNCTION_ARGS)
{
	bytea	   *body;
	const char *problem = NULL;
	const char *outcome = NULL;
	ExactInboxItem item;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_WEBHOOK),
				 errmsg("the body of a notification must not be null"),
				 errhint("Exact Online tests the address with an empty body: give ''.")));
	body = PG_GETARG_BYTEA_PP(0);
	item.body = VARDATA_ANY(body);
	item.len = VARSIZE_ANY_EXHDR(body);
	refuse_large(item.len);
	SPI_connect();
	exact_inbox_store(&item, 1);
	switch (item.outcome)
	{
		case EXACT_INBOX_ACCEPTED:
			outcome = "accepted";
			break;
		case EXACT_INBOX_DUPLICATE:
			outcome = "duplicate";
			break;
		case EXACT_INBOX_VALIDATION:
			outcome = "validation";
			break;
		case EXACT_INBOX_NOT_READY:
			(void) exact_webhook_secret_load(NULL, &problem);
			refuse_unready(problem);
			break;
		case EXACT_INBOX_REFUSED:
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_WEBHOOK),
					 errmsg("the notification is refused"),
					 errdetail("Nothing was stored."),
					 errhint("Answer HTTP 401. If all are refused, compare the webhook secret in"
							 " the App Center with the one in exact.credentials.")));
	}
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(outcome));
}

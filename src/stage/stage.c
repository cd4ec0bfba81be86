/*
 * stage.c - writes versions.
 *
 * A version is written once and never changed. What decides whether a row is a new version: its
 * hash against exact.record; whether it may be one: its row version (Timestamp) against the stored
 * one of the same mark generation, and whether its request was sent before a tombstone of its key
 * was staged. Keys that may not be staged become dirty. A record that was erased comes back with
 * its next change in Exact Online only.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/timestamp.h"

#include "base/counter.h"
#include "base/errors.h"
#include "base/guc.h"
#include "base/sql.h"
#include "exact_online/feed.h"
#include "exact_online/write.h"
#include "stage/absence.h"
#include "stage/stage.h"
#include "state/audit.h"
#include "state/dead_letter.h"
#include "state/dirty_key.h"
#include "state/ledger.h"

#define SLOTS_IN_RETENTION 60
#define SLOT_LOOK_US (60 * USECS_PER_SEC)	/* it is known for so long */
#define PERIODS "journalstatuslist" /* which are closed */

/* The first _seq of an epoch */
#define FIRST_SEQ_SQL(epoch) "(" epoch "::bigint << " CppAsString2(EXACT_SEQ_EPOCH_BITS) ")"

static int	epoch;
static int64 last_seq;

void
exact_stage_load(void)
{
	static const char sql[] =
	"SELECT b.epoch, " FIRST_SEQ_SQL("b.epoch") " + s.last_value"
	" FROM exact.installation_binding b, exact.version_counter s";

	if (exact_sql(sql, 0, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_INSTALLATION),
				 errmsg("this installation is not bound to the cluster"),
				 errhint("Run SELECT exact.adopt(...) as a member of exact_admin.")));
	epoch = (int) exact_cell_int8(0, 1, 1);
	last_seq = exact_cell_int8(0, 2, 0);
}

int64
exact_stage_last_seq(void)
{
	return last_seq;
}

static void
see_version(int64 seq)
{
	if (seq > last_seq)
		last_seq = seq;
}

/* ---- batches ---- */

/*
 * The partition that is written now: a slot covers a sixtieth of the retention. One that this
 * transaction has opened is asked for again: it may not commit.
 */
static int
current_slot(void)
{
	static const char sql[] =
	"SELECT s.slot::int, s.ends_at, s.opened"
	" FROM exact._open_slot(make_interval(secs => $1)) s";
	static int	slot;
	static TimestampTz known_at;
	static TimestampTz ends_at;
	TimestampTz now = GetCurrentTimestamp();
	ExactArg	width = exact_arg_float8((double) exact_retention_s / SLOTS_IN_RETENTION);

	if (known_at != 0 && now >= known_at && now < Min(ends_at, known_at + SLOT_LOOK_US))
		return slot;
	exact_sql(sql, 1, &width);
	slot = (int) exact_cell_int8(0, 1, 0);
	ends_at = exact_cell_time(0, 2, 0);
	known_at = exact_cell_bool(0, 3, false) ? 0 : now;
	return slot;
}

static int64
next_batch(void)
{
	exact_sql("SELECT nextval('exact.batch_id')", 0, NULL);
	return exact_cell_int8(0, 1, 0);
}

/* The batch's own row and its event; nothing when no version was written. */
static void
close_batch(int64 batch, int slot, int division, const char *entity, const char *feed, int64 run,
			int64 call, const char *how)
{
	static const char sql[] =
	"WITH v AS ("
	"  SELECT count(*)::int AS rows,"
	"   coalesce(sum(octet_length(payload)), 0) AS bytes,"
	"   min(seq) AS lo,"
	"   max(seq) AS hi,"
	"   count(*) FILTER (WHERE op = 'I') AS inserted,"
	"   count(*) FILTER (WHERE op = 'U') AS updated,"
	"   count(*) FILTER (WHERE op = 'D') AS deleted,"
	"   encode(sha256(string_agg(coalesce(hash, ''::bytea), ''::bytea ORDER BY ord)), 'hex')"
	"    AS digest"
	"  FROM exact.stage"
	"  WHERE slot = $2 AND batch = $1),"
	" b AS ("
	"  INSERT INTO exact.batch"
	"   (id, slot, workspace, division, entity, feed, run, call, epoch,"
	"    rows, bytes, seq_min, seq_max, staged_at, took_ms)"
	"  SELECT $1, $2, (SELECT workspace FROM exact.division d WHERE d.division = $3),"
	"   $3, $4, $5, $6, $7, $8,"
	"   rows, bytes, lo, hi, clock_timestamp(),"
	"   extract(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000"
	"  FROM v)"
	" SELECT rows, inserted, updated, deleted, lo, hi, digest,"
	"  (SELECT epoch FROM exact.installation_binding)"
	" FROM v";
	ExactAuditBatch event = {
		.division = division,
		.entity = entity,
		.batch = batch,
		.run = run,
		.call = call,
		.how = how,
	};
	ExactArg	args[8];

	args[0] = exact_arg_int8(batch);
	args[1] = exact_arg_int4(slot);
	args[2] = exact_arg_int4(division);
	args[3] = exact_arg_text(entity);
	args[4] = exact_arg_text(feed);
	args[5] = exact_arg_int8(run);
	args[6] = call > 0 ? exact_arg_int8(call) : exact_arg_null(INT8OID);
	args[7] = exact_arg_int4(epoch);
	exact_sql(sql, 8, args);
	event.rows = exact_cell_int8(0, 1, 0);
	event.fresh = exact_cell_int8(0, 2, 0);
	event.changed = exact_cell_int8(0, 3, 0);
	event.deleted = exact_cell_int8(0, 4, 0);
	event.seq_min = exact_cell_int8(0, 5, 0);
	event.seq_max = exact_cell_int8(0, 6, 0);
	event.digest = exact_cell_text(0, 7);
	if (exact_cell_int8(0, 8, 0) != epoch)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_INSTALLATION),
				 errmsg("epoch %d is over: nothing more is staged in it", epoch),
				 errhint("The fetcher restarts and uses the new epoch.")));
	exact_audit_batch(&event);
	exact_counter_add(EXACT_COUNTER_STAGED, 0, "I", "", event.fresh);
	exact_counter_add(EXACT_COUNTER_STAGED, 0, "U", "", event.changed);
	exact_counter_add(EXACT_COUNTER_STAGED, 0, "D", "", event.deleted);
}

/*
 * A change of a transaction line makes its document be read again, since an edit of a line need
 * not move its header. Which entity has the document is looked up in this order:
 *
 *  1. Every entity that knows it. Bank entry 4711 is known as one of bankentries: that key becomes
 *     dirty.
 *  2. If none knows it: where the line's Type belongs. Type 40 is among the trigger_types of
 *     bankentries, so 4711 is looked for there: the document is new, and its line was read before
 *     it.
 *  3. If no entity claims that Type: in all that these lines may tell of.
 *
 * Only where the documents' first run has begun: it begins after the transaction lines are
 * complete, so it finds by itself what changed before.
 */
static void
follow(int division, const char *entity, int slot, int64 batch, bool first)
{
	static const char sql[] =
	"WITH changed AS ("
	"  SELECT r.parent AS key,"
	"   min(substring(v.payload"
	"    from '\"Type\"[[:space:]]*:[[:space:]]*\"?([0-9]{1,6})')::int) AS type"
	"  FROM exact.stage v"
	"  JOIN LATERAL (SELECT x.parent FROM exact.record x"
	"   WHERE x.division = $1 AND x.entity = $2 AND x.key = v.key OFFSET 0) r ON true"
	"  WHERE v.slot = $3 AND v.batch = $4 AND r.parent IS NOT NULL"
	"  GROUP BY r.parent),"
	" document AS ("
	"  SELECT e.entity, e.trigger_types,"
	"   EXISTS (SELECT FROM exact._enabled_feed f"
	"    JOIN exact.feed_state s ON s.division = f.division AND s.feed = f.feed"
	"    WHERE f.division = $1 AND f.feed = e.feed AND s.run_started_at IS NOT NULL) AS read"
	"  FROM exact.entity_effective e"
	"  WHERE e.trigger_entity = $2)"
	" SELECT d.entity, array_agg(c.key)"
	" FROM changed c"
	" JOIN document d ON d.read"
	" WHERE EXISTS (SELECT FROM exact.record h"
	"   WHERE h.division = $1 AND h.entity = d.entity AND h.key = c.key)"
	"  OR (NOT EXISTS (SELECT FROM document o"
	"    JOIN exact.record h ON h.division = $1 AND h.entity = o.entity AND h.key = c.key)"
	"   AND (c.type = ANY (d.trigger_types)"
	"    OR NOT coalesce((SELECT bool_or(c.type = ANY (o.trigger_types)) FROM document o), false)))"
	" GROUP BY d.entity";
	ExactDirtyReason reason = first ? EXACT_DIRTY_FIRST_LOAD : EXACT_DIRTY_LINES_CHANGED;
	ExactArg	args[4];
	SPITupleTable *found;
	uint64		n;

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_int4(slot);
	args[3] = exact_arg_int8(batch);
	n = exact_sql(sql, 4, args);
	found = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		char	   *document;
		char	  **keys;
		int			nkeys;

		SPI_tuptable = found;
		document = exact_cell_text(i, 1);
		keys = exact_cell_texts(i, 2, &nkeys);
		exact_dirty_key_want(division, document, keys, nkeys, reason);
	}
}

/*
 * What others keep of a batch, in the same transaction. first: it came with a first load or a
 * backfill; keys: of the documents that it has rows of.
 */
static void
learn(int division, const char *entity, int slot, int64 batch, bool first, char **keys, int nkeys)
{
	static const char document_sql[] = "SELECT exact._judge_later($1, $2, $3, $4, $5)";
	static const char dimension_sql[] = "SELECT exact._dimension_learn($1, $2, $3, $4)";
	static const char again_sql[] = "SELECT exact._judge_again($1, $2, $3, $4)";
	bool		dimension = exact_write_resource(entity) != NULL;
	ExactArg	args[5];

	exact_ledger_learn(division, entity, slot, batch);
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_int8(batch);
	args[3] = exact_arg_bool(first);
	args[4] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	exact_sql(document_sql, 5, args);
	args[2] = exact_arg_int4(slot);
	args[3] = exact_arg_int8(batch);
	if (dimension)
		exact_sql(dimension_sql, 4, args);
	if (dimension || strcmp(entity, PERIODS) == 0)
		exact_sql(again_sql, 4, args);
}

/* ---- rows ---- */

/* What the statement of a page says of keys that are dirty, or become so */
typedef struct Stale
{
	bool		dirty;			/* some of the entity's are dirty already */
	char	  **keys;			/* of the page, which were not staged */
	int			n;
	/* what is to be read instead of those that were sent before a deletion */
	char	  **late;
	int			nlate;
	char	  **older;			/* and of those that are older than what is stored */
	int			nolder;
} Stale;

static bool
is_stale(const Stale *stale, const char *key)
{
	for (int i = 0; i < stale->n; i++)
		if (strcmp(stale->keys[i], key) == 0)
			return true;
	return false;
}

/*
 * What the page settles, and what it makes dirty. A line of an expanded document is read again
 * with the document, a record with row versions is only asked whether it still exists.
 */
static void
mark_keys(const ExactStagePage *p, const ExactFeedEntity *entity, const char *document,
		  const ExactStageRows *rows, const Stale *stale)
{
	bool		confirmable = p->feed->method == EXACT_FEED_SYNC &&
	entity->plain_resource != NULL && entity->plain_key != NULL;
	const char *asked = document ? document : entity->name;
	char	  **seen = rows->keys;
	int			nseen = rows->n;

	if (stale->n > 0)
	{
		seen = palloc(rows->n * sizeof(char *));
		nseen = 0;
		for (int i = 0; i < rows->n; i++)
			if (!is_stale(stale, rows->keys[i]))
				seen[nseen++] = rows->keys[i];
	}
	if (stale->dirty)
		exact_dirty_key_seen(p->division, entity->name, seen, nseen, p->sent_at);
	if (stale->nlate > 0)
		exact_dirty_key_want(p->division, asked, stale->late, stale->nlate,
							 EXACT_DIRTY_BEFORE_DELETION);
	if (stale->nolder > 0)
		exact_dirty_key_want(p->division, asked, stale->older, stale->nolder,
							 confirmable ? EXACT_DIRTY_CONFIRM : EXACT_DIRTY_OLDER);
}

/* Documents that rows are of: a header is one itself */
#define DOCUMENTS_SQL "array_agg(DISTINCT coalesce(parent, key) COLLATE \"C\")"

/*
 * One statement compares the rows with what is stored, writes the new versions and what is known
 * of each record. A row that was changed while pages were read can stand twice in a run, even in a
 * page: the later one counts.
 *
 * The plan is kept, and made while the table is empty or was never analysed. So the text leaves no
 * choice: each record is looked up by its whole key (OFFSET 0 keeps the look-up in its place) and
 * written by ON CONFLICT.
 */
static const char stage_sql[] =
	"WITH page AS MATERIALIZED ("
	"  SELECT DISTINCT ON (key) key, parent, hash, former, version, payload, n"
	"  FROM unnest($3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::text[], $15::bytea[])"
	"   WITH ORDINALITY AS u(key, parent, hash, version, payload, former, n)"
	"  ORDER BY key, version DESC NULLS LAST, n DESC),"
	" compared AS MATERIALIZED ("
	"  SELECT p.*,"
	"   r.key IS NOT NULL AS known, r.seq AS prev_seq,"
	"   coalesce(r.deleted, false) AS deleted,"
	"   (r.run, r.row_version, r.mark_generation, r.hash)"
	"    IS DISTINCT FROM ($13::bigint, p.version, $9, p.hash) AS moved,"
	"   r.hash IS DISTINCT FROM p.hash AND r.hash IS DISTINCT FROM p.former AS differs,"
	"   r.slot AS prev_slot, r.batch AS prev_batch, r.ord AS prev_ord,"
	"   coalesce(CASE WHEN r.deleted THEN r.seq > $8"
	"    ELSE r.mark_generation = $9 AND p.version < r.row_version END, false) AS stale,"
	"   CASE WHEN r.erased IS NULL THEN false"
	"    ELSE NOT exact._came_back(r.erased, p.payload) END AS erased"
	"  FROM page p"
	"  LEFT JOIN LATERAL (SELECT * FROM exact.record x"
	"   WHERE x.division = $1 AND x.entity = $2 AND x.key = p.key OFFSET 0) r ON true),"
	" versions AS MATERIALIZED ("
	"  SELECT c.*,"
	"   (row_number() OVER (ORDER BY n))::int - 1 AS ord,"
	"   " FIRST_SEQ_SQL("$10") " + nextval('exact.version_counter') AS seq"
	"  FROM (SELECT * FROM compared"
	"   WHERE NOT stale AND NOT erased AND (NOT known OR deleted OR differs)"
	"   ORDER BY n) c),"
	" staged AS ("
	"  INSERT INTO exact.stage"
	"   (slot, batch, ord, seq, division, entity, key, op, at,"
	"    prev_slot, prev_batch, prev_ord, hash, payload)"
	"  SELECT $11, $12, ord, seq, $1, $2, key,"
	"   CASE WHEN known AND NOT deleted THEN 'U' ELSE 'I' END, clock_timestamp(),"
	"   prev_slot, prev_batch, prev_ord, hash, payload"
	"  FROM versions"
	"  ORDER BY ord),"
	" recorded AS ("
	"  INSERT INTO exact.record AS r"
	"   (division, entity, key, parent, hash, seq, slot, batch, ord, deleted,"
	"    row_version, mark_generation, run, first_seen)"
	"  SELECT $1, $2, key, parent, hash, seq, $11, $12, ord, false,"
	"   version, $9, $13, now()"
	"  FROM versions"
	"  ON CONFLICT (division, entity, key) DO UPDATE SET"
	"   parent = excluded.parent,"
	"   hash = excluded.hash,"
	"   seq = excluded.seq,"
	"   slot = excluded.slot,"
	"   batch = excluded.batch,"
	"   ord = excluded.ord,"
	"   deleted = false,"
	"   row_version = excluded.row_version,"
	"   mark_generation = excluded.mark_generation,"
	"   run = greatest(r.run, excluded.run),"
	"   erased = NULL),"
	" seen AS ("
	"  INSERT INTO exact.record AS r"
	"   (division, entity, key, hash, seq, slot, batch, ord, row_version, mark_generation, run)"
	"  SELECT $1, $2, key, hash, prev_seq, prev_slot, prev_batch, prev_ord, version, $9, $13"
	"  FROM compared"
	"  WHERE NOT stale AND known AND NOT deleted AND (erased OR NOT differs) AND moved"
	"  ON CONFLICT (division, entity, key) DO UPDATE SET"
	"   hash = CASE WHEN r.hash IS NOT NULL THEN excluded.hash END,"
	"   row_version = excluded.row_version,"
	"   mark_generation = excluded.mark_generation,"
	"   run = greatest(r.run, excluded.run))"
	" SELECT"
	"  (SELECT count(*) FROM versions WHERE NOT known OR deleted),"
	"  (SELECT count(*) FROM versions WHERE known AND NOT deleted),"
	"  (SELECT max(seq) FROM versions),"
	"  (SELECT " DOCUMENTS_SQL " FROM versions),"
	"  min(version) FILTER (WHERE deleted),"
	"  array_agg(key),"
	"  array_agg(CASE WHEN $14 THEN parent ELSE key END) FILTER (WHERE deleted),"
	"  array_agg(CASE WHEN $14 THEN parent ELSE key END) FILTER (WHERE NOT deleted),"
	"  EXISTS (SELECT FROM exact.dirty_key d WHERE d.division = $1 AND d.entity = $2),"
	"  EXISTS (SELECT FROM exact.dead_letter l"
	"   WHERE l.division = $1 AND l.entity = $2 AND l.state <> 'done'),"
	"  EXISTS (SELECT FROM exact.held_key k WHERE k.division = $1 AND k.entity = $2)"
	"   OR EXISTS (SELECT FROM exact.held_delete h"
	"    WHERE h.division = $1 AND h.entity = $2 AND h.state IN ('held', 'rejected'))"
	" FROM compared"
	" WHERE stale";

/* Stores the rows of one entity of a page, and what they settle or make dirty. */
void
exact_stage_rows(ExactStagePage *p, const ExactFeedEntity *entity, ExactStageRows *rows)
{
	int			slot = current_slot();
	int64		batch = next_batch();
	const char *document = NULL;
	ExactArg	args[15];
	Stale		stale;
	int64		reread_from;
	bool		dead,
				held;
	int			fresh,
				changed;

	if (exact_feed_is_document_line(p->feed, entity))
		document = p->feed->entities[0].name;
	args[0] = exact_arg_int4(p->division);
	args[1] = exact_arg_text(entity->name);
	args[2] = exact_arg_text_array((const char *const *) rows->keys, NULL, rows->n);
	args[3] = exact_arg_text_array((const char *const *) rows->parents, NULL, rows->n);
	args[4] = exact_arg_bytea_array(rows->hashes, rows->hash_lens, rows->n);
	args[5] = exact_arg_int8_array(rows->versions, rows->no_version, rows->n);
	args[6] = exact_arg_text_array(rows->payloads, rows->payload_lens, rows->n);
	args[7] = exact_arg_int8(p->sent_seq);
	args[8] = exact_arg_int4(p->mark_generation);
	args[9] = exact_arg_int8(epoch);
	args[10] = exact_arg_int4(slot);
	args[11] = exact_arg_int8(batch);
	args[12] = exact_arg_int8(p->run);
	args[13] = exact_arg_bool(document != NULL);
	args[14] = exact_arg_bytea_array(rows->formers, rows->former_lens, rows->n);
	exact_sql(stage_sql, 15, args);
	fresh = (int) exact_cell_int8(0, 1, 0);
	changed = (int) exact_cell_int8(0, 2, 0);
	see_version(exact_cell_int8(0, 3, 0));
	rows->batch = batch;
	rows->documents = exact_cell_texts(0, 4, &rows->ndocuments);
	reread_from = exact_cell_int8(0, 5, 0);
	stale.keys = exact_cell_texts(0, 6, &stale.n);
	stale.late = exact_cell_texts(0, 7, &stale.nlate);
	stale.older = exact_cell_texts(0, 8, &stale.nolder);
	stale.dirty = exact_cell_bool(0, 9, false);
	dead = exact_cell_bool(0, 10, false);
	held = exact_cell_bool(0, 11, false);
	if (reread_from > 0 && (p->reread_from == 0 || reread_from < p->reread_from))
		p->reread_from = reread_from;
	p->stale += stale.n;
	p->fresh += fresh;
	p->changed += changed;
	mark_keys(p, entity, document, rows, &stale);
	if (held)
		exact_absence_seen(p->division, entity->name, rows->keys, rows->n);
	if (dead)
		exact_dead_letter_done(p->division, entity->name, rows->keys, rows->n);
	if (fresh + changed == 0)
		return;
	close_batch(batch, slot, p->division, entity->name, p->feed->name, p->run, p->call, "page");
	learn(p->division, entity->name, slot, batch, p->first, rows->documents, rows->ndocuments);
	if (entity->followed)
		follow(p->division, entity->name, slot, batch, p->first);
}

/* ---- tombstones ---- */

/* Two texts, because a plan is kept under the address of its text. */
#define TOMBSTONES_SQL(condition) \
	"WITH gone AS MATERIALIZED (" \
	"  SELECT r.*," \
	"   (row_number() OVER (ORDER BY r.seq))::int - 1 AS new_ord," \
	"   " FIRST_SEQ_SQL("$4") " + nextval('exact.version_counter') AS new_seq" \
	"  FROM (SELECT * FROM exact.record" \
	"   WHERE division = $1 AND entity = $2 AND NOT deleted AND " condition \
	"   ORDER BY seq" \
	"   FOR UPDATE) r)," \
	" staged AS (" \
	"  INSERT INTO exact.stage" \
	"   (slot, batch, ord, seq, division, entity, key, op, at," \
	"    prev_slot, prev_batch, prev_ord, hash, payload)" \
	"  SELECT $5, $6, new_ord, new_seq, $1, $2, key, 'D', clock_timestamp()," \
	"   slot, batch, ord, hash, NULL" \
	"  FROM gone" \
	"  ORDER BY new_ord)," \
	" recorded AS (" \
	"  UPDATE exact.record r" \
	"  SET seq = g.new_seq, slot = $5, batch = $6, ord = g.new_ord, deleted = true" \
	"  FROM gone g" \
	"  WHERE r.division = $1 AND r.entity = $2 AND r.key = g.key" \
	"  AND r.key = ANY (ARRAY(SELECT key FROM gone)))" \
	" SELECT count(*), max(new_seq), " DOCUMENTS_SQL " FROM gone"

/* Tombstones for records with these keys, or whose document has them. */
static int
delete_keys(int division, const char *feed, const char *entity, ExactArg keys, int64 run,
			int64 call, const char *how, bool by_parent)
{
	static const char by_key_sql[] = TOMBSTONES_SQL("key = ANY ($3::text[])");
	static const char by_parent_sql[] = TOMBSTONES_SQL("parent = ANY ($3::text[])");
	int			slot = current_slot();
	int64		batch = next_batch();
	ExactArg	args[6];
	char	  **documents;
	int			ndocuments;
	int			n;

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = keys;
	args[3] = exact_arg_int8(epoch);
	args[4] = exact_arg_int4(slot);
	args[5] = exact_arg_int8(batch);
	exact_sql(by_parent ? by_parent_sql : by_key_sql, 6, args);
	n = (int) exact_cell_int8(0, 1, 0);
	see_version(exact_cell_int8(0, 2, 0));
	documents = exact_cell_texts(0, 3, &ndocuments);
	if (n > 0)
	{
		close_batch(batch, slot, division, entity, feed, run, call, how);
		learn(division, entity, slot, batch, false, documents, ndocuments);
		follow(division, entity, slot, batch, false);
	}
	return n;
}

int
exact_stage_delete(int division, const char *feed, const char *entity, const char *line_entity,
				   char **keys, int nkeys, int64 run, int64 call, const char *how)
{
	ExactArg	array = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	int			n;

	n = delete_keys(division, feed, entity, array, run, call, how, false);
	exact_dead_letter_done(division, entity, keys, nkeys);
	if (line_entity != NULL)
		n += delete_keys(division, feed, line_entity, array, run, call, how, true);
	exact_absence_deleted(division, entity, line_entity, keys, nkeys);
	return n;
}

/* ---- once more ---- */

int
exact_stage_again(int division, const char *entity, char **keys, int nkeys)
{
	static const char sql[] =
	"WITH again AS MATERIALIZED ("
	"  SELECT r.*,"
	"   (row_number() OVER (ORDER BY r.seq))::int - 1 AS new_ord,"
	"   " FIRST_SEQ_SQL("$4") " + nextval('exact.version_counter') AS new_seq"
	"  FROM (SELECT r.*, s.payload"
	"   FROM exact.record r"
	"   LEFT JOIN LATERAL (SELECT x.payload FROM exact.stage x"
	"    WHERE x.slot = r.slot AND x.batch = r.batch AND x.ord = r.ord OFFSET 0) s ON true"
	"   WHERE r.division = $1 AND r.entity = $2 AND r.key = ANY ($3::text[])"
	"   AND (r.deleted OR s.payload IS NOT NULL) AND r.erased IS NULL"
	"   ORDER BY r.seq"
	"   FOR UPDATE OF r) r),"
	" staged AS ("
	"  INSERT INTO exact.stage"
	"   (slot, batch, ord, seq, division, entity, key, op, at,"
	"    prev_slot, prev_batch, prev_ord, hash, payload)"
	"  SELECT $5, $6, new_ord, new_seq, $1, $2, key, CASE WHEN deleted THEN 'D' ELSE 'U' END,"
	"   clock_timestamp(), slot, batch, ord, hash, CASE WHEN NOT deleted THEN payload END"
	"  FROM again"
	"  ORDER BY new_ord),"
	" recorded AS ("
	"  UPDATE exact.record r"
	"  SET seq = a.new_seq, slot = $5, batch = $6, ord = a.new_ord"
	"  FROM again a"
	"  WHERE r.division = $1 AND r.entity = $2 AND r.key = a.key"
	"  AND r.key = ANY (ARRAY(SELECT key FROM again)))"
	" SELECT count(*), max(new_seq),"
	"  (SELECT e.feed FROM exact.entity_effective e WHERE e.entity = $2),"
	"  " DOCUMENTS_SQL
	" FROM again";
	int			slot = current_slot();
	int64		batch = next_batch();
	ExactArg	args[6];
	int			n;
	char	   *feed;
	char	  **documents;
	int			ndocuments;

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	args[3] = exact_arg_int8(epoch);
	args[4] = exact_arg_int4(slot);
	args[5] = exact_arg_int8(batch);
	exact_sql(sql, 6, args);
	n = (int) exact_cell_int8(0, 1, 0);
	see_version(exact_cell_int8(0, 2, 0));
	feed = exact_cell_text(0, 3);
	documents = exact_cell_texts(0, 4, &ndocuments);
	if (n == 0)
		return 0;
	close_batch(batch, slot, division, entity, feed, 0, 0, "once more for Delta");
	learn(division, entity, slot, batch, false, documents, ndocuments);
	return n;
}

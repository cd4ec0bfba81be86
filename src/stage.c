/*
 * stage.c - writes versions.
 *
 * A version is written once and never changed. What decides whether a row is a new version: its hash against exact.record;
 * whether it may be one: its row version (Timestamp) against the stored one of the same mark generation, and whether its
 * request was sent before a tombstone of its key was staged. Keys that may not be staged become dirty.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "guc.h"
#include "sql.h"
#include "stage.h"
#include "worker.h"

#define SLOTS 64
#define SLOTS_IN_RETENTION 60

static int	epoch;
static int64 last_seq;

void
exact_stage_load(void)
{
	static const char sql[] =
	"SELECT b.epoch, (b.epoch::bigint << 40) + s.last_value FROM exact.installation_binding b, exact.version_counter s";

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

/* The partition that is written now: a slot covers a sixtieth of the retention. */
static int
current_slot(void)
{
	int64		seconds = GetCurrentTimestamp() / USECS_PER_SEC;
	int64		width = Max(exact_retention_s / SLOTS_IN_RETENTION, 3600);

	return (int) ((seconds / width) % SLOTS);
}

static int64
next_batch(void)
{
	exact_sql("SELECT pg_catalog.nextval('exact.batch_id')", 0, NULL);
	return exact_cell_int8(0, 1, 0);
}

/* The batch's own row and its event; nothing when no version was written. */
static void
close_batch(int64 batch, int slot, int division, const char *entity, const char *feed, int64 run, int64 call, const char *how)
{
	static const char sql[] =
	"WITH v AS (SELECT count(*)::int AS rows, coalesce(sum(octet_length(payload)), 0) AS bytes, min(seq) AS lo, max(seq) AS hi, "
	"  count(*) FILTER (WHERE op = 'I') AS inserted, count(*) FILTER (WHERE op = 'U') AS updated, count(*) FILTER (WHERE op = 'D') AS deleted, "
	"  encode(sha256(string_agg(coalesce(hash, ''::bytea), ''::bytea ORDER BY ord)), 'hex') AS digest "
	"  FROM exact.stage WHERE slot = $2 AND batch = $1), "
	"b AS (INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, run, call, epoch, rows, bytes, seq_min, seq_max, staged_at, took_ms) "
	"  SELECT $1, $2, (SELECT workspace FROM exact.division d WHERE d.division = $3), $3, $4, $5, $6, $7, $8, rows, bytes, lo, hi, clock_timestamp(), "
	"  EXTRACT(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000 FROM v) "
	"SELECT exact._audit('fetcher', 'batch', $3, $4, jsonb_build_object('batch', $1, 'run', $6, 'call', $7, 'rows', rows, 'new', inserted, "
	"  'changed', updated, 'deleted', deleted, 'seq_min', lo, 'seq_max', hi, 'digest', digest, 'how', $9::text)) FROM v";
	ExactArg	args[9];

	args[0] = exact_arg_int8(batch);
	args[1] = exact_arg_int4(slot);
	args[2] = exact_arg_int4(division);
	args[3] = exact_arg_text(entity);
	args[4] = exact_arg_text(feed);
	args[5] = exact_arg_int8(run);
	args[6] = call > 0 ? exact_arg_int8(call) : exact_arg_null(INT8OID);
	args[7] = exact_arg_int4(epoch);
	args[8] = exact_arg_text(how);
	exact_sql(sql, 9, args);
}

static void
see_version(int64 seq)
{
	if (seq > last_seq)
		last_seq = seq;
}

/* Columns of a page for one entity */
typedef struct Rows
{
	int			n;
	char	  **keys;
	char	  **parents;
	uint8	   *hashes;
	const void **hash_pointers;
	size_t	   *hash_lens;
	int64	   *versions;
	bool	   *no_version;
	const char **payloads;
	size_t	   *payload_lens;
} Rows;

static Rows *
make_rows(int capacity)
{
	Rows	   *rows = palloc0(sizeof(Rows));

	capacity = Max(capacity, 1);
	rows->keys = palloc(capacity * sizeof(char *));
	rows->parents = palloc(capacity * sizeof(char *));
	rows->hashes = palloc(capacity * 32);
	rows->hash_pointers = palloc(capacity * sizeof(void *));
	rows->hash_lens = palloc(capacity * sizeof(size_t));
	rows->versions = palloc(capacity * sizeof(int64));
	rows->no_version = palloc(capacity * sizeof(bool));
	rows->payloads = palloc(capacity * sizeof(char *));
	rows->payload_lens = palloc(capacity * sizeof(size_t));
	return rows;
}

static void
add_row(Rows *rows, const ExactFeed *feed, const ExactFeedEntity *entity, const ExactRecord *record, int number)
{
	int			n = rows->n;

	rows->keys[n] = exact_feed_key(record, entity->key);
	if (rows->keys[n] == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_BAD_ANSWER),
				 errmsg("Exact Online answered with a record of %s that has no %s", entity->name, feed->fields[entity->key]),
				 errdetail("Row %d of the page. Nothing of that page was kept.", number),
				 errhint("The hub asks again by itself.")));
	rows->parents[n] = entity->parent >= 0 ? exact_feed_key(record, entity->parent) : NULL;
	rows->versions[n] = 0;
	rows->no_version[n] = feed->timestamp < 0 || !exact_odata_int64(record->values[feed->timestamp], &rows->versions[n]);
	exact_feed_hash(entity, record, rows->hashes + n * 32);
	rows->hash_pointers[n] = rows->hashes + n * 32;
	rows->hash_lens[n] = 32;
	rows->payloads[n] = record->text.start;
	rows->payload_lens[n] = record->text.len;
	rows->n++;
}

/* Design: the division of each record is checked, and nothing of a page with a foreign one is kept. */
static void
check_division(const ExactStagePage *p, const ExactRecord *record, int number)
{
	ExactSlice	none = {NULL, 0};
	int64		division = exact_odata_division(record, p->feed->division >= 0 ? record->values[p->feed->division] : none, p->division);

	if (division == p->division)
		return;
	if (division < 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_BAD_ANSWER),
				 errmsg("Exact Online answered with a record of %s that names no division", p->feed->name),
				 errdetail("Row %d of the page. Nothing of that page was kept.", number),
				 errhint("The hub asks again by itself.")));
	ereport(ERROR,
			(errcode(ERRCODE_EXACT_DIVISION_GUARD),
			 errmsg("division %d is frozen: Exact Online answered with a record of division " INT64_FORMAT, p->division, division),
			 errdetail("GET %s, row %d. Nothing of that page was kept.", p->feed->resource, number),
			 errhint("Check the administration in Exact Online; then SELECT exact.resume(%d).", p->division)));
}

/* A row that was changed while pages were read can stand twice in a run, even in a page: the later one counts. */
static void
stage_rows(ExactStagePage *p, const ExactFeedEntity *entity, Rows *rows)
{
	static const char sql[] =
	"WITH page AS MATERIALIZED ( "
	"  SELECT DISTINCT ON (key) key, parent, hash, version, payload, n "
	"  FROM unnest($3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::text[]) WITH ORDINALITY AS u(key, parent, hash, version, payload, n) "
	"  ORDER BY key, version DESC NULLS LAST, n DESC), "
	"compared AS MATERIALIZED ( "
	"  SELECT p.*, r.key IS NOT NULL AS known, coalesce(r.deleted, false) AS deleted, r.hash IS DISTINCT FROM p.hash AS differs, "
	"    r.slot AS prev_slot, r.batch AS prev_batch, r.ord AS prev_ord, "
	"    coalesce(CASE WHEN r.deleted THEN r.seq > $8 ELSE r.mark_generation = $9 AND p.version < r.row_version END, false) AS stale "
	"  FROM page p LEFT JOIN exact.record r ON r.division = $1 AND r.entity = $2 AND r.key = p.key), "
	"versions AS MATERIALIZED ( "
	"  SELECT c.*, (row_number() OVER (ORDER BY n))::int - 1 AS ord, ($10::bigint << 40) + nextval('exact.version_counter') AS seq "
	"  FROM (SELECT * FROM compared WHERE NOT stale AND (NOT known OR deleted OR differs) ORDER BY n) c), "
	"staged AS ( "
	"  INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, at, prev_slot, prev_batch, prev_ord, hash, payload) "
	"  SELECT $11, $12, ord, seq, $1, $2, key, CASE WHEN known AND NOT deleted THEN 'U' ELSE 'I' END, clock_timestamp(), "
	"    prev_slot, prev_batch, prev_ord, hash, payload FROM versions ORDER BY ord), "
	"recorded AS ( "
	"  INSERT INTO exact.record AS r (division, entity, key, parent, hash, seq, slot, batch, ord, deleted, row_version, mark_generation, run, first_seen) "
	"  SELECT $1, $2, key, parent, hash, seq, $11, $12, ord, false, version, $9, $13, now() FROM versions "
	"  ON CONFLICT (division, entity, key) DO UPDATE SET parent = excluded.parent, hash = excluded.hash, seq = excluded.seq, slot = excluded.slot, "
	"    batch = excluded.batch, ord = excluded.ord, deleted = false, row_version = excluded.row_version, mark_generation = excluded.mark_generation, run = excluded.run), "
	"seen AS ( "
	"  UPDATE exact.record r SET run = $13, row_version = c.version, mark_generation = $9 FROM compared c "
	"  WHERE NOT c.stale AND c.known AND NOT c.deleted AND NOT c.differs AND r.division = $1 AND r.entity = $2 AND r.key = c.key "
	"    AND (r.run, r.row_version, r.mark_generation) IS DISTINCT FROM ($13::bigint, c.version, $9)), "
	"dirty AS ( "
	"  INSERT INTO exact.dirty_key (division, entity, key, since, reason) SELECT $1, $2, key, now(), 'older than what is stored' FROM compared WHERE stale "
	"  ON CONFLICT (division, entity, key) DO NOTHING), "
	"clean AS ( "
	"  DELETE FROM exact.dirty_key d USING compared c WHERE NOT c.stale AND d.division = $1 AND d.entity = $2 AND d.key = c.key AND d.since < $14) "
	"SELECT (SELECT count(*) FROM versions WHERE NOT known OR deleted), (SELECT count(*) FROM versions WHERE known AND NOT deleted), "
	"  (SELECT count(*) FROM compared WHERE stale), (SELECT max(seq) FROM versions)";
	int			slot = current_slot();
	int64		batch = next_batch();
	ExactArg	args[14];
	int			fresh,
				changed;

	args[0] = exact_arg_int4(p->division);
	args[1] = exact_arg_text(entity->name);
	args[2] = exact_arg_text_array((const char *const *) rows->keys, NULL, rows->n);
	args[3] = exact_arg_text_array((const char *const *) rows->parents, NULL, rows->n);
	args[4] = exact_arg_bytea_array(rows->hash_pointers, rows->hash_lens, rows->n);
	args[5] = exact_arg_int8_array(rows->versions, rows->no_version, rows->n);
	args[6] = exact_arg_text_array(rows->payloads, rows->payload_lens, rows->n);
	args[7] = exact_arg_int8(p->sent_seq);
	args[8] = exact_arg_int4(p->mark_generation);
	args[9] = exact_arg_int8(epoch);
	args[10] = exact_arg_int4(slot);
	args[11] = exact_arg_int8(batch);
	args[12] = exact_arg_int8(p->run);
	args[13] = exact_arg_time(GetCurrentTransactionStartTimestamp());
	exact_sql(sql, 14, args);
	fresh = (int) exact_cell_int8(0, 1, 0);
	changed = (int) exact_cell_int8(0, 2, 0);
	p->stale += (int) exact_cell_int8(0, 3, 0);
	see_version(exact_cell_int8(0, 4, 0));
	p->fresh += fresh;
	p->changed += changed;
	if (fresh + changed > 0)
		close_batch(batch, slot, p->division, entity->name, p->feed->name, p->run, p->call, "page");
}

void
exact_stage_page(ExactStagePage *p)
{
	const ExactFeed *feed = p->feed;
	Rows	  **rows = palloc(feed->nentities * sizeof(Rows *));

	for (int e = 0; e < feed->nentities; e++)
		rows[e] = make_rows(p->page->nrecords);
	for (int i = 0; i < p->page->nrecords; i++)
	{
		const ExactRecord *record = &p->page->records[i];
		char		kind = ' ';

		check_division(p, record, i + 1);
		if (feed->line_number >= 0)
		{
			int64		line;

			if (!exact_odata_int64(record->values[feed->line_number], &line))
				ereport(ERROR,
						(errcode(ERRCODE_EXACT_BAD_ANSWER),
						 errmsg("Exact Online answered with a record of %s that has no LineNumber", feed->name),
						 errdetail("Row %d of the page. Nothing of that page was kept.", i + 1),
						 errhint("The hub asks again by itself.")));
			kind = line == 0 ? 'h' : 'l';
		}
		for (int e = 0; e < feed->nentities; e++)
			if (feed->entities[e].row_kind == kind && p->enabled[e])
				add_row(rows[e], feed, &feed->entities[e], record, i + 1);
	}
	p->rows = p->page->nrecords;
	for (int e = 0; e < feed->nentities; e++)
		if (rows[e]->n > 0)
			stage_rows(p, &feed->entities[e], rows[e]);
}

static int
delete_keys(int division, const char *feed, const char *entity, ExactArg keys, int64 run, int64 call, const char *how, bool by_parent)
{
	/* two texts, because a plan is kept under the address of its text */
#define TOMBSTONES(condition) \
	"WITH gone AS MATERIALIZED ( " \
	"  SELECT r.*, (row_number() OVER (ORDER BY r.seq))::int - 1 AS new_ord, ($4::bigint << 40) + nextval('exact.version_counter') AS new_seq " \
	"  FROM (SELECT * FROM exact.record WHERE division = $1 AND entity = $2 AND NOT deleted AND " condition " ORDER BY seq FOR UPDATE) r), " \
	"staged AS ( " \
	"  INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, at, prev_slot, prev_batch, prev_ord, hash, payload) " \
	"  SELECT $5, $6, new_ord, new_seq, $1, $2, key, 'D', clock_timestamp(), slot, batch, ord, hash, NULL FROM gone ORDER BY new_ord), " \
	"recorded AS ( " \
	"  UPDATE exact.record r SET seq = g.new_seq, slot = $5, batch = $6, ord = g.new_ord, deleted = true FROM gone g " \
	"  WHERE r.division = $1 AND r.entity = $2 AND r.key = g.key) " \
	"SELECT count(*), max(new_seq) FROM gone"
	static const char by_key_sql[] = TOMBSTONES("key = ANY ($3::text[])");
	static const char by_parent_sql[] = TOMBSTONES("parent = ANY ($3::text[])");
	int			slot = current_slot();
	int64		batch = next_batch();
	ExactArg	args[6];
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
	if (n > 0)
		close_batch(batch, slot, division, entity, feed, run, call, how);
	return n;
}

int
exact_stage_delete(int division, const char *feed, const char *entity, const char *line_entity,
				   char **keys, int nkeys, int64 run, int64 call, const char *how)
{
	ExactArg	array = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	int			n;

	n = delete_keys(division, feed, entity, array, run, call, how, false);
	if (line_entity != NULL)
		n += delete_keys(division, feed, line_entity, array, run, call, how, true);
	return n;
}

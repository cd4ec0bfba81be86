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

#include "base/errors.h"
#include "base/guc.h"
#include "base/sql.h"
#include "exact_online/odata_value.h"
#include "fetch/stage.h"

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

/*
 * A change of a transaction line makes its document be read again, since an edit of a line need not move its header. A document that
 * no entity knows is looked for where its type belongs. Only where the documents' first run has begun: it begins after the
 * transaction lines are complete.
 */
static void
follow(int division, const char *entity, int slot, int64 batch, bool first)
{
	static const char sql[] =
	"WITH changed AS (SELECT r.parent AS key, min(substring(v.payload from '\"Type\"[[:space:]]*:[[:space:]]*\"?([0-9]{1,6})')::int) AS type "
	"  FROM exact.stage v JOIN exact.record r ON r.division = $1 AND r.entity = $2 AND r.key = v.key "
	"  WHERE v.slot = $3 AND v.batch = $4 AND r.parent IS NOT NULL GROUP BY r.parent), "
	"document AS (SELECT e.entity, e.trigger_types, EXISTS (SELECT FROM exact.feed f JOIN exact.entity_effective x ON x.entity = f.entity "
	"    JOIN exact.feed_state s ON s.division = f.division AND s.feed = x.feed AND s.run_started_at IS NOT NULL "
	"    WHERE f.division = $1 AND f.enabled AND x.feed = e.feed) AS read FROM exact.entity_effective e WHERE e.trigger_entity = $2) "
	"INSERT INTO exact.dirty_key AS k (division, entity, key, since, reason) "
	"SELECT $1, d.entity, c.key, clock_timestamp(), $5 FROM changed c JOIN document d ON d.read "
	"WHERE EXISTS (SELECT FROM exact.record h WHERE h.division = $1 AND h.entity = d.entity AND h.key = c.key) "
	"  OR (NOT EXISTS (SELECT FROM document o JOIN exact.record h ON h.division = $1 AND h.entity = o.entity AND h.key = c.key) "
	"    AND (c.type = ANY (d.trigger_types) OR NOT coalesce((SELECT bool_or(c.type = ANY (o.trigger_types)) FROM document o), false))) "
	"ON CONFLICT (division, entity, key) DO UPDATE SET since = excluded.since, first_at = coalesce(k.first_at, k.since), "
	"  reason = CASE WHEN k.reason = '" EXACT_STAGE_FIRST_LOAD "' THEN excluded.reason ELSE k.reason END";
	ExactArg	args[5];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_int4(slot);
	args[3] = exact_arg_int8(batch);
	args[4] = exact_arg_text(first ? EXACT_STAGE_FIRST_LOAD : "its transaction lines changed");
	exact_sql(sql, 5, args);
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
	int64		line;

	rows->keys[n] = exact_feed_key(record, entity->key);
	rows->parents[n] = entity->parent >= 0 ? exact_feed_key(record, entity->parent) : NULL;
	if (rows->keys[n] == NULL && entity->row_kind == EXACT_FEED_RECORD && feed->line_number >= 0 &&
		exact_odata_int64(record->values[feed->line_number], &line) && line == 0)
		rows->keys[n] = rows->parents[n];	/* a document's own row among its lines */
	if (rows->keys[n] == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_BAD_ANSWER),
				 errmsg("Exact Online answered with a record of %s that has no key", entity->name),
				 errdetail("Row %d of the page. Nothing of that page was kept.", number),
				 errhint("The hub asks again by itself.")));
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
check_division(const ExactStagePage *p, const ExactRecord *record, int field, int number)
{
	ExactSlice	none = {NULL, 0};
	int64		division = exact_odata_division(record, field >= 0 ? record->values[field] : none, p->division);

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
	"  INSERT INTO exact.dirty_key (division, entity, key, since, reason) SELECT DISTINCT $1, coalesce($16, $2), CASE WHEN $16 IS NULL THEN key ELSE parent END, clock_timestamp(), "
	"    CASE WHEN deleted THEN 'sent before its deletion' WHEN $15 THEN 'confirm' ELSE 'older than what is stored' END FROM compared WHERE stale "
	"  ON CONFLICT (division, entity, key) DO NOTHING), "
	"clean AS ( "
	"  DELETE FROM exact.dirty_key d USING compared c WHERE NOT c.stale AND d.division = $1 AND d.entity = $2 AND d.key = c.key AND d.since < $14) "
	"SELECT (SELECT count(*) FROM versions WHERE NOT known OR deleted), (SELECT count(*) FROM versions WHERE known AND NOT deleted), "
	"  (SELECT count(*) FROM compared WHERE stale), (SELECT max(seq) FROM versions), (SELECT min(version) FROM compared WHERE stale AND deleted)";
	int			slot = current_slot();
	int64		batch = next_batch();
	ExactArg	args[16];
	int64		reread_from;
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
	args[13] = exact_arg_time(p->sent_at);
	args[14] = exact_arg_bool(p->feed->method == EXACT_FEED_SYNC && entity->plain_resource != NULL && entity->plain_key != NULL);
	/* a line of an expanded document is read again with it */
	args[15] = exact_arg_text(exact_feed_is_document_line(p->feed, entity) ? p->feed->entities[0].name : NULL);
	exact_sql(sql, 16, args);
	fresh = (int) exact_cell_int8(0, 1, 0);
	changed = (int) exact_cell_int8(0, 2, 0);
	p->stale += (int) exact_cell_int8(0, 3, 0);
	see_version(exact_cell_int8(0, 4, 0));
	reread_from = exact_cell_int8(0, 5, 0);
	if (reread_from > 0 && (p->reread_from == 0 || reread_from < p->reread_from))
		p->reread_from = reread_from;
	p->fresh += fresh;
	p->changed += changed;
	if (fresh + changed == 0)
		return;
	close_batch(batch, slot, p->division, entity->name, p->feed->name, p->run, p->call, "page");
	if (entity->followed)
		follow(p->division, entity->name, slot, batch, p->first);
}

void
exact_stage_vanished(ExactStagePage *p, const char *lines, char **documents, int ndocuments, char **keys, int nkeys, int64 known_seq)
{
	static const char sql[] =
	"SELECT key FROM exact.record WHERE division = $1 AND entity = $2 AND parent = ANY ($3::text[]) AND NOT deleted AND key <> ALL ($4::text[]) AND seq <= $5";
	ExactArg	args[5];
	uint64		n;
	char	  **gone;

	args[0] = exact_arg_int4(p->division);
	args[1] = exact_arg_text(lines);
	args[2] = exact_arg_text_array((const char *const *) documents, NULL, ndocuments);
	args[3] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	args[4] = exact_arg_int8(known_seq);
	n = exact_sql(sql, 5, args);
	if (n == 0)
		return;
	gone = palloc(n * sizeof(char *));
	for (uint64 i = 0; i < n; i++)
		gone[i] = exact_cell_text(i, 1);
	p->vanished += exact_stage_delete(p->division, p->feed->name, lines, NULL, gone, (int) n, p->run, p->call, "no longer in its document");
}

/* Documents whose lines did not all come with them: these are read by the keys of their documents. Until then none of them is missing. */
static void
want_lines(ExactStagePage *p, const ExactFeedEntity *line, char **documents, int ndocuments)
{
	static const char seen_sql[] =
	"UPDATE exact.record SET run = $4 WHERE division = $1 AND entity = $2 AND parent = ANY ($3::text[]) AND NOT deleted AND run IS DISTINCT FROM $4";
	static const char dirty_sql[] =
	"INSERT INTO exact.dirty_key AS k (division, entity, key, since, reason) SELECT DISTINCT $1, $2, d, clock_timestamp(), $4 FROM unnest($3::text[]) d "
	"ON CONFLICT (division, entity, key) DO UPDATE SET since = excluded.since, first_at = least(k.first_at, k.since, excluded.since), reason = excluded.reason";
	ExactArg	args[4];

	args[0] = exact_arg_int4(p->division);
	args[1] = exact_arg_text(line->name);
	args[2] = exact_arg_text_array((const char *const *) documents, NULL, ndocuments);
	args[3] = exact_arg_int8(p->run);
	exact_sql(seen_sql, 4, args);
	args[3] = exact_arg_text(p->first ? EXACT_STAGE_FIRST_LOAD : "its lines did not come with it");
	exact_sql(dirty_sql, 4, args);
	p->unread += ndocuments;
}

/* Documents with their lines: a header's version is without them, each line is a version of its own. */
static void
stage_documents(ExactStagePage *p)
{
	const ExactFeed *feed = p->feed;
	const ExactFeedEntity *header = &feed->entities[0];
	const ExactFeedEntity *line = &feed->entities[1];
	int			n = Max(p->page->nrecords, 1);
	ExactPage **expanded = palloc(n * sizeof(ExactPage *));
	char	  **whole = palloc(n * sizeof(char *));	/* all their lines are here; any other line of theirs is gone */
	char	  **others = palloc(n * sizeof(char *));
	Rows	   *headers = make_rows(p->page->nrecords);
	Rows	   *lines;
	int			nlines = 0;
	int			nwhole = 0;
	int			nothers = 0;

	for (int i = 0; i < p->page->nrecords; i++)
	{
		const ExactRecord *record = &p->page->records[i];
		char	   *problem;

		check_division(p, record, feed->division, i + 1);
		expanded[i] = exact_odata_expanded(record->values[feed->collection], feed->line_fields, feed->nline_fields, &problem);
		if (expanded[i] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_BAD_ANSWER),
					 errmsg("Exact Online answered with an incomplete document of %s: %s", header->name, problem),
					 errdetail("GET %s, row %d. Nothing of that page was kept.", feed->resource, i + 1),
					 errhint("The hub asks again by itself.")));
		nlines += expanded[i]->nrecords;
	}
	lines = make_rows(nlines);
	for (int i = 0; i < p->page->nrecords; i++)
	{
		const ExactRecord *record = &p->page->records[i];
		ExactRecord without = *record;

		without.text = exact_odata_without(record, record->values[feed->collection]);
		add_row(headers, feed, header, &without, i + 1);
		if (expanded[i]->is_list && expanded[i]->next == NULL)
			whole[nwhole++] = headers->keys[i];
		else
			others[nothers++] = headers->keys[i];
		for (int l = 0; l < expanded[i]->nrecords; l++)
		{
			check_division(p, &expanded[i]->records[l], feed->line_division, i + 1);
			add_row(lines, feed, line, &expanded[i]->records[l], i + 1);
			lines->parents[lines->n - 1] = headers->keys[i];
		}
	}
	p->rows = p->page->nrecords;
	if (p->enabled[0] && headers->n > 0)
		stage_rows(p, header, headers);
	if (!p->enabled[1])
		return;
	if (lines->n > 0)
		stage_rows(p, line, lines);
	if (nwhole > 0)
		exact_stage_vanished(p, line->name, whole, nwhole, lines->keys, lines->n, p->sent_seq);
	if (nothers > 0)
		want_lines(p, line, others, nothers);
}

void
exact_stage_lines(ExactStagePage *p)
{
	const ExactFeedEntity *line = &p->feed->entities[1];
	Rows	   *lines = make_rows(p->page->nrecords);

	for (int i = 0; i < p->page->nrecords; i++)
	{
		check_division(p, &p->page->records[i], p->feed->line_division, i + 1);
		add_row(lines, p->feed, line, &p->page->records[i], i + 1);
	}
	p->rows = p->page->nrecords;
	if (lines->n > 0)
		stage_rows(p, line, lines);
}

void
exact_stage_page(ExactStagePage *p)
{
	const ExactFeed *feed = p->feed;
	Rows	  **rows = palloc(feed->nentities * sizeof(Rows *));

	if (feed->collection >= 0)
	{
		stage_documents(p);
		return;
	}
	for (int e = 0; e < feed->nentities; e++)
		rows[e] = make_rows(p->page->nrecords);
	for (int i = 0; i < p->page->nrecords; i++)
	{
		const ExactRecord *record = &p->page->records[i];
		ExactFeedRowKind kind = EXACT_FEED_RECORD;

		check_division(p, record, feed->division, i + 1);
		if (feed->line_number >= 0 && feed->nentities > 1)
		{
			int64		line;

			if (!exact_odata_int64(record->values[feed->line_number], &line))
				ereport(ERROR,
						(errcode(ERRCODE_EXACT_BAD_ANSWER),
						 errmsg("Exact Online answered with a record of %s that has no LineNumber", feed->name),
						 errdetail("Row %d of the page. Nothing of that page was kept.", i + 1),
						 errhint("The hub asks again by itself.")));
			kind = line == 0 ? EXACT_FEED_HEADER : EXACT_FEED_LINE;
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
	{
		close_batch(batch, slot, division, entity, feed, run, call, how);
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
	if (line_entity != NULL)
		n += delete_keys(division, feed, line_entity, array, run, call, how, true);
	return n;
}

/*
 * feed.c - what a canonical feed reads (design: one canonical feed per entity).
 *
 * Reads the catalogue; builds URLs and hashes. A combined set (purchase orders) is one feed of two
 * entities: the row with LineNumber 0 is the header, the others are lines. Called by the fetcher
 * and by stage.c.
 */
#include "postgres.h"

#include <time.h>

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/digest.h"
#include "base/sql.h"
#include "exact_online/feed.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"
#include "http/url.h"

#define NAMES_STEP 64			/* room for so many more names at a time */
#define MAX_URL 5900			/* exact-online.md §4.2: about 6000 characters */
#define HASH_BY_VALUE 2			/* the way of hashing; the one before has no number */

static int
add_name(const char ***names, int *n, const char *name)
{
	for (int i = 0; i < *n; i++)
		if (strcmp((*names)[i], name) == 0)
			return i;
	if (*n == 0)
		*names = palloc(NAMES_STEP * sizeof(char *));
	else if (*n % NAMES_STEP == 0)
		*names = repalloc(*names, (*n + NAMES_STEP) * sizeof(char *));
	(*names)[*n] = pstrdup(name);
	return (*n)++;
}

static int
add_field(ExactFeed *feed, const char *name)
{
	return add_name(&feed->fields, &feed->nfields, name);
}

/* A field of an entity's records: lines of an expanded document have fields of their own. */
static int
add_entity_field(ExactFeed *feed, const ExactFeedEntity *entity, const char *name)
{
	if (feed->method == EXACT_FEED_EXPANDED && entity->row_kind == EXACT_FEED_LINE)
		return add_name(&feed->line_fields, &feed->nline_fields, name);
	return add_field(feed, name);
}

/* "ID"; "Journal+Period+Year" */
static void
add_key_fields(ExactFeed *feed, ExactFeedEntity *entity, const char *names)
{
	char	   *rest = pstrdup(names);
	char	   *name;

	while ((name = strsep(&rest, "+")) != NULL)
	{
		if (entity->nkeys == EXACT_FEED_KEY_FIELDS)
			elog(ERROR, "the key of %s has more than %d fields", entity->name,
				 EXACT_FEED_KEY_FIELDS);
		entity->keys[entity->nkeys++] = add_entity_field(feed, entity, name);
	}
	if (entity->nkeys > 1)
		entity->guid_key = false;
}

static int
find_field(const ExactFeed *feed, const char *name)
{
	for (int i = 0; i < feed->nfields; i++)
		if (strcmp(feed->fields[i], name) == 0)
			return i;
	return -1;
}

static void
digest_fields(ExactFeed *feed)
{
	StringInfoData names;
	uint8		digest[EXACT_DIGEST_LEN];

	initStringInfo(&names);
	for (int i = 0; i < feed->nfields; i++)
		appendStringInfo(&names, "%s,", feed->fields[i]);
	for (int i = 0; i < feed->nline_fields; i++)
		appendStringInfo(&names, "/%s,", feed->line_fields[i]);
	exact_sha256(names.data, names.len, digest);
	hex_encode((const char *) digest, sizeof(digest), feed->digest);
	feed->digest[EXACT_DIGEST_HEX_LEN] = '\0';
	pfree(names.data);
}

/* The feeds every division has besides its entities. */
static ExactFeed *
builtin_feed(const char *name)
{
	static const char *const log_fields[EXACT_NDELETED] = {
		[EXACT_DELETED_TIMESTAMP] = "Timestamp",
		[EXACT_DELETED_KEY] = "EntityKey",
		[EXACT_DELETED_TYPE] = "EntityType",
		[EXACT_DELETED_DIVISION] = "Division",
	};
	static const char *const guard_fields[EXACT_NDIVISIONS] = {
		[EXACT_DIVISIONS_CODE] = "Code",
		[EXACT_DIVISIONS_MOVE_DATE] = "DivisionMoveDate",
		[EXACT_DIVISIONS_HR_LINK_DATE] = "DivisionHRLinkUnlinkDate",
		[EXACT_DIVISIONS_BLOCKING_STATUS] = "BlockingStatus",
		[EXACT_DIVISIONS_STATUS] = "Status",
	};
	bool		log = strcmp(name, EXACT_FEED_DELETED) == 0;
	ExactFeed  *feed = palloc0(sizeof(ExactFeed));

	feed->name = pstrdup(name);
	feed->resource = pstrdup(log ? "sync/Deleted" : "system/Divisions");
	feed->method = log ? EXACT_FEED_LOG : EXACT_FEED_GUARD;
	feed->interval_us = log ? 15 * USECS_PER_MINUTE : USECS_PER_HOUR;
	for (size_t i = 0; i < (log ? lengthof(log_fields) : lengthof(guard_fields)); i++)
		add_field(feed, log ? log_fields[i] : guard_fields[i]);
	feed->timestamp = find_field(feed, "Timestamp");
	feed->division = find_field(feed, "Division");
	feed->line_number = feed->modified = feed->collection = feed->line_division = -1;
	digest_fields(feed);
	return feed;
}

static ExactFeedMethod
method_of(const char *name)
{
	if (strcmp(name, "sync") == 0)
		return EXACT_FEED_SYNC;
	if (strcmp(name, "modified") == 0)
		return EXACT_FEED_MODIFIED;
	return strcmp(name, "expanded") == 0 ? EXACT_FEED_EXPANDED : EXACT_FEED_FULL;
}

static ExactFeedRowKind
row_kind_of(const char *name)
{
	if (name == NULL)
		return EXACT_FEED_RECORD;
	return strcmp(name, "header") == 0 ? EXACT_FEED_HEADER : EXACT_FEED_LINE;
}

/* Reads an entity's fields, adds them to those of the feed and keeps which are hashed. */
static void
read_fields(ExactFeed *feed, ExactFeedEntity *entity)
{
	static const char sql[] =
		"SELECT name, source_field, hashed FROM exact.field_effective"
		" WHERE entity = $1 AND target_type IS NOT NULL"
		" ORDER BY ordinal, name";
	static const char left_out_sql[] =
		"SELECT string_agg(f.name, ',' ORDER BY f.ordinal)"
		" FROM exact.catalogue_field f JOIN exact.entity_field e USING (entity, name)"
		" WHERE f.entity = $1 AND f.target_type IS NOT NULL AND NOT f.hashed AND NOT e.selected";
	ExactArg	arg = exact_arg_text(entity->name);
	uint64		n = exact_sql(sql, 1, &arg);

	entity->hashed = palloc(n * sizeof(int));
	entity->hashed_names = palloc(n * sizeof(char *));
	for (uint64 row = 0; row < n; row++)
	{
		int			field = add_entity_field(feed, entity, exact_cell_text(row, 2));

		if (exact_cell_bool(row, 3, true))
		{
			entity->hashed_names[entity->nhashed] = exact_cell_text(row, 1);
			entity->hashed[entity->nhashed++] = field;
		}
	}
	exact_sql(left_out_sql, 1, &arg);
	entity->left_out = exact_cell_text(0, 1);
}

/* The fields that the hub needs beside those of the entities */
static void
add_own_fields(ExactFeed *feed, bool has_division)
{
	bool		by_version = feed->method == EXACT_FEED_SYNC;
	bool		numbered = feed->nentities > 1 ||
		(feed->entities[0].parent >= 0 && find_field(feed, "LineNumber") >= 0);

	feed->timestamp = by_version ? add_field(feed, "Timestamp") : -1;
	feed->modified = exact_feed_by_time(feed) ? add_field(feed, "Modified") : -1;
	feed->division = has_division ? add_field(feed, "Division") : -1;
	feed->line_number = by_version && numbered ? add_field(feed, "LineNumber") : -1;
	feed->collection = feed->line_division = -1;
	if (feed->method == EXACT_FEED_EXPANDED && feed->nentities == 2)
	{
		/* the collection is called like the lines' own endpoint */
		feed->collection = add_field(feed, strrchr(feed->entities[1].plain_resource, '/') + 1);
		if (has_division)
			feed->line_division = add_name(&feed->line_fields, &feed->nline_fields, "Division");
	}
}

/* The columns of entities_sql */
enum
{
	COL_ENTITY = 1,
	COL_ROW_KIND,
	COL_KEY_FIELD,
	COL_PARENT_FIELD,
	COL_PLAIN_RESOURCE,
	COL_PLAIN_KEY,
	COL_PLAIN_KEY_TYPE,
	COL_ENTITY_TYPE,
	COL_HAS_DIVISION,
	COL_FOLLOWED,
	COL_RESOURCE,
	COL_METHOD,
	COL_INTERVAL_US,
	COL_INTERVAL_SET,
	COL_TRIGGER_FEED
};

static const char entities_sql[] =
	"SELECT e.entity, e.row_kind, e.key_field, e.parent_field, e.plain_resource, e.plain_key,"
	" coalesce((SELECT f.edm_type FROM exact.catalogue_field f"
	"  WHERE f.entity = e.entity AND f.source_field = e.key_field"
	"  LIMIT 1), 'Edm.Guid'),"
	" coalesce(e.entity_type, 0), e.has_division,"
	" EXISTS (SELECT FROM exact.catalogue d WHERE d.trigger_entity = e.entity),"
	" e.resource, e.method, (EXTRACT(epoch FROM e.sync_interval) * 1000000)::bigint,"
	" e.sync_interval_set,"
	" (SELECT t.feed FROM exact.catalogue t WHERE t.entity = e.trigger_entity)"
	" FROM exact.entity_effective e"
	" WHERE e.feed = $1"
	" ORDER BY e.merge_rank, e.entity";

/* What the feed's entities have in common, from the first of them */
static ExactFeed *
take_feed(const char *name, int nentities)
{
	ExactFeed  *feed = palloc0(sizeof(ExactFeed));

	feed->name = pstrdup(name);
	feed->resource = exact_cell_text(0, COL_RESOURCE);
	feed->method = method_of(exact_cell_text(0, COL_METHOD));
	feed->interval_us = exact_cell_int8(0, COL_INTERVAL_US, 0);
	feed->interval_set = exact_cell_bool(0, COL_INTERVAL_SET, false);
	feed->trigger_feed = exact_cell_text(0, COL_TRIGGER_FEED);
	feed->nentities = nentities;
	feed->entities = palloc0(nentities * sizeof(ExactFeedEntity));
	return feed;
}

static void
take_entity(ExactFeedEntity *entity, int row)
{
	entity->name = exact_cell_text(row, COL_ENTITY);
	entity->row_kind = row_kind_of(exact_cell_text(row, COL_ROW_KIND));
	entity->plain_resource = exact_cell_text(row, COL_PLAIN_RESOURCE);
	entity->plain_key = exact_cell_text(row, COL_PLAIN_KEY);
	entity->plain_key_type = exact_cell_text(row, COL_PLAIN_KEY_TYPE);
	entity->guid_key = strcmp(entity->plain_key_type, "Edm.Guid") == 0;
	entity->entity_type = (int) exact_cell_int8(row, COL_ENTITY_TYPE, 0);
	entity->followed = exact_cell_bool(row, COL_FOLLOWED, false);
}

/* All rows of the entities are taken before their fields are read: that is another result. */
ExactFeed *
exact_feed_load(const char *name)
{
	ExactArg	arg = exact_arg_text(name);
	ExactFeed  *feed;
	char	  **key_fields;
	char	  **parent_fields;
	bool		has_division = false;
	int			n;

	if (strcmp(name, EXACT_FEED_DELETED) == 0 || strcmp(name, EXACT_FEED_DIVISIONS) == 0)
		return builtin_feed(name);

	n = (int) exact_sql(entities_sql, 1, &arg);
	if (n == 0)
		return NULL;
	feed = take_feed(name, n);
	key_fields = palloc(n * sizeof(char *));
	parent_fields = palloc(n * sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		take_entity(&feed->entities[i], i);
		key_fields[i] = exact_cell_text(i, COL_KEY_FIELD);
		parent_fields[i] = exact_cell_text(i, COL_PARENT_FIELD);
		has_division = has_division || exact_cell_bool(i, COL_HAS_DIVISION, false);
	}
	for (int i = 0; i < n; i++)
	{
		ExactFeedEntity *e = &feed->entities[i];

		read_fields(feed, e);
		add_key_fields(feed, e, key_fields[i]);
		e->parent = parent_fields[i] == NULL ? -1 : add_entity_field(feed, e, parent_fields[i]);
	}
	add_own_fields(feed, has_division);
	digest_fields(feed);
	return feed;
}

bool
exact_feed_by_time(const ExactFeed *feed)
{
	return feed->method == EXACT_FEED_MODIFIED || feed->method == EXACT_FEED_EXPANDED;
}

/* "/Date(1700000000000)/", its slashes perhaps escaped */
bool
exact_feed_modified(const ExactFeed *feed, const ExactRecord *record, int64 *ms)
{
	char	   *text = exact_odata_string(record->values[feed->modified]);
	char	   *end;

	if (text == NULL || strncmp(text, "/Date(", 6) != 0)
		return false;
	errno = 0;
	*ms = strtoll(text + 6, &end, 10);
	return errno == 0 && *end == ')';
}

static void
append_option(StringInfo url, const char *name, const char *value)
{
	char	   *escaped = exact_url_escape(value);

	appendStringInfo(url, "%c%s=%s", strchr(url->data, '?') ? '&' : '?', name, escaped);
	pfree(escaped);
}

/* A time of change as the service compares it: local, without a zone */
static char *
datetime_literal(int64 ms)
{
	time_t		seconds = (time_t) (ms / 1000);
	struct tm	tm;

	gmtime_r(&seconds, &tm);
	return psprintf("datetime'%04d-%02d-%02dT%02d:%02d:%02d.%03d'",
					tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, (int) (ms % 1000));
}

static char *
feed_filter(const ExactFeed *feed, int64 from)
{
	if (feed->method == EXACT_FEED_SYNC || feed->method == EXACT_FEED_LOG)
		return psprintf("Timestamp gt " INT64_FORMAT "L", from);
	if (feed->method == EXACT_FEED_GUARD)
		return psprintf("Code eq " INT64_FORMAT, from);
	if (exact_feed_by_time(feed) && from > 1)
		return psprintf("Modified ge %s", datetime_literal(from));
	return NULL;
}

static void
append_fields(StringInfo url, const ExactFeed *feed)
{
	StringInfoData select;

	initStringInfo(&select);
	for (int i = 0; i < feed->nfields; i++)
		if (i != feed->collection)
			appendStringInfo(&select, "%s%s", select.len ? "," : "", feed->fields[i]);
	for (int i = 0; i < feed->nline_fields; i++)
		appendStringInfo(&select, ",%s/%s", feed->fields[feed->collection], feed->line_fields[i]);
	append_option(url, "$select", select.data);
	if (feed->collection >= 0)
		append_option(url, "$expand", feed->fields[feed->collection]);
	pfree(select.data);
}

char *
exact_feed_url(const ExactFeed *feed, const char *base, int division, int64 from)
{
	StringInfoData url;
	char	   *filter = feed_filter(feed, feed->method == EXACT_FEED_GUARD ? division : from);

	initStringInfo(&url);
	appendStringInfo(&url, "%s/api/v1/%d/%s", base, division, feed->resource);
	if (filter != NULL)
		append_option(&url, "$filter", filter);
	if (exact_feed_by_time(feed))
		append_option(&url, "$orderby", "Modified");
	append_fields(&url, feed);
	return url.data;
}

char *
exact_feed_label(const ExactFeed *feed, int64 from)
{
	char	   *filter = feed->method == EXACT_FEED_GUARD ? NULL : feed_filter(feed, from);

	return filter ? psprintf("%s?$filter=%s", feed->resource, filter) : pstrdup(feed->resource);
}

/* Known of lists in the order of their Guids, and of their times of change with these. */
char *
exact_feed_behind(const ExactFeed *feed, const ExactRecord *record)
{
	bool		by_time = exact_feed_by_time(feed);
	int64		ms;
	char	   *key;

	if ((!by_time && feed->method != EXACT_FEED_FULL) || feed->nentities == 0 ||
		!feed->entities[0].guid_key || (by_time && !exact_feed_modified(feed, record, &ms)))
		return NULL;
	key = exact_feed_own_key(&feed->entities[0], record);
	if (key == NULL)
		return NULL;
	key = psprintf("%s%sguid'%s'", by_time ? datetime_literal(ms) : "", by_time ? "," : "", key);
	return exact_url_escape(key);
}

/*
 * Name and value of each hashed field; raw: the value as received. The text of another record is
 * not hashed; that its field was not selected is: once it is, each record is a new version.
 */
static void
append_hashed(StringInfo buffer, const ExactFeedEntity *entity, const ExactRecord *record,
			  bool raw)
{
	resetStringInfo(buffer);
	for (int i = 0; i < entity->nhashed; i++)
	{
		ExactSlice	value = record->values[entity->hashed[i]];

		appendBinaryStringInfo(buffer, entity->hashed_names[i],
							   strlen(entity->hashed_names[i]) + 1);
		if (!raw)
			exact_odata_append_value(buffer, value);
		else if (!exact_odata_is_null(value))
			appendBinaryStringInfo(buffer, value.start, value.len);
		appendStringInfoCharMacro(buffer, '\0');
	}
	if (!raw && entity->left_out != NULL)
		appendStringInfoString(buffer, entity->left_out);
}

/* One buffer for all records: it keeps the room that the largest one has needed. */
void
exact_feed_hash(const ExactFeedEntity *entity, const ExactRecord *record,
				uint8 hash[EXACT_FEED_HASH_LEN], uint8 former[EXACT_DIGEST_LEN])
{
	static StringInfoData buffer;
	static bool made = false;

	if (!made)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&buffer);
		made = true;
		MemoryContextSwitchTo(old);
	}
	append_hashed(&buffer, entity, record, true);
	exact_sha256(buffer.data, buffer.len, former);
	append_hashed(&buffer, entity, record, false);
	hash[0] = HASH_BY_VALUE;
	exact_sha256(buffer.data, buffer.len, hash + 1);
}

char *
exact_feed_key(const ExactRecord *record, int field)
{
	char	   *key = exact_odata_string(record->values[field]);

	if (key == NULL || key[0] == '\0')
		return NULL;
	if (strlen(key) == 36 && key[8] == '-' && key[13] == '-' && key[18] == '-' && key[23] == '-')
		for (char *c = key; *c; c++)
			*c = pg_ascii_tolower((unsigned char) *c);
	return key;
}

/* Codes stand in columns of fixed width in places: blanks around a part do not count. */
char *
exact_feed_own_key(const ExactFeedEntity *entity, const ExactRecord *record)
{
	StringInfoData key;

	if (entity->nkeys == 1)
		return exact_feed_key(record, entity->keys[0]);
	initStringInfo(&key);
	for (int i = 0; i < entity->nkeys; i++)
	{
		char	   *part = exact_feed_key(record, entity->keys[i]);
		int			len;

		if (part == NULL)
			return NULL;
		part += strspn(part, " ");
		len = (int) strlen(part);
		while (len > 0 && part[len - 1] == ' ')
			len--;
		appendStringInfo(&key, "%s%.*s", i > 0 ? "|" : "", len, part);
	}
	return key.data;
}

static void
append_key(StringInfo filter, const char *field, const ExactFeedEntity *entity, const char *key)
{
	appendStringInfo(filter, "%s%s eq ", filter->len ? " or " : "", field);
	if (entity->guid_key)
		appendStringInfo(filter, "guid'%s'", key);
	else if (strcmp(entity->plain_key_type, "Edm.Int64") == 0)
		appendStringInfo(filter, "%sL", key);
	else if (strncmp(entity->plain_key_type, "Edm.Int", 7) == 0 ||
			 strcmp(entity->plain_key_type, "Edm.Byte") == 0)
		appendStringInfoString(filter, key);
	else
	{
		appendStringInfoChar(filter, '\'');
		for (const char *c = key; *c; c++)
		{
			if (*c == '\'')
				appendStringInfoChar(filter, '\'');
			appendStringInfoChar(filter, *c);
		}
		appendStringInfoChar(filter, '\'');
	}
}

/* A filter over as many of an entity's keys as the address may still hold; returns their number. */
static int
append_keys(StringInfo url, const char *field, const ExactFeedEntity *entity, char **keys,
			int nkeys)
{
	StringInfoData filter;
	int			n = 0;

	initStringInfo(&filter);
	while (n < nkeys && n < EXACT_FEED_KEYS)
	{
		int			before = filter.len;
		char	   *escaped;

		append_key(&filter, field, entity, keys[n]);
		escaped = exact_url_escape(filter.data);
		if (n > 0 && url->len + strlen(escaped) + 16 > MAX_URL)
		{
			filter.data[filter.len = before] = '\0';
			break;
		}
		pfree(escaped);
		n++;
	}
	append_option(url, "$filter", filter.data);
	return n;
}

char *
exact_feed_keys_url(const ExactFeed *feed, const ExactFeedEntity *entity, ExactFeedKeyed how,
					const char *base, int division,
					char **keys, int nkeys, int *taken)
{
	static const ExactFeedEntity by_code = {.plain_key_type = "Edm.String"};
	bool		keys_only = how == EXACT_FEED_KEYS_ONLY;
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfo(&url, "%s/api/v1/%d/%s", base, division,
					 keys_only ? entity->plain_resource : feed->resource);
	if (keys_only)
		append_option(&url, "$select", entity->plain_key);
	else
		append_fields(&url, feed);
	if (how == EXACT_FEED_BY_CODE)
		*taken = append_keys(&url, "Code", &by_code, keys, nkeys);
	else
		*taken = append_keys(&url, entity->plain_key, entity, keys, nkeys);
	return url.data;
}

char *
exact_feed_lines_url(const ExactFeed *feed, const char *base, int division, char **keys, int nkeys,
					 int *taken)
{
	const ExactFeedEntity *line = &feed->entities[1];
	StringInfoData url;
	StringInfoData select;

	initStringInfo(&url);
	initStringInfo(&select);
	appendStringInfo(&url, "%s/api/v1/%d/%s", base, division, line->plain_resource);
	for (int i = 0; i < feed->nline_fields; i++)
		appendStringInfo(&select, "%s%s", i ? "," : "", feed->line_fields[i]);
	append_option(&url, "$select", select.data);
	*taken = append_keys(&url, feed->line_fields[line->parent], &feed->entities[0], keys, nkeys);
	return url.data;
}

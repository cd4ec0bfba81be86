/*
 * feed.c - what a canonical feed reads (design: one canonical feed per entity).
 *
 * Reads the catalogue; builds URLs and hashes. A combined set (purchase orders) is one feed of two entities: the row with
 * LineNumber 0 is the header, the others are lines. Called by the fetcher and by stage.c.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "feed.h"
#include "http_client.h"
#include "secret.h"
#include "sql.h"

static int
add_field(ExactFeed *feed, const char *name, int *capacity)
{
	for (int i = 0; i < feed->nfields; i++)
		if (strcmp(feed->fields[i], name) == 0)
			return i;
	if (feed->nfields == *capacity)
	{
		*capacity *= 2;
		feed->fields = repalloc(feed->fields, *capacity * sizeof(char *));
	}
	feed->fields[feed->nfields] = pstrdup(name);
	return feed->nfields++;
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
	uint8		digest[32];

	initStringInfo(&names);
	for (int i = 0; i < feed->nfields; i++)
		appendStringInfo(&names, "%s,", feed->fields[i]);
	exact_sha256(names.data, names.len, digest);
	for (int i = 0; i < 32; i++)
		sprintf(feed->digest + 2 * i, "%02x", digest[i]);
	pfree(names.data);
}

/* The feeds every division has besides its entities. */
static ExactFeed *
builtin_feed(const char *name)
{
	static const char *const log_fields[] = {"Timestamp", "EntityKey", "EntityType", "Division"};
	static const char *const guard_fields[] = {"Code", "DivisionMoveDate", "DivisionHRLinkUnlinkDate", "BlockingStatus", "Status"};
	bool		log = strcmp(name, EXACT_FEED_DELETED) == 0;
	ExactFeed  *feed = palloc0(sizeof(ExactFeed));
	int			capacity = 8;

	feed->name = pstrdup(name);
	feed->resource = pstrdup(log ? "sync/Deleted" : "system/Divisions");
	feed->method = log ? EXACT_FEED_LOG : EXACT_FEED_GUARD;
	feed->interval_us = log ? 15 * USECS_PER_MINUTE : USECS_PER_HOUR;
	feed->fields = palloc(capacity * sizeof(char *));
	for (size_t i = 0; i < (log ? lengthof(log_fields) : lengthof(guard_fields)); i++)
		add_field(feed, log ? log_fields[i] : guard_fields[i], &capacity);
	feed->timestamp = find_field(feed, "Timestamp");
	feed->division = find_field(feed, "Division");
	feed->line_number = -1;
	digest_fields(feed);
	return feed;
}

ExactFeed *
exact_feed_load(const char *name)
{
	static const char entities_sql[] =
	"SELECT e.entity, e.resource, e.method, e.row_kind, e.key_field, e.parent_field, e.plain_resource, e.plain_key, coalesce(e.entity_type, 0), "
	"(EXTRACT(epoch FROM e.sync_interval) * 1000000)::bigint, e.has_division, e.sync_interval_set, "
	"coalesce((SELECT f.edm_type FROM exact.catalogue_field f WHERE f.entity = e.entity AND f.source_field = e.key_field LIMIT 1), 'Edm.Guid') "
	"FROM exact.entity_effective e WHERE e.feed = $1 "
	"ORDER BY e.merge_rank, e.entity";
	static const char fields_sql[] =
	"SELECT name, source_field, hashed FROM exact.field_effective WHERE entity = $1 AND target_type IS NOT NULL ORDER BY ordinal, name";
	ExactArg	arg;
	ExactFeed  *feed;
	int			capacity = 64;
	char	  **key_fields;
	char	  **parent_fields;
	bool		has_division = false;
	uint64		n;

	if (strcmp(name, EXACT_FEED_DELETED) == 0 || strcmp(name, EXACT_FEED_DIVISIONS) == 0)
		return builtin_feed(name);

	arg = exact_arg_text(name);
	n = exact_sql(entities_sql, 1, &arg);
	if (n == 0)
		return NULL;
	feed = palloc0(sizeof(ExactFeed));
	feed->name = pstrdup(name);
	feed->resource = exact_cell_text(0, 2);
	feed->method = strcmp(exact_cell_text(0, 3), "sync") == 0 ? EXACT_FEED_SYNC : EXACT_FEED_FULL;
	feed->interval_us = exact_cell_int8(0, 10, 0);
	feed->interval_set = exact_cell_bool(0, 12, false);
	feed->fields = palloc(capacity * sizeof(char *));
	feed->nentities = (int) n;
	feed->entities = palloc0(n * sizeof(ExactFeedEntity));
	key_fields = palloc(n * sizeof(char *));
	parent_fields = palloc(n * sizeof(char *));
	for (uint64 i = 0; i < n; i++)
	{
		ExactFeedEntity *e = &feed->entities[i];
		char	   *kind = exact_cell_text(i, 4);

		e->name = exact_cell_text(i, 1);
		e->row_kind = kind == NULL ? ' ' : kind[0];
		key_fields[i] = exact_cell_text(i, 5);
		parent_fields[i] = exact_cell_text(i, 6);
		e->plain_resource = exact_cell_text(i, 7);
		e->plain_key = exact_cell_text(i, 8);
		e->entity_type = (int) exact_cell_int8(i, 9, 0);
		has_division = has_division || exact_cell_bool(i, 11, false);
		e->plain_key_type = exact_cell_text(i, 13);
		e->guid_key = strcmp(e->plain_key_type, "Edm.Guid") == 0;
	}
	for (int i = 0; i < feed->nentities; i++)
	{
		ExactFeedEntity *e = &feed->entities[i];

		arg = exact_arg_text(e->name);
		n = exact_sql(fields_sql, 1, &arg);
		e->hashed = palloc(n * sizeof(int));
		e->hashed_names = palloc(n * sizeof(char *));
		for (uint64 row = 0; row < n; row++)
		{
			int			field = add_field(feed, exact_cell_text(row, 2), &capacity);

			if (exact_cell_bool(row, 3, true))
			{
				e->hashed_names[e->nhashed] = exact_cell_text(row, 1);
				e->hashed[e->nhashed++] = field;
			}
		}
		e->key = add_field(feed, key_fields[i], &capacity);
		e->parent = parent_fields[i] != NULL && e->row_kind == 'l' ? add_field(feed, parent_fields[i], &capacity) : -1;
	}
	feed->timestamp = feed->method == EXACT_FEED_SYNC ? add_field(feed, "Timestamp", &capacity) : -1;
	feed->division = has_division ? add_field(feed, "Division", &capacity) : -1;
	feed->line_number = feed->nentities > 1 ? add_field(feed, "LineNumber", &capacity) : -1;
	digest_fields(feed);
	return feed;
}

static void
append_option(StringInfo url, const char *name, const char *value)
{
	char	   *escaped = exact_http_escape(value);

	appendStringInfo(url, "%c%s=%s", strchr(url->data, '?') ? '&' : '?', name, escaped);
	pfree(escaped);
}

static char *
feed_filter(const ExactFeed *feed, int64 mark)
{
	if (feed->method == EXACT_FEED_SYNC || feed->method == EXACT_FEED_LOG)
		return psprintf("Timestamp gt " INT64_FORMAT "L", mark);
	if (feed->method == EXACT_FEED_GUARD)
		return psprintf("Code eq " INT64_FORMAT, mark);
	return NULL;
}

char *
exact_feed_url(const ExactFeed *feed, const char *base, int division, int64 mark)
{
	StringInfoData url;
	StringInfoData select;
	char	   *filter = feed_filter(feed, feed->method == EXACT_FEED_GUARD ? division : mark);

	initStringInfo(&url);
	initStringInfo(&select);
	appendStringInfo(&url, "%s/api/v1/%d/%s", base, division, feed->resource);
	if (filter != NULL)
		append_option(&url, "$filter", filter);
	for (int i = 0; i < feed->nfields; i++)
		appendStringInfo(&select, "%s%s", i ? "," : "", feed->fields[i]);
	append_option(&url, "$select", select.data);
	return url.data;
}

char *
exact_feed_label(const ExactFeed *feed, int64 mark)
{
	char	   *filter = feed->method == EXACT_FEED_GUARD ? NULL : feed_filter(feed, mark);

	return filter ? psprintf("%s?$filter=%s", feed->resource, filter) : pstrdup(feed->resource);
}

void
exact_feed_hash(const ExactFeedEntity *entity, const ExactRecord *record, uint8 digest[32])
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
	resetStringInfo(&buffer);
	for (int i = 0; i < entity->nhashed; i++)
	{
		ExactSlice	value = record->values[entity->hashed[i]];

		appendBinaryStringInfo(&buffer, entity->hashed_names[i], strlen(entity->hashed_names[i]) + 1);
		if (!exact_odata_is_null(value))
			appendBinaryStringInfo(&buffer, value.start, value.len);
		appendStringInfoCharMacro(&buffer, '\0');
	}
	exact_sha256(buffer.data, buffer.len, digest);
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

char *
exact_feed_keys_url(const ExactFeedEntity *entity, const char *base, int division, char **keys, int nkeys)
{
	StringInfoData filter;
	StringInfoData url;

	initStringInfo(&filter);
	initStringInfo(&url);
	for (int i = 0; i < nkeys; i++)
	{
		appendStringInfo(&filter, "%s%s eq ", i ? " or " : "", entity->plain_key);
		if (entity->guid_key)
			appendStringInfo(&filter, "guid'%s'", keys[i]);
		else if (strcmp(entity->plain_key_type, "Edm.Int64") == 0)
			appendStringInfo(&filter, "%sL", keys[i]);
		else if (strncmp(entity->plain_key_type, "Edm.Int", 7) == 0 || strcmp(entity->plain_key_type, "Edm.Byte") == 0)
			appendStringInfoString(&filter, keys[i]);
		else
		{
			appendStringInfoChar(&filter, '\'');
			for (const char *c = keys[i]; *c; c++)
			{
				if (*c == '\'')
					appendStringInfoChar(&filter, '\'');
				appendStringInfoChar(&filter, *c);
			}
			appendStringInfoChar(&filter, '\'');
		}
	}
	appendStringInfo(&url, "%s/api/v1/%d/%s", base, division, entity->plain_resource);
	append_option(&url, "$filter", filter.data);
	append_option(&url, "$select", entity->plain_key);
	return url.data;
}

/*
 * definition.c - definitions of feeds: each is loaded once and shared by all divisions that read
 * it, as long as the configuration stays as it is.
 *
 * A request that is on the way keeps the definition that it was sent with; the last who gives one
 * back frees it.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/sql.h"
#include "exact_online/definition.h"

#define VERSION_LEN 33

typedef struct Definition
{
	struct Definition *next;
	MemoryContext context;		/* of this and of the feed */
	ExactFeed  *feed;
	char		version[VERSION_LEN];
	int			users;
} Definition;

static Definition *definitions;
static char version[VERSION_LEN];

/* The catalogue changes with an update of the extension only, which ends this process. */
void
exact_definition_look(void)
{
	static const char sql[] =
		"SELECT pg_catalog.md5(pg_catalog.concat("
		"  (SELECT pg_catalog.string_agg(e::text, '|' ORDER BY e.name) FROM exact.entity AS e),"
		"  (SELECT pg_catalog.string_agg(f::text, '|' ORDER BY f.entity, f.name)"
		"   FROM exact.entity_field AS f)))";

	exact_sql(sql, 0, NULL);
	strlcpy(version, exact_cell_text(0, 1), sizeof(version));
}

void
exact_definition_give_back(ExactFeed *feed)
{
	for (Definition **at = &definitions; feed != NULL && *at != NULL; at = &(*at)->next)
	{
		Definition *d = *at;

		if (d->feed != feed)
			continue;
		if (--d->users == 0)
		{
			*at = d->next;
			MemoryContextDelete(d->context);
		}
		return;
	}
}

static Definition *
find_definition(const char *name)
{
	for (Definition *d = definitions; d != NULL; d = d->next)
		if (strcmp(d->feed->name, name) == 0 && strcmp(d->version, version) == 0)
			return d;
	return NULL;
}

/* An error while it is loaded leaves nothing behind: its context is a child of the unit's. */
static Definition *
load_definition(const char *name)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "exact feed",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Definition *d = palloc0(sizeof(Definition));

	d->context = context;
	d->feed = exact_feed_load(name);
	MemoryContextSwitchTo(old);
	if (d->feed == NULL)
	{
		MemoryContextDelete(context);
		return NULL;
	}
	strlcpy(d->version, version, sizeof(d->version));
	MemoryContextSetParent(context, TopMemoryContext);
	d->next = definitions;
	definitions = d;
	return d;
}

ExactFeed *
exact_definition_take(ExactFeed *held, const char *name)
{
	Definition *d = find_definition(name);

	if (d == NULL)
		d = load_definition(name);
	if (d != NULL)
		d->users++;
	exact_definition_give_back(held);
	return d != NULL ? d->feed : NULL;
}

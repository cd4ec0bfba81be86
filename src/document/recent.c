/*
 * recent.c - documents as they were staged last, by their keys.
 *
 * Only the fetcher stages, so that what it staged last is how a document is. A batch whose
 * transaction was rolled back never comes to the judgement, and its number does not come again.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "document/recent.h"

#define BYTES_MOST (8 * 1024 * 1024)	/* beyond it all is forgotten */
#define KEY_LEN 40				/* a Guid; documents with longer keys are not kept */

typedef struct RecentKey
{
	int32		division;
	int32		kind;
	char		key[KEY_LEN];
} RecentKey;

typedef struct Recent
{
	RecentKey		name;			/* key */
	int64		batch;
	ExactDocument *document;	/* NULL: it came twice in its batch, or cannot be read */
} Recent;

static MemoryContext context;
static HTAB *documents;

static bool
make_name(RecentKey *name, int division, ExactDocumentKind kind, const char *key)
{
	if (strlen(key) >= KEY_LEN)
		return false;
	MemSet(name, 0, sizeof(*name));
	name->division = division;
	name->kind = (int32) kind;
	strlcpy(name->key, key, KEY_LEN);
	return true;
}

void
exact_recent_forget(void)
{
	if (context != NULL)
		MemoryContextDelete(context);
	context = NULL;
	documents = NULL;
}

static void
make_room(void)
{
	HASHCTL		ctl = {.keysize = sizeof(RecentKey),.entrysize = sizeof(Recent)};

	if (context != NULL && MemoryContextMemAllocated(context, true) > BYTES_MOST)
		exact_recent_forget();
	if (context != NULL)
		return;
	context = AllocSetContextCreate(TopMemoryContext, "exact recent documents",
									ALLOCSET_DEFAULT_SIZES);
	ctl.hcxt = context;
	documents = hash_create("exact recent documents", 256, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
exact_recent_put(int division, ExactDocumentKind kind, const char *key, int64 batch,
				 ExactPayload header, const ExactPayload *lines, int nlines)
{
	MemoryContext before;
	RecentKey		name;
	Recent	   *recent;
	bool		there;

	if (!make_name(&name, division, kind, key))
		return;
	make_room();
	recent = hash_search(documents, &name, HASH_ENTER, &there);
	if (there && recent->batch == batch)
	{
		recent->document = NULL;
		return;
	}
	recent->batch = batch;
	recent->document = NULL;
	before = MemoryContextSwitchTo(context);
	recent->document = exact_document_read(kind, header, lines, nlines);
	MemoryContextSwitchTo(before);
}

ExactDocument *
exact_recent_find(int division, ExactDocumentKind kind, const char *key, int64 batch)
{
	RecentKey		name;
	Recent	   *recent;

	if (documents == NULL || !make_name(&name, division, kind, key))
		return NULL;
	recent = hash_search(documents, &name, HASH_FIND, NULL);
	return recent != NULL && recent->batch == batch ? recent->document : NULL;
}

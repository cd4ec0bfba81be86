/*
 * feed.h - what a canonical feed reads: the entities of one request, their fields, keys and hashes.
 * Rows of the catalogue, no code per entity.
 */
#ifndef EXACT_FEED_H
#define EXACT_FEED_H

#include "base/digest.h"
#include "exact_online/odata.h"

#define EXACT_FEED_DELETED "deleted"	/* sync/Deleted, all entities of a division */
#define EXACT_FEED_DIVISIONS "divisions"	/* system/Divisions: moves and HR links of a division */

/* Fields of these two, as indices into their fields */
typedef enum ExactDeletedField
{
	EXACT_DELETED_TIMESTAMP,
	EXACT_DELETED_KEY,
	EXACT_DELETED_TYPE,
	EXACT_DELETED_DIVISION,
	EXACT_NDELETED
} ExactDeletedField;

typedef enum ExactDivisionsField
{
	EXACT_DIVISIONS_CODE,
	EXACT_DIVISIONS_MOVE_DATE,
	EXACT_DIVISIONS_HR_LINK_DATE,
	EXACT_DIVISIONS_BLOCKING_STATUS,
	EXACT_DIVISIONS_STATUS,
	EXACT_NDIVISIONS
} ExactDivisionsField;

typedef enum ExactFeedMethod
{
	EXACT_FEED_SYNC,
	EXACT_FEED_FULL,			/* everything each time */
	EXACT_FEED_MODIFIED,		/* by time of change, now and then everything */
	EXACT_FEED_EXPANDED,		/* likewise, documents with their lines in one answer */
	EXACT_FEED_LOG,				/* sync/Deleted */
	EXACT_FEED_GUARD			/* system/Divisions */
} ExactFeedMethod;

#define EXACT_FEED_KEY_FIELDS 4

/* What the records of an entity are to the feed */
typedef enum ExactFeedRowKind
{
	EXACT_FEED_RECORD,			/* records of their own */
	EXACT_FEED_HEADER,			/* headers of documents, which come with their lines */
	EXACT_FEED_LINE				/* those lines */
} ExactFeedRowKind;

typedef struct ExactFeedEntity
{
	char	   *name;			/* glaccount, purchaseorderlines */
	ExactFeedRowKind row_kind;

	/*
	 * Indices into fields, of a line of an expanded document into line_fields, as all its indices:
	 * a key of several fields is their values, joined by a bar
	 */
	int			keys[EXACT_FEED_KEY_FIELDS];
	int			nkeys;
	int			parent;			/* index into fields, -1 none */
	bool		guid_key;
	/* documents of other entities are read again when a record of it changes */
	bool		followed;
	char	   *plain_resource;
	char	   *plain_key;
	char	   *plain_key_type; /* Edm.Guid, ... */
	int			entity_type;	/* in sync/Deleted, 0 none */
	int			nhashed;
	int		   *hashed;			/* indices into fields, in the catalogue's order */
	char	  **hashed_names;	/* the columns' names, part of the hash */
	char	   *left_out;		/* fields that would not be hashed and are not selected, or NULL */
} ExactFeedEntity;

typedef struct ExactFeed
{
	char	   *name;
	char	   *resource;
	ExactFeedMethod method;
	int64		interval_us;	/* between two runs without a trigger */
	/* by the user for this entity: the setting sync_interval does not change it */
	bool		interval_set;
	char	   *trigger_feed;	/* what makes its documents be read again; NULL none */
	int			nfields;
	const char **fields;		/* $select */
	char		digest[EXACT_DIGEST_HEX_LEN + 1];	/* of them, hex */
	int			division;		/* indices into fields, -1 none */
	int			timestamp;
	int			line_number;
	int			modified;
	int			collection;		/* of an expanded document: its lines */
	int			nline_fields;	/* likewise, and what is read of a line */
	const char **line_fields;
	int			line_division;
	int			nentities;
	ExactFeedEntity *entities;	/* headers before lines */
} ExactFeed;

/* Is it the lines of an expanded document? They are read and deleted with it. */
static inline bool
exact_feed_is_document_line(const ExactFeed *feed, const ExactFeedEntity *entity)
{
	return feed->collection >= 0 && entity->row_kind == EXACT_FEED_LINE;
}

/*
 * In a unit: reads a feed from the catalogue and the user's overrides into the current memory
 * context; NULL if there is none.
 */
extern ExactFeed *exact_feed_load(const char *name);

/* Is a mark a time of change: milliseconds of the service's local clock, as in /Date(ms)/? */
extern bool exact_feed_by_time(const ExactFeed *feed);
/* The time of change of a record of such a feed; false when it has none. */
extern bool exact_feed_modified(const ExactFeed *feed, const ExactRecord *record, int64 *ms);

/*
 * The run's first URL: base is "https://host"; from: the mark less the overlap, 1 = everything.
 * palloc'd.
 */
extern char *exact_feed_url(const ExactFeed *feed, const char *base, int division, int64 from);
extern char *exact_feed_label(const ExactFeed *feed, int64 from);

/*
 * $skiptoken of what lies behind a record, as the service writes it into its links
 * (exact-online.md §4.3), escaped; NULL: it is not known how. palloc'd.
 */
extern char *exact_feed_behind(const ExactFeed *feed, const ExactRecord *record);

/*
 * What says whether two records are the same: the way of hashing, then SHA-256 over the values of
 * the hashed fields. former: as the hub did it before there was a way of hashing in it, over the
 * bytes as received: a record that is the same by it is only given its new hash.
 */
#define EXACT_FEED_HASH_LEN (1 + EXACT_DIGEST_LEN)
extern void exact_feed_hash(const ExactFeedEntity *entity, const ExactRecord *record,
							uint8 hash[EXACT_FEED_HASH_LEN], uint8 former[EXACT_DIGEST_LEN]);

/* A record's reference to another as stored: decoded, Guids in lower case; NULL when missing. */
extern char *exact_feed_key(const ExactRecord *record, int field);

/* Likewise, its own key; "70|10|2024" where it has several fields. NULL when one is missing. */
extern char *exact_feed_own_key(const ExactFeedEntity *entity, const ExactRecord *record);

/*
 * URL that reads records by their keys: the whole canonical records, or with keys_only just which
 * of them exist, at the plain endpoint. Takes as many of the keys as an address may hold, *taken;
 * at most EXACT_FEED_KEYS: a page of 60 rows that is full leads to an empty one (exact-online.md
 * §4.3), which would be a call more.
 */
#define EXACT_FEED_KEYS 59
typedef enum ExactFeedKeyed
{
	EXACT_FEED_BY_KEY,
	EXACT_FEED_KEYS_ONLY,
	EXACT_FEED_BY_CODE			/* the keys are values of the field Code, a text */
} ExactFeedKeyed;
extern char *exact_feed_keys_url(const ExactFeed *feed, const ExactFeedEntity *entity,
								 ExactFeedKeyed how, const char *base, int division,
								 char **keys, int nkeys, int *taken);

/* Likewise, the lines of expanded documents by the keys of these. */
extern char *exact_feed_lines_url(const ExactFeed *feed, const char *base, int division,
								  char **keys, int nkeys, int *taken);

#endif

/*
 * dirty_key.h - exact.dirty_key: records that are to be read again by their key. Its only writer
 * in C.
 */
#ifndef EXACT_DIRTY_KEY_H
#define EXACT_DIRTY_KEY_H

#include "postgres.h"

#include "utils/timestamp.h"

/* Why a key is to be read. What each does to a key that is dirty already: exact._want_keys(). */
typedef enum ExactDirtyReason
{
	EXACT_DIRTY_CONFIRM,		/* it seems to be gone, of an entity with row versions */
	EXACT_DIRTY_LOGGED,			/* likewise, and the log of deletes names it */
	EXACT_DIRTY_ABSENT,			/* likewise, of any other entity */
	/* a first load: its reads leave the reserve of live traffic alone */
	EXACT_DIRTY_FIRST_LOAD,
	EXACT_DIRTY_LINES_CHANGED,	/* a document, by its transaction lines */
	EXACT_DIRTY_LINES_MISSING,	/* a document that came without all its lines */
	EXACT_DIRTY_BEFORE_DELETION,	/* its answer was sent before its tombstone was written */
	EXACT_DIRTY_OLDER,			/* its answer is older than what is stored */
	EXACT_DIRTY_OTHER_COPY		/* Delta holds a version that this database does not know */
} ExactDirtyReason;

/*
 * The texts, as they stand in the column reason, where SQL compares them. Five more come by SQL
 * alone: a notification, the deletion that an operator has approved, a write of the hub's, before
 * and after which the record is read, a document in doubt, and a code that such a document names,
 * which is no key but the record's field Code.
 */
#define EXACT_DIRTY_CONFIRM_TEXT "confirm"
#define EXACT_DIRTY_LOGGED_TEXT "logged"
#define EXACT_DIRTY_ABSENT_TEXT "absent"
#define EXACT_DIRTY_FIRST_LOAD_TEXT "first load"
#define EXACT_DIRTY_LINES_CHANGED_TEXT "its transaction lines changed"
#define EXACT_DIRTY_LINES_MISSING_TEXT "its lines did not come with it"
#define EXACT_DIRTY_BEFORE_DELETION_TEXT "sent before its deletion"
#define EXACT_DIRTY_OLDER_TEXT "older than what is stored"
#define EXACT_DIRTY_OTHER_COPY_TEXT "another copy of the hub delivered it"
#define EXACT_DIRTY_NOTIFIED_TEXT "notified"
#define EXACT_DIRTY_APPROVED_TEXT "approved"
#define EXACT_DIRTY_WRITE_BACK_TEXT "write-back"

/* All in a unit. */

/* These keys are to be read; now is when they became dirty. NULL keys are passed over. */
extern void exact_dirty_key_want(int division, const char *entity, char **keys, int nkeys,
								 ExactDirtyReason reason);

/*
 * They have been seen by a request that was sent then: what made them dirty before it is settled.
 */
extern void exact_dirty_key_seen(int division, const char *entity, char **keys, int nkeys,
								 TimestampTz sent_at);

/*
 * They have been read by their keys: likewise, and of what made them dirty since, the first is
 * forgotten.
 */
extern void exact_dirty_key_read(int division, const char *entity, char **keys, int nkeys,
								 TimestampTz sent_at);

/*
 * A run from before the deletions has ended: what came after its tombstone has been read again, or
 * is gone.
 */
extern void exact_dirty_key_reread(int division, const char *const *entities, int nentities,
								   TimestampTz run_started_at);

/* A key that is refused alone waits for an hour, so that it stops no other. */
extern void exact_dirty_key_delay(int division, const char *entity, const char *key);

/*
 * Its answer told nothing of this one and cost no error: asked for again when it has been dirty
 * twice as long, after 5 s to an hour.
 */
extern void exact_dirty_key_again(int division, const char *entity, const char *key);

/* What made keys of a division wait is over: those that wait are asked for at once. */
extern void exact_dirty_key_now(int division);

/*
 * An answer did not show them, and one alone proves nothing: asked for once more in a moment, not
 * before a time.
 */
extern void exact_dirty_key_once_more(int division, const char *entity, char **keys, int nkeys,
									  TimestampTz at);

/* Entities whose keys wait now */
typedef struct ExactDirtyWait
{
	const char **entities;
	int			nentities;
	const char **incredible;	/* their last answer was not believed: an operator's word is */
	int			nincredible;
} ExactDirtyWait;

/* Keys of one entity and of one kind */
typedef struct ExactDirtyPick
{
	char	   *entity;
	char	   *feed;
	char	  **names;			/* the feed's entities that the division has enabled */
	int			nnames;
	bool		whole;			/* records are to be read; else only which exist */
	bool		approved;		/* an operator has said that they are gone */
	bool		logged;			/* the log of deletes names them */
	bool		first;			/* a first load made them dirty */
	bool		codes;			/* they are codes */
	char	  **keys;
	int			nkeys;
} ExactDirtyPick;

/*
 * The keys that are due longest, at most so many, of one entity and of one kind: an operator's
 * word, the log's, a first load's, or any other. First loads go last. False: none is due. When a
 * key is due stands in its row, so that an index serves the choice however many are dirty.
 */
extern bool exact_dirty_key_pick(int division, const ExactDirtyWait *wait, int most,
								 ExactDirtyPick *picked);
/*
 * When the next key of a division is due, PG_INT64_MAX never; live: the next that no first load
 * asks for.
 */
extern TimestampTz exact_dirty_key_due_at(int division, const ExactDirtyWait *wait, bool live);

#endif

/*
 * edit_sql.h - the SQL texts that read what users have edited in the current table of a dimension.
 *
 * Pure text, like merge_sql.h. The target has a stamp. A row is edited when its _hash is not that
 * of its values, and new when a user has inserted it: it has no _seq, or no _key.
 */
#ifndef EXACT_EDIT_SQL_H
#define EXACT_EDIT_SQL_H

#include "delta/merge_sql.h"

/* Longer values and keys are cut: none of a dimension may be so long. */
#define EXACT_EDIT_SQL_VALUE 1000

/* Lets a column be null that the hub fills and a user who inserts a row does not know */
extern void exact_edit_sql_nullable(StringInfo out, const ExactTarget *target, int column);
/* How many such columns there are: 0 to this */
#define EXACT_EDIT_SQL_NULLABLE 5

/* _seq of a row after a user has changed it, _deleted or _op: any version of the hub is newer. */
#define EXACT_EDIT_SQL_MOVED (-1)
#define EXACT_EDIT_SQL_MARKED (-2)

/*
 * One row: how many rows there are; edited or new; with the stamp of another list of columns, a
 * _seq that the hub has not given (a later one than the newest, or null), or _deleted and _op that
 * do not belong together; with a _seq and without _hash; how many keys those have that are not
 * new; how many of these there are
 */
extern void exact_edit_sql_count(StringInfo out, const ExactTarget *target, int64 newest);

/*
 * Gives rows their _hash that have one with another stamp, with bare also those that have none, in
 * the divisions that this hub has claimed. A row whose _seq is not the hub's gets
 * EXACT_EDIT_SQL_MOVED, one whose _deleted or _op is not gets EXACT_EDIT_SQL_MARKED; both read as
 * edited.
 */
extern void exact_edit_sql_stamp(StringInfo out, const ExactTarget *target, bool bare,
								 int64 newest);

/*
 * Edited and new rows, and of the copies of a row one, in a lasting order: _division, _key, _seq,
 * what _hash would be, the values as a JSON object, "true" when another row has its key or, of new
 * ones, its code. division: of rows that name none; 0: it stays null
 */
extern void exact_edit_sql_rows(StringInfo out, const ExactTarget *target, int division,
								int limit, int64 offset);

/* Which of the keys in :batch the table does not have: _division, _key */
extern void exact_edit_sql_absent(StringInfo out, const ExactTarget *target, int rows);

/*
 * Gives new rows the keys of the records that Exact Online has made of them. :batch has _division,
 * _key, _code and a _hash that the row may have, in several rows if need be: one whose content is
 * another one by now stays new.
 */
extern void exact_edit_sql_adopt(StringInfo out, const ExactTarget *target, int division,
								 const ExactMergeRows *batch);

#endif

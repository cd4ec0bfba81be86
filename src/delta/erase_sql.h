/*
 * erase_sql.h - the SQL texts that remove a record from the Delta tables of an entity, and show
 * that it is gone.
 *
 * Pure text. The record is the one row of :batch, with _division, _key and the highest _seq that is
 * removed: [{"_division":"1","_key":"…","_seq":"12"}].
 */
#ifndef EXACT_ERASE_SQL_H
#define EXACT_ERASE_SQL_H

#include "delta/merge_sql.h"

/* Deletes all versions up to that one, under the fence. */
extern void exact_erase_sql_delete(StringInfo out, const ExactTarget *target, ExactTable table,
								   int division);
/* How many are left: one row with one number */
extern void exact_erase_sql_left(StringInfo out, const ExactTarget *target, ExactTable table,
								 int division);
/* Files with rows that were only marked as deleted are written anew without them. */
extern void exact_erase_sql_purge(StringInfo out, const ExactTarget *target, ExactTable table);
/* Removes the files that no version within the retention of the table reads. */
extern void exact_erase_sql_vacuum(StringInfo out, const ExactTarget *target, ExactTable table);

#endif

/*
 * rows_sql.h - the rows of a delivery as the source of a statement: of the parameter :batch, or of
 * files in the volume.
 *
 * Pure text.
 */
#ifndef EXACT_ROWS_SQL_H
#define EXACT_ROWS_SQL_H

#include "delta/merge_sql.h"

/* A statement fails with these words when its files have another number of lines. */
#define EXACT_ROWS_SQL_FILES "exact: the files do not hold"

/*
 * FROM ...: the rows of :batch, or of its files, as struct r; another number of rows fails. schema:
 * of an array of them; fenced: that this copy of the hub owns their divisions is asserted
 */
extern void exact_rows_sql_from(StringInfo out, const char *schema, const ExactTarget *target,
								const ExactMergeRows *batch, bool fenced);

#endif

/*
 * foreign_change.h - what somebody else did to a Delta table, by the operations that it lists.
 */
#ifndef EXACT_FOREIGN_CHANGE_H
#define EXACT_FOREIGN_CHANGE_H

#include "databricks/statement.h"

/* A look begins with what the table lists now: what was done before is not asked for. */
#define EXACT_FOREIGN_CHANGE_FROM_NOW (-2)

typedef struct ExactForeignChange
{
	int64		newest;			/* version of the table; -1: nothing is listed */
	/* "UPDATE by anna@example.com in version 7 at 2026-01-31T10:00:00.000Z"; NULL: nothing */
	char	   *what;
	/* rows were added or changed, none was taken away but of a dimension */
	bool		edit;
	int64		before;			/* a RESTORE to this version undoes it and nothing else; -1: none */
	int64		unlisted;		/* versions below this one are not listed any more; -1: all are */
} ExactForeignChange;

/*
 * In a unit: what was done after version `known` (-1: from the first one on), by the rows of
 * DESCRIBE HISTORY of the table, the newest first. An operation is the hub's when it is a MERGE by
 * the keys and the _seq that the hub merges by, an INSERT of the table's first rows, as many as the
 * hub sent first, or when its statement is in exact.statement_log; names are told and
 * prove nothing: open source has none, and a workspace may change its principal. What only
 * arranges files, or changed no row, is no change. edited: users may edit rows of the table. Texts
 * are palloc'd.
 */
extern void exact_foreign_change_find(const ExactStatementResult *operations, const char *table,
									  int64 known, bool edited, ExactForeignChange *change);

#endif

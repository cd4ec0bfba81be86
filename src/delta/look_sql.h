/*
 * look_sql.h - the SQL texts that look at what a table holds, without rows of a delivery.
 *
 * Pure text, like merge_sql.h.
 */
#ifndef EXACT_LOOK_SQL_H
#define EXACT_LOOK_SQL_H

#include "delta/merge_sql.h"

/* DESCRIBE HISTORY: the newest operations on a table, at most `limit` */
extern void exact_look_sql_operations(StringInfo out, const ExactTarget *target, ExactTable table,
									   int limit);

/* One row: how many rows the table has, and its highest _seq */
extern void exact_look_sql_count(StringInfo out, const ExactTarget *target, ExactTable table);

/* The highest _seq of the history above one and below another: one row or none */
extern void exact_look_sql_newest(StringInfo out, const ExactTarget *target, int64 above,
								   int64 below);

/*
 * Versions of a table above one _seq and below another: at most `limit` rows (_division, _key,
 * _seq, _deleted, parent), lowest first. parent: a column, NULL: none
 */
extern void exact_look_sql_between(StringInfo out, const ExactTarget *target, ExactTable table,
									const char *parent, int64 above, int64 below, int limit);

#endif

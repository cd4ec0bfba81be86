/*
 * sql.h - SQL of workers and functions: static texts, bound values, plans kept for the process.
 *
 * Inside a unit (worker/unit.h) or with SPI connected. Every text is schema-qualified and a static
 * constant: the plan is kept under its address.
 */
#ifndef EXACT_SQL_H
#define EXACT_SQL_H

#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/timestamp.h"

/*
 * A version (_seq) is the epoch of the hub that made it, above this many bits of a number that
 * rises within the epoch. So all versions of a later epoch are newer.
 */
#define EXACT_SEQ_EPOCH_BITS 40

typedef struct ExactArg
{
	Oid			type;
	Datum		value;
	bool		isnull;
} ExactArg;

extern ExactArg exact_arg_text(const char *value);	/* NULL = SQL null */
extern ExactArg exact_arg_int4(int32 value);
extern ExactArg exact_arg_int8(int64 value);
extern ExactArg exact_arg_bool(bool value);
extern ExactArg exact_arg_float8(double value);
extern ExactArg exact_arg_bytea(const void *data, size_t len);
extern ExactArg exact_arg_time(TimestampTz value);
extern ExactArg exact_arg_null(Oid type);
/* arrays; nulls may be NULL */
/* NULL element = SQL null; lens NULL = strlen */
extern ExactArg exact_arg_text_array(const char *const *values, const size_t *lens, int n);
extern ExactArg exact_arg_bytea_array(const void *const *values, const size_t *lens, int n);
extern ExactArg exact_arg_int8_array(const int64 *values, const bool *nulls, int n);
extern ExactArg exact_arg_int4_array(const int32 *values, const bool *nulls, int n);

/*
 * Runs one statement; returns the number of rows processed; result rows in SPI_tuptable. Raises on
 * error.
 */
extern uint64 exact_sql(const char *sql, int nargs, const ExactArg *args);

/*
 * Opens a nest level of settings and returns it: until AtEOXact_GUC(true, level), which an error
 * does by itself, plans go by index, for a table that grows by thousands of rows a second. Plans
 * are kept, and may have been made while it was small.
 */
extern int	exact_sql_index_nest_level(void);

/* exact_sql() within such a level */
extern uint64 exact_sql_by_index(const char *sql, int nargs, const ExactArg *args);

/*
 * The same, planned for these values: it locks those partitions that they mean, and no other one
 * that may be emptied at that moment.
 */
extern uint64 exact_sql_by_index_of_partition(const char *sql, int nargs, const ExactArg *args);

/*
 * Cells of the last result; row from 0, column from 1. Texts are palloc'd in CurrentMemoryContext.
 */
extern bool exact_cell_isnull(uint64 row, int col);
extern char *exact_cell_text(uint64 row, int col);	/* any type as text, NULL for null */
extern int64 exact_cell_int8(uint64 row, int col, int64 if_null);	/* int2, int4, int8 */
extern bool exact_cell_bool(uint64 row, int col, bool if_null);
extern TimestampTz exact_cell_time(uint64 row, int col, TimestampTz if_null);
/*
 * The elements of an array, *n of them; NULL elements of texts are NULL, of numbers 0. None for a
 * null.
 */
extern char **exact_cell_texts(uint64 row, int col, int *n);
extern int32 *exact_cell_int4s(uint64 row, int col, int *n);
extern int64 *exact_cell_int8s(uint64 row, int col, int *n);
extern bytea *exact_cell_bytea(uint64 row, int col);	/* detoasted copy, NULL for null */

#endif

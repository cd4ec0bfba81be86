/*
 * merge_sql.h - the SQL texts that Databricks runs for one entity: tables, history MERGE, current
 * MERGE, post-conditions.
 *
 * Pure text: no SQL of PostgreSQL, no network, no memory but the caller's StringInfo. Rows never
 * travel in the text; they are the one parameter :batch, a JSON array of objects whose values are
 * strings or absent (delivery_row.h), or such objects as lines of files in the volume.
 */
#ifndef EXACT_MERGE_SQL_H
#define EXACT_MERGE_SQL_H

#include "databricks/delta_sql.h"

typedef enum ExactTable
{
	EXACT_TABLE_CURRENT,
	EXACT_TABLE_HISTORY
} ExactTable;

/* One column that an entity's field fills. */
typedef struct ExactColumn
{
	const char *name;			/* in Delta */
	const char *source_field;	/* in the record */
	/* as exact_delta_sql_type() gives it: STRING, BIGINT, DECIMAL(28,4), ... */
	const char *type;
	const char *comment;		/* may be NULL */
	bool		guid;			/* value in lower case */
	bool		moment;			/* /Date(ms)/ */
	bool		padded;			/* blanks around the value are cut */
	bool		derived;		/* filled by a join of the source: an empty one says nothing */
	bool		row;			/* column _row: 'line' where the field is not 0 */
	const char *derived_from;	/* column of the key it is looked up by; NULL: unknown */
	bool		amount;			/* whose sign may be turned: of sales invoices */
	bool		hashed;			/* of a dimension: users may edit it in Delta */
} ExactColumn;

/* The two Delta tables of one entity in one workspace. */
typedef struct ExactTarget
{
	const char *catalog;
	const char *schema;
	const char *current;		/* table names */
	const char *history;
	const char *entity;
	const char *resource;		/* in Exact Online, for the comments */
	const ExactHub *hub;
	int			ncolumns;
	const ExactColumn *columns;
	/* of a dimension: what _hash begins with, "v1:0a1b2c3d:"; NULL: users edit no row of it */
	const char *stamp;
} ExactTarget;

/* What :batch, or some files, hold */
typedef struct ExactMergeRows
{
	int			rows;
	int64		seq_min;		/* of exactly these rows */
	int64		seq_max;
	const int  *divisions;		/* distinct ones */
	int			ndivisions;
	bool		rewrite;		/* what the table holds of these versions is written anew */
	bool		held;			/* some do not go into the current table (_held) */
	const char *const *files;	/* paths in the volume that hold them, an object a line */
	int			nfiles;			/* 0: they are in :batch */
} ExactMergeRows;

/* `catalog`.`schema`.`table`; without quotes for messages */
extern void exact_merge_sql_table(StringInfo out, const ExactTarget *target, ExactTable table);
extern void exact_merge_sql_name(StringInfo out, const ExactTarget *target, ExactTable table);

extern void exact_merge_sql_create_table(StringInfo out, const ExactTarget *target,
										 ExactTable table);
extern void exact_merge_sql_describe(StringInfo out, const ExactTarget *target, ExactTable table);
extern void exact_merge_sql_properties(StringInfo out, const ExactTarget *target, ExactTable table);
/* Lets a table have columns of type TIMESTAMP_NTZ: a column that is added later does not. */
extern void exact_merge_sql_features(StringInfo out, const ExactTarget *target, ExactTable table);

/*
 * Compares the columns that the table has (DESCRIBE TABLE) with those it needs. Writes to `add` the
 * ALTER TABLE that adds missing ones (empty: none), to `different` a sentence part about columns of
 * another type (empty: none).
 */
extern void exact_merge_sql_compare(StringInfo add, StringInfo different, const ExactTarget *target,
									ExactTable table, const char *const *names,
									const char *const *types, int ncolumns);

/*
 * Writes to `out` the ALTER TABLE that gives its comment to each column that has none, or one of
 * the entity's that the hub wrote before its catalogue said otherwise (empty: there is none).
 * Comments that somebody else wrote stay.
 */
extern void exact_merge_sql_comments(StringInfo out, const ExactTarget *target, ExactTable table,
									 const char *const *names, const char *const *comments,
									 int ncolumns);

/*
 * What _hash is for the values that the row `alias` has now: its stamp, and a digest of the columns
 * that users may edit. Text of a value is that of CAST AS STRING; null is no text.
 */
extern void exact_merge_sql_hash(StringInfo out, const ExactTarget *target, const char *alias);

/*
 * Inserts all rows into a table that is empty, and none into one that is not: for the first rows of
 * a table that was just made, and no key twice if it is the current one. An INSERT that reads its
 * own table is as safe as a MERGE beside other writers, and Delta plans it in half the time.
 */
extern void exact_merge_sql_first(StringInfo out, const ExactTarget *target, ExactTable table,
								  const ExactMergeRows *batch);

/* Inserts the versions that the history does not hold yet. */
extern void exact_merge_sql_history(StringInfo out, const ExactTarget *target,
									const ExactMergeRows *batch);

/*
 * Brings the current state to the newest version of each key. repeated: some key has several
 * versions in :batch. A row of a dimension that a user has edited stays as it is, unless the edit
 * is the one that the hub knows (_known).
 */
extern void exact_merge_sql_current(StringInfo out, const ExactTarget *target,
									const ExactMergeRows *batch, bool repeated);

/*
 * Inserts the records that the current table does not hold: of a delivery that should bring no
 * others, and no key twice. Where it inserts all of them, exact_merge_sql_current() has nothing
 * left to do; Delta runs this one in one pass, without a look for rows to change.
 */
extern void exact_merge_sql_insert_current(StringInfo out, const ExactTarget *target,
										   const ExactMergeRows *batch);

/*
 * One row. Its first number must be `rows`: versions of :batch in the history; rows of :batch whose
 * key is there at that version or a later one, without those that are held. Of the history a second
 * one: the highest _seq of
 * :batch that another record has there, null: none, as it must be.
 */
extern void exact_merge_sql_check_history(StringInfo out, const ExactTarget *target,
										  const ExactMergeRows *batch);
extern void exact_merge_sql_check_current(StringInfo out, const ExactTarget *target,
										  const ExactMergeRows *batch);

/*
 * In its place for a dimension, one row for each version of :batch: _division, _key, _seq, and how
 * many rows of the table have it or a later one, how many were left alone because of an edit
 */
extern void exact_merge_sql_check_edited(StringInfo out, const ExactTarget *target,
										 const ExactMergeRows *batch);

/*
 * The rows of :batch that have values which do not fit their columns: _seq, and the columns'
 * positions in the target, with the lengths of the values, n for one of a number's characters:
 * "3:27n,17:4t,"
 */
extern void exact_merge_sql_unfit(StringInfo out, const ExactTarget *target,
								  const ExactMergeRows *batch);

/*
 * Likewise the rows that do not meet a condition on the columns of a table; in place of the columns
 * stands "0,"
 */
extern void exact_merge_sql_violating(StringInfo out, const ExactTarget *target, ExactTable table,
									  const ExactMergeRows *batch, const char *condition);

#endif

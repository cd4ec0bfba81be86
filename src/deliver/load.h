/*
 * load.h - what one delivery carries: versions of the stage as the text of a statement, or as files
 * in the volume, and what is known of them.
 */
#ifndef EXACT_LOAD_H
#define EXACT_LOAD_H

#include "nodes/pg_list.h"

#include "base/gzip.h"
#include "databricks/statement.h"
#include "deliver/backlog.h"
#include "deliver/bad_row.h"
#include "delta/merge_sql.h"
#include "delta/target.h"

typedef struct ExactLoad
{
	MemoryContext context;		/* holds all of it; whoever read it deletes it */
	ExactTargetPlan *plan;
	int			rows;
	int			keys;			/* distinct ones */
	int			held;			/* rows that do not go into the current table */
	bool		again;			/* Delta may have some with another verdict */
	ExactMergeRows batch;		/* what the statements must know of it, once it is complete */
	List	   *divisions;		/* of its rows, each once */
	ExactRange	range;
	ExactSentRow *sent;			/* the rows in their order */
	/* JSON array of the rows, a string of JSON once it is complete; none when they go as files */
	StringInfoData text;
	/* from where it is read: those before `at` are in it, `position` rows of that one are */
	ExactBatch *batches;
	int			nbatches;
	int			at;
	int			position;
	/* rows that go once more: up to this _seq they are in it, or all are */
	bool		aside;
	int64		up_to;
	bool		all;
	bool		complete;
	/* as files; NULL: as text */
	ExactGzip  *gzip;
	List	   *files;			/* paths of those that were named so far */
	/* load.c's own: where the part that is not yet a file begins */
	int			part_first;
	int			part_held;
	bool		part_again;
	int			part_at;
	int			part_position;
	int64		part_up_to;
	int			known_division; /* of the row before, and what is known of it; 0: none yet */
	const char *row_zero;
	bool		turned;
	int			most;			/* rows that it may have */
	int			allocated;
	uint64	   *names;			/* digest of division and key of each row, for counting */
	char	   *keys_left;		/* where the next key is written */
	size_t		keys_bytes;
} ExactLoad;

/*
 * In a unit: reads the first rows that wait in batches below an id. As text as many as one
 * statement carries (exact_databricks.merge_rows, merge_bytes; a longer single row goes alone). Of
 * more, where files may be used, the first part of as many as exact_databricks.file_rows.
 */
extern ExactLoad *exact_load_read(ExactTargetPlan *plan, const ExactBacklog *backlog, int64 below,
								  int most, bool files);

/*
 * The same of rows that go once more: put aside, and an operator wants them to be tried again
 * (exact.retry()), or judged otherwise since Delta has them; NULL: there are none. Of more than
 * are read at a time, a first part of a file.
 */
extern ExactLoad *exact_load_read_aside(ExactTargetPlan *plan, int most, bool files);

/* In a unit, which may run twice: the next part; `complete` when it is the last one. */
extern void exact_load_read_on(ExactLoad *load);

/*
 * The part that was read, as a file: its path, and its bytes until the next part is read. NULL: no
 * row is in it.
 */
extern const char *exact_load_part(ExactLoad *load, const char **data, size_t *len);

/* Takes what it carries out of the backlog. */
extern void exact_load_settle(const ExactLoad *load, ExactBacklog *backlog);

#endif

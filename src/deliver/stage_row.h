/*
 * stage_row.h - versions of exact.stage as a delivery reads them, with what was put aside of them.
 *
 * All in a unit.
 */
#ifndef EXACT_STAGE_ROW_H
#define EXACT_STAGE_ROW_H

#include "utils/timestamp.h"

#include "deliver/backlog.h"
#include "delta/delivery_row.h"

#define EXACT_STAGE_ROW_READ 500	/* at most so many at a time */

typedef struct ExactStageRow
{
	ExactVersion version;
	int			slot;
	int			ord;
	int			prev_slot;
	int64		prev_batch;		/* 0: none */
	int			prev_ord;
	bool		aside;			/* it is in exact.dead_letter, or was erased */
	bool		bare;			/* and goes all the same, without its values: a deletion */
	bool		again;			/* Delta may have it, with another verdict */
	TimestampTz judged_at;		/* 0: nothing was found about it */
} ExactStageRow;

/*
 * Rows of a batch from a position on, `most` of them, and what of them is put aside for this
 * workspace. Returns their number; raises when there are none.
 */
extern int	exact_stage_row_read(const char *workspace, const ExactBatch *batch, int from, int most,
								 ExactStageRow *rows);

/*
 * Rows that go once more, put aside or judged otherwise: the oldest ones above a _seq (0: of all),
 * as many as fit into one read; their number.
 */
extern int	exact_stage_row_read_aside(const char *workspace, const char *entity, int64 above,
									   ExactStageRow *rows);

/*
 * A tombstone has no text of its own: its content is that of the version before it, as far as
 * Databricks could take that. palloc'd, with its address in the row; NULL when there is none.
 */
extern char *exact_stage_row_previous(const char *workspace, ExactStageRow *row);

#endif

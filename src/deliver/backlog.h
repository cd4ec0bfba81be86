/*
 * backlog.h - the batches of one entity and workspace that wait to be delivered.
 */
#ifndef EXACT_BACKLOG_H
#define EXACT_BACKLOG_H

#include "postgres.h"

#include "utils/timestamp.h"

/* A batch that waits */
typedef struct ExactBatch
{
	int64		id;
	int			slot;
	int			rows;
	int			delivered;		/* so many of its first rows are */
	int64		bytes;			/* of all payloads */
	bool		replay;			/* Databricks has had it: exact.replay() */
	TimestampTz staged_at;
} ExactBatch;

/* In the order of their ids */
typedef struct ExactBacklog
{
	ExactBatch *batches;
	int			n;
	int			capacity;
} ExactBacklog;

extern void exact_backlog_add(ExactBacklog *backlog, const ExactBatch *batch);

/* Estimated bytes of a row of the batch as text of a delivery, on average */
extern int64 exact_backlog_row_bytes(const ExactBatch *batch);

/*
 * Rows that wait in batches below an id, and their estimated bytes as text of a delivery; counts no
 * further than most_bytes
 */
extern void exact_backlog_measure(const ExactBacklog *backlog, int64 below, int64 most_bytes,
								  int64 *rows, int64 *bytes);

#endif

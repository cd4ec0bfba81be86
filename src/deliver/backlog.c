/*
 * backlog.c - the batches of one entity and workspace that wait to be delivered.
 *
 * Filled by queue.c, read and cut by delivery.c.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "deliver/backlog.h"

#define BYTES_PER_PAYLOAD_BYTE 2	/* a line holds the columns and the escaped payload */
#define BYTES_PER_ROW 250

/* A first load may leave more batches than fit into an ordinary allocation. */
void
exact_backlog_add(ExactBacklog *backlog, const ExactBatch *batch)
{
	if (backlog->n == backlog->capacity)
	{
		int			capacity = Max(backlog->capacity * 2, 16);
		Size		size = sizeof(ExactBatch) * (Size) capacity;

		backlog->batches = backlog->batches == NULL ?
			MemoryContextAllocHuge(TopMemoryContext, size) : repalloc_huge(backlog->batches, size);
		backlog->capacity = capacity;
	}
	backlog->batches[backlog->n++] = *batch;
}

int64
exact_backlog_row_bytes(const ExactBatch *batch)
{
	return BYTES_PER_ROW + batch->bytes / Max(batch->rows, 1) * BYTES_PER_PAYLOAD_BYTE;
}

void
exact_backlog_measure(const ExactBacklog *backlog, int64 below, int64 most_bytes, int64 *rows,
					  int64 *bytes)
{
	*rows = *bytes = 0;
	for (int i = 0; i < backlog->n && backlog->batches[i].id < below; i++)
	{
		const ExactBatch *batch = &backlog->batches[i];
		int64		left = batch->rows - batch->delivered;

		*rows += left;
		*bytes += left * exact_backlog_row_bytes(batch);
		if (*bytes >= most_bytes)
			return;
	}
}

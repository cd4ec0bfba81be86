/*
 * epoch.c - what the fetcher does when an epoch begins: every feed is read from its start.
 *
 * Marks of a database that was restored or promoted stand where that database stood; another copy
 * may have read on, and Exact Online's log of deletes reaches two months back only. The fetcher
 * moves the marks itself, at its start: no user's open transaction holds them. Called by
 * fetcher.c, before anything is staged in the epoch.
 */
#include "postgres.h"

#include "base/sql.h"
#include "fetch/epoch.h"
#include "state/audit.h"
#include "state/feed_state.h"
#include "worker/self.h"

/* Epochs that wait for it are marked, and for the last of them all feeds are read once. */
void
exact_epoch_reread(void)
{
	static const char due_sql[] =
	"UPDATE exact.epoch e SET reread_at = clock_timestamp()"
	" FROM exact.installation_binding b"
	" WHERE e.epoch <= b.epoch AND e.known_seq IS NOT NULL AND e.reread_at IS NULL"
	" RETURNING e.epoch, e.reason";
	uint64		n = exact_sql(due_sql, 0, NULL);
	int			epoch = 0;
	char	   *reason = NULL;

	if (n == 0)
		return;
	for (uint64 i = 0; i < n; i++)
	{
		if (exact_cell_int8(i, 1, 0) <= epoch)
			continue;
		epoch = (int) exact_cell_int8(i, 1, 0);
		reason = exact_cell_text(i, 2);
	}
	n = exact_feed_state_from_start(EXACT_FROM_START_EPOCH, 0, NULL, NULL);
	exact_audit_feeds_from_start(epoch, reason, (int64) n);
	exact_log(LOG, "epoch=%d reason=\"%s\": " UINT64_FORMAT " feeds are read from their start",
			  epoch, reason, n);
}

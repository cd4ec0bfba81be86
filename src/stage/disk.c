/*
 * disk.c - how much disk space the hub uses, and whether it may use more. Called by fetcher.c.
 *
 * exact._measure_disk() measures and decides; what it says is remembered here. While the hub is
 * full, the fetcher reads nothing of Exact Online; notifications, deliveries and the retention go
 * on, so that it gets less by itself.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/sql.h"
#include "stage/disk.h"
#include "worker/self.h"
#include "worker/unit.h"

#define EVERY_MS 60000
#define AGAIN_MS 30000			/* somebody holds a table: each try waits for it */

typedef struct Disk
{
	int64		bytes;
	bool		full;
} Disk;

static bool is_full;

static void
measure_unit(void *arg)
{
	static const char sql[] =
	"SELECT d.bytes, d.is_full FROM exact._measure_disk($1) AS d";
	Disk	   *disk = arg;
	ExactArg	limit = exact_arg_int8((int64) exact_max_disk_mb * 1024 * 1024);

	exact_sql(sql, 1, &limit);
	disk->bytes = exact_cell_int8(0, 1, 0);
	disk->full = exact_cell_bool(0, 2, false);
}

long
exact_disk_turn(void)
{
	static TimestampTz due = 0;
	static int	limit_mb = -1;
	Disk		disk;

	if (limit_mb == exact_max_disk_mb && exact_clock_ahead(due, EVERY_MS))
		return exact_clock_wait_ms(due);
	if (!exact_unit_run("measure the disk", measure_unit, &disk, NULL))
	{
		due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), AGAIN_MS);
		limit_mb = exact_max_disk_mb;
		return AGAIN_MS;
	}
	if (disk.full != is_full)
		exact_log(disk.full ? WARNING : LOG, "disk %s mb=" INT64_FORMAT " max_disk=%d",
				  disk.full ? "full, reading is paused" : "has space, reading goes on",
				  disk.bytes / (1024 * 1024), exact_max_disk_mb);
	is_full = disk.full;
	limit_mb = exact_max_disk_mb;
	due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), EVERY_MS);
	return EVERY_MS;
}

bool
exact_disk_full(void)
{
	return is_full;
}

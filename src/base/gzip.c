/*
 * gzip.c - a gzip file that grows in memory, by zlib.
 *
 * The fastest level: rows of JSON become a fifth of their size by it, and a tenth more work would
 * save less time on the way than it takes here. Called by deliver/load.c.
 */
#include "postgres.h"

#include <zlib.h>

#include "utils/memutils.h"

#include "base/gzip.h"

#define GZIP_FORMAT 16			/* added to the window's bits: gzip's header and trailer */
#define MEMORY_LEVEL 8
#define FIRST_BYTES 65536
#define MOST_MORE (1024 * 1024) /* bytes that it grows by */

struct ExactGzip
{
	z_stream	stream;
	MemoryContext context;
	char	   *out;
	size_t		allocated;
	bool		begun;			/* something of a file is in it */
};

/* zlib's memory; it lives in the context, and ends with it. */
static voidpf
allocate(voidpf context, uInt items, uInt size)
{
	return MemoryContextAllocExtended(context, (Size) items * size, MCXT_ALLOC_NO_OOM);
}

static void
release(voidpf context pg_attribute_unused(), voidpf memory)
{
	pfree(memory);
}

ExactGzip *
exact_gzip_begin(MemoryContext context)
{
	ExactGzip  *gzip = MemoryContextAllocZero(context, sizeof(ExactGzip));

	gzip->context = context;
	gzip->stream.zalloc = allocate;
	gzip->stream.zfree = release;
	gzip->stream.opaque = context;
	if (deflateInit2(&gzip->stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + GZIP_FORMAT, MEMORY_LEVEL,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	gzip->allocated = FIRST_BYTES;
	gzip->out = MemoryContextAlloc(context, gzip->allocated);
	return gzip;
}

static size_t
used(const ExactGzip *gzip)
{
	return gzip->begun ? (size_t) gzip->stream.total_out : 0;
}

/* What goes in comes out, as far as zlib gives it; all of it at the end of the file. */
static void
run(ExactGzip *gzip, const char *data, size_t len, int flush)
{
	int			result;

	if (!gzip->begun)
	{
		deflateReset(&gzip->stream);
		gzip->begun = true;
	}
	gzip->stream.next_in = (Bytef *) unconstify(char *, data);
	gzip->stream.avail_in = (uInt) len;
	do
	{
		if (used(gzip) == gzip->allocated)
		{
			gzip->allocated += Min(gzip->allocated, MOST_MORE);
			gzip->out = repalloc_huge(gzip->out, gzip->allocated);
		}
		gzip->stream.next_out = (Bytef *) gzip->out + used(gzip);
		gzip->stream.avail_out = (uInt) Min(gzip->allocated - used(gzip), PG_INT32_MAX);
		result = deflate(&gzip->stream, flush);
		if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
			elog(ERROR, "zlib fails with %d", result);
	} while (gzip->stream.avail_in > 0 || (flush == Z_FINISH && result != Z_STREAM_END));
}

void
exact_gzip_add(ExactGzip *gzip, const char *data, size_t len)
{
	run(gzip, data, len, Z_NO_FLUSH);
}

size_t
exact_gzip_size(const ExactGzip *gzip)
{
	return used(gzip);
}

void
exact_gzip_restart(ExactGzip *gzip)
{
	gzip->begun = false;
}

void
exact_gzip_release(ExactGzip *gzip)
{
	deflateEnd(&gzip->stream);
	pfree(gzip->out);
	gzip->out = NULL;
}

const char *
exact_gzip_end(ExactGzip *gzip, size_t *len)
{
	run(gzip, "", 0, Z_FINISH);
	*len = used(gzip);
	exact_gzip_restart(gzip);
	return gzip->out;
}

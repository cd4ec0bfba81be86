/*
 * gzip.h - a gzip file that grows in memory.
 *
 * The same bytes in make the same bytes out: the file has no time and no name in it.
 */
#ifndef EXACT_GZIP_H
#define EXACT_GZIP_H

#include "lib/stringinfo.h"

typedef struct ExactGzip ExactGzip;

/* Begins a file; it lives in this context with all that it has. */
extern ExactGzip *exact_gzip_begin(MemoryContext context);
extern void exact_gzip_add(ExactGzip *gzip, const char *data, size_t len);
/* Bytes that have come out so far; the last some 100 kB of those that went in are not in them. */
extern size_t exact_gzip_size(const ExactGzip *gzip);
/* Forgets what was added; the next add begins another file over it. */
extern void exact_gzip_restart(ExactGzip *gzip);
/* Gives its memory back; nothing is added any more. */
extern void exact_gzip_release(ExactGzip *gzip);
/* Ends the file and gives it, and restarts. */
extern const char *exact_gzip_end(ExactGzip *gzip, size_t *len);

#endif

/*
 * gzip_test.c - base/gzip.c alone: what comes out is what went in, the same bytes each time.
 */
#include "postgres.h"

#include "base/gzip.c"

#include "backend.h"
#include "check.h"

/* The few things of the server that this file uses */
void *
MemoryContextAlloc(MemoryContext context pg_attribute_unused(), Size size)
{
	return malloc(size);
}

void *
MemoryContextAllocZero(MemoryContext context pg_attribute_unused(), Size size)
{
	return calloc(1, size);
}

void *
MemoryContextAllocExtended(MemoryContext context pg_attribute_unused(), Size size,
						   int flags pg_attribute_unused())
{
	return malloc(size);
}

void *
repalloc_huge(void *pointer, Size size)
{
	return realloc(pointer, size);
}

int
errmsg_internal(const char *fmt pg_attribute_unused(),...)
{
	return 0;
}

/* Does the file hold just this text? */
static bool
holds(const char *file, size_t len, const char *text, size_t text_len)
{
	z_stream	stream = {0};
	char	   *out = malloc(text_len + 1);
	int			result;
	bool		good;

	if (inflateInit2(&stream, MAX_WBITS + GZIP_FORMAT) != Z_OK)
		return false;
	stream.next_in = (Bytef *) unconstify(char *, file);
	stream.avail_in = (uInt) len;
	stream.next_out = (Bytef *) out;
	stream.avail_out = (uInt) text_len + 1;
	result = inflate(&stream, Z_FINISH);
	good = result == Z_STREAM_END && stream.avail_in == 0 && stream.total_out == text_len &&
		memcmp(out, text, text_len) == 0;
	inflateEnd(&stream);
	free(out);
	return good;
}

int
main(void)
{
	ExactGzip  *gzip = exact_gzip_begin(TopMemoryContext);
	size_t		text_len = 3 * 1024 * 1024;
	char	   *text = malloc(text_len);
	const char *file;
	char	   *kept;
	size_t		kept_len;
	size_t		len;
	unsigned	x = 1;

	for (size_t i = 0; i < text_len; i++)
		text[i] = (char) ((x = x * 1103515245 + 12345) >> 16);

	/* an empty file is one; what was forgotten is not in it */
	exact_gzip_add(gzip, "forgotten", 9);
	exact_gzip_restart(gzip);
	file = exact_gzip_end(gzip, &len);
	CHECK(holds(file, len, "", 0));

	/* bytes that cannot be packed, in pieces of many sizes: larger than what was allocated first */
	for (size_t at = 0, piece = 1; at < text_len; at += piece, piece = piece * 7 % 99991 + 1)
		exact_gzip_add(gzip, text + at, Min(piece, text_len - at));
	CHECK(exact_gzip_size(gzip) > text_len / 2);
	file = exact_gzip_end(gzip, &len);
	CHECK(holds(file, len, text, text_len));
	CHECK(exact_gzip_size(gzip) == 0);
	kept = malloc(len);
	kept_len = len;
	memcpy(kept, file, len);

	/* the same again, by the same one and by another: the same bytes, no time in them */
	for (int i = 0; i < 2; i++)
	{
		exact_gzip_add(gzip, text, text_len);
		file = exact_gzip_end(gzip, &len);
		CHECK(holds(file, len, text, text_len));
		CHECK(memcmp(file + 4, "\0\0\0\0", 4) == 0);
	}
	gzip = exact_gzip_begin(TopMemoryContext);
	for (size_t at = 0, piece = 1; at < text_len; at += piece, piece = piece * 7 % 99991 + 1)
		exact_gzip_add(gzip, text + at, Min(piece, text_len - at));
	file = exact_gzip_end(gzip, &len);
	CHECK(len == kept_len && memcmp(file, kept, len) == 0);
	exact_gzip_release(gzip);
	return checks_done();
}

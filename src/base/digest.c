/*
 * digest.c - SHA-256 and random bytes, from PostgreSQL's own cryptography.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"

#include "base/digest.h"

StaticAssertDecl(EXACT_DIGEST_LEN == PG_SHA256_DIGEST_LENGTH, "the digest is SHA-256");

void
exact_sha256(const void *data, size_t len, uint8 digest[EXACT_DIGEST_LEN])
{
	pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_SHA256);
	bool		done = ctx != NULL && pg_cryptohash_init(ctx) == 0 && pg_cryptohash_update(ctx, data, len) == 0 &&
		pg_cryptohash_final(ctx, digest, EXACT_DIGEST_LEN) == 0;

	pg_cryptohash_free(ctx);
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256")));
}

char *
exact_random_hex(int n)
{
	char	   *hex = palloc(2 * n + 1);
	uint8	   *bytes = palloc(n);

	if (!pg_strong_random(bytes, n))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random bytes")));
	for (int i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
	explicit_bzero(bytes, n);
	pfree(bytes);
	return hex;
}

/*
 * digest.c - SHA-256 and random bytes, from OpenSSL.
 *
 * Not from pg_cryptohash_create(): it remembers its contexts in the current resource owner, and
 * crashes where there is none. Workers compute digests outside transactions too.
 */
#include "postgres.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/digest.h"

void
exact_sha256(const void *data, size_t len, uint8 digest[EXACT_DIGEST_LEN])
{
	unsigned int n = 0;

	if (EVP_Digest(data, len, digest, &n, EVP_sha256(), NULL) != 1 || n != EXACT_DIGEST_LEN)
	{
		ERR_clear_error();
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256")));
	}
}

char *
exact_random_hex(int n)
{
	char	   *hex = palloc(2 * n + 1);
	uint8	   *bytes = palloc(n);

	if (RAND_bytes(bytes, n) != 1)
	{
		ERR_clear_error();
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random bytes")));
	}
	for (int i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
	explicit_bzero(bytes, n);
	pfree(bytes);
	return hex;
}

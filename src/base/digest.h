/*
 * digest.h - SHA-256 and random bytes.
 */
#ifndef EXACT_DIGEST_H
#define EXACT_DIGEST_H

#include "postgres.h"

#define EXACT_DIGEST_LEN 32
#define EXACT_DIGEST_HEX_LEN (2 * EXACT_DIGEST_LEN)

/* SHA-256 of some bytes. In or outside a transaction. Raises when the library behind it fails. */
extern void exact_sha256(const void *data, size_t len, uint8 digest[EXACT_DIGEST_LEN]);

/*
 * n bytes that nobody can guess, as lower-case hex (palloc'd). Raises when there is no randomness.
 */
extern char *exact_random_hex(int n);

#endif

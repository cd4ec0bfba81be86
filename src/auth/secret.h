/*
 * secret.h - plaintexts of credentials, tokens and keys, in memory that is cleansed (OpenSSL's
 * secure heap).
 */
#ifndef EXACT_SECRET_H
#define EXACT_SECRET_H

#include "postgres.h"

/* A plaintext in the secure heap; no accessor that fits "%s" by accident. */
typedef struct ExactSecret ExactSecret;

/* A copy of these bytes. Raises when there is no secure memory left. */
extern ExactSecret *exact_secret_new(const char *data, size_t len);
/* Zeroed secure memory for a secret of this length; NULL when there is none left. */
extern ExactSecret *exact_secret_alloc(size_t len);
/* NUL-terminated; do not copy it into palloc'd memory that outlives its use. len may be NULL. */
extern const char *exact_secret_reveal(const ExactSecret *secret, size_t *len);
/* Cleanses; NULL is fine. */
extern void exact_secret_free(ExactSecret *secret);
/* Frees it and forgets where it was. */
extern void exact_secret_drop(ExactSecret **secret);

/* Do two secrets hold the same bytes? In constant time for equal lengths. */
extern bool exact_secret_equal(const ExactSecret *a, const ExactSecret *b);

/* Pieces one after the other, in the secure heap. */
typedef struct ExactSecretPiece
{
	const char *data;
	size_t		len;
	enum
	{
		EXACT_PIECE_PLAIN,
		EXACT_PIECE_PERCENT,	/* percent-encoded: all but unreserved characters (RFC 3986) */
		EXACT_PIECE_BASE64
	}			coding;
} ExactSecretPiece;
extern ExactSecret *exact_secret_join(const ExactSecretPiece *pieces, int n);

#endif

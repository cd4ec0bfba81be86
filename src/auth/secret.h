/*
 * secret.h - encryption of credentials and tokens at rest (OpenSSL behind secret.c).
 *
 * AES-256-GCM, keys from exact_databricks.key_file (lines id:64 hex digits, the last one encrypts). The envelope is one bytea:
 * version | key id | nonce | ciphertext | tag. The AAD binds it to kind, name, field, installation and host.
 */
#ifndef EXACT_SECRET_H
#define EXACT_SECRET_H

#include "postgres.h"

/* A plaintext in the secure heap; no accessor that fits "%s" by accident. */
typedef struct ExactSecret ExactSecret;

extern ExactSecret *exact_secret_new(const char *data, size_t len);
extern const char *exact_secret_reveal(const ExactSecret *secret, size_t *len); /* NUL-terminated; do not copy into palloc'd memory that outlives use */
extern void exact_secret_free(ExactSecret *secret);	/* cleanses; NULL is fine */

typedef struct ExactSecretPlace
{
	const char *kind;			/* app, workspace, token */
	const char *name;			/* name of the app or workspace */
	const char *field;			/* client_secret, refresh_token, access, refresh, ... */
	const char *installation;	/* id from exact.installation */
	const char *host;			/* origin the secret is for: https://start.exactonline.nl */
} ExactSecretPlace;

/* Both raise with SQLSTATE and hint: key file missing, readable by others, inside the data directory, no such key id, wrong place. */
extern bytea *exact_secret_seal(const ExactSecretPlace *place, const ExactSecret *secret, char **key_id);
extern ExactSecret *exact_secret_open(const ExactSecretPlace *place, const bytea *envelope);

/* Zeroed secure memory for a secret of this length; NULL when there is none left. */
extern ExactSecret *exact_secret_alloc(size_t len);
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
		EXACT_PIECE_PERCENT,	/* percent-encoded: everything but unreserved characters (RFC 3986) */
		EXACT_PIECE_BASE64
	}			coding;
} ExactSecretPiece;
extern ExactSecret *exact_secret_join(const ExactSecretPiece *pieces, int n);

/* Key id inside an envelope (palloc'd), NULL when it is none. */
extern char *exact_secret_key_id(const bytea *envelope);
#endif

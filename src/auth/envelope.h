/*
 * envelope.h - secrets encrypted at rest, each for one place.
 *
 * AES-256-GCM, keys from exact_databricks.key_file (lines id:64 hex digits, the last one encrypts).
 * The envelope is one bytea: version | key id | nonce | ciphertext | tag. What is authenticated
 * with it binds it to its place: kind, name, field, installation and host.
 */
#ifndef EXACT_ENVELOPE_H
#define EXACT_ENVELOPE_H

#include "auth/secret.h"

typedef struct ExactSecretPlace
{
	const char *kind;			/* app, workspace, token */
	const char *name;			/* name of the app or workspace */
	const char *field;			/* client_secret, refresh_token, access, refresh, ... */
	const char *installation;	/* id from exact.installation */
	const char *host;			/* origin the secret is for: https://start.exactonline.nl */
} ExactSecretPlace;

/* Encrypts with the newest key, its id in *key_id (palloc'd). Raises EX003, EX004. */
extern bytea *exact_envelope_seal(const ExactSecretPlace *place, const ExactSecret *secret,
								  char **key_id);

/*
 * Decrypts. Raises EX003 (key file missing, readable by others, inside the data directory, no such
 * key id) or EX004 (another place, or changed).
 */
extern ExactSecret *exact_envelope_open(const ExactSecretPlace *place, const bytea *envelope);

/* Key id inside an envelope (palloc'd), NULL when it is none. */
extern char *exact_envelope_key_id(const bytea *envelope);

#endif

/*
 * credential.h - secrets of apps and workspaces in exact.credential: sealed for one host, opened
 * where they are used.
 */
#ifndef EXACT_CREDENTIAL_H
#define EXACT_CREDENTIAL_H

#include "utils/timestamp.h"

#include "auth/envelope.h"
#include "auth/secret.h"

/* Bytes of a secret; a longer one is refused. */
#define EXACT_CREDENTIAL_MAX (64 * 1024)

/* May a secret of this kind be called so? *why says what there is. */
extern bool exact_credential_known(const char *kind, const char *field, const char **why);

/*
 * Opens a secret for the host as now configured. With SPI connected. Raises EX004 with the next
 * step when it is not set or was set for another host. *set_at (may be NULL): when it was set.
 */
extern ExactSecret *exact_credential_open(const char *kind, const char *name, const char *field,
										  TimestampTz *set_at);
/*
 * exact_envelope_open whose refusal is an answer: NULL, with the message in *problem (palloc'd).
 * The transaction goes on.
 */
extern ExactSecret *exact_credential_try(const ExactSecretPlace *place, const bytea *envelope,
										 char **problem);

/*
 * Stores a secret; for field refresh_token of an app, a new authorisation as well. With SPI
 * connected. False when the same value was stored before and only_new is given: then nothing is
 * written. Raises EX003, EX004, EX006, EX016.
 */
extern bool exact_credential_store(const char *kind, const char *name, const char *field,
								   const ExactSecret *value, bool only_new);

#endif

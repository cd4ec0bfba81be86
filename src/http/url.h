/*
 * url.h - addresses as texts: may this one be called, its origin, percent-encoding.
 */
#ifndef EXACT_URL_H
#define EXACT_URL_H

#include "postgres.h"

/*
 * Is this URL's scheme and host on exact_databricks.allowed_hosts (or allowed loopback)? If not,
 * *why (palloc'd) says it for the user.
 */
extern bool exact_url_allowed(const char *url, char **why);
/* Percent-encodes one path segment or query value (palloc'd). */
extern char *exact_url_escape(const char *value);
/* Percent-decodes (palloc'd); raises on a malformed sequence or a NUL. */
extern char *exact_url_unescape(const char *value, size_t len);
/*
 * Scheme, host and port as "https://host[:port]" in lower case, default port dropped (palloc'd);
 * NULL if not http(s).
 */
extern char *exact_url_origin(const char *url);

/*
 * May a request go to this address? The normalised address (palloc'd), *private_too: also when its
 * host resolves to a private address (host_policy.h); else NULL, and *why (palloc'd) says it for
 * the user. own: origin of public_url for the hub's call to itself, else NULL.
 */
extern char *exact_url_check(const char *text, const char *own, bool *private_too, char **why);

#endif

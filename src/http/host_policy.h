/*
 * host_policy.h - where outgoing connections may go: exact_databricks.allowed_hosts and the class
 * of an address.
 */
#ifndef EXACT_HOST_POLICY_H
#define EXACT_HOST_POLICY_H

#include "postgres.h"

struct sockaddr;

#define EXACT_HTTPS_PORT 443

typedef enum ExactAddressClass
{
	EXACT_ADDRESS_PUBLIC,
	EXACT_ADDRESS_PRIVATE,		/* RFC 1918, 4193, 6598 */
	EXACT_ADDRESS_LOOPBACK,
	EXACT_ADDRESS_NEVER			/* link-local, unspecified, multicast, reserved, not IP */
} ExactAddressClass;

extern ExactAddressClass exact_address_class(const struct sockaddr *address);

/*
 * Is this one entry of exact_databricks.allowed_hosts? [*.]label.label…[:port][/private], where an
 * IPv4 address or an IPv6 address in brackets may stand for the name.
 */
extern bool exact_host_entry_is_valid(const char *entry);

/*
 * May a request go to scheme://host:port (host in lower case, IPv6 in brackets)? *private_too: also
 * when it resolves to a private address. Not allowed: *why (palloc'd) is a sentence for the user.
 * `own` (may be NULL) is an origin that a superuser named as this hub's own: public_url; it needs
 * no entry in allowed_hosts, but https:// and a public address all the same.
 */
extern bool exact_host_allowed(const char *scheme, const char *host, int port, const char *own,
							   bool *private_too, char **why);

#endif

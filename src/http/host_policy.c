/*
 * host_policy.c - where outgoing connections may go.
 *
 * A request needs https and a host on exact_databricks.allowed_hosts; its address, once resolved, must be public, or private
 * where the entry says so. exact_databricks.insecure_loopback adds this machine, also by http. Called by http_transfer.c and url.c.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/guc.h"
#include "http/host_policy.h"

typedef struct Network
{
	uint32		prefix;
	int			bits;
	ExactAddressClass class;
} Network;

/* IANA's registry of special-purpose IPv4 addresses */
static const Network networks[] = {
	{0x7F000000, 8, EXACT_ADDRESS_LOOPBACK},
	{0x0A000000, 8, EXACT_ADDRESS_PRIVATE},
	{0xAC100000, 12, EXACT_ADDRESS_PRIVATE},
	{0xC0A80000, 16, EXACT_ADDRESS_PRIVATE},
	{0x64400000, 10, EXACT_ADDRESS_PRIVATE},	/* carrier-grade NAT */
	{0x00000000, 8, EXACT_ADDRESS_NEVER},
	{0xA9FE0000, 16, EXACT_ADDRESS_NEVER},	/* link-local, metadata services */
	{0xC0000000, 24, EXACT_ADDRESS_NEVER},
	{0xC6120000, 15, EXACT_ADDRESS_NEVER},	/* benchmarks */
	{0xE0000000, 3, EXACT_ADDRESS_NEVER},	/* multicast and reserved */
};

static ExactAddressClass
class_of_v4(uint32 address)
{
	for (size_t i = 0; i < lengthof(networks); i++)
	{
		if ((address >> (32 - networks[i].bits)) == (networks[i].prefix >> (32 - networks[i].bits)))
			return networks[i].class;
	}
	return EXACT_ADDRESS_PUBLIC;
}

static uint32
v4_at(const uint8 *bytes)
{
	return ((uint32) bytes[0] << 24) | ((uint32) bytes[1] << 16) | ((uint32) bytes[2] << 8) | bytes[3];
}

static ExactAddressClass
class_of_v6(const struct in6_addr *address)
{
	static const uint8 nat64[12] = {0x00, 0x64, 0xff, 0x9b};
	const uint8 *bytes = address->s6_addr;

	if (IN6_IS_ADDR_LOOPBACK(address))
		return EXACT_ADDRESS_LOOPBACK;
	if (IN6_IS_ADDR_V4MAPPED(address) || memcmp(bytes, nat64, sizeof(nat64)) == 0)
		return class_of_v4(v4_at(bytes + 12));
	if (bytes[0] == 0x20 && bytes[1] == 0x02)	/* 6to4 */
		return class_of_v4(v4_at(bytes + 2));
	if ((bytes[0] & 0xfe) == 0xfc)
		return EXACT_ADDRESS_PRIVATE;
	if ((bytes[0] & 0xe0) == 0x20)	/* global unicast */
		return EXACT_ADDRESS_PUBLIC;
	return EXACT_ADDRESS_NEVER;
}

ExactAddressClass
exact_address_class(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return class_of_v4(ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr));
	if (address->sa_family == AF_INET6)
		return class_of_v6(&((const struct sockaddr_in6 *) address)->sin6_addr);
	return EXACT_ADDRESS_NEVER;
}

/* localhost, 127.0.0.0/8 or [::1], as a name: what it resolves to is checked again when it is connected. */
static bool
is_loopback_name(const char *host)
{
	struct in_addr v4;

	if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &v4) == 1 && class_of_v4(ntohl(v4.s_addr)) == EXACT_ADDRESS_LOOPBACK;
}

/* Does one entry (start, len) cover host and port? Entries were checked when the setting was made. */
static bool
entry_covers(const char *entry, size_t len, const char *host, int port, bool *private_too)
{
	static const char mark[] = "/private";
	size_t		mark_len = sizeof(mark) - 1;
	size_t		host_len = strlen(host);
	size_t		name_len;
	long		entry_port = 443;

	*private_too = len > mark_len && memcmp(entry + len - mark_len, mark, mark_len) == 0;
	if (*private_too)
		len -= mark_len;
	name_len = len;
	for (size_t i = len; i-- > 0 && entry[i] != ']';)
	{
		if (entry[i] != ':')
			continue;
		name_len = i;
		entry_port = strtol(entry + i + 1, NULL, 10);
	}
	if (entry_port != port)
		return false;
	if (name_len > 2 && entry[0] == '*')
	{
		/* at least one character before the dot */
		return host_len > name_len - 1 && pg_strncasecmp(host + host_len - (name_len - 1), entry + 1, name_len - 1) == 0;
	}
	return host_len == name_len && pg_strncasecmp(host, entry, name_len) == 0;
}

static bool
host_is_listed(const char *host, int port, bool *private_too)
{
	static const char blanks[] = ", \t\r\n\"";
	const char *p = exact_allowed_hosts;

	while (*(p += strspn(p, blanks)) != '\0')
	{
		size_t		len = strcspn(p, blanks);

		if (entry_covers(p, len, host, port, private_too))
			return true;
		p += len;
	}
	*private_too = false;
	return false;
}

static bool
host_is_clean(const char *host)
{
	size_t		len = strlen(host);

	if (host[0] == '[')
		return len > 2 && host[len - 1] == ']' && strspn(host + 1, "0123456789abcdef:.") == len - 2;
	return len > 0 && strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len && host[len - 1] != '.';
}

bool
exact_host_allowed(const char *scheme, const char *host, int port, const char *own, bool *private_too, char **why)
{
	bool		loopback;

	*private_too = false;
	if (!host_is_clean(host))
	{
		*why = pstrdup("the host name has characters that it may not have");
		return false;
	}
	loopback = is_loopback_name(host);
	if (loopback && exact_insecure_loopback)
		return true;
	if (strcmp(scheme, "https") != 0)
	{
		*why = psprintf("%s:// is not allowed for host %s, only https://", scheme, host);
		return false;
	}
	if (loopback)
	{
		*why = psprintf("host %s is this machine, which only exact_databricks.insecure_loopback allows", host);
		return false;
	}
	if (host_is_listed(host, port, private_too))
		return true;
	if (own != NULL)
	{
		char	   *origin = port == 443 ? psprintf("https://%s", host) : psprintf("https://%s:%d", host, port);
		bool		same = strcmp(own, origin) == 0;

		pfree(origin);
		if (same)
			return true;
	}
	if (port == 443)
		*why = psprintf("host %s is not in exact_databricks.allowed_hosts", host);
	else
		*why = psprintf("host %s with port %d is not in exact_databricks.allowed_hosts", host, port);
	return false;
}

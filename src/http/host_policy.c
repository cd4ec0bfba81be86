/*
 * host_policy.c - where outgoing connections may go.
 *
 * A request needs https and a host on exact_databricks.allowed_hosts; its address, once resolved,
 * must be public, or private where the entry says so. exact_databricks.insecure_loopback adds this
 * machine, also by http. Called by http_transfer.c and url.c.
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
	return ((uint32) bytes[0] << 24) | ((uint32) bytes[1] << 16) |
		((uint32) bytes[2] << 8) | bytes[3];
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

/*
 * localhost, 127.0.0.0/8 or [::1], as a name: what it resolves to is checked again when it is
 * connected.
 */
static bool
is_loopback_name(const char *host)
{
	struct in_addr v4;

	if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &v4) == 1 &&
		class_of_v4(ntohl(v4.s_addr)) == EXACT_ADDRESS_LOOPBACK;
}

/* One entry of exact_databricks.allowed_hosts, as slices of its text */
typedef struct HostEntry
{
	const char *name;			/* as it is compared: of *.suffix what follows the star */
	size_t		name_len;
	bool		suffix;
	bool		private_too;
	long		port;
} HostEntry;

static bool
is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Of a host, an IPv4 address or an IPv6 address in brackets; 0 when the text begins with none. */
static size_t
name_length(const char *text, size_t len)
{
	size_t		n = 0;

	if (len > 0 && text[0] == '[')
	{
		for (n = 1; n < len && strchr("0123456789abcdefABCDEF:.", text[n]) != NULL; n++)
			;
		return n > 1 && n < len && text[n] == ']' ? n + 1 : 0;
	}
	while (n < len && (is_letter_or_digit(text[n]) || text[n] == '-' || text[n] == '.'))
	{
		if (text[n] == '.' && (n == 0 || text[n - 1] == '.'))
			return 0;
		n++;
	}
	return n > 0 && text[n - 1] == '.' ? 0 : n;
}

/*
 * The one parser of an entry. False when it is none: a name that DNS would not take, a whole
 * top-level domain, a port that is no port, anything behind it but /private.
 */
static bool
parse_entry(const char *text, size_t len, HostEntry *out)
{
	static const char mark[] = "/private";
	size_t		mark_len = sizeof(mark) - 1;
	const char *end = text + len;
	size_t		n;

	out->suffix = len > 2 && text[0] == '*' && text[1] == '.';
	n = name_length(out->suffix ? text + 2 : text, out->suffix ? len - 2 : len);
	if (n == 0 || (out->suffix && (text[2] == '[' || memchr(text + 2, '.', n) == NULL)))
		return false;
	out->name = out->suffix ? text + 1 : text;
	out->name_len = out->suffix ? n + 1 : n;

	text = out->name + out->name_len;
	out->port = EXACT_HTTPS_PORT;
	if (text < end && *text == ':')
	{
		out->port = 0;
		for (text++, n = 0; text < end && *text >= '0' && *text <= '9'; text++, n++)
			out->port = Min(out->port * 10 + (*text - '0'), PG_UINT16_MAX + 1);
		if (n == 0 || out->port < 1 || out->port > PG_UINT16_MAX)
			return false;
	}
	out->private_too = (size_t) (end - text) == mark_len && memcmp(text, mark, mark_len) == 0;
	return text == end || out->private_too;
}

bool
exact_host_entry_is_valid(const char *entry)
{
	HostEntry	parsed;

	return parse_entry(entry, strlen(entry), &parsed);
}

/* A suffix wants at least one character before its dot. */
static bool
entry_covers(const HostEntry *entry, const char *host, int port)
{
	size_t		host_len = strlen(host);

	if (entry->port != port)
		return false;
	if (entry->suffix && host_len > entry->name_len)
		host += host_len - entry->name_len;
	else if (entry->suffix || host_len != entry->name_len)
		return false;
	return pg_strncasecmp(host, entry->name, entry->name_len) == 0;
}

/* Goes by the first entry that covers the host. */
static bool
host_is_listed(const char *host, int port, bool *private_too)
{
	static const char blanks[] = ", \t\r\n\"";
	const char *p = exact_allowed_hosts;

	*private_too = false;
	while (*(p += strspn(p, blanks)) != '\0')
	{
		size_t		len = strcspn(p, blanks);
		HostEntry	entry;

		if (parse_entry(p, len, &entry) && entry_covers(&entry, host, port))
		{
			*private_too = entry.private_too;
			return true;
		}
		p += len;
	}
	return false;
}

static bool
host_is_clean(const char *host)
{
	size_t		len = strlen(host);

	if (host[0] == '[')
		return len > 2 && host[len - 1] == ']' &&
			strspn(host + 1, "0123456789abcdef:.") == len - 2;
	return len > 0 && host[len - 1] != '.' &&
		strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len;
}

static bool
is_own(const char *own, const char *host, int port)
{
	char	   *origin;
	bool		same;

	if (own == NULL)
		return false;
	if (port == EXACT_HTTPS_PORT)
		origin = psprintf("https://%s", host);
	else
		origin = psprintf("https://%s:%d", host, port);
	same = strcmp(own, origin) == 0;
	pfree(origin);
	return same;
}

/*
 * In this order: a clean name, this machine, https, the list. A loopback name on the list is
 * refused all the same.
 */
bool
exact_host_allowed(const char *scheme, const char *host, int port, const char *own,
				   bool *private_too, char **why)
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
		*why = psprintf("host %s is this machine,"
						" which only exact_databricks.insecure_loopback allows", host);
		return false;
	}
	if (host_is_listed(host, port, private_too) || is_own(own, host, port))
		return true;
	if (port == EXACT_HTTPS_PORT)
		*why = psprintf("host %s is not in exact_databricks.allowed_hosts", host);
	else
		*why = psprintf("host %s with port %d is not in exact_databricks.allowed_hosts",
						host, port);
	return false;
}

/*
 * peer.c - who is at the other end of a connection: addresses, networks, X-Forwarded-For.
 *
 * Called by http_server.c for each connection and request, and by guc.c to check a setting. Reads
 * hostile bytes.
 */
#include "base/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define IPV4_BITS 32
#define PEER_BITS 128

static const uint8 mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool
is_mapped(const ExactPeer *peer)
{
	return memcmp(peer->bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

bool
exact_peer_parse(const char *word, size_t len, ExactPeer *out)
{
	char		copy[INET6_ADDRSTRLEN];

	if (len == 0 || len >= sizeof(copy) || memchr(word, '\0', len) != NULL)
		return false;
	memcpy(copy, word, len);
	copy[len] = '\0';
	if (inet_pton(AF_INET6, copy, out->bytes) == 1)
		return true;
	memcpy(out->bytes, mapped_prefix, sizeof(mapped_prefix));
	return inet_pton(AF_INET, copy, out->bytes + sizeof(mapped_prefix)) == 1;
}

bool
exact_peer_from(const struct sockaddr *address, ExactPeer *out)
{
	if (address->sa_family == AF_INET6)
		memcpy(out->bytes, &((const struct sockaddr_in6 *) address)->sin6_addr, 16);
	else if (address->sa_family == AF_INET)
	{
		const struct sockaddr_in *v4 = (const struct sockaddr_in *) address;

		memcpy(out->bytes, mapped_prefix, sizeof(mapped_prefix));
		memcpy(out->bytes + sizeof(mapped_prefix), &v4->sin_addr, 4);
	}
	else
		return false;
	return true;
}

const char *
exact_peer_text(const ExactPeer *peer, char buffer[EXACT_PEER_TEXT])
{
	const char *word = is_mapped(peer) ?
		inet_ntop(AF_INET, peer->bytes + sizeof(mapped_prefix), buffer, EXACT_PEER_TEXT) :
		inet_ntop(AF_INET6, peer->bytes, buffer, EXACT_PEER_TEXT);

	return word ? word : "?";
}

bool
exact_peer_same_line(const ExactPeer *a, const ExactPeer *b)
{
	return is_mapped(a) == is_mapped(b) && memcmp(a->bytes, b->bytes, is_mapped(a) ? 16 : 8) == 0;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * address or address/bits. Bits of an IPv4 network count from the end of the mapped prefix; without
 * bits it is one address.
 */
static bool
parse_network(const char *word, size_t len, ExactNetwork *out)
{
	const char *slash = memchr(word, '/', len);
	size_t		address_len = slash ? (size_t) (slash - word) : len;
	int			most;
	int			bits = 0;

	if (!exact_peer_parse(word, address_len, &out->base))
		return false;
	most = is_mapped(&out->base) && memchr(word, ':', address_len) == NULL ? IPV4_BITS : PEER_BITS;
	if (slash == NULL)
	{
		out->bits = PEER_BITS;
		return true;
	}
	if (slash + 1 == word + len || word + len - slash > 4)
		return false;
	for (const char *p = slash + 1; p < word + len; p++)
	{
		if (*p < '0' || *p > '9')
			return false;
		bits = bits * 10 + (*p - '0');
	}
	out->bits = bits + (PEER_BITS - most);
	return bits <= most;
}

/* An empty list is one; an empty entry is none. */
int
exact_peer_networks(const char *list, ExactNetwork networks[EXACT_MAX_NETWORKS])
{
	int			n = 0;
	const char *p = list;

	while (is_blank(*p))
		p++;
	if (*p == '\0')
		return 0;
	for (;;)
	{
		size_t		len = strcspn(p, ",");
		const char *next = p + len;

		while (len > 0 && is_blank(*p))
			p++, len--;
		while (len > 0 && is_blank(p[len - 1]))
			len--;
		if (n == EXACT_MAX_NETWORKS || !parse_network(p, len, &networks[n]))
			return -1;
		n++;
		if (*next == '\0')
			return n;
		p = next + 1;
	}
}

bool
exact_peer_within(const ExactPeer *peer, const ExactNetwork *networks, int n)
{
	for (int i = 0; i < n; i++)
	{
		int			whole = networks[i].bits / 8;
		int			rest = networks[i].bits % 8;
		uint8		mask = (uint8) (0xff << (8 - rest));

		if (memcmp(peer->bytes, networks[i].base.bytes, whole) == 0 &&
			(rest == 0 || ((peer->bytes[whole] ^ networks[i].base.bytes[whole]) & mask) == 0))
			return true;
	}
	return false;
}

/* An entry of X-Forwarded-For: an address, some proxies write address:port or [address]:port */
static bool
parse_entry(const char *word, size_t len, ExactPeer *out)
{
	const char *end;

	if (exact_peer_parse(word, len, out))
		return true;
	if (len > 2 && word[0] == '[')
	{
		end = memchr(word, ']', len);
		return end != NULL && (end + 1 == word + len || end[1] == ':') &&
			exact_peer_parse(word + 1, end - word - 1, out);
	}
	end = memchr(word, ':', len);
	return end != NULL && exact_peer_parse(word, end - word, out);
}

/* Goes from right to left, for as long as what was found is a proxy that tells the truth. */
void
exact_peer_client(const ExactPeer *peer, const char *forwarded_for, const ExactNetwork *proxies,
				  int n, ExactPeer *client)
{
	size_t		end = forwarded_for ? strlen(forwarded_for) : 0;

	*client = *peer;
	while (end > 0 && exact_peer_within(client, proxies, n))
	{
		size_t		start = end;
		size_t		from;
		size_t		to = end;
		ExactPeer	entry;

		while (start > 0 && forwarded_for[start - 1] != ',')
			start--;
		from = start;
		while (from < to && is_blank(forwarded_for[from]))
			from++;
		while (to > from && is_blank(forwarded_for[to - 1]))
			to--;
		if (!parse_entry(forwarded_for + from, to - from, &entry))
			return;
		*client = entry;
		end = start > 0 ? start - 1 : 0;
	}
}

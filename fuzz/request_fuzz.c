/*
 * request_fuzz.c - heads of requests as the HTTP library splits them, addresses of proxies and
 * clients.
 *
 * The input is what came over the wire up to the empty line. Lines are split as forgivingly as a
 * library may: bare line feeds, blanks around colons.
 */
#include "frontend.h"

#include "arena.h"

#include "http/http_request.c"
#include "base/peer.c"

static const char *
skip(const char *p, const char *end, char c)
{
	while (p < end && *p == c)
		p++;
	return p;
}

/* Fills the given part of a head from bytes; the version is copied, the rest are slices. */
static void
split(const char *p, size_t size, ExactHead *head)
{
	static char version[64];
	const char *end = p + size;
	const char *line = p;

	memset(head, 0, sizeof(*head));
	head->size = size;
	head->method = head->target = "";
	head->version = version;
	version[0] = '\0';
	for (int n = 0; line < end && head->nheaders < EXACT_HEADERS_MAX; n++)
	{
		const char *eol = memchr(line, '\n', end - line);
		const char *stop = eol ? eol : end;

		if (stop > line && stop[-1] == '\r')
			stop--;
		if (stop == line)
			return;
		if (n == 0)
		{
			const char *blank = memchr(line, ' ', stop - line);
			const char *target = blank ? skip(blank, stop, ' ') : stop;
			const char *after = target < stop ? memchr(target, ' ', stop - target) : NULL;

			head->method = line;
			head->method_len = (blank ? blank : stop) - line;
			head->target = target;
			head->target_len = (after ? after : stop) - target;
			if (after != NULL)
				strlcpy(version, pnstrdup(after + 1, stop - after - 1), sizeof(version));
		}
		else
		{
			const char *colon = memchr(line, ':', stop - line);
			ExactHeader *header = &head->headers[head->nheaders++];

			header->name = line;
			header->name_len = (colon ? colon : stop) - line;
			header->value = colon ? skip(colon + 1, stop, ' ') : stop;
			header->value_len = stop - header->value;
			header->blanks = 0;
		}
		line = eol ? eol + 1 : end;
	}
}

/* No line end and no NUL in what the hub works with */
static bool
is_clean(const char *text, size_t len)
{
	return memchr(text, '\0', len) == NULL && memchr(text, '\r', len) == NULL &&
		memchr(text, '\n', len) == NULL;
}

static void
check_client(const char *forwarded_for)
{
	static ExactNetwork proxies[EXACT_MAX_NETWORKS];
	static int	n = -1;
	ExactPeer	peer;
	ExactPeer	client;
	char		text[EXACT_PEER_TEXT];

	if (n < 0)
		n = exact_peer_networks("127.0.0.1, 10.0.0.0/8, ::1, fd00::/8", proxies);
	HOLDS(n == 4);
	HOLDS(exact_peer_parse("192.0.2.1", 9, &peer));
	exact_peer_client(&peer, forwarded_for, proxies, n, &client);
	HOLDS(memcmp(&peer, &client, sizeof(peer)) == 0);	/* no proxy of ours wrote it */
	HOLDS(exact_peer_parse("10.1.2.3", 8, &peer));
	exact_peer_client(&peer, forwarded_for, proxies, n, &client);
	HOLDS(strchr(exact_peer_text(&client, text), '?') == NULL);
	HOLDS(exact_peer_parse(text, strlen(text), &peer) && memcmp(&peer, &client, sizeof(peer)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *bytes = palloc(size + 1);	/* NUL-terminated for the texts of settings */
	ExactHead  *head = palloc(sizeof(ExactHead));
	ExactNetwork networks[EXACT_MAX_NETWORKS];
	ExactPeer	peer;
	int			status;
	int			n;

	memcpy(bytes, data, size);
	bytes[size] = '\0';
	split(bytes, size, head);
	status = exact_request_check(head);
	HOLDS(status == 0 || status == 400 || status == 431 || status == 501);
	if (status == 0)
	{
		HOLDS(size <= EXACT_HEAD_MAX && head->path_len > 0 && head->path_len <= head->target_len &&
			  head->target[0] == '/');
		HOLDS(is_clean(head->method, head->method_len) && is_clean(head->target, head->target_len));
		for (int i = 0; i < head->nheaders; i++)
			HOLDS(is_clean(head->headers[i].name, head->headers[i].name_len) &&
				  is_clean(head->headers[i].value, head->headers[i].value_len));
		HOLDS(!(head->chunked && head->content_length > 0));
		HOLDS(strlen(head->forwarded_for) <= EXACT_HEAD_MAX);
		check_client(head->forwarded_for);
	}
	check_client(bytes);
	n = exact_peer_networks(bytes, networks);
	HOLDS(n >= -1 && n <= EXACT_MAX_NETWORKS);
	for (int i = 0; i < n; i++)
		HOLDS(networks[i].bits >= 0 && networks[i].bits <= 128 &&
			  exact_peer_within(&networks[i].base, networks, n));
	if (exact_peer_parse(bytes, size, &peer))
		HOLDS(exact_peer_same_line(&peer, &peer));
	arena_reset();
	return 0;
}

/*
 * peer.h - who is at the other end of a connection: addresses, networks, X-Forwarded-For.
 *
 * Pure reading of texts: no server calls, nothing raises, so that it compiles FRONTEND for fuzzing.
 */
#ifndef EXACT_PEER_H
#define EXACT_PEER_H

#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <sys/socket.h>

#define EXACT_PEER_TEXT 48		/* bytes that any address takes as word */
#define EXACT_MAX_NETWORKS 64

/* An IPv6 address; IPv4 ones in their mapped form ::ffff:a.b.c.d */
typedef struct ExactPeer
{
	uint8		bytes[16];
} ExactPeer;

typedef struct ExactNetwork
{
	ExactPeer	base;
	int			bits;			/* 0-128, of the mapped form */
} ExactNetwork;

/* Is there an IP address in these bytes, and nothing else? */
extern bool exact_peer_parse(const char *word, size_t len, ExactPeer *out);
/* False for another family. */
extern bool exact_peer_from(const struct sockaddr *address, ExactPeer *out);
extern const char *exact_peer_text(const ExactPeer *peer, char buffer[EXACT_PEER_TEXT]);
/* The same customer line: equal IPv4 addresses, or IPv6 addresses of one /64. */
extern bool exact_peer_same_line(const ExactPeer *a, const ExactPeer *b);

/*
 * Reads "10.0.0.1, 192.168.0.0/16, fd00::/8" into at most EXACT_MAX_NETWORKS networks; how many, -1
 * when it is no such list.
 */
extern int	exact_peer_networks(const char *list, ExactNetwork networks[EXACT_MAX_NETWORKS]);
extern bool exact_peer_within(const ExactPeer *peer, const ExactNetwork *networks, int n);

/*
 * The client behind a connection: the peer itself unless it is one of the proxies; else the
 * rightmost address of the values of X-Forwarded-For (joined with commas; may be NULL) that is no
 * proxy. What stands left of an unreadable entry was not written by a proxy: the entry's writer is
 * the client then.
 */
extern void exact_peer_client(const ExactPeer *peer, const char *forwarded_for,
							  const ExactNetwork *proxies, int n, ExactPeer *client);

#endif

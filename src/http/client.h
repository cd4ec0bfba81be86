/*
 * client.h - who is connected to the listener: limits, deadlines and who makes room.
 *
 * Every connection has 10 s to complete a request, counted from its acceptance or its last reply,
 * and 10 s to take a reply.
 */
#ifndef EXACT_CLIENT_H
#define EXACT_CLIENT_H

#include "postgres.h"

#include "lib/ilist.h"

#include "base/peer.h"

typedef struct ExactClientLine ExactClientLine;

typedef struct ExactClient
{
	dlist_node	node;			/* while it is waited for: in order of deadline */
	bool		waits;
	bool		proven;			/* has completed a request */
	/* its socket is shut; whoever reads it finds that and calls exact_client_free */
	bool		closing;
	int64		deadline;
	int			fd;
	int			idle_requests;	/* that were no notification */
	ExactPeer	peer;
	ExactClientLine *line;		/* whom it is counted for */
	dlist_node	line_node;		/* in that line, while it is not closing */
	dlist_node	arrival;		/* http_server.c's, until libmicrohttpd has told of it */
} ExactClient;

/* Limits and proxies as now configured; trusted proxies have no limit by address. */
extern void exact_client_configure(int connections, int per_address, const char *proxies);

/*
 * A new connection (malloc'ed) that is waited for; NULL when there is no room. A tenth of the
 * places is for lines that hold none. When there is no place, the line that holds most gives one
 * up, whatever it does; where none holds more than the others, the oldest that has not completed a
 * request yet makes room, else the one that was silent longest, unless it is very young or spoke
 * just now.
 */
extern ExactClient *exact_client_new(int fd, const ExactPeer *peer);
/* The socket was closed. */
extern void exact_client_free(ExactClient *client);

/* Waits 10 s from now for what it does next */
extern void exact_client_wait(ExactClient *client);
/* It has completed a request. */
extern void exact_client_prove(ExactClient *client);
/* It is we who have something to do. */
extern void exact_client_busy(ExactClient *client);
extern void exact_client_shut(ExactClient *client);
/* It asked for something that is no notification; true when it did so often enough. */
extern bool exact_client_idles(ExactClient *client);
/* Shuts those whose time is over; how many. */
extern int	exact_client_expire(void);
/* ms until the next one's time is over, -1 = none is waited for */
extern long exact_client_timeout(void);

/*
 * Who asks, see exact_peer_client. From here on the connection is counted for the line of that
 * client.
 */
extern void exact_client_origin(ExactClient *client, const char *forwarded_for, ExactPeer *origin);
extern int	exact_client_count(void);
/* How many had to make room, since the process started */
extern uint64 exact_client_evicted(void);

#endif

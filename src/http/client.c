/*
 * client.c - who is connected to the listener: limits, deadlines and who makes room.
 *
 * A connection is counted for a line: that of its address, or of the client that a trusted proxy
 * names. Called by http_server.c, also from inside libmicrohttpd: memory is malloc'ed and nothing
 * raises.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "storage/fd.h"

#include "base/clock.h"
#include "base/peer.h"
#include "http/client.h"

#define WAIT_MS 10000
#define EVICT_NEW_MS 50			/* whoever made no request within this time makes room */
#define EVICT_IDLE_MS 1000		/* whoever made none again */
#define SPARE_FILES 128			/* descriptors left to the server's own files */
#define FEWEST 8
#define SPARED_PART 10			/* 1 of so many places is for lines that hold none */
#define IDLE_REQUESTS 32		/* a connection ends after so many that were no notification */

/* Both in order of deadline: those that have not completed a request yet, and those that have */
enum
{
	NEW,
	PROVEN,
	NLISTS
};
static dlist_head waiting[NLISTS] = {
	DLIST_STATIC_INIT(waiting[NEW]), DLIST_STATIC_INIT(waiting[PROVEN])
};

/* Connections of one address line that are not closing */
struct ExactClientLine
{
	dlist_node	node;
	ExactPeer	peer;			/* one of the line */
	int			n;
	dlist_head	clients;
};
static dlist_head lines = DLIST_STATIC_INIT(lines);

static int	nopen = 0;
static int	nclosing = 0;			/* of these */
static uint64 nevicted = 0;

static int	max_open = 512;
static int	max_per_address = 128;
static ExactNetwork proxies[EXACT_MAX_NETWORKS];
static int	nproxies = 0;

void
exact_client_configure(int connections, int per_address, const char *trusted)
{
	max_open = connections;
	max_per_address = per_address;
	nproxies = Max(exact_peer_networks(trusted, proxies), 0);
}

/* ---- lines ---- */

/* NULL when it holds no connection. */
static ExactClientLine *
find_line(const ExactPeer *peer)
{
	dlist_iter	iter;

	dlist_foreach(iter, &lines)
	{
		ExactClientLine *line = dlist_container(ExactClientLine, node, iter.cur);

		if (exact_peer_same_line(&line->peer, peer))
			return line;
	}
	return NULL;
}

static void
leave_line(ExactClient *client)
{
	ExactClientLine *line = client->line;

	if (line == NULL)
		return;
	dlist_delete(&client->line_node);
	client->line = NULL;
	if (--line->n > 0)
		return;
	dlist_delete(&line->node);
	free(line);
}

/* False, and it stays where it is, without memory. */
static bool
join_line(ExactClient *client, const ExactPeer *peer)
{
	ExactClientLine *line = find_line(peer);

	if (line == NULL)
	{
		line = calloc(1, sizeof(ExactClientLine));
		if (line == NULL)
			return false;
		line->peer = *peer;
		dlist_init(&line->clients);
		dlist_push_tail(&lines, &line->node);
	}
	line->n++;
	leave_line(client);
	client->line = line;
	dlist_push_tail(&line->clients, &client->line_node);
	return true;
}

static ExactClientLine *
fullest_line(void)
{
	ExactClientLine *fullest = NULL;
	dlist_iter	iter;

	dlist_foreach(iter, &lines)
	{
		ExactClientLine *line = dlist_container(ExactClientLine, node, iter.cur);

		if (fullest == NULL || line->n > fullest->n)
			fullest = line;
	}
	return fullest;
}

/* How soon one would have to go: those that never completed a request first, busy ones last */
static int
rank(const ExactClient *client)
{
	if (!client->waits)
		return 2;
	return client->proven ? 1 : 0;
}

/* The one of a line that does least, of these the one silent longest; the line has one */
static ExactClient *
least_of(ExactClientLine *line)
{
	ExactClient *least = dlist_head_element(ExactClient, line_node, &line->clients);
	dlist_iter	iter;

	dlist_foreach(iter, &line->clients)
	{
		ExactClient *client = dlist_container(ExactClient, line_node, iter.cur);

		if (rank(client) < rank(least) ||
			(rank(client) == rank(least) && client->deadline < least->deadline))
			least = client;
	}
	return least;
}

/* ---- one connection ---- */

void
exact_client_wait(ExactClient *client)
{
	if (client->closing)
		return;
	if (client->waits)
		dlist_delete(&client->node);
	client->deadline = exact_clock_monotonic_ms() + WAIT_MS;
	client->waits = true;
	dlist_push_tail(&waiting[client->proven ? PROVEN : NEW], &client->node);
}

void
exact_client_prove(ExactClient *client)
{
	exact_client_busy(client);
	client->proven = true;
}

void
exact_client_busy(ExactClient *client)
{
	if (client->waits)
		dlist_delete(&client->node);
	client->waits = false;
}

void
exact_client_shut(ExactClient *client)
{
	exact_client_busy(client);
	leave_line(client);
	nclosing += !client->closing;
	client->closing = true;
	shutdown(client->fd, SHUT_RDWR);
}

bool
exact_client_idles(ExactClient *client)
{
	return ++client->idle_requests >= IDLE_REQUESTS;
}

/* The one whose time is over first; NULL when none waits. */
static ExactClient *
first_of(int list)
{
	if (dlist_is_empty(&waiting[list]))
		return NULL;
	return dlist_head_element(ExactClient, node, &waiting[list]);
}

/* ---- places ---- */

/* It has as many as one line may hold. */
static bool
has_its_share(const ExactPeer *peer, int held)
{
	return held >= max_per_address && !exact_peer_within(peer, proxies, nproxies);
}

static void
evict(ExactClient *client)
{
	exact_client_shut(client);
	nevicted++;
}

/*
 * The oldest that was silent for a while makes room for one whose line holds so many, unless its
 * own line holds fewer.
 */
static bool
evict_silent(int held)
{
	for (int list = 0; list < NLISTS; list++)
	{
		int64		spared_ms = list == NEW ? EVICT_NEW_MS : EVICT_IDLE_MS;
		int64		latest = exact_clock_monotonic_ms() + WAIT_MS - spared_ms;
		dlist_iter	iter;

		dlist_foreach(iter, &waiting[list])
		{
			ExactClient *client = dlist_container(ExactClient, node, iter.cur);

			if (client->deadline > latest)
				break;
			if (client->line == NULL || client->line->n < held)
				continue;
			evict(client);
			return true;
		}
	}
	return false;
}

/*
 * Is there a place for one whose line holds so many, or can one be made? The line that holds most
 * gives one up when the newcomer's line still holds no more than it afterwards. One that is shut
 * counts no more, though it is still open.
 */
static bool
have_room(int held)
{
	int			limit = Max(Min(max_open, max_safe_fds - SPARE_FILES), FEWEST);
	int			spared = held > 0 ? Max(limit / SPARED_PART, 1) : 0;
	ExactClientLine *fullest;

	if (nopen - nclosing < limit - spared)
		return true;
	fullest = fullest_line();
	if (fullest != NULL && fullest->n > held + 1)
	{
		evict(least_of(fullest));
		return true;
	}
	return evict_silent(held);
}

ExactClient *
exact_client_new(int fd, const ExactPeer *peer)
{
	const ExactClientLine *line = find_line(peer);
	int			held = line ? line->n : 0;
	ExactClient *client;

	if (has_its_share(peer, held) || !have_room(held))
		return NULL;
	client = calloc(1, sizeof(ExactClient));
	if (client == NULL)
		return NULL;
	if (!join_line(client, peer))
	{
		free(client);
		return NULL;
	}
	client->fd = fd;
	client->peer = *peer;
	ReserveExternalFD();
	nopen++;
	exact_client_wait(client);
	return client;
}

void
exact_client_free(ExactClient *client)
{
	exact_client_busy(client);
	leave_line(client);
	nclosing -= client->closing;
	nopen--;
	ReleaseExternalFD();
	free(client);
}

int
exact_client_expire(void)
{
	int64		now = exact_clock_monotonic_ms();
	int			n = 0;

	for (int list = 0; list < NLISTS; list++)
	{
		ExactClient *client;

		while ((client = first_of(list)) != NULL && client->deadline <= now)
		{
			exact_client_shut(client);
			n++;
		}
	}
	return n;
}

long
exact_client_timeout(void)
{
	int64		first = PG_INT64_MAX;

	for (int list = 0; list < NLISTS; list++)
	{
		ExactClient *client = first_of(list);

		if (client != NULL)
			first = Min(first, client->deadline);
	}
	return first == PG_INT64_MAX ? -1 : (long) Max(first - exact_clock_monotonic_ms(), 1);
}

void
exact_client_origin(ExactClient *client, const char *forwarded_for, ExactPeer *origin)
{
	exact_peer_client(&client->peer, forwarded_for, proxies, nproxies, origin);
	if (client->line != NULL && !exact_peer_same_line(&client->line->peer, origin))
		(void) join_line(client, origin);
}

int
exact_client_count(void)
{
	return nopen;
}

uint64
exact_client_evicted(void)
{
	return nevicted;
}

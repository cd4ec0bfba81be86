/*
 * client.c - who is connected to the listener: limits and deadlines of connections.
 *
 * Called by http_server.c, also from inside libmicrohttpd: memory is malloc'ed and nothing raises.
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
	nclosing += !client->closing;
	client->closing = true;
	shutdown(client->fd, SHUT_RDWR);
}

/* The one whose time is over first; NULL when none waits. */
static ExactClient *
first_of(int list)
{
	if (dlist_is_empty(&waiting[list]))
		return NULL;
	return dlist_head_element(ExactClient, node, &waiting[list]);
}

static bool
has_its_share(const ExactPeer *peer)
{
	int			n = 0;

	if (exact_peer_within(peer, proxies, nproxies))
		return false;
	for (int list = 0; list < NLISTS; list++)
	{
		dlist_iter	iter;

		dlist_foreach(iter, &waiting[list])
		{
			const ExactClient *other = dlist_container(ExactClient, node, iter.cur);

			if (exact_peer_same_line(&other->peer, peer) && ++n >= max_per_address)
				return true;
		}
	}
	return false;
}

/*
 * Is there a place, or can one be made? One that is shut counts no more, though it is still open.
 */
static bool
have_room(void)
{
	int			limit = Max(Min(max_open, max_safe_fds - SPARE_FILES), FEWEST);

	for (int list = 0; list < NLISTS && nopen - nclosing >= limit; list++)
	{
		ExactClient *oldest = first_of(list);
		int			spared_ms = list == NEW ? EVICT_NEW_MS : EVICT_IDLE_MS;

		if (oldest == NULL || oldest->deadline - exact_clock_monotonic_ms() > WAIT_MS - spared_ms)
			continue;
		exact_client_shut(oldest);
		nevicted++;
	}
	return nopen - nclosing < limit;
}

ExactClient *
exact_client_new(int fd, const ExactPeer *peer)
{
	ExactClient *client;

	if (has_its_share(peer) || !have_room())
		return NULL;
	client = calloc(1, sizeof(ExactClient));
	if (client == NULL)
		return NULL;
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
exact_client_origin(const ExactClient *client, const char *forwarded_for, ExactPeer *origin)
{
	exact_peer_client(&client->peer, forwarded_for, proxies, nproxies, origin);
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

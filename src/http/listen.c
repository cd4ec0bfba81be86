/*
 * listen.c - the sockets at which the listener takes connections.
 *
 * Called by http_server.c. Names are resolved once, when the sockets are opened.
 */
#include "postgres.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "storage/fd.h"

#include "base/peer.h"
#include "http/listen.h"

#define MAX_SOCKETS 16
#define BACKLOG 1024

static int	sockets[MAX_SOCKETS];
static int	nsockets = 0;

static char *
place_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t	len = sizeof(address);
	ExactPeer	peer;
	char		text[EXACT_PEER_TEXT];
	int			port;

	if (getsockname(fd, (struct sockaddr *) &address, &len) != 0 ||
		!exact_peer_from((struct sockaddr *) &address, &peer))
		return pstrdup("?");
	if (address.ss_family == AF_INET6)
		port = ntohs(((struct sockaddr_in6 *) &address)->sin6_port);
	else
		port = ntohs(((struct sockaddr_in *) &address)->sin_port);
	exact_peer_text(&peer, text);
	return psprintf(strchr(text, ':') ? "[%s]:%d" : "%s:%d", text, port);
}

char *
exact_listen_places(void)
{
	char	   *places = "";

	for (int i = 0; i < nsockets; i++)
		places = psprintf("%s%s%s", places, i > 0 ? ", " : "", place_of(sockets[i]));
	return places;
}

int
exact_listen_socket(int n)
{
	return n < nsockets ? sockets[n] : -1;
}

void
exact_listen_close(void)
{
	for (int i = 0; i < nsockets; i++)
	{
		close(sockets[i]);
		ReleaseExternalFD();
	}
	nsockets = 0;
}

/*
 * One socket; false with *why. A family that the machine does not have is no error of an address
 * that stands for all.
 */
static bool
listen_at(const struct addrinfo *info, const char *name, int port, char **why)
{
	int			on = 1;
	int			fd;

	if (nsockets == MAX_SOCKETS)
	{
		*why = psprintf("exact_databricks.listen_addresses names more than %d addresses",
						MAX_SOCKETS);
		return false;
	}
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && name == NULL)
		return true;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		(info->ai_family == AF_INET6 &&
		 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
		bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)
	{
		*why = psprintf("cannot listen at %s port %d: %s", name ? name : "*", port,
						strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	ReserveExternalFD();
	sockets[nsockets++] = fd;
	return true;
}

static bool
listen_at_name(const char *name, int port, char **why)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE
	};
	struct addrinfo *found = NULL;
	char		service[16];
	int			failed;
	bool		good = true;

	if (strcmp(name, "*") == 0)
		name = NULL;
	snprintf(service, sizeof(service), "%d", port);
	failed = getaddrinfo(name, service, &hints, &found);
	if (failed != 0)
	{
		*why = psprintf("cannot listen at %s: %s", name ? name : "*", gai_strerror(failed));
		return false;
	}
	for (struct addrinfo *info = found; info != NULL && good; info = info->ai_next)
		good = listen_at(info, name, port, why);
	freeaddrinfo(found);
	return good;
}

bool
exact_listen_open(const char *addresses, int port, char **why)
{
	char	   *copy = pstrdup(addresses);
	char	   *rest = NULL;

	for (char *name = strtok_r(copy, ", ", &rest); name != NULL; name = strtok_r(NULL, ", ", &rest))
	{
		if (!listen_at_name(name, port, why))
		{
			exact_listen_close();
			return false;
		}
	}
	return true;
}

/*
 * paced.c - sends requests at a fixed rate and measures each from the moment at which it was due,
 * so that a stall counts for all that had to wait behind it.
 *
 *   paced FROM PORT RATE SECONDS CONNECTIONS FILE LENGTH
 *
 * FROM is the local address; the file holds requests of LENGTH bytes. Prints one line of JSON:
 * answers by kind, latencies in µs.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DRAIN_US 10000000
#define Min(a, b) ((a) < (b) ? (a) : (b))

typedef struct Connection
{
	int			fd;
	int			busy;
	int64_t		due;
	char		answer[4096];
	size_t		have;
} Connection;

static struct sockaddr_in from,
			to;
static long good, other, broken, unsent;
static uint32_t *latencies;
static long nlatencies;

static int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void
open_connection(Connection *c, int epoll)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	int			on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || bind(c->fd, (struct sockaddr *) &from, sizeof(from)) != 0 ||
		connect(c->fd, (struct sockaddr *) &to, sizeof(to)) != 0)
	{
		if (c->fd >= 0)
			close(c->fd);
		c->fd = -1;
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
	c->busy = 0;
	c->have = 0;
}

static void
end(Connection *c, int epoll)
{
	if (c->busy)
		broken++;
	close(c->fd);
	open_connection(c, epoll);
}

static void
receive(Connection *c, int epoll)
{
	ssize_t		n = read(c->fd, c->answer + c->have, sizeof(c->answer) - 1 - c->have);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || !c->busy)
	{
		end(c, epoll);
		return;
	}
	c->have += n;
	c->answer[c->have] = '\0';
	if (strstr(c->answer, "\r\n\r\n") == NULL)
		return;
	latencies[nlatencies++] = (uint32_t) (now_us() - c->due);
	if (strncmp(c->answer, "HTTP/1.1 200 ", 13) == 0)
		good++;
	else
		other++;
	c->busy = 0;
	c->have = 0;
	if (strstr(c->answer, "onnection: close") != NULL)
		end(c, epoll);
}

static int
compare(const void *a, const void *b)
{
	uint32_t	x = *(const uint32_t *) a;
	uint32_t	y = *(const uint32_t *) b;

	return (x > y) - (x < y);
}

static uint32_t
percentile(double share)
{
	return nlatencies == 0 ? 0 : latencies[(long) (share * (nlatencies - 1))];
}

int
main(int argc, char **argv)
{
	if (argc != 8)
	{
		fprintf(stderr, "usage: paced FROM PORT RATE SECONDS CONNECTIONS FILE LENGTH\n");
		return 2;
	}
	long		rate = atol(argv[3]),
				total = rate * atol(argv[4]),
				nconnections = atol(argv[5]),
				length = atol(argv[7]),
				sent = 0,
				next = 0;
	FILE	   *file = fopen(argv[6], "rb");
	char	   *request = malloc(length);
	Connection *connections = calloc(nconnections, sizeof(Connection));
	int			epoll = epoll_create1(EPOLL_CLOEXEC);
	int64_t		start,
				last = 0;

	latencies = malloc(sizeof(uint32_t) * total);
	if (!file || !request || !connections || !latencies)
		return 1;
	from.sin_family = to.sin_family = AF_INET;
	inet_pton(AF_INET, argv[1], &from.sin_addr);
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	to.sin_port = htons(atoi(argv[2]));
	for (long i = 0; i < nconnections; i++)
		open_connection(&connections[i], epoll);
	start = now_us();
	for (;;)
	{
		struct epoll_event events[64];
		int64_t		now = now_us();
		int64_t		due = start + sent * 1000000 / rate;
		struct timespec wait = {0, 0};
		int			n;

		/* a request whose connection is not free waits, and its time runs */
		while (sent < total && due <= now)
		{
			long		tried = 0;
			Connection *c;

			while (tried < nconnections && (connections[next % nconnections].busy ||
											connections[next % nconnections].fd < 0))
			{
				if (connections[next % nconnections].fd < 0)
					open_connection(&connections[next % nconnections], epoll);
				if (connections[next % nconnections].fd >= 0 &&
					!connections[next % nconnections].busy)
					break;
				tried++;
				next++;
			}
			if (tried == nconnections)
				break;
			c = &connections[next++ % nconnections];
			if (fread(request, 1, length, file) != (size_t) length)
			{
				total = sent;
				break;
			}
			c->busy = 1;
			c->due = due;
			if (write(c->fd, request, length) != length)
			{
				unsent++;
				c->busy = 0;
				end(c, epoll);
			}
			sent++;
			due = start + sent * 1000000 / rate;
		}
		if (sent >= total)
		{
			int			busy = 0;

			if (last == 0)
				last = now;
			for (long i = 0; i < nconnections; i++)
				busy += connections[i].busy;
			if (busy == 0 || now - last > DRAIN_US)
				break;
		}
		/*
		 * to the microsecond, and without a loop that would take a processor away from what is
		 * measured
		 */
		wait.tv_nsec = 1000 * (sent >= total ? 100000 : due > now ? Min(due - now, 100000) : 1000);
		n = epoll_pwait2(epoll, events, 64, &wait, NULL);
		for (int i = 0; i < n; i++)
			receive(events[i].data.ptr, epoll);
	}
	qsort(latencies, nlatencies, sizeof(uint32_t), compare);
	printf("{\"sent\": %ld, \"good\": %ld, \"other\": %ld, \"broken\": %ld, \"unsent\": %ld, "
		   "\"p50\": %u, \"p99\": %u, \"p999\": %u, \"max\": %u}\n",
		   sent, good, other, broken, unsent, percentile(0.5), percentile(0.99), percentile(0.999),
		   percentile(1));
	return 0;
}

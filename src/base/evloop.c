/*
 * evloop.c - the one wait of a worker.
 *
 * A WaitEventSet cannot lose members in PostgreSQL 15, and sockets of transfers come and go: so
 * they live in a private epoll descriptor, and that one is the only socket of a WaitEventSet made
 * once. Called by worker.c (wait), http_client.c and
 * http_server.c (watch).
 */
#include "postgres.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"

#include "base/compat.h"
#include "base/evloop.h"

#define EVENTS_AT_ONCE 64
#define NWAITS 3				/* latch, postmaster death, the epoll descriptor */

static WaitEventSet *wait_set = NULL;
static int	epoll_fd = -1;
static ExactIoHandler io_handler = NULL;

void
exact_evloop_init(void)
{
	Assert(wait_set == NULL);
	ReserveExternalFD();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create an epoll descriptor: %m")));

	wait_set = exact_wait_event_set(NWAITS);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, epoll_fd, NULL, NULL);
}

void
exact_evloop_set_handler(ExactIoHandler handler)
{
	io_handler = handler;
}

int
exact_evloop_watch(int fd, uint32 events)
{
	struct epoll_event event;

	memset(&event, 0, sizeof(event));
	event.events = events;
	event.data.fd = fd;
	if (events == 0)
		return epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &event);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

void
exact_evloop_wait(long timeout_ms)
{
	WaitEvent	events[NWAITS];

	(void) WaitEventSetWait(wait_set, timeout_ms, events, lengthof(events), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

void
exact_evloop_dispatch(void)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int			n = epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, 0);

	for (int i = 0; i < n; i++)
		io_handler(events[i].data.fd, events[i].events);
}

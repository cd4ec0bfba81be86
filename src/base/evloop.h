/*
 * evloop.h - the one wait of a worker: latch, postmaster death and one epoll descriptor that
 * gathers all sockets.
 */
#ifndef EXACT_EVLOOP_H
#define EXACT_EVLOOP_H

#include "postgres.h"

typedef void (*ExactIoHandler) (int fd, uint32 events);

/* Once a process, after the latch is owned. */
extern void exact_evloop_init(void);
/* Who is told about ready sockets */
extern void exact_evloop_set_handler(ExactIoHandler handler);
/*
 * Watches fd for EPOLLIN/EPOLLOUT; 0 forgets it. Never throws, so it may be called inside a foreign
 * library's callback.
 */
extern int	exact_evloop_watch(int fd, uint32 events);
/* Waits at most timeout_ms (-1 = for ever) and resets the latch. Does not check for interrupts. */
extern void exact_evloop_wait(long timeout_ms);
/* Tells the handler about every socket that is ready now. */
extern void exact_evloop_dispatch(void);

#endif

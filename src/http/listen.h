/*
 * listen.h - the sockets at which the listener takes connections.
 */
#ifndef EXACT_LISTEN_H
#define EXACT_LISTEN_H

#include "postgres.h"

/*
 * Opens a socket at each of the addresses (comma-separated IPv4 and IPv6 addresses and host names;
 * * = all). False, with nothing open and a palloc'd sentence in *why, when one of them cannot be
 * used.
 */
extern bool exact_listen_open(const char *addresses, int port, char **why);
/* The descriptor of socket n from 0; -1 beyond the last. */
extern int	exact_listen_socket(int n);
/* Where it listens, "127.0.0.1:8480, [::1]:8480" (palloc'd) */
extern char *exact_listen_places(void);
extern void exact_listen_close(void);

#endif

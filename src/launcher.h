/*
 * launcher.h - the process that starts all others, see launcher.c.
 */
#ifndef EXACT_LAUNCHER_H
#define EXACT_LAUNCHER_H

/* Registers the launcher; called by _PG_init while the server preloads libraries. */
extern void exact_launcher_register(void);

#endif

/*
 * installation.h - what the fetcher does when an epoch begins.
 */
#ifndef EXACT_INSTALLATION_H
#define EXACT_INSTALLATION_H

/* In a unit, once at the fetcher's start: after adopt(), fence(), a promotion or a restore every feed is read from its start. */
extern void exact_installation_reread(void);

#endif

/*
 * epoch.h - what the fetcher does when an epoch begins.
 */
#ifndef EXACT_EPOCH_H
#define EXACT_EPOCH_H

/*
 * In a unit, once at the fetcher's start: after adopt(), fence(), a promotion or a restore every
 * feed is read from its start.
 */
extern void exact_epoch_reread(void);

#endif

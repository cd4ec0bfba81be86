/*
 * watch.h - looks how the hub does, for the time line and the page.
 */
#ifndef EXACT_WATCH_H
#define EXACT_WATCH_H

/*
 * Each minute, in no transaction: notes which lights changed. Returns ms until it wants to be
 * called again.
 */
extern long exact_watch_turn(void);

#endif

/*
 * ping_exact.h - the fetcher's part of exact.ping().
 */
#ifndef EXACT_PING_EXACT_H
#define EXACT_PING_EXACT_H

#include "worker/ask.h"

/*
 * Tries every app and every enabled division, one after the other, and answers when all are done.
 */
extern void exact_ping_exact(ExactAsk *ask);

/* One small call, to learn whether it is answered; the answer is for worker/service.c. */
extern void exact_ping_app(const char *app);

#endif

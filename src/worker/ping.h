/*
 * ping.h - the rows of the answer to exact.ping(): can each app, division and workspace be reached?
 *
 * A JSON array of {side, name, ok, latency_ms, finding, next_step}, one by the fetcher, one by the
 * loader.
 */
#ifndef EXACT_PING_H
#define EXACT_PING_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "base/fault.h"
#include "worker/ask.h"

typedef struct ExactPing
{
	MemoryContext context;		/* holds all that belongs to it */
	ExactAsk   *ask;
	StringInfoData rows;
} ExactPing;

extern ExactPing *exact_ping_open(ExactAsk *ask);
/* What went wrong, as a finding: the message, and its detail in brackets. */
extern const char *exact_ping_finding(const ExactFault *fault);
/* One thing that was tried. ms: how long it took, -1: nothing was asked; next_step may be NULL */
extern void exact_ping_add(ExactPing *ping, const char *side, const char *name, bool ok, double ms,
						   const char *finding, const char *next_step);
/* Answers the question and frees the rows. */
extern void exact_ping_close(ExactPing *ping);

#endif

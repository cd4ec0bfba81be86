/*
 * callback.h - the page to which Exact Online sends a browser after the consent.
 */
#ifndef EXACT_CALLBACK_H
#define EXACT_CALLBACK_H

#include "base/fault.h"
#include "http/http_server.h"

/*
 * Takes over a request for the page; refuse: why the listener must not work now, NULL = it may.
 * Answers it now or in a later turn.
 */
extern void exact_callback_start(ExactRequest *request, const ExactFault *refuse);
/* Moves those on that wait for the fetcher; ms until the next call is wanted, -1 = none waits. */
extern long exact_callback_run(void);

#endif

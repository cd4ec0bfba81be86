/*
 * token_call.h - calls of Exact Online's token endpoint, and what comes of each (fetcher only).
 *
 * Outside a unit. When a call and all that follows from it has ended, the chain's on_idle is
 * called.
 */
#ifndef EXACT_TOKEN_CALL_H
#define EXACT_TOKEN_CALL_H

#include "auth/token_chain.h"

/*
 * The chain is IDLE: sends its refresh token, or the authorisation code that waits. A refresh that
 * cannot be sent is answered to all who wait; on_idle is not called then.
 */
extern void exact_token_call_refresh(ExactTokenChain *chain);
extern void exact_token_call_exchange(ExactTokenChain *chain);

/* The timer of a chain has passed. */
extern void exact_token_call_timer(ExactTokenChain *chain);

#endif

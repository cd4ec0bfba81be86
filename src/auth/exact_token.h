/*
 * exact_token.h - access tokens of Exact Online, from a rotating chain per app (fetcher only).
 */
#ifndef EXACT_EXACT_TOKEN_H
#define EXACT_EXACT_TOKEN_H

#include "auth/token.h"

/* Outside a unit; done is called once, at once or later. */
extern void exact_token_get(const char *app, ExactTokenDone done, void *arg);

/*
 * The service answered 401 to the token with this id: if it is still the current one it is not used
 * again, and the next get refreshes when allowed.
 */
extern void exact_token_rejected(const char *app, int64 id);

/* Exchanges an authorisation code; done as above (OK = committed). */
extern void exact_token_authorize(const char *app, const char *code, const char *redirect_uri,
								  ExactTokenDone done, void *arg);

/*
 * What got no answer of the service may be tried at once, and a token that it refused once more: it
 * is back, or what kept it from being called may have been mended. certain: also a refresh whose
 * outcome is unclear.
 */
extern void exact_token_hurry(const char *app, bool certain);

/* Called each turn: keep-alive of idle chains. Returns ms until it wants the next turn. */
extern long exact_token_turn(void);

#endif

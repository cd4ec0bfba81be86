/*
 * token.h - access tokens: Exact Online's rotating chain (exact_token.c, fetcher only) and Databricks' (databricks_token.c, loader only).
 *
 * Callers ask with a callback; it is called at once when a fresh token is at hand, else when the refresh has been committed.
 * One refresh per app or workspace is in flight at most; other callers wait for it.
 */
#ifndef EXACT_TOKEN_H
#define EXACT_TOKEN_H

#include "utils/timestamp.h"

#include "auth/secret.h"
#include "base/fault.h"

typedef enum ExactTokenState
{
	EXACT_TOKEN_OK,				/* token is set */
	EXACT_TOKEN_WAIT,			/* not now: retry_at says when (service down, unknown outcome pending) */
	EXACT_TOKEN_REAUTHORIZE,	/* a human must consent again, or credentials are missing or refused; fault says what to do */
} ExactTokenState;

typedef struct ExactTokenAnswer
{
	ExactTokenState state;
	const ExactSecret *token;	/* valid while the callback runs */
	const ExactFault *fault;	/* unless OK */
	TimestampTz retry_at;		/* for WAIT */
	int64		id;				/* of an Exact Online token: for exact_token_rejected */
} ExactTokenAnswer;

typedef void (*ExactTokenDone) (const ExactTokenAnswer *answer, void *arg);

/* Exact Online */
extern void exact_token_get(const char *app, ExactTokenDone done, void *arg);
/* The service answered 401 to the token with this id: if it is still the current one it is not used again, and the next get refreshes when allowed. */
extern void exact_token_rejected(const char *app, int64 id);
/* Exchanges an authorisation code; done as above (OK = committed). */
extern void exact_token_authorize(const char *app, const char *code, const char *redirect_uri, ExactTokenDone done, void *arg);
/* Called each turn: keep-alive of idle chains; returns ms until it wants the next turn, -1 = none. */
extern long exact_token_turn(void);
/* Base URL of an app (base_url or the region's host), palloc'd; raises EX0xx with hint. In a unit. */
extern char *exact_app_base_url(const char *app);

/* Databricks */
extern void exact_databricks_token_get(const char *workspace, ExactTokenDone done, void *arg);
extern void exact_databricks_token_rejected(const char *workspace);	/* 401, or 403 about the token: one forced renewal */
/* Normalised origin of a workspace (databricks.md §1.1) and its workspace id for the routing header (NULL if none), palloc'd; raises with hint. In a unit. */
extern char *exact_workspace_origin(const char *workspace, char **workspace_id);

#endif

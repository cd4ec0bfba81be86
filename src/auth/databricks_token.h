/*
 * databricks_token.h - access tokens for Databricks, one per workspace (loader only).
 */
#ifndef EXACT_DATABRICKS_TOKEN_H
#define EXACT_DATABRICKS_TOKEN_H

#include "auth/token.h"

/* Outside a unit; done is called once, at once or later. */
extern void exact_databricks_token_get(const char *workspace, ExactTokenDone done, void *arg);

/* 401, or 403 about the token: one forced renewal */
extern void exact_databricks_token_rejected(const char *workspace);

/*
 * What failed may be tried at once: the service answers again, or what kept it from giving a token
 * may have been mended. certain: also what only a human can mend.
 */
extern void exact_databricks_token_hurry(const char *workspace, bool certain);

#endif

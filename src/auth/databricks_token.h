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

/* What could not be sent may be tried at once: a setting may have been mended. */
extern void exact_databricks_token_hurry(void);

#endif

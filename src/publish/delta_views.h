/*
 * delta_views.h - the views that exact.create_views() asks for, made in Databricks one after the
 * other.
 */
#ifndef EXACT_DELTA_VIEWS_H
#define EXACT_DELTA_VIEWS_H

#include "databricks/databricks.h"
#include "databricks/delta_sql.h"

/* NULL when there is none of this name; *why then says so */
typedef const ExactWorkspace *(*ExactWorkspaceOf) (const char *name, const char **why);

/*
 * Takes the oldest request for views and works on it, one request at a time. Loader, in no
 * transaction. woken: there may be a new one.
 */
extern void exact_delta_views_turn(ExactWorkspaceOf workspace_of, const ExactHub *hub, bool woken);

#endif

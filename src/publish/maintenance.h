/*
 * maintenance.h - OPTIMIZE and VACUUM of the Delta tables of a workspace, where Databricks does not
 * do it.
 *
 * Loader only.
 */
#ifndef EXACT_MAINTENANCE_H
#define EXACT_MAINTENANCE_H

#include "databricks/databricks.h"
#include "databricks/delta_sql.h"

/* Is it a table's turn, right behind a delivery? Looks once a minute; outside a transaction. */
extern bool exact_maintenance_due(const ExactWorkspace *workspace);
/* Does it, where this hub may deliver; hub must live as long. */
extern void exact_maintenance_begin(const ExactWorkspace *workspace, const ExactHub *hub);

#endif

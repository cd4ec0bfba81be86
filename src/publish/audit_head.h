/*
 * audit_head.h - the heads of the audit chains outside of this database: once a day a line each in
 * the server log, and a row each in the Delta table exact_audit of every workspace that holds
 * deliveries.
 *
 * Rows there are only ever added. A chain that somebody rewrites as a whole agrees with itself; it
 * does not agree with a head that was written down before: exact.verify_audit(chain, id, hash).
 */
#ifndef EXACT_AUDIT_HEAD_H
#define EXACT_AUDIT_HEAD_H

#include "databricks/databricks.h"
#include "databricks/delta_sql.h"

/* Writes the heads to the server log when a day has passed, and at the start of the process. */
extern void exact_audit_head_log(void);

/* Are the heads due in this workspace? Asked each turn, looks once a minute. */
extern bool exact_audit_head_due(const ExactWorkspace *workspace);

/* Writes them there. This hub's claim must be held; after a failure they are due again later. */
extern void exact_audit_head_write(const ExactWorkspace *workspace, const ExactHub *hub);

#endif

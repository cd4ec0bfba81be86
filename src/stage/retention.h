/*
 * retention.h - what is kept for so long only.
 */
#ifndef EXACT_RETENTION_H
#define EXACT_RETENTION_H

/*
 * Every six hours, in no transaction: removes what is older than exact_databricks.retention, of
 * the audit log what is older than audit_retention. Returns ms until it wants to be called again.
 */
extern long exact_retention_turn(void);

#endif

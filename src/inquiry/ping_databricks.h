/*
 * ping_databricks.h - the loader's part of exact.ping().
 */
#ifndef EXACT_PING_DATABRICKS_H
#define EXACT_PING_DATABRICKS_H

#include "base/fault.h"
#include "databricks/databricks.h"
#include "worker/ask.h"

/* begin, each workspace, end: the question is answered when every workspace has been tried. */
extern void exact_ping_begin(ExactAsk *ask);
extern void exact_ping_workspace(const ExactWorkspace *workspace, bool enabled,
								 const ExactFault *fault);
extern void exact_ping_end(void);

/* One small call, to learn whether it is answered; the answer is for worker/service.c. */
extern void exact_ping_again(const ExactWorkspace *workspace);

#endif

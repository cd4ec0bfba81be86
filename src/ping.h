/*
 * ping.h - the loader's answer to exact.ping(): can each workspace be reached, for real?
 */
#ifndef EXACT_PING_H
#define EXACT_PING_H

#include "ask.h"
#include "databricks.h"

/* One question: begin, each workspace, end. It is answered when every workspace has been tried. */
extern void exact_ping_begin(ExactAsk *ask);
extern void exact_ping_workspace(const ExactWorkspace *workspace, bool enabled, const ExactFault *fault);
extern void exact_ping_end(void);

#endif

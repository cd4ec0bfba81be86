/*
 * volume_state.h - exact.volume_state: whether the volume of a workspace can be used.
 */
#ifndef EXACT_VOLUME_STATE_H
#define EXACT_VOLUME_STATE_H

#include "base/fault.h"

/* In a unit: what was found of it now; fault: why it cannot be used, NULL: it can */
extern void exact_volume_state_store(const char *workspace, const char *volume,
									 const ExactFault *fault);

#endif

/*
 * open_state.h - the Delta tables exact_open and exact_state of a workspace: what is not there yet,
 * and up to when each entity is complete.
 */
#ifndef EXACT_OPEN_STATE_H
#define EXACT_OPEN_STATE_H

#include "databricks/databricks.h"
#include "databricks/delta_sql.h"

/*
 * Is there something to tell? Looks at most once a minute and workspace; something was delivered or
 * has changed since both tables were written last. Loader, in no transaction.
 */
extern bool exact_open_state_look(const ExactWorkspace *workspace, const ExactHub *hub);

/*
 * Tells it, once the hub's claim is held. A failure is shown in exact.target_state under the entity
 * exact_state and tried again.
 */
extern void exact_open_state_tell(const ExactWorkspace *workspace);

/* The next look is due. */
extern void exact_open_state_look_again(const char *workspace);

/* What failed is tried again at once. */
extern void exact_open_state_hurry(const char *workspace);

#endif

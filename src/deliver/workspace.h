/*
 * workspace.h - the workspaces of Databricks that are configured, as the loader has them in memory.
 */
#ifndef EXACT_WORKSPACE_H
#define EXACT_WORKSPACE_H

#include "lib/ilist.h"

#include "base/fault.h"
#include "databricks/databricks.h"

typedef struct ExactWorkspaceEntry
{
	dlist_node	node;
	ExactWorkspace info;
	bool		enabled;
	ExactFault *fault;			/* its address cannot be used */
} ExactWorkspaceEntry;

/* By name. The entries are gone with the next look that finds another configuration. */
extern dlist_head exact_workspaces;

/*
 * Reads the workspaces anew when anything of the configuration that the loader depends on has
 * changed: then *changed, and every table reads its plan before its next use. False when it could
 * not be read. In no transaction.
 */
extern bool exact_workspace_look(bool *changed);

/* NULL when there is none of this name */
extern ExactWorkspaceEntry *exact_workspace_find(const char *name);

/* The workspace when it can be used; else NULL, and *why is the end of a sentence about it. */
extern const ExactWorkspace *exact_workspace_usable(const char *name, const char **why);

/* Settings that tell whether an address may be used have changed: the next look reads all anew. */
extern void exact_workspace_forget(void);

#endif

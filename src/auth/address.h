/*
 * address.h - where an app and a workspace are: origins as configured, normalised and allowed.
 *
 * In a unit. Both raise with a hint: EX004 or EX005 when there is no such row, EX006 when the
 * address is not usable or not allowed.
 */
#ifndef EXACT_ADDRESS_H
#define EXACT_ADDRESS_H

/* Base URL of an app (base_url or the region's host), palloc'd. */
extern char *exact_app_base_url(const char *app);

/*
 * Origin of a workspace (databricks.md §1.1) and, unless NULL, its workspace id for the routing
 * header (NULL if none), palloc'd.
 */
extern char *exact_workspace_origin(const char *workspace, char **workspace_id);

#endif

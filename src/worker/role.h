/*
 * role.h - the three workers of a database.
 */
#ifndef EXACT_ROLE_H
#define EXACT_ROLE_H

#include "postgres.h"

typedef enum ExactRole
{
	EXACT_ROLE_FETCHER,
	EXACT_ROLE_LOADER,
	EXACT_ROLE_LISTENER,
	EXACT_NROLES
} ExactRole;

/* "fetcher", "loader", "listener" */
extern const char *exact_role_name(ExactRole role);
/* "exact_worker" or "exact_listener": the database role that it becomes */
extern const char *exact_role_user(ExactRole role);
/* "fetcher" -> its role; false when there is none of that name. */
extern bool exact_role_by_name(const char *name, ExactRole *role);

#endif

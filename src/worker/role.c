/*
 * role.c - the three workers of a database and their names.
 */
#include "worker/role.h"

static const char *const names[EXACT_NROLES] = {
	[EXACT_ROLE_FETCHER] = "fetcher",
	[EXACT_ROLE_LOADER] = "loader",
	[EXACT_ROLE_LISTENER] = "listener",
};

const char *
exact_role_name(ExactRole role)
{
	return names[role];
}

/* The listener reads bytes of anybody: it has no right on tokens and on what was read. */
const char *
exact_role_user(ExactRole role)
{
	return role == EXACT_ROLE_LISTENER ? "exact_listener" : "exact_worker";
}

bool
exact_role_by_name(const char *name, ExactRole *role)
{
	for (int i = 0; i < EXACT_NROLES; i++)
	{
		if (strcmp(names[i], name) == 0)
		{
			*role = (ExactRole) i;
			return true;
		}
	}
	return false;
}

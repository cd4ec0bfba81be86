/*
 * lock.c - the advisory locks between workers and the commands that need them out of the way.
 *
 * Called by the launcher, the workers and ddl_hook.c.
 */
#include "postgres.h"

#include "storage/lock.h"

#include "base/compat.h"
#include "worker/lock.h"

LOCKTAG
exact_lock_tag(Oid database, uint32 key, uint16 class_number)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, database, 0, key, class_number);
	return tag;
}

bool
exact_lock_try(const LOCKTAG *tag, LOCKMODE mode)
{
	return LockAcquire(tag, mode, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
exact_lock_release(const LOCKTAG *tag, LOCKMODE mode)
{
	LockRelease(tag, mode, true);
}

int
exact_lock_holder(const LOCKTAG *tag, LOCKMODE mode)
{
	int			n = 0;
	VirtualTransactionId *holders = GetLockConflicts(tag, mode, &n);

	return n > 0 ? exact_vxid_pid(holders[0]) : 0;
}

bool
exact_lock_closing(Oid database)
{
	LOCKTAG		closing = exact_lock_tag(database, 0, EXACT_LOCK_CLOSING);

	if (!exact_lock_try(&closing, ShareLock))
		return true;
	exact_lock_release(&closing, ShareLock);
	return false;
}

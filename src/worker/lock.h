/*
 * lock.h - the advisory locks between workers and the commands that need them out of the way.
 *
 * Private classes (field 4 of the lock tag; SQL functions use 1 and 2). A lock is of a database;
 * its key is a role or 0.
 */
#ifndef EXACT_LOCK_H
#define EXACT_LOCK_H

#include "postgres.h"

#include "storage/lock.h"

/* Workers share it for life; a command on the database takes it exclusively. */
#define EXACT_LOCK_GATE 17720
/* One worker of a role in a database */
#define EXACT_LOCK_OWNER 17721
/* Units share it; update scripts take it exclusively. */
#define EXACT_LOCK_QUIESCE 17722
/* Held while a command on the database waits for the workers to go: none is started. */
#define EXACT_LOCK_CLOSING 17723
/* A worker that binds the installation and the sessions of a restore come one after the other. */
#define EXACT_LOCK_INSTALLATION 17724

extern LOCKTAG exact_lock_tag(Oid database, uint32 key, uint16 class_number);
/* Session-level; false when it is not to be had now. */
extern bool exact_lock_try(const LOCKTAG *tag, LOCKMODE mode);
extern void exact_lock_release(const LOCKTAG *tag, LOCKMODE mode);
/* Process id of one who holds the lock in the way of this mode; 0: nobody does now. */
extern int	exact_lock_holder(const LOCKTAG *tag, LOCKMODE mode);
/* Does a command on this database wait for its workers to go, or run? */
extern bool exact_lock_closing(Oid database);

#endif

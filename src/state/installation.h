/*
 * installation.h - exact.installation and exact.installation_binding: which hub this is, and that
 * it belongs to this database; exact.claim. The only C file that writes these tables. With SPI
 * connected.
 */
#ifndef EXACT_INSTALLATION_STATE_H
#define EXACT_INSTALLATION_STATE_H

#include "postgres.h"

/* Id of this database's installation (palloc'd): the oldest row counts. Raises EX016 for none. */
extern char *exact_installation_id(void);

/*
 * Another copy of this hub works with the epoch `other`: from the commit on no worker of this
 * database does anything more. False when this database's epoch is no longer `epoch`: then nothing
 * was written.
 */
extern bool exact_installation_overtaken(int epoch, int other);

/* This claim is one of this database from the commit on. */
extern void exact_installation_claim(const char *claim, int epoch);
/* Those of the claims that this database made in the epoch (palloc'd); *nours: how many */
extern char **exact_installation_claims(int epoch, char **claims, int n, int *nours);

/* Delta holds a version of this epoch that this database never sent. */
typedef struct ExactSetBack
{
	int			epoch;
	const char *entity;
	int64		known_seq;		/* the highest that was sent */
	int64		found_seq;
} ExactSetBack;

/*
 * This database was set back, or another copy of it has worked: begins an epoch and gives what
 * waits for its first sending numbers of it. False when the epoch is no longer that one: nothing
 * was written. *raised: the new epoch
 */
extern bool exact_installation_set_back(const ExactSetBack *found, int *raised);

#endif

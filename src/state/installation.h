/*
 * installation.h - exact.installation and exact.installation_binding: which hub this is, and that
 * it belongs to this database. The only C file that writes these tables. With SPI connected.
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

#endif

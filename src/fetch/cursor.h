/*
 * cursor.h - where a run begins to read.
 */
#ifndef EXACT_CURSOR_H
#define EXACT_CURSOR_H

#include "fetch/lane.h"

/* Does a run that begins now read everything? */
extern bool exact_cursor_whole(const ExactRun *run);
/*
 * The mark that it reads from: row version, or ms of the service's local clock less an overlap; 1
 * = everything.
 */
extern int64 exact_cursor_from(const ExactRun *run);

#endif

/*
 * wanted.h - records that settle doubts, gathered in a judgement and asked for at its end.
 */
#ifndef EXACT_WANTED_H
#define EXACT_WANTED_H

#include "postgres.h"

typedef struct ExactWanted ExactWanted;

/* Adds a record to the list, NULL at first; the texts must live until it is read. */
extern ExactWanted *exact_wanted_add(ExactWanted *list, const char *entity, const char *key,
									 bool first);

/*
 * In a unit: has all of them read again, an entity at a time. Those of a first load wait for no
 * one.
 */
extern void exact_wanted_read(const ExactWanted *list, int division);

#endif

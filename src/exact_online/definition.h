/*
 * definition.h - definitions of feeds: each is loaded once and shared by all divisions that read
 * it, as long as the configuration stays as it is.
 */
#ifndef EXACT_DEFINITION_H
#define EXACT_DEFINITION_H

#include "postgres.h"

#include "exact_online/feed.h"

/* In a unit, before a reading of the plan: have users changed entities or fields? */
extern void exact_definition_look(void);
/*
 * In a unit: the feed as the configuration has it now, NULL when there is none. held is what the
 * caller had before (NULL: nothing), which it gives back.
 */
extern ExactFeed *exact_definition_take(ExactFeed *held, const char *name);
extern void exact_definition_give_back(ExactFeed *held);

#endif

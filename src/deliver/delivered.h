/*
 * delivered.h - the record of what was delivered.
 */
#ifndef EXACT_DELIVERED_H
#define EXACT_DELIVERED_H

#include "deliver/load.h"

/* In a unit: the tables hold the load; the statements that brought it there, NULL: not known */
extern void exact_delivered_record(const ExactLoad *load, const char *history_statement,
								   const char *current_statement);

#endif

/*
 * page_deliveries.h - the last notifications, how they were answered and what became of them.
 */
#ifndef EXACT_PAGE_DELIVERIES_H
#define EXACT_PAGE_DELIVERIES_H

#include "lib/stringinfo.h"

/* Reads in one short unit and appends to out; false when the database did not answer in time. */
extern bool exact_page_deliveries(StringInfo out);

#endif

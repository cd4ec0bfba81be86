/*
 * page_status.h - what the listener shows of the hub: a page for people.
 */
#ifndef EXACT_PAGE_STATUS_H
#define EXACT_PAGE_STATUS_H

#include "lib/stringinfo.h"

/* Reads in one short unit and appends to out; false when the database did not answer in time. */
extern bool exact_page_status(StringInfo out);

#endif

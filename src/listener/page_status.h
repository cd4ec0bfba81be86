/*
 * page_status.h - what the listener shows of the hub: a page for people, numbers for Prometheus.
 */
#ifndef EXACT_PAGE_STATUS_H
#define EXACT_PAGE_STATUS_H

#include "lib/stringinfo.h"

/* Each reads in one short unit and appends to out; false when the database did not answer in time. Outside a unit. */
extern bool exact_page_status(StringInfo out);
extern bool exact_page_metrics(StringInfo out);

#endif

/*
 * page_metrics.h - what the listener shows of the hub: numbers for Prometheus.
 */
#ifndef EXACT_PAGE_METRICS_H
#define EXACT_PAGE_METRICS_H

#include "lib/stringinfo.h"

/* Reads in one short unit and appends to out; false when the database did not answer in time. */
extern bool exact_page_metrics(StringInfo out);

#endif

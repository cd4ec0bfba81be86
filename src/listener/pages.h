/*
 * pages.h - what the listener shows: status, deliveries and metrics to those who may see them,
 * short texts to everybody.
 */
#ifndef EXACT_PAGES_H
#define EXACT_PAGES_H

#include "base/fault.h"
#include "http/http_server.h"

#define EXACT_RETRY_AFTER_S 10	/* seconds after which one who was answered 503 may come again */

extern void exact_pages_text(ExactRequest *request, int status, const char *text);
/* refuse: why the listener must not work now, NULL = it may */
extern void exact_pages_status(ExactRequest *request, const ExactFault *refuse);
extern void exact_pages_metrics(ExactRequest *request, const ExactFault *refuse);
extern void exact_pages_deliveries(ExactRequest *request, const ExactFault *refuse);
/* Leads to the status page */
extern void exact_pages_root(ExactRequest *request);

#endif

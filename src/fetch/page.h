/*
 * page.h - is an answer a page of a run?
 */
#ifndef EXACT_PAGE_H
#define EXACT_PAGE_H

#include "base/fault.h"
#include "exact_online/exact_api.h"
#include "exact_online/odata.h"
#include "fetch/lane.h"

/*
 * Why the answer cannot be used (palloc'd); NULL: *page is a page of the run. run->leads_back: its
 * link leads to where the run has been. *last: no rows lie behind it. *behind, of a part of a page:
 * the address of what lies behind its last row; NULL when it is not known how to ask for that.
 */
extern ExactFault *exact_page_read(ExactRun *run, const ExactApiAnswer *answer, ExactPage **page,
								   bool *last, char **behind);
/* A page of the run is stored; first: the run has been nowhere before. */
extern void exact_page_been(ExactRun *run, const char *address, bool first);

#endif

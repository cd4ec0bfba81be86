/*
 * stage_page.h - takes a page of records apart: rows of each entity, documents and their lines.
 */
#ifndef EXACT_STAGE_PAGE_H
#define EXACT_STAGE_PAGE_H

#include "stage/stage.h"

/*
 * In a unit: stages what changed in a page and puts aside what cannot be staged. Raises EX010, and
 * nothing of the page is kept, when a record is of another division.
 */
extern void exact_stage_page_store(ExactStagePage *page);

/* Likewise, a page of lines that were read on their own, by the keys of their documents. */
extern void exact_stage_page_lines(ExactStagePage *page);

#endif

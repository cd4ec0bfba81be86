/*
 * stage_page.h - takes a page of records apart: rows of each entity, documents and their lines.
 */
#ifndef EXACT_STAGE_PAGE_H
#define EXACT_STAGE_PAGE_H

#include "stage/stage.h"

/*
 * In a unit: stages what changed in a page. Raises EX010 (division guard) or EX009 (a record
 * without key): nothing of the page is kept.
 */
extern void exact_stage_page_store(ExactStagePage *page);

/* Likewise, a page of lines that were read on their own, by the keys of their documents. */
extern void exact_stage_page_lines(ExactStagePage *page);

#endif

/*
 * page_head.h - how each page for people begins: which hub, which database, as of when.
 */
#ifndef EXACT_PAGE_HEAD_H
#define EXACT_PAGE_HEAD_H

#include "lib/stringinfo.h"

/* In a unit. Subject and headline are plain text. */
extern void exact_page_begin(StringInfo out, const char *subject, const char *headline);

#endif

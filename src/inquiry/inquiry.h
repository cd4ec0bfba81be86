/*
 * inquiry.h - what backends ask the fetcher: me, discover, fetch, page, count, ping,
 * authorize, import_secrets.
 */
#ifndef EXACT_INQUIRY_H
#define EXACT_INQUIRY_H

#include "worker/ask.h"

extern void exact_inquiry_answer(ExactAsk *ask);

#endif

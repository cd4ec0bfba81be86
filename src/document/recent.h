/*
 * recent.h - documents as they were staged last, read from their page, so that the judgement need
 * not read the stage again. A memory of the process: what is not in it is read from the stage.
 */
#ifndef EXACT_RECENT_H
#define EXACT_RECENT_H

#include "postgres.h"

#include "document/document.h"

/*
 * A document with all its living lines, of which this batch holds the newest version. One that
 * comes twice in a batch is not kept.
 */
extern void exact_recent_put(int division, ExactDocumentKind kind, const char *key, int64 batch,
							 ExactPayload header, const ExactPayload *lines, int nlines);

/*
 * The document, if its newest version came with this batch; NULL: not known. It lives until the
 * next exact_recent_put() or exact_recent_forget().
 */
extern ExactDocument *exact_recent_find(int division, ExactDocumentKind kind, const char *key,
										int64 batch);

extern void exact_recent_forget(void);

#endif

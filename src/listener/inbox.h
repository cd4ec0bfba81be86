/*
 * inbox.h - notifications of Exact Online: who signed them, which are repeats, stored in
 * exact.inbox.
 *
 * All runs with SPI connected: in a unit of a worker, or in a backend's function.
 */
#ifndef EXACT_INBOX_H
#define EXACT_INBOX_H

#include "postgres.h"

typedef enum ExactInboxOutcome
{
	EXACT_INBOX_ACCEPTED,		/* stored; HTTP 200 once the transaction is committed */
	EXACT_INBOX_DUPLICATE,		/* stored before, within 7 days; 200 */
	EXACT_INBOX_VALIDATION,		/* empty body: the service tries the address; 200 */
	/* not signed by a webhook secret of ours; 401, nothing was stored */
	EXACT_INBOX_REFUSED,
	/* no app has a webhook secret that can be opened: webhook_secret.h says why; 503 */
	EXACT_INBOX_NOT_READY
} ExactInboxOutcome;

typedef struct ExactInboxItem
{
	const char *body;			/* as received; NULL is fine when len is 0 */
	size_t		len;
	ExactInboxOutcome outcome;	/* out */
} ExactInboxItem;

/*
 * Judges n bodies and stores those that are signed and no repeats, with one INSERT; outcome of each
 * tells what became of it. In a worker one event of the worker's chain stands for all of them. When
 * one causes work, the fetcher is woken at commit. Safe to be called again after a rollback. Waits
 * for no other transaction: two equal ones that do not see each other are both stored, and the
 * fetcher drops one.
 */
extern void exact_inbox_store(ExactInboxItem *items, int n);

/*
 * In a worker, outside a unit: deletes what is older than 7 days and was taken, 1000 at a time,
 * once an hour. Returns ms until it wants to be called again.
 */
extern long exact_inbox_prune(void);

#endif

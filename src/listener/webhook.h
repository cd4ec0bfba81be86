/*
 * webhook.h - the bytes of one notification: envelope, signature, fields.
 *
 * Pure reading: no SQL, no network; it compiles without a server. Nothing here raises but for
 * memory.
 */
#ifndef EXACT_WEBHOOK_H
#define EXACT_WEBHOOK_H

#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

/* bytes of a body; larger ones are refused before they are hashed */
#define EXACT_WEBHOOK_MAX (64 * 1024)

typedef enum ExactWebhookCut
{
	EXACT_WEBHOOK_EMPTY,		/* nothing but white space: the service tries the address */
	EXACT_WEBHOOK_CUT,
	EXACT_WEBHOOK_MALFORMED		/* no envelope, or larger than EXACT_WEBHOOK_MAX */
} ExactWebhookCut;

typedef struct ExactWebhook
{
	const char *content;		/* the signed bytes, a slice of the body */
	size_t		content_len;
	const char *signature;		/* 64 hex digits, a slice of the body */

	/* by exact_webhook_read, palloc'd printable ASCII; NULL or 0: absent, or not of that kind */
	char	   *topic;
	char	   *client_id;
	int32		division;
	char	   *action;
	char	   *key;			/* in lower case */
	char	   *event_at;
} ExactWebhook;

/*
 * Cuts content and signature out of a body from both ends: {"Content": content ,"HashCode":" 64 hex
 * digits "} and white space after it. The same text inside a string of the content is content.
 */
extern ExactWebhookCut exact_webhook_cut(const char *body, size_t len, ExactWebhook *out);

/*
 * Is the signature the HMAC-SHA256 of the content under this secret, in upper-case hex? The
 * comparison takes the same time for every signature. In a server: inside a transaction.
 */
extern bool exact_webhook_signed(const ExactWebhook *webhook, const void *secret, size_t len);

/*
 * Fills the fields from the content; to be called after the signature was found right. NULL, or the
 * words in which the content is no notification ("its content is not UTF-8"); the fields are then
 * absent. Unknown and missing fields are fine.
 */
extern const char *exact_webhook_read(ExactWebhook *webhook);

#endif

/*
 * webhook_secret.h - the webhook secrets of the apps, current and next: opened once, found by what
 * they signed.
 */
#ifndef EXACT_WEBHOOK_SECRET_H
#define EXACT_WEBHOOK_SECRET_H

#include "listener/webhook.h"

typedef struct ExactWebhookSecret
{
	const char *app;
	const char *client_id;		/* of the app */
	const char *field;			/* "current" or "next" */
} ExactWebhookSecret;

/*
 * Brings the secrets of this process up to date with exact.credential. With SPI connected. How many
 * of this app, or with NULL of all, can be used; for 0, *problem (may be NULL) says why in words
 * without a point, valid until the next load.
 */
extern int	exact_webhook_secret_load(const char *app, const char **problem);

/*
 * The secret that signed it, of this app or with NULL of any; NULL when none did. An app whose
 * client id stands in the content is tried first; nothing is parsed. Valid until the next load.
 */
extern const ExactWebhookSecret *exact_webhook_secret_find(const ExactWebhook *webhook,
														   const char *app);

#endif

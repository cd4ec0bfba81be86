/*
 * webhook_fuzz.c - bodies of notifications: envelope, signature, fields.
 */
#include "frontend.h"

#include "arena.h"

#include "base/json.c"
#include "listener/webhook.c"

static const char secret[] = "test-webhook-secret";

static void
sign(const char *content, size_t len, char digits[DIGITS])
{
	static const char hex[] = "0123456789ABCDEF";
	uint8		mac[PG_SHA256_DIGEST_LENGTH];
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);

	HOLDS(ctx && pg_hmac_init(ctx, (const uint8 *) secret, strlen(secret)) == 0 &&
		  pg_hmac_update(ctx, (const uint8 *) content, len) == 0 &&
		  pg_hmac_final(ctx, mac, sizeof(mac)) == 0);
	pg_hmac_free(ctx);
	for (int i = 0; i < DIGITS; i++)
		digits[i] = hex[i % 2 ? mac[i / 2] & 15 : mac[i / 2] >> 4];
}

static void
check_field(const char *field)
{
	if (field == NULL)
		return;
	HOLDS(strlen(field) > 0 && strlen(field) <= FIELD_MAX);
	for (; *field; field++)
		HOLDS(*field >= ' ' && *field <= '~');
}

static void
check_read(ExactWebhook *webhook)
{
	const char *problem = exact_webhook_read(webhook);

	HOLDS(problem == NULL || (webhook->topic == NULL && webhook->key == NULL &&
							  webhook->division == 0));
	HOLDS(webhook->division >= 0);
	check_field(webhook->topic);
	check_field(webhook->client_id);
	check_field(webhook->action);
	check_field(webhook->key);
	check_field(webhook->event_at);
	for (const char *c = webhook->key; c != NULL && *c; c++)
		HOLDS(*c < 'A' || *c > 'Z');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *body = (const char *) data;
	ExactWebhook webhook;
	ExactWebhookCut cut = exact_webhook_cut(body, size, &webhook);

	if (cut == EXACT_WEBHOOK_CUT)
	{
		char		digits[DIGITS];
		bool		right;

		HOLDS(webhook.content_len > 0);
		HOLDS(webhook.content == body + HEAD_LEN ||
			  (webhook.content == body + MARK_LEN + HEAD_LEN &&
			   memcmp(body, "\xEF\xBB\xBF", MARK_LEN) == 0));
		HOLDS(webhook.signature == webhook.content + webhook.content_len + MIDDLE_LEN);
		HOLDS(webhook.signature + DIGITS + TAIL_LEN <= body + size);
		sign(webhook.content, webhook.content_len, digits);
		right = memcmp(digits, webhook.signature, DIGITS) == 0;
		HOLDS(exact_webhook_signed(&webhook, secret, strlen(secret)) == right);
		check_read(&webhook);
	}
	else
		HOLDS(webhook.content == NULL && webhook.signature == NULL);
	if (cut == EXACT_WEBHOOK_EMPTY)
		for (size_t i = 0; i < size; i++)
			HOLDS(is_space(body[i]));

	/* and as content in an envelope that is right */
	if (size > 0 && size + HEAD_LEN + END_LEN <= EXACT_WEBHOOK_MAX)
	{
		size_t		len = HEAD_LEN + size + END_LEN;
		char	   *whole = palloc(len);

		memcpy(whole, head, HEAD_LEN);
		memcpy(whole + HEAD_LEN, body, size);
		memcpy(whole + HEAD_LEN + size, middle, MIDDLE_LEN);
		sign(body, size, whole + HEAD_LEN + size + MIDDLE_LEN);
		memcpy(whole + len - TAIL_LEN, tail, TAIL_LEN);
		HOLDS(exact_webhook_cut(whole, len, &webhook) == EXACT_WEBHOOK_CUT &&
			  webhook.content_len == size);
		HOLDS(exact_webhook_signed(&webhook, secret, strlen(secret)));
		check_read(&webhook);
		whole[HEAD_LEN + data[0] % size] ^= 1 << (size % 8);
		HOLDS(!exact_webhook_signed(&webhook, secret, strlen(secret)));
	}
	arena_reset();
	return 0;
}

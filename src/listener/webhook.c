/*
 * webhook.c - the bytes of one notification: envelope, signature, fields.
 *
 * The body is {"Content":…,"HashCode":"…"}; HashCode is the upper-case hex HMAC-SHA256 of the bytes
 * of the content as sent, so nothing is parsed before the signature was checked and nothing is
 * written again. Called by inbox.c; exact_webhook_read uses json.c.
 */
#include "listener/webhook.h"

#include "common/hmac.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"

#include "base/json.h"

#define DIGITS (2 * PG_SHA256_DIGEST_LENGTH)
#define FIELD_MAX 200			/* longer texts are none that the service sends */

static const char head[] = "{\"Content\":";
static const char middle[] = ",\"HashCode\":\"";
static const char tail[] = "\"}";
static const char mark[] = "\xEF\xBB\xBF";	/* a byte order mark: nothing is signed by it */

#define HEAD_LEN (sizeof(head) - 1)
#define MIDDLE_LEN (sizeof(middle) - 1)
#define TAIL_LEN (sizeof(tail) - 1)
#define MARK_LEN (sizeof(mark) - 1)
#define END_LEN (MIDDLE_LEN + DIGITS + TAIL_LEN)

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

ExactWebhookCut
exact_webhook_cut(const char *body, size_t len, ExactWebhook *out)
{
	const char *end;

	memset(out, 0, sizeof(*out));
	if (len > EXACT_WEBHOOK_MAX)
		return EXACT_WEBHOOK_MALFORMED;
	while (len > 0 && is_space(body[len - 1]))
		len--;
	if (len == 0)
		return EXACT_WEBHOOK_EMPTY;
	if (len >= MARK_LEN && memcmp(body, mark, MARK_LEN) == 0)
	{
		body += MARK_LEN;
		len -= MARK_LEN;
	}
	if (len <= HEAD_LEN + END_LEN)
		return EXACT_WEBHOOK_MALFORMED;
	end = body + len - END_LEN;
	if (memcmp(body, head, HEAD_LEN) != 0 || memcmp(end, middle, MIDDLE_LEN) != 0 ||
		memcmp(body + len - TAIL_LEN, tail, TAIL_LEN) != 0)
		return EXACT_WEBHOOK_MALFORMED;
	for (int i = 0; i < DIGITS; i++)
		if (!is_hex(end[MIDDLE_LEN + i]))
			return EXACT_WEBHOOK_MALFORMED;
	out->content = body + HEAD_LEN;
	out->content_len = end - out->content;
	out->signature = end + MIDDLE_LEN;
	return EXACT_WEBHOOK_CUT;
}

bool
exact_webhook_signed(const ExactWebhook *webhook, const void *secret, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";
	uint8		mac[PG_SHA256_DIGEST_LENGTH];
	volatile uint8 differs = 0;
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);
	bool		done = ctx != NULL &&
		pg_hmac_init(ctx, secret, len) >= 0 &&
		pg_hmac_update(ctx, (const uint8 *) webhook->content, webhook->content_len) >= 0 &&
		pg_hmac_final(ctx, mac, sizeof(mac)) >= 0;

	pg_hmac_free(ctx);
	if (!done)
		return false;
	for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; i++)
	{
		differs |= (uint8) (hex[mac[i] >> 4] ^ webhook->signature[2 * i]);
		differs |= (uint8) (hex[mac[i] & 15] ^ webhook->signature[2 * i + 1]);
	}
	explicit_bzero(mac, sizeof(mac));
	return differs == 0;
}

/*
 * The text of a string; NULL when it is absent, empty, long, or has anything but printable ASCII.
 */
static char *
read_text(const ExactJson *json, const char *name)
{
	const ExactJsonMember *member = exact_json_member(json, name);
	char	   *value;
	size_t		len;
	size_t		i;

	if (member == NULL || member->kind != EXACT_JSON_STRING || member->len > FIELD_MAX * 6)
		return NULL;
	value = palloc(member->len);
	if (exact_json_decode(member, value, &len) && len > 0 && len <= FIELD_MAX)
	{
		for (i = 0; i < len && value[i] >= ' ' && value[i] <= '~'; i++)
			;
		if (i == len)
			return value;
	}
	pfree(value);
	return NULL;
}

const char *
exact_webhook_read(ExactWebhook *webhook)
{
	const char *content = webhook->content;
	size_t		len = webhook->content_len;
	ExactJson	json;
	int64		division;

	if (pg_encoding_verifymbstr(PG_UTF8, content, (int) len) != (int) len)	/* stops at a NUL too */
		return "its content is not UTF-8";
	if (!exact_json_read(content, len, &json))
		return "its content is not JSON";
	if (json.kind != EXACT_JSON_OBJECT)
		return "its content is not a JSON object";
	webhook->topic = read_text(&json, "Topic");
	webhook->client_id = read_text(&json, "ClientId");
	webhook->action = read_text(&json, "Action");
	webhook->key = read_text(&json, "Key");
	webhook->event_at = read_text(&json, "EventCreatedOn");
	if (exact_json_int64(exact_json_member(&json, "Division"), &division) && division > 0 &&
		division <= PG_INT32_MAX)
		webhook->division = (int32) division;
	for (char *c = webhook->key; c != NULL && *c != '\0'; c++)
		*c = (char) pg_ascii_tolower((unsigned char) *c);
	pfree(json.members);
	return NULL;
}

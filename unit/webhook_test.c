/*
 * webhook_test.c - webhook.c alone: envelope, signature, fields. The four vectors were made with
 * openssl dgst -sha256 -hmac.
 */
#include "frontend.h"

#include "base/json.c"
#include "listener/webhook.c"

#include "check.h"

#define ITEM "{\"Topic\":\"Items\",\"ClientId\":\"6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11\"," \
	"\"Division\":2256995,\"Action\":\"Update\"," \
	"\"Key\":\"0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b\"," \
	"\"ExactOnlineEndpoint\":\"https://start.exactonline.nl/api/v1/2256995/logistics/" \
	"Items(guid'0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b')\"," \
	"\"EventCreatedOn\":\"2025-03-04T13:14:50.070\"}"
#define ITEM_BLANKS "{\"Topic\": \"Items\", \"ClientId\": " \
	"\"6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11\", \"Division\": 2256995, \"Action\": \"Update\", " \
	"\"Key\": \"0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b\", \"ExactOnlineEndpoint\": " \
	"\"https://start.exactonline.nl/api/v1/2256995/logistics/" \
	"Items(guid'0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b')\", \"EventCreatedOn\": " \
	"\"2025-03-04T13:14:50.070\"}"
#define ITEM_ESCAPED "{\"Topic\":\"Items\",\"ClientId\":\"6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11\"," \
	"\"Division\":2256995,\"Action\":\"Update\"," \
	"\"Key\":\"0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b\"," \
	"\"ExactOnlineEndpoint\":\"https:" \
	"\\/\\/start.exactonline.nl\\/api\\/v1\\/2256995\\/logistics\\/" \
	"Items(guid'0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b')\"," \
	"\"EventCreatedOn\":\"2025-03-04T13:14:50.070\"}"
#define ITEM_CODE "407C1F56654DECE5E0B149FEEBEB7BF57086EEF53CA858FC415E464997202D83"
#define ITEM_BLANKS_CODE "0F7DFF3BFB463258730152F9AE25587E801B4DB96CFC3E615B40A42D6F5BCBB7"
#define ITEM_ESCAPED_CODE "EBEBAA697A0D60A6B30A8363C110784B7D5EB0B8650725A1A35B1024C70AF1DC"
#define ACCOUNT "{\"Topic\":\"Accounts\",\"ClientId\":\"11111111-2222-3333-4444-555555555555\"," \
	"\"Division\":123456,\"Action\":\"Create\"," \
	"\"Key\":\"aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee\"," \
	"\"ExactOnlineEndpoint\":\"https:\\/\\/start.exactonline.nl\\/api\\/v1\\/123456\\/crm\\/" \
	"Accounts(guid'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee')\"," \
	"\"EventCreatedOn\":\"2025-03-04T13:14:50.07\"}"
#define ACCOUNT_CODE "7230DDE83A008F3EF396B63B28D97F8C71B13BC3CE8E7AEF7EF1E7972643D200"
#define DOCUMENT "{\"Topic\":\"Documents\",\"Division\":2256995,\"Key\":\"\xc3\xa9," \
	"\\\"HashCode\\\":\\\"x\"}"
#define DOCUMENT_CODE "5D4E2E2FA902B23EB81498820AAAF993D01FD01B5BBDC02C24DF57AD49135AE1"
#define NOTHING_CODE "608B0C406F3DDA19702D71A048483B8C331283106D80A208E3CF43DBDE505286"
#define BODY(content, code) "{\"Content\":" content ",\"HashCode\":\"" code "\"}"

static const char long_secret[] = "test-webhook-secret";
static const char short_secret[] = "s3cr3t";

static ExactWebhook found;

static ExactWebhookCut
cut(const char *body)
{
	return exact_webhook_cut(body, strlen(body), &found);
}

static bool
is_signed(const char *body, size_t len, const char *secret)
{
	return exact_webhook_cut(body, len, &found) == EXACT_WEBHOOK_CUT &&
		exact_webhook_signed(&found, secret, strlen(secret));
}

static bool
signed_text(const char *body, const char *secret)
{
	return is_signed(body, strlen(body), secret);
}

/* A body around this content, signed; malloc'd. */
static char *
sign(const char *content, size_t content_len, const char *secret, size_t *len)
{
	uint8		mac[PG_SHA256_DIGEST_LENGTH];
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);
	size_t		size = content_len + 200;
	char	   *body = malloc(size);
	char	   *p = body;

	CHECK(ctx != NULL && pg_hmac_init(ctx, (const uint8 *) secret, strlen(secret)) == 0 &&
		  pg_hmac_update(ctx, (const uint8 *) content, content_len) == 0 &&
		  pg_hmac_final(ctx, mac, sizeof(mac)) == 0);
	pg_hmac_free(ctx);
	p += snprintf(p, size, "{\"Content\":");
	memcpy(p, content, content_len);
	p += content_len;
	p += snprintf(p, size - (p - body), ",\"HashCode\":\"");
	for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; i++)
		p += snprintf(p, size - (p - body), "%02X", mac[i]);
	p += snprintf(p, size - (p - body), "\"}");
	*len = p - body;
	return body;
}

/* What exact_webhook_read says of a content */
static const char *
read_as(const char *content, size_t len)
{
	memset(&found, 0, sizeof(found));
	found.content = content;
	found.content_len = len;
	return exact_webhook_read(&found);
}

static bool
says(const char *content, const char *problem)
{
	const char *answer = read_as(content, strlen(content));

	return problem == NULL ? answer == NULL : answer != NULL && strcmp(answer, problem) == 0;
}

static bool
is(const char *value, const char *expected)
{
	return expected == NULL ? value == NULL : value != NULL && strcmp(value, expected) == 0;
}

static void
test_vectors(void)
{
	CHECK(strlen(ITEM) == 320 && strlen(BODY(ITEM, ITEM_CODE)) == 410);
	CHECK(strlen(ITEM_ESCAPED) == 327);
	CHECK(strlen(ACCOUNT) == 324);
	CHECK(signed_text(BODY(ITEM, ITEM_CODE), long_secret));
	CHECK(found.content_len == 320 && memcmp(found.content, ITEM, 320) == 0);
	CHECK(signed_text(BODY(ACCOUNT, ACCOUNT_CODE), short_secret));
	CHECK(signed_text(BODY(DOCUMENT, DOCUMENT_CODE), long_secret));
	CHECK(found.content_len == strlen(DOCUMENT));
	CHECK(signed_text(BODY("{}", NOTHING_CODE), short_secret));

	/* what was written again is other bytes */
	CHECK(!signed_text(BODY(ITEM, ITEM_BLANKS_CODE), long_secret));
	CHECK(!signed_text(BODY(ITEM, ITEM_ESCAPED_CODE), long_secret));
	CHECK(!signed_text(BODY(ITEM_BLANKS, ITEM_CODE), long_secret));
	CHECK(!signed_text(BODY(ITEM_ESCAPED, ITEM_CODE), long_secret));
	CHECK(signed_text(BODY(ITEM_BLANKS, ITEM_BLANKS_CODE), long_secret));
	CHECK(signed_text(BODY(ITEM_ESCAPED, ITEM_ESCAPED_CODE), long_secret));
	CHECK(!signed_text(BODY("{ }", NOTHING_CODE), short_secret));

	/* another secret, a part of it, none */
	CHECK(!signed_text(BODY(ITEM, ITEM_CODE), short_secret));
	CHECK(!signed_text(BODY(ITEM, ITEM_CODE), "test-webhook-secre"));
	CHECK(!signed_text(BODY(ITEM, ITEM_CODE), "test-webhook-secret "));
	CHECK(!signed_text(BODY(ITEM, ITEM_CODE), ""));
}

static void
test_flipped_bits(void)
{
	static const char *const bodies[] = {BODY(ITEM, ITEM_CODE), BODY(DOCUMENT, DOCUMENT_CODE)};
	int			passed = 0;

	for (int b = 0; b < (int) lengthof(bodies); b++)
	{
		size_t		len = strlen(bodies[b]);
		char	   *copy = malloc(len);

		memcpy(copy, bodies[b], len);
		for (size_t bit = 0; bit < len * 8; bit++)
		{
			copy[bit / 8] ^= 1 << (bit % 8);
			passed += is_signed(copy, len, long_secret);
			copy[bit / 8] ^= 1 << (bit % 8);
		}
		CHECK(is_signed(copy, len, long_secret));
		for (size_t n = 0; n < len; n++)	/* cut off, at either end */
			passed += is_signed(copy, n, long_secret) + (n > 0 &&
														 is_signed(copy + n, len - n, long_secret));
		free(copy);
	}
	CHECK(passed == 0);
}

static void
test_envelope(void)
{
	char		body[sizeof(BODY(ITEM, ITEM_CODE))];
	char	   *digits = body + strlen("{\"Content\":" ITEM ",\"HashCode\":\"");

	CHECK(exact_webhook_cut(NULL, 0, &found) == EXACT_WEBHOOK_EMPTY);
	CHECK(cut("") == EXACT_WEBHOOK_EMPTY);
	CHECK(cut(" \t\r\n") == EXACT_WEBHOOK_EMPTY);
	CHECK(exact_webhook_cut("\0", 1, &found) == EXACT_WEBHOOK_MALFORMED);
	CHECK(exact_webhook_cut(" \0 ", 3, &found) == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut("\v") == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut("{}") == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut("{\"Content\":") == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut(BODY("", NOTHING_CODE)) == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut(",\"HashCode\":\"" NOTHING_CODE "\"}") == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut(BODY("x", NOTHING_CODE)) == EXACT_WEBHOOK_CUT && found.content_len == 1);

	/* white space after it is none of it; before it, or inside, is another envelope */
	CHECK(signed_text(BODY(ITEM, ITEM_CODE) "\r\n \t\n", long_secret));
	CHECK(cut(" " BODY(ITEM, ITEM_CODE)) == EXACT_WEBHOOK_MALFORMED);
	/* a byte order mark before it says nothing, and nothing else */
	CHECK(signed_text("\xef\xbb\xbf" BODY(ITEM, ITEM_CODE), long_secret));
	CHECK(cut("\xef\xbb\xbf") == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut("\xef\xbb\xbf\xef\xbb\xbf" BODY(ITEM, ITEM_CODE)) == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut("\xef\xbb" BODY(ITEM, ITEM_CODE)) == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut("{ \"Content\":" ITEM ",\"HashCode\":\"" ITEM_CODE "\"}") == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut("{\"Content\":" ITEM ", \"HashCode\":\"" ITEM_CODE "\"}") == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut("{\"Content\":" ITEM ",\"HashCode\": \"" ITEM_CODE "\"}") == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut("{\"Content\":" ITEM ",\"HashCode\":\"" ITEM_CODE "\" }") == EXACT_WEBHOOK_MALFORMED);
	CHECK(!signed_text("{\"Content\": " ITEM ",\"HashCode\":\"" ITEM_CODE "\"}", long_secret));
	CHECK(!signed_text(BODY(ITEM, ITEM_CODE) "x", long_secret));
	CHECK(!signed_text(BODY(ITEM, ITEM_CODE) ",\"More\":1}", long_secret));
	/* the other order, another name */
	CHECK(cut("{\"HashCode\":\"" ITEM_CODE "\",\"Content\":" ITEM "}") == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut("{\"content\":" ITEM ",\"hashCode\":\"" ITEM_CODE "\"}") == EXACT_WEBHOOK_MALFORMED);

	/* digits: upper case only, 64 of them */
	strlcpy(body, BODY(ITEM, ITEM_CODE), sizeof(body));
	for (int i = 0; i < DIGITS; i++)
		digits[i] = (char) pg_ascii_tolower((unsigned char) digits[i]);
	CHECK(cut(body) == EXACT_WEBHOOK_CUT && !signed_text(body, long_secret));
	strlcpy(body, BODY(ITEM, ITEM_CODE), sizeof(body));
	CHECK(digits[3] == 'C');
	digits[3] = 'c';
	CHECK(!signed_text(body, long_secret));
	digits[3] = 'G';
	CHECK(cut(body) == EXACT_WEBHOOK_MALFORMED);
	CHECK(cut("{\"Content\":" ITEM ",\"HashCode\":\"" ITEM_CODE "0\"}") == EXACT_WEBHOOK_MALFORMED);
	CHECK(
		cut("{\"Content\":" ITEM ",\"HashCode\":"
			"\"QHwfVmVN7OXgsUn+6+t79XCG7vU8qFj8QV5GSZcgLYM=\"}") == EXACT_WEBHOOK_MALFORMED);

	/* a second envelope inside: the outer ends count */
	CHECK(cut(BODY(BODY(ITEM, ITEM_CODE), NOTHING_CODE)) == EXACT_WEBHOOK_CUT);
	CHECK(found.content_len == 410 &&
		  !exact_webhook_signed(&found, long_secret, strlen(long_secret)));
	CHECK(!signed_text("{\"Content\":{\"Content\":" ITEM ",\"HashCode\":\"" ITEM_CODE "\"}",
					   long_secret));
	CHECK(!signed_text(BODY(ITEM, ITEM_CODE) ",\"HashCode\":\"" ITEM_CODE "\"}", long_secret));
}

static void
test_size(void)
{
	size_t		envelope = strlen(BODY("", ITEM_CODE));
	size_t		len;
	char	   *content = malloc(EXACT_WEBHOOK_MAX + 1);
	char	   *body;

	memset(content, ' ', EXACT_WEBHOOK_MAX + 1);
	content[0] = '{';
	content[EXACT_WEBHOOK_MAX - envelope - 1] = '}';
	body = sign(content, EXACT_WEBHOOK_MAX - envelope, short_secret, &len);
	CHECK(len == EXACT_WEBHOOK_MAX && is_signed(body, len, short_secret));
	CHECK(exact_webhook_read(&found) == NULL);
	body[len] = ' ';			/* one byte more, even of white space */
	CHECK(exact_webhook_cut(body, len + 1, &found) == EXACT_WEBHOOK_MALFORMED);
	free(body);
	body = sign(content, EXACT_WEBHOOK_MAX - envelope + 1, short_secret, &len);
	CHECK(len == EXACT_WEBHOOK_MAX + 1 &&
		  exact_webhook_cut(body, len, &found) == EXACT_WEBHOOK_MALFORMED);
	free(body);
	memset(content, ' ', EXACT_WEBHOOK_MAX + 1);
	CHECK(exact_webhook_cut(content, EXACT_WEBHOOK_MAX, &found) == EXACT_WEBHOOK_EMPTY);
	CHECK(exact_webhook_cut(content, EXACT_WEBHOOK_MAX + 1, &found) == EXACT_WEBHOOK_MALFORMED);
	free(content);
}

static void
test_fields(void)
{
	char		deep[4000];

	CHECK(says(ITEM, NULL));
	CHECK(is(found.topic, "Items") && is(found.client_id, "6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11") &&
		  found.division == 2256995);
	CHECK(is(found.action, "Update") && is(found.key, "0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b") &&
		  is(found.event_at, "2025-03-04T13:14:50.070"));
	CHECK(says(ITEM_ESCAPED, NULL) && is(found.topic, "Items"));
	CHECK(says(DOCUMENT, NULL) && is(found.topic, "Documents") && found.key == NULL &&
		  found.client_id == NULL && found.event_at == NULL);
	CHECK(says("{}", NULL) && found.topic == NULL && found.division == 0);
	/* another order, unknown names and values, other kinds */
	CHECK(
		says(
			"{\"More\":{\"Topic\":\"No\"},\"Action\":\"Merge\",\"Division\":\"7\","
			"\"Key\":\"ABC-1\",\"Topic\":\"New\",\"EventCreatedOn\":null}", NULL));
	CHECK(is(found.topic, "New") && is(found.action, "Merge") && is(found.key, "abc-1") &&
		  found.division == 7 && found.event_at == NULL);
	CHECK(says(" { \"Topic\" : \"\\u0049tems\" } ", NULL) && is(found.topic, "Items"));
	CHECK(says("{\"Topic\":1,\"Key\":[\"x\"],\"Action\":true,\"Division\":{}}", NULL) &&
		  !found.topic && !found.key && !found.action && found.division == 0);
	CHECK(says("{\"Division\":2147483647}", NULL) && found.division == 2147483647);
	CHECK(says("{\"Division\":2147483648}", NULL) && found.division == 0);
	CHECK(says("{\"Division\":-1}", NULL) && found.division == 0);
	CHECK(says("{\"Division\":1.5}", NULL) && found.division == 0);
	CHECK(says("{\"Division\":99999999999999999999}", NULL) && found.division == 0);
	/* texts that are no names */
	CHECK(says("{\"Topic\":\"\",\"Key\":\"a\\nb\",\"Action\":\"\\u0000\",\"ClientId\":\"\\ud800\"}",
			   NULL));
	CHECK(!found.topic && !found.key && !found.action && !found.client_id);
	memset(deep, 'x', sizeof(deep));
	memcpy(deep, "{\"Topic\":\"", 10);
	memcpy(deep + 10 + FIELD_MAX, "\"}", sizeof("\"}"));
	CHECK(says(deep, NULL) && found.topic != NULL && strlen(found.topic) == FIELD_MAX);
	deep[10 + FIELD_MAX] = 'x';
	memcpy(deep + 11 + FIELD_MAX, "\"}", sizeof("\"}"));
	CHECK(says(deep, NULL) && found.topic == NULL);

	CHECK(says("", "its content is not JSON"));
	CHECK(says("null", "its content is not JSON"));
	CHECK(says("\"text\"", "its content is not JSON"));
	CHECK(says("[]", "its content is not a JSON object"));
	CHECK(says("[" ITEM "]", "its content is not a JSON object"));
	CHECK(says("{\"Topic\":\"Items\"", "its content is not JSON"));
	CHECK(says("{\"Topic\":\"Items\"}}", "its content is not JSON"));
	CHECK(says("{\"Topic\":\"Items\",}", "its content is not JSON"));
	CHECK(says("{\"Topic\":\"Items\",\"Topic\":\"Accounts\"}", "its content is not JSON"));
	CHECK(says("{\"Topic\":\"Items\",\"\\u0054opic\":\"Accounts\"}", "its content is not JSON"));
	CHECK(says("{\"Key\":\"\xff\"}", "its content is not UTF-8"));
	CHECK(says("{\"Key\":\"\xed\xa0\x80\"}", "its content is not UTF-8"));
	CHECK(says("{\"Key\":\"\xc3\"}", "its content is not UTF-8"));
	CHECK(is(read_as("{\"Key\":\"\0\"}", 11), "its content is not UTF-8"));
	CHECK(is(read_as("{}\0", 3), "its content is not UTF-8"));
	memset(deep, '[', sizeof(deep));
	memcpy(deep, "{\"Key\":", 7);
	CHECK(is(read_as(deep, sizeof(deep)), "its content is not JSON"));
	for (int open = 0; open < 60; open++)
	{
		deep[7 + open] = '[';
		deep[7 + 119 - open] = ']';
	}
	memcpy(deep + 7 + 120, ",\"Topic\":\"T\"}", sizeof(",\"Topic\":\"T\"}"));
	CHECK(says(deep, NULL) && is(found.topic, "T") && found.key == NULL);
}

/* Secrets of any length: HMAC hashes those that are longer than a block. */
static void
test_secrets(void)
{
	char		secret[300];

	for (size_t n = 1; n < sizeof(secret); n += 31)
	{
		size_t		len;
		char	   *body;

		memset(secret, 'k', n);
		secret[n] = '\0';
		body = sign(ACCOUNT, strlen(ACCOUNT), secret, &len);
		CHECK(is_signed(body, len, secret));
		secret[n - 1] = 'K';
		CHECK(!is_signed(body, len, secret));
		free(body);
	}
}

int
main(void)
{
	test_vectors();
	test_flipped_bits();
	test_envelope();
	test_size();
	test_fields();
	test_secrets();
	return checks_done();
}

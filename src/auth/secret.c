/*
 * secret.c - plaintexts of credentials, tokens and keys in OpenSSL's secure heap.
 *
 * Its memory stays out of core files and, where it can be locked, out of swap; it is cleansed when
 * it is freed. Used in workers and, for set_secret and rotate_key, in backends. Nothing here logs
 * or raises with a secret in it.
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <sys/prctl.h>

#include "common/base64.h"
#include "miscadmin.h"

#include "auth/secret.h"

#define SECURE_HEAP (1024 * 1024)	/* a power of two; see CRYPTO_secure_malloc_init(3) */
#define SECURE_MIN 64

struct ExactSecret
{
	size_t		len;
	char		data[FLEXIBLE_ARRAY_MEMBER];
};

ExactSecret *
exact_secret_alloc(size_t len)
{
	static bool ready = false;
	ExactSecret *secret;

	if (!ready)
	{
		/*
		 * After fork, once a process. Without room to lock memory the heap works unlocked, still
		 * out of core files.
		 */
		CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_MIN);
		if (MyBackendType == B_BG_WORKER)
			prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		ready = true;
	}
	secret = OPENSSL_secure_zalloc(offsetof(ExactSecret, data) + len + 1);
	if (secret != NULL)
		secret->len = len;
	return secret;
}

static ExactSecret *
alloc_or_raise(size_t len)
{
	ExactSecret *secret = exact_secret_alloc(len);

	if (secret == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of secure memory"),
				 errdetail("Failed on request of size %zu.", len)));
	return secret;
}

ExactSecret *
exact_secret_new(const char *data, size_t len)
{
	ExactSecret *secret = alloc_or_raise(len);

	memcpy(secret->data, data, len);
	return secret;
}

const char *
exact_secret_reveal(const ExactSecret *secret, size_t *len)
{
	if (len != NULL)
		*len = secret->len;
	return secret->data;
}

void
exact_secret_free(ExactSecret *secret)
{
	if (secret != NULL)
		OPENSSL_secure_clear_free(secret, offsetof(ExactSecret, data) + secret->len + 1);
}

void
exact_secret_drop(ExactSecret **secret)
{
	exact_secret_free(*secret);
	*secret = NULL;
}

bool
exact_secret_equal(const ExactSecret *a, const ExactSecret *b)
{
	return a->len == b->len && CRYPTO_memcmp(a->data, b->data, a->len) == 0;
}

static bool
is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '-' || c == '.' || c == '_' || c == '~';
}

/* Bytes that a piece needs at most */
static size_t
room_for(const ExactSecretPiece *piece)
{
	if (piece->coding == EXACT_PIECE_PERCENT)
		return piece->len * 3;
	if (piece->coding == EXACT_PIECE_BASE64)
		return (size_t) pg_b64_enc_len((int) piece->len);
	return piece->len;
}

static char *
percent_encode(const char *in, size_t len, char *out)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len; i++)
	{
		if (is_unreserved(in[i]))
			*out++ = in[i];
		else
		{
			*out++ = '%';
			*out++ = hex[(uint8) in[i] >> 4];
			*out++ = hex[(uint8) in[i] & 15];
		}
	}
	return out;
}

/* All in the secure heap, also what is only made on the way. */
ExactSecret *
exact_secret_join(const ExactSecretPiece *pieces, int n)
{
	size_t		max = 0;
	ExactSecret *secret;
	char	   *out;

	for (int i = 0; i < n; i++)
		max += room_for(&pieces[i]);
	secret = alloc_or_raise(max);
	out = secret->data;
	for (int i = 0; i < n; i++)
	{
		const char *in = pieces[i].data;
		size_t		len = pieces[i].len;

		if (pieces[i].coding == EXACT_PIECE_PERCENT)
			out = percent_encode(in, len, out);
		else if (pieces[i].coding == EXACT_PIECE_BASE64)
			out += pg_b64_encode((const void *) in, (int) len, out, (int) room_for(&pieces[i]));
		else
		{
			memcpy(out, in, len);
			out += len;
		}
	}
	*out = '\0';
	/* free cleanses len bytes and reveal reports them: where they differ, a copy is made */
	if ((size_t) (out - secret->data) != max)
	{
		ExactSecret *exact = exact_secret_new(secret->data, out - secret->data);

		exact_secret_free(secret);
		return exact;
	}
	return secret;
}

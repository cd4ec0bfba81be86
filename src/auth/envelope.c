/*
 * envelope.c - credentials and tokens at rest: AES-256-GCM.
 *
 * A key is read from the key file (secret_file.c) for each use and cleansed after it. Called by
 * credential.c, credential_sql.c and token_store.c. Nothing here logs or raises with a secret in
 * it.
 */
#include "postgres.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "port/pg_bswap.h"

#include "auth/envelope.h"
#include "auth/secret.h"
#include "auth/secret_file.h"
#include "base/compat.h"
#include "base/errors.h"

#define NONCE_LEN 12
#define TAG_LEN 16
#define ENVELOPE_VERSION 1

/*
 * One AES-256-GCM operation. Returns NULL, or a static text that says which step failed. out holds
 * in_len bytes; tag is written when sealing and checked when opening. Never raises.
 */
static const char *
run_gcm(bool seal, const uint8 *key, const uint8 *nonce, const uint8 *aad, size_t aad_len,
		const uint8 *in, size_t in_len, uint8 *out, uint8 *tag)
{
	const char *problem = "out of memory";
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int			n = 0;
	int			last = 0;

	if (ctx == NULL)
		goto done;
	problem = "set-up";
	if (EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, NULL, NULL, seal) != 1 ||
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_IVLEN, NONCE_LEN, NULL) != 1 ||
		EVP_CipherInit_ex(ctx, NULL, NULL, key, nonce, seal) != 1 ||
		EVP_CipherUpdate(ctx, NULL, &n, aad, (int) aad_len) != 1)
		goto done;
	problem = "data";
	if (in_len > 0 && EVP_CipherUpdate(ctx, out, &n, in, (int) in_len) != 1)
		goto done;
	problem = "authentication";
	if (!seal && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) != 1)
		goto done;
	if (EVP_CipherFinal_ex(ctx, out + (in_len > 0 ? n : 0), &last) != 1)
		goto done;
	if (seal && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, tag) != 1)
		goto done;
	problem = NULL;
done:
	EVP_CIPHER_CTX_free(ctx);	/* cleanses the key schedule; NULL is fine */
	return problem;
}

/* The place for people (palloc'd). */
static char *
describe(const ExactSecretPlace *place)
{
	return strcmp(place->kind, "token") == 0 ?
		psprintf("%s token of app \"%s\"", place->field, place->name) :
		psprintf("%s of %s \"%s\"", place->field, place->kind, place->name);
}

static void
drain_openssl_errors(void)
{
	unsigned long code;

	while ((code = ERR_get_error()) != 0)
		elog(DEBUG2, "exact: OpenSSL error %lx", code);
}

/* Length-prefixed header, kind, name, field, installation and host (palloc'd). */
static uint8 *
make_aad(const ExactSecretPlace *place, const char *key_id, size_t *len)
{
	const char *parts[] = {key_id, place->kind, place->name, place->field, place->installation,
	place->host};
	uint8	   *aad;
	uint8	   *p;
	size_t		total = 1;

	for (int i = 0; i < (int) lengthof(parts); i++)
		total += 4 + strlen(parts[i]);
	p = aad = palloc(total);
	*p++ = ENVELOPE_VERSION;
	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		uint32		n = (uint32) strlen(parts[i]);
		uint32		wire = pg_hton32(n);

		memcpy(p, &wire, 4);
		memcpy(p + 4, parts[i], n);
		p += 4 + n;
	}
	*len = total;
	return aad;
}

/* Bytes of a secret that are being written: it was made a moment ago and nobody else has it. */
static uint8 *
bytes_of(ExactSecret *secret)
{
	return (uint8 *) unconstify(char *, exact_secret_reveal(secret, NULL));
}

/* The place is authenticated with the ciphertext, so that an envelope opens nowhere else. */
bytea *
exact_envelope_seal(const ExactSecretPlace *place, const ExactSecret *secret, char **key_id)
{
	size_t		len;
	const uint8 *plain = (const uint8 *) exact_secret_reveal(secret, &len);
	size_t		max = 2 + EXACT_KEY_ID_MAX + NONCE_LEN + len + TAG_LEN;
	bytea	   *envelope = palloc0(VARHDRSZ + max);
	uint8	   *p = (uint8 *) VARDATA(envelope);
	char		id[EXACT_KEY_ID_MAX + 1];
	ExactSecret *key = exact_secret_file_key(NULL, id);
	size_t		id_len = strlen(id);
	size_t		aad_len;
	uint8	   *aad = make_aad(place, id, &aad_len);
	uint8	   *nonce = p + 2 + id_len;
	const char *problem;

	*key_id = pstrdup(id);
	*p++ = ENVELOPE_VERSION;
	*p++ = (uint8) id_len;
	memcpy(p, id, id_len);
	p = nonce + NONCE_LEN;
	if (RAND_bytes(nonce, NONCE_LEN) != 1)
		problem = "nonce";
	else
		problem = run_gcm(true, bytes_of(key), nonce, aad, aad_len, plain, len, p, p + len);
	exact_secret_free(key);
	if (problem != NULL)
	{
		drain_openssl_errors();
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_SECRET),
				 errmsg("could not encrypt the %s", describe(place)),
				 errdetail("AES-256-GCM failed at: %s.", problem)));
	}
	p += len + TAG_LEN;
	SET_VARSIZE(envelope, (char *) p - (char *) envelope);
	return envelope;
}

/* Cuts an envelope into its parts; false when it is none. */
static bool
split_envelope(const bytea *envelope, char *id, const uint8 **nonce, const uint8 **cipher,
			   size_t *cipher_len)
{
	const uint8 *p = (const uint8 *) VARDATA_ANY(envelope);
	size_t		len = VARSIZE_ANY_EXHDR(envelope);
	size_t		id_len;

	if (len < 2 || p[0] != ENVELOPE_VERSION)
		return false;
	id_len = p[1];
	if (len < 2 + id_len + NONCE_LEN + TAG_LEN ||
		!exact_secret_file_is_key_id((const char *) p + 2, id_len))
		return false;
	memcpy(id, p + 2, id_len);
	id[id_len] = '\0';
	*nonce = p + 2 + id_len;
	*cipher = *nonce + NONCE_LEN;
	*cipher_len = len - 2 - id_len - NONCE_LEN - TAG_LEN;
	return true;
}

char *
exact_envelope_key_id(const bytea *envelope)
{
	char		id[EXACT_KEY_ID_MAX + 1];
	const uint8 *nonce;
	const uint8 *cipher;
	size_t		len;

	return split_envelope(envelope, id, &nonce, &cipher, &len) ? pstrdup(id) : NULL;
}

/* One refusal for all that can be wrong with it: which it was is nobody's to learn. */
ExactSecret *
exact_envelope_open(const ExactSecretPlace *place, const bytea *envelope)
{
	char		id[EXACT_KEY_ID_MAX + 1];
	const uint8 *nonce = NULL;
	const uint8 *cipher = NULL;
	size_t		len = 0;
	const char *problem = "format";
	ExactSecret *secret = NULL;

	if (split_envelope(envelope, id, &nonce, &cipher, &len))
	{
		size_t		aad_len;
		uint8	   *aad = make_aad(place, id, &aad_len);
		ExactSecret *key = exact_secret_file_key(id, id);
		uint8		tag[TAG_LEN];

		secret = exact_secret_alloc(len);
		memcpy(tag, cipher + len, TAG_LEN);
		problem = "out of secure memory";
		if (secret != NULL)
			problem = run_gcm(false, bytes_of(key), nonce, aad, aad_len, cipher, len,
							  bytes_of(secret), tag);
		exact_secret_free(key);
	}
	if (problem != NULL)
	{
		exact_secret_free(secret);
		drain_openssl_errors();
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_SECRET),
				 errmsg("the %s cannot be opened", describe(place)),
				 errdetail("It was encrypted for another place, host or installation, or with "
						   "another key of the same id, or it was changed."),
				 strcmp(place->kind, "token") == 0 ?
				 errhint("Authorise it again: SELECT exact.authorize_url('%s');", place->name) :
				 errhint("Set it again: SELECT * FROM exact.import_secrets();")));
	}
	return secret;
}

/*
 * secret_test.c - secret.c, secret_file.c and envelope.c alone: envelopes, what binds them, key
 * files. Errors of the server become a jump.
 */
#include "postgres.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"

#define EXACT_GUC_H
static char *exact_key_file = "";

#include "auth/envelope.c"
#include "auth/secret.c"
#include "auth/secret_file.c"
#include "base/digest.c"

#include "check.h"

/* The few things of the server that these files use */
char	   *DataDir = "/nonexistent/data";
BackendType MyBackendType = B_BACKEND;
static jmp_buf failed;
static int	failed_code;
static char failed_text[1000];

bool
errstart(int elevel, const char *domain pg_attribute_unused())
{
	failed_code = 0;
	failed_text[0] = '\0';
	return elevel >= ERROR;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

void
errfinish(const char *filename pg_attribute_unused(), int lineno pg_attribute_unused(),
		  const char *funcname pg_attribute_unused())
{
	longjmp(failed, 1);
}

int
errcode(int sqlerrcode)
{
	failed_code = sqlerrcode;
	return 0;
}

static void
keep_text(const char *fmt, va_list args)
{
	size_t		n = strlen(failed_text);

	vsnprintf(failed_text + n, sizeof(failed_text) - n, fmt, args);
	strlcat(failed_text, "\n", sizeof(failed_text));
}

#define KEEPER(name) \
int name(const char *fmt, ...) { \
	va_list args; va_start(args, fmt); keep_text(fmt, args); va_end(args); return 0; }
KEEPER(errmsg)
KEEPER(errmsg_internal)
KEEPER(errdetail)
KEEPER(errhint)

#define RAISES(code, part, statement) \
	do { \
		if (setjmp(failed) == 0) \
		{ \
			statement; \
			CHECK(!"raises"); \
		} \
		else \
			CHECK(failed_code == (code) && strstr(failed_text, (part)) != NULL); \
	} while (0)

static char directory[100] = "/tmp/exact_secret_test_XXXXXX";
static char key_path[200];

static void
write_keys(const char *content, mode_t mode)
{
	int			fd;

	unlink(key_path);
	fd = open(key_path, O_CREAT | O_WRONLY | O_EXCL, 0600);
	CHECK(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t) strlen(content));
	CHECK(fchmod(fd, mode) == 0);
	close(fd);
}

#define K1 "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define K2 "K-2_x:FFFEFDFCFBFAF9F8F7F6F5F4F3F2F1F0EFEEEDECEBEAE9E8E7E6E5E4E3E2E1E0"

static const ExactSecretPlace place = {"app", "erp", "client_secret", "installation-1",
	"https://start.exactonline.nl"};

static bytea *
seal(const char *value, char **key_id)
{
	ExactSecret *secret = exact_secret_new(value, strlen(value));
	bytea	   *envelope = exact_envelope_seal(&place, secret, key_id);

	exact_secret_free(secret);
	return envelope;
}

static bool
opens_as(const bytea *envelope, const char *value)
{
	size_t		len;
	ExactSecret *secret = exact_envelope_open(&place, envelope);
	bool		same = strcmp(exact_secret_reveal(secret, &len), value) == 0 &&
		len == strlen(value);

	exact_secret_free(secret);
	return same;
}

static void
test_envelopes(void)
{
	static const char value[] = "MarkerSecret!/+= \xc3\xa9";
	char	   *key_id;
	bytea	   *first;
	bytea	   *second;
	bytea	   *empty;
	size_t		len;

	write_keys(K1 "\n", 0600);
	first = seal(value, &key_id);
	len = VARSIZE(first) - VARHDRSZ;
	CHECK(strcmp(key_id, "k1") == 0);
	CHECK(len == 2 + 2 + 12 + strlen(value) + 16);
	CHECK(VARDATA(first)[0] == 1 && VARDATA(first)[1] == 2 &&
		  memcmp(VARDATA(first) + 2, "k1", 2) == 0);
	CHECK(memmem(VARDATA(first), len, "Marker", 6) == NULL);
	CHECK(strcmp(exact_envelope_key_id(first), "k1") == 0);
	CHECK(opens_as(first, value));
	second = seal(value, &key_id);
	CHECK(memcmp(VARDATA(first) + 4, VARDATA(second) + 4, 12) != 0);	/* a nonce of its own */
	CHECK(memcmp(VARDATA(first) + 16, VARDATA(second) + 16, len - 16) != 0);
	empty = seal("", &key_id);
	CHECK(opens_as(empty, ""));

	/* every byte counts, and so does the length */
	for (size_t i = 0; i < len; i++)
	{
		VARDATA(first)[i] ^= 1;
		if (setjmp(failed) == 0)
		{
			exact_envelope_open(&place, first);
			CHECK(!"opens after a change");
		}
		else
			CHECK(failed_code == ERRCODE_EXACT_SECRET || (failed_code == ERRCODE_EXACT_KEY_FILE &&
														  i >= 1 && i < 4));
		VARDATA(first)[i] ^= 1;
	}
	for (volatile size_t n = 0; n < len; n++)
	{
		SET_VARSIZE(first, VARHDRSZ + n);
		RAISES(ERRCODE_EXACT_SECRET, "cannot be opened", exact_envelope_open(&place, first));
	}
	SET_VARSIZE(first, VARHDRSZ + len);
	CHECK(opens_as(first, value));
}

static void
test_places(void)
{
	char	   *key_id;
	bytea	   *envelope = seal("value", &key_id);
	ExactSecretPlace others[] = {
		{"workspace", "erp", "client_secret", "installation-1", "https://start.exactonline.nl"},
		{"app", "er", "pclient_secret", "installation-1", "https://start.exactonline.nl"},
		{"app", "erp", "webhook_secret", "installation-1", "https://start.exactonline.nl"},
		{"app", "erp", "client_secret", "installation-2", "https://start.exactonline.nl"},
		{"app", "erp", "client_secret", "installation-1", "https://start.exactonline.be"},
		{"app", "erp", "client_secret", "installation-1https:", "//start.exactonline.nl"},
	};

	for (int i = 0; i < (int) lengthof(others); i++)
		RAISES(ERRCODE_EXACT_SECRET, "cannot be opened", exact_envelope_open(&others[i], envelope));
	CHECK(strstr(failed_text, "value") == NULL);
}

static void
test_rotation(void)
{
	char	   *key_id;
	bytea	   *old;
	bytea	   *new;

	write_keys(K1, 0400);
	old = seal("old", &key_id);
	write_keys("# keys\n\n  " K1 " \t\r\n\t" K2 "\n\n", 0600);
	new = seal("new", &key_id);
	CHECK(strcmp(key_id, "K-2_x") == 0);
	CHECK(opens_as(old, "old") && opens_as(new, "new"));
	write_keys(K2, 0600);
	CHECK(opens_as(new, "new"));
	RAISES(ERRCODE_EXACT_KEY_FILE, "key \"k1\" is not in key file",
		   exact_envelope_open(&place, old));
	write_keys("k1" "\x3a" "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n",
			   0600);
	RAISES(ERRCODE_EXACT_SECRET, "cannot be opened", exact_envelope_open(&place, old));
	/* the digits of a key in either case are one key; an id has every letter and digit it may */
	write_keys("zZ9-aA0_:abcdefABCDEF9090abcdefABCDEF9090abcdefABCDEF9090abcdefABCDEF9090\n", 0600);
	old = seal("old", &key_id);
	CHECK(strcmp(key_id, "zZ9-aA0_") == 0);
	write_keys("zZ9-aA0_:ABCDEFabcdef9090ABCDEFabcdef9090ABCDEFabcdef9090ABCDEFabcdef9090\n", 0600);
	CHECK(opens_as(old, "old"));
}

static void
test_key_files(void)
{
	static const char *const bad[] = {
		"", "\n# nothing\n", "k1", "k1:",
		":" "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		K1 "0", "k 1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"k1:g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", K1 "\nrubbish",
		K1 "\n" K2 "\n" K2,
		"a23456789012345678901234567890123:"
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	};
	char	   *key_id;
	char	   *hint;
	ExactSecret *secret = exact_secret_new("x", 1);

	for (int i = 0; i < (int) lengthof(bad); i++)
	{
		write_keys(bad[i], 0600);
		RAISES(ERRCODE_EXACT_KEY_FILE, "cannot be used",
			   exact_envelope_seal(&place, secret, &key_id));
		CHECK(exact_secret_file_key_problem(NULL, &hint) != NULL && hint != NULL);
		CHECK(strstr(failed_text, "0001") == NULL);
	}
	write_keys(K1, 0604);
	RAISES(ERRCODE_EXACT_KEY_FILE, "is open to others (mode 0604)",
		   exact_envelope_seal(&place, secret, &key_id));
	write_keys(K1, 0600);
	CHECK(exact_secret_file_key_problem(NULL, &hint) == NULL);
	DataDir = directory;
	RAISES(ERRCODE_EXACT_KEY_FILE, "is inside the data directory",
		   exact_envelope_seal(&place, secret, &key_id));
	DataDir = "/nonexistent/data";
	unlink(key_path);
	RAISES(ERRCODE_EXACT_KEY_FILE, "does not exist", exact_envelope_seal(&place, secret, &key_id));
	CHECK(symlink("/dev/null", key_path) == 0);
	RAISES(ERRCODE_EXACT_KEY_FILE, "is a symbolic link",
		   exact_envelope_seal(&place, secret, &key_id));
	unlink(key_path);
	CHECK(mkfifo(key_path, 0600) == 0);
	RAISES(ERRCODE_EXACT_KEY_FILE, "is not a regular file",
		   exact_envelope_seal(&place, secret, &key_id));
	unlink(key_path);
	exact_key_file = "relative/key";
	RAISES(ERRCODE_EXACT_KEY_FILE, "is not an absolute path",
		   exact_envelope_seal(&place, secret, &key_id));
	exact_key_file = "";
	RAISES(ERRCODE_EXACT_KEY_FILE, "key_file is not set",
		   exact_envelope_seal(&place, secret, &key_id));
	exact_key_file = key_path;
	exact_secret_free(secret);
}

static void
test_pieces(void)
{
	ExactSecretPiece pieces[] = {
		{"a=", 2, EXACT_PIECE_PLAIN},
		{"!+/= ~\xc3\xa9", 8, EXACT_PIECE_PERCENT},
		{"&b=", 3, EXACT_PIECE_PLAIN},
		{"id:secret", 9, EXACT_PIECE_BASE64},
		{"", 0, EXACT_PIECE_BASE64},
	};
	ExactSecret *joined = exact_secret_join(pieces, lengthof(pieces));
	ExactSecret *same = exact_secret_new("a=%21%2B%2F%3D%20~%C3%A9&b=aWQ6c2VjcmV0", 39);
	ExactSecret *other = exact_secret_new("a=%21%2B%2F%3D%20~%C3%A9&b=aWQ6c2VjcmV1", 39);
	uint8		digest[32];
	char	   *random = exact_random_hex(16);

	CHECK(strcmp(exact_secret_reveal(joined, NULL), exact_secret_reveal(same, NULL)) == 0);
	CHECK(exact_secret_equal(joined, same) && !exact_secret_equal(joined, other));
	exact_secret_free(joined);
	exact_secret_free(same);
	exact_secret_free(other);
	exact_secret_free(NULL);
	exact_sha256("abc", 3, digest);
	CHECK(digest[0] == 0xba && digest[1] == 0x78 && digest[31] == 0xad);
	CHECK(strlen(random) == 32 && strspn(random, "0123456789abcdef") == 32 &&
		  strcmp(random, exact_random_hex(16)) != 0);
}

int
main(void)
{
	if (mkdtemp(directory) == NULL)
		return 1;
	snprintf(key_path, sizeof(key_path), "%s/key", directory);
	exact_key_file = key_path;
	test_envelopes();
	test_places();
	test_rotation();
	test_key_files();
	test_pieces();
	unlink(key_path);
	rmdir(directory);
	return checks_done();
}

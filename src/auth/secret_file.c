/*
 * secret_file.c - files that hold secrets: the key file, and the rules for every file that secrets
 * are read from.
 *
 * Keys are read from exact_databricks.key_file for each use, so a new key file counts at once and
 * no key stays in memory. Called by envelope.c and credential_import.c. No message holds any
 * content of a file.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"

#include "auth/secret.h"
#include "auth/secret_file.h"
#include "base/errors.h"
#include "base/guc.h"

#define KEY_LEN 32
#define KEY_FILE_MAX (64 * 1024)
#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

static const char line_hint[] =
	"Each line is an id of 1 to 32 letters, digits, - or _, a colon and 64 hex digits; "
	"the last line encrypts.";
static const char back_hint[] =
	"Put the line of that key back before the others, or set the credential again.";

static uint8 *
key_bytes(ExactSecret *key)
{
	return (uint8 *) unconstify(char *, exact_secret_reveal(key, NULL));
}

bool
exact_secret_file_in_data_directory(const char *path)
{
	char	   *real = realpath(path, NULL);
	char	   *data = realpath(DataDir, NULL);
	bool		inside = false;

	if (real != NULL && data != NULL)
	{
		size_t		n = strlen(data);

		inside = strncmp(real, data, n) == 0 && (real[n] == '\0' || real[n] == '/');
	}
	free(real);
	free(data);
	return inside;
}

/* What keeps an opened file from holding secrets; NULL when nothing does. */
static char *
file_problem(const struct stat *st, size_t max, char **hint)
{
	if (!S_ISREG(st->st_mode))
		return pstrdup("is not a regular file");
	if (st->st_uid != geteuid() && st->st_uid != 0)
	{
		*hint = pstrdup("It must belong to the user that runs the server: chown it.");
		return psprintf("belongs to user %u", (unsigned) st->st_uid);
	}
	if ((st->st_mode & (S_IRWXG | S_IRWXO)) != 0)
	{
		*hint = pstrdup("Only the server's user may have rights on it: chmod 0400.");
		return psprintf("is open to others (mode %04o)", (unsigned) (st->st_mode & 07777));
	}
	if ((size_t) st->st_size > max)
		return psprintf("is larger than %zu bytes", max);
	return NULL;
}

/* The secret without the byte order mark that some editors write before it */
static ExactSecret *
without_mark(ExactSecret *secret)
{
	size_t		len;
	const char *data = exact_secret_reveal(secret, &len);
	ExactSecret *rest;

	if (len < strlen(BYTE_ORDER_MARK) ||
		memcmp(data, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) != 0)
		return secret;
	rest = exact_secret_new(data + strlen(BYTE_ORDER_MARK), len - strlen(BYTE_ORDER_MARK));
	exact_secret_free(secret);
	return rest;
}

/* The opened file is examined, not its name: nothing can be put in its place in between. */
ExactSecret *
exact_secret_file_read(int dir, const char *path, size_t max, char **problem, char **hint)
{
	int			fd;
	struct stat st;
	ExactSecret *secret;
	char	   *data;
	size_t		len;
	size_t		got = 0;

	*problem = NULL;
	*hint = NULL;
	/* O_NONBLOCK: a pipe in this place must not stop the server */
	fd = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
	{
		*problem = errno == ELOOP ? pstrdup("is a symbolic link") :
			errno == ENOENT ? pstrdup("does not exist") :
			psprintf("cannot be opened: %s", strerror(errno));
		return NULL;
	}
	if (fstat(fd, &st) != 0)
		*problem = psprintf("cannot be examined: %s", strerror(errno));
	else
		*problem = file_problem(&st, max, hint);
	if (*problem != NULL)
	{
		close(fd);
		return NULL;
	}
	secret = exact_secret_alloc((size_t) st.st_size);
	if (secret == NULL)
	{
		close(fd);
		*problem = pstrdup("does not fit into secure memory");
		return NULL;
	}
	data = unconstify(char *, exact_secret_reveal(secret, &len));
	while (got < len)
	{
		ssize_t		n = read(fd, data + got, len - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += n;
	}
	close(fd);
	if (got < len)
	{
		exact_secret_free(secret);
		*problem = pstrdup("cannot be read to its end");
		return NULL;
	}
	secret = without_mark(secret);
	if (secret == NULL)
		*problem = pstrdup("does not fit into secure memory");
	return secret;
}

bool
exact_secret_file_is_key_id(const char *s, size_t n)
{
	if (n < 1 || n > EXACT_KEY_ID_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
			  (s[i] >= '0' && s[i] <= '9') || s[i] == '-' || s[i] == '_'))
			return false;
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Reads the digits of a key; bytes NULL: they are only checked. */
static bool
read_digits(const char *digits, uint8 *bytes)
{
	for (int i = 0; i < KEY_LEN; i++)
	{
		int			high = hex_digit(digits[2 * i]);
		int			low = hex_digit(digits[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		if (bytes != NULL)
			bytes[i] = (uint8) (high << 4 | low);
	}
	return true;
}

/*
 * Finds a key in the text of a key file: the one with this id, or the last one for NULL, and writes
 * its id and its bytes. False when it is not there; a malformed file gives *problem, palloc'd,
 * without its content. Every line is checked in either case.
 */
static bool
find_key(const ExactSecret *file, const char *id, char *found_id, uint8 *bytes, char **problem)
{
	size_t		len;
	const char *p = exact_secret_reveal(file, &len);
	const char *end = p + len;
	bool		found = false;

	*problem = NULL;
	for (int line = 1; p < end; line++)
	{
		const char *eol = memchr(p, '\n', end - p);
		const char *stop = eol ? eol : end;

		while (stop > p && (stop[-1] == ' ' || stop[-1] == '\t' || stop[-1] == '\r'))
			stop--;
		while (p < stop && (*p == ' ' || *p == '\t'))
			p++;
		if (p < stop && *p != '#')
		{
			const char *colon = memchr(p, ':', stop - p);
			size_t		id_len = colon ? (size_t) (colon - p) : 0;
			bool		wanted = id == NULL ||
				(strlen(id) == id_len && memcmp(id, p, id_len) == 0);

			if (!exact_secret_file_is_key_id(p, id_len) || stop - colon - 1 != KEY_LEN * 2 ||
				!read_digits(colon + 1, wanted ? bytes : NULL))
				*problem = psprintf("line %d is not \"id:64 hex digits\"", line);
			else if (wanted && id != NULL && found)
				*problem = psprintf("line %d repeats a key id", line);
			if (*problem != NULL)
				return false;
			if (wanted)
			{
				memmove(found_id, p, id_len);
				found_id[id_len] = '\0';
				found = true;
			}
		}
		p = eol ? eol + 1 : end;
	}
	return found;
}

/*
 * The newest key is the last one of the file. It must be the only one of its id, else what it seals
 * may not open.
 */
static bool
find_newest_key(const ExactSecret *file, char *found_id, uint8 *bytes, char **problem)
{
	char		newest[EXACT_KEY_ID_MAX + 1];

	if (find_key(file, NULL, newest, bytes, problem))
		return find_key(file, newest, found_id, bytes, problem);
	if (*problem == NULL)
		*problem = pstrdup("it holds no key");
	return false;
}

/* The text of the key file; NULL with *problem, a sentence, and *hint. */
static ExactSecret *
read_key_file(char **problem, char **hint)
{
	static const char make_one[] =
		"Make it outside the data directory, owned by the server's user with mode 0400: "
		"echo \"k1:$(openssl rand -hex 32)\"; "
		"then set exact_databricks.key_file and SELECT pg_reload_conf().";
	ExactSecret *file;

	*hint = NULL;
	if (exact_key_file == NULL || exact_key_file[0] == '\0')
	{
		*problem = pstrdup("exact_databricks.key_file is not set");
		*hint = pstrdup(make_one);
		return NULL;
	}
	if (exact_key_file[0] != '/')
	{
		*problem = psprintf("key file \"%s\" is not an absolute path", exact_key_file);
		return NULL;
	}
	if (exact_secret_file_in_data_directory(exact_key_file))
	{
		*problem = psprintf("key file \"%s\" is inside the data directory", exact_key_file);
		*hint = pstrdup("A base backup would have the key together with what it protects: "
						"move it out and make a new key.");
		return NULL;
	}
	file = exact_secret_file_read(AT_FDCWD, exact_key_file, KEY_FILE_MAX, problem, hint);
	if (file == NULL)
	{
		if (strcmp(*problem, "does not exist") == 0)
			*hint = pstrdup(make_one);
		else if (strcmp(*problem, "is a symbolic link") == 0)	/* a mounted secret of Kubernetes */
			*hint = pstrdup("Put a copy of the file itself there: install -m 0400.");
		*problem = psprintf("key file \"%s\" %s", exact_key_file, *problem);
	}
	return file;
}

/* Read anew for each use: no key stays in memory. */
ExactSecret *
exact_secret_file_key(const char *id, char *found_id)
{
	char	   *problem;
	char	   *hint;
	char		wanted[EXACT_KEY_ID_MAX + 1] = "";
	ExactSecret *file = read_key_file(&problem, &hint);
	ExactSecret *key;
	bool		found;

	if (file == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_KEY_FILE),
				 errmsg("%s", problem),
				 errdetail("Credentials and tokens cannot be encrypted or opened without it."),
				 hint ? errhint("%s", hint) : 0));
	if (id != NULL)
		strlcpy(wanted, id, sizeof(wanted));	/* found_id may be the same memory */
	key = exact_secret_alloc(KEY_LEN);
	if (key == NULL)
	{
		exact_secret_free(file);
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of secure memory")));
	}
	if (id == NULL)
		found = find_newest_key(file, found_id, key_bytes(key), &problem);
	else
		found = find_key(file, wanted, found_id, key_bytes(key), &problem);
	exact_secret_free(file);
	if (found)
		return key;
	exact_secret_free(key);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_KEY_FILE),
				 errmsg("key file \"%s\" cannot be used: %s", exact_key_file, problem),
				 errhint("%s", line_hint)));
	ereport(ERROR,
			(errcode(ERRCODE_EXACT_KEY_FILE),
			 errmsg("key \"%s\" is not in key file \"%s\"", wanted, exact_key_file),
			 errdetail("A stored credential or token was encrypted with it."),
			 errhint("%s", back_hint)));
	pg_unreachable();
}

char *
exact_secret_file_key_problem(const char *id, char **hint)
{
	char	   *problem;
	char		found_id[EXACT_KEY_ID_MAX + 1];
	ExactSecret *file = read_key_file(&problem, hint);
	ExactSecret *key;

	if (file == NULL)
		return problem;
	key = exact_secret_alloc(KEY_LEN);
	if (key == NULL)
		problem = pstrdup("out of secure memory");
	else if (id != NULL ? !find_key(file, id, found_id, key_bytes(key), &problem) :
			 !find_newest_key(file, found_id, key_bytes(key), &problem))
	{
		*hint = pstrdup(problem != NULL ? line_hint : back_hint);
		problem = problem != NULL ?
			psprintf("key file \"%s\" cannot be used: %s", exact_key_file, problem) :
			psprintf("key \"%s\" is not in key file \"%s\"", id, exact_key_file);
	}
	exact_secret_free(key);
	exact_secret_free(file);
	return problem;
}

/*
 * credential_import.c - secrets from files: exact.import_secrets() as the fetcher runs it.
 *
 * Reads <kind>.<name>.<field> in exact_databricks.secrets_directory; files that begin with a dot
 * are ignored. A file that cannot be taken is reported and stops nothing. A value that is stored
 * already is left alone, so a refresh token that was imported once does not replace the newer chain
 * that grew from it. No result holds any content of a file.
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "auth/credential.h"
#include "auth/credential_import.h"
#include "auth/secret.h"
#include "auth/secret_file.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/guc.h"
#include "worker/self.h"
#include "worker/unit.h"

#define FILE_MAX (64 * 1024)
#define FILES_MAX 1000

typedef struct ImportFile
{
	char	   *kind;
	char	   *name;
	char	   *field;
	ExactSecret *value;
	bool		stored;
} ImportFile;

static void
append_member(StringInfo json, const char *key, const char *value)
{
	appendStringInfoString(json, json->data[json->len - 1] == '{' ? "" : ",");
	escape_json(json, key);
	appendStringInfoChar(json, ':');
	if (value != NULL)
		escape_json(json, value);
	else
		appendStringInfoString(json, "null");
}

/* The answer when no file can be looked at. */
static char *
whole_failure(char *message, const char *detail, const char *hint)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	append_member(&json, "sqlstate", unpack_sql_state(ERRCODE_EXACT_SECRET));
	append_member(&json, "message", message);
	append_member(&json, "detail", detail);
	append_member(&json, "hint", hint);
	appendStringInfoChar(&json, '}');
	return json.data;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Names in the directory in order, without those that begin with a dot. */
static char **
list_files(int dir, int *n)
{
	char	  **names = palloc(sizeof(char *) * FILES_MAX);
	int			own = dup(dir);
	DIR		   *stream = own >= 0 ? fdopendir(own) : NULL;
	struct dirent *entry;

	*n = 0;
	if (stream == NULL)
	{
		if (own >= 0)
			close(own);
		return names;
	}
	while (*n < FILES_MAX && (entry = readdir(stream)) != NULL)
		if (entry->d_name[0] != '.')
		{
			const char *name = entry->d_name;
			bool		readable = pg_verify_mbstr(PG_UTF8, name, (int) strlen(name), true);

			names[(*n)++] = pstrdup(readable ? name : "?");
		}
	closedir(stream);
	qsort(names, *n, sizeof(char *), compare_names);
	return names;
}

static void
store_unit(void *arg)
{
	ImportFile *file = arg;

	file->stored = exact_credential_store(file->kind, file->name, file->field, file->value, true);
}

/* The value without the line end that editors put behind it. */
static ExactSecret *
trim_line_end(ExactSecret *value)
{
	size_t		len;
	const char *data = exact_secret_reveal(value, &len);
	ExactSecret *trimmed;

	if (len == 0 || data[len - 1] != '\n')
		return value;
	len--;
	if (len > 0 && data[len - 1] == '\r')
		len--;
	trimmed = exact_secret_new(data, len);
	exact_secret_free(value);
	return trimmed;
}

/* Takes one file; returns what to say about it. */
static char *
import_file(int dir, const char *file_name, ImportFile *file)
{
	char	   *copy = pstrdup(file_name);
	char	   *first = strchr(copy, '.');
	char	   *last = strrchr(copy, '.');
	const char *why = NULL;
	char	   *problem;
	char	   *hint;
	ExactFault *fault = NULL;

	if (first == NULL || first == last)
	{
		file->name = copy;
		return pstrdup("ignored: the name of the file is not <kind>.<name>.<field>");
	}
	*first = *last = '\0';
	file->kind = copy;
	file->name = first + 1;
	file->field = last + 1;
	if (!exact_credential_known(file->kind, file->field, &why))
		return psprintf("ignored: %s", why);

	file->value = exact_secret_file_read(dir, file_name, FILE_MAX, &problem, &hint);
	if (file->value == NULL)
		return psprintf("refused: the file %s%s%s", problem, hint ? ". " : "", hint ? hint : "");
	file->value = trim_line_end(file->value);
	if (exact_unit_run("import secret", store_unit, file, &fault))
		problem = pstrdup(file->stored ? "imported" : "unchanged");
	else
		problem = psprintf("refused: %s%s%s", fault->message, fault->hint ? ". " : "",
						   fault->hint ? fault->hint : "");
	exact_secret_free(file->value);
	file->value = NULL;
	return problem;
}

/*
 * Opens the directory, which nobody but the server's user may write into. -1, with what to answer
 * in *failure, when it cannot be used.
 */
static int
open_directory(char **failure)
{
	struct stat st;
	int			dir;

	if (exact_secrets_directory[0] == '\0')
	{
		*failure = whole_failure(pstrdup("exact_databricks.secrets_directory is not set"), NULL,
								 "Set it to a directory that only the server's user can enter, "
								 "then SELECT pg_reload_conf().");
		return -1;
	}
	if (exact_secret_file_in_data_directory(exact_secrets_directory))
	{
		*failure = whole_failure(psprintf("secrets directory \"%s\" is inside the data directory",
										  exact_secrets_directory),
								 "A base backup would carry the secrets.",
								 "Move it out and make new secrets.");
		return -1;
	}
	dir = open(exact_secrets_directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
	{
		*failure = whole_failure(psprintf("secrets directory \"%s\" cannot be opened: %s",
										  exact_secrets_directory, strerror(errno)), NULL,
								 "It must be a directory, no symbolic link, "
								 "that the server's user may read.");
		return -1;
	}
	if (fstat(dir, &st) != 0 || (st.st_uid != geteuid() && st.st_uid != 0) ||
		(st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
	{
		close(dir);
		*failure = whole_failure(psprintf("others may write into the secrets directory \"%s\"",
										  exact_secrets_directory), NULL,
								 "It must belong to the server's user or root, "
								 "with mode 0700 or 0500.");
		return -1;
	}
	return dir;
}

/* Each file is a unit of its own, so that one which cannot be taken stops nothing. */
char *
exact_credential_import(void)
{
	MemoryContext context;
	MemoryContext old;
	StringInfoData json;
	char	  **names;
	int			n;
	int			imported = 0;
	char	   *failure;
	int			dir = open_directory(&failure);

	if (dir < 0)
		return failure;
	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	context = AllocSetContextCreate(CurrentMemoryContext, "exact import", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	names = list_files(dir, &n);
	for (int i = 0; i < n; i++)
	{
		ImportFile	file = {0};
		char	   *result = import_file(dir, names[i], &file);

		if (file.stored)
			imported++;
		appendStringInfoString(&json, i == 0 ? "{" : ",{");
		append_member(&json, "kind", file.kind);
		append_member(&json, "name", file.name);
		append_member(&json, "field", file.field);
		append_member(&json, "result", result);
		appendStringInfoChar(&json, '}');
	}
	appendStringInfoChar(&json, ']');
	close(dir);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	exact_log(LOG, "secrets files=%d imported=%d", n, imported);
	return json.data;
}

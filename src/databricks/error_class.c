/*
 * error_class.c - what an error of Databricks is about, in whatever form the service shows it.
 *
 * The SQLSTATE of a known class goes before one that stands in the text: the text may hold values
 * of records. Called by databricks_answer.c.
 */
#include "postgres.h"

#include "databricks/error_class.h"

#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyz" CAPITALS

typedef struct Known
{
	const char *name;
	const char *sqlstate;
} Known;

/* Classes of Spark, Delta and Unity Catalog that a statement of the hub may meet */
static const Known classes[] = {
	{"ARITHMETIC_OVERFLOW", "22003"},
	{"CAST_INVALID_INPUT", "22018"},
	{"CAST_OVERFLOW", "22003"},
	{"CAST_OVERFLOW_IN_TABLE_INSERT", "22003"},
	{"CATALOG_DOES_NOT_EXIST", "42704"},
	{"CATALOG_NOT_FOUND", "42704"},
	{"DATATYPE_MISMATCH", "42K09"},
	{"DELTA_CAST_OVERFLOW_IN_TABLE_WRITE", "22003"},
	{"DELTA_COLUMN_NOT_FOUND_IN_SCHEMA", "42703"},
	{"DELTA_CONCURRENT_APPEND", "2D521"},
	{"DELTA_CONCURRENT_DELETE_DELETE", "2D521"},
	{"DELTA_CONCURRENT_DELETE_READ", "2D521"},
	{"DELTA_CONCURRENT_TRANSACTION", "2D521"},
	{"DELTA_CONCURRENT_WRITE", "2D521"},
	{"DELTA_DUPLICATE_COLUMNS_FOUND", "42711"},
	{"DELTA_EXCEED_CHAR_VARCHAR_LIMIT", "22001"},
	{"DELTA_FEATURES_REQUIRE_MANUAL_ENABLEMENT", "42000"},
	{"DELTA_MAX_COMMIT_RETRIES_EXCEEDED", "40000"},
	{"DELTA_MERGE_UNRESOLVED_EXPRESSION", "42601"},
	{"DELTA_METADATA_CHANGED", "2D521"},
	{"DELTA_METADATA_MISMATCH", "42KDG"},
	{"DELTA_MISSING_DELTA_TABLE", "42P01"},
	{"DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE", "21506"},
	{"DELTA_NEW_CHECK_CONSTRAINT_VIOLATION", "23512"},
	{"DELTA_NEW_NOT_NULL_VIOLATION", "23512"},
	{"DELTA_NOT_NULL_CONSTRAINT_VIOLATED", "23502"},
	{"DELTA_PATH_DOES_NOT_EXIST", "42K03"},
	{"DELTA_PROTOCOL_CHANGED", "2D521"},
	{"DELTA_TABLE_NOT_FOUND", "42P01"},
	{"DELTA_VIOLATE_CONSTRAINT_WITH_VALUES", "23001"},
	{"DIVIDE_BY_ZERO", "22012"},
	{"EXPECT_TABLE_NOT_VIEW", "42809"},
	{"FAILED_READ_FILE", "KD001"},
	{"FIELD_ALREADY_EXISTS", "42710"},
	{"INSUFFICIENT_PERMISSIONS", "42501"},
	{"INTERNAL_ERROR", "XX000"},
	{"MALFORMED_RECORD_IN_PARSING", "22023"},
	{"MISSING_PRIVILEGES", "42501"},
	{"NO_SUCH_CATALOG_EXCEPTION", "42704"},
	{"NUMERIC_OUT_OF_SUPPORTED_RANGE", "22003"},
	{"NUMERIC_VALUE_OUT_OF_RANGE", "22003"},
	{"PARSE_SYNTAX_ERROR", "42601"},
	{"PATH_NOT_FOUND", "42K03"},
	{"PERMISSION_DENIED", "42501"},
	{"SCHEMA_DOES_NOT_EXIST", "42704"},
	{"SCHEMA_NOT_FOUND", "42704"},
	{"TABLE_DOES_NOT_EXIST", "42P01"},
	{"TABLE_OR_VIEW_ALREADY_EXISTS", "42P07"},
	{"TABLE_OR_VIEW_NOT_FOUND", "42P01"},
	{"UNAUTHORIZED_ACCESS", "42501"},
	{"UNRESOLVED_COLUMN", "42703"},
	{"USER_RAISED_EXCEPTION", "P0001"},
};

/* Exceptions of Delta that an older text names instead of the class */
static const Known exceptions[] = {
	{"ConcurrentAppendException", "DELTA_CONCURRENT_APPEND"},
	{"ConcurrentDeleteDeleteException", "DELTA_CONCURRENT_DELETE_DELETE"},
	{"ConcurrentDeleteReadException", "DELTA_CONCURRENT_DELETE_READ"},
	{"ConcurrentTransactionException", "DELTA_CONCURRENT_TRANSACTION"},
	{"ConcurrentWriteException", "DELTA_CONCURRENT_WRITE"},
	{"MetadataChangedException", "DELTA_METADATA_CHANGED"},
	{"ProtocolChangedException", "DELTA_PROTOCOL_CHANGED"},
};

static const char *
look_up(const Known *list, int n, const char *name, size_t len)
{
	for (int i = 0; i < n; i++)
		if (strlen(list[i].name) == len && strncmp(list[i].name, name, len) == 0)
			return list[i].sqlstate;
	return NULL;
}

static bool
is_sqlstate(const char *state)
{
	return strspn(state, CAPITALS DIGITS) == 5 && state[5] == '\0' && strcmp(state, "HY000") != 0;
}

/* What may stand before the words: [CLASS], [CLASS.SUB], CODE: and names of exceptions. */
static const char *
skip_names(const char *p, ExactErrorClass *out)
{
	static const char running[] = "Error running query: ";

	for (;;)
	{
		size_t		n;

		while (*p != '\0' && (unsigned char) *p <= ' ')
			p++;
		if (*p == '[')
		{
			size_t		all = strcspn(p + 1, "]");

			n = strcspn(p + 1, "].");
			if (p[1 + all] != ']' || n == 0 || n >= NAMEDATALEN * 2 ||
				strspn(p + 1, CAPITALS DIGITS "_") != n)
				return p;
			if (*out->name == '\0')
				out->name = pnstrdup(p + 1, n);
			p += all + 2;
			continue;
		}
		if (strncmp(p, running, sizeof(running) - 1) == 0)
		{
			p += sizeof(running) - 1;
			continue;
		}
		n = strspn(p, CAPITALS "_");
		if (n > 0 && p[n] == ':' && look_up(classes, lengthof(classes), p, n) != NULL)
		{
			if (*out->name == '\0')
				out->name = pnstrdup(p, n);
			p += n + 1;
			continue;
		}
		n = strspn(p, LETTERS DIGITS "_.$");
		if (n > 9 && p[n] == ':' && strncmp(p + n - 9, "Exception", 9) == 0)
		{
			const char *last = p + n;
			const char *name;

			while (last > p && last[-1] != '.' && last[-1] != '$')
				last--;
			name = look_up(exceptions, lengthof(exceptions), last, p + n - last);
			if (*out->name == '\0' && name != NULL)
				out->name = name;
			p += n + 1;
			continue;
		}
		return p;
	}
}

/* Bytes of the text before what is not for people: the statement, a commit with names of users */
static size_t
length_of_words(const char *words)
{
	static const char *const ends[] = {
		"== SQL", "Conflicting commit: ", "JVM stacktrace", "\n\tat ", NULL
	};
	size_t		len = strlen(words);

	for (int i = 0; ends[i] != NULL; i++)
	{
		const char *end = strstr(words, ends[i]);

		if (end != NULL)
			len = Min(len, (size_t) (end - words));
	}
	return len;
}

/*
 * Takes the SQLSTATE at the end off the words, with the place in the statement behind it. One that
 * is followed by anything else is part of a value.
 */
static const char *
cut_sqlstate(char *words)
{
	static const char key[] = "SQLSTATE: ";
	char	   *last = NULL;
	char	   *state;
	size_t		n;

	for (char *p = strstr(words, key); p != NULL; p = strstr(p + 1, key))
		last = p;
	if (last == NULL)
		return "";
	state = last + sizeof(key) - 1;
	n = strspn(state, CAPITALS DIGITS);
	if (state[n] != '\0' && strchr(". \r\n", state[n]) == NULL)
		return "";
	state = pnstrdup(state, n);
	if (!is_sqlstate(state))
		return "";
	*last = '\0';
	return state;
}

void
exact_error_class_read(const char *message, const char *sqlstate, ExactErrorClass *out)
{
	const char *start;
	const char *in_class;
	const char *in_text;
	char	   *words;

	out->name = "";
	start = skip_names(message, out);
	words = pnstrdup(start, length_of_words(start));
	in_text = cut_sqlstate(words);
	in_class = look_up(classes, lengthof(classes), out->name, strlen(out->name));
	out->words = words;
	if (sqlstate != NULL && is_sqlstate(sqlstate))
		out->sqlstate = sqlstate;
	else
		out->sqlstate = in_class != NULL ? in_class : in_text;
}

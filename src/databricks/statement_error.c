/*
 * statement_error.c - what an error of Databricks means for its statement, and how people are told.
 *
 * Decisions hang on the SQLSTATE, which error_class.c also finds where the service sends none; only
 * where there is none at all on the error_code. Called by statement.c.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "base/errors.h"
#include "base/fault.h"
#include "base/words.h"
#include "databricks/databricks.h"
#include "databricks/databricks_answer.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "databricks/statement_error.h"

#define BLIND_WAIT_MS 60000
#define HIDDEN_WAIT_MS 600000

/* Sendings after the first: what costs as much each time, and passes or not */
#define REPEATS_CONFLICT 20		/* another writer was faster: each time one of them gets on */
#define REPEATS_SERVICE 5		/* the service failed, not the statement */
#define REPEATS_ENDED 2			/* cancelled, or ended by a time limit */
/* a cut transfer, an unreadable file, an end without any reason: once more */
#define REPEATS_ONCE 1

static bool
is_one_of(const char *value, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(value, *list) == 0)
			return true;
	return false;
}

static bool
begins(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static bool
is_raised(const ExactCallAnswer *answer, const char *words)
{
	return strcmp(answer->sqlstate, "P0001") == 0 && strstr(answer->error_text, words) != NULL;
}

bool
exact_statement_error_fenced(const ExactCallAnswer *answer)
{
	return is_raised(answer, EXACT_DELTA_SQL_FENCED);
}

int
exact_statement_error_repeats(const ExactCallAnswer *answer)
{
	static const char *const conflicts[] = {"2D521", "40000", NULL};
	static const char *const once[] = {"22023", "P0001", NULL};
	static const char *const codes[] = {
		"ABORTED", "INTERNAL_ERROR", "IO_ERROR", "RESOURCE_EXHAUSTED",
		"SERVICE_UNDER_MAINTENANCE", "TEMPORARILY_UNAVAILABLE", "UNKNOWN",
		"WORKSPACE_TEMPORARILY_UNAVAILABLE", NULL
	};
	static const char *const ended[] = {"CANCELLED", "DEADLINE_EXCEEDED", NULL};
	const char *state = answer->sqlstate;

	if (answer->state == EXACT_STATEMENT_CANCELED)
		return REPEATS_ENDED;
	if (exact_statement_error_fenced(answer) || is_raised(answer, EXACT_DELTA_SQL_ANSI_OFF))
		return 0;
	if (is_one_of(state, conflicts))
		return REPEATS_CONFLICT;
	if (begins(state, "XX"))
		return REPEATS_SERVICE;
	if (begins(state, "KD") || is_one_of(state, once))
		return REPEATS_ONCE;
	if (*state != '\0')
		return 0;
	if (is_one_of(answer->error_code, ended))
		return REPEATS_ENDED;
	if (is_one_of(answer->error_code, codes))
		return REPEATS_SERVICE;
	return *answer->error_class == '\0' ? REPEATS_ONCE : 0;
}

/* ---- the message ---- */

/*
 * The column whose CAST failed: the engine marks the place in the statement with a line of ^. NULL
 * when it does not.
 */
static char *
failing_column(const char *message)
{
	static const char cast[] = "CAST(r.`";
	const char *caret = strchr(message, '^');
	const char *line;
	const char *above;
	const char *start;

	for (line = caret; line != NULL && line > message && line[-1] != '\n'; line--)
		;
	if (caret == NULL || line == message)
		return NULL;
	for (above = line - 1; above > message && above[-1] != '\n'; above--)
		;
	start = above + (caret - line);
	if (start >= line || strncmp(start, cast, sizeof(cast) - 1) != 0)
		return NULL;
	start += sizeof(cast) - 1;
	return pnstrdup(start, strcspn(start, "`\n"));
}

char *
exact_statement_error_constraint(const ExactCallAnswer *answer)
{
	static const char *const before[] = {
		"CHECK constraint ", "NOT NULL constraint violated for column: ", NULL
	};

	for (int i = 0; begins(answer->sqlstate, "23") && before[i] != NULL; i++)
	{
		const char *name = strstr(answer->error_text, before[i]);
		size_t		n;

		if (name == NULL)
			continue;
		name += strlen(before[i]);
		n = Min(strcspn(name, " (\n"), NAMEDATALEN);
		return pnstrdup(name, n > 0 && name[n - 1] == '.' ? n - 1 : n);
	}
	return NULL;
}

/* Errors about values name the value: only the class and the column are told of those. */
static char *
text_about_values(const ExactCallAnswer *answer)
{
	const char *what = *answer->error_class ? answer->error_class : answer->sqlstate;
	bool		constraint = begins(answer->sqlstate, "23");
	char	   *name = constraint ? exact_statement_error_constraint(answer) :
		failing_column(answer->error_text);

	name = exact_words_clause(name, NAMEDATALEN);
	if (name == NULL)
		return psprintf("a value does not fit (%s)", what);
	return psprintf(constraint ? "a value does not fit the constraint %s (%s)" :
					"a value of column %s does not fit (%s)", name, what);
}

/* What stands in quotes may be a value, where it is not known what the text is about. */
static void
hide_quoted(char *words)
{
	char	   *first = strpbrk(words, "'\"");
	char	   *last = words + strlen(words);

	if (first == NULL)
		return;
	while (last > first && last[-1] != '\'' && last[-1] != '"')
		last--;
	memmove(first, "...", Min(3, last - first));
	if (last - first > 3)
		memmove(first + 3, last, strlen(last) + 1);
}

char *
exact_statement_error_text(const ExactCallAnswer *answer)
{
	char	   *words;

	if (begins(answer->sqlstate, "22") || begins(answer->sqlstate, "23"))
		return text_about_values(answer);
	words = pstrdup(answer->error_words);
	if (*answer->sqlstate == '\0' || begins(answer->sqlstate, "XX"))
		hide_quoted(words);
	words = exact_words_clause(words, EXACT_DATABRICKS_WORDS_MAX);
	if (words != NULL)
		return words;
	return pstrdup(*answer->error_class ? answer->error_class : "no message");
}

/* ---- the next step ---- */

static char *
schema_name(const ExactWorkspace *workspace)
{
	return exact_delta_sql_for_people(psprintf("%s.%s", workspace->catalog, workspace->schema));
}

/* Does the refusal say that this privilege is missing? *what: what stands behind it. */
static bool
is_missing(const ExactCallAnswer *answer, const char *privilege, const char **what)
{
	static const char *const before[] = {
		"does not have permission ", "does not have privilege ", "does not have ", NULL
	};

	for (int i = 0; before[i] != NULL; i++)
	{
		const char *found = strstr(answer->error_words, before[i]);

		if (found == NULL)
			continue;
		found += strlen(before[i]);
		if (!begins(found, privilege) || !begins(found + strlen(privilege), " on "))
			continue;
		*what = found + strlen(privilege) + strlen(" on ");
		return true;
	}
	return false;
}

/*
 * The GRANT that is to be run, by what the refusal names. The names are those of the configuration,
 * never the text of the service.
 */
static char *
make_grant(const ExactStatementRequest *request, const ExactCallAnswer *answer)
{
	static const char *const of_schema[] = {"USE SCHEMA", "CREATE TABLE", NULL};
	const ExactWorkspace *workspace = request->workspace;
	const char *who = workspace->principal ? workspace->principal : "<user of the token>";
	const char *schema = schema_name(workspace);
	const char *what = "";

	if (is_missing(answer, "USE CATALOG", &what))
		return psprintf("GRANT USE CATALOG ON CATALOG %s TO `%s`; the hub tries again by itself.",
						exact_delta_sql_for_people(workspace->catalog), who);
	if (is_missing(answer, "CREATE SCHEMA", &what))
		return psprintf("CREATE SCHEMA %s; GRANT USE SCHEMA, CREATE TABLE, SELECT, MODIFY"
						" ON SCHEMA %s TO `%s`; the hub tries again by itself.",
						schema, schema, who);
	for (int i = 0; of_schema[i] != NULL; i++)
		if (is_missing(answer, of_schema[i], &what))
			return psprintf("GRANT %s ON SCHEMA %s TO `%s`; the hub tries again by itself.",
							of_schema[i], schema, who);
	/* a table that may not be there cannot be granted */
	if ((is_missing(answer, "SELECT", &what) || is_missing(answer, "MODIFY", &what)) &&
		(pg_strncasecmp(what, "schema", 6) == 0 ||
		 (request->may_be_absent && strcmp(request->kind, "check") == 0)))
		return psprintf("GRANT SELECT, MODIFY ON SCHEMA %s TO `%s`; the hub tries again by itself.",
						schema, who);
	if (strcmp(request->kind, "ddl") == 0 && *what == '\0')
		return psprintf("GRANT USE CATALOG ON CATALOG %s TO `%s`;"
						" GRANT USE SCHEMA, CREATE TABLE ON SCHEMA %s TO `%s`;"
						" the hub tries again by itself.",
						exact_delta_sql_for_people(workspace->catalog), who, schema, who);
	return psprintf("GRANT SELECT, MODIFY ON TABLE %s TO `%s`; the hub tries again by itself"
					" within a minute.", exact_delta_sql_for_people(request->table), who);
}

/* A statement about rows is of an entity, which can be resumed; others are of the hub's own. */
static const char *
retry_words(const ExactStatementRequest *request)
{
	if (begins(request->entity, "exact_") || strcmp(request->entity, "views") == 0)
		return "";
	return psprintf(", or at once with SELECT exact.resume(division, '%s')", request->entity);
}

static char *
make_hint(const ExactStatementRequest *request, const ExactCallAnswer *answer)
{
	if (is_raised(answer, EXACT_DELTA_SQL_ANSI_OFF))
		return pstrdup(EXACT_DELTA_SQL_ANSI_HINT);
	if (strcmp(answer->sqlstate, "42501") == 0 ||
		strcmp(answer->error_code, "PERMISSION_DENIED") == 0)
		return make_grant(request, answer);
	if (begins(answer->sqlstate, "22") || begins(answer->sqlstate, "23"))
		return psprintf("Find the value in exact.stage (batches " INT64_FORMAT " to " INT64_FORMAT
						", entity %s). A column that is deselected in exact.entity_field does not"
						" stop the others; its values stay in _payload.",
						request->range.first_batch, request->range.last_batch, request->entity);
	return psprintf("Correct what the message names; the hub tries again by itself%s.",
					retry_words(request));
}

/* ---- the faults ---- */

static char *
make_detail(const char *statement_id, const ExactCallAnswer *answer)
{
	return psprintf("Statement %s, SQLSTATE %s.", statement_id ? statement_id : "without id",
					*answer->sqlstate ? answer->sqlstate : "unknown");
}

ExactFault *
exact_statement_error_refused(const ExactStatementRequest *request, const char *statement_id,
							  const ExactCallAnswer *answer)
{
	char	   *message = psprintf("Databricks refused the %s %s: %s", request->verb,
								   request->table, exact_statement_error_text(answer));

	return exact_fault_make(ERRCODE_EXACT_DATABRICKS_REFUSED, message,
							make_detail(statement_id, answer), make_hint(request, answer));
}

ExactFault *
exact_statement_error_worn_out(const ExactStatementRequest *request, const char *statement_id,
							   int sendings, const ExactCallAnswer *answer)
{
	bool		cancelled = answer->state == EXACT_STATEMENT_CANCELED;
	bool		ended = strcmp(answer->error_code, "DEADLINE_EXCEEDED") == 0;
	char	   *message = psprintf("Databricks %s the %s %s %d times in a row%s%s",
								   cancelled ? "cancelled" : "failed", request->verb,
								   request->table, sendings, cancelled ? "" : ": ",
								   cancelled ? "" : exact_statement_error_text(answer));
	const char *first = cancelled ? "Look who cancels it" :
		ended ? "Raise STATEMENT_TIMEOUT of the warehouse" :
		"Look at the statement in the query history of the warehouse";
	char	   *hint = psprintf("%s; the hub tries again by itself, more and more rarely%s.", first,
								retry_words(request));

	return exact_fault_make(ERRCODE_EXACT_DATABRICKS_UNAVAILABLE, message,
							make_detail(statement_id, answer), hint);
}

ExactFault *
exact_statement_error_again(const ExactStatementRequest *request, const char *why)
{
	char	   *message = psprintf("the %s %s has to be sent again: %s", request->verb,
								   request->table, why);

	return exact_fault_make(ERRCODE_EXACT_DATABRICKS_UNAVAILABLE, message, NULL, NULL);
}

long
exact_statement_blind_ms(const ExactCallAnswer *answer)
{
	return answer->hidden ? HIDDEN_WAIT_MS : BLIND_WAIT_MS;
}

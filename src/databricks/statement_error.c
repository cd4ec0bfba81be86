/*
 * statement_error.c - what an error of Databricks means for its statement, and how people are told.
 * Called by statement.c.
 */
#include "postgres.h"

#include "base/errors.h"
#include "base/fault.h"
#include "base/words.h"
#include "databricks/databricks.h"
#include "databricks/databricks_answer.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "databricks/statement_error.h"

static bool
is_one_of(const char *value, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(value, *list) == 0)
			return true;
	return false;
}

bool
exact_statement_error_passes(const ExactCallAnswer *answer)
{
	static const char *const codes[] = {
		"ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL_ERROR", "IO_ERROR",
		"RESOURCE_EXHAUSTED", "SERVICE_UNDER_MAINTENANCE", "TEMPORARILY_UNAVAILABLE", "UNKNOWN",
		"WORKSPACE_TEMPORARILY_UNAVAILABLE", NULL
	};
	static const char *const states[] = {"2D521", "40000", NULL};

	if (*answer->sqlstate != '\0')
		return is_one_of(answer->sqlstate, states);
	return is_one_of(answer->error_code, codes);
}

bool
exact_statement_error_fenced(const ExactCallAnswer *answer)
{
	return strcmp(answer->sqlstate, "P0001") == 0 &&
		strstr(answer->error_text, EXACT_DELTA_SQL_FENCED) != NULL;
}

bool
exact_statement_error_may_pass(const ExactCallAnswer *answer)
{
	static const char *const states[] = {"22023", "P0001", NULL};

	if (exact_statement_error_fenced(answer))
		return false;
	return strncmp(answer->sqlstate, "KD", 2) == 0 || is_one_of(answer->sqlstate, states);
}

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

/* Errors about values name the value: only the class and the column are told of those. */
char *
exact_statement_error_text(const ExactCallAnswer *answer)
{
	const char *start = answer->error_text;
	char	   *end;
	char	   *words;
	bool		about_values = strncmp(answer->sqlstate, "22", 2) == 0 ||
		strncmp(answer->sqlstate, "23", 2) == 0;

	if (about_values)
	{
		char	   *column = failing_column(answer->error_text);

		if (column != NULL)
			return psprintf("a value of column %s does not fit (%s)", column, answer->error_class);
		return psprintf("a value does not fit (%s)",
						*answer->error_class ? answer->error_class : answer->sqlstate);
	}
	if (*answer->error_class != '\0')
	{
		start = strchr(start, ']');
		start = start != NULL ? start + 1 : answer->error_text;
	}
	words = pnstrdup(start, strcspn(start, "\n"));
	end = strstr(words, " SQLSTATE: ");
	if (end != NULL)
		*end = '\0';
	words = exact_words_clause(words, EXACT_DATABRICKS_WORDS_MAX);
	return words != NULL ? words : pstrdup(answer->error_class);
}

static char *
make_hint(const ExactStatementRequest *request, const ExactCallAnswer *answer)
{
	const ExactWorkspace *workspace = request->workspace;
	const char *who = workspace->principal ? workspace->principal : "<user of the token>";

	if (strcmp(answer->sqlstate, "42501") == 0 ||
		strcmp(answer->error_code, "PERMISSION_DENIED") == 0)
	{
		if (strcmp(request->kind, "ddl") == 0)
			return psprintf("GRANT USE CATALOG ON CATALOG %s TO `%s`;"
							" GRANT USE SCHEMA, CREATE TABLE ON SCHEMA %s.%s TO `%s`;"
							" the hub tries again by itself.",
							workspace->catalog, who, workspace->catalog, workspace->schema, who);
		return psprintf("GRANT SELECT, MODIFY ON TABLE %s TO `%s`; the hub tries again by itself"
						" within a minute.", request->table, who);
	}
	if (strncmp(answer->sqlstate, "22", 2) == 0 || strncmp(answer->sqlstate, "23", 2) == 0)
		return psprintf("Find the value in exact.stage (batches " INT64_FORMAT " to " INT64_FORMAT
						", entity %s). A column that is deselected in exact.entity_field does not"
						" stop the others; its values stay in _payload.",
						request->range.first_batch, request->range.last_batch, request->entity);
	return psprintf("Correct what the message names; the hub tries again by itself, or at once with"
					" SELECT exact.resume(division, '%s').", request->entity);
}

ExactFault *
exact_statement_error_refused(const ExactStatementRequest *request, const char *statement_id,
							  const ExactCallAnswer *answer)
{
	char	   *message = psprintf("Databricks refused the %s %s: %s", request->verb,
								   request->table, exact_statement_error_text(answer));
	char	   *detail = psprintf("Statement %s, SQLSTATE %s.",
								  statement_id ? statement_id : "without id",
								  *answer->sqlstate ? answer->sqlstate : "unknown");

	return exact_fault_make(ERRCODE_EXACT_DATABRICKS_REFUSED, message, detail,
							make_hint(request, answer));
}

ExactFault *
exact_statement_error_again(const ExactStatementRequest *request, const char *why)
{
	char	   *message = psprintf("the %s %s has to be sent again: %s", request->verb,
								   request->table, why);

	return exact_fault_make(ERRCODE_EXACT_DATABRICKS_UNAVAILABLE, message, NULL, NULL);
}

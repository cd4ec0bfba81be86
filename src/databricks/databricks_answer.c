/*
 * databricks_answer.c - what an answer of Databricks says: the state, error and rows of a
 * statement, the words of an error.
 *
 * Called by databricks.c and statement.c, with memory that lives as long as the answer. No network,
 * no SQL.
 */
#include "postgres.h"

#include "base/json.h"
#include "base/words.h"
#include "databricks/databricks.h"
#include "databricks/databricks_answer.h"
#include "http/http_client.h"

#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* The value at a path as text, NULL when it is absent or null */
char *
exact_databricks_answer_text(const ExactHttpResponse *response, const char *path)
{
	ExactJsonMember member;

	if (!exact_json_find(response->body, response->body_len, path, &member))
		return NULL;
	return exact_json_text(&member);
}

/*
 * The shapes: error_code and message, error, plain text. A code of digits says nothing to people.
 */
char *
exact_databricks_answer_words(const ExactHttpResponse *response)
{
	char	   *code = exact_databricks_answer_text(response, "error_code");
	char	   *message = exact_databricks_answer_text(response, "message");

	if (message == NULL)
		message = exact_databricks_answer_text(response, "error");
	if (message == NULL && response->body_len > 0 && *response->body != '<')
		message = response->body;
	message = exact_words_tidy(message, EXACT_DATABRICKS_WORDS_MAX);
	if (message == NULL)
		message = pstrdup("no message");
	code = exact_words_tidy(code, EXACT_DATABRICKS_WORDS_MAX);
	if (code != NULL && strspn(code, DIGITS) != strlen(code))
		return psprintf("%s: %s", code, message);
	return message;
}

/*
 * "[CAST_INVALID_INPUT.SUB] The value ... SQLSTATE: 22018 ..." -> class; the state only when the
 * answer has no field for it
 */
static void
read_error(const ExactHttpResponse *response, ExactCallAnswer *answer)
{
	const char *message = exact_databricks_answer_text(response, "status.error.message");
	const char *state = exact_databricks_answer_text(response, "status.sql_state");

	if (message == NULL)
		message = "no message";
	answer->error_code = exact_databricks_answer_text(response, "status.error.error_code");
	answer->error_text = message;
	answer->error_class = "";
	if (*message == '[')
	{
		size_t		n = strcspn(message + 1, "].");

		if (n > 0 && n < NAMEDATALEN * 2 && strspn(message + 1, CAPITALS DIGITS "_") == n)
			answer->error_class = pnstrdup(message + 1, n);
	}
	if (state == NULL || strlen(state) != 5)
	{
		static const char key[] = "SQLSTATE: ";
		const char *p = strstr(message, key);

		state = "";
		if (p != NULL && strspn(p + sizeof(key) - 1, CAPITALS DIGITS) == 5)
			state = pnstrdup(p + sizeof(key) - 1, 5);
	}
	answer->sqlstate = state;
	if (answer->error_code == NULL)
		answer->error_code = "";
}

/*
 * The rows of an INLINE JSON_ARRAY result, all cells strings or null; false when it is malformed.
 */
static bool
read_rows(const ExactHttpResponse *response, ExactCallAnswer *answer)
{
	ExactJsonMember member;
	ExactJson	rows;

	if (!exact_json_find(response->body, response->body_len, "result.data_array", &member) ||
		member.kind == EXACT_JSON_NULL)
		return true;			/* DDL, or no row */
	if (member.kind != EXACT_JSON_ARRAY || !exact_json_read(member.raw, member.len, &rows))
		return false;
	for (int r = 0; r < rows.n; r++)
	{
		ExactJson	row;

		if (!exact_json_read(rows.members[r].raw, rows.members[r].len, &row) ||
			row.kind != EXACT_JSON_ARRAY || row.n == 0 || (r > 0 && row.n != answer->ncolumns))
			return false;
		if (r == 0)
		{
			answer->ncolumns = row.n;
			answer->cells = palloc(sizeof(char *) * rows.n * row.n);
		}
		for (int c = 0; c < row.n; c++)
			answer->cells[r * row.n + c] = exact_json_text(&row.members[c]);
	}
	answer->nrows = rows.n;
	return true;
}

/* States that are not in the list make it no answer about a statement. */
bool
exact_databricks_answer_statement(const ExactHttpResponse *response, ExactCallAnswer *answer)
{
	static const struct
	{
		const char *name;
		ExactStatementState state;
	}			states[] = {
		{"PENDING", EXACT_STATEMENT_PENDING},
		{"RUNNING", EXACT_STATEMENT_PENDING},
		{"SUCCEEDED", EXACT_STATEMENT_SUCCEEDED},
		{"CLOSED", EXACT_STATEMENT_CLOSED},
		{"FAILED", EXACT_STATEMENT_FAILED},
		{"CANCELED", EXACT_STATEMENT_CANCELED},
	};
	char	   *id = exact_databricks_answer_text(response, "statement_id");
	char	   *state = exact_databricks_answer_text(response, "status.state");

	if (id == NULL || *id == '\0' || strlen(id) > 100 || state == NULL)
		return false;
	answer->statement_id = id;
	for (int i = 0; i < (int) lengthof(states); i++)
	{
		if (strcmp(state, states[i].name) != 0)
			continue;
		answer->state = states[i].state;
		if (answer->state == EXACT_STATEMENT_FAILED || answer->state == EXACT_STATEMENT_CANCELED)
			read_error(response, answer);
		return answer->state != EXACT_STATEMENT_SUCCEEDED || read_rows(response, answer);
	}
	return false;
}

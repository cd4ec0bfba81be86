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
#include "databricks/error_class.h"
#include "http/http_client.h"
#include "http/url.h"

#define DIGITS "0123456789"
#define ERROR_BODY_MAX 1000000	/* bytes: what is larger is no error of the service */
#define ID_MAX 100				/* bytes of a statement's id, which is 36 */

/* The value at a path as text, NULL when it is absent or null */
char *
exact_databricks_answer_text(const ExactHttpResponse *response, const char *path)
{
	ExactJsonMember member;

	if (!exact_json_find(response->body, response->body_len, path, &member))
		return NULL;
	return exact_json_text(&member);
}

/* Likewise in an answer that only tells an error: in another encoding, with what can be read. */
static char *
error_member(const ExactHttpResponse *response, const char *path)
{
	size_t		len = response->body_len;
	const char *body;
	ExactJsonMember member;

	if (len > ERROR_BODY_MAX)
		return NULL;
	body = exact_words_valid(response->body, &len);
	return exact_json_find(body, len, path, &member) ? exact_json_text(&member) : NULL;
}

/* The id goes into addresses, tables and log lines as it is. */
char *
exact_databricks_answer_id(const ExactJsonMember *member)
{
	char	   *id = exact_json_text(member);

	if (id == NULL || *id == '\0' || strlen(id) > ID_MAX)
		return NULL;
	for (const char *p = id; *p; p++)
		if (*p <= ' ' || *p >= 0x7f)
			return NULL;
	return id;
}

bool
exact_databricks_answer_warehouse(const ExactHttpResponse *response, ExactCallAnswer *answer)
{
	const char *minutes = exact_databricks_answer_text(response, "auto_stop_mins");
	bool		number = minutes != NULL && *minutes != '\0' && strlen(minutes) < 6 &&
		strspn(minutes, "0123456789") == strlen(minutes);

	answer->warehouse_state = exact_databricks_answer_text(response, "state");
	answer->warehouse_name = exact_databricks_answer_text(response, "name");
	answer->warehouse_size = exact_databricks_answer_text(response, "cluster_size");
	answer->auto_stop_min = number ? atoi(minutes) : -1;
	return answer->warehouse_state != NULL;
}

/*
 * The shapes: error_code and message, error, plain text. A code of digits says nothing to people.
 */
char *
exact_databricks_answer_words(const ExactHttpResponse *response)
{
	char	   *code = error_member(response, "error_code");
	char	   *message = error_member(response, "message");

	if (message == NULL)
		message = error_member(response, "error");
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

bool
exact_databricks_answer_token_refused(const ExactHttpResponse *response)
{
	char	   *code;
	char	   *message;

	if (response->status == HTTP_UNAUTHORIZED)
		return true;
	if (response->status != HTTP_FORBIDDEN)
		return false;
	code = error_member(response, "error_code");
	message = error_member(response, "message");
	if (code != NULL && strcmp(code, "PERMISSION_DENIED") == 0)
		return false;
	return message != NULL && (strstr(message, "token") != NULL ||
							   strstr(message, "Token") != NULL);
}

/* 403 is of the network, of the address of the workspace, or of a right. */
const char *
exact_databricks_answer_forbidden(const char *words)
{
	if (strstr(words, "IP ACL") != NULL || strstr(words, "IP access list") != NULL)
		return "Add the address that the message names, from which this server reaches the"
			" workspace, to the IP access list of the workspace.";
	if (strstr(words, "Invalid access to Org") != NULL)
		return "Check host in exact.workspace; a host that serves several workspaces needs the"
			" address with ?o=<workspace id>.";
	return "Grant the service principal CAN USE on the warehouse.";
}

/* Class, SQLSTATE and words of what failed, in any of the forms that the service has */
static void
read_error(const ExactHttpResponse *response, ExactCallAnswer *answer)
{
	const char *message = exact_databricks_answer_text(response, "status.error.message");
	const char *state = exact_databricks_answer_text(response, "status.sql_state");
	ExactErrorClass error;

	if (message == NULL)
		message = "no message";
	exact_error_class_read(message, state, &error);
	answer->error_code = exact_databricks_answer_text(response, "status.error.error_code");
	answer->error_text = message;
	answer->error_words = error.words;
	answer->error_class = error.name;
	answer->sqlstate = error.sqlstate;
	if (answer->error_code == NULL)
		answer->error_code = "";
}

/* ---- rows ---- */

/* A member of a chunk, which is the whole answer or its "result" */
static char *
chunk_text(const ExactHttpResponse *response, const char *chunk, const char *name)
{
	return exact_databricks_answer_text(response, psprintf("%s%s", chunk, name));
}

/*
 * Adds the rows of a chunk, all cells strings or null; false when it is malformed or not the chunk
 * that follows.
 */
static bool
read_rows(const ExactHttpResponse *response, const char *chunk, ExactCallAnswer *answer)
{
	const char *offset = chunk_text(response, chunk, "row_offset");
	ExactJsonMember member;
	ExactJson	rows;
	Size		size;

	if (!exact_json_find(response->body, response->body_len, psprintf("%sdata_array", chunk),
						 &member) || member.kind == EXACT_JSON_NULL)
		return true;			/* DDL, or no row */
	if (member.kind != EXACT_JSON_ARRAY || !exact_json_read(member.raw, member.len, &rows) ||
		(offset != NULL && strtoll(offset, NULL, 10) != answer->nrows))
		return false;
	for (int r = 0; r < rows.n; r++)
	{
		ExactJson	row;

		if (!exact_json_read(rows.members[r].raw, rows.members[r].len, &row) ||
			row.kind != EXACT_JSON_ARRAY || row.n == 0 ||
			(answer->ncolumns != 0 && row.n != answer->ncolumns))
			return false;
		answer->ncolumns = row.n;
		if (r == 0)
		{
			size = sizeof(char *) * (answer->nrows + (Size) rows.n) * row.n;
			answer->cells = answer->cells ? repalloc(answer->cells, size) : palloc(size);
		}
		for (int c = 0; c < row.n; c++)
			answer->cells[(answer->nrows + r) * row.n + c] = exact_json_text(&row.members[c]);
	}
	answer->nrows += rows.n;
	return true;
}

/*
 * Where the rest of the rows is. The link is used as it is where it is one of this statement, so
 * that nothing but its own result is ever asked for. False when there is a rest and no way to it.
 */
static bool
read_next(const ExactHttpResponse *response, const char *chunk, const ExactCallAnswer *answer,
		  ExactChunk *out)
{
	const char *index = chunk_text(response, chunk, "next_chunk_index");
	char	   *link = chunk_text(response, chunk, "next_chunk_internal_link");
	char	   *own = psprintf("/api/2.0/sql/statements/%s/result/chunks/",
							   exact_url_escape(answer->statement_id));

	out->next = NULL;
	if (link == NULL && index == NULL)
		return true;
	if (link != NULL && strncmp(link, own, strlen(own)) == 0 &&
		strspn(link + strlen(own), DIGITS "row_offset?=&") == strlen(link + strlen(own)))
		out->next = link;
	else if (index != NULL && *index != '\0' && strspn(index, DIGITS) == strlen(index))
		out->next = psprintf("%s%s?row_offset=%d", own, index, answer->nrows);
	return out->next != NULL;
}

/* A chunk without a row that names another one would never come to an end. */
bool
exact_databricks_answer_chunk(const ExactHttpResponse *response, ExactCallAnswer *answer,
							  ExactChunk *out)
{
	int			before = answer->nrows;

	return read_rows(response, "", answer) && answer->nrows > before &&
		read_next(response, "", answer, out);
}

static bool
read_result(const ExactHttpResponse *response, ExactCallAnswer *answer, ExactChunk *out)
{
	const char *total = exact_databricks_answer_text(response, "manifest.total_row_count");
	const char *truncated = exact_databricks_answer_text(response, "manifest.truncated");
	ExactJsonMember manifest;

	out->described = exact_json_find(response->body, response->body_len, "manifest", &manifest) &&
		manifest.kind == EXACT_JSON_OBJECT;
	out->total = total != NULL ? strtoll(total, NULL, 10) : -1;
	out->truncated = truncated != NULL && strcmp(truncated, "true") == 0;
	return read_rows(response, "result.", answer) && read_next(response, "result.", answer, out);
}

char *
exact_databricks_answer_gap(const ExactCallAnswer *answer, const ExactChunk *chunk)
{
	if (!chunk->described)
		return pstrdup("the answer comes without its result");
	if (chunk->truncated)
		return pstrdup("Databricks has cut the result");
	if (chunk->total >= 0 && chunk->total != answer->nrows)
		return psprintf("the answer holds %d of " INT64_FORMAT " rows", answer->nrows,
						chunk->total);
	return NULL;
}

/* States that are not in the list make it no answer about a statement. */
bool
exact_databricks_answer_statement(const ExactHttpResponse *response, ExactCallAnswer *answer,
								  ExactChunk *out)
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
	ExactJsonMember member;
	char	   *id = exact_json_find(response->body, response->body_len, "statement_id", &member) ?
		exact_databricks_answer_id(&member) : NULL;
	char	   *state = exact_databricks_answer_text(response, "status.state");

	if (id == NULL || state == NULL)
		return false;
	memset(out, 0, sizeof(*out));
	answer->statement_id = id;
	for (int i = 0; i < (int) lengthof(states); i++)
	{
		if (strcmp(state, states[i].name) != 0)
			continue;
		answer->state = states[i].state;
		answer->queued = i == 0;
		if (answer->state == EXACT_STATEMENT_FAILED || answer->state == EXACT_STATEMENT_CANCELED)
			read_error(response, answer);
		if (answer->state == EXACT_STATEMENT_SUCCEEDED || answer->state == EXACT_STATEMENT_CLOSED)
			return read_result(response, answer, out);
		return true;
	}
	return false;
}

/* ---- the query history ---- */

/* No statement begins so: "<Redacted>" */
static bool
is_hidden(const char *query)
{
	return query == NULL || *query == '\0' || strchr("<[*", *query) != NULL;
}

/* A service principal's statements are not those of who has an address. */
static bool
is_of_a_person(const ExactHistory *history, const ExactJson *item)
{
	const char *user = exact_json_text(exact_json_member(item, "user_name"));

	return history->principal != NULL && user != NULL && strchr(user, '@') != NULL;
}

bool
exact_databricks_answer_history(const ExactHttpResponse *response, ExactHistory *history,
								ExactCallAnswer *answer, char **next)
{
	ExactJsonMember member;
	ExactJson	list;
	size_t		mark_len = strlen(history->mark);
	char	   *more = exact_databricks_answer_text(response, "has_next_page");
	char	   *page_token = exact_databricks_answer_text(response, "next_page_token");

	*next = NULL;
	if (more != NULL && strcmp(more, "true") == 0 && page_token != NULL && *page_token != '\0')
		*next = page_token;
	if (!exact_json_find(response->body, response->body_len, "res", &member) ||
		member.kind == EXACT_JSON_NULL)
		return true;
	if (member.kind != EXACT_JSON_ARRAY || !exact_json_read(member.raw, member.len, &list))
		return false;
	for (int i = 0; i < list.n && answer->running_id == NULL; i++)
	{
		ExactJson	item;
		char	   *query;
		char	   *status;

		if (!exact_json_read(list.members[i].raw, list.members[i].len, &item))
			return false;
		query = exact_json_text(exact_json_member(&item, "query_text"));
		status = exact_json_text(exact_json_member(&item, "status"));
		if (!history->others && status != NULL &&
			(strcmp(status, "FINISHED") == 0 || strcmp(status, "FAILED") == 0 ||
			 strcmp(status, "CANCELED") == 0))
			continue;
		if (is_hidden(query) && !is_of_a_person(history, &item))
		{
			history->hidden = true;
			continue;
		}
		if (history->others)
		{
			if (query == NULL || strncmp(query, history->mark, mark_len) != 0)
				answer->running_id = "of somebody else";
			continue;
		}
		if (query == NULL || strncmp(query, history->mark, mark_len) != 0 ||
			(history->not_mark != NULL &&
			 strncmp(query, history->not_mark, strlen(history->not_mark)) == 0))
			continue;
		answer->running_id = exact_databricks_answer_id(exact_json_member(&item, "query_id"));
	}
	return true;
}

/*
 * write.c - one write to Exact Online: cost centers, cost units and GL accounts, nothing else.
 *
 * No other file writes records of a division. Facts: exact-online.md §4.10, §4.11: a validation
 * error is an HTTP 500 with a text in the user's language; a PUT answers 204 without a body; a
 * field that is read-only at that moment is dropped without a word, which only a reading shows.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "base/errors.h"
#include "base/fault.h"
#include "base/json.h"
#include "exact_online/api_error.h"
#include "exact_online/endpoint.h"
#include "exact_online/exact_api.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"
#include "exact_online/write.h"
#include "http/http_client.h"
#include "http/url.h"

#define GUID_LEN 36
#define FILTER "?$filter="
#define SELECT "&$select="

/* All that may be written. A line more here is a decision about what the hub is. */
static const struct
{
	const char *entity;
	const char *resource;
}			writable[EXACT_WRITE_RESOURCES] =
{
	{"costcenter", "hrm/Costcenters"},
	{"costunit", "hrm/Costunits"},
	{"glaccount", "financial/GLAccounts"},
};

const char *
exact_write_resource(const char *entity)
{
	for (int i = 0; entity != NULL && i < EXACT_WRITE_RESOURCES; i++)
		if (strcmp(writable[i].entity, entity) == 0)
			return writable[i].resource;
	return NULL;
}

const char *
exact_write_entity(int place)
{
	return writable[place].entity;
}

/* ---- what may be sent ---- */

/* (guid'…') and nothing behind it */
static bool
is_key(const char *text)
{
	static const char before[] = "(guid'";
	static const char after[] = "')";
	const char *guid = text + strlen(before);

	if (strncmp(text, before, strlen(before)) != 0 || strlen(guid) != GUID_LEN + strlen(after) ||
		strcmp(guid + GUID_LEN, after) != 0)
		return false;
	return strspn(guid, "0123456789abcdefABCDEF-") == GUID_LEN;
}

/* What follows the resource in the path: a key with PUT, a filter with GET, nothing with POST. */
static bool
fits(const ExactWrite *write, const char *rest)
{
	if (strcmp(write->method, "GET") == 0)
		return write->body == NULL && strncmp(rest, FILTER, strlen(FILTER)) == 0 &&
			strstr(rest, SELECT) != NULL;
	if (write->body == NULL || write->body[0] != '{')
		return false;
	if (strcmp(write->method, "PUT") == 0)
		return is_key(rest);
	return strcmp(write->method, "POST") == 0 && *rest == '\0';
}

/* The path behind "/api/v1/{division}/" */
static const char *
below_division(const ExactWrite *write)
{
	char	   *before = psprintf("/api/v1/%d/", write->division);
	size_t		len = strlen(before);
	bool		below = strncmp(write->path, before, len) == 0;

	pfree(before);
	return below ? write->path + len : NULL;
}

void
exact_write_check(const ExactWrite *write)
{
	const char *resource = exact_write_resource(write->entity);
	const char *below = write->path != NULL ? below_division(write) : NULL;
	size_t		len = resource != NULL ? strlen(resource) : 0;

	if (resource == NULL || write->method == NULL || below == NULL ||
		strncmp(below, resource, len) != 0 || !fits(write, below + len))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("the hub does not write %s %s",
						write->method ? write->method : "no method",
						write->path ? write->path : "no path"),
				 errdetail("It writes cost centers, cost units and GL accounts of a division, "
						   "by POST or by PUT of one record.")));
}

/* ---- the request ---- */

/* The filter holds a code, which may have any letter in it. */
static char *
url_of(const ExactWrite *write, const char *base_url)
{
	const char *filter = strstr(write->path, FILTER);
	const char *chosen = NULL;
	const char *value;

	if (strcmp(write->method, "GET") != 0)
		return psprintf("%s%s", base_url, write->path);
	value = filter + strlen(FILTER);
	for (const char *p = value; (p = strstr(p, SELECT)) != NULL; p++)
		chosen = p;
	return psprintf("%s%.*s%s%s", base_url, (int) (value - write->path), write->path,
					exact_url_escape(pnstrdup(value, chosen - value)), chosen);
}

void
exact_write_send(const ExactWrite *write, const ExactApiRequest *from, ExactApiDone done,
				 void *arg)
{
	ExactApiRequest request = {
		.app = from->app,
		.base_url = from->base_url,
		.division = write->division,
		.feed = EXACT_ENDPOINT_WRITER,
		.resource = exact_write_resource(write->entity),
		.method = write->method,
		.body = write->body
	};

	exact_write_check(write);
	request.url = url_of(write, from->base_url);
	request.label = below_division(write);
	exact_api_send(&request, done, arg);
}

/* ---- the answer ---- */

const char *
exact_write_outcome_name(ExactWriteOutcome outcome)
{
	static const char *const names[] = {
		[EXACT_WRITE_OK] = "ok",
		[EXACT_WRITE_REFUSED] = "refused",
		[EXACT_WRITE_UNKNOWN] = "unknown",
		[EXACT_WRITE_UNSENT] = "unsent",
	};

	return names[outcome];
}

static void
add_row(StringInfo out, const ExactRecord *record)
{
	char	   *id = exact_odata_string(record->values[0]);
	char	   *code = exact_odata_string(record->values[1]);

	if (id == NULL || record->problem != NULL)
		return;
	appendStringInfoString(out, out->data[out->len - 1] == '[' ? "{\"ID\":" : ",{\"ID\":");
	exact_json_quote(out, id, strlen(id));
	appendStringInfoString(out, ",\"Code\":");
	if (code != NULL)
		exact_json_quote(out, code, strlen(code));
	else
		appendStringInfoString(out, "null");
	appendStringInfoChar(out, '}');
}

/* Texts of the answer go into the database as the parser has read them, never as they came. */
static void
read_rows(const ExactWrite *write, const ExactHttpResponse *http, ExactWriteResult *result)
{
	static const char *const fields[] = {"ID", "Code"};
	char	   *problem = NULL;
	ExactPage  *page = exact_odata_parse_rows(http->body, http->body_len, fields, lengthof(fields),
											  &problem);
	ExactSlice	none = {NULL, 0};
	StringInfoData rows;

	if (page == NULL)
		return;
	initStringInfo(&rows);
	appendStringInfoString(&rows, "{\"d\":[");
	for (int i = 0; i < page->nrecords; i++)
	{
		int64		division = exact_odata_division(&page->records[i], none, write->division);

		result->foreign = result->foreign || (division >= 0 && division != write->division);
		add_row(&rows, &page->records[i]);
	}
	appendStringInfoString(&rows, "]}");
	if (!result->foreign)
		result->rows = rows.data;
}

/* An answer that is no 2xx. What is in front of the service, or behind it, says nothing of it. */
static ExactWriteOutcome
judge_error(const ExactHttpResponse *http, const char *said)
{
	switch (http->status)
	{
		case EXACT_STATUS_UNAUTHORIZED:
		case EXACT_STATUS_FORBIDDEN:
		case EXACT_STATUS_TOO_MANY:
			return EXACT_WRITE_UNSENT;
		case EXACT_STATUS_FAILED:
		case EXACT_STATUS_NOT_IMPLEMENTED:
			return said != NULL ? EXACT_WRITE_REFUSED : EXACT_WRITE_UNKNOWN;
		case EXACT_STATUS_BAD_REQUEST:
		case EXACT_STATUS_NOT_FOUND:
		case EXACT_STATUS_GONE:
			/* the service's own body may be empty; a page is of something else on the way */
			return said != NULL || http->body_len == 0 ? EXACT_WRITE_REFUSED
				: EXACT_WRITE_UNKNOWN;
		default:
			return http->status >= 400 && http->status < 500 && said != NULL
				? EXACT_WRITE_REFUSED : EXACT_WRITE_UNKNOWN;
	}
}

/* For the call's record: the service has answered, and refuses this. */
static void
refuse(const ExactWrite *write, ExactApiAnswer *answer, const ExactWriteResult *result)
{
	answer->trouble = EXACT_API_REFUSED;
	answer->fault = exact_fault_make(ERRCODE_EXACT_REFUSED,
									 psprintf("Exact Online refused %s of %s: HTTP %d%s%s",
											  write->method, exact_write_resource(write->entity),
											  result->status, result->said ? ": " : "",
											  result->said ? result->said : ""), NULL, NULL);
}

void
exact_write_judge(const ExactWrite *write, ExactApiAnswer *answer, ExactWriteResult *result)
{
	const ExactHttpResponse *http = answer->http;
	bool		reads = strcmp(write->method, "GET") == 0;

	memset(result, 0, sizeof(*result));
	result->outcome = EXACT_WRITE_UNKNOWN;
	if (http == NULL || http->outcome == EXACT_HTTP_NOT_SENT)
	{
		result->outcome = EXACT_WRITE_UNSENT;
		return;
	}
	if (http->outcome != EXACT_HTTP_ANSWERED)
		return;
	result->status = (int) http->status;
	if (http->status < 200 || http->status >= 300)
	{
		result->said = exact_api_error_message(http->body, http->body_len);
		result->outcome = judge_error(http, result->said);
		if (result->outcome == EXACT_WRITE_REFUSED)
			refuse(write, answer, result);
		return;
	}
	if (answer->trouble != EXACT_API_OK)
		return;					/* a page that is not the service's */
	if (http->body_len > 0)
		read_rows(write, http, result);
	if (!result->foreign && !(reads && result->rows == NULL))
		result->outcome = EXACT_WRITE_OK;
}

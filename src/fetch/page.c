/*
 * page.c - is an answer a page of a run, and may its link be followed?
 *
 * A run keeps in memory where it has been: after a restart a circle is noticed one round later.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/fault.h"
#include "exact_online/exact_api.h"
#include "exact_online/feed.h"
#include "exact_online/link.h"
#include "exact_online/odata.h"
#include "fetch/cursor.h"
#include "fetch/lane.h"
#include "fetch/page.h"

static uint64
digest_of(const char *address)
{
	return hash_bytes_extended((const unsigned char *) address, (int) strlen(address), 0);
}

void
exact_page_been(ExactRun *run, const char *address, bool first)
{
	ExactTrail *trail = &run->trail;

	if (first)
		trail->n = 0;
	if (trail->n == trail->capacity)
	{
		trail->capacity = trail->capacity ? trail->capacity * 2 : 16;
		trail->addresses = trail->addresses
			? repalloc(trail->addresses, trail->capacity * sizeof(uint64))
			: MemoryContextAlloc(TopMemoryContext, trail->capacity * sizeof(uint64));
	}
	trail->addresses[trail->n++] = digest_of(address);
}

static bool
has_been(const ExactRun *run, const char *address)
{
	uint64		digest = digest_of(address);

	for (int i = 0; i < run->trail.n; i++)
		if (run->trail.addresses[i] == digest)
			return true;
	return false;
}

/*
 * __next must lead to the same host and division; a link to elsewhere would carry the token there.
 */
static ExactFault *
check_link(ExactRun *run, const ExactApiRequest *request, const char *link)
{
	int			division = run->lane->division;
	int64		other;
	ExactLink	found = exact_link_check(link, request->base_url, division, request->url, &other);
	ExactFault *fault;

	run->leads_back = found == EXACT_LINK_SAME ||
		(found == EXACT_LINK_GOOD && link != NULL && !exact_cursor_begins(run) &&
		 has_been(run, link));
	if (found == EXACT_LINK_GOOD && !run->leads_back)
		return NULL;
	fault = palloc0(sizeof(ExactFault));
	fault->sqlstate = ERRCODE_EXACT_BAD_ANSWER;
	fault->detail = psprintf("GET %s. Nothing of that page was kept and the link was not followed.",
							 run->def->resource);
	fault->hint = pstrdup("The hub asks again by itself; if it stays, something between it and "
						  "Exact Online changes the answers.");
	if (found == EXACT_LINK_HOST)
		fault->message = psprintf("the next page of %s is on another host", run->name);
	else if (run->leads_back)
		fault->message = psprintf("the next page of %s is %s", run->name,
								  found == EXACT_LINK_SAME ? "the same page again" :
								  "one that the run has read already");
	else
	{
		fault->sqlstate = ERRCODE_EXACT_DIVISION_GUARD;
		fault->message = psprintf("division %d is frozen: the next page of %s is of division "
								  INT64_FORMAT, division, run->name, other);
		fault->hint = psprintf("Check the administration in Exact Online; "
							   "then SELECT exact.resume(%d).", division);
	}
	return fault;
}

/*
 * Ends a part of a page, which is asked for by $top after an answer that was too large. A full part
 * may have rows behind it, and its link says nothing, as $top is a total there; of a part that was
 * cut short before its first row the link is all there is.
 */
static ExactFault *
end_part(ExactRun *run, const ExactApiRequest *request, ExactPage *page, bool *last, char **behind)
{
	ExactFault *fault;
	char	   *token;

	*last = page->next == NULL && page->nrecords < run->sent_top;
	if (page->nrecords == 0)
		return NULL;
	page->next = NULL;
	token = exact_feed_behind(run->def, &page->records[page->nrecords - 1]);
	if (*last || token == NULL)
		return NULL;
	if (!exact_link_is_behind(request->url, token))
	{
		*behind = exact_link_part(request->url, exact_cursor_next_top(run), token);
		return NULL;
	}
	run->leads_back = true;
	fault = palloc0(sizeof(ExactFault));
	fault->sqlstate = ERRCODE_EXACT_BAD_ANSWER;
	fault->message = psprintf("the next page of %s is one that the run has read already",
							  run->name);
	fault->detail = psprintf("GET %s: Exact Online ignores $skiptoken. "
							 "Nothing of that page was kept.", run->def->resource);
	fault->hint = pstrdup("The run starts again; if this stays, its pages are too large to read.");
	return fault;
}

ExactFault *
exact_page_read(ExactRun *run, const ExactApiAnswer *answer, ExactPage **page, bool *last,
				char **behind)
{
	const ExactHttpResponse *http = answer->http;
	char	   *problem;
	ExactFault *fault;

	*page = exact_odata_parse_rows(http->body, http->body_len, run->def->fields,
								   run->def->nfields, &problem);
	*behind = NULL;
	if (*page != NULL && (*page)->is_list)
	{
		fault = check_link(run, answer->request, (*page)->next);
		if (fault == NULL && run->sent_top > 0)
			return end_part(run, answer->request, *page, last, behind);
		*last = (*page)->next == NULL;
		return fault;
	}
	fault = palloc0(sizeof(ExactFault));
	fault->sqlstate = ERRCODE_EXACT_BAD_ANSWER;
	fault->message = psprintf("Exact Online answered %s with something that is not a page: %s",
							  run->name, *page == NULL ? problem : "a single entity");
	fault->detail = psprintf("GET %s, HTTP %ld, %zu bytes. Nothing of it was kept.",
							 run->def->resource, http->status, http->body_len);
	fault->hint = pstrdup("The hub asks again by itself.");
	return fault;
}

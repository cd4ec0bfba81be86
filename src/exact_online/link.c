/*
 * link.c - may the address of a next page be followed?
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "exact_online/link.h"
#include "exact_online/odata_value.h"

ExactLink
exact_link_check(const char *link, const char *base_url, int division, const char *page,
				 int64 *linked)
{
	char	   *prefix;
	bool		inside;
	int64		other;

	if (link == NULL)
		return EXACT_LINK_GOOD;
	prefix = psprintf("%s/api/v1/%d/", base_url, division);
	inside = pg_strncasecmp(link, prefix, strlen(prefix)) == 0;
	pfree(prefix);
	if (inside)
		return page != NULL && strcmp(link, page) == 0 ? EXACT_LINK_SAME : EXACT_LINK_GOOD;
	other = exact_odata_url_division(link, strlen(link));
	if (pg_strncasecmp(link, base_url, strlen(base_url)) != 0 || other < 0 || other == division)
		return EXACT_LINK_HOST;
	if (linked != NULL)
		*linked = other;
	return EXACT_LINK_DIVISION;
}

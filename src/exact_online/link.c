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

static bool
may_stand(unsigned char c)
{
	return c > ' ' && c < 0x7F && strchr("\"<>\\^`{|}", c) == NULL;
}

char *
exact_link_encode(char *link)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t		len = strlen(link);
	char	   *encoded;
	char	   *out;
	size_t		plain = 0;

	while (plain < len && may_stand((unsigned char) link[plain]))
		plain++;
	if (plain == len)
		return link;
	encoded = out = palloc(3 * len + 1);
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) link[i];

		if (may_stand(c))
		{
			*out++ = (char) c;
			continue;
		}
		*out++ = '%';
		*out++ = hex[c >> 4];
		*out++ = hex[c & 15];
	}
	*out = '\0';
	return encoded;
}

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

/* Where an option of an address begins, behind its "?" or "&"; NULL: it has none. */
static const char *
find_option(const char *address, const char *name)
{
	const char *at = strchr(address, '?');

	for (; at != NULL; at = strchr(at, '&'))
	{
		const char *option = ++at;

		if (*option == '$')
			option++;
		else if (strncmp(option, "%24", 3) == 0)
			option += 3;
		else
			continue;
		if (strncmp(option, name, strlen(name)) == 0 && option[strlen(name)] == '=')
			return at;
	}
	return NULL;
}

static const char *
value_of(const char *option)
{
	return strchr(option, '=') + 1;
}

int
exact_link_top(const char *address)
{
	const char *option = find_option(address, "top");
	int			top = option == NULL ? 0 : atoi(value_of(option));

	return top > 0 ? top : 0;
}

/* Takes an option out of an address */
static void
drop_option(char *address, const char *name)
{
	char	   *option = unconstify(char *, find_option(address, name));
	char	   *next;

	if (option == NULL)
		return;
	next = strchr(option, '&');
	if (next != NULL)
		memmove(option, next + 1, strlen(next + 1) + 1);
	else
		option[-1] = '\0';
}

/* The options in the order in which the service writes them */
char *
exact_link_part(const char *address, int top, const char *skiptoken)
{
	char	   *rest = pstrdup(address);
	const char *option = find_option(rest, "skiptoken");
	char	   *part;

	if (skiptoken == NULL && option != NULL)
		skiptoken = pnstrdup(value_of(option), strcspn(value_of(option), "&"));
	drop_option(rest, "top");
	drop_option(rest, "skiptoken");
	part = psprintf("%s%c$top=%d%s%s", rest, strchr(rest, '?') ? '&' : '?', top,
					skiptoken ? "&$skiptoken=" : "", skiptoken ? skiptoken : "");
	pfree(rest);
	return part;
}

bool
exact_link_is_behind(const char *address, const char *skiptoken)
{
	const char *option = find_option(address, "skiptoken");
	size_t		len = strlen(skiptoken);

	return option != NULL && strncmp(value_of(option), skiptoken, len) == 0 &&
		(value_of(option)[len] == '\0' || value_of(option)[len] == '&');
}

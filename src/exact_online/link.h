/*
 * link.h - may the address of a next page be followed?
 *
 * The request carries the token and its rows count as rows of a division: a link that leads to
 * another host or division is a wrong or forged answer. Every feed, keyed read, inquiry and list of
 * subscriptions asks here and nowhere else.
 */
#ifndef EXACT_LINK_H
#define EXACT_LINK_H

#include "postgres.h"

typedef enum ExactLink
{
	EXACT_LINK_GOOD,			/* or none: the last page */
	EXACT_LINK_HOST,			/* leads to another host, or to no address of a division */
	EXACT_LINK_DIVISION,		/* leads to another division, *linked */
	EXACT_LINK_SAME				/* leads to the page that it came with */
} ExactLink;

/*
 * link: __next of a page, NULL on the last one. base_url: "https://host" of the app. page: the
 * address that was asked for the page with this link. *linked may be NULL.
 */
extern ExactLink exact_link_check(const char *link, const char *base_url, int division,
								  const char *page, int64 *linked);

/*
 * The link as an address: what may not stand in one (blanks, quotes, bytes beyond ASCII) is
 * encoded, as a browser does. The same text when nothing is; else palloc'd.
 */
extern char *exact_link_encode(char *link);

/* $top of an address; 0: it has none. */
extern int	exact_link_top(const char *address);

/*
 * The address with this $top; unless skiptoken is NULL, behind the row that it names (escaped)
 * instead of where the address begins. palloc'd.
 */
extern char *exact_link_part(const char *address, int top, const char *skiptoken);

/* Is it the address of what lies behind the row that skiptoken names? */
extern bool exact_link_is_behind(const char *address, const char *skiptoken);

#endif

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

#endif

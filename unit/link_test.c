/*
 * link_test.c - which next pages may be followed.
 */
#include "frontend.h"

#include "base/json.c"
#include "base/words.c"
#include "exact_online/link.c"
#include "exact_online/odata.c"
#include "exact_online/odata_text.c"
#include "exact_online/odata_value.c"

#include "check.h"

#define BASE "https://start.exactonline.nl"
#define PAGE BASE "/api/v1/101001/sync/CRM/Accounts?$skiptoken=1"

static ExactLink
check(const char *link)
{
	return exact_link_check(link, BASE, 101001, PAGE, NULL);
}

int
main(void)
{
	int64		linked = 0;

	CHECK(check(NULL) == EXACT_LINK_GOOD);
	CHECK(check(BASE "/api/v1/101001/sync/CRM/Accounts?$skiptoken=2") == EXACT_LINK_GOOD);
	CHECK(check("HTTPS://START.exactonline.nl/API/v1/101001/crm") == EXACT_LINK_GOOD);
	CHECK(check(PAGE) == EXACT_LINK_SAME);
	CHECK(exact_link_check(PAGE, BASE, 101001, NULL, NULL) == EXACT_LINK_GOOD);

	CHECK(check("https://start.exactonline.be/api/v1/101001/crm") == EXACT_LINK_HOST);
	CHECK(check("https://start.exactonline.nl.evil.example/api/v1/101001/crm") == EXACT_LINK_HOST);
	CHECK(check("https://start.exactonline.nl@evil.example/api/v1/101001/crm") == EXACT_LINK_HOST);
	CHECK(check("http://start.exactonline.nl/api/v1/101001/crm") == EXACT_LINK_HOST);
	CHECK(check("/api/v1/101001/crm") == EXACT_LINK_HOST);
	CHECK(check("") == EXACT_LINK_HOST);
	CHECK(check(BASE "/docs/SysAttachment.aspx") == EXACT_LINK_HOST);
	CHECK(check(BASE "/api/v1/101001") == EXACT_LINK_HOST);
	CHECK(check(BASE "/x/api/v1/101001/crm") == EXACT_LINK_HOST);

	CHECK(check(BASE "/api/v1/101002/crm") == EXACT_LINK_DIVISION);
	CHECK(check(BASE "/api/v1/1010011/crm") == EXACT_LINK_DIVISION);
	CHECK(exact_link_check(BASE "/api/v1/7/crm", BASE, 101001, NULL,
						   &linked) == EXACT_LINK_DIVISION);
	CHECK(linked == 7);
	CHECK(strcmp(exact_link_encode(pstrdup(PAGE "&a=guid'1'%20")), PAGE "&a=guid'1'%20") == 0);
	CHECK(strcmp(exact_link_encode(pstrdup(BASE "/x?$filter=A gt \"b\"\xc3\xa9")),
				 BASE "/x?$filter=A%20gt%20%22b%22%C3%A9") == 0);
	CHECK(check(exact_link_encode(pstrdup("https://start.exactonline.nl evil/api/v1/101001/x"))) ==
		  EXACT_LINK_HOST);

	CHECK(exact_link_top(PAGE) == 0 && exact_link_top(BASE) == 0);
	CHECK(exact_link_top(BASE "/x?a=$top=7&$topmost=3") == 0);
	CHECK(exact_link_top(BASE "/x?$top=12") == 12 && exact_link_top(BASE "/x?a=1&%24top=6&b") == 6);
	CHECK(strcmp(exact_link_part(BASE "/x?$select=ID", 6, NULL),
				 BASE "/x?$select=ID&$top=6") == 0);
	CHECK(strcmp(exact_link_part(BASE "/x?$top=6&$select=ID", 12, "guid'a'"),
				 BASE "/x?$select=ID&$top=12&$skiptoken=guid'a'") == 0);
	CHECK(strcmp(exact_link_part(BASE "/x?$skiptoken=guid'a'&$select=ID&$top=12", 6, NULL),
				 BASE "/x?$select=ID&$top=6&$skiptoken=guid'a'") == 0);
	CHECK(strcmp(exact_link_part(BASE "/x?%24skiptoken=guid'a'", 6, "guid'b'"),
				 BASE "/x?$top=6&$skiptoken=guid'b'") == 0);
	CHECK(exact_link_is_behind(BASE "/x?$skiptoken=1&$top=6", "1"));
	CHECK(exact_link_is_behind(BASE "/x?$top=6&$skiptoken=1", "1"));
	CHECK(!exact_link_is_behind(BASE "/x?$skiptoken=12", "1") && !exact_link_is_behind(BASE, "1"));
	return checks_done();
}

/*
 * write_test.c - what the hub may write: exact_write_check() is asked for every resource of the
 * catalogue by every method, and for 400,000 paths that are nearly right.
 */
#include "backend.h"

#include <regex.h>

#include "lib/stringinfo.h"

/*
 * What write.c calls besides is of no check: it is not there, and not reached. Said before it is
 * declared: clang takes no later word.
 */
#pragma weak exact_api_send
#pragma weak exact_api_error_message
#pragma weak exact_fault_make
#pragma weak exact_url_escape
#pragma weak exact_json_quote
#pragma weak exact_odata_string
#pragma weak exact_odata_division
#pragma weak exact_odata_parse_rows

#include "exact_online/write.c"
#include "check.h"

int
errdetail(const char *fmt pg_attribute_unused(),...)
{
	return 0;
}

#define DIVISION 9000001
#define GUID "00000000-0000-4000-8000-0000000000aA"

static const char *const entities[] = {
	"costcenter", "costunit", "glaccount", "account", "item", "transactionline", "", NULL
};
static const char *const methods[] = {
	"POST", "PUT", "GET", "DELETE", "PATCH", "MERGE", "HEAD", "OPTIONS", "post", "Put", "", NULL
};
static const char *const tails[] = {
	"", "(guid'" GUID "')", "?$filter=Code eq '1'&$select=ID,Code", "/", "(" GUID ")", "(1)",
	"(guid'" GUID "')/", "(guid'" GUID "')?x", "(guid'" GUID "')/$links", "?x=1", "/$batch", "#",
	"(guid'00000000-0000-4000-8000-00000000000')", "(guid'00000000-0000-4000-8000-0000000000000')",
	"(guid'0000000g-0000-4000-8000-000000000000')", "%2f", ";", " ", "X"
};
static const char *const befores[] = {
	"/api/v1/9000001/", "/api/v1/9000002/", "/api/v1/90000010/", "/api/v1/900000/", "/api/v1/", "",
	"api/v1/9000001/", "//api/v1/9000001/", "/api/v1/9000001//", "/api/v1/9000001/bulk/",
	"/api/v1/9000001/sync/", "/api/v1/9000001/read/", "/api/v2/9000001/", "/api/v1/9000001/../1/",
	"http://elsewhere/api/v1/9000001/"
};
static regex_t may_be;

static const char *
resource_of(const char *entity)
{
	return entity == NULL ? NULL : strcmp(entity, "costcenter") == 0 ? "hrm/Costcenters"
		: strcmp(entity, "costunit") == 0 ? "hrm/Costunits"
		: strcmp(entity, "glaccount") == 0 ? "financial/GLAccounts" : NULL;
}

/* By another way than write.c: what may be written */
static bool
is_right(const ExactWrite *write)
{
	const char *resource = resource_of(write->entity);
	bool		post = write->method != NULL && strcmp(write->method, "POST") == 0;
	bool		put = write->method != NULL && strcmp(write->method, "PUT") == 0;

	return (post || put) && resource != NULL && write->path != NULL &&
		regexec(&may_be, write->path, 0, NULL, 0) == 0 && strstr(write->path, resource) != NULL &&
		(strchr(write->path, '(') != NULL) == put && write->body != NULL && write->body[0] == '{';
}

/* Taken as a write? A GET that is taken must be a GET. */
static bool
is_taken(const ExactWrite *write)
{
	if (RAISES(exact_write_check(write)))
		return false;
	return strcmp(write->method, "GET") != 0;
}

static int
ask(const char *before, const char *resource, const char *tail)
{
	char	   *path = psprintf("%s%s%s", before, resource, tail);
	int			taken = 0;

	for (size_t e = 0; e < lengthof(entities); e++)
		for (size_t m = 0; m < lengthof(methods); m++)
		{
			ExactWrite	write = {DIVISION, entities[e], methods[m], path, "{}"};

			if (is_taken(&write) != is_right(&write))
			{
				printf("%s %s of %s\n", methods[m], path, entities[e]);
				CHECK(false);
			}
			taken += is_taken(&write);
		}
	pfree(path);
	return taken;
}

/* All resources of the documentation */
static void
test_catalogue(void)
{
	char	   *name = psprintf("%.*s/../install/catalogue/entities.tsv",
								(int) (strrchr(__FILE__, '/') - __FILE__), __FILE__);
	FILE	   *file = fopen(name, "r");
	char		line[4096];
	int			resources = 0;
	int			taken = 0;

	CHECK(file != NULL);
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
	{
		char	   *path = strchr(line, '\t');

		path = path != NULL ? strchr(path + 1, '\t') : NULL;
		if (path == NULL)
			continue;
		*strchr(++path, '\t') = '\0';
		resources++;
		for (size_t b = 0; b < lengthof(befores); b++)
			for (size_t t = 0; t < lengthof(tails); t++)
				taken += ask(befores[b], path, tails[t]);
	}
	if (file != NULL)
		fclose(file);
	CHECK(resources > 300);
	CHECK(taken == 6);			/* POST and PUT of each of the three */
}

static void
test_nearly_right(void)
{
	static const char odd[] = "/('\")%?&#.;:\\ \t\r\n-_0aZ$=,+";
	unsigned	seed = 1;
	int			taken = 0;

	for (int i = 0; i < 400000; i++)
	{
		char	   *path = psprintf("/api/v1/%d/%s%s", DIVISION, resource_of(entities[i % 3]),
									i % 2 ? "(guid'" GUID "')" : "");
		size_t		at = rand_r(&seed) % strlen(path);
		ExactWrite	write = {DIVISION, entities[i % 3], i % 2 ? "PUT" : "POST", path, "{}"};

		if (i % 7 == 0)
			memmove(path + at, path + at + 1, strlen(path + at));
		else
			path[at] = odd[rand_r(&seed) % (sizeof(odd) - 1)];
		CHECK(is_taken(&write) == is_right(&write));
		taken += is_taken(&write);
		pfree(path);
	}
	CHECK(taken > 1000);		/* another digit of the key */
}

static void
test_body(void)
{
	static const char *const bodies[] = {NULL, "", "[]", "null", " {}"};

	for (size_t i = 0; i < lengthof(bodies); i++)
	{
		ExactWrite	write = {DIVISION, "costcenter", "POST", "/api/v1/9000001/hrm/Costcenters",
		bodies[i]};

		CHECK(!is_taken(&write));
	}
}

int
main(void)
{
	CHECK(regcomp(&may_be, "^/api/v1/9000001/(hrm/Costcenters|hrm/Costunits|financial/GLAccounts)"
				  "(\\(guid'[-0-9a-fA-F]{36}'\\))?$", REG_EXTENDED | REG_NOSUB) == 0);
	test_catalogue();
	test_nearly_right();
	test_body();
	return checks_done();
}

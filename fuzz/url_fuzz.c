/*
 * url_fuzz.c - addresses: of settings, of links in answers, of the browser after a consent.
 */
#include "backend.h"

#include "arena.h"

#include "http/host_policy.c"
#include "http/url.c"

bool		exact_insecure_loopback = false;
char	   *exact_allowed_hosts = "start.exactonline.nl, *.azuredatabricks.net, test.example:8443, "
	"inside.example/private, [2001:db8::1]:444";

/*
 * Is the host in it one of those? Looked for by itself: between the scheme and the first of / ? # :
 * or the end.
 */
static bool
is_listed(const char *url)
{
	static const char *const hosts[] = {"start.exactonline.nl", "test.example:8443",
		"inside.example", "[2001:db8::1]:444"};
	static const char domain[] = ".azuredatabricks.net";
	const char *host = url + strlen("https://");
	size_t		len;

	if (strncmp(url, "https://", 8) != 0)
		return false;
	len = strcspn(host, "/?#");
	if (len > 4 && strncmp(host + len - 4, ":443", 4) == 0)
		len -= 4;
	for (int i = 0; i < (int) lengthof(hosts); i++)
		if (len == strlen(hosts[i]) && pg_strncasecmp(host, hosts[i], len) == 0)
			return true;
	return len > strlen(domain) &&
		pg_strncasecmp(host + len - strlen(domain), domain, strlen(domain)) == 0 &&
		memchr(host, '@', len) == NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = palloc(size + 1);
	char	   *why = NULL;
	char	   *normal;
	char	   *decoded = NULL;
	bool		private_too;

	memcpy(text, data, size);
	text[size] = '\0';
	normal = exact_url_check(text, NULL, &private_too, &why);
	HOLDS((normal == NULL) == (why != NULL));
	if (normal != NULL)
	{
		char	   *again = exact_url_check(normal, NULL, &private_too, &why);

		HOLDS(is_listed(normal));
		HOLDS(again != NULL && strcmp(again, normal) == 0);
		HOLDS(exact_url_origin(text) != NULL);
	}
	else
		(void) exact_url_origin(text);
	if (!RAISES(decoded = exact_url_unescape((const char *) data, size)))
	{
		HOLDS(strlen(decoded) <= size);
		HOLDS(strcmp(exact_url_unescape(exact_url_escape(decoded),
										 strlen(exact_url_escape(decoded))), decoded) == 0);
	}
	arena_reset();
	return 0;
}

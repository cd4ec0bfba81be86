/*
 * host_policy_test.c - which hosts and addresses a request may go to.
 */
#include "backend.h"

#include "http/host_policy.c"
#include "http/url.c"
#include "check.h"

bool		exact_insecure_loopback = false;
char	   *exact_allowed_hosts = "start.exactonline.nl, *.azuredatabricks.net, Test.Example:8443, "
	"inside.example/private, [2001:db8::1]:444, \"quoted.example\", "
	"zZ9aA0.example:9449";

static ExactAddressClass
class_of(const char *text)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return exact_address_class((struct sockaddr *) &v4);
	CHECK(inet_pton(AF_INET6, text, &v6.sin6_addr) == 1);
	return exact_address_class((struct sockaddr *) &v6);
}

static void
expect_class(ExactAddressClass class, const char *const *texts, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (class_of(texts[i]) != class)
			fprintf(stderr, "class of %s\n", texts[i]);
		CHECK(class_of(texts[i]) == class);
	}
}

static void
test_classes(void)
{
	static const char *const public[] = {
		"8.8.8.8", "20.61.1.1", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0",
		"223.255.255.255", "192.0.1.0",
		"2603:1020::1", "2a00::1",
		"20ff:a00:1::1", "2102:a00:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
	};
	static const char *const private[] = {
		"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
		"100.127.255.255",
		"fc00::1", "fdff::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1",
	};
	static const char *const loopback[] = {"127.0.0.1", "127.255.255.254", "::1",
		"::ffff:127.0.0.1"};
	static const char *const never[] = {
		"0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "239.1.1.1", "255.255.255.255",
		"240.0.0.1", "198.18.0.1", "192.0.0.1",
		"::", "fe80::1", "ff02::1", "::ffff:169.254.169.254", "::7f00:1", "64:ff9b::a9fe:a9fe",
	};
	struct sockaddr local = {.sa_family = AF_UNIX};

	expect_class(EXACT_ADDRESS_PUBLIC, public, lengthof(public));
	expect_class(EXACT_ADDRESS_PRIVATE, private, lengthof(private));
	expect_class(EXACT_ADDRESS_LOOPBACK, loopback, lengthof(loopback));
	expect_class(EXACT_ADDRESS_NEVER, never, lengthof(never));
	CHECK(exact_address_class(&local) == EXACT_ADDRESS_NEVER);
}

static bool
allowed(const char *url)
{
	char	   *why = NULL;
	bool		result = exact_url_allowed(url, &why);

	CHECK(result || (why != NULL && why[0] != '\0'));
	return result;
}

static void
test_hosts(void)
{
	static const char *const good[] = {
		"https://start.exactonline.nl", "https://start.exactonline.nl/api/v1",
		"https://START.exactonline.NL:443/x?y=z",
		"https://adb-1.2.azuredatabricks.net/", "https://a.b.azuredatabricks.net",
		"https://test.example:8443",
		"https://inside.example", "https://zz9aa0.example:9449",
		"https://[2001:db8::1]:444/", "https://quoted.example/",
	};
	static const char *const bad[] = {
		"http://start.exactonline.nl", "https://start.exactonline.nl:8443",
		"https://start.exactonline.nl.evil.example",
		"https://evil.example/start.exactonline.nl", "https://azuredatabricks.net",
		"https://.azuredatabricks.net",
		"https://xazuredatabricks.net", "https://azuredatabricks.net.evil.example",
		"https://start.exactonline.nl@evil.example/",
		"https://user@start.exactonline.nl/", "https://user:password@start.exactonline.nl/",
		"https://test.example",
		"https://start.exactonline.nl./", "ftp://start.exactonline.nl", "file:///etc/passwd",
		"start.exactonline.nl", "", "https://",
		"https:///x", "//start.exactonline.nl", "https://start.exactonline.nl\\@evil.example/",
		"https://127.0.0.1", "http://localhost",
		"https://localhost", "https://[::1]/", "https://2130706433/", "https://0x7f.1/",
		"https://169.254.169.254/",
		"https://start.exactonline.nl%2eevil.example/", "https://[fe80::1%25eth0]/",
		"https://[2001:db8::1%25eth0]:444/", "https://[2001:db8::1%00]:444/",
		"gopher://start.exactonline.nl",
		"https://evil.example#@start.exactonline.nl", "https://start.exactonline.nl:0443443/",
	};
	bool		private_too;
	char	   *why;

	for (size_t i = 0; i < lengthof(good); i++)
	{
		if (!allowed(good[i]))
			fprintf(stderr, "refused: %s\n", good[i]);
		CHECK(allowed(good[i]));
	}
	for (size_t i = 0; i < lengthof(bad); i++)
	{
		if (allowed(bad[i]))
			fprintf(stderr, "allowed: %s\n", bad[i]);
		CHECK(!allowed(bad[i]));
	}
	CHECK(exact_url_check("https://inside.example/", NULL, &private_too, &why) != NULL &&
		  private_too);
	CHECK(exact_url_check("https://start.exactonline.nl/", NULL, &private_too, &why) != NULL &&
		  !private_too);

	/* a name that no lookup should see is refused though an entry would fit */
	CHECK(!exact_host_allowed("https", "a_b.azuredatabricks.net", EXACT_HTTPS_PORT, NULL,
							  &private_too, &why));
	CHECK(!exact_host_allowed("https", "x/y.azuredatabricks.net", EXACT_HTTPS_PORT, NULL,
							  &private_too, &why));
	CHECK(exact_host_allowed("https", "ab.azuredatabricks.net", EXACT_HTTPS_PORT, NULL,
							 &private_too, &why));

	/* the hub's own address, which a superuser named, is the only one besides */
	CHECK(exact_url_check("https://hub.example.org/exact/hook", NULL, &private_too, &why) == NULL);
	CHECK(exact_url_check("https://hub.example.org/exact/hook", "https://hub.example.org",
						  &private_too, &why) != NULL && !private_too);
	CHECK(exact_url_check("https://hub.example.org:8443/exact/hook", "https://hub.example.org",
						  &private_too, &why) == NULL);
	CHECK(exact_url_check("https://hub.example.org.evil.example/", "https://hub.example.org",
						  &private_too, &why) == NULL);
	CHECK(exact_url_check("http://hub.example.org/exact/hook", "http://hub.example.org",
						  &private_too, &why) == NULL);

	exact_insecure_loopback = true;
	CHECK(allowed("http://127.0.0.1:8080/x"));
	CHECK(allowed("http://localhost:1"));
	CHECK(allowed("https://[::1]:9/"));
	CHECK(allowed("https://localhost/"));
	CHECK(!allowed("http://start.exactonline.nl"));
	CHECK(!allowed("http://10.0.0.1/"));
	CHECK(!allowed("http://0.0.0.0/"));
	exact_insecure_loopback = false;
}

static void
test_entries(void)
{
	static const char *const good[] = {
		"start.exactonline.nl", "*.azuredatabricks.net", "host:8443", "host:1/private",
		"host/private", "Test.Example:65535", "10.0.0.1", "10.0.0.1:8443/private",
		"[2001:db8::1]", "[2001:DB8::1]:444",
		"*.a-b.c:443/private",
	};
	static const char *const bad[] = {
		"", "*", "*.", "*.com", "*.com:443", "*host.example", ".host", "host.", "a..b", "host:",
		"host:0", "host:65536", "host:99999999999999999999", "host:443x", "host:x",
		"host/", "host/privat",
		"host/private/", "host/private:443", "/private", ":443",
		"https://host", "host/path", "[]", "[::1",
		"[::1]x", "*.[::1]", "[::g]", "2001:db8::1", "us_er", "a@b",
	};

	for (size_t i = 0; i < lengthof(good); i++)
	{
		if (!exact_host_entry_is_valid(good[i]))
			fprintf(stderr, "no entry: %s\n", good[i]);
		CHECK(exact_host_entry_is_valid(good[i]));
	}
	for (size_t i = 0; i < lengthof(bad); i++)
	{
		if (exact_host_entry_is_valid(bad[i]))
			fprintf(stderr, "an entry: %s\n", bad[i]);
		CHECK(!exact_host_entry_is_valid(bad[i]));
	}
}

static bool
origin_is(const char *url, const char *expected)
{
	char	   *origin = exact_url_origin(url);

	if (origin == NULL || expected == NULL)
		return origin == expected;
	return strcmp(origin, expected) == 0;
}

static void
test_texts(void)
{
	CHECK(origin_is("HTTPS://Start.ExactOnline.NL:443/a?b#c", "https://start.exactonline.nl"));
	CHECK(origin_is("http://localhost:80", "http://localhost"));
	CHECK(origin_is("http://127.0.0.1:40825/x", "http://127.0.0.1:40825"));
	CHECK(origin_is("https://[2001:DB8::1]:444/", "https://[2001:db8::1]:444"));
	CHECK(origin_is("ftp://x.example", NULL));
	CHECK(origin_is("x.example", NULL));
	CHECK(origin_is("https://a@x.example", NULL));

	CHECK(strcmp(exact_url_escape("Az09-._~ /?&=+%\xc3\xa9'"),
				 "Az09-._~%20%2F%3F%26%3D%2B%25%C3%A9%27") == 0);
	CHECK(strcmp(exact_url_escape(""), "") == 0);
	CHECK(strcmp(exact_url_unescape("a%20b%2fc%2Bd+", 14), "a b/c+d+") == 0);
	CHECK(strcmp(exact_url_unescape("abc%41%42", 3), "abc") == 0);
	CHECK(RAISES(exact_url_unescape("100%", 4)));
	CHECK(RAISES(exact_url_unescape("%4", 2)));
	CHECK(RAISES(exact_url_unescape("%41", 2)));
	CHECK(RAISES(exact_url_unescape("%zz", 3)));
	CHECK(RAISES(exact_url_unescape("a%00b", 5)));
	CHECK(unit_sqlstate == ERRCODE_INVALID_PARAMETER_VALUE);
	CHECK(RAISES(exact_url_unescape("a\0b", 3)));
}

int
main(void)
{
	test_classes();
	test_hosts();
	test_entries();
	test_texts();
	return checks_done();
}

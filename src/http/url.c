/*
 * url.c - addresses: taken apart by libcurl's own parser, so that what is checked is what is
 * connected to.
 *
 * Works in every backend, also without preloading. Called by http_client.c, and by those who
 * configure or build addresses.
 */
#include "postgres.h"

#include <curl/curl.h>

#include "http/host_policy.h"
#include "http/url.h"

#define HTTP_PORT 80

/*
 * The parts that decide where an absolute URL leads; false when it has none, another scheme, a user
 * name or an IPv6 zone.
 */
static bool
split_url(CURLU *url, const char *text, char **scheme, char **host, int *port)
{
	char	   *part[] = {NULL, NULL, NULL, NULL, NULL};
	bool		good = url != NULL &&
		curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_SCHEME, &part[0], 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_HOST, &part[1], 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_PORT, &part[2], CURLU_DEFAULT_PORT) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_USER, &part[3], 0) == CURLUE_NO_USER &&
		curl_url_get(url, CURLUPART_ZONEID, &part[4], 0) != CURLUE_OK &&
		(strcmp(part[0], "https") == 0 || strcmp(part[0], "http") == 0);

	if (good)
	{
		*scheme = pstrdup(part[0]);
		*host = pstrdup(part[1]);
		*port = atoi(part[2]);
		for (char *p = *host; *p; p++)
			*p = pg_ascii_tolower((unsigned char) *p);
	}
	for (int i = 0; i < (int) lengthof(part); i++)
		curl_free(part[i]);
	return good;
}

/* What is returned is the parser's own writing of the address, which is what is connected to. */
char *
exact_url_check(const char *text, const char *own, bool *private_too, char **why)
{
	CURLU	   *url = curl_url();
	char	   *scheme;
	char	   *host;
	int			port;
	char	   *whole = NULL;
	char	   *result = NULL;

	*private_too = false;
	if (!split_url(url, text, &scheme, &host, &port))
		*why = pstrdup("it is not an absolute https:// address without a user name");
	else
	{
		if (exact_host_allowed(scheme, host, port, own, private_too, why))
		{
			if (curl_url_get(url, CURLUPART_URL, &whole, 0) == CURLUE_OK)
				result = pstrdup(whole);
			else
				*why = pstrdup("out of memory");
		}
		pfree(scheme);
		pfree(host);
	}
	curl_free(whole);
	curl_url_cleanup(url);
	return result;
}

bool
exact_url_allowed(const char *url, char **why)
{
	bool		private_too;
	char	   *normal = exact_url_check(url, NULL, &private_too, why);

	if (normal == NULL)
		return false;
	pfree(normal);
	return true;
}

char *
exact_url_origin(const char *url)
{
	CURLU	   *parsed = curl_url();
	char	   *scheme;
	char	   *host;
	char	   *origin = NULL;
	int			port;

	if (split_url(parsed, url, &scheme, &host, &port))
	{
		if (port == (strcmp(scheme, "https") == 0 ? EXACT_HTTPS_PORT : HTTP_PORT))
			origin = psprintf("%s://%s", scheme, host);
		else
			origin = psprintf("%s://%s:%d", scheme, host, port);
	}
	curl_url_cleanup(parsed);
	return origin;
}

char *
exact_url_escape(const char *value)
{
	static const char hex[] = "0123456789ABCDEF";
	char	   *escaped = palloc(strlen(value) * 3 + 1);
	char	   *out = escaped;

	for (const unsigned char *p = (const unsigned char *) value; *p; p++)
	{
		if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			(*p >= '0' && *p <= '9') || strchr("-._~", *p))
			*out++ = *p;
		else
		{
			*out++ = '%';
			*out++ = hex[*p >> 4];
			*out++ = hex[*p & 15];
		}
	}
	*out = '\0';
	return escaped;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * A zero byte would end the text early for whoever reads it next: it is refused, like half an
 * escape.
 */
char *
exact_url_unescape(const char *value, size_t len)
{
	char	   *decoded = palloc(len + 1);
	char	   *out = decoded;

	for (size_t i = 0; i < len; i++)
	{
		char		c = value[i];

		if (c == '%')
		{
			int			high = i + 2 < len ? hex_digit(value[i + 1]) : -1;
			int			low = high >= 0 ? hex_digit(value[i + 2]) : -1;

			if (low < 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("the address has a percent sign without two hexadecimal digits")));
			c = (char) (high << 4 | low);
			i += 2;
		}
		if (c == '\0')
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the address has a zero byte")));
		*out++ = c;
	}
	*out = '\0';
	return decoded;
}

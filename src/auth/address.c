/*
 * address.c - where an app and a workspace are: origins as configured, normalised and allowed.
 *
 * Every request and every sealed secret takes its host from here, so that a secret and the host it
 * is sent to cannot differ in spelling. Also the texts of a redirect address. Called by
 * credential.c, the token files, the fetcher and the loader.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "auth/address.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/guc.h"
#include "base/sql.h"
#include "http/url.h"

PG_FUNCTION_INFO_V1(exact__app_host);
PG_FUNCTION_INFO_V1(exact__workspace_host);
PG_FUNCTION_INFO_V1(exact__url_encode);
PG_FUNCTION_INFO_V1(exact__url_decode);
PG_FUNCTION_INFO_V1(exact__public_url);

/* Exact Online is a separate installation per region: exact-online.md §1 */
static const struct
{
	const char *region;
	const char *url;
}			regions[] =
{
	{"nl", "https://start.exactonline.nl"},
	{"be", "https://start.exactonline.be"},
	{"de", "https://start.exactonline.de"},
	{"fr", "https://start.exactonline.fr"},
	{"es", "https://start.exactonline.es"},
	{"uk", "https://start.exactonline.co.uk"},
	{"us", "https://start.exactonline.com"},
};

/* Base URL of an app without a slash at its end (palloc'd); NULL when the region is unknown. */
static char *
app_url(const char *base_url, const char *region)
{
	if (base_url != NULL && base_url[0] != '\0')
	{
		char	   *url = pstrdup(base_url);

		for (size_t n = strlen(url); n > 0 && url[n - 1] == '/'; n--)
			url[n - 1] = '\0';
		return url;
	}
	for (int i = 0; region != NULL && i < (int) lengthof(regions); i++)
		if (strcmp(regions[i].region, region) == 0)
			return pstrdup(regions[i].url);
	return NULL;
}

static void
require_allowed(const char *url)
{
	char	   *why = NULL;

	if (!exact_url_allowed(url, &why))
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_HOST_NOT_ALLOWED),
				 errmsg("%s", why ? why : "the host is not allowed"),
				 errdetail("Nothing is sent there."),
				 errhint("Correct the address, or let a superuser add the host to "
						 "exact_databricks.allowed_hosts.")));
}

char *
exact_app_base_url(const char *app)
{
	ExactArg	arg = exact_arg_text(app);
	char	   *url;

	if (exact_sql("SELECT base_url, region FROM exact.app WHERE name = $1", 1, &arg) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_NOT_AUTHORIZED),
				 errmsg("there is no app \"%s\"", app),
				 errhint("SELECT name FROM exact.app; shows the apps.")));
	url = app_url(exact_cell_text(0, 1), exact_cell_text(0, 2));
	if (url == NULL || exact_url_origin(url) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_HOST_NOT_ALLOWED),
				 errmsg("the address of app \"%s\" is not usable", app),
				 errhint("Set exact.app.region to nl, be, de, fr, es, uk or us, or base_url to an "
						 "https address.")));
	require_allowed(url);
	return url;
}

/*
 * The origin of a workspace from what a person pasted (databricks.md §1.1): scheme added, path,
 * query and :443 dropped, workspace id kept when the query names one. On failure NULL and *why.
 */
static char *
normalise_host(const char *host, char **workspace_id, char **why)
{
	char	   *url;
	char	   *origin;
	const char *authority;
	const char *query;
	size_t		n;

	*workspace_id = NULL;
	while (*host == ' ')
		host++;
	url = strstr(host, "://") ? pstrdup(host) : psprintf("https://%s", host);
	for (n = strlen(url); n > 0 && url[n - 1] == ' '; n--)
		url[n - 1] = '\0';

	authority = strstr(url, "://") + 3;
	n = strcspn(authority, "/?#");
	if (n == 0 || memchr(authority, '@', n) != NULL)
	{
		*why = pstrdup("it has no host name, or it has a user name");
		return NULL;
	}
	query = authority + n + strcspn(authority + n, "?#");
	while (*query == '?' || *query == '&')
	{
		static const char *const names[] = {"o=", "workspace_id=", "w="};
		size_t		len = strcspn(++query, "&#");

		for (int i = 0; i < (int) lengthof(names); i++)
		{
			size_t		name_len = strlen(names[i]);
			const char *value = query + name_len;
			size_t		value_len = len - name_len;

			if (*workspace_id == NULL && len > name_len &&
				strncmp(query, names[i], name_len) == 0 &&
				strspn(value, "0123456789") >= value_len)
				*workspace_id = pnstrdup(value, value_len);
		}
		query += len;
	}
	url[authority - url + n] = '\0';
	origin = exact_url_origin(url);
	if (origin == NULL)
		*why = pstrdup("it is no http or https address");
	else if (strncmp(strstr(origin, "://") + 3, "accounts.", 9) == 0 ||
			 strncmp(strstr(origin, "://") + 3, "accounts-dod.", 13) == 0)
	{
		*why = pstrdup("it is the account console, which runs no SQL");
		return NULL;
	}
	return origin;
}

char *
exact_workspace_origin(const char *workspace, char **workspace_id)
{
	ExactArg	arg = exact_arg_text(workspace);
	char	   *why = NULL;
	char	   *id;
	char	   *host;
	char	   *origin;

	if (exact_sql("SELECT host FROM exact.workspace WHERE name = $1", 1, &arg) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_SECRET),
				 errmsg("there is no workspace \"%s\"", workspace),
				 errhint("SELECT name FROM exact.workspace; shows the workspaces.")));
	host = exact_cell_text(0, 1);
	origin = normalise_host(host, &id, &why);
	if (origin == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_HOST_NOT_ALLOWED),
				 errmsg("the host of workspace \"%s\" is not usable: %s", workspace, why),
				 errhint("Set exact.workspace.host to the address of the workspace, such as "
						 "https://adb-1234567890.12.azuredatabricks.net.")));
	require_allowed(origin);
	if (workspace_id != NULL)
		*workspace_id = id;
	return origin;
}

/*
 * exact._app_host(base_url text, region text) → text: origin, null when it is none; for views, so
 * it never raises.
 */
Datum
exact__app_host(PG_FUNCTION_ARGS)
{
	char	   *url = app_url(PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)),
							  PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)));
	char	   *origin = url ? exact_url_origin(url) : NULL;

	if (origin == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(origin));
}

/* exact._workspace_host(host text) → text: likewise. */
Datum
exact__workspace_host(PG_FUNCTION_ARGS)
{
	char	   *why;
	char	   *id;
	char	   *origin = normalise_host(text_to_cstring(PG_GETARG_TEXT_PP(0)), &id, &why);

	if (origin == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(origin));
}

/* exact._url_encode(text), exact._url_decode(text): one query value. */
Datum
exact__url_encode(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(exact_url_escape(text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}

Datum
exact__url_decode(PG_FUNCTION_ARGS)
{
	char	   *value = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *decoded = exact_url_unescape(value, strlen(value));

	pg_verifymbstr(decoded, strlen(decoded), false);
	PG_RETURN_TEXT_P(cstring_to_text(decoded));
}

/*
 * exact._public_url() → text: the setting, which only superusers may read by name; null when unset.
 */
Datum
exact__public_url(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	if (exact_public_url[0] == '\0')
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(exact_public_url));
}

/*
 * page_head.c - how each page for people begins: which hub, which database, as of when.
 *
 * Called by page_status.c and page_deliveries.c. Who has several hubs open tells them apart by the
 * titles of their windows.
 */
#include "postgres.h"

#include "base/sql.h"
#include "listener/html.h"
#include "listener/page_head.h"

#define REFRESH_S 15

void
exact_page_begin(StringInfo out, const char *subject, const char *headline)
{
	static const char sql[] =
	"SELECT format('%s on %s', current_database(), coalesce("
	"  nullif(current_setting('cluster_name', true), ''),"
	"  'hub ' || left(exact._hub_mark(), 8), 'a hub without an app')),"
	" to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'";
	char	   *hub;
	char	   *as_of;

	exact_sql(sql, 0, NULL);
	hub = exact_cell_text(0, 1);
	as_of = exact_cell_text(0, 2);
	exact_html_begin(out, psprintf("%s: %s, Exact Online to Databricks", hub, subject), headline,
					 REFRESH_S);
	appendStringInfoString(out, "<p class=\"soft\">Database ");
	exact_html_text(out, hub);
	appendStringInfo(out, ". As of <span class=\"n\">%s</span>, like all times here; the page loads"
					 " itself every %d seconds.</p>\n", as_of, REFRESH_S);
}

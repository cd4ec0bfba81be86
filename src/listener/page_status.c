/*
 * page_status.c - the status page: exact.status and exact.workers for people without psql.
 *
 * Called by listener.c. One file of at most 50 kB: where there are more divisions than fit, those
 * that need somebody come first.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/sql.h"
#include "listener/html.h"
#include "listener/page_status.h"
#include "worker/unit.h"

#define REFRESH_S 15
#define PAGE_MAX (46 * 1024)	/* no division is begun beyond */

typedef struct StatusUnit
{
	StringInfo	out;
	uint64		divisions;
	char	   *headline;
	StringInfoData rows;
} StatusUnit;

static void
cell(StringInfo out, const char *class, const char *text)
{
	if (class)
		appendStringInfo(out, "<td class=\"%s\">", class);
	else
		appendStringInfoString(out, "<td>");
	if (text)
		exact_html_text(out, text);
	appendStringInfoString(out, "</td>");
}

static void
table(StringInfo out, const char *label, const char *const *headings, int n)
{
	appendStringInfo(out, "<div class=\"wide\"><table aria-label=\"%s\">\n<thead><tr>", label);
	for (int i = 0; i < n; i++)
		appendStringInfo(out, "<th scope=\"col\">%s</th>", headings[i]);
	appendStringInfoString(out, "</tr></thead>\n<tbody>\n");
}

/* All count for the headline, those that fit are shown. */
static void
put_divisions(StatusUnit *status)
{
	static const char *const headings[] = {
		"Light", "Division", "Name", "What", "Next step", "Announced", "Full look", "Waiting",
		"Calls left"
	};
	static const char sql[] =
	"WITH s AS MATERIALIZED (SELECT row_number() OVER () AS n, t.* FROM exact.status AS t)"
	" SELECT s.light, s.division, s.name, s.what, s.next_step, exact._age(s.announced),"
	"  exact._age(s.looked), s.waiting, s.budget,"
	"  (SELECT exact._headline(array_agg(a.light), array_agg(a.state)) FROM s AS a)"
	" FROM s"
	" ORDER BY s.n";
	StringInfo	out = &status->rows;
	uint64		shown = 0;

	status->divisions = exact_sql(sql, 0, NULL);
	status->headline = status->divisions == 0 ? pstrdup("") : exact_cell_text(0, 10);
	table(out, "Divisions", headings, lengthof(headings));
	for (uint64 row = 0; row < status->divisions; row++)
	{
		char	   *light = exact_cell_text(row, 1);

		if (out->len > PAGE_MAX)
			continue;
		shown++;
		appendStringInfoString(out, "<tr>");
		cell(out, psprintf("light %s", light), light);
		for (int col = 2; col <= 5; col++)
			cell(out, NULL, exact_cell_text(row, col));
		for (int col = 6; col <= 9; col++)
			cell(out, "n", exact_cell_text(row, col));
		appendStringInfoString(out, "</tr>\n");
	}
	appendStringInfoString(out, "</tbody></table></div>\n");
	if (shown < status->divisions)
	{
		char	   *more = psprintf(UINT64_FORMAT " more, none worse: SELECT * FROM exact.status;",
									status->divisions - shown);

		exact_html_paragraph(out, "soft", more);
	}
}

/* Is the other side there? */
static void
put_services(StringInfo out)
{
	static const char *const headings[] = {"Light", "Service", "What", "Next step", "Last answer"};
	static const char sql[] =
	"SELECT light, CASE side WHEN 'exact' THEN 'Exact Online' ELSE 'Databricks' END"
	"  || ' (' || name || ')', what, next_step,"
	"  to_char(answered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
	" FROM exact.services"
	" WHERE light <> 'off'";
	uint64		n = exact_sql(sql, 0, NULL);

	if (n == 0)
		return;
	appendStringInfoString(out, "<h2>Services</h2>\n");
	table(out, "Services", headings, lengthof(headings));
	for (uint64 row = 0; row < n && out->len < PAGE_MAX; row++)
	{
		char	   *light = exact_cell_text(row, 1);

		appendStringInfoString(out, "<tr>");
		cell(out, psprintf("light %s", light), light);
		for (int col = 2; col <= 5; col++)
			cell(out, NULL, exact_cell_text(row, col));
		appendStringInfoString(out, "</tr>\n");
	}
	appendStringInfoString(out, "</tbody></table></div>\n");
}

static void
put_workers(StringInfo out)
{
	static const char *const headings[] = {"Worker", "State", "Since", "Restarts", "Why"};
	static const char sql[] =
	"SELECT role, state, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),"
	" restarts, reason"
	" FROM exact.workers";
	uint64		n = exact_sql(sql, 0, NULL);

	appendStringInfoString(out, "<h2>Workers</h2>\n");
	table(out, "Workers", headings, lengthof(headings));
	for (uint64 row = 0; row < n; row++)
	{
		char	   *state = exact_cell_text(row, 2);

		appendStringInfoString(out, "<tr>");
		cell(out, NULL, exact_cell_text(row, 1));
		cell(out, strcmp(state, "running") == 0 ? "ok" : "warn", state);
		cell(out, NULL, exact_cell_text(row, 3));
		cell(out, NULL, exact_cell_text(row, 4));
		cell(out, NULL, exact_cell_text(row, 5));
		appendStringInfoString(out, "</tr>\n");
	}
	appendStringInfoString(out, "</tbody></table></div>\n");
}

static void
status_unit(void *arg)
{
	StatusUnit *status = arg;

	initStringInfo(&status->rows);
	put_divisions(status);
	put_services(&status->rows);
	put_workers(&status->rows);
	exact_sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'", 0,
			  NULL);
	exact_html_begin(status->out, "Exact Online to Databricks", status->headline, REFRESH_S);
	exact_html_paragraph(status->out, "soft",
						 psprintf("As of %s; the page loads itself every %d seconds.",
								  exact_cell_text(0, 1), REFRESH_S));
	appendBinaryStringInfo(status->out, status->rows.data, status->rows.len);
	exact_html_end(status->out);
}

bool
exact_page_status(StringInfo out)
{
	StatusUnit	status = {.out = out};

	return exact_unit_run("status page", status_unit, &status, NULL);
}

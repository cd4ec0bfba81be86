/*
 * page_deliveries.c - the last notifications, how they were answered and what became of them.
 *
 * Called by pages.c. Those that were stored are told one by one; of those that were not there is
 * nothing but their number.
 */
#include "postgres.h"

#include "base/sql.h"
#include "listener/html.h"
#include "listener/page_deliveries.h"
#include "listener/page_head.h"
#include "listener/traffic.h"
#include "worker/unit.h"

#define SHOWN 50

static void
put_answers(StringInfo out)
{
	static const char *const headings[] = {"Answer", "What came", "How many"};
	static const struct
	{
		const char *answer;
		const char *what;
		ExactTrafficCount count;
		const char *class;
	}			answers[] = {
		{"200", "a notification, stored before it was answered", EXACT_TRAFFIC_ACCEPTED, "ok"},
		{"200", "a repeat of one that is stored", EXACT_TRAFFIC_DUPLICATE, "ok"},
		{"200", "an empty body: Exact Online tried the address", EXACT_TRAFFIC_VALIDATION, "ok"},
		{"401", "not signed by a webhook secret of this hub", EXACT_TRAFFIC_REFUSED, "fail"},
		{"503", "could not be stored: Exact Online sends it again", EXACT_TRAFFIC_UNAVAILABLE,
		"fail"},
		{"413", "more than 64 kB", EXACT_TRAFFIC_TOO_LARGE, "warn"},
		{"400", "no request that can be read", EXACT_TRAFFIC_MALFORMED, "warn"},
	};
	ExactTrafficCopy traffic;
	bool		any = false;

	appendStringInfoString(out, "<h2>Answers since the server started</h2>\n");
	if (!exact_traffic_read(&traffic))
	{
		exact_html_paragraph(out, "soft", "They are not counted.");
		return;
	}
	for (size_t i = 0; i < lengthof(answers); i++)
	{
		uint64		n = traffic.counts[answers[i].count];

		if (n == 0)
			continue;
		if (!any)
			exact_html_table(out, "Answers", headings, lengthof(headings));
		any = true;
		appendStringInfoString(out, "<tr>");
		exact_html_cell(out, answers[i].class, NULL, answers[i].answer);
		exact_html_cell(out, NULL, NULL, answers[i].what);
		exact_html_cell(out, "n", "how many", psprintf(UINT64_FORMAT, n));
		appendStringInfoString(out, "</tr>\n");
	}
	if (any)
		exact_html_table_end(out);
	else
		exact_html_paragraph(out, "soft", "Nothing has come.");
}

static const char *
class_of(const char *became)
{
	if (strncmp(became, "in Delta", 8) == 0 || strncmp(became, "read,", 5) == 0)
		return "ok";
	return strncmp(became, "waits", 5) == 0 ? "warn" : "off";
}

static void
put_stored(StringInfo out)
{
	static const char *const headings[] = {
		"No.", "Received (UTC)", "Division", "Topic", "Record", "What became of it"
	};
	static const char sql[] =
	"SELECT number, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), division,"
	"  concat_ws(', ', topic, lower(action)), key, became"
	" FROM exact._deliveries(" CppAsString2(SHOWN) ")";
	uint64		n = exact_sql_by_index(sql, 0, NULL);

	appendStringInfo(out, "<h2>Stored notifications, the newest %d at most</h2>\n", SHOWN);
	if (n == 0)
	{
		exact_html_paragraph(out, "soft", "None: notifications are kept for seven days.");
		return;
	}
	exact_html_table(out, "Notifications", headings, lengthof(headings));
	for (uint64 row = 0; row < n; row++)
	{
		char	   *became = exact_cell_text(row, 6);

		appendStringInfoString(out, "<tr>");
		exact_html_cell(out, "n", "No.", exact_cell_text(row, 1));
		exact_html_cell(out, "n", "received (UTC)", exact_cell_text(row, 2));
		exact_html_cell(out, "n", "division", exact_cell_text(row, 3));
		exact_html_cell(out, NULL, NULL, exact_cell_text(row, 4));
		exact_html_cell(out, "soft", "record", exact_cell_text(row, 5));
		exact_html_cell(out, became ? class_of(became) : NULL, NULL, became);
		appendStringInfoString(out, "</tr>\n");
	}
	exact_html_table_end(out);
}

static void
deliveries_unit(void *arg)
{
	StringInfo	out = arg;

	exact_page_begin(out, "notifications", "Notifications of Exact Online");
	appendStringInfoString(out, "<p><a href=\"status\">Status of the hub</a></p>\n");
	put_stored(out);
	put_answers(out);
	exact_html_end(out);
}

bool
exact_page_deliveries(StringInfo out)
{
	return exact_unit_run("page of deliveries", deliveries_unit, out, NULL);
}

/*
 * page_status.c - the status page: what needs a person, services, divisions, events, workers, for
 * people without psql.
 *
 * Called by pages.c. At most 50 kB, for one division and for 500: causes are told once, the worst
 * divisions come first, and what does not fit is counted.
 */
#include "postgres.h"

#include <ctype.h>

#include "base/sql.h"
#include "listener/html.h"
#include "listener/page_head.h"
#include "listener/page_status.h"
#include "worker/unit.h"

#define DIVISIONS_MAX (38 * 1024)	/* no division is begun beyond */
#define EVENTS_MAX (46 * 1024)	/* nor an event */
#define DIVISIONS_SHOWN 60
#define OFF_SHOWN 5				/* of those that are not enabled, which come last */
#define SERVICES_SHOWN 12
#define CAUSES_SHOWN 8
#define EVENTS_SHOWN 20
#define EVENTS_READ 600			/* to find so many that differ */
#define ALIKE_SHOWN 3
#define CUT_NAME 24				/* characters: exact.status has no more of a name */
#define MOST_TEXT 600			/* characters of a sentence */
#define MOST_EVENT 240			/* characters of an event */
#define DAY_SLOTS 144			/* of ten minutes */
#define DAY_POINTS 48			/* of the line: the highest of three slots each */
#define LEAST_TOP_S 60			/* a lag of a minute does not fill its line */

enum
{
	COL_LIGHT = 1,
	COL_DIVISION,
	COL_NAME,
	COL_WHAT,
	COL_STEP,
	COL_LAG,
	COL_LOOKED,
	COL_WAITING,
	COL_LOADED,
	COL_LEFT,
	COL_LIMIT,
	COL_PERSON,
	COL_HEADLINE
};

static const char division_sql[] =
"WITH s AS MATERIALIZED (SELECT row_number() OVER () AS n, t.* FROM exact.status AS t)"
" SELECT s.light, s.division,"
"  CASE WHEN length(s.name) = " CppAsString2(CUT_NAME) " THEN s.name || '...' ELSE s.name END,"
"  left(s.what, " CppAsString2(MOST_TEXT) "),"
"  left(s.next_step, " CppAsString2(MOST_TEXT) "), exact._age(s.lag),"
"  exact._age(s.looked), s.waiting, s.loaded, split_part(s.budget, '/', 1),"
"  split_part(s.budget, '/', 2),"
"  (s.light = 'fail' AND s.state <> 'service') OR s.state IN ('setup', 'held', 'kept', 'changes',"
"   'dead', 'frozen', 'parked', 'paused', 'entities paused', 'refused', 'waits', 'consent',"
"   'client', 'suspended', 'no entity', 'no workspace', 'workspace off'),"
"  CASE WHEN s.n = 1 THEN"
"   (SELECT exact._headline(array_agg(a.light), array_agg(a.state)) FROM s AS a) END"
" FROM s"
" ORDER BY s.n";

typedef struct Division
{
	char	   *light;
	char	   *number;			/* NULL: the hub itself */
	char	   *name;
	char	   *what;
	char	   *step;
	char	   *lag;
	char	   *looked;
	char	   *waiting;
	char	   *loaded;
	char	   *left;
	char	   *limit;
	bool		person;
	char	   *cause;			/* `what` and `step` without its number, when it needs a person */
	char	   *remedy;
} Division;

typedef struct StatusUnit
{
	StringInfo	out;
	Division   *divisions;
	int			n;
	char	   *headline;
} StatusUnit;

/* A sentence of a division with a mark in the place of its own number */
static char *
without_number(const char *text, const char *number)
{
	StringInfoData out;
	size_t		len = number ? strlen(number) : 0;
	bool		in_number = false;

	if (text == NULL)
		return NULL;
	initStringInfo(&out);
	for (const char *c = text; *c; c++)
	{
		if (len > 0 && !in_number && strncmp(c, number, len) == 0 &&
			!isdigit((unsigned char) c[len]))
		{
			appendStringInfoString(&out, "...");
			c += len - 1;
			continue;
		}
		in_number = isdigit((unsigned char) *c);
		appendStringInfoChar(&out, *c);
	}
	return out.data;
}

static void
read_divisions(StatusUnit *status)
{
	status->n = (int) exact_sql(division_sql, 0, NULL);
	status->headline = status->n > 0 ? exact_cell_text(0, COL_HEADLINE) : NULL;
	if (status->headline == NULL)
		status->headline = pstrdup("No division is enabled.");
	status->divisions = palloc0(sizeof(Division) * Max(status->n, 1));
	for (int row = 0; row < status->n; row++)
		status->divisions[row] = (Division)
		{
			.light = exact_cell_text(row, COL_LIGHT),
			.number = exact_cell_text(row, COL_DIVISION),
			.name = exact_cell_text(row, COL_NAME),
			.what = exact_cell_text(row, COL_WHAT),
			.step = exact_cell_text(row, COL_STEP),
			.lag = exact_cell_text(row, COL_LAG),
			.looked = exact_cell_text(row, COL_LOOKED),
			.waiting = exact_cell_text(row, COL_WAITING),
			.loaded = exact_cell_text(row, COL_LOADED),
			.left = exact_cell_text(row, COL_LEFT),
			.limit = exact_cell_text(row, COL_LIMIT),
			.person = exact_cell_bool(row, COL_PERSON, false),
		};
	for (Division *d = status->divisions; d < status->divisions + status->n; d++)
	{
		if (!d->person)
			continue;
		d->cause = without_number(d->what, d->number);
		d->remedy = without_number(d->step, d->number);
	}
}

/* ---- what needs a person ---- */

static bool
is_same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* What holds several divisions up in the same words is told once. */
static bool
is_told_before(const StatusUnit *status, int i)
{
	const Division *d = &status->divisions[i];

	for (int k = 0; k < i; k++)
		if (status->divisions[k].person && is_same(status->divisions[k].cause, d->cause) &&
			is_same(status->divisions[k].remedy, d->remedy))
			return true;
	return false;
}

static int
alike(const StatusUnit *status, int i)
{
	int			n = 0;

	for (int k = i; k < status->n; k++)
		n += status->divisions[k].person &&
			is_same(status->divisions[k].cause, status->divisions[i].cause) &&
			is_same(status->divisions[k].remedy, status->divisions[i].remedy);
	return n;
}

static void
put_cause(StringInfo out, const char *light, const char *who, const char *what, const char *step)
{
	appendStringInfo(out, "<li%s><b class=\"%s\">%s</b> <strong>",
					 strcmp(light, "fail") == 0 ? " class=\"f\"" : "", light, light);
	exact_html_text(out, who);
	appendStringInfoString(out, "</strong><div>");
	exact_html_text(out, what ? what : "");
	appendStringInfoString(out, "</div>");
	if (step)
	{
		appendStringInfoString(out, "<div class=\"soft\">Next: ");
		exact_html_text(out, step);
		appendStringInfoString(out, "</div>");
	}
	appendStringInfoString(out, "</li>\n");
}

static void
put_causes(StatusUnit *status)
{
	static const char service_sql[] =
	"SELECT CASE side WHEN 'exact' THEN 'Exact Online' ELSE 'Databricks' END"
	"  || ' (' || name || ')', left(what, " CppAsString2(MOST_TEXT) "), next_step"
	" FROM exact.services"
	" WHERE light = 'fail'";
	StringInfo	out = status->out;
	int			causes = (int) exact_sql(service_sql, 0, NULL);

	appendStringInfoString(out, "<h2>Needs a person</h2>\n<ul>\n");
	for (int row = 0; row < Min(causes, CAUSES_SHOWN); row++)
		put_cause(out, "fail", exact_cell_text(row, 1), exact_cell_text(row, 2),
				  exact_cell_text(row, 3));
	for (int i = 0; i < status->n; i++)
	{
		const Division *d = &status->divisions[i];
		int			n;

		if (!d->person || is_told_before(status, i) || ++causes > CAUSES_SHOWN)
			continue;
		n = alike(status, i);
		if (d->number == NULL)
			put_cause(out, d->light, d->name, d->what, d->step);
		else if (n > 1)
			put_cause(out, d->light, psprintf("%d divisions", n), d->cause, d->remedy);
		else
			put_cause(out, d->light, psprintf("%s %s", d->number, d->name ? d->name : ""), d->what,
					  d->step);
	}
	appendStringInfoString(out, "</ul>\n");
	if (causes == 0)
		exact_html_paragraph(out, "ok", "Nothing.");
	else if (causes > CAUSES_SHOWN)
		exact_html_paragraph(out, "soft", psprintf("%d more: SELECT * FROM exact.status;",
												   causes - CAUSES_SHOWN));
}

/* ---- services ---- */

static void
put_services(StringInfo out)
{
	static const char *const headings[] = {"Light", "Service", "What", "Last answer (UTC)"};
	static const char sql[] =
	"SELECT light, CASE side WHEN 'exact' THEN 'Exact Online' ELSE 'Databricks' END"
	"  || ' (' || name || ')', left(what, " CppAsString2(MOST_TEXT) "), next_step,"
	"  to_char(answered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
	" FROM exact.services"
	" WHERE light <> 'off'"
	" ORDER BY array_position(ARRAY['fail', 'warn', 'ok'], light), side DESC, name";
	uint64		n = exact_sql(sql, 0, NULL);

	if (n == 0)
		return;
	appendStringInfoString(out, "<h2>Services</h2>\n");
	exact_html_table(out, "Services", headings, lengthof(headings));
	for (uint64 row = 0; row < Min(n, SERVICES_SHOWN); row++)
	{
		char	   *light = exact_cell_text(row, 1);
		char	   *step = exact_cell_text(row, 4);

		appendStringInfoString(out, "<tr>");
		exact_html_cell(out, psprintf("light %s", light), NULL, light);
		exact_html_cell(out, NULL, NULL, exact_cell_text(row, 2));
		exact_html_cell_begin(out, NULL, NULL);
		exact_html_text(out, exact_cell_text(row, 3));
		if (step)
		{
			appendStringInfoString(out, "<i>");
			exact_html_text(out, step);
			appendStringInfoString(out, "</i>");
		}
		exact_html_cell_end(out);
		exact_html_cell(out, "n", "last answer (UTC)", exact_cell_text(row, 5));
		appendStringInfoString(out, "</tr>\n");
	}
	exact_html_table_end(out);
	if (n > SERVICES_SHOWN)
		exact_html_paragraph(out, "soft", psprintf(UINT64_FORMAT " more, none worse: SELECT * FROM"
												   " exact.services;", n - SERVICES_SHOWN));
}

/* ---- divisions ---- */

typedef struct Day
{
	int			division;
	char	   *highest;
	int32		top;
	int32		points[DAY_POINTS]; /* the oldest first, -1: not known */
} Day;

/* The lags of a day of the divisions that are shown, in the order of their numbers */
static Day *
read_days(const StatusUnit *status, int *ndays)
{
	static const char sql[] =
	"SELECT w.division, d.slot - w.slot, array_replace(w.lags, NULL, -1),"
	" exact._age(interval '1 second' * t.top), t.top"
	" FROM unnest($1) AS x (division)"
	" CROSS JOIN LATERAL (SELECT y.division, y.slot, y.lags FROM exact.watched AS y"
	"  WHERE y.side = 'division' AND y.name = x.division::text OFFSET 0) AS w"
	" CROSS JOIN LATERAL (SELECT max(l.lag) AS top FROM unnest(w.lags) AS l (lag)) AS t"
	" CROSS JOIN (SELECT floor(extract(epoch FROM now()) / 600)::int) AS d (slot)"
	" WHERE d.slot - w.slot BETWEEN 0 AND 143"
	" ORDER BY w.division";
	int32		numbers[DIVISIONS_SHOWN];
	int			n = 0;
	ExactArg	arg;
	Day		   *days;

	for (int i = 0; i < Min(status->n, DIVISIONS_SHOWN); i++)
		if (status->divisions[i].number)
			numbers[n++] = atoi(status->divisions[i].number);
	arg = exact_arg_int4_array(numbers, NULL, n);
	*ndays = (int) exact_sql(sql, 1, &arg);
	days = palloc(sizeof(Day) * Max(*ndays, 1));
	for (int row = 0; row < *ndays; row++)
	{
		int			nlags;
		int			behind = (int) exact_cell_int8(row, 2, 0);
		int32	   *lags = exact_cell_int4s(row, 3, &nlags);

		days[row].division = (int) exact_cell_int8(row, 1, 0);
		days[row].highest = exact_cell_text(row, 4);
		days[row].top = (int32) exact_cell_int8(row, 5, 0);
		for (int i = 0; i < DAY_POINTS; i++)
			days[row].points[i] = -1;
		for (int i = 0; i < nlags && i + behind < DAY_SLOTS; i++)
		{
			int32	   *point = &days[row].points[(DAY_SLOTS - 1 - i - behind)
												  / (DAY_SLOTS / DAY_POINTS)];

			*point = Max(*point, lags[i]);
		}
	}
	return days;
}

static void
put_day(StringInfo out, const Day *days, int ndays, const char *number)
{
	int			division = number ? atoi(number) : 0;

	for (int i = 0; i < ndays; i++)
	{
		if (days[i].division != division || days[i].highest == NULL)
			continue;
		exact_html_spark(out, psprintf("24 hours, highest %s", days[i].highest), days[i].points,
						 DAY_POINTS, LEAST_TOP_S);
		if (days[i].top > LEAST_TOP_S)
			appendStringInfo(out, "<i>highest %s</i>", days[i].highest);
	}
}

static void
put_division(StringInfo out, const Division *d, const Day *days, int ndays)
{
	bool		on = strcmp(d->light, "off") != 0;

	appendStringInfoString(out, "<tr>");
	exact_html_cell(out, psprintf("light %s", d->light), NULL, d->light);
	exact_html_cell(out, NULL, NULL, psprintf("%s %s", d->number, d->name ? d->name : ""));
	exact_html_cell_begin(out, NULL, NULL);
	exact_html_text(out, d->what ? d->what : "");
	if (d->step)
	{
		appendStringInfoString(out, "<i>");
		exact_html_text(out, d->step);
		appendStringInfoString(out, "</i>");
	}
	exact_html_cell_end(out);
	exact_html_cell_begin(out, "n", d->lag ? "behind" : NULL);
	if (d->lag)
		exact_html_text(out, d->lag);
	if (on)
		put_day(out, days, ndays, d->number);
	exact_html_cell_end(out);
	exact_html_cell(out, "n", "full look", d->looked);
	exact_html_cell_begin(out, "n", d->loaded && on ? "first load" : NULL);
	if (d->loaded && on && strtod(d->loaded, NULL) >= 1)
		appendStringInfoString(out, "done");
	else if (d->loaded && on)
		appendStringInfo(out, "%d %%<progress value=\"%s\"></progress>",
						 (int) (strtod(d->loaded, NULL) * 100), d->loaded);
	exact_html_cell_end(out);
	exact_html_cell(out, "n", "waiting", on ? d->waiting : NULL);
	exact_html_cell_begin(out, "n", d->left && d->left[0] ? "calls left" : NULL);
	if (d->left && d->left[0])
		appendStringInfo(out, "%s of %s<meter value=\"%s\" max=\"%s\" low=\"%d\" optimum=\"%s\">"
						 "</meter>", d->left, d->limit, d->left, d->limit,
						 (int) (atoi(d->limit) * 0.3), d->limit);
	exact_html_cell_end(out);
	appendStringInfoString(out, "</tr>\n");
}

static void
put_divisions(StatusUnit *status)
{
	static const char *const headings[] = {
		"Light", "Division", "What and next step", "Behind, 24 hours", "Full look", "First load",
		"Waiting", "Calls left today"
	};
	StringInfo	out = status->out;
	int			first = status->n > 0 && status->divisions[0].number == NULL ? 1 : 0;
	int			shown = first;
	int			off = 0;
	int			ndays;
	Day		   *days;

	if (status->n == first)
		return;
	days = read_days(status, &ndays);
	appendStringInfoString(out, "<h2>Divisions</h2>\n");
	exact_html_table(out, "Divisions", headings, lengthof(headings));
	for (; shown < Min(status->n, DIVISIONS_SHOWN) && out->len < DIVISIONS_MAX; shown++)
	{
		if (strcmp(status->divisions[shown].light, "off") == 0 && ++off > OFF_SHOWN)
			break;
		if (status->divisions[shown].number)
			put_division(out, &status->divisions[shown], days, ndays);
	}
	exact_html_table_end(out);
	if (shown < status->n)
		exact_html_paragraph(out, "soft", psprintf("%d more, none worse: SELECT * FROM"
												   " exact.status;", status->n - shown));
}

/* ---- events and workers ---- */

typedef struct Event
{
	char	   *at;				/* to the minute */
	char	   *division;
	char	   *light;
	char	   *what;
	char	   *kind;
} Event;

/* How many from here on are of one kind, one light and one minute */
static int
run_length(const Event *events, int n, int from)
{
	int			length = 1;

	while (from + length < n && is_same(events[from].at, events[from + length].at) &&
		   is_same(events[from].kind, events[from + length].kind) &&
		   is_same(events[from].light, events[from + length].light))
		length++;
	return length;
}

static void
put_event(StringInfo out, const Event *event, int more)
{
	appendStringInfoString(out, "<tr>");
	exact_html_cell(out, "n soft", "UTC", event->at);
	exact_html_cell(out, event->light ? psprintf("light %s", event->light) : NULL, NULL,
					event->light);
	exact_html_cell(out, NULL, "division", event->division);
	exact_html_cell_begin(out, NULL, NULL);
	exact_html_text(out, event->what ? event->what : "");
	if (more > 0)
		appendStringInfo(out, "<i>and %d more of this kind in the same minute</i>", more);
	exact_html_cell_end(out);
	appendStringInfoString(out, "</tr>\n");
}

/* Many alike at once, as of hundreds of divisions that are entered, do not hide what was before. */
static void
put_events(StringInfo out)
{
	static const char *const headings[] = {"Time (UTC)", "Light", "Division", "What happened"};
	static const char sql[] =
	"SELECT to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), e.division, e.light,"
	" CASE WHEN length(e.what) > " CppAsString2(MOST_EVENT)
	"  THEN left(e.what, " CppAsString2(MOST_EVENT) ") || ' ...' ELSE e.what END, e.kind"
	" FROM exact.events AS e"
	" LIMIT " CppAsString2(EVENTS_READ);
	int			n = (int) exact_sql_by_index(sql, 0, NULL);
	Event	   *events = palloc(sizeof(Event) * Max(n, 1));
	int			shown = 0;

	for (int row = 0; row < n; row++)
		events[row] = (Event)
		{
			.at = exact_cell_text(row, 1),
			.division = exact_cell_text(row, 2),
			.light = exact_cell_text(row, 3),
			.what = exact_cell_text(row, 4),
			.kind = exact_cell_text(row, 5),
		};
	appendStringInfoString(out, "<h2>Last events</h2>\n");
	if (n == 0)
	{
		exact_html_paragraph(out, "soft", "None yet.");
		return;
	}
	exact_html_table(out, "Events", headings, lengthof(headings));
	for (int row = 0; row < n && shown < EVENTS_SHOWN && out->len < EVENTS_MAX; shown++)
	{
		int			length = run_length(events, n, row);
		bool		fold = length > ALIKE_SHOWN;

		put_event(out, &events[row], fold ? length - 1 : 0);
		row += fold ? length : 1;
	}
	exact_html_table_end(out);
}

static void
put_workers(StringInfo out)
{
	static const char *const headings[] = {"Worker", "State", "Since (UTC)", "Restarts", "Why"};
	static const char sql[] =
	"SELECT role, state, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),"
	" restarts, reason"
	" FROM exact.workers";
	uint64		n = exact_sql(sql, 0, NULL);

	appendStringInfoString(out, "<h2>Workers</h2>\n");
	exact_html_table(out, "Workers", headings, lengthof(headings));
	for (uint64 row = 0; row < n; row++)
	{
		char	   *state = exact_cell_text(row, 2);

		appendStringInfoString(out, "<tr>");
		exact_html_cell(out, NULL, NULL, exact_cell_text(row, 1));
		exact_html_cell(out, strcmp(state, "running") == 0 ? "ok" : "warn", NULL, state);
		exact_html_cell(out, "n", "since (UTC)", exact_cell_text(row, 3));
		exact_html_cell(out, "n", "restarts", exact_cell_text(row, 4));
		exact_html_cell(out, NULL, NULL, exact_cell_text(row, 5));
		appendStringInfoString(out, "</tr>\n");
	}
	exact_html_table_end(out);
}

static void
status_unit(void *arg)
{
	StatusUnit *status = arg;

	read_divisions(status);
	exact_page_begin(status->out, "status", status->headline);
	appendStringInfoString(status->out, "<p><a href=\"deliveries\">Notifications</a></p>\n");
	put_causes(status);
	put_services(status->out);
	put_divisions(status);
	put_events(status->out);
	put_workers(status->out);
	exact_html_end(status->out);
}

bool
exact_page_status(StringInfo out)
{
	StatusUnit	status = {.out = out};

	return exact_unit_run("status page", status_unit, &status, NULL);
}

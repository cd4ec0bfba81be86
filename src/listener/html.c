/*
 * html.c - the frame of the pages that the listener shows to people: one file each, no script,
 * nothing from elsewhere.
 *
 * Called by page_head.c, page_status.c, page_deliveries.c, callback.c. Colours have a contrast of
 * at least 4.5 to their ground in both themes and on paper.
 */
#include "postgres.h"

#include "common/base64.h"
#include "mb/pg_wchar.h"

#include "base/digest.h"
#include "listener/html.h"

static const char style[] =
":root{color-scheme:light dark;--text:#1b1d21;--ground:#ffffff;--soft:#50565f;--line:#d5d8dd;"
"--ok:#0b6b2e;--warn:#8a4b00;--fail:#b00020;--bar:#2f6fb3}"
"@media (prefers-color-scheme:dark){:root{--text:#e8eaed;--ground:#16181c;--soft:#a9b0ba;"
"--line:#3a3f47;--ok:#6fd392;--warn:#ffb65c;--fail:#ff8a93;--bar:#7db4ea}}"
"@media print{:root{--text:#000;--ground:#fff;--soft:#333;--line:#999;"
"--ok:#0b6b2e;--warn:#8a4b00;--fail:#b00020;--bar:#2f6fb3}}"
"*{box-sizing:border-box}"
"body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,sans-serif}"
"main{max-width:84rem;margin:0 auto;padding:1.5rem}"
"h1{font-size:1.5rem;line-height:1.25;margin:0 0 .75rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}"
"p{margin:0 0 .75rem;max-width:60rem}.soft{color:var(--soft)}"
"a{color:inherit}ul{margin:0;padding:0;list-style:none}"
"li{border-left:.25rem solid var(--warn);padding:0 0 0 .75rem;margin:0 0 1rem;max-width:60rem}"
"li.f{border-color:var(--fail)}"
".next{border-left:.25rem solid var(--line);padding-left:.75rem}"
".ok{color:var(--ok)}.warn{color:var(--warn)}.fail{color:var(--fail)}.off{color:var(--soft)}"
".wide{overflow-x:auto}table{border-collapse:collapse;width:100%}"
"th,td{text-align:left;vertical-align:top;padding:.375rem .75rem .375rem 0;"
"border-bottom:1px solid var(--line);overflow-wrap:anywhere}"
"th{color:var(--soft);font-weight:600;overflow-wrap:normal}"
"td i{display:block;font-style:normal;color:var(--soft)}"
".n{white-space:nowrap;font-variant-numeric:tabular-nums}"
"td.light{font-weight:700}tr{break-inside:avoid}"
"svg,meter,progress{display:block;width:6rem}svg{height:1.25rem}meter,progress{height:.75rem}"
"progress{accent-color:var(--bar)}"
"path{fill:none;stroke:var(--bar);stroke-width:1.5;vector-effect:non-scaling-stroke}"
"@media (max-width:44rem){main{padding:1rem}thead{position:absolute;left:-99rem}"
"table,tbody,tr,td{display:block}tr{border:1px solid var(--line);border-radius:.5rem;"
"padding:.5rem .75rem;margin:0 0 .75rem}td,td.n{border:0;padding:.125rem 0;white-space:normal}"
"td[data-l]::before{content:attr(data-l) \" \";color:var(--soft)}td:empty{display:none}}";

const char *
exact_html_style_hash(void)
{
	static char hash[64] = "";
	uint8		digest[EXACT_DIGEST_LEN];
	char		text[48];
	int			len;

	if (hash[0] != '\0')
		return hash;
	exact_sha256(style, sizeof(style) - 1, digest);
	len = pg_b64_encode((const void *) digest, sizeof(digest), text, sizeof(text));
	if (len < 0)
		elog(ERROR, "could not encode a digest");
	snprintf(hash, sizeof(hash), "'sha256-%.*s'", len, text);
	return hash;
}

/* Control characters that are no white space become blanks. */
void
exact_html_text(StringInfo out, const char *text)
{
	text = pg_server_to_any(text, (int) strlen(text), PG_UTF8);
	for (const char *c = text; *c; c++)
	{
		switch (*c)
		{
			case '&':
				appendStringInfoString(out, "&amp;");
				break;
			case '<':
				appendStringInfoString(out, "&lt;");
				break;
			case '>':
				appendStringInfoString(out, "&gt;");
				break;
			case '"':
				appendStringInfoString(out, "&quot;");
				break;
			case '\'':
				appendStringInfoString(out, "&#39;");
				break;
			default:
				if ((unsigned char) *c < ' ' && *c != '\n' && *c != '\t')
					appendStringInfoChar(out, ' ');
				else
					appendStringInfoChar(out, *c);
		}
	}
}

void
exact_html_begin(StringInfo out, const char *title, const char *heading, int refresh_s)
{
	appendStringInfoString(out,
						   "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
						   "<meta name=\"viewport\""
						   " content=\"width=device-width,initial-scale=1\">\n");
	if (refresh_s > 0)
		appendStringInfo(out, "<meta http-equiv=\"refresh\" content=\"%d\">\n", refresh_s);
	appendStringInfoString(out, "<title>");
	exact_html_text(out, title);
	appendStringInfo(out, "</title>\n<style>%s</style>\n</head>\n<body>\n<main>\n<h1>", style);
	exact_html_text(out, heading);
	appendStringInfoString(out, "</h1>\n");
}

void
exact_html_paragraph(StringInfo out, const char *class, const char *text)
{
	if (text == NULL)
		return;
	if (class)
		appendStringInfo(out, "<p class=\"%s\">", class);
	else
		appendStringInfoString(out, "<p>");
	exact_html_text(out, text);
	appendStringInfoString(out, "</p>\n");
}

void
exact_html_end(StringInfo out)
{
	appendStringInfoString(out, "</main>\n</body>\n</html>\n");
}

/* ---- tables, bars, sparklines ---- */

void
exact_html_table(StringInfo out, const char *label, const char *const *headings, int n)
{
	appendStringInfo(out, "<div class=\"wide\"><table aria-label=\"%s\">\n<thead><tr>", label);
	for (int i = 0; i < n; i++)
		appendStringInfo(out, "<th scope=\"col\">%s</th>", headings[i]);
	appendStringInfoString(out, "</tr></thead>\n<tbody>\n");
}

void
exact_html_table_end(StringInfo out)
{
	appendStringInfoString(out, "</tbody></table></div>\n");
}

void
exact_html_cell_begin(StringInfo out, const char *class, const char *label)
{
	appendStringInfoString(out, "<td");
	if (class)
		appendStringInfo(out, " class=\"%s\"", class);
	if (label)
		appendStringInfo(out, " data-l=\"%s\"", label);
	appendStringInfoChar(out, '>');
}

void
exact_html_cell_end(StringInfo out)
{
	appendStringInfoString(out, "</td>");
}

/* An empty one takes no room where rows are cards. */
void
exact_html_cell(StringInfo out, const char *class, const char *label, const char *text)
{
	bool		empty = text == NULL || text[0] == '\0';

	exact_html_cell_begin(out, class, empty ? NULL : label);
	if (!empty)
		exact_html_text(out, text);
	exact_html_cell_end(out);
}

/*
 * What was in equal times, the oldest first, as a line; a negative value is not known and leaves a
 * gap. Heights are parts of the highest value, of `least` where all are lower.
 */
void
exact_html_spark(StringInfo out, const char *label, const int32 *values, int n, int32 least)
{
	int64		top = least;
	int			last = 0;		/* y of the value before */
	bool		drawn = false;	/* there was one */

	for (int i = 0; i < n; i++)
		top = Max(top, values[i]);
	appendStringInfo(out, "<svg viewBox=\"0 0 %d 20\" preserveAspectRatio=\"none\" role=\"img\""
					 " aria-label=\"", 2 * n);
	exact_html_text(out, label);
	appendStringInfoString(out, "\"><path d=\"");
	for (int i = 0; i < n; i++)
	{
		int			y = values[i] < 0 ? -1 : 19 - (int) (18 * (int64) values[i] / Max(top, 1));

		if (y < 0)
			drawn = false;
		else if (!drawn)
		{
			appendStringInfo(out, "M%d %dh2", 2 * i, y);
			drawn = true;
		}
		else if (y == last)
			appendStringInfoString(out, "h2");
		else
			appendStringInfo(out, "l2 %d", y - last);
		last = y;
	}
	appendStringInfoString(out, "\"/></svg>");
}

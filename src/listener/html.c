/*
 * html.c - the frame of the pages that the listener shows to people: one file each, no script,
 * nothing from elsewhere.
 *
 * Called by page_status.c and callback.c. Colours have a contrast of at least 4.5 to their ground
 * in both themes and on paper.
 */
#include "postgres.h"

#include "common/base64.h"
#include "mb/pg_wchar.h"

#include "base/digest.h"
#include "listener/html.h"

static const char style[] =
":root{color-scheme:light dark;--text:#1b1d21;--ground:#ffffff;--soft:#50565f;--line:#d5d8dd;"
"--ok:#0b6b2e;--warn:#8a4b00;--fail:#b00020}"
"@media (prefers-color-scheme:dark){:root{--text:#e8eaed;--ground:#16181c;--soft:#a9b0ba;"
"--line:#3a3f47;--ok:#6fd392;--warn:#ffb65c;--fail:#ff8a93}}"
"@media print{:root{--text:#000;--ground:#fff;--soft:#333;--line:#999;"
"--ok:#0b6b2e;--warn:#8a4b00;--fail:#b00020}}"
"*{box-sizing:border-box}"
"body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,sans-serif}"
"main{max-width:76rem;margin:0 auto;padding:1.5rem}"
"h1{font-size:1.5rem;line-height:1.25;margin:0 0 .75rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}"
"p{margin:0 0 .75rem;max-width:50rem}.soft{color:var(--soft)}"
".next{border-left:.25rem solid var(--line);padding-left:.75rem}"
".ok{color:var(--ok)}.warn{color:var(--warn)}.fail{color:var(--fail)}.off{color:var(--soft)}"
".wide{overflow-x:auto}table{border-collapse:collapse;width:100%}"
"th,td{text-align:left;vertical-align:top;padding:.375rem .75rem .375rem 0;"
"border-bottom:1px solid var(--line)}"
"th{color:var(--soft);font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
"td.light{font-weight:700}tr{break-inside:avoid}";

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

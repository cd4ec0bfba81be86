/*
 * html.h - the frame of the pages that the listener shows to people: one file each, no script,
 * nothing from elsewhere.
 */
#ifndef EXACT_HTML_H
#define EXACT_HTML_H

#include "lib/stringinfo.h"

/* Begins a page (title and heading are plain text); refresh_s: it loads itself anew, 0 = never. */
extern void exact_html_begin(StringInfo out, const char *title, const char *heading, int refresh_s);
/* Plain text, escaped */
extern void exact_html_text(StringInfo out, const char *text);
/* <p class="…">text</p>; class NULL = none; nothing for a NULL text */
extern void exact_html_paragraph(StringInfo out, const char *class, const char *text);
extern void exact_html_end(StringInfo out);

/* Labels and headings are constants of ours; where rows are cards a label stands before its cell */
extern void exact_html_table(StringInfo out, const char *label, const char *const *headings, int n);
extern void exact_html_table_end(StringInfo out);
extern void exact_html_cell_begin(StringInfo out, const char *class, const char *label);
extern void exact_html_cell_end(StringInfo out);
/* Text is plain and may be NULL, as class and label may. */
extern void exact_html_cell(StringInfo out, const char *class, const char *label, const char *text);
/* n values, the oldest first, negative = not known; the scale ends at `least` or above */
extern void exact_html_spark(StringInfo out, const char *label, const int32 *values, int n,
							 int32 least);
/* 'sha256-…' of the style in every page, for its Content-Security-Policy */
extern const char *exact_html_style_hash(void);

#endif

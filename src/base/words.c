/*
 * words.c - the border for texts of a service: whatever of them reaches a table, the log, a page or
 * a statement has passed here.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "mb/pg_wchar.h"

#include "base/words.h"

#define REPLACEMENT_LEN 3		/* bytes of U+FFFD */

int
exact_words_character(const char *text, const char *end)
{
	const unsigned char *p = (const unsigned char *) text;
	int			n;

	if (*p == '\0')
		return 0;
	if (*p < 0x80)
		return 1;
	n = pg_utf_mblen(p);
	return n <= end - text && pg_utf8_islegal(p, n) ? n : 0;
}

/*
 * C0, DEL, C1 (U+0080 to U+009F), the separators U+2028 and U+2029, and what turns the direction of
 * writing (U+202A to U+202E, U+2066 to U+2069)
 */
static bool
is_control(const char *text, int n)
{
	const unsigned char *p = (const unsigned char *) text;

	if (n == 1)
		return *p < 0x20 || *p == 0x7f;
	if (n == 2)
		return p[0] == 0xC2 && p[1] <= 0x9F;
	if (n != 3 || p[0] != 0xE2)
		return false;
	return (p[1] == 0x80 && p[2] >= 0xA8 && p[2] <= 0xAE) ||
		(p[1] == 0x81 && p[2] >= 0xA6 && p[2] <= 0xA9);
}

char *
exact_words_tidy(const char *text, int most)
{
	const char *end;
	char	   *out;
	int			n = 0;
	int			taken;

	if (text == NULL)
		return NULL;
	end = text + strlen(text);
	out = palloc(most + 8);
	for (const char *p = text; p < end; p += taken)
	{
		const char *shown = p;
		int			length = exact_words_character(p, end);

		taken = Max(length, 1);
		if (length == 0)
		{
			shown = EXACT_WORDS_REPLACEMENT;
			length = REPLACEMENT_LEN;
		}
		else if (is_control(p, length))
		{
			shown = " ";
			length = 1;
		}
		if (*shown == ' ' && (n == 0 || out[n - 1] == ' '))
			continue;
		/* the character that begins before the limit is kept whole: three bytes more at most */
		if (n >= most)
		{
			memcpy(out + n, "...", 4);
			return out;
		}
		memcpy(out + n, shown, length);
		n += length;
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
	return n > 0 ? out : NULL;
}

char *
exact_words_clause(const char *text, int most)
{
	char	   *out = exact_words_tidy(text, most);
	size_t		n = out ? strlen(out) : 0;

	if (n >= 3 && strcmp(out + n - 3, "...") == 0)
		return out;
	while (n > 0 && (out[n - 1] == '.' || out[n - 1] == ' '))
		out[--n] = '\0';
	return n > 0 ? out : NULL;
}

const char *
exact_words_valid(const char *text, size_t *len)
{
	const char *end = text + *len;
	size_t		good = pg_encoding_verifymbstr(PG_UTF8, text, (int) *len);
	size_t		n;
	char	   *out;

	if (good == *len)
		return text;
	out = palloc_extended(good + (*len - good) * REPLACEMENT_LEN + 1, MCXT_ALLOC_HUGE);
	memcpy(out, text, good);
	n = good;
	for (const char *p = text + good; p < end;)
	{
		int			length = exact_words_character(p, end);

		if (length == 0)
		{
			memcpy(out + n, EXACT_WORDS_REPLACEMENT, REPLACEMENT_LEN);
			n += REPLACEMENT_LEN;
			p++;
			continue;
		}
		memcpy(out + n, p, length);
		n += length;
		p += length;
	}
	out[n] = '\0';
	*len = n;
	return out;
}

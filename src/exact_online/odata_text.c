/*
 * odata_text.c - the bytes of an answer, made fit for a parser that takes JSON by the letter.
 *
 * Services and what stands before them send what the letter forbids: a byte order mark, a raw tab
 * in a description, a text in another encoding. The first two lose nothing and are mended here;
 * the third spoils one record, so its place is noted and the rest of the page can be read.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "base/words.h"
#include "exact_online/odata_text.h"

#define MARK "\xEF\xBB\xBF"
#define ESCAPED 6				/* bytes of \u0009 */

/*
 * Goes through the text; out is NULL while its room is counted. Returns the bytes that the mended
 * text takes, and in *changes whether it differs.
 */
static size_t
walk(const char *body, size_t len, char *out, ExactOdataText *mended, bool *changes)
{
	const char *end = body + len;
	bool		in_string = false;
	bool		escaped = false;	/* a backslash stands before */
	size_t		room = 0;

	mended->nbad = 0;
	*changes = false;
	for (const char *p = body; p < end;)
	{
		unsigned char c = (unsigned char) *p;
		int			n = c < 0x80 ? 1 : exact_words_character(p, end);

		if (n == 0)
		{
			if (mended->nbad < EXACT_ODATA_BAD_BYTES)
				mended->bad[mended->nbad] = room;
			mended->nbad++;
			if (out != NULL)
				memcpy(out + room, EXACT_WORDS_REPLACEMENT, strlen(EXACT_WORDS_REPLACEMENT));
			room += strlen(EXACT_WORDS_REPLACEMENT);
			n = 1;
			*changes = true;
		}
		else if (c < 0x20 && in_string && !escaped)
		{
			if (out != NULL)
			{
				char		code[ESCAPED + 1];

				snprintf(code, sizeof(code), "\\u%04x", c);
				memcpy(out + room, code, ESCAPED);
			}
			room += ESCAPED;
			*changes = true;
		}
		else
		{
			if (out != NULL)
				memcpy(out + room, p, n);
			room += n;
		}
		if (c == '"' && !escaped)
			in_string = !in_string;
		escaped = in_string && c == '\\' && !escaped;
		p += n;
	}
	return room;
}

bool
exact_odata_text_mend(const char *body, size_t len, ExactOdataText *mended)
{
	bool		changes;
	size_t		room;
	char	   *copy;

	if (len >= strlen(MARK) && memcmp(body, MARK, strlen(MARK)) == 0)
	{
		body += strlen(MARK);
		len -= strlen(MARK);
	}
	mended->start = body;
	mended->len = len;
	room = walk(body, len, NULL, mended, &changes);
	if (mended->nbad > EXACT_ODATA_BAD_BYTES)
		return false;
	if (!changes)
		return true;
	copy = palloc_extended(room + 1, MCXT_ALLOC_HUGE);
	walk(body, len, copy, mended, &changes);
	copy[room] = '\0';
	mended->start = copy;
	mended->len = room;
	return true;
}

bool
exact_odata_text_bad(const ExactOdataText *mended, const char *start, size_t len)
{
	size_t		from = start - mended->start;

	for (int i = 0; i < mended->nbad; i++)
		if (mended->bad[i] >= from && mended->bad[i] < from + len)
			return true;
	return false;
}

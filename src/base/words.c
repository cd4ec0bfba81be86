/*
 * words.c - texts of a service made fit for people.
 */
#include "postgres.h"

#include "base/words.h"

char *
exact_words_tidy(const char *text, int most)
{
	char	   *out;
	int			n = 0;

	if (text == NULL)
		return NULL;
	out = palloc(most + 8);
	for (const char *p = text; *p != '\0'; p++)
	{
		char		c = (unsigned char) *p < 0x20 || *p == 0x7f ? ' ' : *p;

		if (c == ' ' && (n == 0 || out[n - 1] == ' '))
			continue;
		/* a character is at most four bytes: the one that begins before the limit is kept whole */
		if (n >= most && (((unsigned char) c & 0xC0) != 0x80 || n >= most + 3))
		{
			strlcpy(out + n, "...", 4);
			return out;
		}
		out[n++] = c;
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

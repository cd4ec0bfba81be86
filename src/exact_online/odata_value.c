/*
 * odata_value.c - values of a record that odata.c has read: numbers, texts, the division.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "base/compat.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"

bool
exact_odata_is_null(ExactSlice value)
{
	return value.start == NULL || (value.len == 4 && memcmp(value.start, "null", 4) == 0);
}

bool
exact_odata_int64(ExactSlice value, int64 *out)
{
	char		digits[32];
	size_t		len = value.len;
	const char *start = value.start;
	char	   *end;

	if (start == NULL)
		return false;
	if (len >= 2 && start[0] == '"' && start[len - 1] == '"')
	{
		start++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(digits))
		return false;
	memcpy(digits, start, len);
	digits[len] = '\0';
	if (digits[0] != '-' && (digits[0] < '0' || digits[0] > '9'))
		return false;
	errno = 0;
	*out = strtoll(digits, &end, 10);
	return errno == 0 && *end == '\0';
}

bool
exact_odata_count(const char *body, size_t len, int64 *out)
{
	ExactSlice	digits = {body, len};

	if (digits.len >= 3 && memcmp(digits.start, "\xEF\xBB\xBF", 3) == 0)	/* byte order mark */
	{
		digits.start += 3;
		digits.len -= 3;
	}
	while (digits.len > 0 && memchr(" \t\r\n", digits.start[0], 4) != NULL)
	{
		digits.start++;
		digits.len--;
	}
	while (digits.len > 0 && memchr(" \t\r\n", digits.start[digits.len - 1], 4) != NULL)
		digits.len--;
	return digits.len > 0 && digits.start[0] >= '0' && digits.start[0] <= '9' &&
		exact_odata_int64(digits, out) && *out <= EXACT_ODATA_COUNT_MAX;
}

/* The number of four hexadecimal digits; 0 when there are fewer before the end. */
static int
hex4(const char *p, const char *end)
{
	int			value = 0;

	for (int i = 0; i < 4; i++)
	{
		char		c = p < end ? *p++ : '\0';

		if (c >= '0' && c <= '9')
			value = value * 16 + c - '0';
		else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
			value = value * 16 + (c | 32) - 'a' + 10;
		else
			return 0;
	}
	return value;
}

/*
 * The character of \uXXXX, or of two that are a surrogate pair; p is behind the "u" and moves
 * behind them. A NUL, half a pair or half an escape, which no text can hold, becomes U+FFFD.
 */
static pg_wchar
read_code_point(const char **p, const char *end)
{
	const char *next = *p + Min(4, end - *p);
	pg_wchar	c = hex4(*p, end);

	if (c >= 0xD800 && c <= 0xDBFF && end - next >= 6 && next[0] == '\\' && next[1] == 'u')
	{
		pg_wchar	low = hex4(next + 2, end);

		if (low >= 0xDC00 && low <= 0xDFFF)
		{
			c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
			next += 6;
		}
	}
	*p = next;
	return c == 0 || (c >= 0xD800 && c <= 0xDFFF) ? 0xFFFD : c;
}

/* What stands behind a backslash, *p, goes to out; returns the end of it. */
static char *
decode_escape(const char **p, const char *end, char *out)
{
	static const char letters[] = "bfnrt";
	static const char characters[] = "\b\f\n\r\t";
	char		c = *p < end ? *(*p)++ : '\\';
	const char *letter = strchr(letters, c);

	if (c == 'u')
	{
		unicode_to_utf8(read_code_point(p, end), (unsigned char *) out);
		return out + pg_utf_mblen((unsigned char *) out);
	}
	*out++ = c != '\0' && letter != NULL ? characters[letter - letters] : c;
	return out;
}

/* Decodes a string token that the parser has accepted. */
char *
exact_odata_string(ExactSlice value)
{
	char	   *out;
	char	   *o;
	const char *p;
	const char *end;

	if (exact_odata_is_null(value))
		return NULL;
	if (value.len < 2 || value.start[0] != '"')
		return pnstrdup(value.start, value.len);
	out = o = palloc(value.len * 3 + 1);
	p = value.start + 1;
	end = value.start + value.len - 1;
	while (p < end)
	{
		if (*p == '\\')
		{
			p++;
			o = decode_escape(&p, end, o);
		}
		else
			*o++ = *p++;
	}
	*o = '\0';
	return out;
}

/* The first ".../api/v1/" counts; "beta/" may stand behind it. */
int64
exact_odata_url_division(const char *url, size_t len)
{
	static const char mark[] = "/api/v1/";

	for (size_t i = 0; i + sizeof(mark) - 1 < len; i++)
	{
		if (pg_strncasecmp(url + i, mark, sizeof(mark) - 1) == 0)
		{
			int64		value = 0;
			size_t		p = i + sizeof(mark) - 1;
			size_t		digits = 0;

			if (len - p > 5 && pg_strncasecmp(url + p, "beta/", 5) == 0)
				p += 5;
			while (p < len && url[p] >= '0' && url[p] <= '9' && digits < 12)
			{
				value = value * 10 + (url[p] - '0');
				p++;
				digits++;
			}
			if (digits > 0 && (p == len || url[p] == '/'))
				return value;
			return -1;
		}
	}
	return -1;
}

int64
exact_odata_division(const ExactRecord *record, ExactSlice division_value, int expected)
{
	int64		field = -1;
	int64		uri = -1;

	if (!exact_odata_is_null(division_value) && !exact_odata_int64(division_value, &field))
		field = -1;
	if (!exact_odata_is_null(record->uri))
	{
		char	   *address = exact_odata_string(record->uri);

		uri = exact_odata_url_division(address, strlen(address));
		pfree(address);
	}
	if (field >= 0 && field != expected)
		return field;
	if (uri >= 0 && uri != expected)
		return uri;
	return field >= 0 ? field : uri;
}

/*
 * A number as its digits without zeros at either end and its power of ten, so that 1, 1.0, 10E-1
 * and 0.1e1 are the same text. It is never made a double. False when it is none, or of a power
 * that nobody writes.
 */
static bool
append_number(StringInfo out, const char *p, const char *end)
{
	bool		negative = p < end && *p == '-';
	bool		fraction = false;
	int64		power = 0;
	int			first;

	if (negative)
		appendStringInfoCharMacro(out, *p++);
	first = out->len;
	for (; p < end && (*p == '.' || (*p >= '0' && *p <= '9')); p++)
	{
		if (*p == '.')
		{
			fraction = true;
			continue;
		}
		if (fraction)
			power--;
		if (out->len > first || *p != '0')
			appendStringInfoCharMacro(out, *p);
	}
	if (p < end && (*p == 'e' || *p == 'E'))
	{
		ExactSlice	exponent = {.start = p + 1};
		int64		given;

		if (p + 1 < end && p[1] == '+')
			exponent.start++;
		exponent.len = end - exponent.start;
		if (exponent.len > 9 || !exact_odata_int64(exponent, &given))
			return false;
		power += given;
		p = end;
	}
	if (p < end)
		return false;
	while (out->len > first && out->data[out->len - 1] == '0')
	{
		out->data[--out->len] = '\0';
		power++;
	}
	if (out->len > first)
		appendStringInfo(out, "e" INT64_FORMAT, power);
	else
	{
		out->len = first - (negative ? 1 : 0);	/* -0 is 0 */
		appendStringInfoCharMacro(out, '0');
	}
	return true;
}

void
exact_odata_append_value(StringInfo out, ExactSlice value)
{
	int			before = out->len;

	if (exact_odata_is_null(value))
		return;
	if (value.len >= 2 && value.start[0] == '"')
	{
		char	   *decoded = exact_odata_string(value);

		appendStringInfoCharMacro(out, '"');
		appendStringInfoString(out, decoded);
		pfree(decoded);
		return;
	}
	if ((value.start[0] == '-' || (value.start[0] >= '0' && value.start[0] <= '9')) &&
		append_number(out, value.start, value.start + value.len))
		return;
	out->len = before;
	appendBinaryStringInfo(out, value.start, (int) value.len);
}

/*
 * delivery_row.c - one staged version as one JSON object of a delivery.
 *
 * The record is read token by token with PostgreSQL's own JSON lexer, without unescaping: the
 * inside of a string token is already what a JSON string may hold, so "\u0000" and half a surrogate
 * pair travel as they came. Called by the loader, for every version that is delivered; 10 to 20 µs
 * each.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "common/jsonapi.h"

#include "base/compat.h"
#include "base/json.h"
#include "delta/delivery_row.h"
#include "delta/merge_sql.h"

#define MS_PER_DAY INT64CONST(86400000)

static void
append_name(StringInfo out, const char *name)
{
	appendStringInfoCharMacro(out, ',');
	exact_json_quote(out, name, strlen(name));
	appendStringInfoCharMacro(out, ':');
}

/* name is one of ours and value needs no escapes */
static void
append_plain(StringInfo out, const char *name, const char *value)
{
	appendStringInfo(out, ",\"%s\":\"%s\"", name, value);
}

static bool
is_guid(const char *s, size_t len)
{
	if (len != 36)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		bool		dash = i == 8 || i == 13 || i == 18 || i == 23;
		char		c = s[i];

		bool		hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
			(c >= 'A' && c <= 'F');

		if (dash ? c != '-' : !hex)
			return false;
	}
	return true;
}

/* In lower case: digits and dashes have the bit that tells small letters from large ones. */
static void
append_guid(StringInfo out, const char *s, size_t len)
{
	int			start = out->len;

	appendBinaryStringInfo(out, s, (int) len);
	for (char *p = out->data + start; *p != '\0'; p++)
		*p |= 0x20;
}

/*
 * "/Date(1700000000000)/", also with escaped slashes: milliseconds of a wall clock since 1970.
 * False for anything else, such as one with an offset.
 */
static bool
read_date(const char *s, size_t len, int64 *ms)
{
	static const char head[] = "/Date(";
	static const char tail[] = ")/";
	char		clean[48];
	size_t		n = 0;
	size_t		i = sizeof(head) - 1;
	bool		negative;
	size_t		digits = 0;

	for (size_t c = 0; c < len; c++)
	{
		if (s[c] == '\\' && c + 1 < len && s[c + 1] == '/')
			continue;
		if (n == sizeof(clean))
			return false;
		clean[n++] = s[c];
	}
	if (n < sizeof(head) - 1 + sizeof(tail) - 1 || memcmp(clean, head, sizeof(head) - 1) != 0 ||
		memcmp(clean + n - 2, tail, 2) != 0)
		return false;
	n -= 2;
	negative = i < n && clean[i] == '-';
	if (negative)
		i++;
	*ms = 0;
	for (; i < n; i++)
	{
		if (clean[i] < '0' || clean[i] > '9' || ++digits > 15)
			return false;
		*ms = *ms * 10 + (clean[i] - '0');
	}
	if (negative)
		*ms = -*ms;
	return digits > 0;
}

/*
 * Days since 1970 to a date of the Gregorian calendar, which is what the engine's dates are in all
 * years
 */
static void
civil_date(int64 days, int *year, int *month, int *day)
{
	int64		z = days + 719468;	/* since 1 March of year 0 */
	int64		era = (z >= 0 ? z : z - 146096) / 146097;
	int64		doe = z - era * 146097;
	int64		yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64		doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64		mp = (5 * doy + 2) / 153;

	*day = (int) (doy - (153 * mp + 2) / 5 + 1);
	*month = (int) (mp < 10 ? mp + 3 : mp - 9);
	*year = (int) (yoe + era * 400 + (*month <= 2 ? 1 : 0));
}

/*
 * Writes the moment as the column's type takes it; false when it does not fit: a time part in a
 * date, a year out of range.
 */
static bool
append_date(StringInfo out, int64 ms, bool date_only)
{
	int64		days = ms / MS_PER_DAY;
	int64		rest = ms % MS_PER_DAY;
	int			year,
				month,
				day;

	if (rest < 0)
	{
		rest += MS_PER_DAY;
		days--;
	}
	civil_date(days, &year, &month, &day);
	if (year < 1 || year > 9999 || (date_only && rest != 0))
		return false;
	if (date_only)
		appendStringInfo(out, "\"%04d-%02d-%02d\"", year, month, day);
	else
		appendStringInfo(out, "\"%04d-%02d-%02d %02d:%02d:%02d.%03d\"", year, month, day,
						 (int) (rest / 3600000), (int) (rest / 60000 % 60),
						 (int) (rest / 1000 % 60), (int) (rest % 1000));
	return true;
}

/*
 * The length of a whole number without the fraction that it may be written with: 20.0 is 20. That
 * of anything else as it is.
 */
static size_t
whole_len(const char *value, size_t len)
{
	size_t		n = len > 0 && *value == '-' ? 1 : 0;
	size_t		zeros;

	while (n < len && value[n] >= '0' && value[n] <= '9')
		n++;
	for (zeros = n + 1; zeros < len && value[zeros] == '0'; zeros++)
		;
	return n < len && value[n] == '.' && zeros == len ? n : len;
}

static bool
is_whole(const ExactColumn *column)
{
	return strcmp(column->type, "INT") == 0 || strcmp(column->type, "BIGINT") == 0 ||
		strcmp(column->type, "SMALLINT") == 0 || strcmp(column->type, "TINYINT") == 0;
}

/* value: the inside of a string token, still escaped */
static void
append_string_value(StringInfo out, const ExactColumn *column, const char *value, size_t len)
{
	bool		is_text = strcmp(column->type, "STRING") == 0;
	int64		ms;

	if (column->moment && read_date(value, len, &ms))
	{
		int			start = out->len;

		append_name(out, column->name);
		if (append_date(out, ms, strcmp(column->type, "DATE") == 0))
			return;
		out->len = start;
	}
	if (column->padded)
	{
		while (len > 0 && *value == ' ')
		{
			value++;
			len--;
		}
		while (len > 0 && value[len - 1] == ' ')
			len--;
	}
	if (len == 0 && !is_text)
		return;
	if (is_whole(column))
		len = whole_len(value, len);
	append_name(out, column->name);
	appendStringInfoCharMacro(out, '"');
	if (column->guid && is_guid(value, len))
		append_guid(out, value, len);
	else
		appendBinaryStringInfo(out, value, (int) len);
	appendStringInfoCharMacro(out, '"');
}

static void
append_value(StringInfo out, const ExactColumn *column, JsonTokenType type, const char *value,
			 size_t len)
{
	switch (type)
	{
		case JSON_TOKEN_NULL:
			return;
		case JSON_TOKEN_STRING:
			append_string_value(out, column, value + 1, len - 2);
			return;
		default:
			append_name(out, column->name);
			exact_json_quote(out, value, is_whole(column) ? whole_len(value, len) : len);
	}
}

static bool
is_field(const ExactColumn *column, const char *name, size_t len)
{
	const char *field = column->source_field;

	return *field == *name && strncmp(field, name, len) == 0 && field[len] == '\0';
}

/*
 * The column that this field fills, -1 none. Records mostly come in the catalogue's order: the
 * search starts where it should be.
 */
static int
find_column(const ExactColumn *columns, int ncolumns, int *guess, const char *name, size_t len)
{
	for (int i = 0; i < ncolumns; i++)
	{
		int			n = (*guess + i) % ncolumns;

		if (!columns[n].row && is_field(&columns[n], name, len))
		{
			*guess = n + 1;
			return n;
		}
	}
	return -1;
}

/* Reads on to the end of an object or array whose first token is current. */
static bool
skip_value(JsonLexContext *lex)
{
	int			depth = 0;

	for (;;)
	{
		if (lex->token_type == JSON_TOKEN_OBJECT_START || lex->token_type == JSON_TOKEN_ARRAY_START)
			depth++;
		else if (lex->token_type == JSON_TOKEN_OBJECT_END ||
				 lex->token_type == JSON_TOKEN_ARRAY_END)
			depth--;
		else if (lex->token_type == JSON_TOKEN_END)
			return false;
		if (depth <= 0)
			return true;
		if (json_lex(lex) != JSON_SUCCESS)
			return false;
	}
}

/* The number with the other sign, as a token of JSON like itself: -1.20, "7" */
static void
append_turned(StringInfo out, const ExactColumn *column, JsonTokenType type, const char *value,
			  size_t len)
{
	bool		quoted = type == JSON_TOKEN_STRING;
	const char *digits = quoted ? value + 1 : value;
	size_t		ndigits = quoted ? len - 2 : len;
	char	   *turned;

	if ((!quoted && type != JSON_TOKEN_NUMBER) || ndigits == 0)
	{
		append_value(out, column, type, value, len);
		return;
	}
	if (*digits == '-')
		turned = psprintf("%s%.*s%s", quoted ? "\"" : "", (int) ndigits - 1, digits + 1,
						  quoted ? "\"" : "");
	else
		turned = psprintf("%s-%.*s%s", quoted ? "\"" : "", (int) ndigits, digits,
						  quoted ? "\"" : "");
	append_value(out, column, type, turned, strlen(turned));
	pfree(turned);
}

/* The fields of a record that fill a column. False: it is no object, or has one of them twice. */
static bool
append_fields(StringInfo out, const ExactVersion *version, const ExactColumn *columns,
			  int ncolumns)
{
	JsonLexContext *lex = exact_json_lexer(version->record, version->record_len, false);
	bool	   *seen = palloc0(ncolumns + 1);
	int			row = -1;		/* column _row */
	int			guess = 0;
	bool		ok = json_lex(lex) == JSON_SUCCESS && lex->token_type == JSON_TOKEN_OBJECT_START &&
		json_lex(lex) == JSON_SUCCESS;

	for (int i = 0; i < ncolumns; i++)
		if (columns[i].row)
			row = i;
	while (ok && lex->token_type == JSON_TOKEN_STRING)
	{
		const char *name = lex->token_start + 1;
		size_t		name_len = lex->token_terminator - lex->token_start - 2;
		int			n = find_column(columns, ncolumns, &guess, name, name_len);
		const char *value;
		JsonTokenType type;

		ok = json_lex(lex) == JSON_SUCCESS && lex->token_type == JSON_TOKEN_COLON &&
			json_lex(lex) == JSON_SUCCESS;
		if (!ok)
			break;
		value = lex->token_start;
		type = lex->token_type;
		ok = skip_value(lex);
		if (ok && n >= 0)
		{
			ok = !seen[n];
			seen[n] = true;
			if (columns[n].amount && version->turned)
				append_turned(out, &columns[n], type, value, lex->token_terminator - value);
			else
				append_value(out, &columns[n], type, value, lex->token_terminator - value);
		}
		if (ok && row >= 0 && is_field(&columns[row], name, name_len))
		{
			bool		zero = whole_len(value, lex->token_terminator - value) == 1 &&
				*value == '0';

			if (!zero || version->row_zero != NULL)
				append_plain(out, columns[row].name, zero ? version->row_zero : "line");
		}
		ok = ok && json_lex(lex) == JSON_SUCCESS;
		if (ok && lex->token_type == JSON_TOKEN_COMMA)
			ok = json_lex(lex) == JSON_SUCCESS && lex->token_type == JSON_TOKEN_STRING;
		else
			break;
	}
	ok = ok && lex->token_type == JSON_TOKEN_OBJECT_END;
	pfree(seen);
	pfree(lex);
	return ok;
}

/* Columns of the hub around those of the record. */
bool
exact_delivery_row_append(StringInfo out, const ExactVersion *version, const ExactColumn *columns,
						  int ncolumns)
{
	int			start = out->len;
	char		op[2] = {version->op, '\0'};

	appendStringInfo(out, "{\"_division\":\"%d\",\"_key\":", version->division);
	if (is_guid(version->key, strlen(version->key)))
	{
		appendStringInfoChar(out, '"');
		append_guid(out, version->key, strlen(version->key));
		appendStringInfoChar(out, '"');
	}
	else
		exact_json_quote(out, version->key, strlen(version->key));
	appendStringInfo(out, ",\"_seq\":\"" INT64_FORMAT "\"", version->seq);
	if (version->record != NULL && !append_fields(out, version, columns, ncolumns))
	{
		out->len = start;
		out->data[start] = '\0';
		return false;
	}
	append_plain(out, "_op", op);
	append_plain(out, "_valid", version->problems == NULL ? "true" : "false");
	if (version->problems != NULL)
	{
		append_name(out, "_problems");
		exact_json_quote(out, version->problems, strlen(version->problems));
	}
	if (version->held != EXACT_VERSION_GOES)
		append_plain(out, "_held", version->held == EXACT_VERSION_MARKS ? "marks" : "waits");
	appendStringInfo(out, ",\"_batch\":\"" INT64_FORMAT "\"", version->batch);
	append_plain(out, "_staged_at", version->staged_at);
	if (version->known != NULL)
		append_plain(out, "_known", version->known);
	if (version->record != NULL && version->op != 'D')
	{
		append_name(out, "_payload");
		exact_json_quote(out, version->record, version->record_len);
	}
	appendStringInfoChar(out, '}');
	return true;
}

/*
 * json.c - small JSON answers as members of their own bytes, and what other readers and writers of
 * JSON share.
 *
 * PostgreSQL's own parser runs over the text without unescaping, so that no value is copied; names
 * and values are cut out by their position. Called by everything that reads a token, an error or a
 * statement state; pages of records: odata.c.
 */
#include "base/json.h"

#include "mb/pg_wchar.h"
#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"

#include "base/compat.h"

#define MEMBERS_DEPTH 64
#define FIRST_CAPACITY 16
#define LARGEST 0x3fffffff		/* bytes that PostgreSQL's parser can take */
#define INT64_DIGITS 19
#define QUOTE_BLOCK ((size_t) 4096)
#define MOST_QUOTED 6			/* bytes that one byte may become */

typedef struct MemberReader
{
	JsonLexContext *lex;
	ExactJson  *json;
	int			capacity;
	int			depth;			/* open objects and arrays */
	bool		bad;			/* a name twice, a name that cannot be decoded */
} MemberReader;

static bool decode_string(const char *raw, size_t raw_len, char *buffer, size_t *len);

static ExactJsonKind
kind_of(const char *raw)
{
	switch (*raw)
	{
		case '{':
			return EXACT_JSON_OBJECT;
		case '[':
			return EXACT_JSON_ARRAY;
		case '"':
			return EXACT_JSON_STRING;
		case 't':
			return EXACT_JSON_TRUE;
		case 'f':
			return EXACT_JSON_FALSE;
		case 'n':
			return EXACT_JSON_NULL;
		default:
			return EXACT_JSON_NUMBER;
	}
}

/* Depth as the lexer would see it: what stands in a string does not count. */
bool
exact_json_too_deep(const char *body, size_t len, int most)
{
	int			depth = 0;
	bool		in_string = false;

	for (size_t i = 0; i < len; i++)
	{
		char		c = body[i];

		if (in_string)
		{
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		}
		else if (c == '"')
			in_string = true;
		else if (c == '{' || c == '[')
		{
			if (++depth > most)
				return true;
		}
		else if (c == '}' || c == ']')
			depth--;
	}
	return false;
}

/* Goes back to the quote that opens the name: one with an even number of backslashes before it. */
const char *
exact_json_raw_name(const JsonLexContext *lex, size_t *len)
{
	const char *end = lex->prev_token_terminator - 1;	/* the colon */
	const char *start;

	while (end[-1] != '"')		/* white space between the name and the colon */
		end--;
	end--;
	for (start = end - 1;; start--)
	{
		int			backslashes = 0;

		if (*start != '"')
			continue;
		while (start - backslashes - 1 >= lex->input && start[-backslashes - 1] == '\\')
			backslashes++;
		if (backslashes % 2 == 0)
			break;
	}
	*len = end - start - 1;
	return start + 1;
}

/*
 * A bit for each byte of eight that has to be escaped: the lowest of them is that of the first such
 * byte. Above it there may be one too many.
 */
static uint64
find_special(const char *value)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);
	uint64		word;
	uint64		quotes;
	uint64		backslashes;

	memcpy(&word, value, sizeof(word));
#ifdef WORDS_BIGENDIAN
	word = pg_bswap64(word);
#endif
	quotes = word ^ (ones * '"');
	backslashes = word ^ (ones * '\\');
	return (((word - ones * 0x20) & ~word) | ((quotes - ones) & ~quotes) |
			((backslashes - ones) & ~backslashes)) & (ones * 0x80);
}

static bool
is_special(char c)
{
	return (unsigned char) c < 0x20 || c == '"' || c == '\\';
}

static char *
escape(char *to, char c)
{
	static const char hex[] = "0123456789abcdef";

	*to++ = '\\';
	if ((unsigned char) c >= 0x20)
		*to++ = c;
	else if (c == '\n')
		*to++ = 'n';
	else
	{
		memcpy(to, "u00", 3);
		to[3] = hex[(unsigned char) c >> 4];
		to[4] = hex[c & 15];
		to += 5;
	}
	return to;
}

/* Eight bytes at a time; room for what they become is there. */
static char *
quote_block(char *to, const char *value, const char *stop)
{
	while (stop - value >= (ptrdiff_t) sizeof(uint64))
	{
		uint64		special = find_special(value);
		int			plain = special == 0 ? (int) sizeof(uint64) :
			pg_rightmost_one_pos64(special) / BITS_PER_BYTE;

		memcpy(to, value, sizeof(uint64));
		to += plain;
		value += plain;
		if (special != 0)
			to = escape(to, *value++);
	}
	for (; value < stop; value++)
	{
		if (is_special(*value))
			to = escape(to, *value);
		else
			*to++ = *value;
	}
	return to;
}

/* Megabytes of rows go through here twice: room is made for a block at once. */
void
exact_json_quote(StringInfo out, const char *value, size_t len)
{
	const char *end = value + len;

	appendStringInfoCharMacro(out, '"');
	while (value < end)
	{
		const char *stop = value + Min((size_t) (end - value), QUOTE_BLOCK);
		char	   *to;

		enlargeStringInfo(out, (int) (stop - value) * MOST_QUOTED);
		to = out->data + out->len;
		to = quote_block(to, value, stop);
		value = stop;
		*to = '\0';
		out->len = (int) (to - out->data);
	}
	appendStringInfoCharMacro(out, '"');
}

/* The name of the member that begins; NULL when it cannot be decoded. */
static char *
decoded_name(const MemberReader *r)
{
	size_t		raw_len;
	const char *raw = exact_json_raw_name(r->lex, &raw_len);
	char	   *name = palloc(raw_len + 2);
	size_t		len;

	if (decode_string(raw - 1, raw_len + 2, name, &len))
		return name;
	pfree(name);
	return NULL;
}

/* Notes where a member's value begins; key is NULL for an element of an array. */
static void
begin_member(MemberReader *r, char *key)
{
	ExactJson  *json = r->json;
	ExactJsonMember *member;

	if (r->lex->token_start == NULL)	/* the text ends here */
	{
		r->bad = true;
		return;
	}
	if (key != NULL && exact_json_member(json, key) != NULL)
		r->bad = true;
	if (json->n == r->capacity)
	{
		r->capacity *= 2;
		json->members = repalloc(json->members, r->capacity * sizeof(ExactJsonMember));
	}
	member = &json->members[json->n++];
	member->key = key;
	member->raw = r->lex->token_start;
	member->len = 0;
	member->kind = kind_of(member->raw);
}

static void
end_member(MemberReader *r)
{
	ExactJsonMember *member = &r->json->members[r->json->n - 1];

	member->len = r->lex->prev_token_terminator - member->raw;
}

static ExactJsonResult
enter(void *state)
{
	((MemberReader *) state)->depth++;
	EXACT_JSON_OK;
}

static ExactJsonResult
leave(void *state)
{
	((MemberReader *) state)->depth--;
	EXACT_JSON_OK;
}

static ExactJsonResult
name_and_begin(void *state, char *fname pg_attribute_unused(), bool isnull pg_attribute_unused())
{
	MemberReader *r = state;

	if (r->depth == 1)
	{
		char	   *key = decoded_name(r);

		if (key == NULL)
			r->bad = true;
		begin_member(r, key);
	}
	EXACT_JSON_OK;
}

static ExactJsonResult
end_field(void *state, char *fname pg_attribute_unused(), bool isnull pg_attribute_unused())
{
	MemberReader *r = state;

	if (r->depth == 1)
		end_member(r);
	EXACT_JSON_OK;
}

static ExactJsonResult
begin_element(void *state, bool isnull pg_attribute_unused())
{
	MemberReader *r = state;

	if (r->depth == 1)
		begin_member(r, NULL);
	EXACT_JSON_OK;
}

static ExactJsonResult
end_element(void *state, bool isnull pg_attribute_unused())
{
	MemberReader *r = state;

	if (r->depth == 1)
		end_member(r);
	EXACT_JSON_OK;
}

/*
 * What the parser would not refuse is refused before it: bytes that are no UTF-8, a NUL, deep
 * nesting. A member begins and ends where the lexer's tokens do, so that its slice is the value as
 * written.
 */
bool
exact_json_read(const char *body, size_t len, ExactJson *out)
{
	static const char space[] = " \t\r\n";
	MemberReader r;
	ExactJson	json;
	JsonSemAction sem;
	JsonParseErrorType result;

	while (len > 0 && *body != '\0' && strchr(space, *body) != NULL)
	{
		body++;
		len--;
	}
	if (len < 2 || len > LARGEST || (*body != '{' && *body != '['))
		return false;
	if (memchr(body, '\0', len) != NULL ||
		pg_encoding_verifymbstr(PG_UTF8, body, (int) len) != (int) len ||
		exact_json_too_deep(body, len, MEMBERS_DEPTH))
		return false;

	memset(&json, 0, sizeof(json));
	json.kind = kind_of(body);
	memset(&r, 0, sizeof(r));
	r.json = &json;
	r.capacity = FIRST_CAPACITY;
	json.members = palloc(r.capacity * sizeof(ExactJsonMember));
	memset(&sem, 0, sizeof(sem));
	sem.semstate = &r;
	sem.object_start = enter;
	sem.object_end = leave;
	sem.array_start = enter;
	sem.array_end = leave;
	sem.object_field_start = name_and_begin;
	sem.object_field_end = end_field;
	sem.array_element_start = begin_element;
	sem.array_element_end = end_element;
	r.lex = exact_json_lexer(body, len, false);
	result = pg_parse_json(r.lex, &sem);
	if (result != JSON_SUCCESS || r.bad)
	{
		pfree(json.members);
		return false;
	}
	*out = json;
	return true;
}

/* ---- members of a text that was read before ---- */

static const char *
behind_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

/* p is behind the opening quote; behind the closing one, or NULL */
static const char *
behind_string(const char *p, const char *end)
{
	while (p < end && *p != '"')
		p += *p == '\\' ? 2 : 1;
	return p < end ? p + 1 : NULL;
}

static const char *
behind_value(const char *p, const char *end)
{
	int			depth = 0;

	if (p < end && *p == '"')
		return behind_string(p + 1, end);
	if (p < end && *p != '{' && *p != '[')
	{
		while (p < end && *p != ',' && *p != '}' && *p != ' ' && *p != '\n' && *p != '\r' &&
			   *p != '\t')
			p++;
		return p;
	}
	while (p != NULL && p < end)
	{
		char		c = *p++;

		if (c == '"')
			p = behind_string(p, end);
		else if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return p;
	}
	return NULL;
}

bool
exact_json_each(const char *body, size_t len, ExactJsonEach each, void *arg)
{
	const char *end = body + len;
	const char *p = behind_space(body, end);

	if (p == end || *p != '{')
		return false;
	p = behind_space(p + 1, end);
	if (p < end && *p == '}')
		return behind_space(p + 1, end) == end;
	while (p < end && *p == '"')
	{
		const char *name = p + 1;
		const char *behind = behind_string(name, end);
		ExactJsonMember member = {0};

		if (behind == NULL)
			return false;
		p = behind_space(behind, end);
		if (p == end || *p != ':')
			return false;
		member.raw = behind_space(p + 1, end);
		p = behind_value(member.raw, end);
		if (p == NULL || p == member.raw)
			return false;
		member.len = p - member.raw;
		member.kind = kind_of(member.raw);
		if (!each(arg, name, behind - 1 - name, &member))
			return false;
		p = behind_space(p, end);
		if (p < end && *p == '}')
			return behind_space(p + 1, end) == end;
		if (p == end || *p != ',')
			return false;
		p = behind_space(p + 1, end);
	}
	return false;
}

const ExactJsonMember *
exact_json_member(const ExactJson *json, const char *key)
{
	for (int i = 0; i < json->n; i++)
		if (json->members[i].key != NULL && strcmp(json->members[i].key, key) == 0)
			return &json->members[i];
	return NULL;
}

/*
 * Reads one level for each step of the path; only the level's members are kept, and freed at once.
 */
bool
exact_json_find(const char *body, size_t len, const char *path, ExactJsonMember *out)
{
	ExactJsonMember found = {NULL, body, len, EXACT_JSON_OBJECT};

	while (path != NULL)
	{
		const char *dot = strchr(path, '.');
		size_t		n = dot ? (size_t) (dot - path) : strlen(path);
		char	   *step = pnstrdup(path, n);
		const ExactJsonMember *member = NULL;
		ExactJson	json;

		if ((found.kind == EXACT_JSON_OBJECT || found.kind == EXACT_JSON_ARRAY) &&
			exact_json_read(found.raw, found.len, &json))
		{
			if (json.kind == EXACT_JSON_OBJECT)
				member = exact_json_member(&json, step);
			else if (n > 0 && n < 10 && strspn(step, "0123456789") == n && atoi(step) < json.n)
				member = &json.members[atoi(step)];
			if (member != NULL)
				found = *member;
			pfree(json.members);
		}
		pfree(step);
		if (member == NULL)
			return false;
		path = dot ? dot + 1 : NULL;
	}
	*out = found;
	return true;
}

/* raw is a string token with its quotes; buffer holds raw_len bytes. */
static bool
decode_string(const char *raw, size_t raw_len, char *buffer, size_t *len)
{
	JsonLexContext *lex;
	bool		ok;

	if (raw_len < 2)
		return false;
	if (memchr(raw, '\\', raw_len) == NULL)
	{
		*len = raw_len - 2;
		memcpy(buffer, raw + 1, *len);
		buffer[*len] = '\0';
		return true;
	}
	lex = exact_json_lexer(raw, raw_len, true);
	/* it never moves, so that one place is cleansed */
	enlargeStringInfo(lex->strval, (int) raw_len);
	ok = json_lex(lex) == JSON_SUCCESS && lex->token_type == JSON_TOKEN_STRING &&
		(size_t) lex->strval->len < raw_len;
	if (ok)
	{
		*len = lex->strval->len;
		memcpy(buffer, lex->strval->data, *len);
		buffer[*len] = '\0';
	}
	explicit_bzero(lex->strval->data, lex->strval->maxlen);
	return ok;
}

bool
exact_json_decode(const ExactJsonMember *member, char *buffer, size_t *len)
{
	return member != NULL && member->kind == EXACT_JSON_STRING &&
		decode_string(member->raw, member->len, buffer, len);
}

char *
exact_json_text(const ExactJsonMember *member)
{
	if (member == NULL || member->kind == EXACT_JSON_NULL)
		return NULL;
	if (member->kind == EXACT_JSON_STRING)
	{
		char	   *decoded = palloc(member->len);
		size_t		len;

		if (decode_string(member->raw, member->len, decoded, &len))
			return decoded;
		pfree(decoded);
		return pnstrdup(member->raw + 1, member->len - 2);
	}
	return pnstrdup(member->raw, member->len);
}

/* The digits are read as unsigned, so that the smallest number is no special case. */
bool
exact_json_int64(const ExactJsonMember *member, int64 *out)
{
	const char *p;
	size_t		n;
	bool		negative = false;
	uint64		value = 0;

	if (member == NULL || (member->kind != EXACT_JSON_NUMBER && member->kind != EXACT_JSON_STRING))
		return false;
	p = member->raw;
	n = member->len;
	if (member->kind == EXACT_JSON_STRING)
	{
		p++;
		n -= 2;
	}
	if (n > 0 && *p == '-')
	{
		negative = true;
		p++;
		n--;
	}
	if (n == 0 || n > INT64_DIGITS)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		if (p[i] < '0' || p[i] > '9')
			return false;
		value = value * 10 + (uint64) (p[i] - '0');
	}
	if (value > (uint64) PG_INT64_MAX + (negative ? 1 : 0))
		return false;
	*out = negative ? (int64) (0 - value) : (int64) value;
	return true;
}

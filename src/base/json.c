/*
 * json.c - small JSON answers as members of their own bytes.
 *
 * PostgreSQL's own parser runs over the text without unescaping, so that no value is copied; names and values are cut out by
 * their position. Called by everything that reads a token, an error or a statement state; pages of records: odata.c.
 */
#include "base/json.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"

#include "base/compat.h"

#define MAX_DEPTH 64

typedef struct Reader
{
	JsonLexContext *lex;
	ExactJson  *json;
	int			capacity;
	int			depth;			/* open objects and arrays */
	bool		bad;			/* a name twice, a name that cannot be decoded */
} Reader;

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

/* The parser recurses: refuse deep nesting before it starts. */
static bool
too_deep(const char *body, size_t len)
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
			if (++depth > MAX_DEPTH)
				return true;
		}
		else if (c == '}' || c == ']')
			depth--;
	}
	return false;
}

/* The name before the colon that the lexer has just passed; NULL when it cannot be decoded. */
static char *
read_name(const Reader *r)
{
	const char *end = r->lex->prev_token_terminator - 1;	/* the colon */
	const char *start;
	char	   *name;
	size_t		len;

	while (end[-1] != '"')		/* white space between the name and the colon */
		end--;
	for (start = end - 2;; start--)
	{
		int			backslashes = 0;

		if (*start != '"')
			continue;
		while (start - backslashes - 1 >= r->lex->input && start[-backslashes - 1] == '\\')
			backslashes++;
		if (backslashes % 2 == 0)
			break;
	}
	name = palloc(end - start + 1);
	if (decode_string(start, end - start, name, &len))
		return name;
	pfree(name);
	return NULL;
}

static void
begin_member(Reader *r, char *key)
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
end_member(Reader *r)
{
	ExactJsonMember *member = &r->json->members[r->json->n - 1];

	member->len = r->lex->prev_token_terminator - member->raw;
}

static ExactJsonResult
open_container(void *state)
{
	((Reader *) state)->depth++;
	EXACT_JSON_OK;
}

static ExactJsonResult
close_container(void *state)
{
	((Reader *) state)->depth--;
	EXACT_JSON_OK;
}

static ExactJsonResult
field_start(void *state, char *fname pg_attribute_unused(), bool isnull pg_attribute_unused())
{
	Reader	   *r = state;

	if (r->depth == 1)
	{
		char	   *key = read_name(r);

		if (key == NULL)
			r->bad = true;
		begin_member(r, key);
	}
	EXACT_JSON_OK;
}

static ExactJsonResult
field_end(void *state, char *fname pg_attribute_unused(), bool isnull pg_attribute_unused())
{
	Reader	   *r = state;

	if (r->depth == 1)
		end_member(r);
	EXACT_JSON_OK;
}

static ExactJsonResult
element_start(void *state, bool isnull pg_attribute_unused())
{
	Reader	   *r = state;

	if (r->depth == 1)
		begin_member(r, NULL);
	EXACT_JSON_OK;
}

static ExactJsonResult
element_end(void *state, bool isnull pg_attribute_unused())
{
	Reader	   *r = state;

	if (r->depth == 1)
		end_member(r);
	EXACT_JSON_OK;
}

bool
exact_json_read(const char *body, size_t len, ExactJson *out)
{
	static const char space[] = " \t\r\n";
	Reader		r;
	ExactJson	json;
	JsonSemAction sem;
	JsonParseErrorType result;

	while (len > 0 && *body != '\0' && strchr(space, *body) != NULL)
	{
		body++;
		len--;
	}
	if (len < 2 || len > 0x3fffffff || (*body != '{' && *body != '['))
		return false;
	if (memchr(body, '\0', len) != NULL ||
		pg_encoding_verifymbstr(PG_UTF8, body, (int) len) != (int) len || too_deep(body, len))
		return false;

	memset(&json, 0, sizeof(json));
	json.kind = kind_of(body);
	memset(&r, 0, sizeof(r));
	r.json = &json;
	r.capacity = 16;
	json.members = palloc(r.capacity * sizeof(ExactJsonMember));
	memset(&sem, 0, sizeof(sem));
	sem.semstate = &r;
	sem.object_start = open_container;
	sem.object_end = close_container;
	sem.array_start = open_container;
	sem.array_end = close_container;
	sem.object_field_start = field_start;
	sem.object_field_end = field_end;
	sem.array_element_start = element_start;
	sem.array_element_end = element_end;
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

const ExactJsonMember *
exact_json_member(const ExactJson *json, const char *key)
{
	for (int i = 0; i < json->n; i++)
		if (json->members[i].key != NULL && strcmp(json->members[i].key, key) == 0)
			return &json->members[i];
	return NULL;
}

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
	enlargeStringInfo(lex->strval, (int) raw_len);	/* it never moves, so that one place is cleansed */
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
	if (n == 0 || n > 19)
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

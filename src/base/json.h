/*
 * json.h - small JSON answers (tokens, errors, statement states) as members of their own bytes, and
 * what other readers and writers of JSON share.
 *
 * Pure text: no SQL, no network. Nothing here raises but for memory. Values are slices of the text
 * that was read: no copy of a secret is made unless the caller asks for one.
 */
#ifndef EXACT_JSON_H
#define EXACT_JSON_H

#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/jsonapi.h"
#include "lib/stringinfo.h"

typedef enum ExactJsonKind
{
	EXACT_JSON_NULL,
	EXACT_JSON_TRUE,
	EXACT_JSON_FALSE,
	EXACT_JSON_NUMBER,
	EXACT_JSON_STRING,
	EXACT_JSON_OBJECT,
	EXACT_JSON_ARRAY
} ExactJsonKind;

typedef struct ExactJsonMember
{
	const char *key;			/* decoded name; NULL for an element of an array */
	const char *raw;			/* the value as written, strings with their quotes */
	size_t		len;
	ExactJsonKind kind;
} ExactJsonMember;

typedef struct ExactJson
{
	ExactJsonKind kind;			/* OBJECT or ARRAY */
	int			n;
	ExactJsonMember *members;	/* in order */
} ExactJson;

/*
 * Reads one object or array; its own objects and arrays stay unread slices (read them the same
 * way). False, and nothing in *out, for anything else: empty, HTML, cut off, not UTF-8, deeper than
 * 64 levels, a name twice.
 */
extern bool exact_json_read(const char *body, size_t len, ExactJson *out);

/*
 * Calls each() for the members of an object, in order: its name as written between the quotes, and
 * its value. For texts that were read as JSON before (payloads of the stage): nothing is checked
 * but that members follow each other and the text ends with the object. False when they do not, or
 * when each() returned false.
 */
typedef bool (*ExactJsonEach) (void *arg, const char *name, size_t len,
							   const ExactJsonMember *member);
extern bool exact_json_each(const char *body, size_t len, ExactJsonEach each, void *arg);

/* The member of this name; NULL when it is absent. */
extern const ExactJsonMember *exact_json_member(const ExactJson *json, const char *key);

/*
 * The value at a path of names and array positions: "status.error.message",
 * "result.data_array.0.1"; false when there is none.
 */
extern bool exact_json_find(const char *body, size_t len, const char *path, ExactJsonMember *out);

/*
 * The value as palloc'd text: strings decoded, numbers and booleans as written, objects and arrays
 * as written. NULL for null and for a NULL member. A string that no text can hold (\u0000, half a
 * surrogate pair) is returned as written between its quotes.
 */
extern char *exact_json_text(const ExactJsonMember *member);

/* A whole number, written as number or as string of digits; false otherwise. */
extern bool exact_json_int64(const ExactJsonMember *member, int64 *out);

/*
 * Decodes a string into buffer, which holds at least member->len bytes, NUL-terminated;
 * intermediate copies are cleansed. False for another kind, or a string that no text can hold.
 */
extern bool exact_json_decode(const ExactJsonMember *member, char *buffer, size_t *len);

/*
 * Is a text nested deeper than so many objects and arrays? To be asked before PostgreSQL's parser,
 * which recurses, reads it. The text need not be valid.
 */
extern bool exact_json_too_deep(const char *body, size_t len, int most);

/*
 * In the callback of a parser at the start of a field: its name as written, between the quotes,
 * which lies before the colon that the lexer has just passed. Escapes are not decoded.
 */
extern const char *exact_json_raw_name(const JsonLexContext *lex, size_t *len);

/* Appends a text as a JSON string with its quotes. Bytes of UTF-8 stay as they are. */
extern void exact_json_quote(StringInfo out, const char *value, size_t len);

#endif

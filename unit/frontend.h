/*
 * frontend.h - for programs without a server that include C files of the product: the part of
 * compat.h that they can have.
 */
#ifndef EXACT_UNIT_FRONTEND_H
#define EXACT_UNIT_FRONTEND_H

#define FRONTEND 1
#include "postgres_fe.h"

#include "common/jsonapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#define EXACT_COMPAT_H
#if PG_VERSION_NUM >= 160000
typedef JsonParseErrorType ExactJsonResult;
#define EXACT_JSON_OK return JSON_SUCCESS
#else
typedef void ExactJsonResult;
#define EXACT_JSON_OK return
#endif

static inline JsonLexContext *
exact_json_lexer(const char *json, size_t len, bool need_escapes)
{
#if PG_VERSION_NUM >= 170000
	return makeJsonLexContextCstringLen(NULL, json, len, PG_UTF8, need_escapes);
#else
	return makeJsonLexContextCstringLen(unconstify(char *, json), (int) len, PG_UTF8, need_escapes);
#endif
}

#endif

/*
 * odata_value.h - values of a record that odata.c has read: numbers, texts, the division.
 */
#ifndef EXACT_ODATA_VALUE_H
#define EXACT_ODATA_VALUE_H

#include "lib/stringinfo.h"

#include "exact_online/odata.h"

/* Absent or null */
extern bool exact_odata_is_null(ExactSlice value);

/* 12, "12"; false when it is absent, null or of another type. */
extern bool exact_odata_int64(ExactSlice value, int64 *out);

/* More records than a list has: their sums are far from the end of an int64. */
#define EXACT_ODATA_COUNT_MAX INT64CONST(1000000000000)

/*
 * The answer to $count, digits and blanks around them; false: it is something else, or more than
 * EXACT_ODATA_COUNT_MAX.
 */
extern bool exact_odata_count(const char *body, size_t len, int64 *out);

/* A decoded string, the digits of a number (palloc'd); NULL when it is absent or null. */
extern char *exact_odata_string(ExactSlice value);

/*
 * The division a record says it belongs to: its Division field if given, else the one in
 * __metadata.uri, else -1. If both are there and differ, the one that is not `expected` is
 * returned.
 */
extern int64 exact_odata_division(const ExactRecord *record, ExactSlice division_value,
								  int expected);

/* The division in the path of an API URL (".../api/v1/101001/..."), -1 if there is none. */
extern int64 exact_odata_url_division(const char *url, size_t len);

/*
 * Appends what a value means, however it is written: of a string its decoded text behind a quote,
 * of a number its digits and power of ten, true and false as they are; nothing of null.
 */
extern void exact_odata_append_value(StringInfo out, ExactSlice value);

#endif

/*
 * amount.h - money as whole ten-thousandths of a currency's unit.
 *
 * Exact Online sends amounts as doubles, with their binary noise ("120.99999999999999"): digits are
 * taken, rounded to four decimals, and added exactly. No function raises but for memory.
 */
#ifndef EXACT_AMOUNT_H
#define EXACT_AMOUNT_H

#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#define EXACT_AMOUNT_ONE 10000	/* 1.00 */

/*
 * A number of JSON, or a string that holds one: "1.2e2" is 1200000. False when it is none, or
 * 10^13 units and more.
 */
extern bool exact_amount_read(const char *text, size_t len, int64 *out);

/*
 * *sum += amount, which was read or is such a sum; false, and *sum as it was, beyond 2^59, so that
 * a dozen sums may be added without a look.
 */
extern bool exact_amount_add(int64 *sum, int64 amount);

/*
 * The smallest amount in a currency by its letters (ISO 4217): 100 for EUR, 10000 for JPY, 10 for
 * KWD. NULL and letters that are not in the list have two decimals.
 */
extern int64 exact_amount_unit(const char *currency);

/* Digits with the decimals of that unit, more when the amount has more: "-121.00" (palloc'd). */
extern char *exact_amount_text(int64 amount, int64 unit);

#endif

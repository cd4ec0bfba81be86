/*
 * delivery_row.h - one staged version as one JSON object of a delivery: every value a JSON string,
 * absent when null.
 *
 * Pure text: no SQL, no network. The engine prints JSON numbers again before it casts them, so
 * digits travel as strings.
 */
#ifndef EXACT_DELIVERY_ROW_H
#define EXACT_DELIVERY_ROW_H

#include "delta/merge_sql.h"

/* What becomes of a version in the current table; the history has it in any case. */
typedef enum ExactVersionHeld
{
	EXACT_VERSION_GOES,
	EXACT_VERSION_MARKS,		/* the state before it stays, with _valid = false and _problems */
	EXACT_VERSION_WAITS			/* the state before it stays as it is */
} ExactVersionHeld;

typedef struct ExactVersion
{
	int			division;
	const char *key;
	int64		seq;
	char		op;				/* I, U, D */
	int64		batch;
	const char *staged_at;		/* ISO 8601 with Z */
	/* the record as received; of a D: that of the version before it; NULL when there is none */
	const char *record;
	size_t		record_len;
	const char *row_zero;		/* _row of a record whose field is 0; NULL: not known */
	bool		turned;			/* its amounts have the other sign than the plain resource's */
	const char *known;			/* edit in Delta that it may replace; NULL: none */
	const char *problems;		/* what the rules found; NULL: nothing */
	ExactVersionHeld held;
} ExactVersion;

/*
 * Appends the object. Values: Guids in lower case, padded codes trimmed, /Date(ms)/ as the wall
 * clock it stands for, digits as received; empty texts of columns that are no text are null. What
 * does not fit is sent as it is, so that the CAST fails and names the column. False, and nothing
 * appended, when the record is not a JSON object.
 */
extern bool exact_delivery_row_append(StringInfo out, const ExactVersion *version,
									  const ExactColumn *columns, int ncolumns);

#endif

/*
 * counter.c - exact.counter: calls, statements, versions staged, and how long changes took.
 *
 * Written within the unit that records the thing itself, so that a count neither precedes nor
 * outlives it. A row has one writer: the fetcher counts calls and versions, the loader the rest.
 * The table is written by functions of install/09_counter.sql.
 */
#include "postgres.h"

#include "base/counter.h"
#include "base/sql.h"

void
exact_counter_add(const char *name, int division, const char *kind, const char *result, int64 n)
{
	static const char sql[] =
	"SELECT exact._count($1, $2, $3, $4, $5)";
	ExactArg	args[5];

	if (n <= 0)
		return;
	args[0] = exact_arg_text(name);
	args[1] = exact_arg_int4(division);
	args[2] = exact_arg_text(kind);
	args[3] = exact_arg_text(result);
	args[4] = exact_arg_int8(n);
	exact_sql(sql, 5, args);
}

void
exact_counter_statement(const char *kind, const char *result, double seconds)
{
	static const char sql[] =
	"SELECT exact._count_seconds('statement took', $1, ARRAY[$2::float8], ARRAY[1]::bigint[])";
	ExactArg	args[2];

	exact_counter_add(EXACT_COUNTER_STATEMENT, 0, kind, result, 1);
	args[0] = exact_arg_text(kind);
	args[1] = exact_arg_float8(seconds);
	exact_sql_by_index(sql, 2, args);	/* plans are kept: for arrays they would be made anew */
}

void
exact_counter_delivered(const int64 *batches, int n)
{
	static const char sql[] = "SELECT exact._count_delivered($1)";
	ExactArg	args[1];

	if (n <= 0)
		return;
	args[0] = exact_arg_int8_array(batches, NULL, n);
	exact_sql_by_index(sql, 1, args);
}

/*
 * sql.c - SQL of workers and functions: static texts, bound values, plans kept for the process.
 *
 * Runs with SPI connected (units of worker/unit.c do that). The plan cache is per process and found
 * by the text's address, so texts must be static constants. PostgreSQL itself re-plans when a table
 * or function has changed.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/sql.h"
#include "base/words.h"

#define MAX_ARGS 32
#define FIRST_PLANS 64

typedef struct PlanEntry
{
	const char *sql;			/* hash key: the address */
	SPIPlanPtr	plan;
	int			nargs;
	Oid			types[MAX_ARGS];
} PlanEntry;

static HTAB *plans = NULL;

static ExactArg
make_arg(Oid type, Datum value)
{
	ExactArg	arg;

	arg.type = type;
	arg.value = value;
	arg.isnull = false;
	return arg;
}

ExactArg
exact_arg_null(Oid type)
{
	ExactArg	arg = make_arg(type, (Datum) 0);

	arg.isnull = true;
	return arg;
}

/*
 * No byte that the database would not take from a client gets into a table: a dump of it could not
 * be restored.
 */
static Datum
make_text(const char *value, size_t len)
{
	const char *valid = exact_words_valid(value, &len);

	return PointerGetDatum(cstring_to_text_with_len(valid, (int) len));
}

ExactArg
exact_arg_text(const char *value)
{
	if (value == NULL)
		return exact_arg_null(TEXTOID);
	return make_arg(TEXTOID, make_text(value, strlen(value)));
}

ExactArg
exact_arg_int4(int32 value)
{
	return make_arg(INT4OID, Int32GetDatum(value));
}

ExactArg
exact_arg_int8(int64 value)
{
	return make_arg(INT8OID, Int64GetDatum(value));
}

ExactArg
exact_arg_bool(bool value)
{
	return make_arg(BOOLOID, BoolGetDatum(value));
}

ExactArg
exact_arg_float8(double value)
{
	return make_arg(FLOAT8OID, Float8GetDatum(value));
}

static Datum
make_bytea(const void *data, size_t len)
{
	bytea	   *value = palloc(VARHDRSZ + len);

	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), data, len);
	return PointerGetDatum(value);
}

ExactArg
exact_arg_bytea(const void *data, size_t len)
{
	return data ? make_arg(BYTEAOID, make_bytea(data, len)) : exact_arg_null(BYTEAOID);
}

ExactArg
exact_arg_time(TimestampTz value)
{
	return make_arg(TIMESTAMPTZOID, TimestampTzGetDatum(value));
}

/*
 * One-dimensional array of n elements; all value types but text and bytea are passed by value on
 * 64-bit machines.
 */
static ExactArg
make_array(Oid array_type, Oid type, int len, bool by_value, char align, Datum *values,
		   bool *nulls, int n)
{
	int			lower = 1;
	ArrayType  *array;

	if (n == 0)
		array = construct_empty_array(type);
	else
		array = construct_md_array(values, nulls, 1, &n, &lower, type, len, by_value, align);
	return make_arg(array_type, PointerGetDatum(array));
}

ExactArg
exact_arg_text_array(const char *const *values, const size_t *lens, int n)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(n, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		nulls[i] = values[i] == NULL;
		if (nulls[i])
			datums[i] = (Datum) 0;
		else
			datums[i] = make_text(values[i], lens ? lens[i] : strlen(values[i]));
	}
	return make_array(TEXTARRAYOID, TEXTOID, -1, false, TYPALIGN_INT, datums, nulls, n);
}

ExactArg
exact_arg_bytea_array(const void *const *values, const size_t *lens, int n)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(n, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		nulls[i] = values[i] == NULL;
		datums[i] = nulls[i] ? (Datum) 0 : make_bytea(values[i], lens[i]);
	}
	return make_array(BYTEAARRAYOID, BYTEAOID, -1, false, TYPALIGN_INT, datums, nulls, n);
}

ExactArg
exact_arg_int8_array(const int64 *values, const bool *nulls, int n)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = Int64GetDatum(values[i]);
	return make_array(INT8ARRAYOID, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  datums, unconstify(bool *, nulls), n);
}

ExactArg
exact_arg_int4_array(const int32 *values, const bool *nulls, int n)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = Int32GetDatum(values[i]);
	return make_array(INT4ARRAYOID, INT4OID, sizeof(int32), true, TYPALIGN_INT,
					  datums, unconstify(bool *, nulls), n);
}

static void
make_plans(void)
{
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(const char *);
	ctl.entrysize = sizeof(PlanEntry);
	ctl.hcxt = TopMemoryContext;
	plans = hash_create("exact plans", FIRST_PLANS, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static bool
is_planned_for(const PlanEntry *entry, int nargs, const ExactArg *args)
{
	if (entry->plan == NULL || entry->nargs != nargs)
		return false;
	for (int i = 0; i < nargs; i++)
	{
		if (entry->types[i] != args[i].type)
			return false;
	}
	return true;
}

/*
 * The kept plan of a text, made when there is none for arguments of these types. An entry without a
 * plan is what an error while it was made leaves: the next call tries again.
 */
static SPIPlanPtr
find_plan(const char *sql, int nargs, const ExactArg *args)
{
	PlanEntry  *entry;
	SPIPlanPtr	plan;
	bool		found;

	if (nargs > MAX_ARGS)
		elog(ERROR, "a statement with %d parameters", nargs);
	if (plans == NULL)
		make_plans();
	entry = hash_search(plans, &sql, HASH_ENTER, &found);
	if (!found)
		entry->plan = NULL;
	if (is_planned_for(entry, nargs, args))
		return entry->plan;

	if (entry->plan != NULL)
	{
		SPI_freeplan(entry->plan);
		entry->plan = NULL;
	}
	entry->nargs = nargs;
	for (int i = 0; i < nargs; i++)
		entry->types[i] = args[i].type;
	plan = SPI_prepare(sql, nargs, entry->types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	entry->plan = plan;
	return plan;
}

uint64
exact_sql(const char *sql, int nargs, const ExactArg *args)
{
	MemoryContext caller = CurrentMemoryContext;	/* SPI leaves its own behind */
	Datum		values[MAX_ARGS];
	char		nulls[MAX_ARGS];
	SPIPlanPtr	plan = find_plan(sql, nargs, args);
	int			result;

	for (int i = 0; i < nargs; i++)
	{
		values[i] = args[i].value;
		nulls[i] = args[i].isnull ? 'n' : ' ';
	}
	result = SPI_execute_plan(plan, values, nulls, false, 0);
	MemoryContextSwitchTo(caller);
	if (result < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

static void
set_here(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

int
exact_sql_index_nest_level(void)
{
	int			level = NewGUCNestLevel();

	set_here("enable_seqscan", "off");
	set_here("enable_bitmapscan", "off");
	set_here("enable_sort", "off");
	set_here("plan_cache_mode", "force_generic_plan");
	set_here("jit", "off");		/* what cannot do without one of these looks expensive */
	return level;
}

uint64
exact_sql_by_index(const char *sql, int nargs, const ExactArg *args)
{
	int			level = exact_sql_index_nest_level();
	uint64		n = exact_sql(sql, nargs, args);

	AtEOXact_GUC(true, level);
	return n;
}

uint64
exact_sql_by_index_of_partition(const char *sql, int nargs, const ExactArg *args)
{
	int			level = exact_sql_index_nest_level();
	uint64		n;

	set_here("plan_cache_mode", "force_custom_plan");
	n = exact_sql(sql, nargs, args);
	AtEOXact_GUC(true, level);
	return n;
}

static Datum
cell(uint64 row, int col, bool *isnull, Oid *type)
{
	if (SPI_tuptable == NULL || row >= SPI_tuptable->numvals ||
		col < 1 || col > SPI_tuptable->tupdesc->natts)
		elog(ERROR, "the result has no row " UINT64_FORMAT " with column %d", row, col);
	*type = SPI_gettypeid(SPI_tuptable->tupdesc, col);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col, isnull);
}

bool
exact_cell_isnull(uint64 row, int col)
{
	bool		isnull;
	Oid			type;

	(void) cell(row, col, &isnull, &type);
	return isnull;
}

char *
exact_cell_text(uint64 row, int col)
{
	bool		isnull;
	Oid			type;
	Datum		value = cell(row, col, &isnull, &type);

	if (isnull)
		return NULL;
	if (type == TEXTOID)
		return TextDatumGetCString(value);
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col);
}

int64
exact_cell_int8(uint64 row, int col, int64 if_null)
{
	bool		isnull;
	Oid			type;
	Datum		value = cell(row, col, &isnull, &type);

	if (isnull)
		return if_null;
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case OIDOID:
			return DatumGetObjectId(value);
		case INT8OID:
			return DatumGetInt64(value);
		default:
			elog(ERROR, "column %d is of type %u, not an integer", col, type);
	}
	return if_null;				/* not reached */
}

bool
exact_cell_bool(uint64 row, int col, bool if_null)
{
	bool		isnull;
	Oid			type;
	Datum		value = cell(row, col, &isnull, &type);

	if (isnull)
		return if_null;
	if (type != BOOLOID)
		elog(ERROR, "column %d is of type %u, not boolean", col, type);
	return DatumGetBool(value);
}

TimestampTz
exact_cell_time(uint64 row, int col, TimestampTz if_null)
{
	bool		isnull;
	Oid			type;
	Datum		value = cell(row, col, &isnull, &type);

	if (isnull)
		return if_null;
	if (type != TIMESTAMPTZOID)
		elog(ERROR, "column %d is of type %u, not timestamp with time zone", col, type);
	return DatumGetTimestampTz(value);
}

bytea *
exact_cell_bytea(uint64 row, int col)
{
	bool		isnull;
	Oid			type;
	Datum		value = cell(row, col, &isnull, &type);

	if (isnull)
		return NULL;
	if (type != BYTEAOID)
		elog(ERROR, "column %d is of type %u, not bytea", col, type);
	return DatumGetByteaPCopy(value);
}

/* The elements of an array of this type; *n of them, 0 for a null. */
static Datum *
elements(uint64 row, int col, Oid array_type, Oid type, int len, char align, bool **nulls, int *n)
{
	bool		isnull;
	Oid			found;
	Datum		value = cell(row, col, &isnull, &found);
	Datum	   *datums;

	*n = 0;
	if (isnull)
		return NULL;
	if (found != array_type)
		elog(ERROR, "column %d is of type %u, not the array %u", col, found, array_type);
	deconstruct_array(DatumGetArrayTypeP(value), type, len, len > 0, align, &datums, nulls, n);
	return datums;
}

char **
exact_cell_texts(uint64 row, int col, int *n)
{
	bool	   *nulls;
	Datum	   *datums = elements(row, col, TEXTARRAYOID, TEXTOID, -1, TYPALIGN_INT, &nulls, n);
	char	  **out = palloc(Max(*n, 1) * sizeof(char *));

	for (int i = 0; i < *n; i++)
		out[i] = nulls[i] ? NULL : TextDatumGetCString(datums[i]);
	return out;
}

int32 *
exact_cell_int4s(uint64 row, int col, int *n)
{
	bool	   *nulls;
	Datum	   *datums = elements(row, col, INT4ARRAYOID, INT4OID, sizeof(int32), TYPALIGN_INT,
								  &nulls, n);
	int32	   *out = palloc(Max(*n, 1) * sizeof(int32));

	for (int i = 0; i < *n; i++)
		out[i] = nulls[i] ? 0 : DatumGetInt32(datums[i]);
	return out;
}

int64 *
exact_cell_int8s(uint64 row, int col, int *n)
{
	bool	   *nulls;
	Datum	   *datums = elements(row, col, INT8ARRAYOID, INT8OID, sizeof(int64), TYPALIGN_DOUBLE,
								  &nulls, n);
	int64	   *out = palloc(Max(*n, 1) * sizeof(int64));

	for (int i = 0; i < *n; i++)
		out[i] = nulls[i] ? 0 : DatumGetInt64(datums[i]);
	return out;
}

/*
 * ledger.c - exact.ledger_entry and exact.ledger_count: what row 0 of a division's transaction
 * lines is.
 */
#include "postgres.h"

#include "base/sql.h"
#include "state/ledger.h"

#define LEDGER "transactionlines"

void
exact_ledger_learn(int division, const char *entity, int slot, int64 batch)
{
	ExactArg	args[3];

	if (strcmp(entity, LEDGER) != 0)
		return;
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_int4(slot);
	args[2] = exact_arg_int8(batch);
	exact_sql("SELECT exact._learn_ledger($1, $2, $3)", 3, args);
}

const char *
exact_ledger_row_zero(int division)
{
	/* _shape_of() would be planned each time: a function with a search_path of its own */
	static const char sql[] = "SELECT s.shape FROM exact.ledger_shape s WHERE s.division = $1";
	ExactArg	arg = exact_arg_int4(division);
	const char *shape;

	if (exact_sql(sql, 1, &arg) == 0)
		return NULL;
	shape = exact_cell_text(0, 1);
	if (strcmp(shape, "control") == 0 || strcmp(shape, "total") == 0)
		return "control";
	if (strcmp(shape, "repeat") == 0)
		return "header";
	return NULL;
}

bool
exact_ledger_invoices_turned(int division)
{
	ExactArg	arg = exact_arg_int4(division);

	return exact_sql("SELECT turned FROM exact.invoice_sign WHERE division = $1", 1, &arg) == 1 &&
		exact_cell_bool(0, 1, false);
}

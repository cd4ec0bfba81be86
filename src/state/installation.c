/*
 * installation.c - exact.installation and exact.installation_binding: which hub this is, and that
 * it belongs to this database.
 *
 * Workers make and bind the installation with exact._bind(), people with exact.adopt(); everything
 * else that C writes to these tables is here.
 */
#include "postgres.h"

#include "base/errors.h"
#include "base/sql.h"
#include "state/installation.h"

char *
exact_installation_id(void)
{
	if (exact_sql("SELECT id FROM exact.installation ORDER BY made_at, id LIMIT 1", 0, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_INSTALLATION),
				 errmsg("this database has no installation yet"),
				 errdetail("Secrets are bound to the installation, which the first worker makes."),
				 errhint("Put exact_databricks into shared_preload_libraries and restart the "
						 "server; "
						 "SELECT * FROM exact.check(); says what else is missing.")));
	return exact_cell_text(0, 1);
}

bool
exact_installation_overtaken(int epoch, int other)
{
	static const char sql[] =
		"UPDATE exact.installation_binding SET overtaken_by = $2"
		" WHERE epoch = $1";
	ExactArg	args[] = {exact_arg_int4(epoch), exact_arg_int4(other)};

	return exact_sql(sql, lengthof(args), args) > 0;
}

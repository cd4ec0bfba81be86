/*
 * installation.c - exact.installation and exact.installation_binding: which hub this is, and that
 * it belongs to this database.
 *
 * Workers make and bind the installation with exact._bind(), people with exact.adopt(); everything
 * else that C writes to these tables is here, with the claims of the loader's processes.
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

void
exact_installation_claim(const char *claim, int epoch)
{
	static const char sql[] =
		"INSERT INTO exact.claim (claim, epoch) VALUES ($1, $2)"
		" ON CONFLICT (claim) DO NOTHING";
	ExactArg	args[] = {exact_arg_text(claim), exact_arg_int4(epoch)};

	exact_sql(sql, lengthof(args), args);
}

char **
exact_installation_claims(int epoch, char **claims, int n, int *nours)
{
	static const char sql[] =
		"SELECT array_agg(claim) FROM exact.claim WHERE epoch = $1 AND claim = ANY ($2)";
	ExactArg	args[] = {
		exact_arg_int4(epoch),
		exact_arg_text_array((const char *const *) claims, NULL, n)
	};

	exact_sql(sql, lengthof(args), args);
	return exact_cell_texts(0, 1, nours);
}

bool
exact_installation_set_back(const ExactSetBack *found, int *raised)
{
	static const char sql[] = "SELECT exact._set_back($1, $2, $3, $4)";
	ExactArg	args[] = {
		exact_arg_int4(found->epoch),
		exact_arg_text(found->entity),
		exact_arg_int8(found->known_seq),
		exact_arg_int8(found->found_seq)
	};

	exact_sql(sql, lengthof(args), args);
	*raised = (int) exact_cell_int8(0, 1, 0);
	return *raised != 0;
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

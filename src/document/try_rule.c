/*
 * try_rule.c - exact.try_rule(): a customer's rule, run by hand.
 *
 * In the session of who tries it, confined as in a worker: what it may not do there it may not do
 * here.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/sql.h"
#include "document/user_rule.h"

PG_FUNCTION_INFO_V1(exact_try_rule);

static void
find_rule(const char *name, ExactUserRule *rule)
{
	ExactArg	arg = exact_arg_text(name);

	if (exact_user_rule_find(name, rule))
		return;
	exact_sql("SELECT $1 = ANY (exact._shipped_rules()),"
			  " (SELECT pg_catalog.string_agg(r.name, ', ' ORDER BY r.name)"
			  "  FROM exact.rule AS r WHERE r.function IS NOT NULL)", 1, &arg);
	if (exact_cell_bool(0, 1, false))
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_NOT_USABLE),
				 errmsg("rule %s is not a rule of your own", name),
				 errhint("Only rules with a function can be tried here.")));
	ereport(ERROR,
			(errcode(ERRCODE_EXACT_NOT_USABLE),
			 errmsg("there is no rule %s", name),
			 exact_cell_isnull(0, 2) ?
			 errhint("First INSERT INTO exact.rule (name, function).") :
			 errhint("Rules with a function are %s.", exact_cell_text(0, 2))));
}

static char *
json_text(Jsonb *value)
{
	return JsonbToCString(NULL, &value->root, VARSIZE(value));
}

static void
put_problem(ReturnSetInfo *result, const ExactUserProblem *problem)
{
	Datum		values[2] = {Int32GetDatum((int32) problem->line),
	CStringGetTextDatum(problem->text)};
	bool		nulls[2] = {problem->line < 0, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * exact.try_rule(name text, division int, document jsonb, lines jsonb) → setof (line int, problem
 * text): what the rule says; raises when it says nothing.
 */
Datum
exact_try_rule(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ExactUserRule rule;
	ExactUserVerdict verdict;
	Jsonb	   *lines;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_NOT_USABLE),
				 errmsg("rule and division must be given"),
				 errhint("SELECT * FROM exact.try_rule('my_rule', division, document, lines).")));
	lines = PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3);
	if (lines != NULL && (!JB_ROOT_IS_ARRAY(lines) || JB_ROOT_IS_SCALAR(lines)))
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_NOT_USABLE),
				 errmsg("the lines of a document are an array"),
				 errhint("Write them like '[{\"LineNumber\": 1}]'.")));
	SPI_connect();
	find_rule(text_to_cstring(PG_GETARG_TEXT_PP(0)), &rule);
	exact_user_rule_judge(&rule, PG_GETARG_INT32(1),
						  PG_ARGISNULL(2) ? "null" : json_text(PG_GETARG_JSONB_P(2)),
						  lines ? json_text(lines) : "[]", &verdict);
	if (verdict.failure != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_NOT_USABLE),
				 errmsg("rule %s gives no verdict: %s", rule.name, verdict.failure),
				 errhint("%s", verdict.hint)));
	for (int i = 0; i < verdict.n; i++)
		put_problem(result, &verdict.problems[i]);
	SPI_finish();
	PG_RETURN_NULL();
}

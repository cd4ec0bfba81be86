/*
 * statement_error_test.c - error class x SQLSTATE x form -> what the hub does: each row of the
 * table in src/databricks/README.md, in every form in which the service shows it.
 */
#include "backend.h"

#include "base/fault.c"
#include "base/words.c"
#include "databricks/delta_sql.c"
#include "databricks/error_class.c"
#include "databricks/statement_error.c"

#include "check.h"

/* The columns of the table, and the forms of a row */
typedef struct Row
{
	const char *error_class;	/* "" none */
	const char *sqlstate;		/* "" none */
	const char *text;			/* behind class, before SQLSTATE */
	const char *code;			/* error_code */
	int			repeats;
	const char *shown;			/* to people */
	const char *hint;			/* its beginning */
} Row;

#define AGAIN "Correct what the message names; the hub tries again by itself, or at once with" \
	" SELECT exact.resume(division, 'items')."
#define FIND "Find the value in exact.stage (batches 5 to 6, entity items)."
#define WHO " TO `principal`;"

static const Row rows[] = {
	/* other writers: again, twenty times */
	{"DELTA_CONCURRENT_APPEND", "2D521", "Files were added by a concurrent update.\n"
		"Conflicting commit: {\"userName\":\"admin@example.com\"}", "BAD_REQUEST", 20,
	"Files were added by a concurrent update", AGAIN},
	{"DELTA_CONCURRENT_DELETE_READ", "2D521", "x", "ABORTED", 20, "x", AGAIN},
	{"DELTA_METADATA_CHANGED", "2D521", "x", "BAD_REQUEST", 20, "x", AGAIN},
	{"DELTA_MAX_COMMIT_RETRIES_EXCEEDED", "40000", "x", "BAD_REQUEST", 20, "x", AGAIN},
	/* a SQLSTATE that says nothing of that kind counts more than the code beside it */
	{"", "42000", "x", "DEADLINE_EXCEEDED", 0, "x", AGAIN},
	/* the service: again, five times */
	{"INTERNAL_ERROR", "XX000", "Query could not be scheduled: HTTP Response code: 503",
		"BAD_REQUEST", 5, "Query could not be scheduled: HTTP Response code: 503", AGAIN},
	{"", "", "The warehouse is not there", "TEMPORARILY_UNAVAILABLE", 5,
	"The warehouse is not there", AGAIN},
	{"", "", "x", "INTERNAL_ERROR", 5, "x", AGAIN},
	{"", "", "x", "UNKNOWN", 5, "x", AGAIN},
	{"", "", "x", "IO_ERROR", 5, "x", AGAIN},
	/* ended: again, twice */
	{"", "", "It ran longer than STATEMENT_TIMEOUT", "DEADLINE_EXCEEDED", 2,
	"It ran longer than STATEMENT_TIMEOUT", AGAIN},
	{"", "", "x", "CANCELLED", 2, "x", AGAIN},
	/* a transfer or a file: once more */
	{"MALFORMED_RECORD_IN_PARSING", "22023", "bad '7 12' record", "BAD_REQUEST", 1,
	"a value does not fit (MALFORMED_RECORD_IN_PARSING)", FIND},
	{"FAILED_READ_FILE", "KD001", "unreadable", "IO_ERROR", 1, "unreadable", AGAIN},
	{"USER_RAISED_EXCEPTION", "P0001", "exact: the batch holds 0 rows", "BAD_REQUEST", 1,
	"exact: the batch holds 0 rows", AGAIN},
	/* told apart by the hub's own words: never again by itself */
	{"USER_RAISED_EXCEPTION", "P0001", "exact: fenced", "BAD_REQUEST", 0, "exact: fenced", AGAIN},
	{"USER_RAISED_EXCEPTION", "P0001", "exact: ANSI_MODE is off", "BAD_REQUEST", 0,
	"exact: ANSI_MODE is off", "Set ANSI_MODE to true for the SQL warehouses"},
	/* values: refused, and never shown */
	{"CAST_INVALID_INPUT", "22018", "The value '7 12' of the type \"STRING\" cannot be cast",
		"BAD_REQUEST", 0, "a value does not fit (CAST_INVALID_INPUT)", FIND},
	{"NUMERIC_VALUE_OUT_OF_RANGE", "22003", "7 12 cannot be represented", "BAD_REQUEST", 0,
	"a value does not fit (NUMERIC_VALUE_OUT_OF_RANGE)", FIND},
	{"DELTA_VIOLATE_CONSTRAINT_WITH_VALUES", "23001", "CHECK constraint positive (AmountDC > 0)"
		" violated by row with values:\n - AmountDC : 7 12", "BAD_REQUEST", 0,
		"a value does not fit the constraint positive (DELTA_VIOLATE_CONSTRAINT_WITH_VALUES)",
	FIND},
	{"DELTA_NOT_NULL_CONSTRAINT_VIOLATED", "23502",
		"NOT NULL constraint violated for column: Code.", "BAD_REQUEST", 0,
		"a value does not fit the constraint Code"
	" (DELTA_NOT_NULL_CONSTRAINT_VIOLATED)", FIND},
	/* what is not there or not as it was: refused, the caller knows better */
	{"TABLE_OR_VIEW_NOT_FOUND", "42P01", "The table or view `t` cannot be found", "NOT_FOUND", 0,
	"The table or view `t` cannot be found", AGAIN},
	{"SCHEMA_NOT_FOUND", "42704", "The schema `s` cannot be found", "BAD_REQUEST", 0,
	"The schema `s` cannot be found", AGAIN},
	{"UNRESOLVED_COLUMN", "42703", "A column with name `c` cannot be resolved", "BAD_REQUEST", 0,
	"A column with name `c` cannot be resolved", AGAIN},
	{"PARSE_SYNTAX_ERROR", "42601", "Syntax error at or near 'x'", "BAD_REQUEST", 0,
	"Syntax error at or near 'x'", AGAIN},
	/* nobody knows: once more where there is no class, and what may be a value is not shown */
	{"", "", "For input string: \"7 12\" and 'it's 7 12'", "BAD_REQUEST", 1,
	"For input string: ...", AGAIN},
	{"", "", "The statement could not be completed.", "NOT_FOUND", 1,
	"The statement could not be completed", AGAIN},
	{"NEVER_SEEN", "", "The value '7 12' is SQLSTATE: 42501'", "BAD_REQUEST", 0,
	"The value ...", AGAIN},
};

/* Refusals of Unity Catalog, all to be mended by the GRANT that is shown */
static const Row refusals[] = {
	{"", "", "User does not have USE CATALOG on Catalog 'main'.", "", 0,
		"User does not have USE CATALOG on Catalog 'main'",
	"GRANT USE CATALOG ON CATALOG main" WHO},
	{"", "", "User does not have USE SCHEMA on Schema 'main.exact'.", "", 0,
		"User does not have USE SCHEMA on Schema 'main.exact'",
	"GRANT USE SCHEMA ON SCHEMA main.exact" WHO},
	{"", "", "User does not have CREATE TABLE on Schema 'main.exact'.", "", 0,
		"User does not have CREATE TABLE on Schema 'main.exact'",
	"GRANT CREATE TABLE ON SCHEMA main.exact" WHO},
	{"", "", "User does not have CREATE SCHEMA on Catalog 'main'.", "", 0,
		"User does not have CREATE SCHEMA on Catalog 'main'",
		"CREATE SCHEMA main.exact; GRANT USE SCHEMA, CREATE TABLE, SELECT, MODIFY ON SCHEMA"
	" main.exact" WHO},
	{"", "", "User does not have MODIFY on Table 'main.exact.items'.", "", 0,
		"User does not have MODIFY on Table 'main.exact.items'",
	"GRANT SELECT, MODIFY ON TABLE main.exact.items" WHO},
	{"", "", "User does not have permission SELECT on table `items`.", "", 0,
		"User does not have permission SELECT on table `items`",
	"GRANT SELECT, MODIFY ON TABLE main.exact.items" WHO},
	{"", "", "User does not have SELECT on Schema 'main.exact'.", "", 0,
		"User does not have SELECT on Schema 'main.exact'",
	"GRANT SELECT, MODIFY ON SCHEMA main.exact" WHO},
	/* what the service calls an object never gets into a statement that people are told to run */
	{"", "", "User does not have MODIFY on Table 'x'; DROP TABLE y'.", "", 0,
		"User does not have MODIFY on Table 'x'; DROP TABLE y'",
	"GRANT SELECT, MODIFY ON TABLE main.exact.items" WHO},
};

static const ExactWorkspace workspace = {
	"lake", "https://x", NULL, "w", "main", "exact", "principal"
};

static ExactStatementRequest request;

static ExactCallAnswer
make_answer(const char *message, const char *sqlstate, const char *code)
{
	ExactCallAnswer answer;
	ExactErrorClass error;

	memset(&answer, 0, sizeof(answer));
	exact_error_class_read(message, sqlstate, &error);
	answer.state = EXACT_STATEMENT_FAILED;
	answer.error_code = code;
	answer.error_text = message;
	answer.error_words = error.words;
	answer.error_class = error.name;
	answer.sqlstate = error.sqlstate;
	return answer;
}

/* Does an answer lead to what the row says? */
static void
expect(const Row *row, const char *form, const char *message, const char *state)
{
	ExactCallAnswer answer = make_answer(message, state, row->code);
	const ExactFault *fault = exact_statement_error_refused(&request, "id", &answer);
	char	   *shown = psprintf("Databricks refused the MERGE into main.exact.items: %s",
								 row->shown);

	CHECK(strcmp(answer.sqlstate, row->sqlstate) == 0);
	CHECK(exact_statement_error_repeats(&answer) == row->repeats);
	CHECK(strcmp(fault->message, shown) == 0);
	CHECK(strncmp(fault->hint, row->hint, strlen(row->hint)) == 0);
	CHECK(strstr(fault->message, "7 12") == NULL && strstr(fault->message, "admin@") == NULL);
	if (strcmp(answer.sqlstate, row->sqlstate) != 0 || strcmp(fault->message, shown) != 0 ||
		strncmp(fault->hint, row->hint, strlen(row->hint)) != 0 ||
		exact_statement_error_repeats(&answer) != row->repeats)
		fprintf(stderr, "%s: %s\n  state %s, %d repeats\n  %s\n  %s\n", form, message,
				answer.sqlstate, exact_statement_error_repeats(&answer), fault->message,
				fault->hint);
}

static void
test_forms(const Row *row)
{
	bool		has_class = *row->error_class != '\0';
	char	   *head = has_class ? psprintf("[%s] ", row->error_class) : pstrdup("");
	char	   *sub = has_class ? psprintf("[%s.SUB_CLASS] ", row->error_class) : pstrdup("");
	char	   *tail = *row->sqlstate ? psprintf(" SQLSTATE: %s", row->sqlstate) : pstrdup("");
	const char *field = *row->sqlstate ? row->sqlstate : NULL;

	expect(row, "field", psprintf("%s%s%s", head, row->text, tail), field);
	expect(row, "field alone", psprintf("%s%s", head, row->text), field);
	expect(row, "subclass", psprintf("%s%s%s", sub, row->text, tail), NULL);
	expect(row, "text only", psprintf("%s%s%s", head, row->text, tail), NULL);
	expect(row, "driver's filler", psprintf("%s%s%s", head, row->text, tail), "HY000");
	expect(row, "leading newline",
		   psprintf("\n%s%s%s%s\n\n== SQL ==\nMERGE '7 12' SQLSTATE: 42501\n^^^\n",
					head, row->text, tail, *tail ? " (line 1, pos 0)" : ""), NULL);
	if (has_class)
	{
		expect(row, "class alone", psprintf("%s%s", head, row->text),
			   strcmp(row->error_class, "NEVER_SEEN") == 0 ? row->sqlstate : NULL);
		expect(row, "class twice",
			   psprintf("%scom.databricks.sql.transaction.tahoe.SomeException: %s%s", head, head,
						row->text), NULL);
		expect(row, "through a driver", psprintf("Error running query: %s%s", head, row->text),
			   NULL);
	}
	if (strcmp(row->error_class, "DELTA_CONCURRENT_APPEND") == 0)
		expect(row, "exception alone",
			   psprintf("io.delta.exceptions.ConcurrentAppendException: %s", row->text), NULL);
}

static void
test_refusal(const Row *row)
{
	Row			in = *row;

	in.sqlstate = "42501";
	in.code = "BAD_REQUEST";
	expect(&in, "unity", psprintf("PERMISSION_DENIED: %s", row->text), NULL);
	expect(&in, "unity after a line feed", psprintf("\nPERMISSION_DENIED: %s", row->text), NULL);
	in.shown = psprintf("Insufficient privileges: %s", row->shown);
	expect(&in, "class", psprintf("[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\n%s"
								  " SQLSTATE: 42501", row->text), NULL);
	expect(&in, "class in a line", psprintf("[INSUFFICIENT_PERMISSIONS] Insufficient privileges: %s"
											" SQLSTATE: 42501", row->text), "42501");
	expect(&in, "class without state",
		   psprintf("\n[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\n%s", row->text), NULL);
}

/* The column whose CAST failed is named, the value is not. */
static void
test_column(void)
{
	ExactCallAnswer answer = make_answer("[CAST_INVALID_INPUT] The value '7 12' cannot be cast."
										 "\n== SQL (line 2, position 8) ==\n"
										 "SELECT coalesce(CAST(r.`AmountDC` AS DECIMAL(28,4)), x)\n"
										 "                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n",
										 NULL, "BAD_REQUEST");

	CHECK(strcmp(exact_statement_error_text(&answer),
				 "a value of column AmountDC does not fit (CAST_INVALID_INPUT)") == 0);
}

/* After so many sendings: what is told names the number, the cause and what to do. */
static void
test_worn_out(void)
{
	ExactCallAnswer answer = make_answer("It ran longer than STATEMENT_TIMEOUT, 5 seconds.", NULL,
										 "DEADLINE_EXCEEDED");
	const ExactFault *fault = exact_statement_error_worn_out(&request, "id", 3, &answer);

	CHECK(strcmp(fault->message, "Databricks failed the MERGE into main.exact.items 3 times in a"
				 " row: It ran longer than STATEMENT_TIMEOUT, 5 seconds") == 0);
	CHECK(strstr(fault->hint, "Raise STATEMENT_TIMEOUT of the warehouse; ") == fault->hint);
	CHECK(fault->sqlstate == ERRCODE_EXACT_DATABRICKS_UNAVAILABLE);
	answer.state = EXACT_STATEMENT_CANCELED;
	CHECK(exact_statement_error_repeats(&answer) == 2);
	fault = exact_statement_error_worn_out(&request, "id", 3, &answer);
	CHECK(strcmp(fault->message, "Databricks cancelled the MERGE into main.exact.items 3 times in a"
				 " row") == 0);
}

/* What is no entity cannot be resumed; a name that needs backticks has them. */
static void
test_hints(void)
{
	ExactStatementRequest of_hub = request;
	ExactWorkspace odd = workspace;
	ExactCallAnswer answer = make_answer("[PARSE_SYNTAX_ERROR] x", NULL, "BAD_REQUEST");
	ExactCallAnswer denied = make_answer("PERMISSION_DENIED: User does not have USE CATALOG on"
										 " Catalog 'my-lake'.", NULL, "BAD_REQUEST");

	of_hub.entity = "exact_hub";
	CHECK(strcmp(exact_statement_error_refused(&of_hub, NULL, &answer)->hint,
				 "Correct what the message names; the hub tries again by itself.") == 0);
	odd.catalog = "my-lake";
	odd.principal = NULL;
	of_hub.workspace = &odd;
	CHECK(strcmp(exact_statement_error_refused(&of_hub, NULL, &denied)->hint,
				 "GRANT USE CATALOG ON CATALOG `my-lake` TO `<user of the token>`; the hub tries"
				 " again by itself.") == 0);
	of_hub.kind = "ddl";
	denied = make_answer("PERMISSION_DENIED: something else.", NULL, "BAD_REQUEST");
	CHECK(strstr(exact_statement_error_refused(&of_hub, NULL, &denied)->hint,
				 "GRANT USE CATALOG ON CATALOG `my-lake`") != NULL);
	of_hub.kind = "merge";
	CHECK(strstr(exact_statement_error_refused(&of_hub, NULL, &denied)->hint, "ON TABLE") != NULL);
	of_hub.table = "my-lake.exact.items";
	denied = make_answer("PERMISSION_DENIED: User does not have MODIFY on Table"
						 " 'my-lake.exact.items'.", NULL, "BAD_REQUEST");
	CHECK(strcmp(exact_statement_error_refused(&of_hub, NULL, &denied)->hint,
				 "GRANT SELECT, MODIFY ON TABLE `my-lake`.exact.items TO `<user of the token>`; the"
				 " hub tries again by itself within a minute.") == 0);
}

int
main(void)
{
	request.workspace = &workspace;
	request.entity = "items";
	request.table = "main.exact.items";
	request.kind = "history";
	request.verb = "MERGE into";
	request.range.first_batch = 5;
	request.range.last_batch = 6;
	for (int i = 0; i < (int) lengthof(rows); i++)
		test_forms(&rows[i]);
	for (int i = 0; i < (int) lengthof(refusals); i++)
		test_refusal(&refusals[i]);
	test_column();
	test_worn_out();
	test_hints();
	return checks_done();
}

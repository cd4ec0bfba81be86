/*
 * delivery_row_test.c - rows of a delivery as src/delta/delivery_row.c writes them.
 */
#include "frontend.h"

#include "base/json.c"
#include "delta/delivery_row.c"

static int	failures;

static const ExactColumn columns[] = {
	{"ID", "ID", "STRING", NULL, true, false, false, false, false, NULL, false},
	{"Code", "Code", "STRING", NULL, false, false, true, false, false, NULL, false},
	{"Description", "Description", "STRING", NULL, false, false, false, false, false, NULL, false},
	{"AmountDC", "AmountDC", "DECIMAL(28,4)", NULL, false, false, false, false, false, NULL, false},
	{"OrderDate", "OrderDate", "DATE", NULL, false, true, false, false, false, NULL, false},
	{"Modified", "Modified", "TIMESTAMP_NTZ", NULL, false, true, false, false, false, NULL, false},
	{"IsBlocked", "IsBlocked", "BOOLEAN", NULL, false, false, false, false, false, NULL, false},
	{"Type", "Type", "INT", NULL, false, false, false, false, false, NULL, false},
	{"CostCenter", "CostCenterCode", "STRING", NULL, false, false,
		false, false, false, NULL, false},
	{"Large", "Large", "BIGINT", NULL, false, false, false, false, false, NULL, false},
	{"Small", "Small", "SMALLINT", NULL, false, false, false, false, false, NULL, false},
	{"Tiny", "Tiny", "TINYINT", NULL, false, false, false, false, false, NULL, false},
};

#define HEAD "{\"_division\":\"101001\",\"_key\":\"k1\",\"_seq\":\"1099511627777\""
#define TAIL ",\"_op\":\"U\",\"_valid\":\"true\",\"_batch\":\"7\"," \
	"\"_staged_at\":\"2026-11-22T14:02:07.322001Z\""

static void
expect(const char *what, const char *record, const char *fields)
{
	ExactVersion version = {101001, "k1", INT64CONST(1099511627777), 'U', 7,
		"2026-11-22T14:02:07.322001Z", record, strlen(record), NULL, false};
	StringInfoData out,
				expected;

	initStringInfo(&out);
	initStringInfo(&expected);
	if (!exact_delivery_row_append(&out, &version, columns, lengthof(columns)))
		appendStringInfoString(&out, "refused");
	if (fields == NULL)
		appendStringInfoString(&expected, "refused");
	else
	{
		appendStringInfo(&expected, HEAD "%s" TAIL ",\"_payload\":", fields);
		exact_json_quote(&expected, record, strlen(record));
		appendStringInfoChar(&expected, '}');
	}
	if (strcmp(out.data, expected.data) != 0)
	{
		printf("FAILED %s\n  got      %s\n  expected %s\n", what, out.data, expected.data);
		failures++;
	}
}

static void
expect_field(const char *what, const char *field, const char *fields)
{
	char		record[1000];

	snprintf(record, sizeof(record), "{%s}", field);
	expect(what, record, fields);
}

static void
test_values(void)
{
	expect("whole record in the catalogue's order",
		   "{\"__metadata\":{\"uri\":\"https://x/api/v1/101001/a(guid'1')\",\"type\":[\"}\","
		   "{\"ID\":\"inner\"}]},\"ID\":\"K1\",\"Code\":\"      25\","
		   "\"Description\":null,\"AmountDC\":0.30000000000000004,"
		   "\"OrderDate\":\"/Date(1700006400000)/\",\"Modified\":\"/Date(1700000000123)/\","
		   "\"IsBlocked\":false,\"Unknown\":[1,2],\"CostCenter\":\"guid of "
		   "it\",\"CostCenterCode\":\"4711\"}",
		   ",\"ID\":\"K1\",\"Code\":\"25\",\"AmountDC\":\"0.30000000000000004\","
		   "\"OrderDate\":\"2023-11-15\",\"Modified\":\"2023-11-14 22:13:20.123\","
		   "\"IsBlocked\":\"false\",\"CostCenter\":\"4711\"");
	expect("another order, white space", " {\n\t\"IsBlocked\" : true ,\r\n \"ID\" : \"a\" } ",
		   ",\"IsBlocked\":\"true\",\"ID\":\"a\"");
	expect("empty record", "{}", "");
	expect_field("whole number", "\"Type\":20", ",\"Type\":\"20\"");
	expect_field("whole number with a fraction of none", "\"Type\":-20.00", ",\"Type\":\"-20\"");
	expect_field("the same of other sizes", "\"Large\":7.0,\"Small\":0.0,\"Tiny\":-9.00",
				 ",\"Large\":\"7\",\"Small\":\"0\",\"Tiny\":\"-9\"");
	expect_field("the same as a text", "\"Type\":\"20.0\"", ",\"Type\":\"20\"");
	expect_field("a fraction", "\"Type\":20.5", ",\"Type\":\"20.5\"");
	expect_field("an exponent", "\"Type\":2.0E1", ",\"Type\":\"2.0E1\"");
	expect_field("a column with fractions", "\"AmountDC\":20.0", ",\"AmountDC\":\"20.0\"");
	expect_field("guid", "\"ID\":\"6F9D1C2E-8A44-4A0B-9A0F-3D2B1C0E9F11\"",
				 ",\"ID\":\"6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11\"");
	expect_field("no guid keeps its case", "\"ID\":\"6F9D1C2E-8A44-4A0B-9A0F-3D2B1C0E9FXX\"",
				 ",\"ID\":\"6F9D1C2E-8A44-4A0B-9A0F-3D2B1C0E9FXX\"");
	expect_field("a guid that goes on", "\"ID\":\"6F9D1C2E-8A44-4A0B-9A0F-3D2B1C0E9F11A\"",
				 ",\"ID\":\"6F9D1C2E-8A44-4A0B-9A0F-3D2B1C0E9F11A\"");
	expect_field("a guid that ends early", "\"ID\":\"6F9D1C2E-8A44-4A0B-9A0F-3D2B1C0E9F1\"",
				 ",\"ID\":\"6F9D1C2E-8A44-4A0B-9A0F-3D2B1C0E9F1\"");
	expect_field("padding on both sides", "\"Code\":\"   NL a  \"", ",\"Code\":\"NL a\"");
	expect_field("padding only", "\"Code\":\"    \"", ",\"Code\":\"\"");
	expect_field("blanks of other texts stay", "\"Description\":\"  a \"",
				 ",\"Description\":\"  a \"");
	expect_field("escapes as they came", "\"Description\":\"a\\u0000b\\ud83d \\\"q\\\" \\\\ \\n\\/ "
				 "\xE2\x82\xAC\"",
				 ",\"Description\":\"a\\u0000b\\ud83d \\\"q\\\" \\\\ \\n\\/ \xE2\x82\xAC\"");
	expect_field("digits as they came", "\"AmountDC\":1e-05", ",\"AmountDC\":\"1e-05\"");
	expect_field("Int64 as text", "\"AmountDC\":\"128\"", ",\"AmountDC\":\"128\"");
	expect_field("empty text of a number is null", "\"AmountDC\":\"\"", "");
	expect_field("empty text", "\"Description\":\"\"", ",\"Description\":\"\"");
	expect_field("an object where a text should be", "\"Description\":{\"a\":[\"x\"]}",
				 ",\"Description\":\"{\\\"a\\\":[\\\"x\\\"]}\"");
}

static void
test_dates(void)
{
	expect_field("escaped slashes", "\"Modified\":\"\\/Date(0)\\/\"",
				 ",\"Modified\":\"1970-01-01 00:00:00.000\"");
	expect_field("before 1970", "\"Modified\":\"/Date(-1)/\"",
				 ",\"Modified\":\"1969-12-31 23:59:59.999\"");
	expect_field("first day", "\"OrderDate\":\"/Date(-62135596800000)/\"",
				 ",\"OrderDate\":\"0001-01-01\"");
	expect_field("last day", "\"OrderDate\":\"/Date(253402214400000)/\"",
				 ",\"OrderDate\":\"9999-12-31\"");
	expect_field("leap day", "\"OrderDate\":\"/Date(1709164800000)/\"",
				 ",\"OrderDate\":\"2024-02-29\"");
	expect_field("1900 has none", "\"OrderDate\":\"/Date(-2203891200000)/\"",
				 ",\"OrderDate\":\"1900-03-01\"");
	expect_field("time part in a date is sent as it is", "\"OrderDate\":\"/Date(1700000000000)/\"",
				 ",\"OrderDate\":\"/Date(1700000000000)/\"");
	expect_field("beyond the year 9999", "\"Modified\":\"/Date(253402300800000)/\"",
				 ",\"Modified\":\"/Date(253402300800000)/\"");
	expect_field("with an offset", "\"Modified\":\"/Date(1700000000000+0100)/\"",
				 ",\"Modified\":\"/Date(1700000000000+0100)/\"");
	expect_field("another word", "\"Modified\":\"/Dote(1700000000000)/\"",
				 ",\"Modified\":\"/Dote(1700000000000)/\"");
	expect_field("another end", "\"Modified\":\"/Date(1700000000000)!\"",
				 ",\"Modified\":\"/Date(1700000000000)!\"");
	expect_field("too short", "\"Modified\":\"/Date(\"", ",\"Modified\":\"/Date(\"");
	expect_field("no digits", "\"Modified\":\"/Date()/\"", ",\"Modified\":\"/Date()/\"");
	expect_field("too many digits", "\"Modified\":\"/Date(9999999999999999999)/\"",
				 ",\"Modified\":\"/Date(9999999999999999999)/\"");
	expect_field("a moment in a text column", "\"Description\":\"/Date(0)/\"",
				 ",\"Description\":\"/Date(0)/\"");
}

static void
test_refused(void)
{
	expect("array", "[]", NULL);
	expect("cut off", "{\"ID\":\"a\",\"Code\":\"b", NULL);
	expect("cut off after a value", "{\"ID\":\"a\"", NULL);
	expect("comma at the end", "{\"ID\":\"a\",}", NULL);
	expect("no colon", "{\"ID\" \"a\"}", NULL);
	expect("unbalanced", "{\"x\":{\"ID\":\"a\"}", NULL);
	expect("field twice", "{\"ID\":\"a\",\"ID\":\"b\"}", NULL);
	expect("empty", "", NULL);
}

/* Amounts that come turned are turned back, in whatever form a number has; the record stays. */
static void
test_turned(void)
{
	static const ExactColumn amount[] = {
		{"AmountDC", "AmountDC", "DECIMAL(28,4)", NULL,
		false, false, false, false, false, NULL, true},
		{"Quantity", "Quantity", "DECIMAL(28,10)", NULL,
		false, false, false, false, false, NULL, false},
	};
	static const char *const given[] = {"-12.50", "12.5e1", "\"-3\"", "\"3\"", "null", "\"\"",
		"true"};
	static const char *const sent[] = {"12.50", "-12.5e1", "3", "-3", NULL, NULL, "true"};

	for (size_t i = 0; i < lengthof(given); i++)
	{
		char		record[80];
		char		wanted[80];
		ExactVersion version = {1, "k", 2, 'I', 3, "t", record, 0, NULL, true};
		StringInfoData out;

		snprintf(record, sizeof(record), "{\"Quantity\":-2,\"AmountDC\":%s}", given[i]);
		version.record_len = strlen(record);
		snprintf(wanted, sizeof(wanted), "\"Quantity\":\"-2\"%s%s%s,\"_op\"",
				 sent[i] ? ",\"AmountDC\":\"" : "", sent[i] ? sent[i] : "", sent[i] ? "\"" : "");
		initStringInfo(&out);
		exact_delivery_row_append(&out, &version, amount, lengthof(amount));
		if (strstr(out.data, wanted) == NULL || strstr(out.data, "_payload") == NULL)
		{
			printf("turned %s: %s\n", given[i], out.data);
			failures++;
		}
	}
}

static void
test_operations(void)
{
	static const char record[] = "{\"ID\":\"a\"}";
	ExactVersion deleted = {1, "6F9D1C2E-8A44-4A0B-9A0F-3D2B1C0E9F11", 2, 'D', 3, "t", record,
		sizeof(record) - 1, NULL, false};
	static const char expected[] =
		"{\"_division\":\"1\",\"_key\":\"6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11\",\"_seq\":\"2\","
		"\"ID\":\"a\",\"_op\":\"D\","
	"\"_valid\":\"true\",\"_batch\":\"3\",\"_staged_at\":\"t\"}"
	"{\"_division\":\"1\",\"_key\":\"a\\\"b\\\\\\u0001\\n\",\"_seq\":\"2\",\"_op\":\"D\","
	"\"_valid\":\"true\",\"_batch\":\"3\",\"_staged_at\":\"t\"}";
	StringInfoData out;

	initStringInfo(&out);
	exact_delivery_row_append(&out, &deleted, columns, lengthof(columns));
	deleted.key = "a\"b\\\001\n";
	deleted.record = NULL;
	exact_delivery_row_append(&out, &deleted, columns, lengthof(columns));
	if (strcmp(out.data, expected) != 0)
	{
		printf("FAILED deletes\n  got      %s\n  expected %s\n", out.data, expected);
		failures++;
	}
}

/* What the rules found about a version, and what becomes of it in the current table */
static void
test_verdicts(void)
{
	static const char record[] = "{\"ID\":\"a\"}";
	static const struct
	{
		const char *problems;
		ExactVersionHeld held;
		const char *expected;
	}			cases[] = {
		{NULL, EXACT_VERSION_GOES, "\"_valid\":\"true\",\"_batch\":"},
		{"a \"b\"", EXACT_VERSION_GOES,
		"\"_valid\":\"false\",\"_problems\":\"a \\\"b\\\"\",\"_batch\":"},
		{"held: c", EXACT_VERSION_MARKS,
		"\"_valid\":\"false\",\"_problems\":\"held: c\",\"_held\":\"marks\",\"_batch\":"},
		{"held: c", EXACT_VERSION_WAITS,
		"\"_valid\":\"false\",\"_problems\":\"held: c\",\"_held\":\"waits\",\"_batch\":"},
	};

	for (int i = 0; i < (int) lengthof(cases); i++)
	{
		ExactVersion version = {.division = 1,.key = "k",.seq = 2,.op = 'U',.batch = 3,
			.staged_at = "t",.record = record,.record_len = sizeof(record) - 1,
		.problems = cases[i].problems,.held = cases[i].held};
		StringInfoData out;

		initStringInfo(&out);
		exact_delivery_row_append(&out, &version, columns, lengthof(columns));
		if (strstr(out.data, cases[i].expected) == NULL)
		{
			printf("FAILED verdict %d\n  got      %s\n  expected %s\n", i, out.data,
				   cases[i].expected);
			failures++;
		}
	}
}

int
main(void)
{
	test_values();
	test_verdicts();
	test_dates();
	test_refused();
	test_operations();
	test_turned();
	printf(failures ? "%d failed\n" : "ok\n", failures);
	return failures != 0;
}

/*
 * delivery_fuzz.c - records as they are delivered: whatever is accepted becomes one valid JSON
 * object of strings.
 */
#include "frontend.h"

#include "arena.h"

#include "delta/delivery_row.c"
#include "base/json.c"

static const ExactColumn columns[] = {
	{"ID", "ID", "STRING", NULL, true, false, false, false, false, NULL},
	{"Code", "Code", "STRING", NULL, false, false, true, false, false, NULL},
	{"Amount", "AmountDC", "DECIMAL(28,4)", NULL, false, false, false, false, false, NULL},
	{"OrderDate", "OrderDate", "DATE", NULL, false, true, false, false, false, NULL},
	{"Modified", "Modified", "TIMESTAMP_NTZ", NULL, false, true, false, false, false, NULL},
	{"Blocked", "IsBlocked", "BOOLEAN", NULL, false, false, false, false, false, NULL},
	{"_row", "LineNumber", "STRING", NULL, false, false, false, false, true, NULL},
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char before[] = "before";
	ExactVersion version = {101001, "k1", 7, 'U', 3, "2026-11-22T14:02:07.322001Z",
		(const char *) data, size};
	StringInfoData out;
	ExactJson	record;
	ExactJson	row;
	bool		is_record = size > 0 && data[0] == '{' &&
		exact_json_read((const char *) data, size, &record);

	initStringInfo(&out);
	appendStringInfoString(&out, before);
	if (!exact_delivery_row_append(&out, &version, columns, lengthof(columns)))
	{
		HOLDS(strcmp(out.data, before) == 0 && out.len == (int) strlen(before));
	}
	else if (is_record)
	{
		const char *text = out.data + strlen(before);

		HOLDS(exact_json_read(text, out.len - strlen(before), &row) &&
			  row.kind == EXACT_JSON_OBJECT);
		for (int i = 0; i < row.n; i++)
			HOLDS(row.members[i].kind == EXACT_JSON_STRING);
		HOLDS(exact_json_member(&row, "_division") == &row.members[0] &&
			  exact_json_member(&row, "_batch") != NULL);
	}
	arena_reset();
	return 0;
}

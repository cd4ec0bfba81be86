/*
 * odata_fuzz.c - pages of records, with expanded collections.
 */
#include "frontend.h"

#include "arena.h"

#include "base/json.c"
#include "base/words.c"
#include "exact_online/link.c"
#include "exact_online/odata.c"
#include "exact_online/odata_text.c"
#include "exact_online/odata_value.c"

static const char *const fields[] = {"ID", "Code", "Timestamp", "Division", "Lines", "Modified"};
static const char *body;			/* that slices must lie in; NULL: a copy */
static size_t body_len;

static void
check_slice(ExactSlice slice)
{
	int64		number;

	(void) exact_odata_is_null(slice);
	(void) exact_odata_int64(slice, &number);
	(void) exact_odata_count(slice.start, slice.len, &number);
	(void) exact_odata_string(slice);
	if (slice.start != NULL && body != NULL)
		HOLDS(slice.start >= body && slice.start + slice.len <= body + body_len);
}

static void
check_page(const ExactPage *page, int depth)
{
	for (int i = 0; i < page->nrecords; i++)
	{
		const ExactRecord *record = &page->records[i];

		check_slice(record->text);
		check_slice(record->uri);
		HOLDS(record->text.len >= 2 && record->text.start[0] == '{' &&
			  record->text.start[record->text.len - 1] == '}');
		(void) exact_odata_division(record, record->values[3], 101001);
		for (int f = 0; f < page->nfields; f++)
			check_slice(record->values[f]);
		if (record->values[4].start != NULL)
		{
			char	   *problem = NULL;
			ExactPage  *lines = exact_odata_expanded(record->values[4], fields,
													 lengthof(fields), &problem);
			ExactSlice	rest = exact_odata_without(record, record->values[4]);

			HOLDS((lines == NULL) == (problem != NULL));
			HOLDS(rest.len <= record->text.len);
			if (lines != NULL && depth < 3)
			{
				const char *outer = body;

				body = NULL;
				check_page(lines, depth + 1);
				body = outer;
			}
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *problem = NULL;
	ExactPage  *page;

	body = (const char *) data;
	body_len = size;
	page = exact_odata_parse_rows(body, size, fields, lengthof(fields), &problem);
	HOLDS((page == NULL) == (problem != NULL));
	if (page != NULL)
	{
		body = page->text.start;
		body_len = page->text.len;
		check_page(page, 0);
	}
	(void) exact_odata_url_division((const char *) data, size);
	arena_reset();
	return 0;
}

/*
 * document.c - header and lines from their payloads. Called where a document is complete.
 *
 * One table of names serves all entities: a name means the same wherever it stands.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "base/json.h"
#include "document/amount.h"
#include "document/document.h"

#define GUID_LEN 36
#define NO_GUID "00000000-0000-0000-0000-000000000000"

static const char *const entities[EXACT_DOCUMENT_KINDS] = {
	[EXACT_PURCHASE_ENTRY] = "purchaseentries",
	[EXACT_SALES_ENTRY] = "salesentries",
	[EXACT_JOURNAL_ENTRY] = "generaljournalentries",
	[EXACT_BANK_ENTRY] = "bankentries",
	[EXACT_CASH_ENTRY] = "cashentries",
	[EXACT_PURCHASE_INVOICE] = "purchaseinvoices",
	[EXACT_SALES_INVOICE] = "salesinvoices",
	[EXACT_PURCHASE_ORDER] = "purchaseorders",
	[EXACT_LEDGER_ENTRY] = "transactionlines",
};

typedef enum FieldKind
{
	FIELD_AMOUNT,
	FIELD_CODE,
	FIELD_GUID,
	FIELD_NUMBER,
	FIELD_TIME,
	FIELD_TRUTH
} FieldKind;

typedef struct Field
{
	const char *name;
	FieldKind	kind;
	size_t		place;			/* in ExactDocumentRow; of an amount: its ExactAmountField */
} Field;

#define PLACE(member) offsetof(ExactDocumentRow, member)

/* In the order of strcmp() */
static const Field fields[] = {
	{"Amount", FIELD_AMOUNT, EXACT_AMOUNT_FC},
	{"AmountDC", FIELD_AMOUNT, EXACT_AMOUNT_DC},
	{"AmountDiscountExclVat", FIELD_AMOUNT, EXACT_AMOUNT_DISCOUNT},
	{"AmountFC", FIELD_AMOUNT, EXACT_AMOUNT_FC},
	{"AmountFCExclVat", FIELD_AMOUNT, EXACT_AMOUNT_EXCLUDING},
	{"AmountVATDC", FIELD_AMOUNT, EXACT_AMOUNT_VAT_DC},
	{"AmountVATFC", FIELD_AMOUNT, EXACT_AMOUNT_VAT_FC},
	{"ClosingBalanceFC", FIELD_AMOUNT, EXACT_AMOUNT_CLOSING},
	{"CostCenter", FIELD_CODE, PLACE(cost_center)},
	{"CostCenterCode", FIELD_CODE, PLACE(cost_center)},
	{"CostUnit", FIELD_CODE, PLACE(cost_unit)},
	{"CostUnitCode", FIELD_CODE, PLACE(cost_unit)},
	{"Created", FIELD_TIME, PLACE(created)},
	{"Currency", FIELD_CODE, PLACE(currency)},
	{"Date", FIELD_TIME, PLACE(date)},
	{"EntryDate", FIELD_TIME, PLACE(date)},
	{"ExtraDutyAmountFC", FIELD_AMOUNT, EXACT_AMOUNT_EXTRA_DUTY},
	{"FinancialPeriod", FIELD_NUMBER, PLACE(period)},
	{"FinancialYear", FIELD_NUMBER, PLACE(year)},
	{"GLAccount", FIELD_GUID, PLACE(gl_account)},
	{"GLAccountCode", FIELD_CODE, PLACE(gl_code)},
	{"InvoiceDate", FIELD_TIME, PLACE(date)},
	{"Journal", FIELD_CODE, PLACE(journal)},
	{"JournalCode", FIELD_CODE, PLACE(journal)},
	{"LineNumber", FIELD_NUMBER, PLACE(number)},
	{"Modified", FIELD_TIME, PLACE(modified)},
	{"OpeningBalanceFC", FIELD_AMOUNT, EXACT_AMOUNT_OPENING},
	{"ReportingPeriod", FIELD_NUMBER, PLACE(period)},
	{"ReportingYear", FIELD_NUMBER, PLACE(year)},
	{"Reversal", FIELD_TRUTH, PLACE(reversal)},
	{"Status", FIELD_NUMBER, PLACE(status)},
	{"Type", FIELD_NUMBER, PLACE(type)},
	{"VATAmount", FIELD_AMOUNT, EXACT_AMOUNT_VAT_FC},
	{"VATAmountDC", FIELD_AMOUNT, EXACT_AMOUNT_VAT_DC},
	{"VATAmountFC", FIELD_AMOUNT, EXACT_AMOUNT_VAT_FC},
	{"VATCode", FIELD_CODE, PLACE(vat_code)},
	{"WithholdingAmountDC", FIELD_AMOUNT, EXACT_AMOUNT_WITHHELD_DC},
	{"WithholdingTaxAmountDC", FIELD_AMOUNT, EXACT_AMOUNT_WITHHELD_DC},
	{"WithholdingTaxAmountFC", FIELD_AMOUNT, EXACT_AMOUNT_WITHHELD_FC},
};

bool
exact_document_kind(const char *entity, ExactDocumentKind *out)
{
	for (int i = 0; i < EXACT_DOCUMENT_KINDS; i++)
		if (strcmp(entities[i], entity) == 0)
		{
			*out = (ExactDocumentKind) i;
			return true;
		}
	return false;
}

/* The field of a name as written; NULL: the rules do not look at it. */
static const Field *
find_field(const char *name, size_t len)
{
	int			from = 0;
	int			to = lengthof(fields);

	while (from < to)
	{
		int			middle = (from + to) / 2;
		int			order = strncmp(name, fields[middle].name, len);

		if (order == 0 && fields[middle].name[len] == '\0')
			return &fields[middle];
		if (order > 0)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

/* Without blanks around it; NULL when nothing is left. */
static char *
trimmed(char *text)
{
	char	   *end;

	if (text == NULL)
		return NULL;
	text += strspn(text, " \t\r\n");
	end = text + strlen(text);
	while (end > text && strchr(" \t\r\n", end[-1]) != NULL)
		*--end = '\0';
	return *text != '\0' ? text : NULL;
}

static bool
is_guid(const char *text)
{
	return strlen(text) == GUID_LEN && strspn(text, "0123456789abcdefABCDEF-") == GUID_LEN;
}

/* In lower case; the Guid of zeros is none. */
static char *
guid(char *text)
{
	text = trimmed(text);
	for (char *p = text; p != NULL && *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	return text != NULL && strcmp(text, NO_GUID) != 0 ? text : NULL;
}

/* A code goes before a Guid, of which a purchase order has both. */
static void
take_code(char **place, char *code)
{
	code = trimmed(code);
	if (code == NULL || strcmp(code, NO_GUID) == 0)
		return;
	if (*place == NULL || !is_guid(code))
		*place = is_guid(code) ? guid(code) : code;
}

/* "/Date(1700000000000)/" */
static int64
read_time(const char *text)
{
	static const char head[] = "/Date(";
	char	   *end;
	int64		value;

	if (text == NULL || strncmp(text, head, sizeof(head) - 1) != 0)
		return EXACT_NO_TIME;
	errno = 0;
	value = strtoll(text + sizeof(head) - 1, &end, 10);
	return errno == 0 && end > text + sizeof(head) - 1 && *end == ')' ? value : EXACT_NO_TIME;
}

/* A member of a header or line becomes a field of its row, if the rules look at it. */
static bool
take(void *arg, const char *name, size_t len, const ExactJsonMember *member)
{
	ExactDocumentRow *row = arg;
	const Field *field = member->kind == EXACT_JSON_NULL ? NULL : find_field(name, len);
	char	   *place;
	int64		number;

	if (field == NULL)
		return true;
	place = (char *) row + field->place;
	switch (field->kind)
	{
		case FIELD_AMOUNT:
			/* one that cannot be had is not given: the sums say nothing, other rules do */
			if (exact_amount_read(member->raw, member->len, &row->amounts[field->place]))
				row->given |= (uint32) 1 << field->place;
			return true;
		case FIELD_CODE:
			take_code((char **) place, exact_json_text(member));
			return true;
		case FIELD_GUID:
			*(char **) place = guid(exact_json_text(member));
			return true;
		case FIELD_NUMBER:
			/* 20.0 is 20 */
			if (!exact_amount_read(member->raw, member->len, &number) ||
				number % EXACT_AMOUNT_ONE != 0)
				return false;
			*(int64 *) place = number / EXACT_AMOUNT_ONE;
			return true;
		case FIELD_TIME:
			*(int64 *) place = read_time(exact_json_text(member));
			return true;
		case FIELD_TRUTH:
			*(bool *) place = member->kind == EXACT_JSON_TRUE;
			return true;
	}
	return false;
}

static bool
read_row(ExactPayload payload, ExactDocumentRow *row)
{
	memset(row, 0, sizeof(*row));
	row->number = row->type = row->status = row->year = row->period = -1;
	row->date = row->created = row->modified = EXACT_NO_TIME;
	return exact_json_each(payload.text, payload.len, take, row);
}

ExactDocument *
exact_document_read(ExactDocumentKind kind, ExactPayload header, const ExactPayload *lines,
					int nlines)
{
	ExactDocument *document = palloc(sizeof(ExactDocument));

	document->kind = kind;
	document->nlines = nlines;
	document->lines = palloc(nlines * sizeof(ExactDocumentRow) + 1);
	for (int i = 0; i < nlines; i++)
		if (!read_row(lines[i], &document->lines[i]))
			return NULL;
	if (header.text != NULL)
		return read_row(header, &document->header) ? document : NULL;
	if (nlines == 0)
		return NULL;
	document->header = document->lines[0];
	return document;
}

/*
 * document.h - a document: the header and its living lines, as the rules look at them.
 *
 * Read from payloads as they were received. A transaction line belongs to a document without a
 * header: all rows of one EntryID. Names are those of exact-online.md; accounting.md §2 says what
 * the amounts hold. Everything is palloc'd in the memory context of the reading.
 */
#ifndef EXACT_DOCUMENT_H
#define EXACT_DOCUMENT_H

#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

typedef enum ExactDocumentKind
{
	EXACT_PURCHASE_ENTRY,
	EXACT_SALES_ENTRY,
	EXACT_JOURNAL_ENTRY,
	EXACT_BANK_ENTRY,
	EXACT_CASH_ENTRY,
	EXACT_PURCHASE_INVOICE,
	EXACT_SALES_INVOICE,
	EXACT_PURCHASE_ORDER,
	EXACT_LEDGER_ENTRY
} ExactDocumentKind;

#define EXACT_DOCUMENT_KINDS (EXACT_LEDGER_ENTRY + 1)

typedef enum ExactAmountField
{
	EXACT_AMOUNT_FC,			/* of a header including VAT */
	EXACT_AMOUNT_DC,
	EXACT_AMOUNT_EXCLUDING,		/* header: AmountFCExclVat */
	EXACT_AMOUNT_VAT_FC,
	EXACT_AMOUNT_VAT_DC,
	EXACT_AMOUNT_DISCOUNT,		/* header: AmountDiscountExclVat, in the division's currency */
	EXACT_AMOUNT_WITHHELD_FC,
	EXACT_AMOUNT_WITHHELD_DC,
	EXACT_AMOUNT_EXTRA_DUTY,	/* in the document's currency */
	EXACT_AMOUNT_OPENING,
	EXACT_AMOUNT_CLOSING
} ExactAmountField;

#define EXACT_AMOUNT_FIELDS (EXACT_AMOUNT_CLOSING + 1)

#define EXACT_NO_TIME PG_INT64_MIN

/* A header or a line. A text is NULL when it is absent, null or blank; codes are trimmed. */
typedef struct ExactDocumentRow
{
	char	   *gl_account;		/* Guid in lower case; NULL also for the Guid of zeros */
	char	   *gl_code;
	char	   *cost_center;	/* code, or Guid where only that is given (purchase orders) */
	char	   *cost_unit;
	char	   *vat_code;
	char	   *currency;
	char	   *journal;
	int64		number;			/* LineNumber; -1: absent, as the next three */
	int64		type;
	int64		status;
	int64		year;
	int64		period;
	bool		reversal;
	int64		date;			/* milliseconds of the service's wall clock since 1970, */
	int64		created;		/* as in /Date(ms)/; EXACT_NO_TIME: absent */
	int64		modified;
	uint32		given;			/* bit i: amounts[i] is there */
	int64		amounts[EXACT_AMOUNT_FIELDS];	/* amount.h */
} ExactDocumentRow;

typedef struct ExactDocument
{
	ExactDocumentKind kind;
	ExactDocumentRow header;	/* of a ledger entry: that of its first row */
	ExactDocumentRow *lines;
	int			nlines;
} ExactDocument;

/* A header or a line as it was received */
typedef struct ExactPayload
{
	const char *text;			/* NULL: there is none */
	size_t		len;
} ExactPayload;

/* The kind of documents whose header is this entity (catalogue name); false when it has none. */
extern bool exact_document_kind(const char *entity, ExactDocumentKind *out);

/*
 * Reads header (none for a ledger entry) and lines; NULL when one of them is no object that can be
 * read, or an amount is no number.
 */
extern ExactDocument *exact_document_read(ExactDocumentKind kind, ExactPayload header,
										  const ExactPayload *lines, int nlines);

static inline bool
exact_document_has(const ExactDocumentRow *row, ExactAmountField field)
{
	return (row->given & ((uint32) 1 << field)) != 0;
}

#endif

/*
 * rule.c - the rules, and how each avoids a false alarm (accounting.md §7.3). Called where a
 * document is complete.
 *
 * Every rule errs on one side: a document that a correct administration can hold passes. A document
 * with one wrong figure may pass as well: Exact Online has refused what does not add up, the rules
 * find what was lost on the way.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "lib/stringinfo.h"

#include "document/amount.h"
#include "document/rule.h"

#define STATUS_REJECTED 5
#define STATUS_DRAFT 10
#define STATUS_PROCESSED 50
#define BUDGET 3000				/* types from here on are no ledger */
#define VAT_CODES_MAX 8			/* so many are tried in all their sets */
#define LINES_TOLERATED 5		/* each line is rounded on its own, but not for ever */
#define DAY_MS INT64CONST(86400000)

typedef struct Judge
{
	const ExactDocument *document;
	const ExactRuleContext *context;
	ExactProblem *problems;
	int			n;
	int			room;
} Judge;

static const char *const names[EXACT_RULES] = {
	[EXACT_RULE_GL_ACCOUNT_EXISTS] = "line_gl_account_exists",
	[EXACT_RULE_COST_CENTER_EXISTS] = "line_cost_center_exists",
	[EXACT_RULE_COST_UNIT_EXISTS] = "line_cost_unit_exists",
	[EXACT_RULE_COST_CENTER_REQUIRED] = "cost_center_required",
	[EXACT_RULE_COST_CENTER_ENDED] = "cost_center_ended",
	[EXACT_RULE_GL_ACCOUNT_BLOCKED] = "gl_account_blocked",
	[EXACT_RULE_ENTRY_BALANCES] = "entry_balances",
	[EXACT_RULE_LINES_MATCH_HEADER] = "lines_match_header",
};

const char *
exact_rule_name(ExactRule rule)
{
	return names[rule];
}

/* ---- which rule is for which documents ---- */

#define KIND(kind) (1 << (kind))
#define ENTRIES (KIND(EXACT_PURCHASE_ENTRY) | KIND(EXACT_SALES_ENTRY) | \
				 KIND(EXACT_JOURNAL_ENTRY) | KIND(EXACT_BANK_ENTRY) | KIND(EXACT_CASH_ENTRY))
#define INVOICES (KIND(EXACT_PURCHASE_INVOICE) | KIND(EXACT_SALES_INVOICE))
#define ALWAYS_DELIVERED (KIND(EXACT_PURCHASE_ORDER) | KIND(EXACT_LEDGER_ENTRY))

static const struct
{
	int			applies;		/* kinds that it is made for */
	bool		doubt;			/* what it finds may come of a late reading */
}			rules[EXACT_RULES] =
{
	[EXACT_RULE_GL_ACCOUNT_EXISTS] = {
		ENTRIES | KIND(EXACT_SALES_INVOICE) | KIND(EXACT_LEDGER_ENTRY), true},
	[EXACT_RULE_COST_CENTER_EXISTS] = {ENTRIES | INVOICES | ALWAYS_DELIVERED, true},
	[EXACT_RULE_COST_UNIT_EXISTS] = {ENTRIES | INVOICES | ALWAYS_DELIVERED, true},
	[EXACT_RULE_COST_CENTER_REQUIRED] = {
		ENTRIES | KIND(EXACT_SALES_INVOICE), false},
	[EXACT_RULE_COST_CENTER_ENDED] = {ENTRIES | INVOICES, false},
	[EXACT_RULE_GL_ACCOUNT_BLOCKED] = {
		ENTRIES | KIND(EXACT_SALES_INVOICE), false},
	[EXACT_RULE_ENTRY_BALANCES] = {
		KIND(EXACT_LEDGER_ENTRY) | KIND(EXACT_JOURNAL_ENTRY), true},
	[EXACT_RULE_LINES_MATCH_HEADER] = {
		(ENTRIES & ~KIND(EXACT_JOURNAL_ENTRY)) | INVOICES | KIND(EXACT_PURCHASE_ORDER),
		true},
};

bool
exact_rule_applies(ExactRule rule, ExactDocumentKind kind)
{
	return (rules[rule].applies & KIND(kind)) != 0;
}

static bool
is_on(const Judge *judge, ExactRule rule)
{
	return judge->context->action[rule] != EXACT_RULE_OFF &&
		exact_rule_applies(rule, judge->document->kind);
}

/* ---- a problem ---- */

static bool
knows(const ExactDimensions *dimensions, ExactRule rule)
{
	switch (rule)
	{
		case EXACT_RULE_GL_ACCOUNT_EXISTS:
			return dimensions->knows_gl_accounts;
		case EXACT_RULE_COST_CENTER_EXISTS:
			return dimensions->knows_cost_centers;
		case EXACT_RULE_COST_UNIT_EXISTS:
			return dimensions->knows_cost_units;
		default:
			return true;
	}
}

static void
add(Judge *judge, ExactRule rule, int line, const char *missing, char *text)
{
	const ExactRuleContext *context = judge->context;
	ExactProblem *problem;

	if (judge->n == judge->room)
	{
		judge->room = judge->room * 2 + 8;
		judge->problems = judge->problems == NULL ? palloc(judge->room * sizeof(ExactProblem))
			: repalloc(judge->problems, judge->room * sizeof(ExactProblem));
	}
	problem = &judge->problems[judge->n++];
	problem->rule = rule;
	problem->blind = !knows(context->dimensions, rule);
	problem->action = context->action[rule];
	if (problem->blind || context->reads_again || context->closed ||
		(ALWAYS_DELIVERED & KIND(judge->document->kind)) != 0)
		problem->action = EXACT_RULE_FLAG;
	problem->doubt = rules[rule].doubt && !problem->blind && !context->confirmed;
	problem->line = line;
	problem->missing = missing;
	problem->text = text;
}

/* "Line 3: ", or nothing where lines have no number */
static const char *
line_words(const ExactDocumentRow *line)
{
	return line->number >= 0 ? psprintf("Line %lld: ", (long long) line->number) : "";
}

static char *
day_words(int64 ms)
{
	int64		days = ms / DAY_MS - (ms % DAY_MS < 0);
	int			year,
				month,
				day;

	/* days since 0000-03-01, the civil calendar of 400 years */
	int64		z = days + 719468;
	int64		era = (z >= 0 ? z : z - 146096) / 146097;
	int			doe = (int) (z - era * 146097);
	int			yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int			doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int			mp = (5 * doy + 2) / 153;

	day = doy - (153 * mp + 2) / 5 + 1;
	month = mp < 10 ? mp + 3 : mp - 9;
	year = (int) (yoe + era * 400) + (month <= 2);
	return psprintf("%04d-%02d-%02d", year, month, day);
}

static const char *
account_words(const ExactDocumentRow *line, const ExactGlAccount *account)
{
	if (account != NULL && account->code != NULL)
		return account->code;
	return line->gl_code != NULL ? line->gl_code : line->gl_account;
}

/* ---- dimensions ---- */

/* Was the document made before the hub saw a state? Then it may have been right when it was. */
static bool
made_before(const Judge *judge, const ExactDocumentRow *line, int64 seen)
{
	int64		created = judge->document->header.created;

	if (created == EXACT_NO_TIME)
		created = line->created;
	if (created == EXACT_NO_TIME)
		created = judge->context->first_seen;
	return created == EXACT_NO_TIME || created < seen;
}

static bool
is_credit(const ExactDocument *document)
{
	switch (document->header.type)
	{
		case 21:
		case 31:
		case 8021:
		case 8024:
		case 8031:
		case 8034:
			return true;
		default:
			return document->header.reversal;
	}
}

static void
judge_account(Judge *judge, int place, const ExactDocumentRow *line)
{
	const ExactDimensions *dimensions = judge->context->dimensions;
	const ExactDocument *document = judge->document;
	const ExactGlAccount *account;

	if (line->gl_account == NULL)
		return;
	account = dimensions->gl_account(dimensions->arg, line->gl_account);
	if (account == NULL || (account->deleted && document->header.modified != EXACT_NO_TIME &&
							account->deleted_at < document->header.modified))
	{
		if (is_on(judge, EXACT_RULE_GL_ACCOUNT_EXISTS))
			add(judge, EXACT_RULE_GL_ACCOUNT_EXISTS, place, line->gl_account,
				psprintf("%sGL account %s is not in Exact Online.", line_words(line),
						 account_words(line, account)));
		return;
	}
	if (is_on(judge, EXACT_RULE_GL_ACCOUNT_BLOCKED) && account->blocked &&
		!made_before(judge, line, account->blocked_seen))
		add(judge, EXACT_RULE_GL_ACCOUNT_BLOCKED, place, NULL,
			psprintf("%sGL account %s has been blocked since %s.", line_words(line),
					 account_words(line, account), day_words(account->blocked_seen)));
	if (is_on(judge, EXACT_RULE_COST_CENTER_REQUIRED) && account->wants_center &&
		line->cost_center == NULL && dimensions->uses_cost_centers &&
		(document->kind != EXACT_SALES_INVOICE ||
		 document->header.status == STATUS_PROCESSED) &&
		!made_before(judge, line, account->wants_seen))
		add(judge, EXACT_RULE_COST_CENTER_REQUIRED, place, NULL,
			psprintf("%sGL account %s wants a cost center.", line_words(line),
					 account_words(line, account)));
}

static void
judge_cost_center(Judge *judge, int place, const ExactDocumentRow *line)
{
	const ExactDimensions *dimensions = judge->context->dimensions;
	const ExactCostCenter *center;
	int64		date = line->date != EXACT_NO_TIME ? line->date : judge->document->header.date;

	if (line->cost_center == NULL)
		return;
	center = dimensions->cost_center(dimensions->arg, line->cost_center);
	if (center == NULL)
	{
		if (is_on(judge, EXACT_RULE_COST_CENTER_EXISTS))
			add(judge, EXACT_RULE_COST_CENTER_EXISTS, place, line->cost_center,
				psprintf("%sCost center %s is not in Exact Online.", line_words(line),
						 line->cost_center));
		return;
	}
	if (!is_on(judge, EXACT_RULE_COST_CENTER_ENDED) || center->end == EXACT_NO_TIME ||
		date == EXACT_NO_TIME || date / DAY_MS <= center->end / DAY_MS ||
		is_credit(judge->document) || made_before(judge, line, center->end_seen))
		return;
	add(judge, EXACT_RULE_COST_CENTER_ENDED, place, NULL,
		psprintf("%sCost center %s ended on %s, the document is of %s.", line_words(line),
				 line->cost_center, day_words(center->end), day_words(date)));
}

static void
judge_cost_unit(Judge *judge, int place, const ExactDocumentRow *line)
{
	const ExactDimensions *dimensions = judge->context->dimensions;

	if (line->cost_unit == NULL || !is_on(judge, EXACT_RULE_COST_UNIT_EXISTS) ||
		dimensions->cost_unit(dimensions->arg, line->cost_unit))
		return;
	add(judge, EXACT_RULE_COST_UNIT_EXISTS, place, line->cost_unit,
		psprintf("%sCost unit %s is not in Exact Online.", line_words(line), line->cost_unit));
}

/* ---- sums ---- */

/* Amounts of the lines, without VAT and VAT by code */
typedef struct Sums
{
	bool		known;			/* each line has the amount, and they can be added */
	int64		amount;
	const char *code[VAT_CODES_MAX];
	int64		vat[VAT_CODES_MAX];	/* of that code */
	int			ncodes;
	bool		many;			/* there are more codes: all and owed are their sums */
	int64		all;
	int64		owed;
} Sums;

static int
find_code(Sums *sums, const char *code)
{
	for (int i = 0; i < sums->ncodes; i++)
		if (strcmp(sums->code[i], code) == 0)
			return i;
	if (sums->ncodes == VAT_CODES_MAX)
		return -1;
	sums->code[sums->ncodes] = code;
	sums->vat[sums->ncodes] = 0;
	return sums->ncodes++;
}

static Sums
add_up(const Judge *judge, ExactAmountField amount, ExactAmountField vat)
{
	const ExactDocument *document = judge->document;
	const ExactDimensions *dimensions = judge->context->dimensions;
	Sums		sums = {.known = document->nlines > 0};

	for (int i = 0; i < document->nlines && sums.known; i++)
	{
		const ExactDocumentRow *line = &document->lines[i];
		const char *code = line->vat_code != NULL ? line->vat_code : "";
		int64		value = line->amounts[vat];
		int			place;

		sums.known = exact_document_has(line, amount) &&
			exact_amount_add(&sums.amount, line->amounts[amount]) &&
			exact_amount_add(&sums.all, value);
		if (value == 0)
			continue;
		if (dimensions->vat_is_owed(dimensions->arg, code))
			sums.known = sums.known && exact_amount_add(&sums.owed, value);
		place = find_code(&sums, code);
		if (place < 0)
			sums.many = true;
		else
			sums.known = sums.known && exact_amount_add(&sums.vat[place], value);
	}
	return sums;
}

static bool
is_near(int64 a, int64 b, int64 tolerance)
{
	return a - b <= tolerance && b - a <= tolerance;
}

/* Does it fit the lines with the VAT of some of their codes? (accounting.md §7.2) */
static bool
fits(const Sums *sums, int64 value, int64 tolerance)
{
	if (sums->many)
		return is_near(value, sums->amount, tolerance) ||
			is_near(value, sums->amount + sums->all, tolerance) ||
			is_near(value, sums->amount + sums->owed, tolerance);
	for (int set = 0; set < 1 << sums->ncodes; set++)
	{
		int64		sum = sums->amount;

		for (int i = 0; i < sums->ncodes; i++)
			if ((set & (1 << i)) != 0)
				sum += sums->vat[i];
		if (is_near(value, sum, tolerance))
			return true;
	}
	return false;
}

/* Likewise where tax is withheld from the total, or extra duty is on top of it */
static bool
fits_with(const Sums *sums, int64 value, int64 withheld, int64 duty, int64 tolerance)
{
	return fits(sums, value, tolerance) ||
		(withheld != 0 && fits(sums, value + withheld, tolerance)) ||
		(duty != 0 && fits(sums, value - duty, tolerance)) ||
		(withheld != 0 && duty != 0 && fits(sums, value + withheld - duty, tolerance));
}

/* Of header and lines; of a figure that both have, the header's */
static int64
total(const ExactDocument *document, ExactAmountField field)
{
	int64		sum = 0;

	if (exact_document_has(&document->header, field))
		return document->header.amounts[field];
	for (int i = 0; i < document->nlines; i++)
		(void) exact_amount_add(&sum, document->lines[i].amounts[field]);
	return sum;
}

static int64
unit_of(const Judge *judge, bool in_division)
{
	const char *division = judge->context->dimensions->currency;
	const char *own = judge->document->header.currency;

	return exact_amount_unit(in_division || own == NULL ? division : own);
}

static int64
tolerance_of(const Judge *judge, int64 unit)
{
	return Min(judge->document->nlines, LINES_TOLERATED) * unit;
}

static void
mismatch(Judge *judge, ExactRule rule, int64 lines, int64 header, int64 unit)
{
	add(judge, rule, -1, NULL,
		psprintf("The lines add up to %s, the document says %s.", exact_amount_text(lines, unit),
				 exact_amount_text(header, unit)));
}

/* ---- the entry balances ---- */

/* The three shapes that row 0 may have (accounting.md §3.1) */
static void
judge_ledger(Judge *judge)
{
	const ExactDocument *document = judge->document;
	int64		unit = unit_of(judge, true);
	int64		row_0 = 0;
	int64		rest = 0;

	for (int i = 0; i < document->nlines; i++)
	{
		const ExactDocumentRow *line = &document->lines[i];

		if (!exact_document_has(line, EXACT_AMOUNT_DC) ||
			!exact_amount_add(line->number == 0 ? &row_0 : &rest,
							  line->amounts[EXACT_AMOUNT_DC]))
			return;
	}
	if (is_near(row_0, -rest, unit / 2) || is_near(rest, 0, unit / 2) ||
		is_near(row_0, rest, unit / 2))
		return;
	add(judge, EXACT_RULE_ENTRY_BALANCES, -1, NULL,
		psprintf("The rows of the entry add up to %s, not to 0.",
				 exact_amount_text(row_0 + rest, unit)));
}

/* VAT rows may be lines or not; what the ledger says goes before. */
static void
judge_journal(Judge *judge)
{
	int64		unit = unit_of(judge, true);
	Sums		sums = add_up(judge, EXACT_AMOUNT_DC, EXACT_AMOUNT_VAT_DC);

	if (!sums.known || fits(&sums, 0, unit / 2) || judge->context->ledger == 1)
		return;
	add(judge, EXACT_RULE_ENTRY_BALANCES, -1, NULL,
		psprintf("The lines of the entry add up to %s, not to 0.",
				 exact_amount_text(sums.amount, unit)));
}

/* ---- the lines match the header ---- */

static void
judge_entry(Judge *judge)
{
	static const struct
	{
		ExactAmountField amount;
		ExactAmountField vat;
		bool		in_division;
	}			sides[] =
	{
		{EXACT_AMOUNT_FC, EXACT_AMOUNT_VAT_FC, false},
		{EXACT_AMOUNT_DC, EXACT_AMOUNT_VAT_DC, true},
	};
	const ExactDocument *document = judge->document;
	const ExactDocumentRow *header = &document->header;
	int64		withheld = total(document, EXACT_AMOUNT_WITHHELD_DC);
	int64		duty = total(document, EXACT_AMOUNT_EXTRA_DUTY);
	/* these two have one currency each: in the other one nothing can be said */
	bool		one_currency = exact_document_has(header, EXACT_AMOUNT_FC) &&
		exact_document_has(header, EXACT_AMOUNT_DC) &&
		header->amounts[EXACT_AMOUNT_FC] == header->amounts[EXACT_AMOUNT_DC];

	for (int i = 0; i < (int) lengthof(sides); i++)
	{
		int64		unit = unit_of(judge, sides[i].in_division);
		int64		value = header->amounts[sides[i].amount];
		Sums		sums;

		if (!exact_document_has(header, sides[i].amount) ||
			(!one_currency && (sides[i].in_division ? duty : withheld) != 0))
			continue;
		sums = add_up(judge, sides[i].amount, sides[i].vat);
		if (!sums.known || fits_with(&sums, value, withheld, duty, tolerance_of(judge, unit)))
			continue;
		mismatch(judge, EXACT_RULE_LINES_MATCH_HEADER, sums.amount + sums.all, value, unit);
		return;
	}
}

/*
 * The discount of the whole document, which is in the division's currency, in the document's.
 * Without integers of 128 bits only documents in the division's currency have it.
 */
static int64
discount_of(const ExactDocumentRow *header)
{
	int64		discount = header->amounts[EXACT_AMOUNT_DISCOUNT];
#ifdef HAVE_INT128
	int64		fc = header->amounts[EXACT_AMOUNT_FC];
	int64		dc = header->amounts[EXACT_AMOUNT_DC];

	if (dc != 0 && fc != dc)
	{
		int128		exact = (int128) discount * fc / dc;

		/* beyond what any amount is, the figures of the document contradict each other */
		if (exact < INT64CONST(1) << 59 && exact > -(INT64CONST(1) << 59))
			discount = (int64) exact;
	}
#endif
	return discount;
}

/* AmountFCExclVat is the lines, less the discount of the whole document. */
static bool
excluding_fits(const ExactDocument *document, const Sums *sums, int64 tolerance)
{
	int64		value = document->header.amounts[EXACT_AMOUNT_EXCLUDING];

	return is_near(value, sums->amount, tolerance) ||
		is_near(value, sums->amount - discount_of(&document->header), tolerance);
}

static void
judge_purchase_invoice(Judge *judge)
{
	const ExactDocument *document = judge->document;
	const ExactDocumentRow *header = &document->header;
	int64		unit = unit_of(judge, false);
	int64		tolerance = tolerance_of(judge, unit);
	int64		excluding = header->amounts[EXACT_AMOUNT_EXCLUDING];
	int64		with_vat = excluding;
	Sums		sums = add_up(judge, EXACT_AMOUNT_FC, EXACT_AMOUNT_VAT_FC);

	if (!exact_document_has(header, EXACT_AMOUNT_EXCLUDING) || !sums.known)
		return;
	if (!excluding_fits(document, &sums, tolerance))
	{
		mismatch(judge, EXACT_RULE_LINES_MATCH_HEADER, sums.amount, excluding, unit);
		return;
	}
	if (!exact_document_has(header, EXACT_AMOUNT_FC) ||
		!exact_document_has(header, EXACT_AMOUNT_VAT_FC) ||
		!exact_amount_add(&with_vat, header->amounts[EXACT_AMOUNT_VAT_FC]) ||
		is_near(header->amounts[EXACT_AMOUNT_FC], with_vat, tolerance) ||
		is_near(header->amounts[EXACT_AMOUNT_FC], excluding, tolerance))
		return;
	/* VAT that is not owed beside VAT that is: the header's VAT may hold both */
	sums.amount = excluding;
	if (fits(&sums, header->amounts[EXACT_AMOUNT_FC], tolerance))
		return;
	add(judge, EXACT_RULE_LINES_MATCH_HEADER, -1, NULL,
		psprintf("Amount and VAT are %s, the document says %s.",
				 exact_amount_text(with_vat, unit),
				 exact_amount_text(header->amounts[EXACT_AMOUNT_FC], unit)));
}

/* Order charges stand in a list of their own: without it a total that is larger says nothing. */
static void
judge_sales_invoice(Judge *judge)
{
	const ExactDocument *document = judge->document;
	int64		unit = unit_of(judge, false);
	int64		tolerance = tolerance_of(judge, unit);
	int64		value = document->header.amounts[EXACT_AMOUNT_EXCLUDING];
	int64		discount = discount_of(&document->header);
	Sums		sums = add_up(judge, EXACT_AMOUNT_FC, EXACT_AMOUNT_VAT_FC);
	int64		above;

	if (!exact_document_has(&document->header, EXACT_AMOUNT_EXCLUDING) || !sums.known)
		return;
	if (judge->context->charges_known)
	{
		if (!exact_amount_add(&sums.amount, judge->context->charges) ||
			excluding_fits(document, &sums, tolerance))
			return;
	}
	else
	{
		above = sums.amount < 0 ? sums.amount - value : value - sums.amount;
		if (above >= (discount < 0 ? discount : -discount) - tolerance)
			return;
	}
	mismatch(judge, EXACT_RULE_LINES_MATCH_HEADER, sums.amount, value, unit);
}

static void
judge_order(Judge *judge)
{
	const ExactDocument *document = judge->document;
	const ExactDocumentRow *header = &document->header;
	int64		unit = unit_of(judge, false);
	int64		tolerance = tolerance_of(judge, unit);
	int64		discount = discount_of(header);
	Sums		sums = add_up(judge, EXACT_AMOUNT_FC, EXACT_AMOUNT_VAT_FC);
	bool		excluding = exact_document_has(header, EXACT_AMOUNT_EXCLUDING);
	bool		including = exact_document_has(header, EXACT_AMOUNT_FC);

	if (!sums.known || (!excluding && !including) ||
		(excluding && excluding_fits(document, &sums, tolerance)) ||
		(including && (fits(&sums, header->amounts[EXACT_AMOUNT_FC], tolerance) ||
					   fits(&sums, header->amounts[EXACT_AMOUNT_FC] + discount, tolerance))))
		return;
	mismatch(judge, EXACT_RULE_LINES_MATCH_HEADER, sums.amount,
			 header->amounts[excluding ? EXACT_AMOUNT_EXCLUDING : EXACT_AMOUNT_FC], unit);
}

/* Both balances are informative: the rule is off until somebody knows that his are right. */
static void
judge_statement(Judge *judge)
{
	const ExactDocumentRow *header = &judge->document->header;
	int64		unit = unit_of(judge, false);
	int64		moved = header->amounts[EXACT_AMOUNT_CLOSING];
	Sums		sums = add_up(judge, EXACT_AMOUNT_FC, EXACT_AMOUNT_VAT_FC);

	if (!exact_document_has(header, EXACT_AMOUNT_CLOSING) ||
		!exact_document_has(header, EXACT_AMOUNT_OPENING) || !sums.known ||
		!exact_amount_add(&moved, -header->amounts[EXACT_AMOUNT_OPENING]) ||
		fits(&sums, moved, tolerance_of(judge, unit)))
		return;
	mismatch(judge, EXACT_RULE_LINES_MATCH_HEADER, sums.amount, moved, unit);
}

/* ---- the document ---- */

static void
judge_sums(Judge *judge)
{
	ExactDocumentKind kind = judge->document->kind;

	if (is_on(judge, EXACT_RULE_ENTRY_BALANCES))
	{
		if (kind == EXACT_LEDGER_ENTRY)
			judge_ledger(judge);
		else
			judge_journal(judge);
	}
	if (!is_on(judge, EXACT_RULE_LINES_MATCH_HEADER))
		return;
	switch (kind)
	{
		case EXACT_PURCHASE_ENTRY:
		case EXACT_SALES_ENTRY:
			judge_entry(judge);
			break;
		case EXACT_PURCHASE_INVOICE:
			judge_purchase_invoice(judge);
			break;
		case EXACT_SALES_INVOICE:
			judge_sales_invoice(judge);
			break;
		case EXACT_PURCHASE_ORDER:
			judge_order(judge);
			break;
		case EXACT_BANK_ENTRY:
		case EXACT_CASH_ENTRY:
			judge_statement(judge);
			break;
		case EXACT_JOURNAL_ENTRY:
		case EXACT_LEDGER_ENTRY:
			break;
	}
}

bool
exact_rule_judged(const ExactDocument *document)
{
	return document->header.status != STATUS_REJECTED && document->header.status != STATUS_DRAFT &&
		(document->kind != EXACT_LEDGER_ENTRY || document->header.type < BUDGET);
}

ExactProblem *
exact_rule_judge(const ExactDocument *document, const ExactRuleContext *context, int *n)
{
	Judge		judge = {.document = document,.context = context};

	if (exact_rule_judged(document))
	{
		for (int i = 0; i < document->nlines; i++)
		{
			judge_account(&judge, i, &document->lines[i]);
			judge_cost_center(&judge, i, &document->lines[i]);
			judge_cost_unit(&judge, i, &document->lines[i]);
		}
		judge_sums(&judge);
	}
	*n = judge.n;
	return judge.problems;
}

const char *
exact_rule_sentences(const ExactProblem *problems, int n, int line, const char *before)
{
	StringInfoData out;
	int			found = 0;

	initStringInfo(&out);
	for (int i = 0; i < n; i++)
	{
		if (line >= 0 && problems[i].line != line)
			continue;
		if (found++ < EXACT_RULE_SENTENCES)
			appendStringInfo(&out, "%s%s", out.len == 0 ? before : " ", problems[i].text);
	}
	if (found > EXACT_RULE_SENTENCES)
		appendStringInfo(&out, " And %d more.", found - EXACT_RULE_SENTENCES);
	return found > 0 ? out.data : NULL;
}

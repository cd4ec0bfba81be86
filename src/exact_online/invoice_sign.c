/*
 * invoice_sign.c - are the amounts of a division's sync sales invoices turned?
 *
 * Some services show a sale as negative in the sync set and as positive in the plain resource,
 * which is the one that Delta follows. One invoice with an amount is read through the plain
 * resource and compared with what the sync set said; nothing is assumed before that. The only C
 * code that writes exact.invoice_sign; rules and texts are in install/53_invoice_sign.sql.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "auth/address.h"
#include "base/fault.h"
#include "base/sql.h"
#include "exact_online/budget.h"
#include "exact_online/exact_api.h"
#include "exact_online/invoice_sign.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"
#include "worker/self.h"
#include "worker/unit.h"
#include "worker/wake.h"

#define RESOURCE "salesinvoice/SalesInvoices"
#define LOOK_MS 2000

typedef struct SignQuestion
{
	MemoryContext context;
	int			division;		/* 0: there is none */
	char	   *app;
	char	   *base_url;
	char	   *invoice;
	char	   *amount;			/* as the sync set said */
	/* the answer */
	ExactApiAnswer *answer;
	char	   *plain;			/* amount in the plain resource; NULL: none */
	const char *problem;
	bool		known;
	bool		turned;
} SignQuestion;

static bool busy;
static TimestampTz looked_at;

/* In a unit: the invoice to ask for */
static void
find_unit(void *arg)
{
	SignQuestion *q = arg;
	MemoryContext old;

	q->division = 0;
	if (exact_sql("SELECT division, app, invoice, amount::text FROM exact._sign_question()",
				  0, NULL) == 0)
		return;
	old = MemoryContextSwitchTo(q->context);
	q->app = exact_cell_text(0, 2);
	q->invoice = exact_cell_text(0, 3);
	q->amount = exact_cell_text(0, 4);
	q->division = (int) exact_cell_int8(0, 1, 0);
	q->base_url = exact_app_base_url(q->app);
	MemoryContextSwitchTo(old);
}

/* In a unit: the call, and what it told */
static void
learn_unit(void *arg)
{
	static const char sql[] =
	"SELECT exact._learn_sign($1, $2, $3::text::numeric, $4, $5, $6)";
	SignQuestion *q = arg;
	ExactArg	args[6];
	int64		call = exact_api_record(q->answer, q->plain != NULL ? 1 : 0);

	args[0] = exact_arg_int4(q->division);
	args[1] = exact_arg_text(q->invoice);
	args[2] = exact_arg_text(q->amount);
	args[3] = q->plain ? exact_arg_text(q->plain) : exact_arg_null(TEXTOID);
	args[4] = call > 0 ? exact_arg_int8(call) : exact_arg_null(INT8OID);
	args[5] = q->problem ? exact_arg_text(q->problem) : exact_arg_null(TEXTOID);
	exact_sql(sql, 6, args);
	q->known = !exact_cell_isnull(0, 1);
	q->turned = exact_cell_bool(0, 1, false);
	if (q->known)
		exact_wake_at_commit(EXACT_ROLE_LOADER);
}

/* The amount of the one record that was asked for. */
static void
read_answer(SignQuestion *q, const ExactHttpResponse *http)
{
	static const char *const fields[] = {"InvoiceID", "AmountDC", "Division"};
	char	   *problem = NULL;
	ExactPage  *page = exact_odata_parse(http->body, http->body_len, fields, lengthof(fields),
										 &problem);
	const ExactSlice *values;
	char	   *invoice;

	if (page == NULL || page->nrecords != 1)
	{
		q->problem = page == NULL ? problem : NULL;
		return;
	}
	values = page->records[0].values;
	invoice = exact_odata_string(values[0]);
	if (exact_odata_division(&page->records[0], values[2], q->division) != q->division)
		q->problem = "the answer was of another division";
	else if (invoice != NULL && pg_strcasecmp(invoice, q->invoice) == 0 && values[1].start != NULL)
		q->plain = pnstrdup(values[1].start, values[1].len);
}

static void
on_answer(ExactApiAnswer *answer, void *arg)
{
	SignQuestion *q = arg;
	MemoryContext old = MemoryContextSwitchTo(q->context);

	q->answer = answer;
	if (answer->trouble != EXACT_API_OK)
		q->problem = answer->fault->message;
	else
		read_answer(q, answer->http);
	if (exact_unit_run("learn the sign of sales invoices", learn_unit, q, NULL) && q->known)
		exact_log(LOG, "sign of sales invoices division=%d turned=%s", q->division,
				  q->turned ? "true" : "false");
	MemoryContextSwitchTo(old);
	MemoryContextDelete(q->context);
	busy = false;
}

static void
ask(SignQuestion *q)
{
	ExactApiRequest request = {
		.app = q->app,
		.base_url = q->base_url,
		.division = q->division,
		.feed = "salesinvoices",
		.resource = RESOURCE,
		.label = RESOURCE
	};
	MemoryContext old = MemoryContextSwitchTo(q->context);

	request.url = psprintf("%s/api/v1/%d/" RESOURCE "?$filter=InvoiceID%%20eq%%20guid'%s'"
						   "&$select=InvoiceID,AmountDC",
						   q->base_url, q->division, q->invoice);
	MemoryContextSwitchTo(old);
	busy = true;
	exact_api_get(&request, on_answer, q);
}

long
exact_invoice_sign_turn(void)
{
	MemoryContext context;
	SignQuestion *q;
	const char *why;

	if (busy || !TimestampDifferenceExceeds(looked_at, GetCurrentTimestamp(), LOOK_MS))
		return LOOK_MS;
	looked_at = GetCurrentTimestamp();
	context = AllocSetContextCreate(TopMemoryContext, "exact invoice sign", ALLOCSET_SMALL_SIZES);
	q = MemoryContextAllocZero(context, sizeof(SignQuestion));
	q->context = context;
	if (exact_unit_run("look for an invoice", find_unit, q, NULL) && q->division != 0 &&
		exact_budget_allowed_at(q->division, RESOURCE, &why) == 0)
		ask(q);
	else
		MemoryContextDelete(context);
	return LOOK_MS;
}

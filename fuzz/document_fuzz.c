/*
 * document_fuzz.c - payloads of documents on their way to the rules: whatever stands in them, each
 * is read or refused, and what is said of it is text.
 *
 * The first byte chooses the kind of document and what is known of it; the rest is header and
 * lines, one a line of text.
 */
#include "backend.h"

#include "arena.h"

#include "base/json.c"
#include "base/words.c"
#include "document/amount.c"
#include "document/document.c"
#include "document/rule.c"

#define LINES_MAX 64

static const ExactGlAccount *
find_account(void *arg, const char *id)
{
	static const ExactGlAccount account = {.code = "4990",.blocked = true,.wants_center = true};

	HOLDS(strlen(id) > 0);
	return strchr(id, '4') != NULL ? &account : arg;
}

static const ExactCostCenter *
find_center(void *arg, const char *code)
{
	static const ExactCostCenter center = {.code = "200",.end = 1000};

	HOLDS(strlen(code) > 0 && *code != ' ');
	return strchr(code, '2') != NULL ? &center : arg;
}

static bool
find_unit(void *arg pg_attribute_unused(), const char *code)
{
	return strchr(code, '2') != NULL;
}

static bool
is_owed(void *arg pg_attribute_unused(), const char *code)
{
	return strchr(code, 'V') == NULL;
}

static void
judge(const ExactDocument *document, int known)
{
	ExactDimensions dimensions = {.gl_account = find_account,.cost_center = find_center,
		.cost_unit = find_unit,.vat_is_owed = is_owed,.knows_gl_accounts = (known & 1) != 0,
	.knows_cost_centers = true,.uses_cost_centers = true,.currency = "JPY"};
	ExactRuleContext context = {.dimensions = &dimensions,.confirmed = (known & 2) != 0,
	.ledger = -1,.charges_known = (known & 4) != 0,.charges = SUM_MAX / 2};
	ExactProblem *problems;
	int			n;

	for (int i = 0; i < EXACT_RULES; i++)
		context.action[i] = EXACT_RULE_QUARANTINE;
	problems = exact_rule_judge(document, &context, &n);
	HOLDS(n <= document->nlines * 4 + 2);
	for (int i = 0; i < n; i++)
	{
		HOLDS(strlen(problems[i].text) > 0 && problems[i].line < document->nlines);
		HOLDS(problems[i].action == EXACT_RULE_FLAG || document->kind < EXACT_PURCHASE_ORDER);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;
	ExactPayload rows[LINES_MAX];
	int			n = 0;
	ExactDocument *document;
	ExactDocumentKind kind;
	int64		amount;

	if (size == 0)
		return 0;
	text = palloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	(void) exact_amount_read(text, size - 1, &amount);
	for (char *p = text; p != NULL && n < LINES_MAX; n++)
	{
		rows[n].text = p;
		rows[n].len = strcspn(p, "\n");
		p = strchr(p, '\n');
		if (p != NULL)
			*p++ = '\0';
	}
	kind = (ExactDocumentKind) (data[0] % EXACT_DOCUMENT_KINDS);
	document = kind == EXACT_LEDGER_ENTRY ? exact_document_read(kind, (ExactPayload) {0}, rows, n)
		: exact_document_read(kind, rows[0], rows + 1, n - 1);
	if (document != NULL)
		judge(document, data[0] / EXACT_DOCUMENT_KINDS);
	arena_reset();
	return 0;
}

/*
 * known.c - dimensions, looked up for all documents of a judgement at once.
 *
 * Three statements a judgement, however many lines there are. Called by judge.c.
 */
#include "postgres.h"

#include "utils/hsearch.h"

#include "base/sql.h"
#include "document/known.h"

#define NAME_LEN 64				/* a Guid, or a code; longer ones do not exist */

/* When a state of record g was seen first, in milliseconds of the service's wall clock */
#define SEEN_SQL(entity, state, zone) \
	"SELECT (extract(epoch FROM d.seen AT TIME ZONE " zone ") * 1000)::bigint" \
	" FROM exact.dimension_state d" \
	" WHERE d.division = $1 AND d.entity = '" entity "' AND d.id = g.id AND d.state = '" state "'"

typedef struct Account
{
	char		id[NAME_LEN];	/* key */
	bool		found;
	ExactGlAccount account;
} Account;

typedef struct Center
{
	char		name[NAME_LEN]; /* key: as documents write it, ASCII in lower case */
	bool		found;
	ExactCostCenter center;
} Center;

typedef struct Unit
{
	char		name[NAME_LEN]; /* key */
	bool		found;
} Unit;

struct ExactKnown
{
	ExactDimensions dimensions;
	char	   *zone;			/* of the service's wall clock */
	bool		any[3];			/* in the order of the rules that ask whether one exists */
	HTAB	   *accounts;
	HTAB	   *centers;
	HTAB	   *units;
	HTAB	   *not_owed;		/* codes of VAT */
};

/* A name as it is looked up; false: it is too long to be one. */
static bool
folded(const char *name, char *out)
{
	size_t		len = strlen(name);

	if (len >= NAME_LEN)
		return false;
	MemSet(out, 0, NAME_LEN);
	for (size_t i = 0; i < len; i++)
		out[i] = pg_ascii_tolower((unsigned char) name[i]);
	return true;
}

static HTAB *
make_table(const char *what, Size entry)
{
	HASHCTL		ctl = {.keysize = NAME_LEN,.entrysize = entry,.hcxt = CurrentMemoryContext};

	return hash_create(what, 64, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

static void
want(HTAB *table, const char *name, Size entry)
{
	char		key[NAME_LEN];
	bool		there;
	char	   *made;

	if (name == NULL || !folded(name, key))
		return;
	made = hash_search(table, key, HASH_ENTER, &there);
	if (!there)
		MemSet(made + NAME_LEN, 0, entry - NAME_LEN);
}

/* The names of a table as an array of SQL; only Guids: others make no uuid */
static ExactArg
names_of(HTAB *table, bool guids)
{
	const char **names = palloc((hash_get_num_entries(table) + 1) * sizeof(char *));
	int			n = 0;
	HASH_SEQ_STATUS seq;
	const char *entry;

	hash_seq_init(&seq, table);
	while ((entry = hash_seq_search(&seq)) != NULL)
		if (!guids || (strlen(entry) == 36 && strspn(entry, "0123456789abcdef-") == 36))
			names[n++] = entry;
	return exact_arg_text_array(names, NULL, n);
}

static void *
find(HTAB *table, const char *name)
{
	char		key[NAME_LEN];

	return folded(name, key) ? hash_search(table, key, HASH_FIND, NULL) : NULL;
}

/* ---- what the rules ask ---- */

static const ExactGlAccount *
gl_account(void *arg, const char *id)
{
	const Account *found = find(((ExactKnown *) arg)->accounts, id);

	return found != NULL && found->found ? &found->account : NULL;
}

static const ExactCostCenter *
cost_center(void *arg, const char *code)
{
	const Center *found = find(((ExactKnown *) arg)->centers, code);

	return found != NULL && found->found ? &found->center : NULL;
}

static bool
cost_unit(void *arg, const char *code)
{
	const Unit *found = find(((ExactKnown *) arg)->units, code);

	return found != NULL && found->found;
}

static bool
vat_is_owed(void *arg, const char *code)
{
	return find(((ExactKnown *) arg)->not_owed, code) == NULL;
}

/* ---- reading ---- */

static void
read_known(ExactKnown *known, int division)
{
	static const char sql[] =
	"SELECT d.entity, d.known, d.lives, exact._uses_cost_centers($1), exact._vat_not_owed($1),"
	" exact._service_zone($1)"
	" FROM exact._dimension_known($1) d";
	ExactDimensions *dimensions = &known->dimensions;
	ExactArg	arg = exact_arg_int4(division);
	uint64		n = exact_sql(sql, 1, &arg);
	char	  **codes;
	int			ncodes;

	for (uint64 i = 0; i < n; i++)
	{
		const char *entity = exact_cell_text(i, 1);
		bool		knows = exact_cell_bool(i, 2, false);
		int			place = strcmp(entity, "glaccount") == 0 ? 0
			: strcmp(entity, "costcenter") == 0 ? 1 : 2;

		known->any[place] = knows || exact_cell_bool(i, 3, false);
		if (place == 0)
			dimensions->knows_gl_accounts = knows;
		else if (place == 1)
			dimensions->knows_cost_centers = knows;
		else
			dimensions->knows_cost_units = knows;
	}
	dimensions->uses_cost_centers = exact_cell_bool(0, 4, false);
	codes = exact_cell_texts(0, 5, &ncodes);
	known->zone = exact_cell_text(0, 6);
	for (int i = 0; i < ncodes; i++)
		want(known->not_owed, codes[i], sizeof(Unit));
}

/*
 * Plans are kept, and made while the tables are empty: each text leaves but one index to look a
 * record up by, and OFFSET 0 keeps the look-up in its place.
 */

static void
read_accounts(ExactKnown *known, int division)
{
	static const char sql[] =
	"SELECT g.id::text, btrim(g.code), g.deleted,"
	" CASE WHEN g.deleted THEN ("
	"  SELECT (extract(epoch FROM v.at AT TIME ZONE $3) * 1000)::bigint"
	"  FROM exact.record r"
	"  CROSS JOIN LATERAL (SELECT x.at FROM exact.stage x"
	"   WHERE x.slot = r.slot AND x.batch = r.batch AND x.ord = r.ord OFFSET 0) v"
	"  WHERE r.division = $1 AND r.entity = 'glaccount' AND r.key = g.id::text) END,"
	" coalesce(g.isblocked, false),"
	" CASE WHEN g.isblocked THEN (" SEEN_SQL("glaccount", "blocked", "$3") ") END,"
	" coalesce(g.usecostcenter = 1, false),"
	" CASE WHEN g.usecostcenter = 1 THEN (" SEEN_SQL("glaccount", "requires", "$3") ") END"
	" FROM unnest($2::text[]::uuid[]) AS u (id)"
	" CROSS JOIN LATERAL (SELECT x.* FROM exact.gl_account x"
	"  WHERE x.division = $1 AND x.id = u.id OFFSET 0) g";
	ExactArg	args[3];
	uint64		n;

	args[0] = exact_arg_int4(division);
	args[1] = names_of(known->accounts, true);
	args[2] = exact_arg_text(known->zone);
	n = exact_sql(sql, 3, args);
	for (uint64 i = 0; i < n; i++)
	{
		Account    *found = find(known->accounts, exact_cell_text(i, 1));

		if (found == NULL)
			continue;
		found->found = true;
		found->account.code = exact_cell_text(i, 2);
		found->account.deleted = exact_cell_bool(i, 3, false);
		found->account.deleted_at = exact_cell_int8(i, 4, EXACT_NO_TIME);
		found->account.blocked = exact_cell_bool(i, 5, false);
		found->account.blocked_seen = exact_cell_int8(i, 6, PG_INT64_MAX);
		found->account.wants_center = exact_cell_bool(i, 7, false);
		found->account.wants_seen = exact_cell_int8(i, 8, PG_INT64_MAX);
	}
}

/* Living records under the names that documents use for them: their code, or their Guid */
#define NAMED_SQL(table) \
	" FROM (SELECT u.name, x.*" \
	"  FROM unnest($2::text[]) AS u (name)" \
	"  CROSS JOIN LATERAL (SELECT c.* FROM exact." table " c" \
	"   WHERE exact._folded(c.code) = exact._folded(u.name)" \
	"   AND c.division IS NOT DISTINCT FROM $1 AND NOT c.code_taken OFFSET 0) x" \
	"  UNION ALL" \
	"  SELECT u.id::text, x.*" \
	"  FROM unnest($3::text[]::uuid[]) AS u (id)" \
	"  CROSS JOIN LATERAL (SELECT c.* FROM exact." table " c" \
	"   WHERE c.division = $1 AND c.id = u.id OFFSET 0) x) g" \
	" WHERE NOT g.deleted"

static void
read_centers(ExactKnown *known, int division)
{
	static const char sql[] =
	"SELECT g.name, btrim(g.code), (extract(epoch FROM g.enddate::timestamp) * 1000)::bigint,"
	" CASE WHEN g.enddate IS NOT NULL THEN (" SEEN_SQL("costcenter", "ends", "$4") ") END"
	NAMED_SQL("cost_center");
	ExactArg	args[4];
	uint64		n;

	args[0] = exact_arg_int4(division);
	args[1] = names_of(known->centers, false);
	args[2] = names_of(known->centers, true);
	args[3] = exact_arg_text(known->zone);
	n = exact_sql(sql, 4, args);
	for (uint64 i = 0; i < n; i++)
	{
		Center	   *found = find(known->centers, exact_cell_text(i, 1));

		if (found == NULL)
			continue;
		found->found = true;
		found->center.code = exact_cell_text(i, 2);
		found->center.end = exact_cell_int8(i, 3, EXACT_NO_TIME);
		found->center.end_seen = exact_cell_int8(i, 4, PG_INT64_MAX);
	}
}

static void
read_units(ExactKnown *known, int division)
{
	static const char sql[] = "SELECT g.name" NAMED_SQL("cost_unit");
	ExactArg	args[3];
	uint64		n;

	args[0] = exact_arg_int4(division);
	args[1] = names_of(known->units, false);
	args[2] = names_of(known->units, true);
	n = exact_sql(sql, 3, args);
	for (uint64 i = 0; i < n; i++)
	{
		Unit	   *found = find(known->units, exact_cell_text(i, 1));

		if (found != NULL)
			found->found = true;
	}
}

ExactKnown *
exact_known_read(int division, ExactDocument *const *documents, int n)
{
	ExactKnown *known = palloc0(sizeof(ExactKnown));

	known->accounts = make_table("exact accounts", sizeof(Account));
	known->centers = make_table("exact cost centers", sizeof(Center));
	known->units = make_table("exact cost units", sizeof(Unit));
	known->not_owed = make_table("exact VAT codes", sizeof(Unit));
	known->dimensions = (ExactDimensions) {
		.arg = known,
		.gl_account = gl_account,
		.cost_center = cost_center,
		.cost_unit = cost_unit,
		.vat_is_owed = vat_is_owed,
	};
	for (int i = 0; i < n; i++)
		for (int l = 0; documents[i] != NULL && l < documents[i]->nlines; l++)
		{
			const ExactDocumentRow *line = &documents[i]->lines[l];

			want(known->accounts, line->gl_account, sizeof(Account));
			want(known->centers, line->cost_center, sizeof(Center));
			want(known->units, line->cost_unit, sizeof(Unit));
		}
	read_known(known, division);
	if (hash_get_num_entries(known->accounts) > 0)
		read_accounts(known, division);
	if (hash_get_num_entries(known->centers) > 0)
		read_centers(known, division);
	if (hash_get_num_entries(known->units) > 0)
		read_units(known, division);
	return known;
}

const ExactDimensions *
exact_known_dimensions(const ExactKnown *known)
{
	return &known->dimensions;
}

bool
exact_known_any(const ExactKnown *known, ExactRule rule)
{
	return rule > EXACT_RULE_COST_UNIT_EXISTS || known->any[rule];
}

bool
exact_known_closed(int division, const ExactDocument *document)
{
	const ExactDocumentRow *header = &document->header;
	ExactArg	args[4];

	if (header->journal == NULL || header->year < 0 || header->period < 0)
		return false;
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(header->journal);
	args[2] = exact_arg_int8(header->year);
	args[3] = exact_arg_int8(header->period);
	exact_sql("SELECT exact._period_closed($1, $2, $3, $4)", 4, args);
	return exact_cell_bool(0, 1, false);
}

int
exact_known_balance(int division, const char *entry)
{
	ExactArg	args[2];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entry);
	exact_sql("SELECT exact._ledger_balances($1, $2)", 2, args);
	return (int) exact_cell_int8(0, 1, -1);
}

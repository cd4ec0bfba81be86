/*
 * delta_sql.h - the words of a statement for Databricks: names, literals, types, and the comment it
 * begins with.
 *
 * Pure text: no SQL of PostgreSQL, no network, no memory but the caller's StringInfo.
 */
#ifndef EXACT_DELTA_SQL_H
#define EXACT_DELTA_SQL_H

#include "lib/stringinfo.h"

/*
 * This hub as Databricks knows it. Of several copies of an installation the one works whose epoch
 * and claim are in exact_hub.
 */
typedef struct ExactHub
{
	const char *installation;
	int			epoch;
	const char *claim;			/* of this process of the loader: no other one has the same */
} ExactHub;

/*
 * A type that may stand in a statement, in the spelling used here; false when it is none of STRING,
 * BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, DATE, TIMESTAMP, TIMESTAMP_NTZ,
 * DECIMAL(p,s).
 */
#define EXACT_DELTA_SQL_TYPE_SIZE 24
extern bool exact_delta_sql_type(const char *type, char out[EXACT_DELTA_SQL_TYPE_SIZE]);

/* `name`; 'value'; `catalog`.`schema`.`table` */
extern void exact_delta_sql_identifier(StringInfo out, const char *name);
extern void exact_delta_sql_literal(StringInfo out, const char *value);
extern void exact_delta_sql_table(StringInfo out, const char *catalog, const char *schema,
								  const char *table);

/*
 * A dotted name as people type it in a statement: each part in backticks where it needs them.
 * Allocated.
 */
extern char *exact_delta_sql_for_people(const char *name);

/*
 * The leading comment by which a statement is found again in the query history. scope: what tells
 * it from others of its entity and kind, "12.1-14.40"
 */
extern void exact_delta_sql_mark(StringInfo out, const ExactHub *hub, const char *entity,
								 const char *kind, const char *scope);
/*
 * What the marks of all statements of this process begin with; of any process of any copy of its
 * installation; the same and those of maintenance, for which no other process waits
 */
extern void exact_delta_sql_own_marks(StringInfo out, const ExactHub *hub);
extern void exact_delta_sql_all_marks(StringInfo out, const ExactHub *hub);
extern void exact_delta_sql_any_marks(StringInfo out, const ExactHub *hub);
#define EXACT_DELTA_SQL_MAINTENANCE "maintenance"	/* the kind of OPTIMIZE and VACUUM */

/*
 * A MERGE fails with these words, and changes nothing, when exact_hub does not name this hub for
 * all its divisions.
 */
#define EXACT_DELTA_SQL_FENCED "exact: fenced"

/*
 * A value of r as a type, NULL for NULL. One that does not fit fails the statement, also on a
 * warehouse whose ANSI mode is off, where a CAST makes NULL of it: then with these words.
 */
extern void exact_delta_sql_cast(StringInfo out, const char *name, const char *type);
#define EXACT_DELTA_SQL_ANSI_OFF "exact: ANSI_MODE is off"
#define EXACT_DELTA_SQL_ANSI_HINT \
	"Set ANSI_MODE to true for the SQL warehouses of the workspace (Admin settings, Compute, SQL" \
	" warehouses, Data access and SQL parameters); the hub tries again by itself."

extern void exact_delta_sql_create_schema(StringInfo out, const char *catalog, const char *schema);

#endif

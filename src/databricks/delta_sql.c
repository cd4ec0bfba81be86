/*
 * delta_sql.c - the words of a statement for Databricks: names, literals, types, and the comment it
 * begins with.
 *
 * Literals are escaped with a backslash: a doubled quote means different things to different
 * versions of Spark.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include <ctype.h>

#include "databricks/delta_sql.h"

/* Blanks and case do not count. */
bool
exact_delta_sql_type(const char *type, char out[EXACT_DELTA_SQL_TYPE_SIZE])
{
	static const char *const plain[] = {
		"STRING", "BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DATE",
		"TIMESTAMP", "TIMESTAMP_NTZ"
	};
	char		upper[64];
	size_t		n = 0;
	int			precision,
				scale,
				used = 0;

	for (const char *p = type; *p != '\0'; p++)
	{
		if (*p == ' ')
			continue;
		if (n >= sizeof(upper) - 1)
			return false;
		upper[n++] = (char) toupper((unsigned char) *p);
	}
	upper[n] = '\0';
	for (int i = 0; i < (int) lengthof(plain); i++)
	{
		if (strcmp(upper, plain[i]) == 0)
		{
			strlcpy(out, plain[i], EXACT_DELTA_SQL_TYPE_SIZE);
			return true;
		}
	}
	if (sscanf(upper, "DECIMAL(%2d,%2d)%n", &precision, &scale, &used) == 2 && used == (int) n &&
		precision >= 1 && precision <= 38 && scale >= 0 && scale <= precision)
	{
		snprintf(out, EXACT_DELTA_SQL_TYPE_SIZE, "DECIMAL(%d,%d)", precision, scale);
		return true;
	}
	return false;
}

void
exact_delta_sql_identifier(StringInfo out, const char *name)
{
	appendStringInfoChar(out, '`');
	for (const char *p = name; *p != '\0'; p++)
	{
		if (*p == '`')
			appendStringInfoChar(out, '`');
		appendStringInfoChar(out, *p);
	}
	appendStringInfoChar(out, '`');
}

/*
 * "${" is replaced by Spark in the whole text, literals included; written as "$\{" it is a plain
 * one
 */
void
exact_delta_sql_literal(StringInfo out, const char *value)
{
	appendStringInfoChar(out, '\'');
	for (const char *p = value; *p != '\0'; p++)
	{
		if (*p == '\n')
		{
			appendStringInfoString(out, "\\n");
			continue;
		}
		if (*p == '\\' || *p == '\'' || (*p == '{' && p > value && p[-1] == '$'))
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, *p);
	}
	appendStringInfoChar(out, '\'');
}

void
exact_delta_sql_cast(StringInfo out, const char *name, const char *type)
{
	if (strcmp(type, "STRING") == 0)
	{
		appendStringInfoString(out, "r.");
		exact_delta_sql_identifier(out, name);
		return;
	}
	appendStringInfoString(out, "coalesce(CAST(r.");
	exact_delta_sql_identifier(out, name);
	appendStringInfo(out, " AS %s), CASE WHEN r.", type);
	exact_delta_sql_identifier(out, name);
	appendStringInfo(out, " IS NOT NULL THEN raise_error('" EXACT_DELTA_SQL_ANSI_OFF "') END)");
}

char *
exact_delta_sql_for_people(const char *name)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	StringInfoData out;

	initStringInfo(&out);
	for (;;)
	{
		int			length = (int) strcspn(name, ".");

		if (length > 0 && (int) strspn(name, plain) >= length)
			appendBinaryStringInfo(&out, name, length);
		else
			exact_delta_sql_identifier(&out, pnstrdup(name, length));
		if (name[length] == '\0')
			return out.data;
		appendStringInfoChar(&out, '.');
		name += length + 1;
	}
}

void
exact_delta_sql_table(StringInfo out, const char *catalog, const char *schema, const char *table)
{
	exact_delta_sql_identifier(out, catalog);
	appendStringInfoChar(out, '.');
	exact_delta_sql_identifier(out, schema);
	appendStringInfoChar(out, '.');
	exact_delta_sql_identifier(out, table);
}

void
exact_delta_sql_any_marks(StringInfo out, const ExactHub *hub)
{
	appendStringInfo(out, "/* exact_databricks %s", hub->installation);
}

void
exact_delta_sql_all_marks(StringInfo out, const ExactHub *hub)
{
	exact_delta_sql_any_marks(out, hub);
	appendStringInfoChar(out, '.');
}

void
exact_delta_sql_own_marks(StringInfo out, const ExactHub *hub)
{
	exact_delta_sql_all_marks(out, hub);
	appendStringInfo(out, "%d.%.8s ", hub->epoch, hub->claim);
}

void
exact_delta_sql_mark(StringInfo out, const ExactHub *hub, const char *entity, const char *kind,
					 const char *scope)
{
	if (strcmp(kind, EXACT_DELTA_SQL_MAINTENANCE) == 0)
	{
		exact_delta_sql_any_marks(out, hub);
		appendStringInfoString(out, ": ");
	}
	else
		exact_delta_sql_own_marks(out, hub);
	appendStringInfo(out, "%s %s %s */", entity, kind, scope);
}

void
exact_delta_sql_create_schema(StringInfo out, const char *catalog, const char *schema)
{
	appendStringInfoString(out, "CREATE SCHEMA IF NOT EXISTS ");
	exact_delta_sql_identifier(out, catalog);
	appendStringInfoChar(out, '.');
	exact_delta_sql_identifier(out, schema);
	appendStringInfoString(out, " COMMENT 'Exact Online, kept up to date by exact_databricks'");
}

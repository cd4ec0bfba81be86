/*
 * wanted.c - records that settle doubts: one question an entity, however many documents ask it.
 */
#include "postgres.h"

#include "base/sql.h"
#include "document/wanted.h"

struct ExactWanted
{
	const char *entity;
	bool		first;			/* of documents of a first load */
	const char **keys;
	int			n;
	int			room;
	ExactWanted *next;
};

ExactWanted *
exact_wanted_add(ExactWanted *list, const char *entity, const char *key, bool first)
{
	ExactWanted *wanted = list;

	while (wanted != NULL && (wanted->first != first || strcmp(wanted->entity, entity) != 0))
		wanted = wanted->next;
	if (wanted == NULL)
	{
		wanted = palloc(sizeof(ExactWanted));
		*wanted = (ExactWanted) {.entity = entity,.first = first,.next = list};
		list = wanted;
	}
	if (wanted->n == wanted->room)
	{
		Size		size = (wanted->room = wanted->room * 2 + 8) * sizeof(char *);

		wanted->keys = wanted->keys != NULL ? repalloc(wanted->keys, size) : palloc(size);
	}
	wanted->keys[wanted->n++] = key;
	return list;
}

void
exact_wanted_read(const ExactWanted *list, int division)
{
	static const char sql[] = "SELECT exact._judge_want($1, $2, $3, $4)";

	for (const ExactWanted *wanted = list; wanted != NULL; wanted = wanted->next)
	{
		ExactArg	args[4];

		args[0] = exact_arg_int4(division);
		args[1] = exact_arg_text(wanted->entity);
		args[2] = exact_arg_text_array(wanted->keys, NULL, wanted->n);
		args[3] = exact_arg_bool(wanted->first);
		exact_sql(sql, 4, args);
	}
}

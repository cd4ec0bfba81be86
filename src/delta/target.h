/*
 * target.h - the two Delta tables of an entity in a workspace: what they should look like, and
 * making them so.
 */
#ifndef EXACT_TARGET_H
#define EXACT_TARGET_H

#include "base/fault.h"
#include "databricks/databricks.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "delta/merge_sql.h"

typedef struct ExactTargetPlan
{
	MemoryContext context;		/* holds everything below */
	ExactWorkspace *workspace;
	ExactTarget sql;			/* with a stamp: a dimension, whose rows users may change */
	char	   *current_name;	/* "main.exact.glaccount" */
	char	   *history_name;
	char	   *digest;			/* of names and types */
	int			only_division;	/* of the workspace; 0: it has none or several */
	int64		merge_interval_ms;	/* -1: the setting */
	/* by ExactTable: an earlier preparation found or made the table of this name */
	bool		seen[2];
	/* and a delivery into it was recorded: it must be there */
	bool		held[2];
	/* batches below it go again, over what was changed of them; 0: none */
	int64		rewrite_below;
	bool		may_create;		/* an operator has said that an empty one may take its place */
	/* the current table has got _hash and no row has it: they are to get it (edit_sql.h) */
	bool		hash_added;
	bool		may_comment;	/* columns without their comment may get it; false: refused */
	bool		gone;			/* it is not there, the preparation was refused for that */
	/* likewise: made by the last preparation, and the hub has sent no row into it */
	bool		fresh[2];
} ExactTargetPlan;

/*
 * In a unit: the tables of an entity by the catalogue and the users' changes, in a context of its
 * own below `parent`; hub must live as long. Raises EX015 when the catalogue does not have it,
 * EX014 when a target_type is none.
 */
extern ExactTargetPlan *exact_target_load(MemoryContext parent, const ExactWorkspace *workspace,
										  const char *entity, const ExactHub *hub);

/* fault: NULL when both tables are there and fit; sqlstate: "EX014" or Databricks' own */
typedef void (*ExactTargetDone) (const ExactFault *fault, const char *sqlstate, void *arg);

/*
 * Makes the tables if they are absent, adds columns that they lack, and refuses tables that are not
 * ours or whose columns have other types. The plan must live until done is called.
 */
extern void exact_target_prepare(ExactTargetPlan *plan, ExactStatementTrouble trouble,
								 ExactTargetDone done, void *arg);

#endif

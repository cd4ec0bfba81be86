/*
 * known_edit.h - rows of a dimension that users have edited in Delta: what a delivery may write
 * over, and what it left alone.
 *
 * exact.dimension_known has the hash of each edited row that was read and judged
 * (dimension/read_back.h). A version goes out with it; the MERGE leaves a row alone that has
 * another edit.
 */
#ifndef EXACT_KNOWN_EDIT_H
#define EXACT_KNOWN_EDIT_H

#include "databricks/statement.h"
#include "deliver/bad_row.h"
#include "deliver/stage_row.h"

/* In a unit: gives the versions of these rows the edits that they may replace. palloc'd */
extern void exact_known_edit_read(const char *entity, ExactStageRow *rows, int n);

/*
 * By the answer to exact_merge_sql_check_edited(): marks the rows that an edit kept out; returns
 * how many are there or kept out.
 */
extern int64 exact_known_edit_prove(const ExactStatementResult *result, ExactSentRow *rows, int n);

/* In a unit, once delivered: what was written over is forgotten, what was kept out is told. */
extern void exact_known_edit_record(const char *entity, const ExactSentRow *rows, int n);

#endif

/*
 * month.h - what the Delta tables of a workspace hold of a period, for exact.month_end(). Loader
 * only.
 */
#ifndef EXACT_MONTH_H
#define EXACT_MONTH_H

#include "worker/ask.h"

/*
 * Answers the question "month": workspace, kind, year, period, divisions as an array. A JSON array
 * of rows, each an array of texts; or the fault that kept it from being asked.
 */
extern void exact_month_answer(ExactAsk *ask);

#endif

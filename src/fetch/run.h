/*
 * run.h - runs of feeds: a run's pages, from its mark to its last page.
 */
#ifndef EXACT_RUN_H
#define EXACT_RUN_H

#include "fetch/lane.h"

/*
 * Asks for the next page of a run, or for the first page of a new one. The lane is held until its
 * answer is stored.
 */
extern void exact_run_send(ExactRun *run);

#endif

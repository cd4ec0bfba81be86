/*
 * turn.h - what each division sends next: a run's page or a keyed read.
 */
#ifndef EXACT_TURN_H
#define EXACT_TURN_H

#include "postgres.h"

/*
 * Sends what is due in every idle lane; returns ms until something will be due, -1 = nothing by
 * itself. In no transaction.
 */
extern long exact_turn_send(void);

#endif

/*
 * write_back.h - edits of dimensions on their way to Exact Online.
 */
#ifndef EXACT_WRITE_BACK_H
#define EXACT_WRITE_BACK_H

/* In a unit, once at start: what an earlier fetcher has sent, unheard, is looked for. */
extern void exact_write_back_load(void);

/*
 * Takes the next step of each division that has one and may be written now; before
 * exact_turn_send(). Returns ms until something will be due, -1 = nothing by itself. In no
 * transaction.
 */
extern long exact_write_back_turn(void);

#endif

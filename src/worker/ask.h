/*
 * ask.h - the worker's side of a question of a backend: exact._ask(worker, op, VARIADIC args
 * text[]) → text.
 *
 * User backends never open a socket to either service and never see a token. Texts travel in a
 * dynamic shared memory segment (question) and a shm_mq (answer); no secret may travel here.
 */
#ifndef EXACT_ASK_H
#define EXACT_ASK_H

#include "postgres.h"

#include "base/fault.h"

typedef struct ExactAsk ExactAsk;

extern const char *exact_ask_op(const ExactAsk *ask);
extern int	exact_ask_nargs(const ExactAsk *ask);
/* NULL for SQL null or beyond the end */
extern const char *exact_ask_arg(const ExactAsk *ask, int n);
/* role that logged in to ask; NULL: another worker asks */
extern const char *exact_ask_user(const ExactAsk *ask);
/* has the asker gone? */
extern bool exact_ask_gone(const ExactAsk *ask);

/*
 * Exactly one of these for each question, now or in a later turn; safe when the asker has gone
 * meanwhile. Texts are copied.
 */
extern void exact_ask_answer(ExactAsk *ask, const char *text, size_t len);
extern void exact_ask_fail(ExactAsk *ask, const ExactFault *fault);
extern void exact_ask_failf(ExactAsk *ask, int sqlstate, const char *detail, const char *hint,
							const char *fmt,...) pg_attribute_printf(5, 6);

/*
 * Frame side (worker.c): serves the questions that wait; with refuse set they are all answered by
 * it. Returns how many.
 */
extern int	exact_ask_take(void (*serve) (ExactAsk *ask), const ExactFault *refuse);
/* Goes on sending answers that did not fit at once. */
extern void exact_ask_continue(void);

#endif

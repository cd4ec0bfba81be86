/*
 * ask_question.h - the shape of a question in shared memory, between ask.c (worker's side) and
 * asker.c.
 */
#ifndef EXACT_ASK_QUESTION_H
#define EXACT_ASK_QUESTION_H

#include "postgres.h"

#include "port/atomics.h"

#define EXACT_QUESTION_MAGIC 0x45584151
#define EXACT_ANSWER_TEXT 'A'	/* first byte of an answer: a text follows */
#define EXACT_ANSWER_FAULT 'F'	/* SQLSTATE, message, detail, hint follow */

typedef struct ExactQuestion
{
	uint32		magic;
	char		user[NAMEDATALEN];	/* role that logged in; empty: a worker asks */
	pg_atomic_uint32 gone;		/* 1 = the asker does not wait any more */
	int			nargs;
	Size		texts_len;		/* of op and arguments */
	Size		queue_offset;

	/* for each: a byte 0 (null) or 1, then the NUL-terminated text */
	char		texts[FLEXIBLE_ARRAY_MEMBER];
} ExactQuestion;

#endif

/*
 * fault.h - what went wrong, in four parts: SQLSTATE, message, detail, next step.
 */
#ifndef EXACT_FAULT_H
#define EXACT_FAULT_H

#include "postgres.h"

typedef struct ExactFault
{
	int			sqlstate;		/* packed, as errcode() */
	char	   *message;
	char	   *detail;			/* may be NULL */
	char	   *hint;			/* may be NULL */
} ExactFault;

/* In the current memory context; the texts are kept as they are, not copied. */
extern ExactFault *exact_fault_make(int sqlstate, char *message, char *detail, char *hint);
/* A deep copy in the current memory context */
extern ExactFault *exact_fault_copy(const ExactFault *fault);

#endif

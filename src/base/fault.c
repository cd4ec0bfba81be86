/*
 * fault.c - what went wrong, in four parts. Called by all that answer with one instead of raising.
 */
#include "base/fault.h"

ExactFault *
exact_fault_make(int sqlstate, char *message, char *detail, char *hint)
{
	ExactFault *fault = palloc(sizeof(ExactFault));

	fault->sqlstate = sqlstate;
	fault->message = message;
	fault->detail = detail;
	fault->hint = hint;
	return fault;
}

ExactFault *
exact_fault_copy(const ExactFault *fault)
{
	return exact_fault_make(fault->sqlstate,
							pstrdup(fault->message),
							fault->detail ? pstrdup(fault->detail) : NULL,
							fault->hint ? pstrdup(fault->hint) : NULL);
}

/*
 * backend.h - the little of a server that a C file of the product needs to run in a test program of
 * its own: memory contexts that are one heap, and errors that jump back to a TRY or end the
 * program.
 */
#ifndef EXACT_UNIT_BACKEND_H
#define EXACT_UNIT_BACKEND_H

#include "postgres.h"

#include <setjmp.h>

#include "utils/memutils.h"
#include "utils/timestamp.h"

MemoryContext CurrentMemoryContext = NULL;
MemoryContext TopMemoryContext = NULL;

static jmp_buf *unit_catch = NULL;
static int	unit_sqlstate;
static char unit_message[1024];

/* Runs the statement; true when it raised, with unit_sqlstate and unit_message set. */
#define RAISES(statement) \
	__extension__({ \
		jmp_buf unit_here; \
		volatile bool unit_raised = true; \
		unit_catch = &unit_here; \
		if (setjmp(unit_here) == 0) \
		{ \
			statement; \
			unit_raised = false; \
		} \
		unit_catch = NULL; \
		unit_raised; \
	})

bool
errstart(int elevel, const char *domain pg_attribute_unused())
{
	return elevel >= ERROR;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

void
errfinish(const char *file, int line, const char *function pg_attribute_unused())
{
	if (unit_catch != NULL)
		longjmp(*unit_catch, 1);
	fprintf(stderr, "%s:%d: %s\n", file, line, unit_message);
	exit(2);
}

int
errcode(int sqlstate)
{
	unit_sqlstate = sqlstate;
	return 0;
}

int
errmsg(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vsnprintf(unit_message, sizeof(unit_message), fmt, args);
	va_end(args);
	return 0;
}

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name pg_attribute_unused(),
							  Size min pg_attribute_unused(), Size init pg_attribute_unused(),
							  Size max pg_attribute_unused())
{
	return parent;
}

void
MemoryContextDelete(MemoryContext context pg_attribute_unused())
{
}

TimestampTz
time_t_to_timestamptz(pg_time_t tm)
{
	int64		seconds = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY;

	return ((TimestampTz) tm - seconds) * USECS_PER_SEC;
}

#endif

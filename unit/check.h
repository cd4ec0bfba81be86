/*
 * check.h - for stand-alone test programs: CHECK(condition) says file and line of what does not
 * hold; checks_done() is main's result.
 */
#ifndef EXACT_UNIT_CHECK_H
#define EXACT_UNIT_CHECK_H

#include <stdio.h>
#include <string.h>

static int	checks_made;
static int	checks_failed;

#define CHECK(condition) \
	do { \
		checks_made++; \
		if (!(condition)) \
		{ \
			checks_failed++; \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
		} \
	} while (0)

static int
checks_done(void)
{
	printf("%d checks, %d failed\n", checks_made, checks_failed);
	return checks_failed > 0 || checks_made == 0;
}

#if defined(USE_ASSERT_CHECKING) && !defined(FRONTEND)
/* Of a server with assertions; postgres.h declares it, with an argument less from 16 on. */
#if PG_VERSION_NUM >= 160000
void
ExceptionalCondition(const char *condition, const char *file, int line)
#else
void
ExceptionalCondition(const char *condition, const char *kind pg_attribute_unused(),
					 const char *file, int line)
#endif
{
	fprintf(stderr, "%s:%d: %s does not hold\n", file, line, condition);
	abort();
}
#endif

#endif

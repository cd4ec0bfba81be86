/*
 * coverage.h - included first into each .c by scripts/check --coverage: tells coverage.c, where it
 * is preloaded, how the counts are written.
 */
extern void __gcov_dump(void);
extern void exact_coverage_register(void (*write_counts) (void)) __attribute__((weak));

static void __attribute__((constructor))
coverage_begin(void)
{
	if (exact_coverage_register)
		exact_coverage_register(__gcov_dump);
}

/*
 * backoff_test.c - waits between attempts, and moments as waits.
 */
#include "backend.h"

#include "base/backoff.c"
#include "base/clock.c"

#include "check.h"

static TimestampTz now_is = 1000000;

TimestampTz
GetCurrentTimestamp(void)
{
	return now_is;
}

/* Does every one of many draws lie within 13 % of this? */
static bool
around(int failures, int64 first_ms, int64 last_ms, int64 expected)
{
	for (int i = 0; i < 1000; i++)
	{
		int64		ms = exact_backoff_ms(failures, first_ms, last_ms);

		if (ms < expected * 87 / 100 || ms > expected * 113 / 100 + 1)
			return false;
	}
	return true;
}

int
main(void)
{
	pg_prng_seed(&pg_global_prng_state, 1);

	CHECK(around(0, 1000, 60000, 1000));
	CHECK(around(1, 1000, 60000, 1000));
	CHECK(around(2, 1000, 60000, 2000));
	CHECK(around(6, 1000, 60000, 32000));
	CHECK(around(7, 1000, 60000, 60000));
	CHECK(around(2000000000, 1000, 60000, 60000));
	CHECK(around(1, 90000, 60000, 60000));
	CHECK(exact_backoff_ms(1, 100000, 100000) != exact_backoff_ms(1, 100000, 100000));

	CHECK(exact_clock_wait_ms(PG_INT64_MAX) == -1);
	CHECK(exact_clock_wait_ms(0) == 0);
	CHECK(exact_clock_wait_ms(now_is) == 0);
	CHECK(exact_clock_wait_ms(now_is + 1) == 1);
	CHECK(exact_clock_wait_ms(now_is + 2000) == 3);
	CHECK(exact_clock_wait_ms(now_is + 3600000 * INT64CONST(1000)) == 3600000);
	CHECK(exact_clock_wait_ms(now_is + 9000000 * INT64CONST(1000)) == 3600000);

	/* a plan of an hour: not yet, and not one that a clock that was set back has left behind */
	CHECK(exact_clock_ahead(now_is + 1, 3600000));
	CHECK(exact_clock_ahead(now_is + 3600000 * INT64CONST(1000), 3600000));
	CHECK(!exact_clock_ahead(now_is + 3600001 * INT64CONST(1000), 3600000));
	CHECK(!exact_clock_ahead(now_is, 3600000));
	CHECK(!exact_clock_ahead(now_is - 1, 3600000));

	CHECK(exact_clock_sooner(-1, 5) == 5 && exact_clock_sooner(5, -1) == 5);
	CHECK(exact_clock_sooner(0, 5) == 0 && exact_clock_sooner(5, 0) == 0);

	CHECK(!exact_clock_is_future(now_is));
	CHECK(exact_clock_is_future(now_is + 1));
	return checks_done();
}

/*
 * signature.c - does the time of the signature check tell how much of a guess is right?
 *
 * As dudect does: the check runs on two classes of signatures in an order drawn at random, the
 * slowest measurements are left out, and Welch's t says whether the means differ. |t| above 10 is a
 * leak, below 4.5 none that so many measurements could show. The same with a comparison that ends
 * at the first difference shows that this program would see one.
 */
#include "frontend.h"

#include <math.h>
#include <time.h>

#include "base/json.c"
#include "listener/webhook.c"

#define SECRET "a secret of the bench"
#define DIGITS_LEN (2 * PG_SHA256_DIGEST_LENGTH)
#define BATCH 20000				/* measurements from which the slow ones are cut */
#define KEPT 0.8				/* share of the quickest that count */

typedef bool (*Check) (const ExactWebhook *webhook);

typedef struct Sum
{
	double		n;
	double		mean;
	double		squares;
} Sum;

static char content[512];
static char right[DIGITS_LEN + 1];
static uint64 state = 88172645463325252;

static uint64
draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static bool
ours(const ExactWebhook *webhook)
{
	return exact_webhook_signed(webhook, SECRET, strlen(SECRET));
}

/* What must not be: the bytes are compared until one differs. */
static bool
leaking(const ExactWebhook *webhook)
{
	volatile bool same = ours(webhook);

	same = true;
	for (int i = 0; same && i < DIGITS_LEN; i++)
		same = right[i] == webhook->signature[i];
	return same;
}

static double
nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

static void
add(Sum *sum, double value)
{
	double		before = value - sum->mean;

	sum->n++;
	sum->mean += before / sum->n;
	sum->squares += before * (value - sum->mean);
}

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* Welch's t of the two classes after n measurements. */
static double
measure(Check check, const char *const classes[2], long n, double *mean)
{
	static double took[BATCH];
	static double sorted[BATCH];
	static int	class_of[BATCH];
	static char signature[DIGITS_LEN];
	ExactWebhook webhook = {.content = content, .content_len = sizeof(content),
	.signature = signature};
	Sum			sums[2] = {{0}};

	for (long done = 0; done < n; done += BATCH)
	{
		double		limit;

		for (int i = 0; i < BATCH; i++)
		{
			double		begun;

			class_of[i] = (int) (draw() >> 40 & 1);
			memcpy(signature, classes[class_of[i]], DIGITS_LEN);
			begun = nanoseconds();
			(void) check(&webhook);
			took[i] = nanoseconds() - begun;
		}
		memcpy(sorted, took, sizeof(took));
		qsort(sorted, BATCH, sizeof(double), compare);
		limit = sorted[(int) (BATCH * KEPT)];
		for (int i = 0; i < BATCH; i++)
			if (took[i] <= limit)
				add(&sums[class_of[i]], took[i]);
	}
	*mean = sums[0].mean;
	return (sums[0].mean - sums[1].mean) /
		sqrt(sums[0].squares / (sums[0].n - 1) / sums[0].n +
			 sums[1].squares / (sums[1].n - 1) / sums[1].n);
}

static void
sign(void)
{
	static const char hex[] = "0123456789ABCDEF";
	uint8		mac[PG_SHA256_DIGEST_LENGTH];
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);

	memset(content, 'x', sizeof(content));
	if (pg_hmac_init(ctx, (const uint8 *) SECRET, strlen(SECRET)) < 0 ||
		pg_hmac_update(ctx, (const uint8 *) content, sizeof(content)) < 0 ||
		pg_hmac_final(ctx, mac, sizeof(mac)) < 0)
		exit(2);
	pg_hmac_free(ctx);
	for (int i = 0; i < DIGITS_LEN; i++)
		right[i] = hex[i % 2 ? mac[i / 2] & 15 : mac[i / 2] >> 4];
}

int
main(int argc, char **argv)
{
	long		n = argc > 1 ? atol(argv[1]) : 1000000;
	char		first[DIGITS_LEN + 1];
	char		last[DIGITS_LEN + 1];
	struct
	{
		const char *what;
		Check		check;
		const char *classes[2];
	}			tests[] = {
		{"right, first digit wrong", ours, {right, first}},
		{"right, last digit wrong", ours, {right, last}},
		{"first digit wrong, last digit wrong", ours, {first, last}},
		{"first digit wrong, last digit wrong, by a comparison that ends early", leaking,
		{first, last}},
	};
	int			bad = 0;

	sign();
	strlcpy(first, right, sizeof(first));
	strlcpy(last, right, sizeof(last));
	first[0] = right[0] == 'A' ? 'B' : 'A';
	last[DIGITS_LEN - 1] = right[DIGITS_LEN - 1] == 'A' ? 'B' : 'A';
	for (size_t i = 0; i < lengthof(tests); i++)
	{
		double		mean;
		double		t = measure(tests[i].check, tests[i].classes, n, &mean);
		bool		leaks = fabs(t) > 10;

		printf("| %s | %ld | %.0f ns | %.1f |\n", tests[i].what, n, mean, fabs(t));
		fflush(stdout);
		bad += leaks == (tests[i].check == ours);
	}
	return bad ? 1 : 0;
}

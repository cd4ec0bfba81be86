/*
 * amount.c - money as whole ten-thousandths. Called by document.c and rule.c.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "document/amount.h"

#define DECIMALS 4
#define DIGITS_MAX 17			/* below 10^13 units */
#define SUM_MAX (INT64CONST(1) << 59)
#define EXPONENT_MAX 1000		/* beyond it a number is 0, or too large, whatever its digits say */

/* The digits of a number without leading zeros, and where its point is */
typedef struct Digits
{
	char		digit[DIGITS_MAX + 2];
	int			kept;
	int			point;			/* so many stand before it; negative: zeros follow it */
} Digits;

/* Digits up to the exponent; what follows them, NULL when there is none. */
static const char *
read_digits(const char *p, const char *end, Digits *out)
{
	bool		fraction = false;
	int			seen = 0;

	for (; p < end; p++)
	{
		if (*p == '.' && !fraction)
		{
			fraction = true;
			continue;
		}
		if (*p < '0' || *p > '9')
			break;
		seen++;
		if (out->kept == 0 && *p == '0')
		{
			out->point -= fraction;
			continue;
		}
		out->point += !fraction;
		if (out->kept < (int) sizeof(out->digit))
			out->digit[out->kept++] = *p;
	}
	return seen > 0 ? p : NULL;
}

/* e12, E+12, e-12 */
static bool
read_exponent(const char *p, const char *end, int *out)
{
	bool		negative;
	int			value = 0;

	if (p == end)
		return true;
	if (*p != 'e' && *p != 'E')
		return false;
	p++;
	negative = p < end && *p == '-';
	if (p < end && (*p == '-' || *p == '+'))
		p++;
	if (p == end)
		return false;
	for (; p < end; p++)
	{
		if (*p < '0' || *p > '9')
			return false;
		value = Min(value * 10 + (*p - '0'), EXPONENT_MAX);
	}
	*out += negative ? -value : value;
	return true;
}

bool
exact_amount_read(const char *text, size_t len, int64 *out)
{
	const char *p = text;
	const char *end = text + len;
	Digits		digits = {.kept = 0};
	bool		negative;
	int			keep;
	int64		value = 0;

	if (len >= 2 && *p == '"' && end[-1] == '"')
	{
		p++;
		end--;
	}
	negative = p < end && *p == '-';
	p = read_digits(p + negative, end, &digits);
	if (p == NULL || !read_exponent(p, end, &digits.point))
		return false;
	keep = digits.kept == 0 ? 0 : digits.point + DECIMALS;
	if (keep > DIGITS_MAX)
		return false;
	for (int i = 0; i < keep; i++)
		value = value * 10 + (i < digits.kept ? digits.digit[i] - '0' : 0);
	if (keep >= 0 && keep < digits.kept && digits.digit[keep] >= '5')
		value++;
	*out = negative ? -value : value;
	return true;
}

bool
exact_amount_add(int64 *sum, int64 amount)
{
	int64		result = *sum + amount;

	if (result > SUM_MAX || result < -SUM_MAX)
		return false;
	*sum = result;
	return true;
}

int64
exact_amount_unit(const char *currency)
{
	static const char whole[] =
	"BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
	static const char thousandths[] = "BHD IQD JOD KWD LYD OMR TND";

	if (currency == NULL || strlen(currency) != 3 || strchr(currency, ' ') != NULL)
		return EXACT_AMOUNT_ONE / 100;
	if (strstr(whole, currency) != NULL)
		return EXACT_AMOUNT_ONE;
	return strstr(thousandths, currency) != NULL ? EXACT_AMOUNT_ONE / 1000
		: EXACT_AMOUNT_ONE / 100;
}

char *
exact_amount_text(int64 amount, int64 unit)
{
	uint64		positive = amount < 0 ? -(uint64) amount : (uint64) amount;
	int			decimals = 0;
	int			fraction = (int) (positive % EXACT_AMOUNT_ONE);
	char		digits[DECIMALS + 1];

	for (int64 i = unit; i < EXACT_AMOUNT_ONE; i *= 10)
		decimals++;
	snprintf(digits, sizeof(digits), "%04d", fraction);
	for (int i = DECIMALS; i > decimals; i--)
		if (digits[i - 1] != '0')
		{
			decimals = i;
			break;
		}
	return psprintf("%s%lld%s%.*s", amount < 0 ? "-" : "",
					(long long) (positive / EXACT_AMOUNT_ONE), decimals > 0 ? "." : "", decimals,
					digits);
}

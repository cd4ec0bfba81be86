/*
 * service.h - is the other side there? What a worker's calls say of each app of Exact Online
 * (fetcher) and of each workspace of Databricks (loader).
 *
 * Every call begins with exact_service_begin() and ends with exactly one of the four ends. All but
 * exact_service_turn() only change memory and may be called anywhere outside a unit. What is known
 * is written to exact.service_state by exact_service_turn(): at once when it has changed, the time
 * of the last answer every ten seconds while there are calls, and nothing when there are none.
 *
 * While a service does not answer at all, one small request without a token asks every eight
 * seconds whether somebody is there; when somebody is, `back` makes a call of its own and has what
 * waits for the service try at once.
 */
#ifndef EXACT_SERVICE_H
#define EXACT_SERVICE_H

#include "utils/timestamp.h"

#include "http/http_client.h"

typedef enum ExactServiceSide
{
	EXACT_SERVICE_EXACT,		/* name: an app */
	EXACT_SERVICE_DATABRICKS	/* name: a workspace */
} ExactServiceSide;

/*
 * What waits for this service may be tried again now; outside a unit. certain: it was not there and
 * is now, or somebody says that something is mended; else only a call of it was answered.
 */
typedef void (*ExactServiceBack) (const char *name, bool certain);

/* Once a process: the side that it calls, and whom to tell that a service is back. */
extern void exact_service_init(ExactServiceSide side, ExactServiceBack back);

/*
 * A call goes out to this address, whose query is left out of what is asked while it is away. NULL:
 * of a question on the side, whose address is not asked then.
 */
extern void exact_service_begin(const char *name, const char *url);
/* It was answered by the service itself, whatever it said. */
extern void exact_service_answered(const char *name);
/* It was answered: later, please. until 0: it did not say when. */
extern void exact_service_slowed(const char *name, TimestampTz until);
/* It got no answer of the service; cause: the end of a sentence, also from outside. */
extern void exact_service_silent(const char *name, const char *cause);
/* It was answered, and its token was refused. */
extern void exact_service_refused(const char *name);

/* No token can be had for now, for this cause; no end of a call. */
extern void exact_service_no_token(const char *name, const char *cause);
/* A workspace's warehouse is being started, or runs. */
extern void exact_service_starting(const char *name, bool starting);

/* Is it no answer, or one of a web server or gateway in its place? */
extern bool exact_service_is_away(const ExactHttpResponse *response);
extern bool exact_service_is_json(const ExactHttpResponse *response);
/* Why not, as the end of a sentence (palloc'd); of one that is away */
extern char *exact_service_away_cause(const ExactHttpResponse *response);

/* Has its last call had no good answer? */
extern bool exact_service_fails(const char *name);

/*
 * Somebody may have mended what keeps a service from being called: it is tried at once. NULL: all
 * of them.
 */
extern void exact_service_mended(const char *name);

/* Writes what is due; returns ms until the next turn is wanted, -1 = none. Outside a unit. */
extern long exact_service_turn(void);

#endif

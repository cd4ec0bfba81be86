/*
 * token_store.h - exact.token and exact.app_state: what is stored about an app's authorisation.
 *
 * The only C file that writes exact.app_state, and the only one but rotate_key() that writes
 * exact.token. All functions run in a unit, exact_token_store_import also with SPI connected in a
 * backend.
 */
#ifndef EXACT_TOKEN_STORE_H
#define EXACT_TOKEN_STORE_H

#include "utils/timestamp.h"

#include "auth/secret.h"

/* An app as it is stored now; texts in the memory context that was current when it was read. */
typedef struct ExactTokenRow
{
	char	   *base_url;		/* as configured, allowed */
	char	   *origin;			/* of base_url */
	char	   *client_id;
	TimestampTz client_secret_set_at;	/* 0: not set */
	bool		reauthorize;	/* a human must consent again */
	TimestampTz since;
	char	   *reason;
	char	   *next_step;
	int			learned_age;	/* s, 0 = none */
	TimestampTz refreshing_since;	/* 0: no refresh without a recorded outcome */
	int			attempts;
	int64		id;				/* newest pair; 0: none */
	char	   *host;			/* that it is for */
	bool		has_access;
	bool		borrowed;		/* its refresh token is that of the pair before */
	TimestampTz issued_at;
	TimestampTz expires_at;
} ExactTokenRow;

/* Reads an app; raises when there is none or its address is not allowed. */
extern void exact_token_store_look(const char *app, ExactTokenRow *row);

/* Opens "access" or "refresh" of the pair in row. Raises EX003, EX004. */
extern ExactSecret *exact_token_store_open(const char *app, const ExactTokenRow *row,
										   const char *field);

/*
 * A pair to be stored. The newest pair is told by issued_at, which must be later than that of the
 * pair before.
 */
typedef struct ExactTokenPair
{
	const char *host;
	const ExactSecret *access;
	const ExactSecret *refresh;
	TimestampTz issued_at;
	TimestampTz expires_at;
	const char *origin;			/* as in exact.token: authorize, refresh or access */
	int64		old_id;			/* the pair whose refresh token it came for */
	TimestampTz old_issued_at;
} ExactTokenPair;

/*
 * Appends a pair with one INSERT and makes the commit wait for the disk. Returns its id. When
 * another chain was stored since the refresh was sent, the pair goes behind that one.
 */
extern int64 exact_token_store_append(const char *app, const ExactTokenPair *pair);

/*
 * A refresh token that was issued elsewhere becomes the app's newest pair, without an access token,
 * so that the first call refreshes; the app counts as authorised.
 */
extern void exact_token_store_import(const char *app, const char *host, const ExactSecret *refresh);

/* What exact.app_state is to say. */
typedef struct ExactTokenNote
{
	const char *state;			/* NULL: as it is */
	const char *reason;
	const char *next_step;
	int			learned_age;	/* 0: as it is */
	TimestampTz refreshing_since;	/* 0: none */
	int			attempts;
} ExactTokenNote;

/* Writes it; false when somebody's open transaction has the row: then later. Never waits for it. */
extern bool exact_token_store_note(const char *app, const ExactTokenNote *note);

/* The value that a redirect must bring back is used up. False when none was waiting. */
extern bool exact_token_store_use_state(const char *app);

/* The user who consented. */
extern void exact_token_store_user(const char *app, const char *user);

/* One call of the token endpoint, in exact.api_call and, unless event is NULL, in the audit log. */
typedef struct ExactTokenCall
{
	TimestampTz at;
	double		ms;
	long		status;
	const char *outcome;		/* as in exact.api_call: ok, transient, limit, refused */
	const char *event;			/* authorized, refreshed, refused, ... */
	const char *error;			/* without secrets */
	size_t		bytes;
	int64		token_id;		/* 0: none */
	TimestampTz expires_at;		/* 0: none */
} ExactTokenCall;

extern void exact_token_store_record(const char *app, const ExactTokenCall *call);

/* Calls of the token endpoint since the last midnight in UTC, as recorded. */
extern int	exact_token_store_calls_today(const char *app);

/*
 * Names of apps whose pair was not renewed for so many days, or was imported and never used
 * (palloc'd); n in *n.
 */
extern char **exact_token_store_idle(int days, int *n);

#endif

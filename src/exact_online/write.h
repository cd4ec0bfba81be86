/*
 * write.h - the only three resources of Exact Online that the hub writes, and one write to one of
 * them.
 *
 * A write is sent once. What its answer means is said by exact_write_judge(); who asks for it, and
 * what follows, is said by exact._write_take() and exact._write_outcome().
 */
#ifndef EXACT_WRITE_H
#define EXACT_WRITE_H

#include "exact_online/exact_api.h"

#define EXACT_WRITE_RESOURCES 3

/* "costcenter" -> "hrm/Costcenters"; NULL: an entity that is never written. */
extern const char *exact_write_resource(const char *entity);
/* The entity at a place of the list, from 0 to EXACT_WRITE_RESOURCES - 1 */
extern const char *exact_write_entity(int place);

typedef struct ExactWrite
{
	int			division;
	const char *entity;
	const char *method;			/* POST, PUT; GET: is there a record with a code? */
	const char *path;			/* "/api/v1/1/hrm/Costcenters(guid'...')", not percent-encoded */
	const char *body;			/* JSON; NULL with GET */
} ExactWrite;

/* Raises unless its method, its path and its body are those of one of the three resources. */
extern void exact_write_check(const ExactWrite *write);

/*
 * Sends it once, as exact_api_send() does; from: app and base_url of its division. Checks it as
 * exact_write_check() does.
 */
extern void exact_write_send(const ExactWrite *write, const ExactApiRequest *from,
							 ExactApiDone done, void *arg);

typedef enum ExactWriteOutcome
{
	EXACT_WRITE_OK,
	EXACT_WRITE_REFUSED,		/* not done, and it never will be: the service says why */
	EXACT_WRITE_UNKNOWN,		/* sent, without a usable answer: it may have been done */
	EXACT_WRITE_UNSENT			/* surely not done, and nothing is said against it */
} ExactWriteOutcome;

typedef struct ExactWriteResult
{
	ExactWriteOutcome outcome;
	int			status;			/* 0: none */
	char	   *said;			/* what the service said against it, in full; NULL: nothing */
	/* ID and Code of the records in the answer, as {"d":[...]}; NULL: none can be read */
	char	   *rows;
	bool		foreign;		/* the answer is about another division */
} ExactWriteResult;

/* "ok", "refused", "unknown", "unsent" */
extern const char *exact_write_outcome_name(ExactWriteOutcome outcome);

/*
 * What an answer means; texts are palloc'd. An answer that refuses the write is refused for the
 * call's record, too (answer->trouble): a validation error comes as HTTP 500.
 */
extern void exact_write_judge(const ExactWrite *write, ExactApiAnswer *answer,
							  ExactWriteResult *result);

#endif

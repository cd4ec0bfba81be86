/*
 * subscription_answer.h - what the answers of Exact Online mean for the wanted topics of a
 * division.
 */
#ifndef EXACT_SUBSCRIPTION_ANSWER_H
#define EXACT_SUBSCRIPTION_ANSWER_H

#include "utils/timestamp.h"

#include "exact_online/exact_api.h"
#include "subscription/upkeep.h"

/* For exact_api_send: the list was asked for, a subscription was made or deleted. */
extern void exact_subscription_answer_list(ExactApiAnswer *answer, void *upkeep);
extern void exact_subscription_answer_step(ExactApiAnswer *answer, void *upkeep);

/* May this topic be made now, or only tomorrow? */
extern bool exact_subscription_answer_may_try(const ExactUpkeep *upkeep, const ExactTopic *topic);
/* The topic whose step is next; NULL: none is left. */
extern ExactTopic *exact_subscription_answer_next(const ExactUpkeep *upkeep);
/* The upkeep is over; problem (NULL: none) is why it could not be done. */
extern void exact_subscription_answer_end(ExactUpkeep *upkeep, const char *problem,
										  TimestampTz not_before);
/* Nothing can be sent: the rows say why. */
extern void exact_subscription_answer_blocked(ExactUpkeep *upkeep);

#endif

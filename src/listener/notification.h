/*
 * notification.h - notifications that came to the listener: gathered into groups, stored, answered.
 *
 * All that came while the last group was committed, and some milliseconds longer when they come
 * thick, are the next group: one unit, and each answer after its commit. Nothing is answered 200
 * that is not committed; what cannot be stored now is answered 503, and the sender comes again.
 */
#ifndef EXACT_NOTIFICATION_H
#define EXACT_NOTIFICATION_H

#include "base/fault.h"
#include "http/http_server.h"

/* Takes over a request of the hook. Only while there is room: exact_notification_room(). */
extern void exact_notification_add(ExactRequest *request);
extern bool exact_notification_room(void);

/*
 * Stores and answers the group when it is time; what waits on is held for a later turn. refuse: why
 * the listener must not work now, NULL = it may. True when a group was answered. Outside a unit.
 */
extern bool exact_notification_run(const ExactFault *refuse);

/* ms until the group may be stored, -1: there is none */
extern long exact_notification_wait_ms(void);

/* Was nothing to be stored a moment ago? Then everything is answered 503 for a second. */
extern bool exact_notification_stuck(void);

/* How many were refused for their signature, in the log once a minute */
extern void exact_notification_log_refused(void);

#endif

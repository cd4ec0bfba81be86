/*
 * errors.h - the product's own SQLSTATEs, class EX. Every error has one, a message, a detail and a
 * hint with the next step.
 */
#ifndef EXACT_ERRORS_H
#define EXACT_ERRORS_H

#include "utils/elog.h"

/* workers do not run */
#define ERRCODE_EXACT_NOT_PRELOADED          MAKE_SQLSTATE('E','X','0','0','1')
/* worker ended or did not answer in time */
#define ERRCODE_EXACT_WORKER_GONE            MAKE_SQLSTATE('E','X','0','0','2')
#define ERRCODE_EXACT_KEY_FILE               MAKE_SQLSTATE('E','X','0','0','3')
/* missing, cannot be opened, refused */
#define ERRCODE_EXACT_SECRET                 MAKE_SQLSTATE('E','X','0','0','4')
/* a human must consent */
#define ERRCODE_EXACT_NOT_AUTHORIZED         MAKE_SQLSTATE('E','X','0','0','5')
#define ERRCODE_EXACT_HOST_NOT_ALLOWED       MAKE_SQLSTATE('E','X','0','0','6')
/* Exact Online answered an error */
#define ERRCODE_EXACT_REFUSED                MAKE_SQLSTATE('E','X','0','0','7')
#define ERRCODE_EXACT_UNAVAILABLE            MAKE_SQLSTATE('E','X','0','0','8')
/* HTML, malformed, cut off */
#define ERRCODE_EXACT_BAD_ANSWER             MAKE_SQLSTATE('E','X','0','0','9')
/* frozen */
#define ERRCODE_EXACT_DIVISION_GUARD         MAKE_SQLSTATE('E','X','0','1','0')
#define ERRCODE_EXACT_MISSING_SCOPE          MAKE_SQLSTATE('E','X','0','1','1')
#define ERRCODE_EXACT_DATABRICKS_REFUSED     MAKE_SQLSTATE('E','X','0','1','2')
#define ERRCODE_EXACT_DATABRICKS_UNAVAILABLE MAKE_SQLSTATE('E','X','0','1','3')
/* the Delta table is not as expected */
#define ERRCODE_EXACT_TABLE_MISMATCH         MAKE_SQLSTATE('E','X','0','1','4')
#define ERRCODE_EXACT_UNKNOWN_ENTITY         MAKE_SQLSTATE('E','X','0','1','5')
/* not bound to this cluster, or of another version */
#define ERRCODE_EXACT_INSTALLATION           MAKE_SQLSTATE('E','X','0','1','6')
/* rate limit, error budget */
#define ERRCODE_EXACT_BUDGET                 MAKE_SQLSTATE('E','X','0','1','7')
/* unknown, failed */
#define ERRCODE_EXACT_REQUEST                MAKE_SQLSTATE('E','X','0','1','8')
/* the secret would reach the server log */
#define ERRCODE_EXACT_LOGGING_ON             MAKE_SQLSTATE('E','X','0','1','9')
#define ERRCODE_EXACT_FEED_NOT_AVAILABLE     MAKE_SQLSTATE('E','X','0','2','0')
/* configuration, argument or role; most are raised in SQL */
#define ERRCODE_EXACT_NOT_USABLE             MAKE_SQLSTATE('E','X','0','2','1')
/* a notification that is refused: signature, size */
#define ERRCODE_EXACT_WEBHOOK                MAKE_SQLSTATE('E','X','0','2','2')

#endif

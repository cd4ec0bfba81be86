/*
 * read_request.h - when the dimensions of a workspace are read besides: on request, and by time.
 * Loader only.
 */
#ifndef EXACT_READ_REQUEST_H
#define EXACT_READ_REQUEST_H

#include "postgres.h"

/*
 * Takes requests of kind "read_dimensions" and ends them once their tables were read; every
 * exact_databricks.dimension_interval has the tables read of each workspace whose warehouse runs.
 * looked: there may be a new request. Returns ms until the next turn is wanted, -1 = none.
 */
extern long exact_read_request_turn(bool looked);

#endif

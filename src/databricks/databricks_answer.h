/*
 * databricks_answer.h - what an answer of Databricks says: the state, error and rows of a
 * statement.
 *
 * All results live in the current memory context.
 */
#ifndef EXACT_DATABRICKS_ANSWER_H
#define EXACT_DATABRICKS_ANSWER_H

#include "databricks/databricks.h"
#include "http/http_client.h"

#define EXACT_DATABRICKS_WORDS_MAX 300	/* bytes of a text of the service that people are shown */

/* The text at a path of the answer (json.h), NULL when it is absent or null */
extern char *exact_databricks_answer_text(const ExactHttpResponse *response, const char *path);
/* The service's own words about an error, from any of its shapes */
extern char *exact_databricks_answer_words(const ExactHttpResponse *response);
/* State, error and rows of a statement; false when the answer is not one about a statement. */
extern bool exact_databricks_answer_statement(const ExactHttpResponse *response,
											  ExactCallAnswer *answer);

#endif

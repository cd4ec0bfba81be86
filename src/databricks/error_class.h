/*
 * error_class.h - what an error of Databricks is about: its class, its SQLSTATE and its words, in
 * whatever form the service shows it.
 *
 * Pure text: no SQL, no network. A refusal may have a class and no SQLSTATE, a SQLSTATE in its text
 * only, or neither; it may begin with a line feed, an exception of Java or a code, and echo the
 * statement. README.md has a table of them.
 */
#ifndef EXACT_ERROR_CLASS_H
#define EXACT_ERROR_CLASS_H

typedef struct ExactErrorClass
{
	const char *name;			/* "CAST_INVALID_INPUT", without a subclass; "" for none */
	/* of the answer; else that of the class; else that in the text; "" when there is none */
	const char *sqlstate;
	/* the text behind class, code and exception, without the echoed statement; not tidied */
	const char *words;
} ExactErrorClass;

/* sqlstate: the answer's own field, may be NULL. Results are palloc'd or constants. */
extern void exact_error_class_read(const char *message, const char *sqlstate,
								   ExactErrorClass *out);

#endif

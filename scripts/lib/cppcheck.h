/*
 * What cppcheck, which does not read PostgreSQL's headers, must know of their macros: an error does
 * not come back, and a loop is a loop.
 */
#include <stdlib.h>
#include <stddef.h>

#define LOG 15
#define WARNING 19
#define ERROR 21
#define FATAL 22
#define PANIC 23
#define ereport(elevel, ...) do { if ((elevel) >= ERROR) abort(); } while (0)
#define elog(elevel, ...) do { if ((elevel) >= ERROR) abort(); } while (0)
#define pg_unreachable() abort()
#define foreach(cell, list) for (cell = first_of(list); cell != NULL; cell = next_of(cell))
#define dlist_foreach(iter, head) \
	for ((iter).cur = first_of(head); (iter).cur != NULL; (iter).cur = next_of((iter).cur))
#define dlist_foreach_modify(iter, head) dlist_foreach(iter, head)
#define CppAsString2(x) "x"
#define PG_FUNCTION_INFO_V1(name)
#define PG_MODULE_MAGIC
#define PG_TRY() if (1)
#define PG_CATCH() else
#define PG_FINALLY()
#define PG_END_TRY()
#define PGDLLEXPORT
#define pg_noreturn __attribute__((noreturn))
#define pg_attribute_noreturn() __attribute__((noreturn))
#define pg_attribute_printf(f, a)
#define StaticAssertDecl(condition, text)
#define INT64_FORMAT "%ld"
#define UINT64_FORMAT "%lu"
#define NAMEDATALEN 64
#define PG_VERSION_NUM 150000

/*
 * ddl_hook.h - lets workers step aside for commands on a database or on the extension.
 */
#ifndef EXACT_DDL_HOOK_H
#define EXACT_DDL_HOOK_H

/* Called by _PG_init while the server preloads libraries. */
extern void exact_ddl_hook_init(void);

#endif

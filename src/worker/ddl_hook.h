/*
 * ddl_hook.h - see ddl_hook.c.
 */
#ifndef EXACT_DDL_HOOK_H
#define EXACT_DDL_HOOK_H

extern void exact_ddl_hook_init(void);

#endif

/*
 * disk.h - how much disk space the hub uses, and whether it may use more.
 */
#ifndef EXACT_DISK_H
#define EXACT_DISK_H

/*
 * In no transaction: measures once a minute, and at once when exact_databricks.max_disk has
 * changed. Returns ms until it wants to be called again.
 */
extern long exact_disk_turn(void);

/* Is nothing to be read from Exact Online, as of the last measuring? */
extern bool exact_disk_full(void);

#endif

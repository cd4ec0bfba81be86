/*
 * ledger.h - exact.ledger_entry and exact.ledger_count: what row 0 of a division's transaction
 * lines is, learned from its entries.
 *
 * The rules are functions of install/54_ledger.sql. Everything runs in a unit.
 */
#ifndef EXACT_LEDGER_H
#define EXACT_LEDGER_H

#include "postgres.h"

/* After a batch was staged: judges the entries that it is about, if it is of the ledger. */
extern void exact_ledger_learn(int division, const char *entity, int slot, int64 batch);

/* Value of _row for row 0 of an entry; NULL: not known, or not the same for all entries. */
extern const char *exact_ledger_row_zero(int division);

/* Do the amounts of its sync sales invoices have the other sign? False while that is not known. */
extern bool exact_ledger_invoices_turned(int division);

#endif

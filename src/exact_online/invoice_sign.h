/*
 * invoice_sign.h - are the amounts of a division's sync sales invoices turned? One plain read of an
 * invoice tells.
 */
#ifndef EXACT_INVOICE_SIGN_H
#define EXACT_INVOICE_SIGN_H

/* Asks the next question, one at a time. Returns the ms until it looks again. */
extern long exact_invoice_sign_turn(void);

#endif

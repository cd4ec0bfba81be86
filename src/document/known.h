/*
 * known.h - what the hub knows of the dimensions that some documents name.
 */
#ifndef EXACT_KNOWN_H
#define EXACT_KNOWN_H

#include "document/rule.h"

typedef struct ExactKnown ExactKnown;

/* In a unit: reads the dimensions that these documents of a division name (palloc'd). */
extern ExactKnown *exact_known_read(int division, ExactDocument *const *documents, int n);

/* As the rules ask for them */
extern const ExactDimensions *exact_known_dimensions(const ExactKnown *known);

/*
 * Has the division a record of the dimension that this rule asks for, or does it read them? Else
 * the rule cannot be applied.
 */
extern bool exact_known_any(const ExactKnown *known, ExactRule rule);

/* Is the document's period closed for its journal? Not where that is not read. */
extern bool exact_known_closed(int division, const ExactDocument *document);

/* Do the ledger rows of a journal entry add up to zero? -1: they are not read. */
extern int	exact_known_balance(int division, const char *entry);

#endif

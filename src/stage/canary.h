/*
 * canary.h - records that live, asked for beside those that are perhaps gone.
 *
 * A right that was lost, a replica that lags or a gateway gives 200 and no row for all keys, so
 * absence alone proves nothing: an answer counts when a record that lives is in it.
 */
#ifndef EXACT_CANARY_H
#define EXACT_CANARY_H

#define EXACT_CANARIES 2		/* so that one of them may be deleted in that moment */

/*
 * In a unit: records of an entity that live, none of them among the keys, dirty or held; with lines
 * their documents. Their number; 0: there is none. Not the same ones each time.
 */
extern int	exact_canary_pick(int division, const char *entity, bool lines, char **keys, int nkeys,
							  char *found[EXACT_CANARIES]);

#endif

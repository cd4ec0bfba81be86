/*
 * canary.h - whether an answer that does not show a record may be believed.
 *
 * A right that was lost, a replica that lags or a gateway gives 200 and no row for all keys, so
 * absence alone proves nothing. All functions run in a unit. Of documents (line_entity is set) it
 * may be that their lines alone are kept: then these are meant.
 */
#ifndef EXACT_CANARY_H
#define EXACT_CANARY_H

#define EXACT_CANARIES 2		/* so that one of them may be deleted in that moment */

/*
 * Records of an entity that live, none of them among the keys or dirty itself; with lines their
 * documents. Their number; 0: there is none. Not the same ones each time.
 */
extern int	exact_canary_pick(int division, const char *entity, const char *line_entity,
							  bool lines, char **keys, int nkeys, char *found[EXACT_CANARIES]);
/* An operator has approved the deletion of all these keys. */
extern bool exact_canary_believed(int division, const char *entity, char **keys, int nkeys);
/* Whether so many absences within an hour are more than 20 and 5 % of the records that live. */
extern bool exact_canary_too_many(int division, const char *entity, int64 absent);
/*
 * Keys (with lines: of documents, whose lines are meant) wait for an operator's word, beside those
 * of the entity that wait already; what an operator has refused is not asked again.
 */
extern void exact_canary_hold(int division, const char *entity, const char *line_entity,
							  bool lines, char **keys, int nkeys, const char *why);

#endif

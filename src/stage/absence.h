/*
 * absence.h - records that an answer did not show: which may be deleted, and which are held.
 *
 * Counted over an hour for each entity, whatever found them: exact._judge_absent(), which the rule
 * of docs/promises.md comes from. All functions run in a unit.
 */
#ifndef EXACT_ABSENCE_H
#define EXACT_ABSENCE_H

#include "stage/stage.h"

typedef struct ExactAbsence
{
	int			division;
	const char *feed;
	const char *entity;			/* of the records */
	const char *doubt;			/* why the answer is not to be believed; NULL: it may be */
	bool		passes;			/* but the next one may be */
	bool		approved;		/* an operator, or the log of deletes, says that they are gone */
	/* results */
	bool		again;			/* not believed, but the next answer may be: ask for them later */
	char	  **once;			/* of these it was the first answer without them: ask in a moment */
	int			nonce;
} ExactAbsence;

/* Which of the absent records may be deleted (palloc'd); the others are held. */
extern char **exact_absence_judge(ExactAbsence *absence, char **keys, int nkeys, int *nbelieved);

/*
 * The living lines of these documents that were known when the read began, without these keys
 * (palloc'd).
 */
extern char **exact_absence_lines(int division, const char *lines, char **documents,
								  int ndocuments, char **keys, int nkeys, int64 known_seq,
								  int *nlines);

/* Those of the documents that have such lines (palloc'd). */
extern char **exact_absence_lined(int division, const char *lines, char **documents,
								  int ndocuments, char **keys, int nkeys, int64 known_seq,
								  int *nlined);

/* The documents of these lines (palloc'd). */
extern char **exact_absence_documents(int division, const char *lines, char **keys, int nkeys,
									  int *ndocuments);

/* An answer shows these records: none of them is held any more. */
extern void exact_absence_seen(int division, const char *entity, char **keys, int nkeys);

/*
 * These records were deleted, for a reason that needs no word; with line_entity, which may be NULL,
 * the lines of these documents.
 */
extern void exact_absence_deleted(int division, const char *entity, const char *line_entity,
								  char **keys, int nkeys);

#endif

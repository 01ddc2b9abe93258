/*-------------------------------------------------------------------------
 *
 * ct_candidates.h
 *	  Rows that may be among the k of largest correlation, by what bounds say.
 *
 * Layer 1.  A list of limited length, of which the caller asks three things:
 * how large the k-th correlation is at least, which rows to evaluate first, and
 * whether the list has lost a row that is still wanted.
 *
 * IDENTIFICATION
 *	  include/ct_candidates.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_CANDIDATES_H
#define CT_CANDIDATES_H

#include "ct_kernel.h"

typedef struct CtCandidates
{
	int			n;
	int			room;
	int			nbest;			/* the first so many have the largest estimates */
	double		lost;			/* no row that was left out has more than this */
	float		estimate;		/* rows of smaller estimates, */
	float		wide;			/* and of less at most, are left out */
	double	   *most;			/* of each, negated: so less is better */
	CtCandidate *items;
} CtCandidates;

/* Memory of a list, and work space of who works with it. */
extern size_t ct_candidates_bytes(int room);
extern void ct_candidates_init(CtCandidates *list, int room, void *memory);
extern void ct_candidates_clear(CtCandidates *list);

/*
 * Adds the rows that offer asks for and estimates and rests do not rule out;
 * there is room for all of them.  A list that has been full leaves out some.
 */
extern void ct_candidates_offer(CtCandidates *list,
								const CtKernelTable *kernels,
								CtBlockOffer *offer, const float *estimates,
								const float *rests);

/*
 * Drops the rows that cannot be among the k of largest correlation, nor reach
 * cut.  Where the list is still rather full, those stay that have the largest
 * estimates, and those that can have the largest correlations.  Returns cut, or the least that the k-th correlation can be if that is more.
 * keys is work space for as many as there is room for.
 */
extern double ct_candidates_narrow(CtCandidates *list,
								   const CtKernelTable *kernels, int k,
								   double cut, double *keys);

/* Puts the rows of largest estimate, n or some more, first; keys as above. */
extern void ct_candidates_choose(CtCandidates *list,
								 const CtKernelTable *kernels, int n,
								 double *keys);

#endif							/* CT_CANDIDATES_H */

/*-------------------------------------------------------------------------
 *
 * ct_near.h
 *	  The rows nearest to a query, as far as a search expects to return them.
 *
 * Layer 4, of the files of the search alone.
 *
 * Most scans end after a few rows, though none says so.  A search expects as
 * many rows as the last one of the same kind returned, and keeps a limit: the
 * distance within which it has seen that many.  A leaf gives up the rows within
 * the limit only, mostly few or none; of the others their least distance stays
 * in the queue, in the place of the leaf.  Should that come to the front, more
 * rows are expected, and the leaf is read again for those beyond the limit that
 * was.
 *
 * The rows given up wait in a pool, without order, until their distance is
 * below everything in the queue; then all of those are sorted together.
 *
 * IDENTIFICATION
 *	  include/ct_near.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_NEAR_H
#define CT_NEAR_H

#include "ct_compat.h"

#include "storage/itemptr.h"

#include "ct_metric.h"

/* a search that goes on beyond so many rows is better off with whole leaves */
#define CT_NEAR_MOST	512

/* nor is a pool of more rows, which many at one distance may cause, any good */
#define CT_NEAR_POOL	4096

/* rows that a search expects of which nothing is known */
#define CT_NEAR_GUESS	16

typedef struct CtNearRow
{
	double		key;
	ItemPointerData tid;
} CtNearRow;

typedef struct CtNear
{
	bool		active;
	double		limit;			/* leaves keep what is farther; or INFINITY */
	int64		expected;		/* rows of the whole search */
	int64		returned;		/* of them so far, with those in ready[] */

	int			n;				/* rows in the pool */
	int			size;
	double		least;			/* the smallest of their keys, or INFINITY */
	double	   *keys;
	ItemPointerData *tids;

	int			nready;			/* rows by (key, TID) */
	int			next;			/* of them is to be returned */
	int			told;			/* of them ct_search_ahead() has told */
	int			ready_size;
	CtNearRow  *ready;
	double	   *sorting;		/* working arrays as long as ready[] */
	uint16	   *chosen;
} CtNear;

extern void ct_near_start(CtNear *near, int64 expected);
extern void ct_near_clear(CtNear *near);
extern double ct_near_limit(const CtNear *near, const CtKernelTable *kernels,
							const double *dist, int n, double above);
extern void ct_near_add(CtNear *near, const double *keys,
						const ItemPointerData *tids, const uint16 *slots,
						int n);
extern void ct_near_tighten(CtNear *near, const CtKernelTable *kernels);
extern bool ct_near_expect_more(CtNear *near);
extern void ct_near_sort(CtNear *near, const CtKernelTable *kernels,
						 double bound, bool all);

#endif							/* CT_NEAR_H */

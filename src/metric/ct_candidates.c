/*-------------------------------------------------------------------------
 *
 * ct_candidates.c
 *	  Lists of rows by bounds of their correlations (ct_candidates.h).
 *
 * If k rows have correlations of at least t, no row below t is wanted.  At least
 * a correlation is estimate - (most - estimate).  LEAST_ERROR exceeds what the
 * rounding of most and estimate adds to that, and what two correlations of the
 * same reported distance can differ by (ct_block.c).
 *
 * Ranks are found by counting, which has no branches, and roughly: any t that has
 * k rows above it will do.
 *
 * IDENTIFICATION
 *	  src/metric/ct_candidates.c
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "ct_candidates.h"

#define LEAST_ERROR		1e-6

/* most times that keys are counted */
#define COUNTS			12

/* keep_at_most() and block_offer() may write so many more */
#define BESIDES			CT_OFFER_BESIDES

size_t
ct_candidates_bytes(int room)
{
	return (sizeof(double) + sizeof(CtCandidate)) * ((size_t) room + BESIDES);
}

void
ct_candidates_init(CtCandidates *list, int room, void *memory)
{
	list->room = room;
	list->most = memory;
	list->items = (CtCandidate *) (list->most + room + BESIDES);
	ct_candidates_clear(list);
}

void
ct_candidates_clear(CtCandidates *list)
{
	list->n = 0;
	list->nbest = 0;
	list->lost = -INFINITY;
	list->estimate = -INFINITY;
	list->wide = -INFINITY;
}

void
ct_candidates_offer(CtCandidates *list, const CtKernelTable *kernels,
					CtBlockOffer *offer, const float *estimates,
					const float *rests)
{
	bool		left_out;

	offer->estimate = list->estimate;
	offer->wide = list->wide;
	list->n += (int) kernels->block_offer(offer, estimates, rests,
										  list->most + list->n,
										  list->items + list->n, &left_out);
	if (left_out)
		list->lost = fmax(list->lost, list->wide);
}

/*
 * A limit that rank or some more of n keys do not exceed; upper if fewer than
 * rank are within that.  All keys are at least lower.
 */
static double
limit_of(const CtKernelTable *kernels, const double *keys, int n, int rank,
		 double lower, double upper)
{
	int			within = n;

	for (int i = 0; i < COUNTS && within > rank + rank / 16; i++)
	{
		double		middle = lower + (upper - lower) / 2;
		int			count = (int) kernels->count_f64(keys, n, middle);

		if (count >= rank)
		{
			upper = middle;
			within = count;
		}
		else
			lower = middle;
	}
	return upper;
}

/* Makes room: half of it, at least. */
static void
shorten(CtCandidates *list, const CtKernelTable *kernels, double *keys)
{
	double		least_wide = limit_of(kernels, list->most, list->n,
									  list->room / 4, -4.0, 0.0);
	double		least;
	int			kept = 0;

	for (int i = 0; i < list->n; i++)
		keys[i] = -list->items[i].estimate;
	least = limit_of(kernels, keys, list->n, list->room / 8, -2.0, 0.0);
	list->estimate = (float) -least;
	list->wide = (float) -least_wide;
	for (int i = 0; i < list->n; i++)
	{
		bool		keep = (keys[i] <= least || list->most[i] <= least_wide) &&
			kept < list->room / 2;

		if (!keep)
		{
			list->lost = fmax(list->lost, -list->most[i]);
			continue;
		}
		list->items[kept] = list->items[i];
		list->most[kept++] = list->most[i];
	}
	list->n = kept;
}

double
ct_candidates_narrow(CtCandidates *list, const CtKernelTable *kernels, int k,
					 double cut, double *keys)
{
	for (int i = 0; i < list->n; i++)
		keys[i] = -list->most[i] - 2.0 * list->items[i].estimate;
	if (kernels->count_f64(keys, list->n, -cut - LEAST_ERROR) >= (size_t) k)
		cut = -limit_of(kernels, keys, list->n, k, -1.0, -cut - LEAST_ERROR) -
			LEAST_ERROR;
	list->n = (int) kernels->keep_at_most(list->most,
										  (const uint64_t *) list->items,
										  list->n, -cut, list->most,
										  (uint64_t *) list->items);
	if (list->n > list->room / 4 * 3)
		shorten(list, kernels, keys);
	return cut;
}

void
ct_candidates_choose(CtCandidates *list, const CtKernelTable *kernels, int n,
					 double *keys)
{
	double		limit;
	int			nbest = 0;

	for (int i = 0; i < list->n; i++)
		keys[i] = -list->items[i].estimate;
	limit = n < list->n ? limit_of(kernels, keys, list->n, n, -2.0, 0.0) : 0.0;
	for (int i = 0; i < list->n && nbest < n + n / 8; i++)
		if (-list->items[i].estimate <= limit)
		{
			CtCandidate item = list->items[i];
			double		most = list->most[i];

			list->items[i] = list->items[nbest];
			list->most[i] = list->most[nbest];
			list->items[nbest] = item;
			list->most[nbest++] = most;
		}
	list->nbest = nbest;
}

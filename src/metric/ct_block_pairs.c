/*-------------------------------------------------------------------------
 *
 * ct_block_pairs.c
 *	  Distances of blocks of points and rows (ct_block.h).
 *
 * The sieves of pairs that bounds have left; ct_block.c has the first.
 *
 * 2. Products.  rho~ = (k - s) a_q a_x, where s is the product of features in
 *	  any order with FMA, and a = 1 / sqrt(p) as computed.  The canonical
 *	  product, that of the reported distance, has an error of at most
 *	  g(m / 16 + 8) |v_q| |v_x|, this one g(m + 1) |v_q| |v_x|.  Where p is above
 *	  its floor, |v|^2 <= (variance + nugget) (1 + g(m)), for p is what is left of
 *	  variance + nugget.  So rho~ is within
 *
 *			PRODUCT_UNITS(m) 2^-53 (variance + nugget) a_q a_x + 16 2^-53
 *
 *	  of the reported correlation before it is rounded to float, which FLOAT_ERROR
 *	  covers.  Of PRODUCT_UNITS, 1.0625 m + 9 are the products', and at least 55
 *	  those of k: a coordinate multiplied by an inverse instead of divided differs by
 *	  3 units of its last place, and so does the distance r in lengthscales;
 *	  r |k'(r)| is below variance; and either k has less than 20 units of its own.
 *	  The rest are relative errors of numbers that are 1 at most, or clamped to 1.
 *	  Where p is at its floor, a is taken as infinite, and nothing is ruled out.
 *
 * 3. The reported distance, by the operator's own operations.
 *
 * cut: the k-th distance found so far is d.  A row with |rho| < 1 - d^2 - 16 u
 * has 1 - |rho| > d^2 + 15 u as computed, and a root above d: these are numbers
 * up to 1, whose roots grow by at least half of what they grow by.
 *
 * IDENTIFICATION
 *	  src/metric/ct_block_pairs.c
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "ct_block_private.h"

/*
 * Pairs of a pack of points go through the second sieve if it has so many
 * rows, and so many of the pack's points pair with a row on average.
 */
#define SIEVE_ROWS			4
#define SIEVE_POINTS		3

/* of a correlation rounded to float, and 16 units before that */
#define FLOAT_ERROR			0x1p-23

/* columns of coordinates are multiples of this */
#define COLUMN_UNIT			8

struct CtPairWork
{
	uint16_t	lists[CT_BLOCK][CT_BLOCK_ROWS];
	int			nlists[CT_BLOCK];
	const double *vectors[CT_BLOCK_ROWS];
	double		products[CT_BLOCK_ROWS * CT_PACK];
	double		scales[CT_BLOCK_ROWS];
	const double *records[CT_BLOCK_ROWS];
	float		correlations[CT_BLOCK_ROWS * CT_PACK];
	double		covariances[CT_BLOCK_ROWS];
	double		columns[];		/* dims columns of CT_BLOCK_ROWS coordinates */
};

size_t
ct_pairs_work_bytes(const CtModel *model)
{
	return sizeof(CtPairWork) +
		sizeof(double) * model->dims * CT_BLOCK_ROWS;
}

/* -------- what a point has found -------- */

static inline bool
is_farther(const CtNeighbour *a, const CtNeighbour *b)
{
	return a->dist != b->dist ? a->dist > b->dist : a->key > b->key;
}

static void
sift_up(CtNeighbour *heap, int at, const CtNeighbour *item)
{
	while (at > 0 && is_farther(item, &heap[(at - 1) / 2]))
	{
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = *item;
}

/* Puts item in the place of the first of n. */
static void
sift_down(CtNeighbour *heap, int n, const CtNeighbour *item)
{
	int			at = 0;

	for (;;)
	{
		int			child = 2 * at + 1;

		if (child >= n)
			break;
		if (child + 1 < n && is_farther(&heap[child + 1], &heap[child]))
			child++;
		if (!is_farther(&heap[child], item))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = *item;
}

void
ct_found_clear(CtFound *found)
{
	found->n = 0;
	found->cut = -1.0;
}

/* Adds a neighbour, if it is one of the k nearest so far. */
static void
consider(CtFound *found, int k, const CtNeighbour *item)
{
	double		worst;

	if (found->n < k)
		sift_up(found->heap, found->n++, item);
	else if (is_farther(&found->heap[0], item))
		sift_down(found->heap, found->n, item);
	if (found->n < k)
		return;
	worst = found->heap[0].dist;
	found->cut = fmax(found->cut, 1.0 - worst * worst * (1.0 + 8.0 * UNIT) -
					  16.0 * UNIT);
}

void
ct_found_join(CtBlockPoint *point, CtFound *found, size_t stride, int n)
{
	for (int t = 1; t < n; t++)
	{
		CtFound    *other = &found[stride * t];

		for (int i = 0; i < other->n; i++)
			consider(found, point->k, &other->heap[i]);
		other->n = 0;
	}
	point->cut = fmax(point->cut, found->cut);
}

void
ct_found_sort(CtFound *found)
{
	for (int n = found->n - 1; n > 0; n--)
	{
		CtNeighbour last = found->heap[n];

		found->heap[n] = found->heap[0];
		sift_down(found->heap, n, &last);
	}
}

/* -------- the second sieve -------- */

/* What a point wants at least, by what this thread and others have found. */
static inline double
cut_of(const CtBlockPoint *point, const CtFound *found)
{
	double		cut;

	__atomic_load(&point->cut, &cut, __ATOMIC_RELAXED);
	return found->cut > cut ? found->cut : cut;
}

/* Tells others.  Where two do so at once the lesser may stay, which is true, too. */
static inline void
tell_cut(CtBlockPoint *point, const CtFound *found)
{
	double		cut = cut_of(point, found);

	__atomic_store(&point->cut, &cut, __ATOMIC_RELAXED);
}

/* The bits of a pack's points that a product rules out. */
static uint64_t
ruled_out(const CtBlock *block, const CtFound *found,
		  const float *correlations, int first, double error, double scale)
{
	uint64_t	out = 0;

	for (int b = first; b < first + CT_PACK && b < block->n; b++)
	{
		double		both = scale * block->scale[b];
		double		rho = fabs(correlations[b - first]);

		if (rho + error * both + FLOAT_ERROR <
			cut_of(block->points[b], &found[block->points[b]->number]))
			out |= UINT64_C(1) << b;
	}
	return out;
}

/*
 * Takes away the pairs of n rows from number first on and a pack of points that
 * products rule out, if there are enough of them for this to pay.
 */
static void
sieve_pack(const CtBlockRows *rows, CtBlock *block, size_t first, int n,
		   int pack, const CtFound *found, CtPairWork *work)
{
	const CtModel *model = rows->space->model;
	const CtKernelTable *kernels = rows->space->kernels;
	CtCorrelations queries = correlated(rows, block, pack, 1);
	double		error = product_error(model);
	size_t		list[CT_BLOCK_ROWS];
	int			nlisted = 0;
	int			npairs = 0;

	for (size_t i = first; i < first + n; i++)
	{
		uint64_t	some = block->pairs[i] >> (pack * CT_PACK) & 0xFF;

		if (some == 0)
			continue;
		work->records[nlisted] = rows->records[i];
		list[nlisted++] = i;
		npairs += __builtin_popcountll(some);
	}
	if (nlisted < SIEVE_ROWS || npairs < SIEVE_POINTS * nlisted)
		return;
	for (int i = 0; i < nlisted; i++)
	{
		work->vectors[i] = features_of(model, work->records[i]);
		work->scales[i] = scale_of(model, work->records[i]);
	}
	kernels->block_products(work->vectors, nlisted, &block->packs[pack], 1,
							model->m, work->products);
	kernels->block_correlations(&queries, work->records, work->scales, nlisted,
								work->products, work->correlations, CT_PACK);
	for (int i = 0; i < nlisted; i++)
		block->pairs[list[i]] &= ~ruled_out(block, found,
											work->correlations + i * CT_PACK,
											pack * CT_PACK, error,
											work->scales[i]);
}

/* -------- distances -------- */

/* Evaluates a point's pairs with rows that are listed, counted from first. */
static void
evaluate_list(const CtBlockRows *rows, CtBlockPoint *point, size_t first,
			  const uint16_t *list, int n, CtFound *found, CtPairWork *work)
{
	const CtModel *model = rows->space->model;
	const CtKernelTable *kernels = rows->space->kernels;
	CtCovarianceFunction function = ct_model_function(model);
	size_t		dims = model->dims;
	int			padded = (n + COLUMN_UNIT - 1) / COLUMN_UNIT * COLUMN_UNIT;

	for (int i = 0; i < n; i++)
		work->vectors[i] = features_of(model, rows->records[first + list[i]]);
	for (size_t j = 0; j < dims; j++)
		for (int i = 0; i < padded; i++)
			work->columns[j * CT_BLOCK_ROWS + i] =
				rows->records[first + list[i < n ? i : 0]][j];
	kernels->dots_f64(features_of(model, point->record), work->vectors, n,
					  model->m, work->products);
	kernels->covariances(&function, point->record, work->columns,
						 CT_BLOCK_ROWS, padded, work->covariances);
	for (int i = 0; i < n; i++)
	{
		uint64_t	key = rows->keys[first + list[i]];
		double		rho = fabs(ct_model_correlation_of(model, point->record,
													   rows->records[first + list[i]],
													   work->covariances[i],
													   work->products[i]));

		if (rho >= cut_of(point, found) && key >> 16 != point->self >> 16)
			consider(found, point->k,
					 &(CtNeighbour) {ct_correlation_distance(rho), key});
	}
	tell_cut(point, found);
}

/*
 * Makes the pairs of n rows from number first on what marks say: of those without
 * one there are none.  False if there is no mark.
 */
static bool
settle_pairs(CtBlock *block, size_t first, int n)
{
	size_t		end = first + n;

	if (!ct_block_is_paired(block, first, n))
		return false;
	while (first < end)
	{
		size_t		mark = first / CT_PAIRED_ROWS;
		size_t		next = (mark + 1) * CT_PAIRED_ROWS;

		next = next < end ? next : end;
		if (!block->paired[mark])
			memset(block->pairs + first, 0, sizeof(uint64_t) * (next - first));
		first = next;
	}
	return true;
}

size_t
ct_pairs_evaluate(const CtBlockRows *rows, CtBlock *block, size_t first,
				  int n, CtFound *found, CtPairWork *work)
{
	const uint64_t *pairs = block->pairs + first;
	uint64_t	any = 0;
	size_t		count = 0;

	if (!settle_pairs(block, first, n))
		return 0;
	for (int i = 0; i < n; i++)
		any |= pairs[i];
	if (any == 0)
		return 0;
	for (int pack = 0; pack < CT_BLOCK / CT_PACK; pack++)
		if (any >> (pack * CT_PACK) & 0xFF)
			sieve_pack(rows, block, first, n, pack, found, work);
	memset(work->nlists, 0, sizeof(work->nlists));
	for (int i = 0; i < n; i++)
		for (uint64_t bits = pairs[i]; bits != 0; bits &= bits - 1)
		{
			int			b = __builtin_ctzll(bits);

			work->lists[b][work->nlists[b]++] = i;
		}
	for (; any != 0; any &= any - 1)
	{
		int			b = __builtin_ctzll(any);
		CtBlockPoint *point = block->points[b];

		count += work->nlists[b];
		if (work->nlists[b] > 0)
			evaluate_list(rows, point, first, work->lists[b],
						  work->nlists[b], &found[point->number], work);
	}
	return count;
}

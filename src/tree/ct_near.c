/*-------------------------------------------------------------------------
 *
 * ct_near.c
 *	  The rows nearest to a query: limit, pool, and those whose turn has come.
 *
 * Limits only decide how much work is done when; any limit gives the same
 * answer.  They are found by bisection, and let some more rows through than
 * were asked for.
 *
 * IDENTIFICATION
 *	  src/tree/ct_near.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "utils/memutils.h"

#include "ct_near.h"

/* rounds of a search for a limit; when they are used up, too large a one is taken */
#define DOUBLINGS	8
#define BISECTIONS	12

/* fewer rows than the one, or more than the other, are not sorted by counting */
#define COUNTED_LEAST	8
#define COUNTED_ROWS	96

/* both of them, and the room for rows, are multiples of this */
#define PLACE_UNIT		8

/* so many rows more than were asked for are no reason to go on */
#define SPARE(rows)	((rows) / 4 + 4)

static inline int
compare_rows(const CtNearRow *a, const CtNearRow *b)
{
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return ItemPointerCompare((ItemPointer) &a->tid, (ItemPointer) &b->tid);
}

#define ST_SORT			sort_rows
#define ST_ELEMENT_TYPE CtNearRow
#define ST_COMPARE(a, b) compare_rows(a, b)
#define ST_SCOPE		static
#define ST_DECLARE
#define ST_DEFINE
#include "lib/sort_template.h"

/* Prepares a search; its memory is that of the current context. */
void
ct_near_start(CtNear *near, int64 expected)
{
	near->active = true;
	near->expected = Max(expected, 1);
	near->size = 256;
	near->keys = palloc(sizeof(double) * near->size);
	near->tids = palloc(sizeof(ItemPointerData) * near->size);
	near->ready_size = 128;
	near->ready = palloc(sizeof(CtNearRow) * near->ready_size);
	near->sorting = palloc(sizeof(double) * near->ready_size);
	near->chosen = palloc(sizeof(uint16) * near->ready_size);
	ct_near_clear(near);
}

/* Forgets all rows. */
void
ct_near_clear(CtNear *near)
{
	near->limit = INFINITY;
	near->returned = 0;
	near->n = 0;
	near->least = INFINITY;
	near->nready = near->next = near->told = 0;
}

/*
 * A limit that at least `wanted` of the keys above the one given do not exceed,
 * and not many more, if it can be found quickly.  high is tried first, unless
 * it is INFINITY.
 */
static double
find_limit(const CtKernelTable *kernels, const double *keys, int n,
		   double above, int64 wanted, double high)
{
	int64		enough = wanted;
	double		low = Max(above, 0.0);

	if (high == INFINITY)
		high = Max(Max(keys[0], keys[n / 2]), keys[n - 1]);
	if (above >= 0.0)
		enough += kernels->count_f64(keys, n, above);
	for (int i = 0;; i++)
	{
		int64		count = kernels->count_f64(keys, n, high);

		if (count >= enough && count <= enough + SPARE(wanted))
			return high;
		if (count >= enough)
			break;
		if (i == DOUBLINGS || enough >= n)
			return INFINITY;
		low = Max(low, high);
		high = 2.0 * high;
	}
	for (int i = 0; i < BISECTIONS; i++)
	{
		double		middle = low + (high - low) / 2.0;
		int64		count = kernels->count_f64(keys, n, middle);

		if (count < enough)
			low = middle;
		else
			high = middle;
		if (count >= enough && count <= enough + SPARE(wanted))
			break;
	}
	return high;
}

/*
 * Up to which distance is a leaf to give up rows, of those above the one given?
 * Where no limit is known yet, enough of them for what is expected.
 */
double
ct_near_limit(const CtNear *near, const CtKernelTable *kernels,
			  const double *dist, int n, double above)
{
	int64		wanted = near->expected - near->returned - near->n;

	if (near->limit < INFINITY)
		return near->limit;
	return find_limit(kernels, dist, n, above, Max(wanted, 1), INFINITY);
}

/* Adds n rows of a leaf to the pool: those in the slots named. */
void
ct_near_add(CtNear *near, const double *keys, const ItemPointerData *tids,
			const uint16 *slots, int n)
{
	if (near->n + n > near->size)
	{
		while (near->n + n > near->size)
			near->size *= 2;
		near->keys = repalloc_huge(near->keys, sizeof(double) * near->size);
		near->tids = repalloc_huge(near->tids,
								   sizeof(ItemPointerData) * near->size);
	}
	for (int i = 0; i < n; i++)
	{
		double		key = keys[slots[i]];

		near->keys[near->n] = key;
		near->tids[near->n++] = tids[slots[i]];
		near->least = Min(near->least, key);
	}
}

/* Lowers the limit, now that rows have been added, if they are enough. */
void
ct_near_tighten(CtNear *near, const CtKernelTable *kernels)
{
	int64		wanted = Max(near->expected - near->returned, 1);

	if (near->n >= wanted)
		near->limit = Min(near->limit,
						  find_limit(kernels, near->keys, near->n, -1.0, wanted,
									 near->limit));
}

/*
 * All rows within the limit have been returned: expects twice as many.  Returns
 * false where whole leaves will be better.
 */
bool
ct_near_expect_more(CtNear *near)
{
	near->limit = INFINITY;
	near->expected = 2 * Max(near->expected, near->returned + near->n);
	return near->expected <= CT_NEAR_MOST;
}

/*
 * Sorts ready[], whose keys are in sorting[].  Few rows are sorted by the places
 * of their keys, found without a branch that depends on them, and by comparing
 * only if some keys are equal.
 */
static void
sort_ready(CtNear *near, const CtKernelTable *kernels)
{
	CtNearRow	sorted[COUNTED_ROWS];
	uint32		places[COUNTED_ROWS];
	int			n = near->nready;
	bool		ties = false;

	if (n < COUNTED_LEAST || n > COUNTED_ROWS)
	{
		sort_rows(near->ready, n);
		return;
	}
	/* up to whole vectors */
	for (int i = n; i < TYPEALIGN(PLACE_UNIT, n); i++)
		near->sorting[i] = INFINITY;
	kernels->ranks_f64(near->sorting, TYPEALIGN(PLACE_UNIT, n), places);
	for (int i = 0; i < n; i++)
		sorted[places[i]] = near->ready[i];
	for (int i = 1; i < n; i++)
		ties |= sorted[i].key == sorted[i - 1].key;
	memcpy(near->ready, sorted, sizeof(CtNearRow) * n);
	if (ties)
		sort_rows(near->ready, n);
}

/*
 * Moves the rows with keys below a bound, or all, from the pool into ready[],
 * which is empty, and sorts them.
 */
void
ct_near_sort(CtNear *near, const CtKernelTable *kernels, double bound,
			 bool all)
{
	if (near->ready_size < near->n)
	{
		near->ready_size = near->size;
		near->ready = repalloc_huge(near->ready,
									sizeof(CtNearRow) * near->ready_size);
		near->sorting = repalloc_huge(near->sorting,
									  sizeof(double) * near->ready_size);
		near->chosen = repalloc_huge(near->chosen,
									 sizeof(uint16) * near->ready_size);
	}
	near->next = near->told = 0;
	near->nready = kernels->choose_f64(near->keys, near->n, -1.0,
									   all ? INFINITY :
									   nextafter(bound, -INFINITY),
									   near->chosen, &near->least);
	for (int i = near->nready; i-- > 0;)
	{
		int			from = near->chosen[i];
		int			last = --near->n;

		near->sorting[i] = near->ready[i].key = near->keys[from];
		near->ready[i].tid = near->tids[from];
		near->keys[from] = near->keys[last];
		near->tids[from] = near->tids[last];
	}
	near->returned += near->nready;
	sort_ready(near, kernels);
}

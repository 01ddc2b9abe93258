/*-------------------------------------------------------------------------
 *
 * ct_open.c
 *	  Opening a range of rows: dividing it among the children of a node.
 *
 * By a net of the next level, or evenly (ct_bulk.c, ct_halve.c).  Runs in any
 * thread.
 *
 * IDENTIFICATION
 *	  src/tree/ct_open.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <omp.h>

#include "ct_bulk.h"

/* rows that are asked whether a net is possible */
#define NET_SAMPLE		256

/*
 * Where there are boxes, nodes are divided evenly (ct_halve.c), so that pages are
 * filled to this share (percent), which leaves room for what comes later.  If
 * nets are asked for, only nodes whose rows fill no more leaves than these.
 */
#define EVEN_FILL		80
#define HALVED_LEAVES	24

static void
chain_pivots(const CtBulk *bulk, size_t first, int k, const uint32 *pivots,
			 int *rank, double *work)
{
	int			size = bulk->index->point_size;

	for (int p = 0; p < k; p++)
		ct_bulk_point(bulk, first + pivots[p], work + (size_t) p * size);
	ct_bulk_chain(&bulk->index->space, k, size, work, rank);
}

/*
 * Could a net of a range have at most limit points?  Asked of residual
 * distances, of which a sample tells: where most points are far from each
 * other, it takes all of them.
 */
static bool
net_fits(const CtBulk *bulk, size_t first, size_t n, double reach, int limit)
{
	const CtSpace *space = ct_bulk_shape(bulk);
	size_t		net[NET_SAMPLE];
	int			nnet = 0;
	int			sample = Min(n, NET_SAMPLE);

	for (int i = 0; i < sample; i++)
	{
		size_t		row = first + (size_t) i * n / sample;
		bool		covered = false;

		for (int j = 0; j < nnet && !covered; j++)
			covered = ct_cover_distance(space, ct_bulk_record(bulk, net[j]),
										ct_bulk_record(bulk, row)) <= reach;
		if (covered)
			continue;
		if (nnet >= limit)
			return false;
		net[nnet++] = row;
	}
	return true;
}

/*
 * Replaces the distances of a range to its pivot, the first row, by distances
 * of places, and finds the farthest row.  Returns false, with the distances as
 * they were, where all places look alike: coordinates may differ by so little
 * that the difference in lengthscales is no number above zero.
 */
static bool
measure_places(CtBulk *bulk, size_t first, size_t n, double *pivot,
			   bool shared, size_t *far)
{
	double	   *places = bulk->scratch + first;
	size_t		farthest = 0;

	ct_range_add_pivot(bulk, first, n, 0, 0, pivot, shared, true);
	for (size_t i = 1; i < n; i++)
		if (places[i] > places[farthest])
			farthest = i;
	if (places[farthest] == 0.0)
	{
		ct_range_distances(bulk, pivot, first, n, false, bulk->dist + first);
		return false;
	}
	memcpy(bulk->dist + first, places, sizeof(double) * n);
	*far = farthest;
	return true;
}

/* How a range is to be divided. */
typedef struct Opening
{
	int			limit;			/* parts at most */
	int			k;				/* parts */
	uint32	   *pivots;			/* by part; counted from the first row */
	int		   *rank;			/* by part: place in the new order */
	size_t	   *start;			/* by place */
	double	   *radius;			/* by place */
	double	   *work;			/* room for limit + 1 points */
	int			level;			/* of new pivots */
	int			flags;
	bool		stale;			/* distances are not those to the new pivots */
} Opening;

static bool
start_opening(const CtBulk *bulk, int limit, Opening *opening)
{
	const CtIndex *index = bulk->index;

	opening->limit = limit;
	opening->pivots = malloc(sizeof(uint32) * (limit + 1));
	opening->rank = malloc(sizeof(int) * (limit + 1));
	opening->start = malloc(sizeof(size_t) * (limit + 2));
	opening->radius = malloc(sizeof(double) * (limit + 1));
	opening->work = malloc(sizeof(double) * index->point_size * (limit + 1));
	return opening->pivots && opening->rank && opening->start &&
		opening->radius && opening->work;
}

static void
end_opening(Opening *opening)
{
	free(opening->pivots);
	free(opening->rank);
	free(opening->start);
	free(opening->radius);
	free(opening->work);
}

/* Serves interrupts, if one is pending and this the main thread (shared). */
static void
check_interrupts(Opening *opening, bool shared)
{
	if (!shared || !InterruptPending)
		return;
	PG_TRY();
	{
		CHECK_FOR_INTERRUPTS();
	}
	PG_CATCH();
	{
		end_opening(opening);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/*
 * Divides a range by a net of the next lower level, or, where that would have
 * too many points, among the pivots of it that were found first.  far is the
 * row farthest from the range's pivot.
 */
static void
open_net(CtBulk *bulk, size_t first, size_t n, size_t far, bool shared,
		 Opening *opening)
{
	CtIndex    *index = bulk->index;
	const CtSpace *space = &index->shape;
	int			level = ct_level_of(space, bulk->dist[first + far]) - 1;
	double		reach = ct_level_radius(space, level);
	int			k = 1;
	bool		by_place;

	memset(bulk->owner + first, 0, sizeof(uint16) * n);
	opening->pivots[0] = 0;
	by_place = index->shape.model &&
		!net_fits(bulk, first, n, reach, opening->limit) &&
		measure_places(bulk, first, n, opening->work, shared, &far);
	if (by_place)
		reach = 0.0;
	while (bulk->dist[first + far] > reach && k < opening->limit)
	{
		check_interrupts(opening, shared);
		opening->pivots[k] = far;
		far = ct_range_add_pivot(bulk, first, n, k, far, opening->work, shared,
								 by_place);
		k++;
	}
	opening->k = k;
	opening->level = level;
	if (by_place || bulk->dist[first + far] > reach)
	{
		/*
		 * A net would have too many points.  The pivots found so far serve as
		 * intermediate ones: the rows are grouped around them.  Where residual
		 * distances say nothing, rows are grouped by place: what bases are
		 * made of, and distances further down, are about neighbours in space.
		 */
		opening->flags = CT_ENTRY_GROUP;
		opening->level = CT_LEVEL_ZERO;
	}
	opening->stale = by_place;
}

/*
 * What rows of a range are halved by, by column, or NULL when out of memory.  The
 * caller frees it.
 */
static double *
range_places(const CtBulk *bulk, size_t first, size_t n, bool shared)
{
	CtIndex    *index = bulk->index;
	int			dims = ct_halving_dims(index);
	double	   *places = malloc(sizeof(double) * dims * n);

	if (places == NULL)
		return NULL;
#pragma omp parallel for num_threads(bulk->nthreads) if (shared) schedule(static)
	for (size_t i = 0; i < n; i++)
	{
		double		point[CT_FRAME_DIMS];
		double		place[CT_BOX_DIMS];
		const double *at = point;

		if (bulk->locations)
			at = bulk->locations + bulk->order[first + i] * index->meta.dims;
		else
			ct_bulk_point(bulk, first + i, point);
		ct_halving_place(index, at, place);
		for (int j = 0; j < dims; j++)
			places[j * n + i] = place[j];
	}
	return places;
}

/* How many leaves do rows fill? */
static inline size_t
leaves_of(const CtIndex *index, size_t n)
{
	return (n - 1) / ct_cell_rows(index) + 1;
}

/*
 * Into how many parts is a node evenly divided whose rows fill so many leaves?
 * Each part will be a page, and so will be the parts of a part.
 */
static size_t
even_parts(const CtIndex *index, size_t leaves)
{
	size_t		fanout = Max(index->routing.usable_children * EVEN_FILL / 100, 2);
	size_t		part = 1;		/* leaves */

	while (leaves > part * fanout)
		part *= fanout;
	return (leaves - 1) / part + 1;
}

/*
 * Divides a range evenly; the part of its first row keeps that.  Returns false
 * when out of memory.
 */
static bool
open_evenly(CtBulk *bulk, size_t first, size_t n, bool shared,
			Opening *opening)
{
	CtIndex    *index = bulk->index;
	CtColumns	columns = {bulk->columns, bulk->size, index->space.element,
	ct_halving_dims(index)};
	uint32	   *rows = bulk->target + first;
	uint16	   *owner = bulk->owner + first;
	double	   *places = NULL;
	int			own;

	if (bulk->columns == NULL)
	{
		places = range_places(bulk, first, n, shared);
		if (places == NULL)
			return false;
		columns.base = (const char *) places;
		columns.stride = n;
		columns.element = CT_ELEMENT_FLOAT8;
	}
	else
		columns.base += first * bulk->element_size;
#pragma omp parallel for num_threads(bulk->nthreads) if (shared)
	for (size_t i = 0; i < n; i++)
		rows[i] = i;
	ct_halve(&columns, rows, (uint32 *) (bulk->scratch + first), n,
			 opening->limit, shared ? bulk->nthreads : 1, owner,
			 opening->pivots);
	free(places);
	own = owner[0];
#pragma omp parallel for num_threads(bulk->nthreads) if (shared)
	for (size_t i = 0; i < n; i++)
		owner[i] = owner[i] == own ? 0 : owner[i] == 0 ? own : owner[i];
	opening->pivots[own] = opening->pivots[0];
	opening->pivots[0] = 0;
	opening->k = opening->limit;
	opening->flags = CT_ENTRY_GROUP;
	opening->stale = true;
	return true;
}

/*
 * Measures part p: its rows' distances to its pivot, if those are not known, and
 * its radius.
 */
static void
measure_part(CtBulk *bulk, size_t first, int p, bool shared, Opening *opening)
{
	size_t		start = opening->start[p];
	size_t		n = opening->start[p + 1] - start;
	double	   *pivot = opening->work + (size_t) p * bulk->index->point_size;
	const CtSpace *shape = ct_bulk_shape(bulk);

	if (opening->stale && shape->model &&
		leaves_of(bulk->index, n) <= HALVED_LEAVES)
	{
		/* it will be halved, if anything, which asks for no distances */
		ct_bulk_point(bulk, first + start, pivot);
		ct_range_deciding_distances(bulk, shape, pivot, first + start, n,
									bulk->dist + first + start);
	}
	else if (opening->stale)
		ct_range_measure(bulk, first + start, n, pivot, shared);
	opening->radius[p] = ct_range_radius(bulk, first + start, n, shared);
}

/*
 * Measures all parts.  If all threads are at the range, they are together at
 * each large part, then side by side at the others.
 */
static void
measure_parts(CtBulk *bulk, size_t first, bool shared, Opening *opening)
{
	const size_t *start = opening->start;
	size_t		largest = shared ? bulk->large_range : 0;

	for (int p = 0; p < opening->k; p++)
		if (start[p + 1] - start[p] > largest)
			measure_part(bulk, first, p, shared, opening);
#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic) if (shared)
	for (int p = 0; p < opening->k; p++)
		if (start[p + 1] - start[p] <= largest)
			measure_part(bulk, first, p, false, opening);
}

/*
 * Gives nodes to all parts but the first, which is what the node itself keeps.
 * Sets list->failed when out of memory.
 */
static void
add_parts(CtBulk *bulk, CtNodeList *list, size_t number, size_t first,
		  const Opening *opening)
{
	const size_t *start = opening->start;
	int			step = ++list->nodes[number].nsteps;

	list->nodes[number].n = start[1];
	list->nodes[number].self_radius = opening->radius[0];
	for (int p = 1; p < opening->k; p++)
	{
		CtBulkNode *child = ct_add_node(list);

		if (child == NULL)
			return;
		child->parent = number;
		child->first = first + start[p];
		child->n = start[p + 1] - start[p];
		child->step = step;
		child->parent_radius = opening->radius[0];
		child->flags = opening->flags;
		child->top_radius = opening->radius[p];
		child->self_radius = child->top_radius;
		child->level = opening->flags ?
			ct_level_of(&bulk->index->shape, child->top_radius) :
			opening->level;
	}
}

/*
 * Divides a range, of which the row at far is the farthest from its pivot.
 * Returns false when out of memory.
 */
static bool
divide_range(CtBulk *bulk, size_t first, size_t n, size_t far, bool halved,
			 bool shared, Opening *opening)
{
	if (!halved)
		open_net(bulk, first, n, far, shared, opening);
	else if (!open_evenly(bulk, first, n, shared, opening))
		return false;
	chain_pivots(bulk, first, opening->k, opening->pivots, opening->rank,
				 opening->work);
	if (!ct_range_permute(bulk, first, n, opening->k, opening->rank,
						  opening->pivots, opening->start, shared))
		return false;
	measure_parts(bulk, first, shared, opening);
	return true;
}

/*
 * Opens the range of a node.  Appends nodes for the new pivots to the list
 * and shrinks the node's own range.  Returns false when the node is a cell.
 * bulk->dist holds the distances of the rows to the node's pivot.
 */
bool
ct_open_range(CtBulk *bulk, CtNodeList *list, size_t number, bool shared)
{
	CtIndex    *index = bulk->index;
	CtBulkNode *node = &list->nodes[number];
	size_t		first = node->first;
	size_t		n = node->n;
	size_t		far;
	size_t		leaves = leaves_of(index, n);
	Opening		opening = {0};
	bool		halved = (index->routing.boxes && bulk->even) ||
		((index->routing.boxes || index->space.model) &&
		 leaves <= HALVED_LEAVES);
	int			limit = Min(n / (index->space.model ? CT_RESIDUAL_CELL : 2),
							index->routing.capacity / CT_OPEN_SHARE);

	if (leaves <= 1)
		return false;
	far = ct_range_farthest(bulk, first, n, shared);
	if (bulk->dist[first + far] == 0.0)
		return false;			/* copies of one point */
	if (start_opening(bulk, halved ? even_parts(index, leaves) : Max(limit, 2),
					  &opening) &&
		divide_range(bulk, first, n, far, halved, shared, &opening))
		add_parts(bulk, list, number, first, &opening);
	else
		list->failed = true;
	end_opening(&opening);
	return !list->failed;
}

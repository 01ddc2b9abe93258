/*-------------------------------------------------------------------------
 *
 * ct_search_leaf.c
 *	  What a search takes of the rows of a leaf that it reads.
 *
 * IDENTIFICATION
 *	  src/tree/ct_search_leaf.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "ct_search_private.h"

/*
 * Puts a leaf with codes back into the queue, if it can wait, by the least bound
 * of its rows, whose sums it leaves in search->sums.
 */
bool
ct_search_put_off_coded(CtSearch *search, const CtNode *node,
						const PageVisit *visit)
{
	double		key;

	ct_leaf_code_sums(search->index, node, search->query, &search->codes,
					  search->sums);
	if (visit->stage == LEAF_BOUNDED || search->nqueue == 0)
		return false;
	key = ct_code_least(&search->space, node->grid, &search->codes,
						node->header->nentries, search->sums);
	return ct_search_put_back(search, node->header->version, visit, key,
							  LEAF_BOUNDED);
}

/*
 * Keys for the rows of a leaf whose points are costly to read: what their codes
 * say, or in a residual index the basis.
 */
static void
lazy_keys(CtSearch *search, Cursor *cursor, const CtNode *node,
		  const PageVisit *visit)
{
	cursor->lazy = true;
	search->nlazy += cursor->n;
	cursor->exact = palloc0(sizeof(bool) * cursor->n);
	cursor->locators = palloc(sizeof(CtLocator) * cursor->n);
	memcpy(cursor->locators, node->locators, sizeof(CtLocator) * cursor->n);
	for (int i = 0; i < cursor->n; i++)
		cursor->keys[i] = visit->key;
	if (visit->shares)
	{
		ct_search_projection_keys(search, cursor, node, visit);
		return;
	}
	if (node->codes == NULL)
		return;
	ct_code_bounds(&search->space, node->grid, &search->codes, cursor->n,
				   search->sums, search->bounds);
	for (int i = 0; i < cursor->n; i++)
		cursor->keys[i] = Max(cursor->keys[i], search->bounds[i]);
}

/* A row was chosen: its distance has to be a number. */
static inline void
check_finite(CtSearch *search, const PageVisit *visit, double dist)
{
	if (unlikely(isnan(dist)))
		ct_page_corrupted(search->index, visit->block,
						  "A point is not finite.");
}

/*
 * Of the distances of a leaf's rows, whose points are on the page, chooses those
 * above visit->taken and at most limit.  Returns their number.
 */
static int
choose_rows(CtSearch *search, const CtNode *node, PageVisit *visit,
			double limit)
{
	const CtKernelTable *kernels = search->index->space.kernels;
	int			n = node->header->nentries;
	int			count;

	count = kernels->choose_f64(search->dist, n, visit->taken, limit,
								search->chosen, &visit->rest);
	for (int i = 0; i < count; i++)
		check_finite(search, visit, search->dist[search->chosen[i]]);
	return count;
}

/*
 * Chooses near rows of a leaf, by all distances, and notes up to where; returns
 * their number.
 */
static int
choose_near(CtSearch *search, const CtNode *node, PageVisit *visit)
{
	double		limit = INFINITY;
	int			count;

	ct_node_distances(search->index, node, search->query, search->dist);
	if (visit->branch >= 0)
		limit = ct_near_limit(&search->near, search->index->space.kernels,
							  search->dist, node->header->nentries,
							  visit->taken);
	count = choose_rows(search, node, visit, limit);
	if (visit->rest == INFINITY && limit < INFINITY)
	{
		/* nothing is left, but perhaps at a distance that is no number */
		limit = INFINITY;
		count = choose_rows(search, node, visit, limit);
	}
	visit->taken = limit;
	return count;
}

/*
 * The same, but draws the roots of no more squares than may be of rows chosen,
 * since roots are what takes most time.  Returns -1 where squares do not tell.
 */
static int
choose_near_by_squares(CtSearch *search, const CtNode *node,
					   PageVisit *visit)
{
	const CtKernelTable *kernels = search->index->space.kernels;
	int			n = node->header->nentries;
	double	   *squares = search->bounds;
	double		limit = INFINITY;
	int			chosen = 0;
	int			count;

	if (!ct_node_squares(search->index, node, search->query, squares))
		return -1;
	if (visit->branch >= 0)
		limit = search->near.limit < INFINITY ? search->near.limit :
			sqrt(ct_near_limit(&search->near, kernels, squares, n,
							   ct_square_up(visit->taken)));
	count = kernels->choose_f64(squares, n, ct_square_down(visit->taken),
								ct_square_up(limit), search->chosen,
								&visit->rest);
	visit->rest = sqrt(visit->rest);
	for (int i = 0; i < count; i++)
	{
		int			slot = search->chosen[i];
		double		dist = sqrt(squares[slot]);

		check_finite(search, visit, dist);
		if (dist > limit)
			visit->rest = Min(visit->rest, dist);
		else if (dist > visit->taken)
		{
			search->dist[slot] = dist;
			search->chosen[chosen++] = slot;
		}
	}
	visit->taken = limit;
	return chosen;
}

/*
 * Adds rows of a leaf that are near enough to the pool; visit->rest becomes a
 * bound of those that the leaf keeps.
 */
static void
read_near(CtSearch *search, const CtNode *node, PageVisit *visit)
{
	CtNear	   *near = &search->near;
	int			count;

	if (node->header->nentries == 0)
		return;
	search->stats.distances += node->header->nentries;
	count = choose_near_by_squares(search, node, visit);
	if (count < 0)
		count = choose_near(search, node, visit);
	if (search->report == CT_REPORT_HYPOT)
	{
		for (int i = 0; i < count; i++)
		{
			int			slot = search->chosen[i];
			double		point[2];

			ct_node_get_point(search->index, node, slot, point);
			search->dist[slot] = ct_hypot_distance(point, search->query);
		}
		if (visit->rest < INFINITY)
			visit->rest = ct_lower_bound(&search->space, visit->rest, 0.0);
	}
	if (count == 0)
		return;
	ct_near_add(near, search->dist, node->tids, search->chosen, count);
	ct_near_tighten(near, search->index->space.kernels);
}

/* A cursor over the rows of a leaf with points that were not taken before. */
static void
read_rows(CtSearch *search, const CtNode *node, PageVisit *visit)
{
	bool		hypot = search->report == CT_REPORT_HYPOT;
	int			n = node->header->nentries;
	Cursor	   *cursor;

	ct_node_distances(search->index, node, search->query, search->dist);
	search->stats.distances += n;
	n = choose_rows(search, node, visit, INFINITY);
	if (n == 0)
		return;
	cursor = ct_cursor_new(search, n);
	cursor->block = visit->block;
	if (hypot)
	{
		cursor->lazy = true;
		cursor->exact = palloc0(sizeof(bool) * n);
	}
	if (hypot || search->keep_points)
		cursor->points = palloc(sizeof(double) * search->index->point_size * n);
	for (int i = 0; i < n; i++)
	{
		int			slot = search->chosen[i];

		cursor->tids[i] = node->tids[slot];
		cursor->keys[i] = search->dist[slot];
		if (hypot)
			cursor->keys[i] = ct_lower_bound(&search->space, cursor->keys[i],
											 0.0);
		if (cursor->points)
			ct_node_get_point(search->index, node, slot,
							  ct_cursor_point(search, cursor, i));
	}
}

/*
 * Takes the rows of a leaf, which the search has locked or copied: those near
 * enough into the pool, or all as a cursor, which is the last one then and not in
 * the queue yet.
 */
void
ct_search_read_leaf(CtSearch *search, const CtNode *node, PageVisit *visit)
{
	int			n = node->header->nentries;
	Cursor	   *cursor;

	if (n == 0)
		return;
	if (node->points && search->report != CT_REPORT_NULL)
	{
		if (search->near.active)
			read_near(search, node, visit);
		else
			read_rows(search, node, visit);
		return;
	}
	cursor = ct_cursor_new(search, n);
	cursor->block = visit->block;
	memcpy(cursor->tids, node->tids, sizeof(ItemPointerData) * n);
	if (search->report == CT_REPORT_NULL)
		memset(cursor->keys, 0, sizeof(double) * n);
	else
		lazy_keys(search, cursor, node, visit);
}

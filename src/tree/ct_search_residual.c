/*-------------------------------------------------------------------------
 *
 * ct_search_residual.c
 *	  What a search in a residual index knows of pivots, and by them of leaves.
 *
 * IDENTIFICATION
 *	  src/tree/ct_search_residual.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "ct_search_private.h"

/* -------- correlations with pivots -------- */

/* The copies of pivots, with room for the query's correlation with each. */
static const CtPivotCopies *
pivot_copies(CtSearch *search)
{
	const CtPivotCopies *copies = ct_cache_pivots(search->index);

	if (copies->generation != search->known_generation)
		search->nknown = 0;
	search->known_generation = copies->generation;
	if (copies->n > search->nknown)
	{
		/* by doubling, for they come one by one */
		int			size = Max(copies->n, 2 * search->nknown);
		Size		bytes = sizeof(double) * size;

		search->known = search->known ? repalloc_huge(search->known, bytes) :
			MemoryContextAllocHuge(search->context, bytes);
		while (search->nknown < size)
			search->known[search->nknown++] = NAN;
	}
	return copies;
}

/* The query's correlation with a pivot that has a copy. */
static double
copied_correlation(CtSearch *search, const CtPivotCopies *copies, int number)
{
	const CtSpace *space = &search->index->space;

	if (isnan(search->known[number]))
	{
		search->known[number] =
			ct_model_correlation(space->model, space->kernels, search->query,
								 copies->vectors[number]);
		search->stats.distances++;
	}
	return search->known[number];
}

/*
 * Sees to it that the query's correlations with so many pivots that have copies
 * are known; together they cost less than one by one.
 */
static void
learn_correlations(CtSearch *search, const CtPivotCopies *copies, int n,
				   const uint32 *numbers)
{
	const CtSpace *space = &search->index->space;
	const double *vectors[CT_BASIS_SIZE];
	uint32		unknown[CT_BASIS_SIZE];
	double		rho[CT_BASIS_SIZE];
	int			count = 0;

	for (int i = 0; i < n; i++)
		if (isnan(search->known[numbers[i]]))
		{
			unknown[count] = numbers[i];
			vectors[count++] = copies->vectors[numbers[i]];
		}
	if (count == 0)
		return;
	ct_model_correlations(space->model, space->kernels, search->query, count,
						  vectors, rho);
	search->stats.distances += count;
	for (int i = 0; i < count; i++)
		search->known[unknown[i]] = rho[i];
}

/* Is the query's correlation with the pivot known? */
bool
ct_search_known_pivot(CtSearch *search, CtLocator locator, double *rho)
{
	int			number = ct_cache_number(search->index, locator);
	CtLocatorEntry  *seen;

	if (number >= 0)
	{
		*rho = copied_correlation(search, pivot_copies(search), number);
		return true;
	}
	seen = locators_lookup(search->seen, locator);
	if (seen)
		*rho = seen->rho;
	return seen != NULL;
}

/* Correlation of the query and a pivot: known, or computed and noted. */
static double
pivot_correlation(CtSearch *search, CtLocator locator)
{
	double		rho;
	int			number;

	if (ct_search_known_pivot(search, locator, &rho))
		return rho;
	rho = ct_pivot_correlation(search->index, locator, search->query);
	search->stats.distances++;
	number = ct_cache_number(search->index, locator);
	if (number >= 0)
	{
		pivot_copies(search);
		search->known[number] = rho;
	}
	else
		locators_insert(search->seen, locator, &(bool) {false})->rho = rho;
	return rho;
}

/* -------- bases -------- */

/*
 * Puts the correlations of the query and the pivots of a leaf's basis into
 * search->rho.  Unless it may read vectors, returns false when it had to.
 */
bool
ct_search_basis_correlations(CtSearch *search, const CtNode *node, bool may_read)
{
	for (int i = 0; i < node->basis->n && i < CT_BASIS_SIZE; i++)
	{
		CtLocator	locator = node->basis->pivots[i];

		if (may_read)
			search->rho[i] = pivot_correlation(search, locator);
		else if (!ct_search_known_pivot(search, locator, &search->rho[i]))
			return false;
	}
	return true;
}

/*
 * The query's shares by a leaf's basis, whose pivots' correlations are in
 * search->rho.
 */
static void
query_shares(CtSearch *search, const CtProjection *basis, double min_variance,
			 CtShares *shares)
{
	const CtModel *model = search->space.model;

	ct_projection_shares(&search->space, basis, search->rho,
						 ct_model_slack(model, search->query[model->dims],
										min_variance), shares);
}

/* The query's shares by the first n pivots of a basis that has a copy. */
static void
shares_by_copy(CtSearch *search, const CtBasisCopy *basis, int n,
			   CtShares *shares)
{
	const CtPivotCopies *copies = pivot_copies(search);
	CtProjection projection = basis->projection;

	projection.n = n;
	learn_correlations(search, copies, n, basis->numbers);
	for (int i = 0; i < n; i++)
		search->rho[i] = search->known[basis->numbers[i]];
	query_shares(search, &projection, basis->min_variance, shares);
}

/*
 * What the copies of the bases of residual leaves say of the query at first
 * sight: raises the bounds of the children of a branch.  Leaves that have no
 * copy, or have changed since, tell when they are visited.
 */
void
ct_search_glance_at_leaves(CtSearch *search, Branch *branch)
{
	for (int c = 0; c < branch->n; c++)
	{
		const CtBasisCopy *basis = ct_cache_basis(search->index,
												  &branch->links[c]);
		CtShares	shares;
		double		bound;

		if (basis == NULL || branch->keys[c] == INFINITY)
			continue;
		shares_by_copy(search, basis, basis->nglance, &shares);
		bound = ct_projection_glance(&search->space, &shares,
									 basis->glance_rest);
		branch->keys[c] = Max(branch->keys[c], bound);
	}
}

/*
 * Computes the query's shares by the basis of a leaf, whose pivots'
 * correlations are in search->rho.  Keeps a copy of the basis for other scans.
 */
void
ct_search_learn_shares(CtSearch *search, const CtNode *node, PageVisit *visit)
{
	CtShares   *shares = palloc(sizeof(CtShares));
	CtProjection projection;

	ct_node_projection(node, &projection);
	query_shares(search, &projection, node->basis->min_variance, shares);
	visit->shares = shares;
	ct_cache_keep_basis(search->index, visit->block, visit->incarnation, node);
}

/*
 * A lower bound of the distances of a residual leaf's rows where the query is an
 * inducing point, of which bases say little.
 */
static double
knot_key(const CtSearch *search, const CtNode *node)
{
	if (search->knot.number < 0)
		return 0.0;
	return ct_correlation_distance(ct_knot_limit(&search->knot,
												 node->knots));
}

/* Bounds for the rows of a residual leaf. */
void
ct_search_projection_keys(CtSearch *search, Cursor *cursor, const CtNode *node,
				const PageVisit *visit)
{
	CtRowShares rows;
	double		least = knot_key(search, node);

	ct_node_row_shares(node, &rows);
	ct_projection_bounds(&search->space, visit->shares, &rows, cursor->n,
						 search->bounds);
	for (int i = 0; i < cursor->n; i++)
		cursor->keys[i] = Max(cursor->keys[i], Max(search->bounds[i], least));
}

/*
 * Puts a residual leaf off, if it can be, first by what its basis says of all
 * rows together, and when it comes again by the least bound of its rows.  Most
 * leaves are never seen again: to make a cursor of each would cost more than
 * its bounds, and these cost more than a glance.
 */
bool
ct_search_put_off(CtSearch *search, const CtNode *node, const PageVisit *visit)
{
	CtRowShares rows;
	double		least;
	double		key;

	if (visit->stage == LEAF_BOUNDED || visit->shares == NULL ||
		search->nqueue == 0)
		return false;
	least = knot_key(search, node);
	if (visit->stage == LEAF_NEW)
	{
		key = ct_projection_glance(&search->space, visit->shares,
								   node->basis->most_rest);
		key = Max(key, least);
		if (ct_search_put_back(search, node->header->version, visit, key, LEAF_GLANCED))
			return true;
	}
	ct_node_row_shares(node, &rows);
	key = ct_projection_least(&search->space, visit->shares, &rows,
							  node->header->nentries, search->bounds);
	return ct_search_put_back(search, node->header->version, visit,
							  Max(key, least), LEAF_BOUNDED);
}

/* The same for a leaf that has not been read, by the copy of its basis. */
bool
ct_search_put_off_unread(CtSearch *search, PageVisit *visit)
{
	CtLink		link = {visit->block, visit->incarnation, visit->version, 0};
	const CtBasisCopy *basis;
	CtShares   *shares;

	if (search->seen == NULL || visit->height != 0 || visit->stage != LEAF_NEW)
		return false;
	basis = ct_cache_basis(search->index, &link);
	if (basis == NULL)
		return false;
	shares = palloc(sizeof(CtShares));
	shares_by_copy(search, basis, basis->projection.n, shares);
	visit->shares = shares;
	visit->stage = LEAF_GLANCED;
	return search->nqueue > 0 &&
		ct_search_put_back(search, visit->version, visit,
				 ct_projection_glance(&search->space, shares, basis->most_rest),
				 LEAF_GLANCED);
}

/*
 * Bounds of what is behind each link of a residual index, by the balls around
 * the entries.
 */
void
ct_search_ball_bounds(CtSearch *search, const CtNode *node, const PageVisit *visit,
			double *bounds)
{
	int			n = node->header->nentries;
	int			nchildren = node->header->nchildren;

	for (int i = 0; i < n; i++)
		search->dist[i] = ct_radius_decides(&search->space, node->radii[i]) ?
			ct_correlation_angle(pivot_correlation(search,
												   node->locators[i])) : 0.0;
	ct_lower_bounds(&search->space, n, search->dist, node->radii,
					search->bounds);
	/* a child without entries is on its way out; it has no rows */
	for (int c = 0; c < nchildren; c++)
		bounds[c] = INFINITY;
	for (int i = 0; i < n; i++)
	{
		const CtEntryMeta *meta = &node->metas[i];

		if (meta->child == CT_NO_CHILD)
			continue;
		if (meta->child >= nchildren)
			ct_page_corrupted(search->index, visit->block,
							  "Entry refers to nothing.");
		bounds[meta->child] = Min(bounds[meta->child], search->bounds[i]);
	}
}

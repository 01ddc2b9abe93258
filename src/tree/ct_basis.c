/*-------------------------------------------------------------------------
 *
 * ct_basis.c
 *	  Bases of residual leaves: choosing, storing and using them.
 *
 * A leaf's basis is chosen among pivots near to it when the leaf is built and
 * when one of its cells is opened, for then new pivots arise.  Between these
 * it stays as it is; rows that come get their shares by it.  A basis refers to
 * vectors that are pivots, so vacuum never frees them.
 *
 * IDENTIFICATION
 *	  src/tree/ct_basis.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "ct_tree.h"

#define REST_AHEAD		1.0625f

/*
 * Rows of a leaf that look for pivots near to them, and how many each finds; of
 * these, and what else is known, at most so many are candidates for the basis.
 */
#define PROBES			8
#define NEAREST			6
#define MOST_KNOWN		128
#define OLDEST			32
#define GOOD_REST		0.35

/* rounds in which rows that nothing known explains become candidates, one in 8 */
#define ROUNDS			5
#define PROMOTED_SHARE	8

struct CtBasisFit
{
	CtBasis		basis;
	uint8		knots[CT_MOST_LIMITS];	/* limits of the rows */
	int			nrows;
	CtShares   *shares;			/* by slot of the leaf */
};

/* The candidates for a basis, and where they are stored. */
typedef struct Candidates
{
	CtProjectionChoice choice;
	CtLocator	locators[CT_BASIS_CANDIDATES];
	int			n;
	int			nadded;			/* those that choice knows already */
	const double *records[CT_BASIS_CANDIDATES];
} Candidates;

/*
 * What the basis of a leaf says of a point.  Reads the pivots' vectors; the
 * caller may hold the leaf's lock.  Does nothing for leaves without such.
 */
void
ct_basis_shares(CtIndex *index, const CtNode *leaf, const double *point,
				CtShares *shares)
{
	CtProjection projection;
	double		rho[CT_BASIS_SIZE];
	const CtModel *model = index->space.model;

	if (leaf->basis == NULL)
		return;
	ct_node_projection(leaf, &projection);
	for (int i = 0; i < projection.n; i++)
		rho[i] = ct_pivot_correlation(index, leaf->basis->pivots[i], point);
	ct_projection_shares(&index->space, &projection, rho,
						 ct_model_slack(model, point[model->dims],
										leaf->basis->min_variance),
						 shares);
}

/*
 * Puts the outcome of a fit, whose pivots are these, into the form in which it
 * is stored.
 */
void
ct_basis_form(const CtProjectionFit *fit, const CtLocator *pivots,
			  CtBasis *basis)
{
	memset(basis, 0, sizeof(CtBasis));
	basis->n = fit->n;
	basis->norm = fit->norm * (1.0 + 1e-6);
	basis->min_variance = fit->min_variance * (1.0 - 1e-6);
	memcpy(basis->pivots, pivots, sizeof(CtLocator) * fit->n);
	/* what is behind it was never written, and shall be zeroes on disk */
	memcpy(basis->inverse, fit->inverse,
		   sizeof(float) * CT_GROUPED_SIZE(fit->n));
}

static bool
same_locator(CtLocator a, CtLocator b)
{
	return a.block == b.block && a.slot == b.slot;
}

/* Adds a candidate, if there is room; record is its vector, or NULL. */
static void
add_candidate(CtIndex *index, Candidates *candidates, CtLocator locator,
			  const double *record)
{
	if (candidates->n == CT_BASIS_CANDIDATES)
		return;
	for (int i = 0; i < candidates->n; i++)
		if (same_locator(candidates->locators[i], locator))
			return;
	if (record == NULL)
	{
		double	   *copy = palloc(sizeof(double) * index->point_size);

		ct_vector_read(index, locator, copy);
		record = copy;
	}
	candidates->locators[candidates->n] = locator;
	candidates->records[candidates->n++] = record;
}

static int
compare_ages(const void *a, const void *b, void *arg)
{
	const CtLocator *locators = arg;
	CtLocator	left = locators[*(const int *) a];
	CtLocator	right = locators[*(const int *) b];

	if (left.block != right.block)
		return left.block < right.block ? -1 : 1;
	return (int) left.slot - (int) right.slot;
}

/* The numbers of the copies there are of pivots, those stored first in front. */
static int *
pivots_by_age(CtIndex *index, int *n)
{
	const CtPivotCopies *pivots = ct_cache_pivots(index);
	int		   *order = palloc(sizeof(int) * Max(pivots->n, 1));

	*n = pivots->n;
	for (int i = 0; i < *n; i++)
		order[i] = i;
	qsort_arg(order, *n, sizeof(int), compare_ages,
			  unconstify(CtLocator *, pivots->locators));
	return order;
}

/* Adds the pivots nearest to a row, among the first n in order. */
static void
add_near_pivots(CtIndex *index, Candidates *candidates, const double *row,
				const int *order, int n, int limit)
{
	const CtPivotCopies *pivots = ct_cache_pivots(index);
	double		dist[NEAREST];
	size_t		nearest[NEAREST];
	int			found = 0;

	for (int i = 0; i < n; i++)
		found = ct_keep_nearest(dist, nearest, found, NEAREST,
								ct_model_place_distance(index->space.model, row,
														pivots->vectors[order[i]]),
								order[i]);
	for (int i = 0; i < found && candidates->n < limit; i++)
	{
		double	   *copy = palloc(sizeof(double) * index->point_size);

		memcpy(copy, pivots->vectors[nearest[i]], index->vector_bytes);
		add_candidate(index, candidates, pivots->locators[nearest[i]], copy);
	}
}

/* Fits a basis to the leaf's rows by the candidates gathered so far. */
static void
fit_candidates(Candidates *candidates, CtProjectionFit *projection,
			   CtBasisFit *fit)
{
	ct_projection_add(&candidates->choice,
					  candidates->n - candidates->nadded,
					  candidates->records + candidates->nadded);
	candidates->nadded = candidates->n;
	ct_projection_choose(&candidates->choice, projection);
	ct_projection_finish(&candidates->choice, projection, fit->shares);
}

/* Is there a row of which much is left? */
static bool
is_explained(const CtBasisFit *fit)
{
	for (int i = 0; i < fit->nrows; i++)
		if (fit->shares[i].rest > GOOD_REST)
			return false;
	return true;
}

/*
 * Fits a basis by what is known near to a leaf.  A scan evaluates every pivot of
 * any basis, so bases should share theirs: candidates are first those that have
 * been pivots for the longest time, which most leaves know.  More of them, and
 * then the leaf's own basis, are looked at as long as rows are not explained.
 */
static void
fit_known(CtIndex *index, const CtNode *leaf, const double *const *rows,
		  Candidates *candidates, CtProjectionFit *projection, CtBasisFit *fit)
{
	int			n = leaf->header->nentries;
	int			probes = Min(n, PROBES);
	int			nknown;
	int		   *order = pivots_by_age(index, &nknown);

	for (int oldest = OLDEST;; oldest *= 2)
	{
		for (int probe = 0; probe < probes; probe++)
			add_near_pivots(index, candidates, rows[probe * n / probes],
							order, Min(oldest, nknown), MOST_KNOWN);
		fit_candidates(candidates, projection, fit);
		if (is_explained(fit))
			return;
		if (oldest >= nknown || candidates->n == MOST_KNOWN)
			break;
	}
	for (int i = 0; i < leaf->basis->n && i < CT_BASIS_SIZE; i++)
		add_candidate(index, candidates, leaf->basis->pivots[i], NULL);
	fit_candidates(candidates, projection, fit);
}

/*
 * The limits of a leaf's rows.  They are computed anew once for each leaf: after a
 * split, of which both halves have the limits of what was one leaf.
 */
static void
measure_knots(CtIndex *index, const CtNode *leaf, const double *const *rows,
			  uint8 *knots)
{
	const CtModel *model = index->space.model;
	int			n = leaf->header->nentries;
	double	   *work;

	if (n > leaf->layout->capacity / 2 + CT_RENEW_ROWS)
	{
		memcpy(knots, leaf->knots, ct_knot_limits(model));
		return;
	}
	work = palloc(sizeof(double) * Max(ct_knots_solve_work(model), 1));
	ct_knots_solve(model, index->space.kernels, n, rows, work, knots);
	pfree(work);
}

/*
 * Chooses a basis for the rows of a leaf.  Candidates are the pivots known near
 * to it, and rows that all these explain badly: if one of them is chosen its
 * vector is made a pivot here.  The leaf is exclusively locked.
 */
CtBasisFit *
ct_basis_for_leaf(CtIndex *index, const CtNode *leaf)
{
	CtBasisFit *fit = palloc0(sizeof(CtBasisFit));
	Candidates *candidates = palloc0(sizeof(Candidates));
	int			n = leaf->header->nentries;
	const double **rows = palloc(sizeof(double *) * Max(n, 1));
	double	   *work = palloc(sizeof(double) * Max(n, 1));
	double	   *points = MemoryContextAllocHuge(CurrentMemoryContext,
												sizeof(double) * index->point_size * Max(n, 1));
	CtProjectionFit projection;
	CtLocator	chosen[CT_BASIS_SIZE];
	int			first_own;

	for (int i = 0; i < n; i++)
	{
		rows[i] = points + (size_t) i * index->point_size;
		ct_vector_read(index, leaf->locators[i], (double *) rows[i]);
	}
	fit->nrows = n;
	fit->shares = palloc(sizeof(CtShares) * Max(n, 1));
	ct_projection_begin(&candidates->choice, &index->cover, n, rows,
						palloc(sizeof(double) * ct_projection_work(n)));
	fit_known(index, leaf, rows, candidates, &projection, fit);
	first_own = candidates->n;
	for (int round = 0; round < ROUNDS; round++)
	{
		int			promoted[CT_PROMOTED_AT_ONCE];
		int			more = ct_projection_unexplained(&candidates->choice,
													 &projection,
													 PROMOTED_SHARE,
													 CT_BASIS_CANDIDATES - candidates->n,
													 work, promoted);

		if (more == 0)
			break;
		for (int i = 0; i < more; i++)
			add_candidate(index, candidates, leaf->locators[promoted[i]],
						  rows[promoted[i]]);
		fit_candidates(candidates, &projection, fit);
	}
	for (int i = 0; i < projection.n; i++)
	{
		chosen[i] = candidates->locators[projection.chosen[i]];
		if (projection.chosen[i] >= first_own)
		{
			ct_vector_mark_pivot(index, chosen[i]);
			ct_cache_keep_pivot(index, chosen[i],
								candidates->records[projection.chosen[i]]);
		}
	}
	ct_basis_form(&projection, chosen, &fit->basis);
	measure_knots(index, leaf, rows, fit->knots);
	return fit;
}

/*
 * Chooses the basis of a leaf anew, now that it has other rows.  Parent and leaf
 * are exclusively locked by the caller.
 */
void
ct_basis_renew(CtIndex *index, CtPin parent_pin, int link, CtPin leaf_pin)
{
	CtNode		parent;
	CtNode		leaf;
	CtBasisFit *fit;
	CtEdit	   *edit;

	ct_node_view(index, ct_pin_page(leaf_pin), &leaf);
	fit = ct_basis_for_leaf(index, &leaf);
	edit = ct_edit_begin(index);
	ct_node_view(index, ct_edit_page(edit, parent_pin, false), &parent);
	ct_node_view(index, ct_edit_page(edit, leaf_pin, false), &leaf);
	ct_basis_install(index, &leaf, fit);
	ct_node_new_version(&parent, link, &leaf);
	ct_edit_commit(edit);
}

/* Stores a basis and the shares of all rows in (the edit's copy of) a leaf. */
void
ct_basis_install(CtIndex *index, CtNode *leaf, const CtBasisFit *fit)
{
	Assert(leaf->header->nentries == fit->nrows);
	*leaf->basis = fit->basis;
	memcpy(leaf->knots, fit->knots, ct_knot_limits(index->space.model));
	ct_node_put_all_shares(leaf, fit->shares);
}

/*
 * Makes a leaf ready for a row with these shares.  The leaf gets another
 * version, since copies of its basis say less; so that this is rare, somewhat
 * more than needed.  Parent and leaf are exclusively locked by the caller.
 */
void
ct_basis_admit(CtIndex *index, CtPin parent_pin, int link, CtPin leaf_pin,
			   const CtShares *shares)
{
	CtEdit	   *edit = ct_edit_begin(index);
	CtNode		parent;
	CtNode		leaf;

	ct_node_view(index, ct_edit_page(edit, parent_pin, false), &parent);
	ct_node_view(index, ct_edit_page(edit, leaf_pin, false), &leaf);
	ct_node_admit(&leaf, shares, REST_AHEAD);
	ct_node_new_version(&parent, link, &leaf);
	ct_edit_commit(edit);
}

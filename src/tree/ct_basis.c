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

struct CtBasisFit
{
	CtBasis		basis;
	int			nrows;
	CtShares   *shares;			/* by slot of the leaf */
};

/* candidates on their way to ct_projection_add() */
typedef struct Candidates
{
	int			n;
	const double *records[CT_BASIS_CANDIDATES];
	CtLocator	locators[CT_BASIS_CANDIDATES];
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

static void
add_candidate(CtIndex *index, Candidates *candidates, CtLocator locator,
			  const double *record)
{
	if (candidates->n == CT_BASIS_CANDIDATES)
		return;
	for (int i = 0; i < candidates->n; i++)
		if (candidates->locators[i].block == locator.block &&
			candidates->locators[i].slot == locator.slot)
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

/*
 * Chooses a basis for a leaf of which a cell is being opened.  points are the
 * count rows in the given slots of the leaf; of these pivots[1 .. k - 1] become
 * pivots.  Other candidates are the pivots of the basis that the leaf has, the
 * entries of the parent that lead to the leaf, those above them, and then the
 * others of the page.  Both pages are exclusively locked.
 */
CtBasisFit *
ct_basis_for_leaf(CtIndex *index, const CtNode *leaf, const CtNode *parent,
				  int link, const double *points, const int *slots,
				  int count, const int *pivots, int k)
{
	CtBasisFit *fit = palloc0(sizeof(CtBasisFit));
	Candidates	candidates = {0};
	CtProjectionChoice choice;
	CtProjectionFit projection;
	CtLocator	chosen[CT_BASIS_SIZE];
	int			n = leaf->header->nentries;
	const double **rows = palloc0(sizeof(double *) * n);
	int			size = index->point_size;
	int			nparent = parent->header->nentries;

	for (int i = 0; i < count; i++)
		rows[slots[i]] = points + (size_t) i * size;
	for (int i = 0; i < n; i++)
		if (rows[i] == NULL)
		{
			double	   *copy = palloc(sizeof(double) * size);

			ct_vector_read(index, leaf->locators[i], copy);
			rows[i] = copy;
		}
	for (int p = 1; p < k; p++)
		add_candidate(index, &candidates, leaf->locators[slots[pivots[p]]],
					  points + (size_t) pivots[p] * size);
	for (int i = 0; i < leaf->basis->n && i < CT_BASIS_SIZE; i++)
		add_candidate(index, &candidates, leaf->basis->pivots[i], NULL);
	for (int i = 0; i < nparent; i++)
		if (parent->metas[i].child == link)
			add_candidate(index, &candidates, parent->locators[i], NULL);
	for (int i = 0; i < nparent; i++)
		if (parent->metas[i].child == link &&
			parent->metas[i].parent < nparent)
			add_candidate(index, &candidates,
						  parent->locators[parent->metas[i].parent], NULL);
	for (int i = 0; i < nparent; i++)
		add_candidate(index, &candidates, parent->locators[i], NULL);

	fit->nrows = n;
	fit->shares = palloc(sizeof(CtShares) * n);
	ct_projection_begin(&choice, &index->cover, n, rows,
						palloc(sizeof(double) * ct_projection_work(n)));
	ct_projection_add(&choice, candidates.n, candidates.records);
	ct_projection_fit(&choice, &projection, fit->shares);
	for (int i = 0; i < projection.n; i++)
		chosen[i] = candidates.locators[projection.chosen[i]];
	ct_basis_form(&projection, chosen, &fit->basis);
	return fit;
}

/* Stores a basis and the shares of all rows in (the edit's copy of) a leaf. */
void
ct_basis_install(CtIndex *index, CtNode *leaf, const CtBasisFit *fit)
{
	Assert(leaf->header->nentries == fit->nrows);
	*leaf->basis = fit->basis;
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

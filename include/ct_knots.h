/*-------------------------------------------------------------------------
 *
 * ct_knots.h
 *	  What inducing points ("knots") have to do with the rows of a leaf.
 *
 * Layer 1.  The residual variance of an inducing point is nearly all jitter, so
 * that as a query it is hardly correlated with anything, and no pivot near to a
 * leaf says which of its rows come first.  Its weights do: inducing point number
 * j and a row x have the residual covariance (derivation in ct_knots.c)
 *
 *		R(u_j, x) = jitter * variance * w_xj + roundings,	w_x = L^-T v_x
 *
 * where w_x are the weights with which the inducing points predict x, large only
 * next to u_j.  So a leaf stores the largest of its rows' |w_xj| / sqrt(p_x) for
 * each inducing point, in a byte: its limits.
 *
 * IDENTIFICATION
 *	  include/ct_knots.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_KNOTS_H
#define CT_KNOTS_H

#include "ct_model.h"

/*
 * If there are more inducing points, some that stand next to each other share a
 * limit.  (Which then says much less: their limits differ by orders of magnitude.)
 */
#define CT_MOST_LIMITS		512

static inline size_t
ct_knot_limits(const CtModel *model)
{
	return model->m < CT_MOST_LIMITS ? model->m : CT_MOST_LIMITS;
}

/*
 * The weights of many rows are products with the inverse of the factor, which
 * makes them cheaper than a triangular solve each.  memory: ct_knots_bytes().
 */
typedef struct CtKnots
{
	const CtModel *model;
	const CtKernelTable *kernels;
	float	   *tiles;			/* of the inverse; see largest_products() */
	double	   *slack;			/* by inducing point, see ct_knots.c */
} CtKnots;

extern size_t ct_knots_bytes(const CtModel *model);
extern void ct_knots_init(const CtModel *model, const CtKernelTable *kernels,
						  void *memory, CtKnots *knots);

/*
 * Computes what concerns inducing points [first, first + CT_BATCH), first being a
 * multiple of that; all are needed, in any order and thread.  work has room for
 * ct_knots_fill_work() doubles.
 */
extern void ct_knots_fill(CtKnots *knots, size_t first, double *work);
extern size_t ct_knots_fill_work(const CtModel *model);

/*
 * Sets the limits of n rows, by their records.  work has room for
 * ct_knots_measure_work() floats, on a cache line if it is to be quick.  Thread-safe.
 */
extern void ct_knots_measure(const CtKnots *knots, size_t n,
							 const double *const *records, float *work,
							 uint8_t *limits);
extern size_t ct_knots_measure_work(const CtModel *model);

/* Does it pay to invert the factor for so many rows? */
extern bool ct_knots_pay(const CtModel *model, size_t nrows);

/*
 * The same by triangular solves, which needs no inverse.  work has room for
 * ct_knots_solve_work() doubles.
 */
extern void ct_knots_solve(const CtModel *model, const CtKernelTable *kernels,
						   size_t n, const double *const *records,
						   double *work, uint8_t *limits);
extern size_t ct_knots_solve_work(const CtModel *model);

/* Do limits hold for a row?  work has room for m doubles. */
extern bool ct_knots_hold(const CtModel *model, const CtKernelTable *kernels,
						  const double *record, double *work,
						  const uint8_t *limits);

/* Raises limits so that they hold for the rows of others, too. */
extern void ct_knots_join(const CtModel *model, uint8_t *limits,
						  const uint8_t *others);

/* A query that is an inducing point, or (-1) is none. */
typedef struct CtKnot
{
	int			number;			/* of its limit */
	double		factor;
	double		offset;
} CtKnot;

/* min_variance: no row of the index has a smaller residual variance */
extern CtKnot ct_knot_find(const CtModel *model, const double *record,
						   double min_variance);

/*
 * No row for which limits hold has a larger computed |rho| with the query, which
 * is an inducing point.
 */
extern double ct_knot_limit(const CtKnot *knot, const uint8_t *limits);

#endif							/* CT_KNOTS_H */

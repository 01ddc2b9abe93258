/*-------------------------------------------------------------------------
 *
 * ct_projection.h
 *	  Bounds of a residual correlation from the correlations with a few pivots.
 *
 * Layer 1.  Let u_x be the unit vector of x (ct_metric_residual.c), G the Gram
 * matrix of some pivots, and M any matrix with I - M G M' positive semidefinite.
 * With the shares
 *
 *		beta_x = M rho(x, pivots)	and		e_x = sqrt(1 - |beta_x|^2)
 *
 * Cauchy-Schwarz gives |rho(q, x)| <= |beta_q . beta_x| + e_q e_x: beta_x = A u_x,
 * where A = M (u_1 ... u_n)' has a norm of at most 1, so I - A' A is positive
 * semidefinite too, and rho(q, x) - beta_q . beta_x = u_q' (I - A' A) u_x.  Best is
 * the inverse of a factor of G: then beta are coordinates in an orthonormal
 * basis of the space of the pivots.  One pivot is the triangle
 * inequality of angles; e_x is the kriging standard deviation of x given the
 * pivots.  Rounding is dealt with in ct_projection.c.
 *
 * IDENTIFICATION
 *	  include/ct_projection.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_PROJECTION_H
#define CT_PROJECTION_H

#include "ct_metric.h"

/* most pivots of a basis */
#define CT_BASIS_SIZE		40

/* A basis as arithmetic sees it. */
typedef struct CtProjection
{
	int			n;
	const float *inverse;		/* M, lower triangular, in groups of rows */
	double		norm;			/* at least the Frobenius norm of M */
} CtProjection;

/* What is known of a query, or a row, by a basis. */
typedef struct CtShares
{
	float		beta[CT_BASIS_SIZE];
	double		error;			/* |beta - true beta| is at most this */
	double		length;			/* at least |true beta| and |beta| */
	double		rest;			/* at least the true e */
} CtShares;

/* candidates that a basis is chosen from, at most */
#define CT_BASIS_CANDIDATES	192

/* A basis chosen for some rows. */
typedef struct CtProjectionFit
{
	int			n;
	int			chosen[CT_BASIS_SIZE];	/* numbers of candidates */
	float		inverse[CT_GROUPED_SIZE(CT_BASIS_SIZE)];
	double		norm;
	double		min_variance;	/* smallest residual variance of the chosen */
} CtProjectionFit;

/* Rows, and the candidates for their basis, all of them records. */
typedef struct CtProjectionChoice
{
	const CtSpace *space;
	int			nrows;
	const double *const *rows;
	int			ncandidates;
	const double *candidates[CT_BASIS_CANDIDATES];
	double	   *cross;			/* of row i and candidate c: [i *
								 * CT_BASIS_CANDIDATES + c] */
	double	   *gram;			/* of two: [c * CT_BASIS_CANDIDATES + d] */
	double	   *columns;
	double	   *residuals;
	double		squares[CT_BASIS_CANDIDATES];	/* sums of cross squared */
	double		roots[CT_BASIS_SIZE];	/* diagonal of the factor */
} CtProjectionChoice;

/*
 * To choose a basis for rows: begin, add candidates, and choose among them
 * (n and chosen of fit, best first); then perhaps add others and choose again.
 * At last finish, which fills the rest of fit, and the rows' shares.  work has
 * room for ct_projection_work() doubles.  Candidates that there is no room for
 * are left out.  Thread-safe.
 */
extern size_t ct_projection_work(int nrows);
extern void ct_projection_begin(CtProjectionChoice *choice,
								const CtSpace *space, int nrows,
								const double *const *rows, double *work);
extern void ct_projection_add(CtProjectionChoice *choice, int n,
							  const double *const *candidates);
extern void ct_projection_choose(CtProjectionChoice *choice,
								 CtProjectionFit *fit);
extern void ct_projection_finish(const CtProjectionChoice *choice,
								 CtProjectionFit *fit, CtShares *shares);

/*
 * Rows that what is chosen explains badly and that may become pivots: the
 * worst first, but none that is correlated with one before it, and at most one
 * in `share` (but one in any case).  Fills rows (numbers of at most limit) and
 * returns how many they are.  work has room for nrows doubles.
 */
#define CT_PROMOTED_AT_ONCE	16

extern int	ct_projection_unexplained(const CtProjectionChoice *choice,
									  const CtProjectionFit *fit, int share,
									  int limit, double *work, int *rows);

/*
 * Shares of a query or row whose correlations with the basis' pivots are rho,
 * with errors of at most slack.
 */
extern void ct_projection_shares(const CtSpace *space,
								 const CtProjection *basis, const double *rho,
								 double slack, CtShares *shares);

/*
 * At least the true e of a point by the first n pivots of a basis, which are a
 * basis too.
 */
extern double ct_projection_rest(const CtShares *shares, int n);

/* What is left of a row, as it is stored. */
static inline float
ct_projection_stored_rest(double rest)
{
	return (float) (rest * (1.0 + 1e-6));
}

/* What is stored of rows by a basis. */
typedef struct CtRowShares
{
	int			nbasis;
	const int8_t *shares;		/* by column, in units of its scale */
	const float *scales;
	int			stride;
	const float *rests;
	double		error;			/* of any row's shares, as they are stored */
} CtRowShares;

/*
 * Lower bounds of the reported distances of a query and n rows, and the least of
 * them (work: n doubles).
 */
extern void ct_projection_bounds(const CtSpace *space, const CtShares *query,
								 const CtRowShares *rows, int n,
								 double *bounds);
extern double ct_projection_least(const CtSpace *space, const CtShares *query,
								  const CtRowShares *rows, int n,
								  double *work);

/*
 * A lower bound of them, weaker but quick, for rows of which no more than
 * most_rest is left.
 */
extern double ct_projection_glance(const CtSpace *space, const CtShares *query,
								   double most_rest);

#endif							/* CT_PROJECTION_H */

/*-------------------------------------------------------------------------
 *
 * ct_projection.c
 *	  The projection bound (ct_projection.h) with its rounding slack.
 *
 * Correlations are computed with an error of at most s (ct_model_slack()).
 *
 * Gram matrix.  Let n pivots have the computed Gram matrix G^.  |G^ - G| has a
 * norm of at most n s, so G^ + t I - G is positive semidefinite for t >= n s;
 * t = n s + RIDGE, where RIDGE is far more than what the factorization rounds.
 * With its factor C, C^-1 G C^-T <= I.  The inverse is computed in double, with
 * an error of at most INVERSE |C^-1|_F^2 (rows of C have norms below 2), and
 * rounded to float, 2^-24 |C^-1|_F.  Times |U| <= sqrt(n), U being the pivots'
 * unit vectors, that sum is d, and M is C^-1 (1 - 2 d): |M U| <= 1 - 2 d + d.
 *
 * Shares.  M as stored is exact.  beta^ differs from M rho by M times the error
 * of rho (|M|_F sqrt(n) s), by the roundings of the product in double
 * (n^1.5 2^-53 |M|_F, less than PRODUCT |M|_F) and of beta to float
 * (2^-24 |beta|).  That sum is shares.error = h.  Then |beta| >= |beta^| - h,
 * so e <= sqrt(1 - max(0, |beta^| - h)^2).
 *
 * Storage.  Whoever stores a row's shares in units of the leaf's scales adds to
 * h_x the norm of what that changes (ct_node.c).
 *
 * Bounds.  |beta_q . beta_x| <= |beta^_q . beta^_x| + h_q |beta^_x| +
 * h_x |beta^_q| + h_q h_x, where |beta^_x| <= 1 + h_x; scaling the query's shares
 * and the product in float add at most 4 n 2^-24 |beta^_q| (1 + h_x).  Of many rows, none of which has more
 * than E left, |beta_q . beta_x| <= |beta_q| <= |beta^_q| + h_q says already that
 * no correlation is above |beta^_q| + h_q + e_q E.
 *
 * IDENTIFICATION
 *	  src/metric/ct_projection.c
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "ct_model.h"
#include "ct_projection.h"

#define RIDGE			1e-6
#define INVERSE			1e-13
#define PRODUCT			1e-13
#define FLOAT_UNIT		0x1p-24

/* rows whose bounds are computed together */
#define SHARE_BLOCK		64

/* a candidate of which less than this is left adds nothing */
#define LEAST_REST		1e-3

/*
 * The inverse of a factor C of n rows, for which see the head of this file:
 * scaled down, rounded, and in groups of rows as CtProjection has it.  Returns
 * its Frobenius norm, rounded up.
 */
static double
invert_factor(int n, const double (*factor)[CT_BASIS_SIZE], float *grouped)
{
	double		inverse[CT_BASIS_SIZE][CT_BASIS_SIZE] = {0};
	double		square = 0.0;
	double		norm;
	double		loss;

	for (int column = 0; column < n; column++)
		for (int i = column; i < n; i++)
		{
			double		value = i == column ? 1.0 : 0.0;

			for (int j = column; j < i; j++)
				value -= factor[i][j] * inverse[j][column];
			inverse[i][column] = value / factor[i][i];
			square += inverse[i][column] * inverse[i][column];
		}
	norm = sqrt(square);
	loss = (FLOAT_UNIT * norm + INVERSE * square) * sqrt(n) * (1.0 + 1e-6);
	memset(grouped, 0, sizeof(float) * CT_GROUPED_SIZE(n));
	for (int i = 0; i < n; i++)
		for (int j = 0; j <= i; j++)
			grouped[CT_GROUPED_AT(i, j)] =
				(float) (inverse[i][j] * (1.0 - 2.0 * loss));
	return norm * (1.0 + 1e-6);
}

/* The candidate that explains most of what is left of the rows, or -1. */
static int
best_candidate(int n, int ncandidates, const double *cross,
			   const double *rest)
{
	int			best = -1;
	double		most = 0.0;

	for (int c = 0; c < ncandidates; c++)
	{
		double		sum = 0.0;

		if (rest[c] < LEAST_REST)
			continue;
		for (int i = 0; i < n; i++)
			sum += cross[c * n + i] * cross[c * n + i];
		sum /= rest[c];
		if (sum > most)
		{
			most = sum;
			best = c;
		}
	}
	return best;
}

/*
 * Chooses a basis of at most limit pivots for n rows among ncandidates.
 * Greedy: a partial Cholesky factorization of the candidates' Gram matrix,
 * each time with the candidate that leaves least of the rows.
 *
 * cross[c * n + i] is the correlation of candidate c and row i, gram[c *
 * ncandidates + d] that of two candidates, each with an error of at most
 * slack.  Fills chosen (numbers of candidates, best first), inverse and *norm
 * (CtProjection); returns how many pivots were chosen.  cross is destroyed.
 */
static int
choose_basis(int n, int ncandidates, double *cross, const double *gram,
			 double slack, int limit, int *chosen, float *inverse, double *norm)
{
	double		ridge = limit * slack + RIDGE;
	double		rest[CT_BASIS_CANDIDATES];
	double		columns[CT_BASIS_SIZE][CT_BASIS_CANDIDATES];
	double		factor[CT_BASIS_SIZE][CT_BASIS_SIZE];
	int			k = 0;

	for (int c = 0; c < ncandidates; c++)
		rest[c] = 1.0 + ridge;
	while (k < limit)
	{
		int			best = best_candidate(n, ncandidates, cross, rest);
		double		root;

		if (best < 0)
			break;
		root = sqrt(rest[best]);
		for (int j = 0; j < k; j++)
			factor[k][j] = columns[j][best];
		factor[k][k] = root;
		for (int c = 0; c < ncandidates; c++)
		{
			double		value = gram[best * ncandidates + c];

			for (int j = 0; j < k; j++)
				value -= columns[j][best] * columns[j][c];
			columns[k][c] = value / root;
			if (rest[c] >= LEAST_REST)
			{
				rest[c] -= columns[k][c] * columns[k][c];
				for (int i = 0; i < n && c != best; i++)
					cross[c * n + i] -= columns[k][c] / root * cross[best * n + i];
			}
		}
		rest[best] = 0.0;
		chosen[k++] = best;
	}
	*norm = invert_factor(k, factor, inverse);
	return k;
}

static double
norm_of(const CtShares *shares, int n)
{
	double		square = 0.0;

	for (int i = 0; i < n; i++)
		square += (double) shares->beta[i] * shares->beta[i];
	return sqrt(square);
}

double
ct_projection_rest(const CtShares *shares, int n)
{
	double		norm = (norm_of(shares, n) - shares->error) * (1.0 - 1e-12);

	if (!(norm > 0.0))
		return 1.0;
	return norm < 1.0 ? sqrt(1.0 - norm * norm) * (1.0 + 1e-12) + 1e-12 : 1e-12;
}

void
ct_projection_shares(const CtSpace *space, const CtProjection *basis,
					 const double *rho, double slack, CtShares *shares)
{
	double		known[CT_BASIS_SIZE] = {0};
	double		beta[CT_BASIS_SIZE];
	double		norm;

	memcpy(known, rho, sizeof(double) * basis->n);
	space->kernels->grouped_product(basis->inverse, basis->n, known, beta);
	for (int i = 0; i < basis->n; i++)
		shares->beta[i] = (float) beta[i];
	norm = norm_of(shares, basis->n);
	shares->error = (basis->norm * (sqrt(basis->n) * slack + PRODUCT) +
					 2.0 * FLOAT_UNIT * norm) * (1.0 + 1e-6);
	shares->length = (norm + shares->error) * (1.0 + 1e-12);
	shares->rest = ct_projection_rest(shares, basis->n);
}

/* Upper limits of the correlations of a query and n rows. */
static void
correlation_limits(const CtSpace *space, const CtShares *query,
				   const CtRowShares *rows, int n, double *limits)
{
	double		hq = query->error;
	double		hx = rows->error;
	double		add = hq * (1.0 + hx) + hx * query->length + hq * hx +
		4.0 * rows->nbasis * FLOAT_UNIT * query->length * (1.0 + hx);
	float		beta[CT_BASIS_SIZE];

	for (int j = 0; j < rows->nbasis; j++)
		beta[j] = query->beta[j] * rows->scales[j];
	for (int from = 0; from < n; from += SHARE_BLOCK)
	{
		float		products[SHARE_BLOCK];
		int			count = n - from < SHARE_BLOCK ? n - from : SHARE_BLOCK;

		space->kernels->share_products(beta, rows->shares + from,
									   rows->stride, count, rows->nbasis,
									   products);
		for (int i = 0; i < count; i++)
			limits[from + i] = fabsf(products[i]) + query->rest *
				rows->rests[from + i] + add;
	}
}

void
ct_projection_bounds(const CtSpace *space, const CtShares *query,
					 const CtRowShares *rows, int n, double *bounds)
{
	correlation_limits(space, query, rows, n, bounds);
	for (int i = 0; i < n; i++)
		bounds[i] = ct_correlation_bound(space, bounds[i]);
}

double
ct_projection_least(const CtSpace *space, const CtShares *query,
					const CtRowShares *rows, int n, double *work)
{
	double		limit = 0.0;

	correlation_limits(space, query, rows, n, work);
	for (int i = 0; i < n; i++)
		limit = work[i] > limit ? work[i] : limit;
	return ct_correlation_bound(space, limit);
}

double
ct_projection_glance(const CtSpace *space, const CtShares *query,
					 double most_rest)
{
	return ct_correlation_bound(space, query->length + query->rest * most_rest);
}

size_t
ct_projection_work(int nrows)
{
	return (size_t) CT_BASIS_CANDIDATES * (2 * nrows + CT_BASIS_CANDIDATES);
}

void
ct_projection_fit(const CtSpace *space, int ncandidates,
				  const double *const *candidates, int nrows,
				  const double *const *rows, double *work,
				  CtProjectionFit *fit, CtShares *shares)
{
	const CtModel *model = space->model;
	double	   *cross = work;
	double	   *kept = cross + (size_t) ncandidates * nrows;
	double	   *gram = kept + (size_t) ncandidates * nrows;
	double		least = model->variance;
	CtProjection projection;

	for (int c = 0; c < ncandidates; c++)
	{
		least = fmin(least, candidates[c][model->dims]);
		ct_model_correlations(model, space->kernels, candidates[c], c,
							  candidates, gram + c * ncandidates);
		gram[c * ncandidates + c] = 1.0;
		for (int d = 0; d < c; d++)
			gram[d * ncandidates + c] = gram[c * ncandidates + d];
		ct_model_correlations(model, space->kernels, candidates[c], nrows, rows,
							  kept + c * nrows);
	}
	memcpy(cross, kept, sizeof(double) * ncandidates * nrows);
	fit->n = choose_basis(nrows, ncandidates, cross, gram,
						  ct_model_slack(model, least, least), CT_BASIS_SIZE,
						  fit->chosen, fit->inverse, &fit->norm);
	fit->min_variance = least;
	projection.n = fit->n;
	projection.inverse = fit->inverse;
	projection.norm = fit->norm;
	for (int i = 0; i < nrows; i++)
	{
		double		rho[CT_BASIS_SIZE];

		for (int k = 0; k < fit->n; k++)
			rho[k] = kept[fit->chosen[k] * nrows + i];
		ct_projection_shares(space, &projection, rho,
							 ct_model_slack(model, least, rows[i][model->dims]),
							 &shares[i]);
	}
}

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

/*
 * Badly explained are rows that have a larger rest.  Some of these become
 * pivots at once, but none that is correlated more than that with another one.
 */
#define LARGE_REST		0.42

/* candidates whose correlations with each other are computed together */
#define GRAM_BLOCK		12

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

/* What ct_projection_choose() knows of the candidates. */
typedef struct Progress
{
	int			k;				/* pivots chosen */
	double		rest[CT_BASIS_CANDIDATES];	/* left of each, squared */
	double		gain[CT_BASIS_CANDIDATES];	/* what it explains, times that */
} Progress;

/* The candidate that explains most of what is left of the rows, or -1. */
static int
best_candidate(const Progress *progress, int ncandidates)
{
	int			best = -1;
	double		most = 0.0;

	for (int c = 0; c < ncandidates; c++)
	{
		double		part;

		if (progress->rest[c] < LEAST_REST)
			continue;
		part = progress->gain[c] / progress->rest[c];
		if (part > most)
		{
			most = part;
			best = c;
		}
	}
	return best;
}

/*
 * Makes a candidate the next pivot.  residuals[k] are the correlations of the
 * rows with the direction that pivot number k adds, columns[k] those of the
 * candidates.  The rows' correlations with candidate c, less what the pivots
 * explain of them, are x = cross[..][c] - sum of columns[j][c] residuals[j];
 * their squares (gain) are followed without computing them:
 *
 *		|x - t r|^2 = |x|^2 - 2 t x.r + t^2 |r|^2
 *
 * Candidates lie side by side, so that vectors are of them.
 */
static void
add_pivot(const CtProjectionChoice *choice, Progress *progress, int best)
{
	const CtKernelTable *kernels = choice->space->kernels;
	const double *gram = choice->gram + best * CT_BASIS_CANDIDATES;
	int			n = choice->nrows;
	int			ncandidates = choice->ncandidates;
	int			k = progress->k++;
	double	   *added = choice->columns + k * CT_BASIS_CANDIDATES;
	double	   *residual = choice->residuals + (size_t) k * n;
	const double *residuals[CT_BASIS_SIZE];
	double		column[CT_BASIS_SIZE];
	double		overlap[CT_BASIS_SIZE];
	double		known[CT_BASIS_CANDIDATES];
	double		products[CT_BASIS_CANDIDATES];
	double		explained[CT_BASIS_CANDIDATES];
	double		root = choice->roots[k];
	double		square;

	for (int j = 0; j < k; j++)
	{
		column[j] = choice->columns[j * CT_BASIS_CANDIDATES + best];
		residuals[j] = choice->residuals + (size_t) j * n;
	}
	kernels->combine_f64(column, k, choice->residuals, n, n, residual);
	for (int i = 0; i < n; i++)
		residual[i] = (choice->cross[(size_t) i * CT_BASIS_CANDIDATES + best] -
					   residual[i]) / root;
	square = kernels->dot_f64(residual, residual, n);
	kernels->dots_f64(residual, residuals, k, n, overlap);
	kernels->combine_f64(column, k, choice->columns, CT_BASIS_CANDIDATES,
						 ncandidates, known);
	kernels->combine_f64(residual, n, choice->cross, CT_BASIS_CANDIDATES,
						 ncandidates, products);
	kernels->combine_f64(overlap, k, choice->columns, CT_BASIS_CANDIDATES,
						 ncandidates, explained);
	for (int c = 0; c < ncandidates; c++)
	{
		double		t = (gram[c] - known[c]) / root;

		added[c] = t;
		progress->rest[c] -= t * t;
		progress->gain[c] += t * (t * square -
								  2.0 * (products[c] - explained[c]));
	}
	progress->rest[best] = 0.0;
}

/* Before there is a pivot. */
static void
start_progress(const CtProjectionChoice *choice, double ridge,
			   Progress *progress)
{
	progress->k = 0;
	for (int c = 0; c < choice->ncandidates; c++)
	{
		progress->rest[c] = 1.0 + ridge;
		progress->gain[c] = choice->squares[c];
	}
}

/*
 * The factor of the Gram matrix of the candidates chosen, and its inverse: fills
 * inverse and norm of fit.
 */
static void
invert_choice(const CtProjectionChoice *choice, CtProjectionFit *fit)
{
	double		factor[CT_BASIS_SIZE][CT_BASIS_SIZE];

	for (int k = 0; k < fit->n; k++)
	{
		for (int j = 0; j < k; j++)
			factor[k][j] = choice->columns[j * CT_BASIS_CANDIDATES +
										   fit->chosen[k]];
		factor[k][k] = choice->roots[k];
	}
	fit->norm = invert_factor(fit->n, factor, fit->inverse);
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
	return (size_t) CT_BASIS_CANDIDATES *
		(nrows + CT_BASIS_CANDIDATES + CT_BASIS_SIZE) +
		(size_t) CT_BASIS_SIZE * nrows;
}

void
ct_projection_begin(CtProjectionChoice *choice, const CtSpace *space,
					int nrows, const double *const *rows, double *work)
{
	choice->space = space;
	choice->nrows = nrows;
	choice->rows = rows;
	choice->ncandidates = 0;
	choice->cross = work;
	choice->gram = choice->cross + (size_t) CT_BASIS_CANDIDATES * nrows;
	choice->columns = choice->gram + CT_BASIS_CANDIDATES * CT_BASIS_CANDIDATES;
	choice->residuals = choice->columns + CT_BASIS_CANDIDATES * CT_BASIS_SIZE;
}

/* Sums of squares of the rows' correlations with the candidates from `first` on. */
static void
add_squares(CtProjectionChoice *choice, int first)
{
	for (int c = first; c < choice->ncandidates; c++)
		choice->squares[c] = 0.0;
	for (int i = 0; i < choice->nrows; i++)
	{
		const double *cross = choice->cross + (size_t) i * CT_BASIS_CANDIDATES;

		for (int c = first; c < choice->ncandidates; c++)
			choice->squares[c] += cross[c] * cross[c];
	}
}

void
ct_projection_add(CtProjectionChoice *choice, int n,
				  const double *const *candidates)
{
	const CtModel *model = choice->space->model;
	const CtKernelTable *kernels = choice->space->kernels;
	int			first = choice->ncandidates;
	double	   *gram = choice->gram + first * CT_BASIS_CANDIDATES;

	if (n > CT_BASIS_CANDIDATES - first)
		n = CT_BASIS_CANDIDATES - first;
	memcpy(choice->candidates + first, candidates, sizeof(double *) * n);
	choice->ncandidates += n;
	ct_model_correlation_table(model, kernels, choice->nrows, choice->rows, n,
							   candidates, choice->cross + first,
							   CT_BASIS_CANDIDATES);
	add_squares(choice, first);
	ct_model_correlation_table(model, kernels, n, candidates, first,
							   choice->candidates, gram, CT_BASIS_CANDIDATES);
	/* of the square of the new ones, little more than half */
	for (int c = 0; c < n; c += GRAM_BLOCK)
	{
		int			block = n - c < GRAM_BLOCK ? n - c : GRAM_BLOCK;

		ct_model_correlation_table(model, kernels, block, candidates + c,
								   c + block, candidates,
								   gram + c * CT_BASIS_CANDIDATES + first,
								   CT_BASIS_CANDIDATES);
	}
	for (int c = first; c < first + n; c++)
	{
		choice->gram[c * CT_BASIS_CANDIDATES + c] = 1.0;
		for (int d = 0; d < c; d++)
			choice->gram[d * CT_BASIS_CANDIDATES + c] =
				choice->gram[c * CT_BASIS_CANDIDATES + d];
	}
}

/*
 * Greedy: a partial Cholesky factorization of the candidates' Gram matrix, each
 * time with the candidate that leaves least of the rows.
 */
void
ct_projection_choose(CtProjectionChoice *choice, CtProjectionFit *fit)
{
	const CtModel *model = choice->space->model;
	double		least = model->variance;
	Progress	progress;

	for (int c = 0; c < choice->ncandidates; c++)
		least = fmin(least, choice->candidates[c][model->dims]);
	start_progress(choice, CT_BASIS_SIZE * ct_model_slack(model, least, least) +
				   RIDGE, &progress);
	while (progress.k < CT_BASIS_SIZE)
	{
		int			best = best_candidate(&progress, choice->ncandidates);

		if (best < 0)
			break;
		fit->chosen[progress.k] = best;
		choice->roots[progress.k] = sqrt(progress.rest[best]);
		add_pivot(choice, &progress, best);
	}
	fit->n = progress.k;
}

void
ct_projection_finish(const CtProjectionChoice *choice, CtProjectionFit *fit,
					 CtShares *shares)
{
	const CtSpace *space = choice->space;
	const CtModel *model = space->model;
	double		least = model->variance;
	CtProjection projection;

	invert_choice(choice, fit);
	for (int k = 0; k < fit->n; k++)
		least = fmin(least, choice->candidates[fit->chosen[k]][model->dims]);
	fit->min_variance = least;
	projection.n = fit->n;
	projection.inverse = fit->inverse;
	projection.norm = fit->norm;
	for (int i = 0; i < choice->nrows; i++)
	{
		double		rho[CT_BASIS_SIZE];

		for (int k = 0; k < fit->n; k++)
			rho[k] = choice->cross[(size_t) i * CT_BASIS_CANDIDATES +
								   fit->chosen[k]];
		ct_projection_shares(space, &projection, rho,
							 ct_model_slack(model, least,
											choice->rows[i][model->dims]),
							 &shares[i]);
	}
}

/*
 * What the candidates chosen leave of the rows, but for roundings, which only
 * what is stored has to allow for.
 */
static void
find_rests(const CtProjectionChoice *choice, const CtProjectionFit *fit,
		   double *rests)
{
	int			n = choice->nrows;

	for (int i = 0; i < n; i++)
		rests[i] = 1.0;
	for (int k = 0; k < fit->n; k++)
	{
		const double *residual = choice->residuals + (size_t) k * n;

		for (int i = 0; i < n; i++)
			rests[i] -= residual[i] * residual[i];
	}
	for (int i = 0; i < n; i++)
		rests[i] = rests[i] > 0.0 ? sqrt(rests[i]) : 0.0;
}

int
ct_projection_unexplained(const CtProjectionChoice *choice,
						  const CtProjectionFit *fit, int share, int limit,
						  double *work, int *rows)
{
	const CtModel *model = choice->space->model;
	int			n = choice->nrows;
	int			unexplained = 0;
	int			count = 0;

	find_rests(choice, fit, work);
	for (int i = 0; i < n; i++)
		unexplained += work[i] > LARGE_REST;
	if (limit > unexplained / share)
		limit = unexplained / share > 0 ? unexplained / share : 1;
	if (limit > CT_PROMOTED_AT_ONCE)
		limit = CT_PROMOTED_AT_ONCE;
	while (count < limit)
	{
		int			worst = 0;

		for (int i = 1; i < n; i++)
			if (work[i] > work[worst])
				worst = i;
		if (n == 0 || !(work[worst] > LARGE_REST))
			break;
		rows[count++] = worst;
		work[worst] = 0.0;
		for (int i = 0; i < n; i++)
			if (work[i] > LARGE_REST &&
				fabs(ct_model_correlation(model, choice->space->kernels,
										  choice->rows[worst],
										  choice->rows[i])) > LARGE_REST)
				work[i] = 0.0;
	}
	return count;
}

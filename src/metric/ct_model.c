/*-------------------------------------------------------------------------
 *
 * ct_model.c
 *	  Gaussian-process models: covariances, factor, features, error bounds.
 *
 * ERROR BOUNDS
 *
 * All of this in units of the variance, so that k(x, x) = 1, with u = 2^-53,
 * g(n) = 1.01 n u, at least the usual n u / (1 - n u), j = jitter, and |.| the
 * Euclidean norm.  The stored factor L is taken as exact: B = L L' defines
 * v = L^-1 k_x, the weights w_x = B^-1 k_x = L^-T v_x, and the residual
 * covariance R(x, y) = k(x, y) - v_x . v_y, whose computed value is R^.  K is
 * k(Z, Z) in exact arithmetic.
 *
 * 1. Covariances.  s (ct_kernel.h) has relative error g(dims + 4), which does
 * to k what |s k'(s)| allows, at most 1/e for rbf and 0.31 for the others.  The
 * roundings after s, two for exp() among them, add 10 u at most (they do so
 * for matern52).  Together no more than c = (dims / 2 + 12) 1.01 u.
 *
 * 2. Factor.  By the standard analysis of Cholesky's method (Higham, Accuracy
 * and Stability of Numerical Algorithms, theorem 10.3, which holds for any
 * order of subtraction), B = K + jI + F, where F comprises at most
 * g(m + 1) |L| |L'| and the error of the entries; hence in norm
 *
 *		|F| <= E = g(m + 3) m (1 + j) + m c
 *
 * Let gap = j - E.  If gap > 0, B - K >= gap I is positive definite.  Then R is
 * a Schur complement plus the weights' share of B - K, so positive
 * semidefinite, which is what makes d a metric, and
 *
 *		|L^-1|^2 <= 1 / gap, |v| <= 1, and R(x, x) >= gap |w_x|^2		(a)
 *
 * the last because 1 - 2 w.k + w'Bw, which w = w_x minimizes, is R(x, x)
 * there, and 1 - 2 w.k + w'Kw is not negative.
 *
 * 3. Features.  v^ solves (L + D) v^ = k^ with |D_ir| <= g(i + 2) |L_ir|, row
 * by row, i from 0 (Higham, theorem 8.5), and row i of L has norm
 * sqrt(B_ii).  So L (v^ - v) = h with |h| <= G,
 *
 *		G = 1.01 u sqrt(sum of (i + 2)^2) sqrt(1 + j) |v^| + sqrt(m) c
 *
 * and |v^| <= 1.02 |v| provided that |L^-1| G <= 0.01.
 *
 * 4. Products.  v^_x . v^_y - v_x . v_y = w_x . h_y + w_y . h_x + (L^-1 h_x) .
 * (L^-1 h_y), to which the roundings of the canonical dot product, of k(x, y)
 * and of the last subtractions are added:
 *
 *		|R^ - R| <= (|w_x| + |w_y|) G + |L^-1|^2 G^2 + rest				(b)
 *		rest = g(m / 16 + 8) |v^|^2 + c + 4 u
 *
 * model->error is (b) with |w| <= |L^-1| |v|.  ct_model_slack() puts in (a),
 * which is far smaller where p is: weights are large only where p is.
 *
 * 5. Without enough jitter (gap < 0) take the deficit e = -gap, and B + eI in
 * the place of B, which gives a positive semidefinite R.  It differs from that
 * of B by e w_x' L L' (B + eI)^-1 w_y, at most e |L^-1|^2 |v|^2, which is added
 * to the error; and |v|^2 <= 1 + e |L^-1|^2 |v|^2.  |L^-1| is at most the
 * Frobenius norm of the inverse, which is computed where jitter is small
 * against E.  If Y is the computed inverse, L (L^-1 - Y) = D Y column by
 * column, and |L^-1| <= |Y| / (1 - g(m + 2) |L| |Y|), in Frobenius norms.
 *
 * 6. Correlation.  p^ differs from p by the bound of |R^(x, x) - R(x, x)|; the
 * floor and a nugget do not add to it, but for roundings relative to p^.  With
 * |R(x, y)| <= sqrt(p_x p_y),
 *
 *		|rho^ - rho| <= |R^ - R| / sqrt(p^_x p^_y)
 *						+ |sqrt(p_x p_y / (p^_x p^_y)) - 1|
 *
 * where the last term is at most the larger relative error of p^_x and p^_y.
 *
 * Underflow does not count while the variance is within 1e-300 .. 1e300,
 * except that of sqrt(p_x) sqrt(p_y).
 *
 * IDENTIFICATION
 *	  src/metric/ct_model.c
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ct_model.h"

/* locations whose coordinates are brought into columns at a time */
#define COLUMN_CHUNK		64

/* fewer locations are expanded one by one */
#define BATCH_LEAST			10

/* features that turn from rows to columns, or back, while they are in cache */
#define TURN_BLOCK			16

/* columns that a panel is updated with in one pass; they stay in cache */
#define UPDATE_COLUMNS		32

/* records whose correlations are computed together, */
#define CORRELATION_BLOCK	64

/* and their covariances too, in at most so many dimensions */
#define GATHER_DIMS			16

/* coordinates compared between two calls of interrupt */
#define INTERRUPT_WORK		1000000

#define UNIT				0x1p-53

/* -------- covariance functions -------- */

/* the first name of each is its own */
static const struct
{
	const char *name;
	CtCovariance covariance;
}			covariance_names[] = {
	{"rbf", CT_COVARIANCE_RBF},
	{"gaussian", CT_COVARIANCE_RBF},
	{"squared_exponential", CT_COVARIANCE_RBF},
	{"matern12", CT_COVARIANCE_MATERN12},
	{"exponential", CT_COVARIANCE_MATERN12},
	{"matern32", CT_COVARIANCE_MATERN32},
	{"matern52", CT_COVARIANCE_MATERN52}
};

#define COVARIANCE_NAMES \
	(sizeof(covariance_names) / sizeof(covariance_names[0]))

/* ASCII letters only, so that no locale matters */
static bool
same_name(const char *a, const char *b)
{
	for (;; a++, b++)
	{
		char		letter = *a;

		if (letter >= 'A' && letter <= 'Z')
			letter += 'a' - 'A';
		if (letter != *b)
			return false;
		if (letter == '\0')
			return true;
	}
}

/* The covariance function with this name or alias in any case, or 0. */
CtCovariance
ct_covariance_lookup(const char *name)
{
	for (size_t i = 0; i < COVARIANCE_NAMES; i++)
		if (same_name(name, covariance_names[i].name))
			return covariance_names[i].covariance;
	return (CtCovariance) 0;
}

/* The name of a covariance function, or NULL. */
const char *
ct_covariance_name(int covariance)
{
	for (size_t i = 0; i < COVARIANCE_NAMES; i++)
		if ((int) covariance_names[i].covariance == covariance)
			return covariance_names[i].name;
	return NULL;
}

/*
 * No instruction set does better on a single pair, so none is asked for.
 * Symmetric to the bit.
 */
double
ct_model_covariance(const CtModel *model, const double *x, const double *y)
{
	CtCovarianceFunction function = ct_model_function(model);
	double		covariance;

	ct_kernel_scalar.covariances(&function, x, y, 1, 1, &covariance);
	return covariance;
}

/* -------- memory -------- */

/* elements of the factor */
size_t
ct_model_factor_size(size_t m)
{
	return m * (m + 1) / 2;
}

/* bytes of a model */
size_t
ct_model_bytes(size_t dims, size_t m)
{
	return sizeof(CtModel) +
		(dims + m * dims + ct_model_factor_size(m)) * sizeof(double);
}

/* doubles that ct_model_expand() needs for its work */
size_t
ct_model_work_size(const CtModel *model)
{
	return (size_t) model->m * CT_BATCH +
		(size_t) model->dims * COLUMN_CHUNK;
}

/* Brings n <= COLUMN_CHUNK inducing points from number i on into columns. */
static void
fill_columns(const CtModel *model, size_t i, size_t n, double *columns)
{
	const double *row = ct_model_inducing(model) + i * model->dims;

	for (size_t k = 0; k < n; k++, row += model->dims)
		for (size_t j = 0; j < model->dims; j++)
			columns[j * COLUMN_CHUNK + k] = row[j];
}

static inline size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* -------- factor -------- */

/* Fills the factor with k(Z, Z) + jitter; false if interrupted. */
static bool
fill_covariances(CtModel *model, const CtKernelTable *kernels,
				 double *columns, bool (*interrupt) (void))
{
	CtCovarianceFunction function = ct_model_function(model);
	const double *inducing = ct_model_inducing(model);
	double	   *factor = ct_model_factor(model);
	size_t		m = model->m;
	size_t		work = 0;

	for (size_t first = 0; first < m; first += COLUMN_CHUNK)
	{
		size_t		end = smaller(first + COLUMN_CHUNK, m);

		fill_columns(model, first, end - first, columns);
		for (size_t j = 0; j < end; j++)
		{
			size_t		i = j > first ? j : first;

			kernels->covariances(&function, inducing + j * model->dims,
								 columns + (i - first), COLUMN_CHUNK, end - i,
								 factor + ct_factor_at(m, i, j));
			work += COLUMN_CHUNK * function.dim;
			if (work > INTERRUPT_WORK && interrupt)
			{
				work = 0;
				if (interrupt())
					return false;
			}
		}
	}
	for (size_t j = 0; j < m; j++)
		factor[ct_factor_at(m, j, j)] += model->jitter * model->variance;
	return true;
}

/* Subtracts columns 0 .. k - 1 in the triangle on top of a panel. */
static void
update_triangle(double *factor, size_t m, size_t k, size_t width)
{
	double		rest[CT_FACTOR_PANEL][CT_FACTOR_PANEL];

	for (size_t c = 0; c < width; c++)
		for (size_t i = c; i < width; i++)
			rest[c][i] = factor[ct_factor_at(m, k + i, k + c)];
	for (size_t j = 0; j < k; j++)
	{
		const double *row = factor + ct_factor_at(m, k, j);

		for (size_t c = 0; c < width; c++)
			for (size_t i = c; i < width; i++)
				rest[c][i] -= row[i] * row[c];
	}
	for (size_t c = 0; c < width; c++)
		for (size_t i = c; i < width; i++)
			factor[ct_factor_at(m, k + i, k + c)] = rest[c][i];
}

/*
 * Finishes the columns of a panel, in which all columns before it are
 * subtracted.  Returns the number of the column after it, or of the first one
 * that is not positive definite.
 */
static size_t
finish_panel(double *factor, size_t m, size_t k, size_t width)
{
	for (size_t j = k; j < k + width; j++)
	{
		double	   *column = factor + ct_factor_at(m, 0, j);
		double		root;

		if (!(column[j] > 0.0))
			return j;
		root = sqrt(column[j]);
		column[j] = root;
		for (size_t i = j + 1; i < m; i++)
			column[i] /= root;
		for (size_t c = j + 1; c < k + width; c++)
		{
			double	   *later = factor + ct_factor_at(m, 0, c);
			double		multiplier = column[c];

			for (size_t i = c; i < m; i++)
				later[i] -= column[i] * multiplier;
		}
	}
	return k + width;
}

static int
factorize(CtModel *model, const CtKernelTable *kernels, double *columns,
		  bool (*interrupt) (void))
{
	double	   *factor = ct_model_factor(model);
	size_t		m = model->m;
	size_t		k = 0;

	if (!fill_covariances(model, kernels, columns, interrupt))
		return -1;
	while (k < m)
	{
		size_t		width = smaller(m - k, CT_FACTOR_PANEL);
		size_t		end;

		if (interrupt && interrupt())
			return -1;
		update_triangle(factor, m, k, width);
		if (m - k > CT_FACTOR_PANEL)
			for (size_t j = 0; j < k; j += UPDATE_COLUMNS)
				kernels->factor_update(factor, m, k, j,
									   smaller(j + UPDATE_COLUMNS, k));
		end = finish_panel(factor, m, k, width);
		if (end != k + width)
			return (int) end;
		k = end;
	}
	return (int) m;
}

/*
 * Cholesky factorization by panels.  Each element has the products of columns
 * 0, 1, 2, ... subtracted in this order, so that the bits do not depend on the
 * instruction set.  -1 also if memory ran out.
 */
int
ct_model_factorize(CtModel *model, const CtKernelTable *kernels,
				   bool (*interrupt) (void))
{
	double	   *columns = malloc((size_t) model->dims * COLUMN_CHUNK *
								 sizeof(double));
	int			result;

	if (columns == NULL)
		return -1;
	result = factorize(model, kernels, columns, interrupt);
	free(columns);
	return result;
}

/* -------- expansion -------- */

/* Puts k(Z, x) into the features of n <= CT_BATCH records. */
static void
fill_features(const CtModel *model, const CtKernelTable *kernels, size_t n,
			  const double *locations, double *records, double *columns)
{
	CtCovarianceFunction function = ct_model_function(model);
	size_t		size = ct_model_record_size(model);
	size_t		dims = model->dims;

	for (size_t first = 0; first < model->m; first += COLUMN_CHUNK)
	{
		size_t		count = smaller(model->m - first, COLUMN_CHUNK);

		fill_columns(model, first, count, columns);
		for (size_t b = 0; b < n; b++)
			kernels->covariances(&function, locations + b * dims, columns,
								 COLUMN_CHUNK, count,
								 records + b * size + dims + 1 + first);
	}
}

/* Turns k(Z, x) into features, in n <= CT_BATCH records at once. */
static void
substitute_records(const CtModel *model, const CtKernelTable *kernels,
				   size_t n, double *records, double *work)
{
	size_t		size = ct_model_record_size(model);
	size_t		m = model->m;
	double	   *features = records + model->dims + 1;

	if (n < CT_BATCH)
		memset(work, 0, m * CT_BATCH * sizeof(double));
	for (size_t from = 0; from < m; from += TURN_BLOCK)
		for (size_t b = 0; b < n; b++)
			for (size_t i = from; i < smaller(from + TURN_BLOCK, m); i++)
				work[i * CT_BATCH + b] = features[b * size + i];
	kernels->substitute_batch(ct_model_factor(model), m, work);
	for (size_t from = 0; from < m; from += TURN_BLOCK)
		for (size_t b = 0; b < n; b++)
			for (size_t i = from; i < smaller(from + TURN_BLOCK, m); i++)
				features[b * size + i] = work[i * CT_BATCH + b];
}

static double
residual_variance(const CtModel *model, const CtKernelTable *kernels,
				  const double *features)
{
	double		least = CT_MIN_RESIDUAL * model->variance;
	double		p = model->variance -
		kernels->dot_f64(features, features, model->m) + model->nugget;

	return p > least ? p : least;
}

static void
expand_batch(const CtModel *model, const CtKernelTable *kernels, size_t n,
			 const double *locations, double *records, double *work)
{
	size_t		size = ct_model_record_size(model);
	size_t		dims = model->dims;

	fill_features(model, kernels, n, locations, records,
				  work + (size_t) model->m * CT_BATCH);
	if (n >= BATCH_LEAST)
		substitute_records(model, kernels, n, records, work);
	for (size_t b = 0; b < n; b++)
	{
		double	   *record = records + b * size;

		if (n < BATCH_LEAST)
			kernels->substitute(ct_model_factor(model), model->m,
								record + dims + 1);
		memcpy(record, locations + b * dims, dims * sizeof(double));
		record[dims] = residual_variance(model, kernels, record + dims + 1);
	}
}

/* Expands locations to records, which must not overlap. */
void
ct_model_expand(const CtModel *model, const CtKernelTable *kernels, size_t n,
				const double *locations, double *records, double *work)
{
	for (size_t i = 0; i < n; i += CT_BATCH)
		expand_batch(model, kernels, smaller(n - i, CT_BATCH),
					 locations + i * model->dims,
					 records + i * ct_model_record_size(model), work);
}

/* -------- correlation and distance, symmetric to the bit -------- */

double
ct_model_place_distance(const CtModel *model, const double *x, const double *y)
{
	const double *lengthscale = ct_model_lengthscale(model);
	double		sum = 0.0;

	for (size_t j = 0; j < model->dims; j++)
	{
		double		d = (x[j] - y[j]) / lengthscale[j];

		sum += d * d;
	}
	return sum;
}

/*
 * The correlation of two records whose covariance is known, and the product of
 * whose features.  The roots of p are multiplied, so that the product stays
 * within range.
 */
double
ct_model_correlation_of(const CtModel *model, const double *x, const double *y,
						double covariance, double product)
{
	size_t		dims = model->dims;
	double		rho;

	if (model->nugget == 0.0 && ct_model_same_place(model, x, y))
		return 1.0;
	rho = (covariance - product) / (sqrt(x[dims]) * sqrt(y[dims]));
	if (rho > 1.0)
		return 1.0;
	if (rho < -1.0)
		return -1.0;
	return rho;
}

double
ct_model_correlation(const CtModel *model, const CtKernelTable *kernels,
					 const double *x, const double *y)
{
	size_t		features = model->dims + 1;

	return ct_model_correlation_of(model, x, y, ct_model_covariance(model, x, y),
								   kernels->dot_f64(x + features, y + features,
													model->m));
}

/*
 * Makes correlations of the products of the features (rho) of each of nx
 * records x and n <= CORRELATION_BLOCK records y.
 */
static void
finish_correlations(const CtModel *model, const CtKernelTable *kernels,
					size_t nx, const double *const *x, size_t n,
					const double *const *y, double *rho, size_t stride)
{
	CtCovarianceFunction function = ct_model_function(model);
	size_t		dims = model->dims;
	double		columns[GATHER_DIMS * CORRELATION_BLOCK];
	double		covariances[CORRELATION_BLOCK];

	for (size_t j = 0; dims <= GATHER_DIMS && j < dims; j++)
		for (size_t i = 0; i < n; i++)
			columns[j * CORRELATION_BLOCK + i] = y[i][j];
	for (size_t row = 0; row < nx; row++, rho += stride)
	{
		if (dims <= GATHER_DIMS)
			kernels->covariances(&function, x[row], columns,
								 CORRELATION_BLOCK, n, covariances);
		else
			for (size_t i = 0; i < n; i++)
				covariances[i] = ct_model_covariance(model, x[row], y[i]);
		for (size_t i = 0; i < n; i++)
			rho[i] = ct_model_correlation_of(model, x[row], y[i],
											 covariances[i], rho[i]);
	}
}

void
ct_model_correlation_table(const CtModel *model, const CtKernelTable *kernels,
						   size_t nx, const double *const *x, size_t ny,
						   const double *const *y, double *rho, size_t stride)
{
	size_t		features = model->dims + 1;
	const double *xs[CORRELATION_BLOCK];
	const double *ys[CORRELATION_BLOCK];

	for (size_t i = 0; i < nx; i += CORRELATION_BLOCK)
	{
		size_t		rows = smaller(nx - i, CORRELATION_BLOCK);

		for (size_t k = 0; k < rows; k++)
			xs[k] = x[i + k] + features;
		for (size_t j = 0; j < ny; j += CORRELATION_BLOCK)
		{
			size_t		count = smaller(ny - j, CORRELATION_BLOCK);
			double	   *part = rho + i * stride + j;

			for (size_t k = 0; k < count; k++)
				ys[k] = y[j + k] + features;
			kernels->dot_table_f64(xs, rows, ys, count, model->m, part, stride);
			finish_correlations(model, kernels, rows, x + i, count, y + j,
								part, stride);
		}
	}
}

void
ct_model_correlations(const CtModel *model, const CtKernelTable *kernels,
					  const double *x, size_t n, const double *const *y,
					  double *rho)
{
	ct_model_correlation_table(model, kernels, 1, &x, n, y, rho, n);
}

double
ct_model_distance(const CtModel *model, const CtKernelTable *kernels,
				  const double *x, const double *y)
{
	return ct_correlation_distance(ct_model_correlation(model, kernels, x, y));
}

/* -------- error bounds, see the head of this file -------- */

static double
gamma_of(double n)
{
	return 1.01 * n * UNIT;
}

CtErrorTerms
ct_model_error_terms(const CtModel *model, double v_norm)
{
	CtErrorTerms terms;
	double		m = model->m;
	double		diagonal = 1.0 + model->jitter;
	double		covariance = (0.5 * model->dims + 12.0) * 1.01 * UNIT;
	double		squares = (m + 1.0) * (m + 2.0) * (2.0 * m + 3.0) / 6.0 - 1.0;
	double		computed_norm = 1.02 * v_norm;

	terms.backward = m * (gamma_of(m + 3.0) * diagonal + covariance);
	terms.gap = model->jitter - terms.backward;
	terms.solve = gamma_of(1.0) * sqrt(squares * diagonal) * computed_norm +
		sqrt(m) * covariance;
	terms.rest = gamma_of(m / CT_SUM_LANES + 8.0) * computed_norm * computed_norm +
		covariance + 4.0 * UNIT;
	return terms;
}

/* sum of the squares of n doubles, rounded anyhow */
static double
sum_of_squares(const double *values, size_t n)
{
	double		sum = 0.0;

	for (size_t i = 0; i < n; i++)
		sum += values[i] * values[i];
	return sum;
}

/*
 * The square of the Frobenius norm of the computed inverse, times scale^2.
 * Columns of the inverse have zeros on top, so that the lower right part of
 * the factor, which is a factor, is enough to find the others.
 */
static double
computed_inverse_norm(const CtModel *model, double scale, double *work)
{
	const CtKernelTable *kernels = ct_kernel_table(ct_kernel_supported());
	const double *factor = ct_model_factor(model);
	size_t		m = model->m;
	double		sum = 0.0;

	for (size_t j = 0; j < m; j += CT_BATCH)
	{
		size_t		rows = m - j;

		memset(work, 0, rows * CT_BATCH * sizeof(double));
		for (size_t b = 0; b < smaller(rows, CT_BATCH); b++)
			work[b * CT_BATCH + b] = scale;
		kernels->substitute_batch(factor + ct_factor_at(m, j, j), rows, work);
		sum += sum_of_squares(work, rows * CT_BATCH);
	}
	return sum;
}

/* a bound of |L^-1|^2 by the inverse; infinite if none is found */
static double
inverse_norm(const CtModel *model)
{
	double		m = model->m;
	double	   *work = malloc((model->m + 1) * CT_BATCH * sizeof(double));
	double		square;
	double		loss;

	if (work == NULL)
		return INFINITY;
	square = 1.01 * computed_inverse_norm(model, sqrt(model->variance), work);
	free(work);
	loss = gamma_of(m + 2.0) * sqrt(1.01 * m * (1.0 + model->jitter) * square);
	if (!(loss < 0.5))
		return INFINITY;
	return square / ((1.0 - loss) * (1.0 - loss));
}

/*
 * The error as the head of this file derives it; infinite if the factor is too
 * ill-conditioned for any bound, so that nothing can be pruned.
 */
void
ct_model_set_error(CtModel *model)
{
	CtErrorTerms terms = ct_model_error_terms(model, 1.0);
	double		deficit = terms.gap < 0.0 ? -terms.gap : 0.0;
	double		inverse = terms.gap > 0.0 ? 1.0 / terms.gap : INFINITY;
	double		v_square;
	double		reach;

	if (terms.gap < 99.0 * terms.backward || !(terms.gap > 0.0))
	{
		double		bound = inverse_norm(model);

		if (bound < inverse)
			inverse = bound;
	}
	model->error = INFINITY;
	if (!(deficit * inverse <= 0.5))
		return;
	v_square = 1.0 / (1.0 - deficit * inverse);
	terms = ct_model_error_terms(model, sqrt(v_square));
	reach = sqrt(inverse) * terms.solve;
	if (!(reach <= 0.01))
		return;
	model->error = model->variance *
		(2.0 * sqrt(v_square) * reach + reach * reach + terms.rest +
		 deficit * inverse * v_square) * 1.01 +
		4.0 * UNIT * model->nugget;
}

/*
 * A bound of the error of a computed correlation, at most 2, for two locations
 * whose computed residual variances are p_x and p_y, or these less the nugget,
 * for a correlation without it.  Does not increase when either of them does.
 */
double
ct_model_slack(const CtModel *model, double p_x, double p_y)
{
	CtErrorTerms terms = ct_model_error_terms(model, 1.0);
	double		product = sqrt(p_x) * sqrt(p_y);
	double		error_x = model->error;
	double		error_y = model->error;
	double		error_xy = model->error;
	double		slack;

	if (terms.gap > 0.0 && terms.solve <= 0.01 * sqrt(terms.gap))
	{
		double		scale = model->variance * terms.gap;
		double		weight_x = sqrt((p_x + model->error) / scale);
		double		weight_y = sqrt((p_y + model->error) / scale);
		double		solve = model->variance * terms.solve;
		double		rest = model->variance *
			(terms.solve * terms.solve / terms.gap + terms.rest);
		double		nugget = 4.0 * UNIT * model->nugget;

		error_x = fmin(error_x, 2.0 * weight_x * solve + rest + nugget);
		error_y = fmin(error_y, 2.0 * weight_y * solve + rest + nugget);
		error_xy = fmin(error_xy, (weight_x + weight_y) * solve + rest);
	}
	slack = error_xy / product + fmax(error_x / p_x, error_y / p_y) +
		0x1p-1074 / product;
	slack = 1.01 * slack + 16.0 * UNIT;
	return slack < 2.0 ? slack : 2.0;
}

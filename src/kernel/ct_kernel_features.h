/*-------------------------------------------------------------------------
 *
 * ct_kernel_features.h
 *	  Covariances, triangular solves and dot products, for any width of
 *	  vector.
 *
 * Included once by the file of an instruction set, after it has defined what
 * ct_exp.h needs and
 *
 *		VECTOR_LANES		doubles in a vector, or 1
 *		DOTS_TILE			vectors that dots_f64() treats at a time
 *		DOTS_ROWS			such rows that dot_table_f64() treats at a time
 *		TILE_ROWS			rows of a tile of substitute_batch()
 *		TILE_VECTORS		vectors of right-hand sides in such a tile
 *		UPDATE_VECTORS		vectors of rows in a tile of factor_update()
 *		vector_div, vector_sqrt
 *		vector_min			(a, b): a < b ? a : b, so that NaN as b stays
 *		vector_load, vector_store, mask_of, vector_load_some
 *		vector_store_floats	rounded
 *		vector_halves		the sum of the lanes, added in halves
 *
 * The tiles are sized so that their sums stay in registers.  Products are
 * rounded before they are subtracted.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_features.h
 *
 *-------------------------------------------------------------------------
 */
#include "ct_exp.h"

#define UNROLL				_Pragma("GCC unroll 16")

#define CT_SQRT3			0x1.bb67ae8584caap+0
#define CT_SQRT5			0x1.1e3779b97f4a8p+1
#define CT_FIVE_THIRDS		0x1.aaaaaaaaaaaabp+0

/* vectors that hold the canonical partial sums */
#define SUM_VECTORS			(CT_SUM_LANES / VECTOR_LANES)

/* vectors of elements whose sums combine_f64() follows at a time */
#define COMBINE_VECTORS		8

/* columns that substitute() subtracts in one pass */
#define PASS_COLUMNS		8

CT_INLINE CT_TARGET Vector
load_vector(const double *p)
{
	return vector_load(p, sizeof(double));
}

/* a - b c in single elements, the product rounded */
CT_INLINE CT_TARGET double
minus_product(double a, double b, double c)
{
	double		product = b * c;

#ifdef __x86_64__
	__asm__("" : "+x"(product));
#endif
	return a - product;
}

CT_INLINE CT_TARGET Vector
broadcast(const double *p)
{
	return vector_set(load_f64(p));
}

/* -------- dot product -------- */

/* adds the products number j .. j + VECTOR_LANES - 1 */
CT_INLINE CT_TARGET Vector
add_products(Vector sum, const double *x, const double *y, size_t j)
{
	return vector_add(sum, vector_mul(load_vector(x + j), load_vector(y + j)));
}

/* the same, of those that are below dim */
CT_INLINE CT_TARGET Vector
add_some_products(Vector sum, const double *x, const double *y, size_t j,
				  size_t dim)
{
	Mask		mask;

	if (j >= dim)
		return sum;
	mask = mask_of(dim - j < VECTOR_LANES ? dim - j : VECTOR_LANES);
	return vector_add(sum,
					  vector_mul(vector_load_some(x + j, mask, sizeof(double)),
								 vector_load_some(y + j, mask, sizeof(double))));
}

/*
 * Dot products of the first `rows` vectors x and the first `count` vectors y;
 * both numbers are constants here.
 */
CT_INLINE CT_TARGET void
dots_tile(const double *const *x, int rows, const double *const *y, int count,
		  size_t dim, double *result, size_t stride)
{
	Vector		sum[DOTS_ROWS][DOTS_TILE][SUM_VECTORS];
	size_t		j = 0;

	UNROLL
	for (int i = 0; i < rows; i++)
	{
		UNROLL
		for (int r = 0; r < count; r++)
		{
			UNROLL
			for (int k = 0; k < SUM_VECTORS; k++)
				sum[i][r][k] = vector_zero();
		}
	}
	for (; dim - j >= CT_SUM_LANES; j += CT_SUM_LANES)
	{
		UNROLL
		for (int k = 0; k < SUM_VECTORS; k++)
		{
			UNROLL
			for (int r = 0; r < count; r++)
			{
				UNROLL
				for (int i = 0; i < rows; i++)
					sum[i][r][k] = add_products(sum[i][r][k], x[i], y[r],
												j + k * VECTOR_LANES);
			}
		}
	}
	UNROLL
	for (int i = 0; i < rows; i++)
	{
		UNROLL
		for (int r = 0; r < count; r++)
		{
			UNROLL
			for (int k = 0; k < SUM_VECTORS && j < dim; k++)
				sum[i][r][k] = add_some_products(sum[i][r][k], x[i], y[r],
												 j + k * VECTOR_LANES, dim);
			UNROLL
			for (int half = SUM_VECTORS / 2; half > 0; half /= 2)
			{
				UNROLL
				for (int k = 0; k < half; k++)
					sum[i][r][k] = vector_add(sum[i][r][k],
											  sum[i][r][k + half]);
			}
			result[i * stride + r] = vector_halves(sum[i][r][0]);
		}
	}
}

static CT_TARGET double
dot_f64(const double *x, const double *y, size_t dim)
{
	double		result;

	dots_tile(&x, 1, &y, 1, dim, &result, 1);
	return result;
}

static CT_TARGET void
dots_f64(const double *x, const double *const *y, size_t n, size_t dim,
		 double *result)
{
	size_t		i = 0;

	for (; n - i >= DOTS_TILE; i += DOTS_TILE)
		dots_tile(&x, 1, y + i, DOTS_TILE, dim, result + i, DOTS_TILE);
	for (; i < n; i++)
		dots_tile(&x, 1, y + i, 1, dim, result + i, 1);
}

static CT_TARGET void
dot_table_f64(const double *const *x, size_t nx, const double *const *y,
			  size_t ny, size_t dim, double *result, size_t stride)
{
	size_t		i = 0;

	for (; nx - i >= DOTS_ROWS; i += DOTS_ROWS)
	{
		double	   *row = result + i * stride;
		size_t		r = 0;

		for (; ny - r >= DOTS_TILE; r += DOTS_TILE)
			dots_tile(x + i, DOTS_ROWS, y + r, DOTS_TILE, dim, row + r, stride);
		for (; r < ny; r++)
			dots_tile(x + i, DOTS_ROWS, y + r, 1, dim, row + r, stride);
	}
	for (; i < nx; i++)
		dots_f64(x[i], y, ny, dim, result + i * stride);
}

/* -------- combinations of rows -------- */

/* combine_f64() for so many vectors of elements, a constant here */
CT_INLINE CT_TARGET void
combine_tile(const double *weights, size_t n, const double *rows,
			 size_t stride, int vectors, double *result)
{
	Vector		sum[COMBINE_VECTORS];

	UNROLL
	for (int r = 0; r < vectors; r++)
		sum[r] = vector_zero();
	for (size_t j = 0; j < n; j++)
	{
		Vector		weight = broadcast(weights + j);

		UNROLL
		for (int r = 0; r < vectors; r++)
			sum[r] = vector_add(sum[r],
								vector_mul(weight,
										   load_vector(rows + j * stride +
													   r * VECTOR_LANES)));
	}
	UNROLL
	for (int r = 0; r < vectors; r++)
		vector_store(result + r * VECTOR_LANES, sum[r]);
}

/* the same for fewer elements than a vector has */
CT_INLINE CT_TARGET void
combine_rest(const double *weights, size_t n, const double *rows,
			 size_t stride, size_t count, double *result)
{
	Vector		sum = vector_zero();
	Mask		mask = mask_of(count);
	double		elements[VECTOR_LANES];

	for (size_t j = 0; j < n; j++)
		sum = vector_add(sum, vector_mul(broadcast(weights + j),
										 vector_load_some(rows + j * stride, mask,
														  sizeof(double))));
	vector_store(elements, sum);
	for (size_t i = 0; i < count; i++)
		result[i] = elements[i];
}

static CT_TARGET void
combine_f64(const double *weights, size_t n, const double *rows,
			size_t stride, size_t count, double *result)
{
	size_t		i = 0;

	for (; count - i >= COMBINE_VECTORS * VECTOR_LANES;
		 i += COMBINE_VECTORS * VECTOR_LANES)
		combine_tile(weights, n, rows + i, stride, COMBINE_VECTORS, result + i);
	/* a sum waits for the one before, so several should be under way */
	if (count - i >= 4 * VECTOR_LANES)
	{
		combine_tile(weights, n, rows + i, stride, 4, result + i);
		i += 4 * VECTOR_LANES;
	}
	if (count - i >= 2 * VECTOR_LANES)
	{
		combine_tile(weights, n, rows + i, stride, 2, result + i);
		i += 2 * VECTOR_LANES;
	}
	for (; count - i >= VECTOR_LANES; i += VECTOR_LANES)
		combine_tile(weights, n, rows + i, stride, 1, result + i);
	if (i < count)
		combine_rest(weights, n, rows + i, stride, count - i, result + i);
}

/* -------- covariances -------- */

/* squared distances in lengthscales of VECTOR_LANES locations */
CT_INLINE CT_TARGET Vector
scaled_squares(const CtCovarianceFunction *function, const double *q,
			   const double *cols, size_t stride)
{
	Vector		sum = vector_zero();

	for (size_t j = 0; j < function->dim; j++)
	{
		Vector		diff = vector_sub(load_vector(cols + j * stride),
									  broadcast(q + j));
		Vector		ratio = vector_div(diff,
									   broadcast(function->lengthscale + j));

		sum = vector_add(sum, vector_mul(ratio, ratio));
	}
	return vector_min(vector_set(CT_SQUARES_MAX), sum);
}

CT_INLINE CT_TARGET Vector
vector_exp_minus(Vector a)
{
	return vector_exp(vector_mul(vector_set(-1.0), a));
}

/* the covariance function of squared distances; kind is a constant here */
CT_INLINE CT_TARGET Vector
covariance_of(CtCovariance kind, double variance, Vector squares)
{
	Vector		result;
	Vector		a;

	switch (kind)
	{
		case CT_COVARIANCE_MATERN12:
			result = vector_exp_minus(vector_sqrt(squares));
			break;
		case CT_COVARIANCE_MATERN32:
			a = vector_mul(vector_set(CT_SQRT3), vector_sqrt(squares));
			result = vector_mul(vector_add(vector_set(1.0), a),
								vector_exp_minus(a));
			break;
		case CT_COVARIANCE_MATERN52:
			a = vector_mul(vector_set(CT_SQRT5), vector_sqrt(squares));
			result = vector_add(vector_add(vector_set(1.0), a),
								vector_mul(vector_set(CT_FIVE_THIRDS),
										   squares));
			result = vector_mul(result, vector_exp_minus(a));
			break;
		default:				/* CT_COVARIANCE_RBF */
			result = vector_exp(vector_mul(vector_set(-0.5), squares));
			break;
	}
	return vector_mul(vector_set(variance), result);
}

/* kind is a constant here; the last vector may overlap the one before */
CT_INLINE CT_TARGET void
covariances_of_kind(CtCovariance kind, const CtCovarianceFunction *function,
					const double *q, const double *cols, size_t stride,
					size_t n, double *result)
{
	size_t		i = 0;

	for (;;)
	{
		Vector		squares = scaled_squares(function, q, cols + i, stride);

		vector_store(result + i,
					 covariance_of(kind, function->variance, squares));
		i += VECTOR_LANES;
		if (i >= n)
			return;
		if (i > n - VECTOR_LANES)
			i = n - VECTOR_LANES;
	}
}

static CT_TARGET void
covariances(const CtCovarianceFunction *function, const double *q,
			const double *cols, size_t stride, size_t n, double *result)
{
	if (n < VECTOR_LANES)
	{
		if (n > 0)
			ct_kernel_scalar.covariances(function, q, cols, stride, n, result);
		return;
	}
	CT_BY_COVARIANCE(function->kind, covariances_of_kind, function, q, cols,
					 stride, n, result);
}

/* -------- forward substitution, one right-hand side -------- */

/* Solves for count elements from number j on; all before are subtracted. */
CT_INLINE CT_TARGET void
solve_triangle(const double *factor, size_t m, size_t j, size_t count,
			   double *v)
{
	for (size_t k = j; k < j + count; k++)
	{
		const double *column = factor + ct_factor_at(m, 0, k);

		v[k] /= column[k];
		for (size_t i = k + 1; i < j + count; i++)
			v[i] = minus_product(v[i], column[i], v[k]);
	}
}

/* Subtracts PASS_COLUMNS columns from number j on, in the rows below. */
CT_INLINE CT_TARGET void
subtract_columns(const double *factor, size_t m, size_t j, double *v)
{
	const double *column[PASS_COLUMNS];
	Vector		x[PASS_COLUMNS];
	size_t		i = j + PASS_COLUMNS;

	UNROLL
	for (int k = 0; k < PASS_COLUMNS; k++)
	{
		column[k] = factor + ct_factor_at(m, 0, j + k);
		x[k] = vector_set(v[j + k]);
	}
	for (; m - i >= VECTOR_LANES; i += VECTOR_LANES)
	{
		Vector		rest = load_vector(v + i);

		UNROLL
		for (int k = 0; k < PASS_COLUMNS; k++)
			rest = vector_sub(rest, vector_mul(load_vector(column[k] + i),
											   x[k]));
		vector_store(v + i, rest);
	}
	for (; i < m; i++)
	{
		UNROLL
		for (int k = 0; k < PASS_COLUMNS; k++)
			v[i] = minus_product(v[i], column[k][i], v[j + k]);
	}
}

static CT_TARGET void
substitute(const double *factor, size_t m, double *v)
{
	size_t		j = 0;

	for (; m - j >= PASS_COLUMNS; j += PASS_COLUMNS)
	{
		solve_triangle(factor, m, j, PASS_COLUMNS, v);
		subtract_columns(factor, m, j, v);
	}
	solve_triangle(factor, m, j, m - j, v);
}

/* -------- forward substitution, a batch -------- */

/*
 * Rows i .. i + rows - 1 of the solution, for TILE_VECTORS vectors of
 * right-hand sides from v on.  rows is a constant here.
 */
CT_INLINE CT_TARGET void
solve_tile(const double *factor, size_t m, size_t i, int rows, double *v)
{
	Vector		rest[TILE_ROWS][TILE_VECTORS];
	const double *column = factor + i;
	double	   *tile = v + i * CT_BATCH;

	UNROLL
	for (int r = 0; r < rows; r++)
	{
		UNROLL
		for (int k = 0; k < TILE_VECTORS; k++)
			rest[r][k] = load_vector(tile + r * CT_BATCH + k * VECTOR_LANES);
	}

	/* column points to row i of column j */
	for (size_t j = 0; j < i; j++)
	{
		Vector		x[TILE_VECTORS];

		UNROLL
		for (int k = 0; k < TILE_VECTORS; k++)
			x[k] = load_vector(v + j * CT_BATCH + k * VECTOR_LANES);
		UNROLL
		for (int r = 0; r < rows; r++)
		{
			Vector		l = broadcast(column + r);

			UNROLL
			for (int k = 0; k < TILE_VECTORS; k++)
				rest[r][k] = vector_sub(rest[r][k], vector_mul(l, x[k]));
		}
		column += m - 1 - j;
	}

	UNROLL
	for (int c = 0; c < rows; c++)
	{
		UNROLL
		for (int k = 0; k < TILE_VECTORS; k++)
		{
			Vector		x = vector_div(rest[c][k], broadcast(column + c));

			vector_store(tile + c * CT_BATCH + k * VECTOR_LANES, x);
			UNROLL
			for (int r = c + 1; r < rows; r++)
				rest[r][k] = vector_sub(rest[r][k],
										vector_mul(broadcast(column + r), x));
		}
		column += m - 1 - (i + c);
	}
}

static CT_TARGET void
substitute_batch(const double *factor, size_t m, double *v)
{
	for (int lane = 0; lane < CT_BATCH; lane += TILE_VECTORS * VECTOR_LANES)
	{
		size_t		i = 0;

		for (; m - i >= TILE_ROWS; i += TILE_ROWS)
			solve_tile(factor, m, i, TILE_ROWS, v + lane);
		for (; i < m; i++)
			solve_tile(factor, m, i, 1, v + lane);
	}
}

/* -------- factorization -------- */

/* factor_update() for UPDATE_VECTORS vectors of rows from number i on */
CT_INLINE CT_TARGET void
update_tile(double *factor, size_t m, size_t k, size_t first, size_t last,
			size_t i)
{
	Vector		rest[CT_FACTOR_PANEL][UPDATE_VECTORS];

	UNROLL
	for (int c = 0; c < CT_FACTOR_PANEL; c++)
	{
		UNROLL
		for (int r = 0; r < UPDATE_VECTORS; r++)
			rest[c][r] = load_vector(factor + ct_factor_at(m, i, k + c) +
									 r * VECTOR_LANES);
	}
	for (size_t j = first; j < last; j++)
	{
		const double *column = factor + ct_factor_at(m, 0, j);
		Vector		l[UPDATE_VECTORS];

		UNROLL
		for (int r = 0; r < UPDATE_VECTORS; r++)
			l[r] = load_vector(column + i + r * VECTOR_LANES);
		UNROLL
		for (int c = 0; c < CT_FACTOR_PANEL; c++)
		{
			Vector		x = broadcast(column + k + c);

			UNROLL
			for (int r = 0; r < UPDATE_VECTORS; r++)
				rest[c][r] = vector_sub(rest[c][r], vector_mul(l[r], x));
		}
	}
	UNROLL
	for (int c = 0; c < CT_FACTOR_PANEL; c++)
	{
		UNROLL
		for (int r = 0; r < UPDATE_VECTORS; r++)
			vector_store(factor + ct_factor_at(m, i, k + c) +
						 r * VECTOR_LANES, rest[c][r]);
	}
}

/* the same for a single row */
CT_INLINE CT_TARGET void
update_row(double *factor, size_t m, size_t k, size_t first, size_t last,
		   size_t i)
{
	double		rest[CT_FACTOR_PANEL];

	for (int c = 0; c < CT_FACTOR_PANEL; c++)
		rest[c] = factor[ct_factor_at(m, i, k + c)];
	for (size_t j = first; j < last; j++)
	{
		const double *column = factor + ct_factor_at(m, 0, j);

		for (int c = 0; c < CT_FACTOR_PANEL; c++)
			rest[c] = minus_product(rest[c], column[i], column[k + c]);
	}
	for (int c = 0; c < CT_FACTOR_PANEL; c++)
		factor[ct_factor_at(m, i, k + c)] = rest[c];
}

static CT_TARGET void
factor_update(double *factor, size_t m, size_t k, size_t first, size_t last)
{
	size_t		i = k + CT_FACTOR_PANEL;

	for (; m - i >= UPDATE_VECTORS * VECTOR_LANES;
		 i += UPDATE_VECTORS * VECTOR_LANES)
		update_tile(factor, m, k, first, last, i);
	for (; i < m; i++)
		update_row(factor, m, k, first, last, i);
}

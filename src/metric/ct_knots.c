/*-------------------------------------------------------------------------
 *
 * ct_knots.c
 *	  Bounds of the correlations of rows with inducing points (ct_knots.h).
 *
 * In the notation of ct_model.c, whose head has the errors that are used here, and
 * in units of the variance: the column of K that belongs to inducing point u_j is
 * k_u = (B - jI - F) e_j, hence v_u = L^-1 k_u = L' e_j - L^-1 (jI + F) e_j.  Since
 * k(u_j, x) = e_j' k_x = (L' e_j)' v_x,
 *
 *		R(u_j, x) = (L' e_j - v_u)' v_x = e_j' (jI + F) w_x,	w_x = L^-T v_x.
 *
 * With |F| <= E and |w_x|^2 <= p_x / gap (a),
 *
 *		|R(u_j, x)| <= j |w_xj| + E sqrt(p_x / gap).
 *
 * What is computed of it is R^, and p^ of p: rho^ = R^ / sqrt(p^_u p^_x) exceeds
 * R / sqrt(p^_u p^_x) by ct_model_slack() at most.  (For x at u_j and no nugget, rho^
 * is 1, and R = p_u is within the slack of sqrt(p^_u p^_x).)  So with the limits
 *
 *		mu_j >= sqrt(j) |w_xj| / sqrt(p^_x)		for all rows x of a leaf
 *
 *		|rho^| <= mu_j sqrt(j / p^_u) + 1.5 E / sqrt(gap p^_u) + slack
 *
 * where the slack is below 1, so that p_x <= 2 p^_x; otherwise 1 is the bound.
 *
 * Computed weights.  By a triangular solve with L', (L' + D) w^ = v^ with |D| <= g(m
 * + 2) |L'| element by element, so
 *
 *		|w^ - w| <= c |w^| + |L^-1|^2 G,		c = |L^-1| g(m + 2) |L|
 *
 * (Frobenius norm of L, whose square is the trace of B, at most 1.01 m (1 + j)).  By
 * the inverse: its column y_j, computed by a solve, has an error of c |y^_j|; and
 * |v^| <= 1.02.  The product is one of floats: 2 roundings of each operand, and a sum
 * by chunks, of at most CT_KNOT_CHUNK + m / CT_KNOT_CHUNK + 1 roundings with FMA or
 * twice as many without, so
 *
 *		|w^_j - w_j| <= (c + f) 1.03 |y^_j| + |L^-1|^2 G
 *		f = (2 CT_KNOT_CHUNK + m / CT_KNOT_CHUNK + 6) 1.01 2^-24.
 *
 * Floats do not overflow as long as |y| sqrt(j / p^) is below LARGEST; there is no
 * limit where it is not.  What underflows is lost in TINY.
 *
 * IDENTIFICATION
 *	  src/metric/ct_knots.c
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "ct_knots.h"

#define UNIT				0x1p-53
#define FLOAT_UNIT			0x1p-24
#define LARGEST				1e30
#define TINY				1e-30

/* for the roundings of the last operations */
#define UP					(1.0 + 1e-9)

/* the limit of a row that may have anything to do with an inducing point */
#define NO_LIMIT			255

/* rows whose weights are solved for together, for it is the factor that is read */
#define SOLVED				8

/* rows that largest_products() gets at a time */
#define ROWS				(CT_KNOT_PANELS * CT_KNOT_PANEL)

/* elements of records that are turned to columns while they are in cache */
#define TURN_BLOCK			16

static inline size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* the number of an inducing point's limit */
static inline size_t
limit_of(const CtModel *model, size_t j)
{
	return model->m > CT_MOST_LIMITS ? j * CT_MOST_LIMITS / model->m : j;
}

/* -------- bytes -------- */

/* 2^((i - 15) / 16), rounded anyhow but upward at the end */
static const double mantissas[16] = {
	0.5221368912137069, 0.5452538663326288, 0.5693943173783458,
	0.5946035575013605, 0.6209289060367420, 0.6484197773255048,
	0.6771277734684463, 0.7071067811865476, 0.7384130729697496,
	0.7711054127039704, 0.8052451659746271, 0.8408964152537145,
	0.8781260801866497, 0.9170040432046712, 0.9576032806985737, 1.0
};

/* What a byte stands for: 2^((byte - NO_LIMIT) / 16), if it is a limit. */
static inline double
value_of(uint8_t byte)
{
	return ldexp(mantissas[byte % 16], byte / 16 - 15);
}

/* The least byte that stands for no less than a value. */
static uint8_t
byte_of(double value)
{
	int			exponent;
	double		mantissa = frexp(value, &exponent);
	int			i = 0;

	if (!(value <= mantissas[14]))
		return NO_LIMIT;
	while (mantissas[i] < mantissa)
		i++;
	exponent += 15;
	return exponent < 0 || value <= 0.0 ? 0 : (uint8_t) (16 * exponent + i);
}

/* -------- errors -------- */

/* What is off in weights; not usable where nothing can be said of them. */
typedef struct WeightErrors
{
	bool		usable;
	double		inverse;		/* at least |L^-1| */
	double		solve;			/* c */
	double		weights;		/* |L^-1|^2 G */
	double		backward;		/* E */
} WeightErrors;

static WeightErrors
weight_errors(const CtModel *model)
{
	CtErrorTerms terms = ct_model_error_terms(model, 1.0);
	double		m = model->m;
	WeightErrors errors = {false};

	if (!(terms.gap > 0.0) || !(terms.solve <= 0.01 * sqrt(terms.gap)))
		return errors;
	errors.usable = model->m > 0;
	errors.inverse = 1.0 / sqrt(terms.gap);
	errors.solve = errors.inverse * 1.01 * (m + 2.0) * UNIT *
		sqrt(1.01 * m * (1.0 + model->jitter));
	errors.weights = terms.solve / terms.gap;
	errors.backward = terms.backward;
	return errors;
}

/* sqrt(j / p^), in units of the variance */
static inline double
scale_of(const CtModel *model, const double *record)
{
	return sqrt(model->jitter) * sqrt(model->variance / record[model->dims]);
}

/* -------- few rows -------- */

/*
 * The weights of n <= SOLVED rows, m for each, and how much they may be off, times
 * the row's scale.
 */
static void
solve_rows(const CtModel *model, const CtKernelTable *kernels, size_t n,
		   const double *const *records, const WeightErrors *errors,
		   double *weights, double *off)
{
	size_t		m = model->m;
	const double *below[SOLVED];
	double		known[SOLVED];
	double		squares[SOLVED] = {0};

	for (size_t i = m; i-- > 0;)
	{
		const double *column = ct_model_factor(model) + ct_factor_at(m, i, i);

		for (size_t r = 0; r < n; r++)
			below[r] = weights + r * m + i + 1;
		kernels->dots_f64(column + 1, below, n, m - 1 - i, known);
		for (size_t r = 0; r < n; r++)
		{
			double		feature = records[r][model->dims + 1 + i];
			double		weight = (feature - known[r]) / column[0];

			weights[r * m + i] = weight;
			squares[r] += weight * weight;
		}
	}
	for (size_t r = 0; r < n; r++)
		off[r] = (errors->solve * sqrt(squares[r]) + errors->weights) *
			scale_of(model, records[r]) * UP;
}

/* Raises limits by the weights of a row. */
static void
raise_limits(const CtModel *model, const double *weights, double scale,
			 double off, uint8_t *limits)
{
	for (size_t j = 0; j < model->m; j++)
	{
		uint8_t		byte = byte_of(fabs(weights[j]) * scale * UP + off);
		uint8_t    *limit = &limits[limit_of(model, j)];

		if (byte > *limit)
			*limit = byte;
	}
}

size_t
ct_knots_solve_work(const CtModel *model)
{
	return (size_t) SOLVED * model->m;
}

void
ct_knots_solve(const CtModel *model, const CtKernelTable *kernels, size_t n,
			   const double *const *records, double *work, uint8_t *limits)
{
	WeightErrors errors = weight_errors(model);

	memset(limits, errors.usable ? 0 : NO_LIMIT, ct_knot_limits(model));
	for (size_t from = 0; from < n && errors.usable; from += SOLVED)
	{
		size_t		count = smaller(n - from, SOLVED);
		double		off[SOLVED];

		solve_rows(model, kernels, count, records + from, &errors, work, off);
		for (size_t r = 0; r < count; r++)
			raise_limits(model, work + r * model->m,
						 scale_of(model, records[from + r]), off[r], limits);
	}
}

bool
ct_knots_hold(const CtModel *model, const CtKernelTable *kernels,
			  const double *record, double *work, const uint8_t *limits)
{
	WeightErrors errors = weight_errors(model);
	double		scale = scale_of(model, record);
	double		off;

	if (!errors.usable)
		return true;
	solve_rows(model, kernels, 1, &record, &errors, work, &off);
	for (size_t j = 0; j < model->m; j++)
	{
		uint8_t		limit = limits[limit_of(model, j)];

		if (limit != NO_LIMIT &&
			fabs(work[j]) * scale > value_of(limit) * UP + off)
			return false;
	}
	return true;
}

void
ct_knots_join(const CtModel *model, uint8_t *limits, const uint8_t *others)
{
	for (size_t i = 0; i < ct_knot_limits(model); i++)
		limits[i] = limits[i] > others[i] ? limits[i] : others[i];
}

/* -------- many rows -------- */

/* floats of the tiles before number t, of inducing points 8 t and up */
static inline size_t
tile_at(size_t m, size_t t)
{
	return CT_KNOT_TILE * (t * m - CT_KNOT_TILE * (t * (t - 1) / 2));
}

static inline size_t
tiles_of(size_t m)
{
	return (m + CT_KNOT_TILE - 1) / CT_KNOT_TILE;
}

size_t
ct_knots_bytes(const CtModel *model)
{
	size_t		m = model->m;

	return sizeof(float) * tile_at(m, tiles_of(m)) +
		sizeof(double) * (m + 1);
}

void
ct_knots_init(const CtModel *model, const CtKernelTable *kernels,
			  void *memory, CtKnots *knots)
{
	knots->model = model;
	knots->kernels = kernels;
	knots->tiles = memory;
	knots->slack = (double *) (knots->tiles +
							   tile_at(model->m, tiles_of(model->m)));
}

size_t
ct_knots_fill_work(const CtModel *model)
{
	return (size_t) model->m * CT_BATCH;
}

/*
 * The columns of the inverse have zeros on top, so that the lower right part of the
 * factor, which is a factor, is enough to find the others.
 */
void
ct_knots_fill(CtKnots *knots, size_t first, double *work)
{
	const CtModel *model = knots->model;
	WeightErrors errors = weight_errors(model);
	size_t		m = model->m;
	size_t		rows = m - first;
	double		products = 1.01 * FLOAT_UNIT *
		(2.0 * CT_KNOT_CHUNK + (double) m / CT_KNOT_CHUNK + 6.0);

	memset(work, 0, rows * CT_BATCH * sizeof(double));
	for (size_t b = 0; b < smaller(rows, CT_BATCH); b++)
		work[b * CT_BATCH + b] = sqrt(model->variance);
	knots->kernels->substitute_batch(ct_model_factor(model) +
									 ct_factor_at(m, first, first), rows, work);
	/* whole tiles: what is behind the last column is zero */
	for (size_t b = 0; b < CT_BATCH && b < tiles_of(rows) * CT_KNOT_TILE; b++)
	{
		size_t		j = first + b;
		size_t		top = b - b % CT_KNOT_TILE;
		float	   *tile = knots->tiles + tile_at(m, j / CT_KNOT_TILE);
		double		square = 0.0;

		for (size_t k = top; k < rows; k++)
		{
			double		element = work[k * CT_BATCH + b];

			tile[(k - top) * CT_KNOT_TILE + b % CT_KNOT_TILE] = (float) element;
			square += element * element;
		}
		if (j >= m)
			continue;
		knots->slack[j] = (errors.solve + products) * 1.03 * sqrt(square) +
			errors.weights;
		if (!errors.usable || !(sqrt(square) < LARGEST))
			knots->slack[j] = INFINITY;
	}
}

/* of panels, and then the results for all inducing points */
static inline size_t
panel_floats(const CtModel *model)
{
	return (size_t) CT_KNOT_PANEL * model->m;
}

size_t
ct_knots_measure_work(const CtModel *model)
{
	return CT_KNOT_PANELS * panel_floats(model) +
		tiles_of(model->m) * CT_KNOT_TILE;
}

/* Turns up to CT_KNOT_PANEL rows into columns, times their scales. */
static void
fill_panel(const CtModel *model, size_t n, const double *const *records,
		   float *panel)
{
	size_t		m = model->m;
	double		scales[CT_KNOT_PANEL];

	if (n < CT_KNOT_PANEL)
		memset(panel, 0, panel_floats(model) * sizeof(float));
	for (size_t r = 0; r < n; r++)
		scales[r] = scale_of(model, records[r]) / sqrt(model->variance);
	for (size_t from = 0; from < m; from += TURN_BLOCK)
		for (size_t r = 0; r < n; r++)
		{
			const double *features = records[r] + model->dims + 1;

			for (size_t k = from; k < smaller(from + TURN_BLOCK, m); k++)
				panel[k * CT_KNOT_PANEL + r] =
					(float) (features[k] * scales[r]);
		}
}

bool
ct_knots_pay(const CtModel *model, size_t nrows)
{
	return nrows > model->m / 3;
}

void
ct_knots_measure(const CtKnots *knots, size_t n, const double *const *records,
				 float *work, uint8_t *limits)
{
	const CtModel *model = knots->model;
	float	   *most = work + CT_KNOT_PANELS * panel_floats(model);
	double		scale = 0.0;

	memset(most, 0, tiles_of(model->m) * CT_KNOT_TILE * sizeof(float));
	memset(limits, 0, ct_knot_limits(model));
	for (size_t i = 0; i < n; i++)
		scale = fmax(scale, scale_of(model, records[i]));
	for (size_t from = 0; from < n && scale < LARGEST; from += ROWS)
	{
		size_t		rows = smaller(n - from, ROWS);
		size_t		npanels = 0;

		for (; npanels * CT_KNOT_PANEL < rows; npanels++)
			fill_panel(model,
					   smaller(rows - npanels * CT_KNOT_PANEL, CT_KNOT_PANEL),
					   records + from + npanels * CT_KNOT_PANEL,
					   work + npanels * panel_floats(model));
		knots->kernels->largest_products(knots->tiles, model->m, work, npanels,
										 most);
	}
	for (size_t j = 0; j < model->m && n > 0; j++)
	{
		double		value = most[j] * (1.0 + 1e-6) + knots->slack[j] * scale +
			TINY;
		uint8_t		byte = scale < LARGEST ? byte_of(value) : NO_LIMIT;
		uint8_t    *limit = &limits[limit_of(model, j)];

		if (byte > *limit)
			*limit = byte;
	}
}

/* -------- queries -------- */

CtKnot
ct_knot_find(const CtModel *model, const double *record, double min_variance)
{
	WeightErrors errors = weight_errors(model);
	const double *inducing = ct_model_inducing(model);
	CtKnot		knot = {-1, 0.0, 0.0};
	double		slack;

	if (!errors.usable)
		return knot;
	for (size_t j = 0; j < model->m && knot.number < 0; j++)
		if (ct_model_same_place(model, record, inducing + j * model->dims))
			knot.number = (int) limit_of(model, j);
	if (knot.number < 0)
		return knot;
	slack = ct_model_slack(model, record[model->dims],
						   fmin(min_variance, model->variance));
	knot.factor = scale_of(model, record) * UP;
	knot.offset = (slack + 1.5 * errors.backward * errors.inverse *
				   sqrt(model->variance / record[model->dims])) * UP;
	if (!(slack < 1.0))
		knot.offset = 1.0;
	return knot;
}

double
ct_knot_limit(const CtKnot *knot, const uint8_t *limits)
{
	uint8_t		limit = limits[knot->number];
	double		rho = knot->factor * value_of(limit) + knot->offset;

	return limit == NO_LIMIT || !(rho < 1.0) ? 1.0 : rho;
}

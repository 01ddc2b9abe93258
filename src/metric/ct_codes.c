/*-------------------------------------------------------------------------
 *
 * ct_codes.c
 *	  Codes of points, and all arithmetic of their bounds (ct_codes.h).
 *
 * With u = 2^-53: base_j is a double, whatever it was computed from.  For a
 * coordinate x, t = x - base is off by u |t|; step * c, with 24 and at most 15
 * bits, is exact; r = t - step * c is off by another u |r|.  So the length of all
 * r is off by at most u (|t| + 2 |r|) + d u |r|, and |t| itself is known as well as
 * that.  ct_code_error() adds what is more than that.  Lengths whose squares may
 * vanish are not told apart (LENGTH_ERROR); those that overflow are infinite,
 * which makes a bound of zero.
 *
 * IDENTIFICATION
 *	  src/metric/ct_codes.c
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "ct_codes.h"

/* room around the rows that a grid is made for, by both ends of the widest */
#define GRID_ROOM		0.1

#define LENGTH_ERROR	1e-140

/* the largest sum of squares that fits a signed word */
#define SUM_MAX			2147483647.0

int
ct_grid_bases(int dims)
{
	return dims <= CT_CODE_BASES ? dims : 1;
}

size_t
ct_grid_bytes(int dims)
{
	return (sizeof(CtGrid) + sizeof(float) * ct_grid_bases(dims) + 7) / 8 * 8;
}

/* Makes a grid whose codes say nothing. */
static void
clear_grid(CtGrid *grid, int dims)
{
	memset(grid, 0, ct_grid_bytes(dims));
	grid->error = INFINITY;
}

static double
offset(const double *point, const double *origin, int j)
{
	return origin ? point[j] - origin[j] : point[j];
}

void
ct_grid_fit(CtGrid *grid, int dims, const double *origin, size_t n,
			const double *points)
{
	int			nbases = ct_grid_bases(dims);
	double		width = 0.0;
	double		largest = 0.0;
	double		middle[CT_CODE_BASES];

	if (nbases == dims)
		origin = NULL;
	for (int b = 0; b < nbases; b++)
	{
		double		lower = INFINITY;
		double		upper = -INFINITY;

		for (size_t i = 0; i < n; i++)
			for (int j = b; j < dims; j += nbases)
			{
				double		x = offset(points + i * dims, origin, j);

				lower = x < lower ? x : lower;
				upper = x > upper ? x : upper;
			}
		middle[b] = lower / 2.0 + upper / 2.0;
		width = fmax(width, upper - lower);
		largest = fmax(largest, fmax(fabs(lower), fabs(upper)));
	}

	clear_grid(grid, dims);
	/* bases are floats, which a step should not be much finer than */
	width = fmax(width * (1.0 + GRID_ROOM), largest * FLT_EPSILON);
	width = fmax(width, FLT_MIN * 1024.0);
	if (!(width < FLT_MAX && largest < FLT_MAX))
		return;
	grid->step = width / CT_CODE_MAX;
	for (int b = 0; b < nbases; b++)
		grid->bases[b] = middle[b] - grid->step * (CT_CODE_MAX / 2.0);
	grid->framed = origin != NULL;
	grid->error = 0.0f;
}

double
ct_code_error(double squares, double offsets, int dims)
{
	double		error = sqrt(squares) * (1.0 + (dims + 8) * DBL_EPSILON) +
		sqrt(offsets) * (2.0 * DBL_EPSILON) + LENGTH_ERROR;

	return error <= DBL_MAX ? error : INFINITY;
}

double
ct_grid_encode(const CtGridView *view, const double *point, uint8_t *codes,
			   size_t i, size_t stride)
{
	double		step = view->grid->step;
	double		squares = 0.0;
	double		offsets = 0.0;

	if (view->dims % 2 == 1)
		codes[ct_code_at(view->dims, i, stride)] = 0;
	for (int j = 0; j < view->dims; j++)
	{
		double		t = point[j] - ct_grid_base(view, j);
		double		code = step > 0.0 ? rint(t / step) : 0.0;
		double		r;

		code = code < CT_CODE_MAX ? (code > 0.0 ? code : 0.0) : CT_CODE_MAX;
		codes[ct_code_at(j, i, stride)] = (uint8_t) code;
		r = t - step * code;
		squares += r * r;
		offsets += t * t;
	}
	return ct_code_error(squares, offsets, view->dims);
}

double
ct_grid_error(const CtGridView *view, const double *point,
			  const uint8_t *codes, size_t i, size_t stride)
{
	double		step = view->grid->step;
	double		squares = 0.0;
	double		offsets = 0.0;

	for (int j = 0; j < view->dims; j++)
	{
		double		t = point[j] - ct_grid_base(view, j);
		double		r = t - step * codes[ct_code_at(j, i, stride)];

		squares += r * r;
		offsets += t * t;
	}
	return ct_code_error(squares, offsets, view->dims);
}

float
ct_grid_stored_error(double error)
{
	return (float) (error * (1.0 + 1e-6)) + FLT_MIN;
}

/* What quantize() does, where there is one base above an origin. */
static void
quantize_above_origin(const CtGridView *view, const double *query,
					  double limit, int16_t *codes, double *squares,
					  double *offsets)
{
	double		step = view->grid->step;
	double		inverse = 1.0 / step;

	*squares = 0.0;
	for (int j = 0; j < view->dims; j++)
	{
		double		t = query[j] - ct_grid_base(view, j);
		double		at = t * inverse;
		double		r;

		at = at < limit ? (at > -limit ? at : -limit) : limit;
		at = rint(at);
		codes[j] = (int16_t) at;
		r = t - step * at;
		*squares += r * r;
		*offsets += t * t;
	}
}

/*
 * A query far outside the grid gets codes that are as far as sums allow; its
 * error is then large.
 */
void
ct_grid_query(const CtGridView *view, const CtKernelTable *kernels,
			  const double *query, CtQueryCodes *codes)
{
	int			columns = ct_code_columns(view->dims);
	double		step = view->grid->step;
	double		limit = floor(sqrt(SUM_MAX / columns)) - CT_CODE_MAX - 1.0;
	double		squares = INFINITY;
	double		offsets = 0.0;

	codes->codes[columns - 1] = 0;
	if (!(step > 0.0))
		memset(codes->codes, 0, sizeof(int16_t) * columns);
	else if (view->dims <= CT_CODE_BASES)
		kernels->quantize(query, view->grid->bases, step, limit, view->dims,
						  codes->codes, &squares, &offsets);
	else
		quantize_above_origin(view, query, limit, codes->codes, &squares,
							  &offsets);
	codes->error = ct_code_error(squares, offsets, view->dims);
}

static inline double
code_bound(const CtSpace *space, const CtGrid *grid,
		   const CtQueryCodes *query, int32_t sum)
{
	double		bound = grid->step * sqrt((double) sum) *
		(1.0 - 4.0 * DBL_EPSILON) - (query->error + grid->error);

	/* not so, too, where something is infinite, or NaN */
	return bound > 0.0 ? bound * (1.0 - 2.0 * space->error) : 0.0;
}

void
ct_code_bounds(const CtSpace *space, const CtGrid *grid,
			   const CtQueryCodes *query, int n, const int32_t *sums,
			   double *bounds)
{
	for (int i = 0; i < n; i++)
		bounds[i] = code_bound(space, grid, query, sums[i]);
}

double
ct_code_least(const CtSpace *space, const CtGrid *grid,
			  const CtQueryCodes *query, int n, const int32_t *sums)
{
	int32_t		least = INT32_MAX;

	for (int i = 0; i < n; i++)
		least = sums[i] < least ? sums[i] : least;
	return code_bound(space, grid, query, least);
}

/*-------------------------------------------------------------------------
 *
 * ct_frame.c
 *	  Frames: principal axes of a sample, and sketches by them (ct_frame.h).
 *
 * What a sketch is off by, for a point x with y = x - o as computed and u =
 * 2^-53:
 *
 *	- y has relative errors of u, so it is within u |y| of what it stands for.
 *	- A coordinate is a sum of d products.  In whatever order it is added, its
 *	  error is at most d u / (1 - d u) times the sum of absolute products,
 *	  which Cauchy-Schwarz bounds by |y| times the length of the direction, 1.
 *	- The length of the rest is the root of |y|^2 - |P y|^2.  Let P P' = I + E.
 *	  Then |(I - P'P) y|^2 = |y|^2 - |P y|^2 + (P y)' E (P y), where the last term is
 *	  at most e |y|^2, e being the norm of E, for which FRAME_ERROR stands
 *	  (ct_frame_is_valid() sees to that).  Sums of d squares add 2 d u |y|^2 to
 *	  this.
 *
 * With rows of P that are orthonormal but for E, the map from points to sketches
 * stretches no distance by more than 1 + e.
 *
 * IDENTIFICATION
 *	  src/metric/ct_frame.c
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "ct_frame.h"

/* passes of the iteration for principal axes; more of them change little */
#define PASSES			6

/* bounds of the norm of E, and of an element of it that is accepted */
#define FRAME_ERROR		1e-12
#define ELEMENT_ERROR	(FRAME_ERROR / CT_FRAME_DIRECTIONS)

/* squares of lengths within these limits are numbers as good as any */
#define SQUARE_MIN		1e-200
#define SQUARE_MAX		1e200

/* lengths whose squares may vanish are not told apart */
#define LENGTH_ERROR	1e-140

size_t
ct_frame_bytes(int dims)
{
	return sizeof(CtFrame) +
		sizeof(double) * dims * (1 + CT_FRAME_DIRECTIONS);
}

static const double *
direction(const CtFrame *frame, int i)
{
	return frame->values + (size_t) (1 + i) * frame->dims;
}

static double
product(const double *x, const double *y, int n)
{
	double		sum = 0.0;

	for (int j = 0; j < n; j++)
		sum += x[j] * y[j];
	return sum;
}

static void
add_multiple(double *x, double factor, const double *y, int n)
{
	for (int j = 0; j < n; j++)
		x[j] += factor * y[j];
}

/* Takes from a vector what it has of the first n directions. */
static void
take_off(double *vector, const CtFrame *frame, int n)
{
	for (int i = 0; i < n; i++)
		add_multiple(vector, -product(vector, direction(frame, i), frame->dims),
					 direction(frame, i), frame->dims);
}

/*
 * Makes the directions orthonormal.  One that depends on those before it is
 * replaced by what they leave of a coordinate axis.
 */
static void
orthonormalize(CtFrame *frame)
{
	int			dims = frame->dims;
	int			axis = 0;

	for (int i = 0; i < CT_FRAME_DIRECTIONS; i++)
	{
		double	   *vector = (double *) direction(frame, i);
		double		before = product(vector, vector, dims);

		for (;;)
		{
			double		square;

			/* twice is enough (Kahan; Parlett 1980) */
			take_off(vector, frame, i);
			take_off(vector, frame, i);
			square = product(vector, vector, dims);
			if (square > before * 1e-12 && square > SQUARE_MIN)
			{
				double		length = sqrt(square);

				for (int j = 0; j < dims; j++)
					vector[j] /= length;
				take_off(vector, frame, i);
				length = sqrt(product(vector, vector, dims));
				for (int j = 0; j < dims; j++)
					vector[j] /= length;
				break;
			}
			/* of any dims axes, i directions leave some */
			memset(vector, 0, sizeof(double) * dims);
			vector[axis++ % dims] = 1.0;
			before = 1.0;
		}
	}
}

/* A number between -1 and 1 that looks random. */
static double
next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (double) (int32_t) (*state >> 32) / 2147483648.0;
}

static void
start_directions(CtFrame *frame)
{
	uint64_t	state = 1;

	for (size_t j = 0; j < (size_t) frame->dims * CT_FRAME_DIRECTIONS; j++)
		frame->values[frame->dims + j] = next_random(&state);
	orthonormalize(frame);
}

/* Subtracts the mean of the points; false where they are no good for axes. */
static bool
center(CtFrame *frame, size_t n, double *points)
{
	int			dims = frame->dims;
	double	   *origin = frame->values;
	double		most = 0.0;

	memset(origin, 0, sizeof(double) * dims);
	for (size_t i = 0; i < n; i++)
		add_multiple(origin, 1.0 / n, points + i * dims, dims);
	for (size_t i = 0; i < n; i++)
	{
		double		square;

		add_multiple(points + i * dims, -1.0, origin, dims);
		square = product(points + i * dims, points + i * dims, dims);
		if (!(square < SQUARE_MAX))
		{
			memset(origin, 0, sizeof(double) * dims);
			return false;
		}
		most = square > most ? square : most;
	}
	return most > SQUARE_MIN;
}

/*
 * Orthogonal iteration on the points' covariance matrix Y'Y (Golub & Van Loan,
 * "Matrix Computations"), which is not formed: from the directions G to Y'(Y G).
 */
void
ct_frame_fit(CtFrame *frame, int dims, size_t n, double *points, double *work)
{
	frame->dims = dims;
	frame->unused = 0;
	start_directions(frame);
	if (!center(frame, n, points))
		return;
	for (int pass = 0; pass < PASSES; pass++)
	{
		for (size_t i = 0; i < n; i++)
			for (int k = 0; k < CT_FRAME_DIRECTIONS; k++)
				work[i * CT_FRAME_DIRECTIONS + k] =
					product(points + i * dims, direction(frame, k), dims);
		memset(frame->values + dims, 0,
			   sizeof(double) * dims * CT_FRAME_DIRECTIONS);
		for (size_t i = 0; i < n; i++)
			for (int k = 0; k < CT_FRAME_DIRECTIONS; k++)
				add_multiple((double *) direction(frame, k),
							 work[i * CT_FRAME_DIRECTIONS + k],
							 points + i * dims, dims);
		orthonormalize(frame);
	}
}

bool
ct_frame_is_valid(const CtFrame *frame, int dims)
{
	if (frame->dims != (uint32_t) dims || dims > CT_FRAME_DIMS)
		return false;
	for (int j = 0; j < dims; j++)
		if (!(fabs(frame->values[j]) <= DBL_MAX))
			return false;
	for (int i = 0; i < CT_FRAME_DIRECTIONS; i++)
		for (int k = 0; k <= i; k++)
			if (!(fabs(product(direction(frame, i), direction(frame, k), dims) -
					   (i == k)) <= ELEMENT_ERROR / 2.0))
				return false;
	return true;
}

void
ct_frame_sketch(const CtFrame *frame, const CtKernelTable *kernels,
				const double *point, CtSketch *sketch)
{
	int			dims = frame->dims;
	double		y[CT_FRAME_DIMS];
	double		at[CT_FRAME_DIRECTIONS];
	const double *directions[CT_FRAME_DIRECTIONS];
	double		square;
	double		rest;
	double		error;

	for (int i = 0; i < CT_FRAME_DIRECTIONS; i++)
		directions[i] = direction(frame, i);
	for (int j = 0; j < dims; j++)
		y[j] = point[j] - frame->values[j];
	square = kernels->dot_f64(y, y, dims);
	if (!(square < SQUARE_MAX))
	{
		for (int i = 0; i < CT_BOX_DIMS; i++)
		{
			sketch->lower[i] = -INFINITY;
			sketch->upper[i] = INFINITY;
		}
		return;
	}
	kernels->dots_f64(y, directions, CT_FRAME_DIRECTIONS, dims, at);
	rest = square;
	error = 2.0 * (dims + 4) * DBL_EPSILON * sqrt(square) + LENGTH_ERROR;
	for (int i = 0; i < CT_FRAME_DIRECTIONS; i++)
	{
		rest -= at[i] * at[i];
		sketch->lower[i] = at[i] - error;
		sketch->upper[i] = at[i] + error;
	}
	/* two of these norms, since y is not exact either */
	error = (4.0 * (dims + CT_BOX_DIMS) * DBL_EPSILON + FRAME_ERROR) * square +
		LENGTH_ERROR * LENGTH_ERROR;
	sketch->lower[CT_FRAME_DIRECTIONS] =
		rest > error ? sqrt(rest - error) * (1.0 - DBL_EPSILON) : 0.0;
	sketch->upper[CT_FRAME_DIRECTIONS] =
		sqrt((rest > 0.0 ? rest : 0.0) + error) * (1.0 + DBL_EPSILON);
}

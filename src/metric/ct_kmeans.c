/*-------------------------------------------------------------------------
 *
 * ct_kmeans.c
 *	  k-means++ seeding (Arthur and Vassilvitskii 2007) and Lloyd's algorithm.
 *
 * The result is a function of the arguments alone: own random numbers, sums in
 * the order of the points, distances with the same bits everywhere, and the
 * first of equals wherever there is a choice.
 *
 * IDENTIFICATION
 *	  src/metric/ct_kmeans.c
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ct_model.h"

/* coordinate differences between two calls of interrupt: a few milliseconds */
#define INTERRUPT_WORK		4000000

/* points whose distances to a centre are computed at a time */
#define POINT_CHUNK			1024

typedef struct KMeans
{
	const CtKernelTable *kernels;
	const double *points;
	size_t		n;
	size_t		dims;
	size_t		m;
	uint64_t	random_state;
	double	   *centres;
	bool		(*interrupt) (void);
	size_t		work;			/* since interrupt was called last */

	double	   *columns;		/* n points, then m centres, by column */
	double	   *nearest;		/* of each point: distance to its centre */
	double	   *distances;		/* POINT_CHUNK, or m */
	uint32_t   *owner;			/* of each point: number of its centre */
	size_t	   *count;			/* of each centre: its points */
	double	   *sums;			/* of each centre: their offsets from it */
} KMeans;

/* Counts differences; returns whether to give up. */
static bool
interrupted(KMeans *state, size_t differences)
{
	state->work += differences;
	if (state->work < INTERRUPT_WORK || state->interrupt == NULL)
		return false;
	state->work = 0;
	return state->interrupt();
}

/* splitmix64, from 0 up to but not including 1 */
static double
random_fraction(KMeans *state)
{
	uint64_t	z = (state->random_state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return (double) ((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Rows of dims coordinates to columns of count points. */
static void
transpose(const double *rows, size_t count, size_t dims, double *columns)
{
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < dims; j++)
			columns[j * count + i] = rows[i * dims + j];
}

/* Makes point i centre number c. */
static void
set_centre(KMeans *state, size_t c, size_t i)
{
	memcpy(state->centres + c * state->dims, state->points + i * state->dims,
		   state->dims * sizeof(double));
}

/* -------- seeding -------- */

/* Lowers the distances to what centre number c makes of them. */
static bool
lower_nearest(KMeans *state, size_t c)
{
	for (size_t first = 0; first < state->n; first += POINT_CHUNK)
	{
		size_t		count = state->n - first;
		double	   *nearest = state->nearest + first;

		if (count > POINT_CHUNK)
			count = POINT_CHUNK;
		state->kernels->l2_columns_f64(state->centres + c * state->dims,
									   state->columns + first, state->n, count,
									   state->dims, state->distances);
		for (size_t i = 0; i < count; i++)
			nearest[i] = state->distances[i] < nearest[i] ?
				state->distances[i] : nearest[i];
		if (interrupted(state, count * state->dims))
			return false;
	}
	return true;
}

/*
 * The chance of a point, in proportion: the square of its distance.  In units
 * of the largest one, so that no square overflows.
 */
static inline double
chance(double distance, double largest)
{
	double		ratio = distance / largest;

	return ratio * ratio;
}

/* largest distance, but finite; infinite ones count as this */
static double
limit_distances(KMeans *state)
{
	double		largest = 0.0;

	for (size_t i = 0; i < state->n; i++)
	{
		if (state->nearest[i] > DBL_MAX)
			state->nearest[i] = DBL_MAX;
		if (state->nearest[i] > largest)
			largest = state->nearest[i];
	}
	return largest;
}

/* A point drawn with its chance; any point if all are centres. */
static size_t
draw_point(KMeans *state)
{
	double		fraction = random_fraction(state);
	double		largest = limit_distances(state);
	double		total = 0.0;
	double		sum = 0.0;
	size_t		last = 0;

	if (largest == 0.0)
		return (size_t) (fraction * (double) state->n);
	for (size_t i = 0; i < state->n; i++)
		total += chance(state->nearest[i], largest);
	for (size_t i = 0; i < state->n; i++)
	{
		if (state->nearest[i] == 0.0)
			continue;
		last = i;
		sum += chance(state->nearest[i], largest);
		if (sum > fraction * total)
			break;
	}
	return last;
}

static bool
seed_centres(KMeans *state)
{
	for (size_t i = 0; i < state->n; i++)
		state->nearest[i] = INFINITY;
	set_centre(state, 0, (size_t) (random_fraction(state) * (double) state->n));
	for (size_t c = 1; c < state->m; c++)
	{
		if (!lower_nearest(state, c - 1))
			return false;
		set_centre(state, c, draw_point(state));
		if (interrupted(state, 2 * state->n))
			return false;
	}
	return true;
}

/* -------- Lloyd -------- */

/*
 * Assigns every point to its nearest centre.  *changed tells whether that is
 * another than before for any of them.  Returns false if interrupted.
 */
static bool
assign_points(KMeans *state, bool *changed)
{
	double	   *columns = state->columns + state->n * state->dims;

	*changed = false;
	memset(state->count, 0, state->m * sizeof(*state->count));
	transpose(state->centres, state->m, state->dims, columns);
	for (size_t i = 0; i < state->n; i++)
	{
		uint32_t	c;

		state->kernels->l2_columns_f64(state->points + i * state->dims,
									   columns, state->m, state->m,
									   state->dims, state->distances);
		c = (uint32_t) state->kernels->argmin_f64(state->distances, state->m);
		state->nearest[i] = state->distances[c];
		state->count[c]++;
		if (state->owner[i] != c)
			*changed = true;
		state->owner[i] = c;
		if (interrupted(state, state->m * state->dims))
			return false;
	}
	return true;
}

/*
 * Moves every centre to the mean of its points, which is computed from their
 * offsets: exact where they coincide with it.  A mean out of range is not
 * taken.
 */
static void
move_centres(KMeans *state)
{
	size_t		dims = state->dims;

	memset(state->sums, 0, state->m * dims * sizeof(double));
	for (size_t i = 0; i < state->n; i++)
	{
		const double *point = state->points + i * dims;
		const double *centre = state->centres + state->owner[i] * dims;
		double	   *sum = state->sums + state->owner[i] * dims;

		for (size_t j = 0; j < dims; j++)
			sum[j] += point[j] - centre[j];
	}
	for (size_t c = 0; c < state->m; c++)
	{
		for (size_t j = 0; j < dims && state->count[c] > 0; j++)
		{
			double		mean = state->centres[c * dims + j] +
				state->sums[c * dims + j] / (double) state->count[c];

			if (fabs(mean) <= DBL_MAX)
				state->centres[c * dims + j] = mean;
		}
	}
}

/*
 * Gives every centre without points the point that is farthest from its own,
 * unless no point is any distance away.  Returns whether there was one.
 */
static bool
reseed_empty(KMeans *state)
{
	bool		any = false;

	for (size_t c = 0; c < state->m; c++)
	{
		size_t		farthest = 0;

		if (state->count[c] > 0)
			continue;
		for (size_t i = 1; i < state->n; i++)
			if (state->nearest[i] > state->nearest[farthest])
				farthest = i;
		if (state->nearest[farthest] == 0.0)
			return any;
		state->nearest[farthest] = 0.0;
		set_centre(state, c, farthest);
		any = true;
	}
	return any;
}

static bool
iterate(KMeans *state, int iterations)
{
	for (size_t i = 0; i < state->n; i++)
		state->owner[i] = UINT32_MAX;
	for (int round = 0; round < iterations; round++)
	{
		bool		changed;
		bool		reseeded;

		if (!assign_points(state, &changed))
			return false;
		move_centres(state);
		reseeded = reseed_empty(state);
		if (interrupted(state, state->n * state->dims))
			return false;
		if (!changed && !reseeded)
			break;
	}
	return true;
}

/* -------- entry -------- */

static bool
allocate(KMeans *state)
{
	size_t		n = state->n;
	size_t		m = state->m;

	state->columns = malloc((n + m) * state->dims * sizeof(double));
	state->nearest = malloc(n * sizeof(double));
	state->distances = malloc((m > POINT_CHUNK ? m : POINT_CHUNK) *
							  sizeof(double));
	state->owner = malloc(n * sizeof(*state->owner));
	state->count = malloc(m * sizeof(*state->count));
	state->sums = malloc(m * state->dims * sizeof(double));
	return state->columns && state->nearest && state->distances &&
		state->owner && state->count && state->sums;
}

static void
release(KMeans *state)
{
	free(state->columns);
	free(state->nearest);
	free(state->distances);
	free(state->owner);
	free(state->count);
	free(state->sums);
}

/*
 * Coordinates must be finite, n >= m and dims >= 1.  Fewer than m distinct
 * points give centres that coincide.  m = 0 is nothing to do.
 */
bool
ct_kmeans(const CtKernelTable *kernels, const double *points, size_t n,
		  size_t dims, size_t m, uint64_t seed, int iterations,
		  double *centres, bool (*interrupt) (void))
{
	KMeans		state = {
		.kernels = kernels,
		.points = points,
		.n = n,
		.dims = dims,
		.m = m,
		.random_state = seed,
		.centres = centres,
		.interrupt = interrupt
	};
	bool		done;

	if (m == 0)
		return true;
	done = allocate(&state);
	if (done)
	{
		transpose(points, n, dims, state.columns);
		done = seed_centres(&state) && iterate(&state, iterations);
	}
	release(&state);
	return done;
}

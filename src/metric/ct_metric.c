/*-------------------------------------------------------------------------
 *
 * ct_metric.c
 *	  The table of metrics, and the Euclidean one.
 *
 * IDENTIFICATION
 *	  src/metric/ct_metric.c
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>

#include "ct_metric.h"
#include "ct_model.h"

size_t
ct_element_size(CtElement element)
{
	return element == CT_ELEMENT_FLOAT4 ? sizeof(float) : sizeof(double);
}

static double
euclidean_distance(const CtSpace *space, const double *query,
				   const void *vector)
{
	if (space->element == CT_ELEMENT_FLOAT4)
		return space->kernels->l2_f32(query, vector, space->dims);
	return space->kernels->l2_f64(query, vector, space->dims);
}

static void
euclidean_distances(const CtSpace *space, const double *query,
					const void *columns, size_t stride, size_t n,
					double *dist)
{
	if (space->element == CT_ELEMENT_FLOAT4)
		space->kernels->l2_columns_f32(query, columns, stride, n,
									   space->dims, dist);
	else
		space->kernels->l2_columns_f64(query, columns, stride, n,
									   space->dims, dist);
}

static bool
euclidean_squares(const CtSpace *space, const double *query,
				  const void *columns, size_t stride, size_t n,
				  double *squares)
{
	if (space->element == CT_ELEMENT_FLOAT4)
		return space->kernels->squares_columns_f32(query, columns, stride, n,
												   space->dims, squares);
	return space->kernels->squares_columns_f64(query, columns, stride, n,
											   space->dims, squares);
}

/*
 * A difference has relative error u, its square 3u; each of the at most
 * dims / 16 + 4 additions adds u, the root halves the sum and adds u.
 * Doubled, to cover the terms of second order generously.
 */
static double
euclidean_error_units(int dims)
{
	return 16.0 + dims / 8.0;
}

const CtMetric ct_metric_euclidean = {
	.id = CT_METRIC_EUCLIDEAN,
	.name = "euclidean",
	.distance = euclidean_distance,
	.cover_distance = euclidean_distance,
	.distances = euclidean_distances,
	.squares = euclidean_squares,
	.error_units = euclidean_error_units
};

/* The metric with this on-disk number, or NULL. */
const CtMetric *
ct_metric_lookup(int id)
{
	if (id == CT_METRIC_EUCLIDEAN)
		return &ct_metric_euclidean;
	if (id == CT_METRIC_RESIDUAL)
		return &ct_metric_residual;
	return NULL;
}

void
ct_space_init(CtSpace *space, const CtMetric *metric,
			  const CtKernelTable *kernels, CtElement element, int dims,
			  double base)
{
	space->metric = metric;
	space->kernels = kernels;
	space->element = element;
	space->dims = dims;
	space->size = dims;
	space->base = base;
	space->log_base = log(base);
	space->error = metric->error_units(dims) * 0x1p-53;
	space->model = NULL;
	space->without_nugget = false;
	space->slack = 0.0;
}

/* The distance in which radii of this space are measured. */
double
ct_cover_distance(const CtSpace *space, const double *query,
				  const void *vector)
{
	return space->metric->cover_distance(space, query, vector);
}

/* The same for n vectors at once. */
void
ct_cover_distances(const CtSpace *space, const double *query, size_t n,
				   const void *const *vectors, double *dist)
{
	if (space->metric->cover_distances)
		space->metric->cover_distances(space, query, n, vectors, dist);
	else
		for (size_t i = 0; i < n; i++)
			dist[i] = space->metric->cover_distance(space, query, vectors[i]);
}

/*
 * By which points are grouped where no net divides them, given the space that
 * shapes the tree.  Where that is residual, most points are far from each other
 * and nothing tells them apart but their places, in lengthscales.
 */
double
ct_group_distance(const CtSpace *shape, const double *x, const double *y)
{
	return shape->model ? ct_model_place_distance(shape->model, x, y) :
		ct_cover_distance(shape, x, y);
}

/*
 * The distance that PostgreSQL's point <-> point computes, bit for bit: the
 * larger leg times sqrt(1 + ratio^2).
 */
double
ct_hypot_distance(const double *a, const double *b)
{
	double		x = fabs(a[0] - b[0]);
	double		y = fabs(a[1] - b[1]);
	double		ratio;

	if (x < y)
	{
		double		swap = x;

		x = y;
		y = swap;
	}
	if (isinf(x))
		return x;
	if (y == 0.0)
		return x;
	ratio = y / x;
	return x * sqrt(1.0 + (ratio * ratio));
}

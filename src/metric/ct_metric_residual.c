/*-------------------------------------------------------------------------
 *
 * ct_metric_residual.c
 *	  The residual-correlation metric as an entry in the table of metrics.
 *
 * Vectors are records (ct_model.h), always of doubles.  The cover distance is
 * the angle theta = arccos |rho| between the lines through two unit vectors
 * of a Hilbert space, for which d = sqrt(1 - |rho|) = sqrt(2) sin(theta / 2).
 *
 * With a nugget, two rows at one place are as far from each other as the
 * nugget demands, and a pivot from the row that it was taken from.  The shape
 * of the tree should bring such rows together, so it may be built in a space
 * "without nugget": the nugget is taken out of the residual variances, which
 * is again a residual metric.
 *
 * IDENTIFICATION
 *	  src/metric/ct_metric_residual.c
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>

#include "ct_model.h"

static double
residual_distance(const CtSpace *space, const double *query,
				  const void *vector)
{
	return ct_model_distance(space->model, space->kernels, query, vector);
}

/* residual variance without the nugget */
static double
place_variance(const CtModel *model, double p)
{
	double		least = CT_MIN_RESIDUAL * model->variance;

	p -= model->nugget;
	return p > least ? p : least;
}

/* absolute correlation of two places, where that of the rows is rho */
static double
place_correlation(const CtSpace *space, const double *x, const double *y,
				  double rho)
{
	const CtModel *model = space->model;
	double		p = x[model->dims];
	double		q = y[model->dims];

	if (ct_model_same_place(model, x, y))
		return 1.0;
	rho = fabs(rho) *
		(sqrt(p / place_variance(model, p)) * sqrt(q / place_variance(model, q)));
	return rho < 1.0 ? rho : 1.0;
}

/* The reported distance of two locations with this correlation. */
double
ct_correlation_distance(double rho)
{
	return sqrt(1.0 - fabs(rho));
}

/* and their cover distance */
double
ct_correlation_angle(double rho)
{
	return 2.0 * asin(ct_correlation_distance(rho) * M_SQRT1_2);
}

static void
residual_angles(const CtSpace *space, const double *query, size_t n,
				const void *const *vectors, double *dist)
{
	const double *const *records = (const double *const *) vectors;

	ct_model_correlations(space->model, space->kernels, query, n, records,
						  dist);
	for (size_t i = 0; i < n; i++)
		dist[i] = ct_correlation_angle(space->without_nugget ?
									   place_correlation(space, query,
														 records[i], dist[i]) :
									   dist[i]);
}

static double
residual_angle(const CtSpace *space, const double *query, const void *vector)
{
	double		dist;

	residual_angles(space, query, 1, &vector, &dist);
	return dist;
}

/* The roundings of square root, product and arcsine, several times over. */
static double
residual_error_units(int dims)
{
	(void) dims;
	return 64.0;
}

const CtMetric ct_metric_residual = {
	.id = CT_METRIC_RESIDUAL,
	.name = "residual",
	.distance = residual_distance,
	.cover_distance = residual_angle,
	.cover_distances = residual_angles,
	.distances = NULL,
	.error_units = residual_error_units
};

/* Gives a space of the residual metric its model. */
void
ct_space_set_model(CtSpace *space, const struct CtModel *model)
{
	space->model = model;
	space->size = ct_model_record_size(model);
}

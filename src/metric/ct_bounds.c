/*-------------------------------------------------------------------------
 *
 * ct_bounds.c
 *	  All arithmetic of covering radii, levels and lower bounds.
 *
 * Let D' be the computed distance of a query q and a pivot c, R the stored
 * covering radius of c's subtree, and e = space->error.  For the true
 * distances D = d(q, c) and r = max d(c, x):
 *
 *		D' (1 - e) <= D <= D' (1 + e)		(relative error of the kernels)
 *		r <= R								(ct_radius_up)
 *
 * A point x of the subtree has d(q, x) >= D - r >= D'(1 - e) - R, and the
 * distance computed for it is at least (1 - e) times that.  The bound below
 * takes off another e for the roundings of its own three operations.  Where
 * a distance or radius exceeds the range of double, the bound is zero; where
 * it is subnormal, CT_TINY covers the absolute error.
 *
 * A box contains the points behind a link, so that its distance B from q is at
 * most D.  With at most CT_BOX_DIMS terms, B is computed with no larger relative
 * error than distances are.  Where it contains their sketches (ct_frame.h), B is
 * that of the query's sketch, which is known up to some slack, and at most
 * D (1 + 1e-12), for which SKETCH_SCALE stands.
 *
 * The residual metric's cover distance is the angle t = arccos |rho|, in
 * 0 .. pi/2.  What is computed is |rho| with an absolute error of at most
 * s = space->slack (ct_model_slack()), then d = sqrt(1 - |rho|) and
 * t = 2 asin(d / sqrt(2)).  Since 1 - |rho| = 2 sin^2(t / 2), the true angle
 * is within
 *
 *		2 asin(sqrt(sin^2(t / 2) - s / 2)) .. 2 asin(sqrt(sin^2(t / 2) + s / 2))
 *
 * (angle_down, angle_up; the relative error covers the roundings of d and
 * asin).  If the true angle of q and x is at least a, the correlation computed
 * for them is at most cos(a) + s, and the distance computed for them at least
 * sqrt(2 sin^2(a / 2) - s) (angle_bound).  Radii are true angles, rounded up,
 * whatever slack applied when they were stored.
 *
 * IDENTIFICATION
 *	  src/metric/ct_bounds.c
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>

#include "ct_metric.h"

#define CT_TINY		0x1p-1060

/* limits of the distances of boxes that squares can tell */
#define BOX_MIN		0x1p-450
#define BOX_MAX		0x1p+500

/* directions of sketches are not quite orthonormal */
#define SKETCH_SCALE	(1.0 - 1e-11)

/* -------- angles -------- */

/* angles below this are those of few pairs, where bases decide about rows */
#define LEAST_ANGLE		1.3

/* The true angle is at least, or at most, this; angle was computed. */
static double
angle_down(const CtSpace *space, double angle)
{
	double		half = sin(angle / 2.0);
	double		square = half * half * (1.0 - space->error) - space->slack / 2.0;

	if (!(square > 0.0))
		return 0.0;
	return 2.0 * asin(sqrt(square)) * (1.0 - space->error);
}

static double
angle_up(const CtSpace *space, double angle)
{
	double		half = sin(angle / 2.0);
	double		square = half * half * (1.0 + space->error) + space->slack / 2.0;

	if (!(square < 0.5))
		return CT_RIGHT_ANGLE;
	return 2.0 * asin(sqrt(square)) * (1.0 + space->error);
}

/* A lower bound of computed distances whose true angle is at least angle. */
static double
angle_bound(const CtSpace *space, double angle)
{
	double		half;

	if (!(angle > 0.0))
		return 0.0;
	half = sin((angle < M_PI_2 ? angle : M_PI_2) / 2.0);
	return ct_correlation_bound(space,
								1.0 - 2.0 * half * half * (1.0 - space->error));
}

/*
 * A lower bound of computed distances whose true absolute correlation is at
 * most rho.
 */
double
ct_correlation_bound(const CtSpace *space, double rho)
{
	double		square = 1.0 - rho - space->slack - space->error;

	return square > 0.0 ? sqrt(square) * (1.0 - space->error) : 0.0;
}

/*
 * Is it worth a distance to bound what lies within this radius?  No bound is
 * above a right angle less the radius, and where that is small, few queries
 * would pass over the subtree, whatever its pivot.  (A pivot that is not
 * evaluated counts as being where the query is.)
 */
bool
ct_radius_decides(const CtSpace *space, double radius)
{
	return space->model == NULL || radius < M_PI_2 - LEAST_ANGLE;
}

/* -------- bounds of distances -------- */

/*
 * No point within radius of a pivot has a computed distance to the query
 * below the result; dist is the computed cover distance of query and pivot.
 */
double
ct_lower_bound(const CtSpace *space, double dist, double radius)
{
	double		bound;

	ct_lower_bounds(space, 1, &dist, &radius, &bound);
	return bound;
}

/* The same for n subtrees: a page's entries in one loop without calls. */
void
ct_lower_bounds(const CtSpace *space, int n, const double *dist,
				const double *radii, double *bounds)
{
	double		down = 1.0 - space->error;
	double		scale = 1.0 - 2.0 * space->error;

	if (space->model)
	{
		for (int i = 0; i < n; i++)
			bounds[i] = angle_bound(space, angle_down(space, dist[i]) - radii[i]);
		return;
	}
	for (int i = 0; i < n; i++)
	{
		double		bound = dist[i] * down - radii[i];
		bool		usable = dist[i] <= DBL_MAX && radii[i] <= DBL_MAX &&
			bound > CT_TINY;

		bounds[i] = usable ? (bound - CT_TINY) * scale : 0.0;
	}
}

/*
 * The same for n boxes in a Euclidean space, of dims dimensions, whose limits
 * are stored as box_distances() of CtKernelTable has them.  The query is within
 * slack of where it is said to be.  Where legs are too small or too large for
 * their squares, a lesser bound has to do; an empty box gets the greatest there
 * is.
 */
void
ct_space_box_bounds(const CtSpace *space, int dims, const double *query,
					double slack, const float *boxes, size_t stride, int n,
					double *bounds)
{
	double		scale = (1.0 - space->error) * (1.0 - 2.0 * space->error);

	if (dims < space->dims)
		scale *= SKETCH_SCALE;
	space->kernels->box_distances(query, boxes, stride, n, dims, bounds);
	for (int i = 0; i < n; i++)
	{
		double		bound = bounds[i] < BOX_MAX ? bounds[i] : BOX_MAX;

		bound = bound * scale - BOX_MIN - slack;
		bounds[i] = bound > 0.0 ? bound : 0.0;
	}
}

/*
 * The same the other way round: no point of a box whose box_squares() is above
 * the result has a computed distance of at most worst to the query; INFINITY if
 * that cannot be said of any.  The last factor makes up for the roundings of
 * four operations, and for the root that nobody takes.
 */
double
ct_space_box_limit(const CtSpace *space, double worst)
{
	double		scale = (1.0 - space->error) * (1.0 - 2.0 * space->error);
	double		least = (worst + BOX_MIN) / scale;

	return least < BOX_MAX ? least * least * (1.0 + 0x1p-48) : INFINITY;
}

/*
 * Limits for the squares that distances are the roots of.  Squares of distances
 * up to the one given are at most ct_square_up(), and larger squares are those of
 * larger distances.  Squares of distances above it are more than
 * ct_square_down().
 *
 * Root and product are rounded once each, so that the product is off by less
 * than 4 u, u = 2^-53, from any square whose root rounds to the distance; the
 * factors allow for 8 u.  Squares that can be trusted (ct_kernel.h) are far from
 * the ends of double's range; where the product is not, it is below or above all
 * of them.  Nothing is at a negative distance.
 */
double
ct_square_up(double dist)
{
	return dist < 0.0 ? -1.0 : dist * dist * (1.0 + 0x1p-50);
}

double
ct_square_down(double dist)
{
	return dist < 0.0 ? -1.0 : dist * dist * (1.0 - 0x1p-50);
}

/* A radius that covers a point at this computed distance. */
double
ct_radius_up(const CtSpace *space, double dist)
{
	if (space->model)
		return angle_up(space, dist);
	if (dist == 0.0)
		return 0.0;				/* computed zero means equal coordinates */
	return dist * (1.0 + 2.0 * space->error) + CT_TINY;
}

/* A radius that covers, from dist away, whatever radius covers there. */
double
ct_radius_sum(const CtSpace *space, double dist, double radius)
{
	double		sum = ct_radius_up(space, dist) + radius;

	if (sum == radius)
		return radius;
	if (space->model)
		return sum < M_PI_2 ? sum * (1.0 + space->error) : CT_RIGHT_ANGLE;
	return ct_radius_up(space, sum);
}

/* base^level, the covering distance of a level */
double
ct_level_radius(const CtSpace *space, int level)
{
	if (level <= CT_LEVEL_ZERO)
		return 0.0;
	if (level >= CT_LEVEL_INF)
		return INFINITY;
	return pow(space->base, level);
}

/* The smallest level whose covering distance is at least dist. */
int
ct_level_of(const CtSpace *space, double dist)
{
	int			level;

	if (dist <= 0.0)
		return CT_LEVEL_ZERO;
	if (!(dist <= DBL_MAX))
		return CT_LEVEL_INF;
	level = (int) ceil(log(dist) / space->log_base);
	while (pow(space->base, level) < dist)
		level++;
	while (pow(space->base, level - 1) >= dist)
		level--;
	return level;
}

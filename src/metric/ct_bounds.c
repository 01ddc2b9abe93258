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
 * IDENTIFICATION
 *	  src/metric/ct_bounds.c
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>

#include "ct_metric.h"

#define CT_TINY		0x1p-1060

static inline double
round_down(const CtSpace *space, double bound)
{
	if (!(bound > CT_TINY))
		return 0.0;
	return (bound - CT_TINY) * (1.0 - 2.0 * space->error);
}

/*
 * No point within radius of a pivot has a computed distance to the query
 * below the result; dist is the computed distance of query and pivot.
 */
double
ct_lower_bound(const CtSpace *space, double dist, double radius)
{
	if (!(dist <= DBL_MAX && radius <= DBL_MAX))
		return 0.0;
	return round_down(space, dist * (1.0 - space->error) - radius);
}

/* The same for n subtrees: a page's entries in one loop without calls. */
void
ct_lower_bounds(const CtSpace *space, int n, const double *dist,
				const double *radii, double *bounds)
{
	double		down = 1.0 - space->error;
	double		scale = 1.0 - 2.0 * space->error;

	for (int i = 0; i < n; i++)
	{
		double		bound = dist[i] * down - radii[i];
		bool		usable = dist[i] <= DBL_MAX && radii[i] <= DBL_MAX &&
			bound > CT_TINY;

		bounds[i] = usable ? (bound - CT_TINY) * scale : 0.0;
	}
}

/*
 * The same for one point at computed distance delta from the pivot.
 */
double
ct_annulus_bound(const CtSpace *space, double dist, double delta)
{
	double		outer;
	double		inner;

	if (!(dist <= DBL_MAX && delta <= DBL_MAX))
		return 0.0;
	outer = dist * (1.0 - space->error) - delta * (1.0 + space->error);
	inner = delta * (1.0 - space->error) - dist * (1.0 + space->error);
	return round_down(space, outer > inner ? outer : inner);
}

/* A radius that covers a point at this computed distance. */
double
ct_radius_up(const CtSpace *space, double dist)
{
	if (dist == 0.0)
		return 0.0;				/* computed zero means equal coordinates */
	return dist * (1.0 + 2.0 * space->error) + CT_TINY;
}

/* A radius that covers, from dist away, whatever radius covers there. */
double
ct_radius_sum(const CtSpace *space, double dist, double radius)
{
	return ct_radius_up(space, ct_radius_up(space, dist) + radius);
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

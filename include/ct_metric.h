/*-------------------------------------------------------------------------
 *
 * ct_metric.h
 *	  Metric spaces as the tree sees them, and the arithmetic of its bounds.
 *
 * Layer 1: no PostgreSQL header here or in src/metric.
 *
 * IDENTIFICATION
 *	  include/ct_metric.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_METRIC_H
#define CT_METRIC_H

#include "ct_kernel.h"

/* how coordinates are stored; values are on disk */
typedef enum CtElement
{
	CT_ELEMENT_FLOAT8 = 1,
	CT_ELEMENT_FLOAT4 = 2
} CtElement;

/* values are on disk */
typedef enum CtMetricId
{
	CT_METRIC_EUCLIDEAN = 1
} CtMetricId;

/* level of a node whose subtree is one single place */
#define CT_LEVEL_ZERO	(-32000)
/* level of a node whose radius does not fit a double */
#define CT_LEVEL_INF	32000

struct CtSpace;

/*
 * A metric is this table.  Points are vectors of space->dims elements of
 * type space->element; a query is always a vector of doubles.
 */
typedef struct CtMetric
{
	CtMetricId	id;
	const char *name;

	/* reported distance of a query and one stored vector */
	double		(*distance) (const struct CtSpace *space, const double *query,
							 const void *vector);

	/* the same for n points stored by column, stride elements apart */
	void		(*distances) (const struct CtSpace *space, const double *query,
							  const void *columns, size_t stride, size_t n,
							  double *dist);

	/*
	 * Bound of the relative error of a computed distance, as a multiple of
	 * the rounding unit 2^-53.
	 */
	double		(*error_units) (int dims);
} CtMetric;

/* A metric with the shape of the points it is applied to. */
typedef struct CtSpace
{
	const CtMetric *metric;
	const CtKernelTable *kernels;
	CtElement	element;
	int			dims;
	double		base;			/* expansion base of the tree */
	double		log_base;
	double		error;			/* relative error of a computed distance */
} CtSpace;

extern const CtMetric ct_metric_euclidean;

extern const CtMetric *ct_metric_lookup(int id);
extern void ct_space_init(CtSpace *space, const CtMetric *metric,
						  const CtKernelTable *kernels, CtElement element,
						  int dims, double base);
extern size_t ct_element_size(CtElement element);

/* ct_bounds.c */
extern double ct_lower_bound(const CtSpace *space, double dist, double radius);
extern void ct_lower_bounds(const CtSpace *space, int n, const double *dist,
							const double *radii, double *bounds);
extern double ct_annulus_bound(const CtSpace *space, double dist, double delta);
extern double ct_radius_up(const CtSpace *space, double dist);
extern double ct_radius_sum(const CtSpace *space, double dist, double radius);
extern int	ct_level_of(const CtSpace *space, double dist);
extern double ct_level_radius(const CtSpace *space, int level);

/* core's distance of two points in the plane (operator point <-> point) */
extern double ct_hypot_distance(const double *a, const double *b);

#endif							/* CT_METRIC_H */

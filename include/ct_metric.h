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
	CT_METRIC_EUCLIDEAN = 1,
	CT_METRIC_RESIDUAL = 2
} CtMetricId;

/* level of a node whose subtree is one single place */
#define CT_LEVEL_ZERO	(-32000)
/* level of a node whose radius does not fit a double */
#define CT_LEVEL_INF	32000

/* limits of the expansion base */
#define CT_MIN_BASE		1.05
#define CT_MAX_BASE		16.0

struct CtSpace;
struct CtModel;

/*
 * A metric is this table.  A stored vector has space->size elements of type
 * space->element; a query has as many doubles.  Of these the first
 * space->dims are coordinates; the residual metric's records have more
 * (ct_model.h).
 *
 * Two distances are told apart.  The reported one is that of the operator.
 * Covering radii are measured in the cover distance, an increasing function
 * of it that prunes best: for the residual metric the angle (ct_bounds.c).
 */
typedef struct CtMetric
{
	CtMetricId	id;
	const char *name;

	/* reported distance of a query and one stored vector */
	double		(*distance) (const struct CtSpace *space, const double *query,
							 const void *vector);

	/* cover distance of the same */
	double		(*cover_distance) (const struct CtSpace *space,
								   const double *query, const void *vector);

	/* of n stored vectors; NULL where it makes no difference */
	void		(*cover_distances) (const struct CtSpace *space,
									const double *query, size_t n,
									const void *const *vectors, double *dist);

	/*
	 * The (cover) distances of n points stored by column, stride elements
	 * apart; NULL for metrics whose vectors are never stored so.
	 */
	void		(*distances) (const struct CtSpace *space, const double *query,
							  const void *columns, size_t stride, size_t n,
							  double *dist);

	/*
	 * The squares that these are roots of; false if they do not tell.  NULL for
	 * metrics without distances().
	 */
	bool		(*squares) (const struct CtSpace *space, const double *query,
							const void *columns, size_t stride, size_t n,
							double *squares);

	/*
	 * Bound of the relative error of a computed cover distance, as a multiple
	 * of the rounding unit 2^-53, beyond what space->slack covers.
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
	int			size;			/* elements of a vector */
	double		base;			/* expansion base of the tree */
	double		log_base;
	double		error;			/* relative error of a computed distance */

	/* residual metric only */
	const struct CtModel *model;	/* or NULL */
	bool		without_nugget; /* distances of places, not of rows */
	double		slack;			/* absolute error of a computed correlation */
} CtSpace;

extern const CtMetric ct_metric_euclidean;
extern const CtMetric ct_metric_residual;

extern const CtMetric *ct_metric_lookup(int id);
extern void ct_space_init(CtSpace *space, const CtMetric *metric,
						  const CtKernelTable *kernels, CtElement element,
						  int dims, double base);
extern void ct_space_set_model(CtSpace *space, const struct CtModel *model);
extern size_t ct_element_size(CtElement element);
extern double ct_correlation_distance(double rho);
extern double ct_correlation_angle(double rho);
extern double ct_cover_distance(const CtSpace *space, const double *query,
								const void *vector);
extern void ct_cover_distances(const CtSpace *space, const double *query,
							   size_t n, const void *const *vectors,
							   double *dist);

extern double ct_group_distance(const CtSpace *shape, const double *x,
								const double *y);

/* ct_bounds.c */

/* no angle between lines is larger; rounded up */
#define CT_RIGHT_ANGLE		(0x1.921fb54442d18p+0 + 0x1p-50)

extern double ct_lower_bound(const CtSpace *space, double dist, double radius);
extern void ct_lower_bounds(const CtSpace *space, int n, const double *dist,
							const double *radii, double *bounds);
extern void ct_space_box_bounds(const CtSpace *space, int dims,
								const double *query, double slack,
								const float *boxes, size_t stride, int n,
								double *bounds);
extern double ct_space_box_limit(const CtSpace *space, double worst);
extern double ct_correlation_bound(const CtSpace *space, double rho);
extern bool ct_radius_decides(const CtSpace *space, double radius);
extern double ct_square_up(double dist);
extern double ct_square_down(double dist);
extern double ct_radius_up(const CtSpace *space, double dist);
extern double ct_radius_sum(const CtSpace *space, double dist, double radius);
extern int	ct_level_of(const CtSpace *space, double dist);
extern double ct_level_radius(const CtSpace *space, int level);

/* the kernels that this session uses (covertree.c) */
extern const CtKernelTable *ct_kernels(void);

/* core's distance of two points in the plane (operator point <-> point) */
extern double ct_hypot_distance(const double *a, const double *b);

#endif							/* CT_METRIC_H */

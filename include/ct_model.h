/*-------------------------------------------------------------------------
 *
 * ct_model.h
 *	  Gaussian-process models and the residual-correlation metric.
 *
 * Layer 1: no PostgreSQL header here or in src/metric.
 *
 * A model is a covariance function k with m inducing points Z:
 *
 *		L L' = k(Z, Z) + jitter * variance * I		(Cholesky factor, lower)
 *		v_x  = L^-1 k(Z, x)							(feature row)
 *		p_x  = k(x, x) - v_x . v_x (+ nugget)		(residual variance)
 *		rho  = (k(x, y) - v_x . v_y) / sqrt(p_x p_y)
 *		d    = sqrt(1 - |rho|)						(reported distance)
 *
 * A location is expanded to a record, which is what the index stores and
 * what distances are computed from: dims coordinates, p_x, then m features,
 * all doubles.
 *
 * Everything here has the same bits on every machine and instruction set:
 * own exp() (ct_exp.h), fixed order of every sum, no FMA, and a factor that
 * is part of the model.
 *
 * IDENTIFICATION
 *	  include/ct_model.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_MODEL_H
#define CT_MODEL_H

#include "ct_metric.h"

/* residual variances are at least this share of the variance */
#define CT_MIN_RESIDUAL		1e-12

#define CT_MAX_INDUCING		3000
#define CT_FINGERPRINT_BYTES	16

/*
 * One block of memory without pointers, so that it can be copied, cached and
 * stored as it is.  The arrays follow the struct (ct_model_...() below).
 */
typedef struct CtModel
{
	uint64_t	bytes;			/* of the whole block */
	uint32_t	covariance;		/* CtCovariance */
	uint32_t	dims;
	uint32_t	m;
	uint32_t	unused;
	double		variance;
	double		nugget;
	double		jitter;

	/*
	 * Bound of the absolute error of a computed residual covariance
	 * (k(x, y) - v_x . v_y, and p_x), against exact arithmetic on the stored
	 * factor.  Derivation in ct_model.c.
	 */
	double		error;
	uint8_t		fingerprint[CT_FINGERPRINT_BYTES];	/* set by the caller */
	double		data[];
} CtModel;

/* dims lengthscales */
static inline double *
ct_model_lengthscale(const CtModel *model)
{
	return (double *) model->data;
}

/* m x dims inducing points, row by row */
static inline double *
ct_model_inducing(const CtModel *model)
{
	return (double *) model->data + model->dims;
}

/*
 * The lower triangle of L by columns: column j holds rows j .. m - 1, so that
 * there are m (m + 1) / 2 elements.
 */
static inline double *
ct_model_factor(const CtModel *model)
{
	return (double *) model->data + model->dims + (size_t) model->m * model->dims;
}

static inline CtCovarianceFunction
ct_model_function(const CtModel *model)
{
	CtCovarianceFunction function = {
		.kind = (CtCovariance) model->covariance,
		.dim = model->dims,
		.variance = model->variance,
		.lengthscale = ct_model_lengthscale(model)
	};

	return function;
}

/* elements of the factor, and bytes of a model */
extern size_t ct_model_factor_size(size_t m);
extern size_t ct_model_bytes(size_t dims, size_t m);

/* doubles in a record: coordinates, residual variance, features */
static inline size_t
ct_model_record_size(const CtModel *model)
{
	return (size_t) model->dims + 1 + model->m;
}

/* the number of a covariance function by name or alias, or 0 */
extern CtCovariance ct_covariance_lookup(const char *name);
extern const char *ct_covariance_name(int covariance);

/*
 * Computes the factor of a model whose parameters and inducing points are set.
 * Returns m, or the number of the first column that is not positive definite.
 * interrupt (may be NULL) is called now and then; when it returns true the
 * computation ends and -1 is returned, as it is when memory ran out.
 */
extern int	ct_model_factorize(CtModel *model, const CtKernelTable *kernels,
							   bool (*interrupt) (void));

/*
 * Sets model->error; call after the factor is set.  Infinite where no bound
 * can be given, which makes the slack 2.  Quick, unless jitter is so small
 * that the inverse of the factor must be looked at.
 */
extern void ct_model_set_error(CtModel *model);

/*
 * A bound of |rho computed - rho| for any two locations whose computed
 * residual variances are p_x and p_y: their correlation in exact arithmetic
 * on the stored factor, or, where jitter is too small for that to be positive
 * semidefinite, on one nearby for which it is.  At most 2; does not increase
 * when p_x or p_y does.
 */
extern double ct_model_slack(const CtModel *model, double p_x, double p_y);

/*
 * The terms of these bounds, in the notation of ct_model.c: in units of the
 * variance, where |v| <= v_norm.
 */
typedef struct CtErrorTerms
{
	double		backward;		/* E */
	double		gap;			/* j - E */
	double		solve;			/* G */
	double		rest;
} CtErrorTerms;

extern CtErrorTerms ct_model_error_terms(const CtModel *model, double v_norm);

/* k(x, y) of the covariance function, without nugget */
extern double ct_model_covariance(const CtModel *model, const double *x,
								  const double *y);

/*
 * Expands n locations (n x dims, row by row) to records (n x record size).
 * The result does not depend on how locations are batched.  Thread-safe.
 * work has room for ct_model_work_size() doubles.
 */
extern void ct_model_expand(const CtModel *model, const CtKernelTable *kernels,
							size_t n, const double *locations,
							double *records, double *work);
extern size_t ct_model_work_size(const CtModel *model);

/*
 * rho of two records: clamped to [-1, 1]; exactly 1 for equal coordinates
 * when the nugget is 0.
 */
extern double ct_model_correlation(const CtModel *model,
								   const CtKernelTable *kernels,
								   const double *x, const double *y);

/* The same where the covariance and the product of features are known. */
extern double ct_model_correlation_of(const CtModel *model, const double *x,
									  const double *y, double covariance,
									  double product);

/* The same for x and each of n records y. */
extern void ct_model_correlations(const CtModel *model,
								  const CtKernelTable *kernels,
								  const double *x, size_t n,
								  const double *const *y, double *rho);

/*
 * The same for each of nx records x: that of x[i] and y[j] is
 * rho[i * stride + j].
 */
extern void ct_model_correlation_table(const CtModel *model,
									   const CtKernelTable *kernels,
									   size_t nx, const double *const *x,
									   size_t ny, const double *const *y,
									   double *rho, size_t stride);

/* Have two locations, or records, the same coordinates?  (-0 equals 0.) */
static inline bool
ct_model_same_place(const CtModel *model, const double *x, const double *y)
{
	for (size_t j = 0; j < model->dims; j++)
		if (x[j] != y[j])
			return false;
	return true;
}

/* Squared distance of two locations, or records, in lengthscales. */
extern double ct_model_place_distance(const CtModel *model, const double *x,
									  const double *y);

/* d of two records: sqrt(1 - |rho|) */
extern double ct_model_distance(const CtModel *model,
								const CtKernelTable *kernels,
								const double *x, const double *y);

/*
 * k-means++ seeding (and Lloyd iterations unless iterations is 0) over n
 * points (n x dims): writes m centres.  Deterministic for a seed.  Returns
 * false when memory ran out or interrupt returned true.
 */
extern bool ct_kmeans(const CtKernelTable *kernels, const double *points,
					  size_t n, size_t dims, size_t m, uint64_t seed,
					  int iterations, double *centres,
					  bool (*interrupt) (void));

#endif							/* CT_MODEL_H */

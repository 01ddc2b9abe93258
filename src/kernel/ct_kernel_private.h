/*-------------------------------------------------------------------------
 *
 * ct_kernel_private.h
 *	  What the kernel files share among themselves.
 *
 * A kernel for both element types is written once, for elements of
 * element_size bytes behind a void pointer, and always inlined into its two
 * callers, where element_size is a constant.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_private.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_KERNEL_PRIVATE_H
#define CT_KERNEL_PRIVATE_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "ct_kernel.h"

#if defined(__FAST_MATH__)
#error "distances must not depend on the compiler: build without -ffast-math"
#endif
#if FLT_EVAL_METHOD < 0 || FLT_EVAL_METHOD == 2
#error "distances need double arithmetic without excess precision"
#endif

#define CT_INLINE			static inline __attribute__((always_inline))

/*
 * Calls a function that takes the kind of a covariance first, with a constant
 * for it, so that each kind has code of its own.
 */
#define CT_BY_COVARIANCE(kind, function, ...) \
	switch (kind) \
	{ \
		case CT_COVARIANCE_RBF: \
			function(CT_COVARIANCE_RBF, __VA_ARGS__); \
			break; \
		case CT_COVARIANCE_MATERN12: \
			function(CT_COVARIANCE_MATERN12, __VA_ARGS__); \
			break; \
		case CT_COVARIANCE_MATERN32: \
			function(CT_COVARIANCE_MATERN32, __VA_ARGS__); \
			break; \
		case CT_COVARIANCE_MATERN52: \
			function(CT_COVARIANCE_MATERN52, __VA_ARGS__); \
			break; \
	}

/*
 * Roots of the sums that may be trusted.  The root of a sum just above
 * CT_SUM_MAX rounds to 2^500, so a root of exactly 2^500 is not trusted.
 */
#define CT_ROOT_MIN			0x1p-450
#define CT_ROOT_LIMIT		0x1p+500

/* what can be trusted is at least the one, and less than the other */
typedef struct CtTrusted
{
	double		least;
	double		limit;
} CtTrusted;

/* loads and stores that no alignment is required for */
CT_INLINE double
load_f64(const void *p)
{
	double		value;

	memcpy(&value, p, sizeof(value));
	return value;
}

CT_INLINE double
load_f32(const void *p)
{
	float		value;

	memcpy(&value, p, sizeof(value));
	return value;
}

CT_INLINE void
store_f64(void *p, double value)
{
	memcpy(p, &value, sizeof(value));
}

/* element number i, widened */
CT_INLINE double
load_element(const void *base, size_t i, size_t element_size)
{
	const char *p = (const char *) base + i * element_size;

	return element_size == sizeof(float) ? load_f32(p) : load_f64(p);
}

/*
 * Distances without vector instructions.  Up to so many dimensions these are
 * the fastest: of sixteen partial sums nearly all stay zero.
 */
#define CT_PLAIN_DIMS		4

extern double ct_l2_plain_f64(const double *q, const double *x, size_t dim);
extern double ct_l2_plain_f32(const double *q, const float *x, size_t dim);

/*
 * The second half of a column kernel, rarely needed: wherever dist[] holds a
 * root that is not to be trusted, put the canonical distance.
 */
extern void ct_l2_columns_repair(const double *q, const void *cols,
								 size_t element_size, size_t stride,
								 size_t n, size_t dim, double *dist);

#endif							/* CT_KERNEL_PRIVATE_H */

/*-------------------------------------------------------------------------
 *
 * ct_kernel.h
 *	  Distance kernels: one meaning, several instruction sets.
 *
 * Layer 0: no PostgreSQL header here or in src/kernel.
 *
 * Every table computes the same bits.  The canonical Euclidean distance of
 * two vectors is: sixteen partial sums, sum number j mod 16 receiving
 * (x[j] - q[j])^2 in increasing order of j, each product rounded before it is
 * added (no FMA); the partial sums are then added in halves (s[i] += s[i + 8],
 * then 4, 2, 1), and the correctly rounded square root is taken.  A sum
 * outside CT_SUM_MIN .. CT_SUM_MAX (overflow, underflow, or an exact zero)
 * is computed again by ct_l2_rescaled(), which scales the differences by a
 * power of two first, so that neither range limit is felt before the distance
 * itself reaches it.
 *
 * IDENTIFICATION
 *	  include/ct_kernel.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_KERNEL_H
#define CT_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum CtKernelLevel
{
	CT_KERNEL_SCALAR,
	CT_KERNEL_AVX2,
	CT_KERNEL_AVX512
} CtKernelLevel;

#define CT_KERNEL_LEVELS	3

/* number of partial sums in the canonical order of summation */
#define CT_SUM_LANES		16

/* a sum of squares within these limits is as exact as double allows */
#define CT_SUM_MIN			0x1p-900
#define CT_SUM_MAX			0x1p+1000

typedef struct CtKernelTable
{
	CtKernelLevel level;
	const char *name;			/* "scalar", "avx2", "avx512" */

	/* distance of two vectors of dim elements; no alignment is required */
	double		(*l2_f64) (const double *q, const double *x, size_t dim);
	double		(*l2_f32) (const double *q, const float *x, size_t dim);

	/*
	 * Distances of one query (dim doubles) to n points stored by column:
	 * coordinate j of point i is cols[j * stride + i].  Writes n doubles to
	 * dist and nothing beyond; reads nothing beyond point n - 1.
	 */
	void		(*l2_columns_f64) (const double *q, const double *cols,
								   size_t stride, size_t n, size_t dim,
								   double *dist);
	void		(*l2_columns_f32) (const double *q, const float *cols,
								   size_t stride, size_t n, size_t dim,
								   double *dist);

	/* position of the first smallest of n >= 1 keys, none of them NaN */
	size_t		(*argmin_f64) (const double *keys, size_t n);
} CtKernelTable;

extern const CtKernelTable ct_kernel_scalar;
extern const CtKernelTable ct_kernel_avx2;
extern const CtKernelTable ct_kernel_avx512;

/* the best level that processor and operating system support */
extern CtKernelLevel ct_kernel_supported(void);

/* the table of a level, or NULL where this machine cannot run it */
extern const CtKernelTable *ct_kernel_table(CtKernelLevel level);

/* slow, range-safe forms of the canonical distance (see above) */
extern double ct_l2_rescaled_f64(const double *q, size_t qstride,
								 const double *x, size_t xstride, size_t dim);
extern double ct_l2_rescaled_f32(const double *q, size_t qstride,
								 const float *x, size_t xstride, size_t dim);

#endif							/* CT_KERNEL_H */

/*-------------------------------------------------------------------------
 *
 * ct_kernel_scalar.c
 *	  The distance kernels in plain C: the meaning of every other table.
 *
 * Must be compiled with -ffp-contract=off where the processor's base
 * instruction set has FMA; test/unit/test_kernels.c notices if it was not.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_scalar.c
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>

#include "ct_kernel.h"
#include "ct_kernel_private.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* A vector against the query, both with strides in elements. */
typedef struct CtOperands
{
	const double *q;
	size_t		qstride;
	const void *x;
	size_t		xstride;
	size_t		element_size;	/* of x */
	size_t		dim;
} CtOperands;

CT_INLINE double
difference(const CtOperands *v, size_t j)
{
	return load_element(v->x, j * v->xstride, v->element_size) -
		load_f64(v->q + j * v->qstride);
}

CT_INLINE double
square(const CtOperands *v, size_t j)
{
	double		diff = difference(v, j);

	return diff * diff;
}

/* add up the partial sums, in halves */
CT_INLINE double
sum_of_lanes(double *lanes)
{
	for (int half = CT_SUM_LANES / 2; half > 0; half /= 2)
	{
		for (int k = 0; k < half; k++)
			lanes[k] += lanes[k + half];
	}
	return lanes[0];
}

/* the canonical sum, not yet checked against its limits */
CT_INLINE double
sum_of_many_squares(const CtOperands *v)
{
	double		lanes[CT_SUM_LANES] = {0};
	size_t		j = 0;

	for (; v->dim - j >= CT_SUM_LANES; j += CT_SUM_LANES)
	{
		for (int k = 0; k < CT_SUM_LANES; k++)
			lanes[k] += square(v, j + k);
	}
	for (int k = 0; j < v->dim; j++, k++)
		lanes[k] += square(v, j);
	return sum_of_lanes(lanes);
}

/* the same; in few dimensions without the sums that stay zero */
CT_INLINE double
sum_of_squares(const CtOperands *v)
{
	switch (v->dim)
	{
		case 1:
			return square(v, 0);
		case 2:
			return square(v, 0) + square(v, 1);
		case 3:
			return (square(v, 0) + square(v, 2)) + square(v, 1);
		case 4:
			return (square(v, 0) + square(v, 2)) +
				(square(v, 1) + square(v, 3));
	}
	return sum_of_many_squares(v);
}

/*
 * The canonical distance where squares leave the range of double.  The
 * differences are brought to less than 1 by a power of two, so that the
 * largest square is at least 1/4; what underflows then is too small to
 * matter.  The only rounding beyond that of the usual way is at the end, if
 * the distance itself is subnormal; if it is too large it is infinite.
 *
 * A difference that overflows makes the distance infinite, and not by
 * accident: the distance is no less than its largest difference.
 *
 * An operand that is not finite gives NaN or infinity.
 */
static double
rescaled_distance(const CtOperands *v)
{
	double		lanes[CT_SUM_LANES] = {0};
	double		largest = 0;
	double		scale1,
				scale2;
	int			exponent;

	for (size_t j = 0; j < v->dim; j++)
	{
		double		diff = fabs(difference(v, j));

		if (isnan(diff))
			return diff;
		if (diff > largest)
			largest = diff;
	}
	if (largest == 0 || isinf(largest))
		return largest;

	/* 2^-exponent may be out of range, hence two steps */
	frexp(largest, &exponent);
	scale1 = ldexp(1.0, -(exponent / 2));
	scale2 = ldexp(1.0, -(exponent - exponent / 2));

	for (size_t j = 0; j < v->dim; j++)
	{
		double		diff = difference(v, j) * scale1 * scale2;

		lanes[j % CT_SUM_LANES] += diff * diff;
	}
	return ldexp(sqrt(sum_of_lanes(lanes)), exponent);
}

CT_INLINE double
canonical_distance(const CtOperands *v)
{
	double		sum = sum_of_squares(v);

	if (sum >= CT_SUM_MIN && sum <= CT_SUM_MAX)
		return sqrt(sum);
	return rescaled_distance(v);
}

double
ct_l2_rescaled_f64(const double *q, size_t qstride,
				   const double *x, size_t xstride, size_t dim)
{
	CtOperands	v = {q, qstride, x, xstride, sizeof(double), dim};

	return rescaled_distance(&v);
}

double
ct_l2_rescaled_f32(const double *q, size_t qstride,
				   const float *x, size_t xstride, size_t dim)
{
	CtOperands	v = {q, qstride, x, xstride, sizeof(float), dim};

	return rescaled_distance(&v);
}

double
ct_l2_plain_f64(const double *q, const double *x, size_t dim)
{
	CtOperands	v = {q, 1, x, 1, sizeof(double), dim};

	return canonical_distance(&v);
}

double
ct_l2_plain_f32(const double *q, const float *x, size_t dim)
{
	CtOperands	v = {q, 1, x, 1, sizeof(float), dim};

	return canonical_distance(&v);
}

static void
l2_columns_f64_scalar(const double *q, const double *cols, size_t stride,
					  size_t n, size_t dim, double *dist)
{
	for (size_t i = 0; i < n; i++)
	{
		CtOperands	v = {q, 1, cols + i, stride, sizeof(double), dim};

		store_f64(dist + i, canonical_distance(&v));
	}
}

static void
l2_columns_f32_scalar(const double *q, const float *cols, size_t stride,
					  size_t n, size_t dim, double *dist)
{
	for (size_t i = 0; i < n; i++)
	{
		CtOperands	v = {q, 1, cols + i, stride, sizeof(float), dim};

		store_f64(dist + i, canonical_distance(&v));
	}
}

CT_INLINE bool
squares_columns(const double *q, const void *cols, size_t element_size,
				size_t stride, size_t n, size_t dim, double *sums)
{
	bool		trusted = true;

	for (size_t i = 0; i < n; i++)
	{
		const char *x = (const char *) cols + i * element_size;
		CtOperands	v = {q, 1, x, stride, element_size, dim};
		double		sum = sum_of_squares(&v);

		store_f64(sums + i, sum);
		trusted &= sum >= CT_SUM_MIN && sum <= CT_SUM_MAX;
	}
	return trusted;
}

static bool
squares_columns_f64_scalar(const double *q, const double *cols, size_t stride,
						   size_t n, size_t dim, double *sums)
{
	return squares_columns(q, cols, sizeof(double), stride, n, dim, sums);
}

static bool
squares_columns_f32_scalar(const double *q, const float *cols, size_t stride,
						   size_t n, size_t dim, double *sums)
{
	return squares_columns(q, cols, sizeof(float), stride, n, dim, sums);
}

void
ct_l2_columns_repair(const double *q, const void *cols, size_t element_size,
					 size_t stride, size_t n, size_t dim, double *dist)
{
	for (size_t i = 0; i < n; i++)
	{
		double		root = load_f64(dist + i);

		if (!(root >= CT_ROOT_MIN && root < CT_ROOT_LIMIT))
		{
			CtOperands	v = {
				q, 1, (const char *) cols + i * element_size, stride,
				element_size, dim
			};

			store_f64(dist + i, canonical_distance(&v));
		}
	}
}

static size_t
argmin_f64_scalar(const double *keys, size_t n)
{
	double		smallest = load_f64(keys);
	size_t		position = 0;

	for (size_t i = 1; i < n; i++)
	{
		double		key = load_f64(keys + i);

		if (key < smallest)
		{
			smallest = key;
			position = i;
		}
	}
	return position;
}

/* -------- covariances and features -------- */

/* vectors of one double */
#define CT_TARGET
#define VECTOR_LANES		1
#define DOTS_TILE			1
#define DOTS_ROWS			1
#define TILE_ROWS			4
#define TILE_VECTORS		2
#define UPDATE_VECTORS		1

typedef double Vector;
typedef int Mask;				/* always full */

CT_INLINE Vector
vector_zero(void)
{
	return 0.0;
}

CT_INLINE Vector
vector_set(double value)
{
	return value;
}

CT_INLINE Vector
vector_add(Vector a, Vector b)
{
	return a + b;
}

CT_INLINE Vector
vector_sub(Vector a, Vector b)
{
	return a - b;
}

CT_INLINE Vector
vector_mul(Vector a, Vector b)
{
	return a * b;
}

CT_INLINE Vector
vector_div(Vector a, Vector b)
{
	return a / b;
}

CT_INLINE Vector
vector_sqrt(Vector v)
{
	return sqrt(v);
}

CT_INLINE Vector
vector_max(Vector a, Vector b)
{
	return a > b ? a : b;
}

CT_INLINE Vector
vector_min(Vector a, Vector b)
{
	return a < b ? a : b;
}

/* 2^(k + 128) of a sum of WHOLE_SHIFTER and k */
CT_INLINE Vector
vector_power(Vector shifted)
{
	uint64_t	bits;
	double		power;

	memcpy(&bits, &shifted, sizeof(bits));
	bits = (bits << 52) + ((UINT64_C(1023) + 128) << 52);
	memcpy(&power, &bits, sizeof(power));
	return power;
}

CT_INLINE double
vector_halves(Vector sum)
{
	return sum;
}

CT_INLINE Vector
vector_load(const void *p, size_t element_size)
{
	return load_element(p, 0, element_size);
}

CT_INLINE void
vector_store(double *p, Vector v)
{
	store_f64(p, v);
}

CT_INLINE void
vector_store_floats(float *p, Vector v)
{
	*p = (float) v;
}

/* integers, in 16 bits each */
CT_INLINE void
vector_store_words(int16_t *p, Vector v)
{
	*p = (int16_t) v;
}

CT_INLINE Mask
mask_of(size_t count)
{
	return (int) count;
}

CT_INLINE Vector
vector_load_some(const void *p, Mask mask, size_t element_size)
{
	(void) mask;
	return vector_load(p, element_size);
}

#include "ct_kernel_features.h"
#include "ct_kernel_boxes.h"

CT_INLINE unsigned int
vector_at_most(Vector a, Vector b)
{
	return a <= b;
}

CT_INLINE unsigned int
vector_above(Vector a, Vector b)
{
	return a > b;
}

CT_INLINE Vector
vector_least_above(Vector a, Vector b, Vector limit)
{
	return b > limit && b < a ? b : a;
}

CT_INLINE double
vector_smallest(Vector v)
{
	return v;
}

CT_INLINE void
store_positions(uint16_t *positions, size_t i, unsigned int bits)
{
	for (; bits != 0; bits &= bits - 1)
		*positions++ = (uint16_t) (i + __builtin_ctz(bits));
}

typedef uint32_t Counts;

CT_INLINE Counts
counts_zero(void)
{
	return 0;
}

CT_INLINE Counts
counts_at_most(Counts counts, Vector a, Vector b)
{
	return counts + (a <= b);
}

CT_INLINE Counts
counts_less(Counts counts, Vector a, Vector b)
{
	return counts + (a < b);
}

CT_INLINE Counts
counts_equal_after(Counts counts, Vector a, Vector b, size_t lane)
{
	(void) a;
	(void) b;
	(void) lane;				/* there is one */
	return counts;
}

CT_INLINE void
counts_store(uint32_t *to, Counts counts)
{
	*to = counts;
}

#include "ct_kernel_choose.h"
#include "ct_kernel_select.h"

#define SHARE_LANES		1
typedef float ShareVector;

CT_INLINE ShareVector
share_vector(const int8_t *shares)
{
	return *shares;
}

#include "ct_kernel_shares.h"

#include "ct_kernel_quantize.h"

static void
code_sums(const int16_t *query, const uint8_t *codes, size_t stride,
		  size_t n, size_t npairs, int32_t *sums)
{
	for (size_t i = 0; i < n; i++)
		sums[i] = 0;
	for (size_t p = 0; p < npairs; p++)
		for (size_t i = 0; i < n; i++)
		{
			int32_t		a = codes[2 * (p * stride + i)] - query[2 * p];
			int32_t		b = codes[2 * (p * stride + i) + 1] - query[2 * p + 1];

			sums[i] += a * a + b * b;
		}
}

#define BLOCK_TARGET
#define BLOCK_LANES		1
#define BLOCK_VECTORS	2
typedef float BlockVector;
#define block_set(x)			(x)
#define block_load(p)			(*(p))
#define block_store(p, v)		(*(p) = (v))
#define block_fma(a, b, c)		((a) * (b) + (c))
#define block_add(a, b)			((a) + (b))
#define block_sub(a, b)			((a) - (b))
#define block_mul(a, b)			((a) * (b))
#define block_min(a, b)			((a) < (b) ? (a) : (b))
#define block_max(a, b)			((a) > (b) ? (a) : (b))
#define block_sqrt(v)			sqrtf(v)
#define block_abs(v)			fabsf(v)
#define block_reaches(a, b)		((unsigned int) ((a) >= (b)))
#define PRODUCT_LANES	1
#define PRODUCT_ROWS	2
#define PRODUCT_TALL	2
#define PRODUCT_PACKS	1
#define PRODUCT_VECTORS	8
typedef double ProductVector;
#define product_set(x)			(x)
#define product_load(p)			(*(p))
#define product_store(p, v)		(*(p) = (v))
#define product_sub(a, b)		((a) - (b))
#define product_mul(a, b)		((a) * (b))
#define product_min(a, b)		((a) < (b) ? (a) : (b))
#define product_max(a, b)		((a) > (b) ? (a) : (b))
#define product_root(v)			sqrt(v)
#define product_fma(a, b, c)	((a) * (b) + (c))

#define CORRELATION_ROWS	2

#include "ct_kernel_block.h"
#include "ct_kernel_correlations.h"

#define KNOT_VECTORS	4
#define KNOT_TILE		2

#include "ct_kernel_knots.h"

#define lanes_add(a, b)			((a) + (b))
#define lanes_sub(a, b)			((a) - (b))
#define lanes_mul(a, b)			((a) * (b))
#define lanes_store_words(p, w)	(*(p) = (w))
#define lanes_store_rounded(p, v) (*(p) = words_rounded(v))

/* as the instruction has it: numbers beyond a word become its least one */
CT_INLINE int32_t
words_rounded(float v)
{
	return fabsf(v) < 0x1p31f ? (int32_t) v : INT32_MIN;
}

/* as the instruction has it: the second where one is NaN */
CT_INLINE float
lanes_max(float a, float b)
{
	return a > b ? a : b;
}

CT_INLINE uint32_t
lanes_quad(float a, float b, float c, float d)
{
	float		lanes[4] = {a, b, c, d};
	uint32_t	words[4];

	memcpy(words, lanes, sizeof(words));
	return (words[0] & 255) | (words[1] & 255) << 8 | (words[2] & 255) << 16 |
		words[3] << 24;
}

#define REACH_TARGET
#define REACH_ROWS		1
#define REACH_QUERIES	1
#define REACH_MANY		1
typedef const uint8_t *ReachRows;
typedef struct ReachSums
{
	int32_t		s[CT_CODE_LANES];
} ReachSums;
#define reach_load(p)			(p)

CT_INLINE ReachSums
reach_zero(void)
{
	ReachSums	sums = {{0}};

	return sums;
}

CT_INLINE ReachSums
reach_add(ReachSums sums, ReachRows rows, uint32_t query)
{
	for (int i = 0; i < CT_CODE_LANES; i++)
		for (int c = 0; c < 4; c++)
			sums.s[i] += rows[4 * i + c] * (int8_t) (query >> 8 * c);
	return sums;
}

CT_INLINE uint16_t
reach_finish(ReachSums sums, const float *squares, float factor, float least,
			 int32_t *products)
{
	unsigned int mask = 0;

	for (int i = 0; i < CT_CODE_LANES; i++)
	{
		products[i] = sums.s[i];
		mask |= (unsigned int) ((float) sums.s[i] >=
								squares[i] * factor + least) << i;
	}
	return (uint16_t) mask;
}

#include "ct_kernel_reach.h"

const CtKernelTable ct_kernel_scalar = {
	.level = CT_KERNEL_SCALAR,
	.name = "scalar",
	.l2_f64 = ct_l2_plain_f64,
	.l2_f32 = ct_l2_plain_f32,
	.l2_columns_f64 = l2_columns_f64_scalar,
	.l2_columns_f32 = l2_columns_f32_scalar,
	.squares_columns_f64 = squares_columns_f64_scalar,
	.squares_columns_f32 = squares_columns_f32_scalar,
	.box_distances = box_distances,
	.box_squares = box_squares,
	.share_products = share_products,
	.code_sums = code_sums,
	.quantize = quantize,
	.grouped_product = grouped_product,
	.block_products = block_products,
	.block_correlations = block_correlations,
	.block_shares = block_shares,
	.block_weigh = block_weigh,
	.block_survivors = block_survivors,
	.block_offer = block_offer,
	.block_boxes = block_boxes,
	.block_codes = block_codes,
	.largest_products = largest_products,
	.block_reach = block_reach,
	.argmin_f64 = argmin_f64_scalar,
	.count_f64 = count_f64,
	.choose_f64 = choose_f64,
	.keep_at_most = keep_at_most,
	.ranks_f64 = ranks_f64,
	.dot_f64 = dot_f64,
	.dots_f64 = dots_f64,
	.dot_table_f64 = dot_table_f64,
	.combine_f64 = combine_f64,
	.covariances = covariances,
	.substitute = substitute,
	.substitute_batch = substitute_batch,
	.factor_update = factor_update
};

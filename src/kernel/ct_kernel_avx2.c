/*-------------------------------------------------------------------------
 *
 * ct_kernel_avx2.c
 *	  The distance kernels with AVX2, four doubles in a vector.
 *
 * FMA is not among the targets: it would give other bits.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_avx2.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_kernel.h"
#include "ct_kernel_private.h"

#ifdef __x86_64__

#include <immintrin.h>

#define CT_TARGET			__attribute__((target("avx2")))
#define VECTOR_LANES		4
#define DOTS_TILE			2
#define DOTS_ROWS			1
#define TILE_ROWS			4
#define TILE_VECTORS		2
#define UPDATE_VECTORS		1

typedef __m256d Vector;
typedef __m256d Flags;			/* sign bit set: not to be trusted */

typedef struct Mask
{
	__m256i		for_f64;
	__m128i		for_f32;
} Mask;

CT_INLINE CT_TARGET Vector
vector_zero(void)
{
	return _mm256_setzero_pd();
}

CT_INLINE CT_TARGET Vector
vector_set(double value)
{
	return _mm256_set1_pd(value);
}

CT_INLINE CT_TARGET Vector
vector_add(Vector a, Vector b)
{
	return _mm256_add_pd(a, b);
}

CT_INLINE CT_TARGET Vector
vector_sub(Vector a, Vector b)
{
	return _mm256_sub_pd(a, b);
}

CT_INLINE CT_TARGET Vector
vector_mul(Vector a, Vector b)
{
	Vector		product = _mm256_mul_pd(a, b);

	/* no instruction, but no compiler contracts across it */
	__asm__("" : "+x"(product));
	return product;
}

CT_INLINE CT_TARGET Vector
vector_div(Vector a, Vector b)
{
	return _mm256_div_pd(a, b);
}

/* a > b ? a : b */
CT_INLINE CT_TARGET Vector
vector_max(Vector a, Vector b)
{
	return _mm256_max_pd(a, b);
}

/* a < b ? a : b */
CT_INLINE CT_TARGET Vector
vector_min(Vector a, Vector b)
{
	return _mm256_min_pd(a, b);
}

CT_INLINE CT_TARGET Vector
vector_sqrt(Vector v)
{
	return _mm256_sqrt_pd(v);
}

CT_INLINE CT_TARGET Vector
vector_square(Vector a, Vector b)
{
	Vector		diff = vector_sub(a, b);

	return vector_mul(diff, diff);
}

/* 2^(k + 128) of a sum of WHOLE_SHIFTER and k */
CT_INLINE CT_TARGET Vector
vector_power(Vector shifted)
{
	__m256i		bits = _mm256_slli_epi64(_mm256_castpd_si256(shifted), 52);

	bits = _mm256_add_epi64(bits, _mm256_set1_epi64x((1023LL + 128) << 52));
	return _mm256_castsi256_pd(bits);
}

CT_INLINE CT_TARGET double
vector_halves(Vector sum)
{
	__m128d		pair = _mm_add_pd(_mm256_castpd256_pd128(sum),
								  _mm256_extractf128_pd(sum, 1));

	return _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)));
}

CT_INLINE CT_TARGET Vector
vector_load(const void *p, size_t element_size)
{
	if (element_size == sizeof(float))
		return _mm256_cvtps_pd(_mm_loadu_ps((const float *) p));
	return _mm256_loadu_pd((const double *) p);
}

CT_INLINE CT_TARGET void
vector_store(double *p, Vector v)
{
	_mm256_storeu_pd(p, v);
}

CT_INLINE CT_TARGET void
vector_store_floats(float *p, Vector v)
{
	_mm_storeu_ps(p, _mm256_cvtpd_ps(v));
}

/* integers, in 16 bits each */
CT_INLINE CT_TARGET void
vector_store_words(int16_t *p, Vector v)
{
	__m128i		integers = _mm256_cvtpd_epi32(v);

	_mm_storel_epi64((__m128i *) p, _mm_packs_epi32(integers, integers));
}

CT_INLINE CT_TARGET Mask
mask_of(size_t count)
{
	static const int32_t lanes[2 * VECTOR_LANES] = {-1, -1, -1, -1};
	Mask		mask;

	mask.for_f32 = _mm_loadu_si128((const __m128i *)
								   (lanes + VECTOR_LANES - count));
	mask.for_f64 = _mm256_cvtepi32_epi64(mask.for_f32);
	return mask;
}

CT_INLINE CT_TARGET Vector
vector_load_some(const void *p, Mask mask, size_t element_size)
{
	if (element_size == sizeof(float))
		return _mm256_cvtps_pd(_mm_maskload_ps((const float *) p,
											   mask.for_f32));
	return _mm256_maskload_pd((const double *) p, mask.for_f64);
}

/* masked stores are very slow on some processors */
CT_INLINE CT_TARGET void
vector_store_some(double *p, Vector v, Mask mask, size_t count)
{
	__m128d		pair = _mm256_castpd256_pd128(v);

	(void) mask;
	if (count & 2)
	{
		_mm_storeu_pd(p, pair);
		pair = _mm256_extractf128_pd(v, 1);
		p += 2;
	}
	if (count & 1)
		store_f64(p, _mm_cvtsd_f64(pair));
}

CT_INLINE CT_TARGET Flags
flags_none(void)
{
	return _mm256_setzero_pd();
}

CT_INLINE CT_TARGET Flags
flags_add(Flags flags, Vector v, CtTrusted trusted)
{
	Vector		low = _mm256_cmp_pd(v, _mm256_set1_pd(trusted.least),
									_CMP_NGE_UQ);
	Vector		high = _mm256_cmp_pd(v, _mm256_set1_pd(trusted.limit),
									 _CMP_NLT_UQ);

	return _mm256_or_pd(flags, _mm256_or_pd(low, high));
}

CT_INLINE CT_TARGET Flags
flags_add_some(Flags flags, Vector v, CtTrusted trusted, Mask mask)
{
	Flags		all = flags_add(flags_none(), v, trusted);

	return _mm256_or_pd(flags,
						_mm256_and_pd(all,
									  _mm256_castsi256_pd(mask.for_f64)));
}

CT_INLINE CT_TARGET bool
flags_any(Flags flags)
{
	return _mm256_movemask_pd(flags) != 0;
}

CT_INLINE CT_TARGET unsigned int
vector_at_most(Vector a, Vector b)
{
	return _mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_LE_OQ));
}

CT_INLINE CT_TARGET unsigned int
vector_above(Vector a, Vector b)
{
	return _mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_GT_OQ));
}

CT_INLINE CT_TARGET Vector
vector_least_above(Vector a, Vector b, Vector limit)
{
	return _mm256_min_pd(a, _mm256_blendv_pd(_mm256_set1_pd(INFINITY), b,
											 _mm256_cmp_pd(b, limit, _CMP_GT_OQ)));
}

CT_INLINE CT_TARGET double
vector_smallest(Vector v)
{
	__m128d		pair = _mm_min_pd(_mm256_castpd256_pd128(v),
								  _mm256_extractf128_pd(v, 1));

	return _mm_cvtsd_f64(_mm_min_sd(pair, _mm_unpackhi_pd(pair, pair)));
}

CT_INLINE CT_TARGET void
store_positions(uint16_t *positions, size_t i, unsigned int bits)
{
	for (; bits != 0; bits &= bits - 1)
		*positions++ = (uint16_t) (i + __builtin_ctz(bits));
}

typedef __m256i Counts;

CT_INLINE CT_TARGET Counts
counts_zero(void)
{
	return _mm256_setzero_si256();
}

/* lanes that are compared true are -1 */
CT_INLINE CT_TARGET Counts
counts_at_most(Counts counts, Vector a, Vector b)
{
	return _mm256_sub_epi64(counts,
							_mm256_castpd_si256(_mm256_cmp_pd(a, b, _CMP_LE_OQ)));
}

CT_INLINE CT_TARGET Counts
counts_less(Counts counts, Vector a, Vector b)
{
	return _mm256_sub_epi64(counts,
							_mm256_castpd_si256(_mm256_cmp_pd(a, b, _CMP_LT_OQ)));
}

CT_INLINE CT_TARGET Counts
counts_equal_after(Counts counts, Vector a, Vector b, size_t lane)
{
	__m256i		equal = _mm256_castpd_si256(_mm256_cmp_pd(a, b, _CMP_EQ_OQ));

	return _mm256_sub_epi64(counts,
							_mm256_andnot_si256(mask_of(lane + 1).for_f64,
												equal));
}

CT_INLINE CT_TARGET void
counts_store(uint32_t *to, Counts counts)
{
	__m256i		halves = _mm256_permutevar8x32_epi32(counts,
													 _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));

	_mm_storeu_si128((__m128i *) to, _mm256_castsi256_si128(halves));
}

#include "ct_kernel_columns.h"
#include "ct_kernel_choose.h"
#include "ct_kernel_features.h"
#include "ct_kernel_boxes.h"
#include "ct_kernel_select.h"

#define SHARE_LANES		8
typedef __m256 ShareVector;

CT_INLINE CT_TARGET ShareVector
share_vector(const int8_t *shares)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *) shares)));
}

#include "ct_kernel_shares.h"

/* no other function of this file may know of FMA */
#define BLOCK_TARGET	__attribute__((target("avx2,fma")))
#define BLOCK_LANES		8
#define BLOCK_VECTORS	2
typedef __m256 BlockVector;
#define block_set(x)			_mm256_set1_ps(x)
#define block_load(p)			_mm256_loadu_ps(p)
#define block_store(p, v)		_mm256_storeu_ps(p, v)
#define block_fma(a, b, c)		_mm256_fmadd_ps(a, b, c)
#define block_add(a, b)		_mm256_add_ps(a, b)
#define block_sub(a, b)		_mm256_sub_ps(a, b)
#define block_mul(a, b)		_mm256_mul_ps(a, b)
#define block_min(a, b)		_mm256_min_ps(a, b)
#define block_max(a, b)		_mm256_max_ps(a, b)
#define block_sqrt(v)			_mm256_sqrt_ps(v)
#define block_abs(v)			_mm256_andnot_ps(_mm256_set1_ps(-0.0f), v)
#define block_reaches(a, b) \
	((unsigned int) _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)))
#define PRODUCT_LANES	4
#define PRODUCT_ROWS	4
#define PRODUCT_TALL	4
#define PRODUCT_PACKS	1
#define PRODUCT_VECTORS	2
typedef __m256d ProductVector;
#define product_set(x)			_mm256_set1_pd(x)
#define product_load(p)			_mm256_loadu_pd(p)
#define product_store(p, v)		_mm256_storeu_pd(p, v)
#define product_sub(a, b)		_mm256_sub_pd(a, b)
#define product_mul(a, b)		_mm256_mul_pd(a, b)
#define product_min(a, b)		_mm256_min_pd(a, b)
#define product_max(a, b)		_mm256_max_pd(a, b)
#define product_root(v)			_mm256_sqrt_pd(v)
#define product_fma(a, b, c)	_mm256_fmadd_pd(a, b, c)

#define CORRELATION_ROWS	2

#include "ct_kernel_block.h"
#include "ct_kernel_correlations.h"

#define KNOT_VECTORS	2
#define KNOT_TILE		4

#include "ct_kernel_knots.h"

#define lanes_add(a, b)			_mm256_add_ps(a, b)
#define lanes_sub(a, b)			_mm256_sub_ps(a, b)
#define lanes_mul(a, b)			_mm256_mul_ps(a, b)
#define lanes_max(a, b)			_mm256_max_ps(a, b)
#define lanes_store_words(p, w)	_mm256_storeu_si256((__m256i *) (p), w)
#define lanes_store_rounded(p, v) \
	_mm256_storeu_si256((__m256i *) (p), _mm256_cvtps_epi32(v))

CT_INLINE BLOCK_TARGET __m256i
lanes_quad(__m256 a, __m256 b, __m256 c, __m256 d)
{
	__m256i		byte = _mm256_set1_epi32(255);
	__m256i		low = _mm256_and_si256(_mm256_castps_si256(a), byte);
	__m256i		next = _mm256_and_si256(_mm256_castps_si256(b), byte);
	__m256i		third = _mm256_and_si256(_mm256_castps_si256(c), byte);

	low = _mm256_or_si256(low, _mm256_slli_epi32(next, 8));
	third = _mm256_or_si256(_mm256_slli_epi32(third, 16),
							_mm256_slli_epi32(_mm256_castps_si256(d), 24));
	return _mm256_or_si256(low, third);
}

/*
 * Codes are widened to half words, since products of bytes (PMADDUBSW) may be
 * cut off.  So there are two sums for each row, of four rows in a vector.
 */
#define REACH_TARGET	BLOCK_TARGET
#define REACH_ROWS		1
#define REACH_QUERIES	2
#define REACH_MANY		2
#define REACH_VECTORS	4

/* of words, as the products: of other numbers, compilers keep the sums twice */
typedef int32_t ReachWords __attribute__((vector_size(32)));

typedef struct ReachRows
{
	__m256i		v[REACH_VECTORS];
} ReachRows;

typedef struct ReachSums
{
	ReachWords	v[REACH_VECTORS];
} ReachSums;

CT_INLINE REACH_TARGET ReachSums
reach_zero(void)
{
	ReachSums	sums;

	UNROLL
	for (int i = 0; i < REACH_VECTORS; i++)
		sums.v[i] = (ReachWords) _mm256_setzero_si256();
	return sums;
}

CT_INLINE REACH_TARGET ReachRows
reach_load(const uint8_t *codes)
{
	ReachRows	rows;

	UNROLL
	for (int i = 0; i < REACH_VECTORS; i++)
		rows.v[i] = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *) (codes + 16 * i)));
	return rows;
}

CT_INLINE REACH_TARGET ReachSums
reach_add(ReachSums sums, ReachRows rows, uint32_t query)
{
	__m256i		wide = _mm256_cvtepi8_epi16(_mm_set1_epi32((int) query));

	UNROLL
	for (int i = 0; i < REACH_VECTORS; i++)
		sums.v[i] = (ReachWords) _mm256_add_epi32((__m256i) sums.v[i],
												  _mm256_madd_epi16(rows.v[i], wide));
	return sums;
}

CT_INLINE REACH_TARGET uint16_t
reach_finish(ReachSums sums, const float *squares, float factor, float least,
			 int32_t *products)
{
	unsigned int mask = 0;

	UNROLL
	for (int i = 0; i < REACH_VECTORS; i += 2)
	{
		/* halves of rows 0 1 4 5 2 3 6 7 are added, and these put in order */
		__m256i		both = _mm256_permute4x64_epi64(_mm256_hadd_epi32((__m256i) sums.v[i],
																	  (__m256i) sums.v[i + 1]),
													0xD8);
		__m256		needed = _mm256_mul_ps(_mm256_loadu_ps(squares + 4 * i),
										   _mm256_set1_ps(factor));

		needed = _mm256_add_ps(needed, _mm256_set1_ps(least));
		_mm256_storeu_si256((__m256i *) (products + 4 * i), both);
		mask |= (unsigned int) _mm256_movemask_ps(_mm256_cmp_ps(_mm256_cvtepi32_ps(both),
																needed, _CMP_GE_OQ)) << (4 * i);
	}
	return (uint16_t) mask;
}

#include "ct_kernel_reach.h"

/* add the squares of up to four differences, from number j on */
CT_INLINE CT_TARGET Vector
add_squares_some(Vector sum, const double *q, const void *x,
				 size_t element_size, size_t j, size_t dim)
{
	const char *p;
	Mask		mask;

	if (j >= dim)
		return sum;
	p = (const char *) x + j * element_size;
	if (dim - j >= VECTOR_LANES)
		return vector_add(sum,
						  vector_square(vector_load(p, element_size),
										vector_load(q + j, sizeof(double))));
	mask = mask_of(dim - j);
	return vector_add(sum,
					  vector_square(vector_load_some(p, mask, element_size),
									vector_load_some(q + j, mask,
													 sizeof(double))));
}

/* the root of the canonical sum; *trusted tells if the sum was in range */
CT_INLINE CT_TARGET double
root_of_squares(const double *q, const void *x, size_t element_size,
				size_t dim, bool *trusted)
{
	const char *p = x;
	Vector		sum0 = vector_zero();
	Vector		sum4 = vector_zero();
	Vector		sum8 = vector_zero();
	Vector		sum12 = vector_zero();
	__m128d		pair;
	double		sum;
	size_t		j = 0;

#define ADD_SQUARES(sum, first) \
	(sum) = vector_add((sum), \
					   vector_square(vector_load(p + (first) * element_size, \
												 element_size), \
									 vector_load(q + (first), \
												 sizeof(double))))

	for (; dim - j >= CT_SUM_LANES; j += CT_SUM_LANES)
	{
		ADD_SQUARES(sum0, j);
		ADD_SQUARES(sum4, j + 4);
		ADD_SQUARES(sum8, j + 8);
		ADD_SQUARES(sum12, j + 12);
	}

#undef ADD_SQUARES

	sum0 = add_squares_some(sum0, q, x, element_size, j, dim);
	sum4 = add_squares_some(sum4, q, x, element_size, j + 4, dim);
	sum8 = add_squares_some(sum8, q, x, element_size, j + 8, dim);
	sum12 = add_squares_some(sum12, q, x, element_size, j + 12, dim);

	sum0 = vector_add(vector_add(sum0, sum8), vector_add(sum4, sum12));
	sum = vector_halves(sum0);
	pair = _mm_set_sd(sum);
	*trusted = (sum >= CT_SUM_MIN && sum <= CT_SUM_MAX);
	return _mm_cvtsd_f64(_mm_sqrt_sd(pair, pair));
}

static CT_TARGET double
l2_f64_avx2(const double *q, const double *x, size_t dim)
{
	bool		trusted;
	double		root;

	if (dim <= CT_PLAIN_DIMS)
		return ct_l2_plain_f64(q, x, dim);
	root = root_of_squares(q, x, sizeof(double), dim, &trusted);
	return trusted ? root : ct_l2_rescaled_f64(q, 1, x, 1, dim);
}

static CT_TARGET double
l2_f32_avx2(const double *q, const float *x, size_t dim)
{
	bool		trusted;
	double		root;

	if (dim <= CT_PLAIN_DIMS)
		return ct_l2_plain_f32(q, x, dim);
	root = root_of_squares(q, x, sizeof(float), dim, &trusted);
	return trusted ? root : ct_l2_rescaled_f32(q, 1, x, 1, dim);
}

static CT_TARGET void
l2_columns_f64_avx2(const double *q, const double *cols, size_t stride,
					size_t n, size_t dim, double *dist)
{
	l2_columns(q, cols, sizeof(double), stride, n, dim, dist);
}

static CT_TARGET void
l2_columns_f32_avx2(const double *q, const float *cols, size_t stride,
					size_t n, size_t dim, double *dist)
{
	l2_columns(q, cols, sizeof(float), stride, n, dim, dist);
}

static CT_TARGET bool
squares_columns_f64_avx2(const double *q, const double *cols, size_t stride,
						   size_t n, size_t dim, double *sums)
{
	return columns(q, cols, sizeof(double), stride, n, dim, false, sums);
}

static CT_TARGET bool
squares_columns_f32_avx2(const double *q, const float *cols, size_t stride,
						   size_t n, size_t dim, double *sums)
{
	return columns(q, cols, sizeof(float), stride, n, dim, false, sums);
}

/*
 * Two passes over what is in cache by then: the smallest key, and where it is
 * first.  The last vector is taken to end with the last key, so that it may
 * overlap the one before it.
 */
static CT_TARGET size_t
argmin_f64_avx2(const double *keys, size_t n)
{
	Vector		min0,
				min1,
				min2,
				min3;
	size_t		last;
	size_t		i;

	if (n < VECTOR_LANES)
		return ct_kernel_scalar.argmin_f64(keys, n);

	last = n - VECTOR_LANES;
	min0 = min1 = min2 = min3 = _mm256_loadu_pd(keys + last);
	for (i = 0; n - i >= 4 * VECTOR_LANES; i += 4 * VECTOR_LANES)
	{
		min0 = _mm256_min_pd(min0, _mm256_loadu_pd(keys + i));
		min1 = _mm256_min_pd(min1, _mm256_loadu_pd(keys + i + 4));
		min2 = _mm256_min_pd(min2, _mm256_loadu_pd(keys + i + 8));
		min3 = _mm256_min_pd(min3, _mm256_loadu_pd(keys + i + 12));
	}
	for (; i < last; i += VECTOR_LANES)
		min0 = _mm256_min_pd(min0, _mm256_loadu_pd(keys + i));
	min0 = _mm256_min_pd(_mm256_min_pd(min0, min1),
						 _mm256_min_pd(min2, min3));
	min0 = vector_set(vector_smallest(min0));

	for (i = 0;; i += VECTOR_LANES)
	{
		int			equal;

		if (i > last)
			i = last;
		equal = _mm256_movemask_pd(_mm256_cmp_pd(_mm256_loadu_pd(keys + i),
												 min0, _CMP_EQ_OQ));
		if (equal != 0)
			return i + __builtin_ctz(equal);
		if (i == last)
			return 0;			/* a key was NaN, against the rule */
	}
}

#define CODE_ROWS		8
#define CODE_VECTORS	8

typedef __m256i CodeVector;

CT_INLINE CT_TARGET CodeVector
code_zero(void)
{
	return _mm256_setzero_si256();
}

/* squared differences of a pair of codes of each row, and of the query */
CT_INLINE CT_TARGET CodeVector
code_pair(const uint8_t *codes, int32_t query)
{
	__m256i		difference =
		_mm256_sub_epi16(_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *) codes)),
						 _mm256_set1_epi32(query));

	return _mm256_madd_epi16(difference, difference);
}

CT_INLINE CT_TARGET CodeVector
code_add(CodeVector a, CodeVector b)
{
	return _mm256_add_epi32(a, b);
}

CT_INLINE CT_TARGET void
code_store(int32_t *sums, CodeVector vector)
{
	_mm256_storeu_si256((__m256i *) sums, vector);
}

#include "ct_kernel_codes.h"
#include "ct_kernel_quantize.h"

const CtKernelTable ct_kernel_avx2 = {
	.level = CT_KERNEL_AVX2,
	.name = "avx2",
	.l2_f64 = l2_f64_avx2,
	.l2_f32 = l2_f32_avx2,
	.l2_columns_f64 = l2_columns_f64_avx2,
	.l2_columns_f32 = l2_columns_f32_avx2,
	.squares_columns_f64 = squares_columns_f64_avx2,
	.squares_columns_f32 = squares_columns_f32_avx2,
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
	.argmin_f64 = argmin_f64_avx2,
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

#endif							/* __x86_64__ */

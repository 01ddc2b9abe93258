/*-------------------------------------------------------------------------
 *
 * ct_kernel_avx512.c
 *	  The distance kernels with AVX-512 (F, VL, DQ, BW), eight doubles in a
 *	  vector.
 *
 * AVX-512 itself has FMA instructions, so that vector_square() must keep the
 * compiler from using them.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_avx512.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_kernel.h"
#include "ct_kernel_private.h"

#ifdef __x86_64__

#include <immintrin.h>

#define CT_TARGET \
	__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw")))
#define VECTOR_LANES		8
#define DOTS_TILE			4
#define DOTS_ROWS			3
#define TILE_ROWS			8
#define TILE_VECTORS		2
#define UPDATE_VECTORS		2

typedef __m512d Vector;
typedef __mmask8 Mask;
typedef __mmask8 Flags;			/* lanes not to be trusted */

CT_INLINE CT_TARGET Vector
vector_zero(void)
{
	return _mm512_setzero_pd();
}

CT_INLINE CT_TARGET Vector
vector_set(double value)
{
	return _mm512_set1_pd(value);
}

CT_INLINE CT_TARGET Vector
vector_add(Vector a, Vector b)
{
	return _mm512_add_pd(a, b);
}

CT_INLINE CT_TARGET Vector
vector_sub(Vector a, Vector b)
{
	return _mm512_sub_pd(a, b);
}

CT_INLINE CT_TARGET Vector
vector_mul(Vector a, Vector b)
{
	Vector		product = _mm512_mul_pd(a, b);

	/* no instruction, but no compiler contracts across it */
	__asm__("" : "+v"(product));
	return product;
}

CT_INLINE CT_TARGET Vector
vector_div(Vector a, Vector b)
{
	return _mm512_div_pd(a, b);
}

/* a > b ? a : b */
CT_INLINE CT_TARGET Vector
vector_max(Vector a, Vector b)
{
	return _mm512_max_pd(a, b);
}

/* a < b ? a : b */
CT_INLINE CT_TARGET Vector
vector_min(Vector a, Vector b)
{
	return _mm512_min_pd(a, b);
}

CT_INLINE CT_TARGET Vector
vector_sqrt(Vector v)
{
	return _mm512_sqrt_pd(v);
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
	__m512i		bits = _mm512_slli_epi64(_mm512_castpd_si512(shifted), 52);

	bits = _mm512_add_epi64(bits, _mm512_set1_epi64((1023LL + 128) << 52));
	return _mm512_castsi512_pd(bits);
}

CT_INLINE CT_TARGET double
vector_halves(Vector sum)
{
	__m256d		half = _mm256_add_pd(_mm512_castpd512_pd256(sum),
									 _mm512_extractf64x4_pd(sum, 1));
	__m128d		pair = _mm_add_pd(_mm256_castpd256_pd128(half),
								  _mm256_extractf128_pd(half, 1));

	return _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)));
}

CT_INLINE CT_TARGET Vector
vector_load(const void *p, size_t element_size)
{
	if (element_size == sizeof(float))
		return _mm512_cvtps_pd(_mm256_loadu_ps((const float *) p));
	return _mm512_loadu_pd(p);
}

CT_INLINE CT_TARGET void
vector_store(double *p, Vector v)
{
	_mm512_storeu_pd(p, v);
}

CT_INLINE CT_TARGET void
vector_store_floats(float *p, Vector v)
{
	_mm256_storeu_ps(p, _mm512_cvtpd_ps(v));
}

/* integers, in 16 bits each */
CT_INLINE CT_TARGET void
vector_store_words(int16_t *p, Vector v)
{
	_mm_storeu_si128((__m128i *) p,
					 _mm256_cvtepi32_epi16(_mm512_cvtpd_epi32(v)));
}

CT_INLINE CT_TARGET Mask
mask_of(size_t count)
{
	return (Mask) ((1U << count) - 1);
}

CT_INLINE CT_TARGET Vector
vector_load_some(const void *p, Mask mask, size_t element_size)
{
	if (element_size == sizeof(float))
		return _mm512_cvtps_pd(_mm256_maskz_loadu_ps(mask, p));
	return _mm512_maskz_loadu_pd(mask, p);
}

CT_INLINE CT_TARGET void
vector_store_some(double *p, Vector v, Mask mask, size_t count)
{
	(void) count;
	_mm512_mask_storeu_pd(p, mask, v);
}

CT_INLINE CT_TARGET Flags
flags_none(void)
{
	return 0;
}

CT_INLINE CT_TARGET Flags
flags_add(Flags flags, Vector v, CtTrusted trusted)
{
	return flags |
		_mm512_cmp_pd_mask(v, _mm512_set1_pd(trusted.least), _CMP_NGE_UQ) |
		_mm512_cmp_pd_mask(v, _mm512_set1_pd(trusted.limit), _CMP_NLT_UQ);
}

CT_INLINE CT_TARGET Flags
flags_add_some(Flags flags, Vector v, CtTrusted trusted, Mask mask)
{
	return flags | (flags_add(flags_none(), v, trusted) & mask);
}

CT_INLINE CT_TARGET bool
flags_any(Flags flags)
{
	return flags != 0;
}

CT_INLINE CT_TARGET unsigned int
vector_at_most(Vector a, Vector b)
{
	return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ);
}

CT_INLINE CT_TARGET unsigned int
vector_above(Vector a, Vector b)
{
	return _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ);
}

CT_INLINE CT_TARGET Vector
vector_least_above(Vector a, Vector b, Vector limit)
{
	return _mm512_mask_min_pd(a, _mm512_cmp_pd_mask(b, limit, _CMP_GT_OQ), a, b);
}

CT_INLINE CT_TARGET double
vector_smallest(Vector v)
{
	__m256d		half = _mm256_min_pd(_mm512_castpd512_pd256(v),
									 _mm512_extractf64x4_pd(v, 1));
	__m128d		pair = _mm_min_pd(_mm256_castpd256_pd128(half),
								  _mm256_extractf128_pd(half, 1));

	return _mm_cvtsd_f64(_mm_min_sd(pair, _mm_unpackhi_pd(pair, pair)));
}

CT_INLINE CT_TARGET void
store_positions(uint16_t *positions, size_t i, unsigned int bits)
{
	__m256i		all = _mm256_add_epi32(_mm256_set1_epi32((int) i),
									   _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));

	_mm_storeu_si128((__m128i *) positions,
					 _mm256_cvtepi32_epi16(_mm256_maskz_compress_epi32((Mask) bits,
																	   all)));
}

typedef __m512i Counts;

CT_INLINE CT_TARGET Counts
counts_zero(void)
{
	return _mm512_setzero_si512();
}

CT_INLINE CT_TARGET Counts
counts_add(Counts counts, Mask lanes)
{
	return _mm512_mask_add_epi64(counts, lanes, counts, _mm512_set1_epi64(1));
}

/* comparisons are turned round, for only b may come from memory */
CT_INLINE CT_TARGET Counts
counts_at_most(Counts counts, Vector a, Vector b)
{
	return counts_add(counts, _mm512_cmp_pd_mask(b, a, _CMP_GE_OQ));
}

CT_INLINE CT_TARGET Counts
counts_less(Counts counts, Vector a, Vector b)
{
	return counts_add(counts, _mm512_cmp_pd_mask(b, a, _CMP_GT_OQ));
}

CT_INLINE CT_TARGET Counts
counts_equal_after(Counts counts, Vector a, Vector b, size_t lane)
{
	return counts_add(counts, _mm512_cmp_pd_mask(b, a, _CMP_EQ_OQ) &
					  (Mask) (0xFE << lane));
}

CT_INLINE CT_TARGET void
counts_store(uint32_t *to, Counts counts)
{
	_mm256_storeu_si256((__m256i *) to, _mm512_cvtepi64_epi32(counts));
}

#include "ct_kernel_columns.h"
#include "ct_kernel_choose.h"
#include "ct_kernel_features.h"
#include "ct_kernel_boxes.h"
#include "ct_kernel_select.h"

#define SHARE_LANES		16
typedef __m512 ShareVector;

CT_INLINE CT_TARGET ShareVector
share_vector(const int8_t *shares)
{
	return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *) shares)));
}

#include "ct_kernel_shares.h"

#define BLOCK_TARGET	CT_TARGET
#define BLOCK_LANES		16
#define BLOCK_VECTORS	4
typedef __m512 BlockVector;
#define block_set(x)			_mm512_set1_ps(x)
#define block_load(p)			_mm512_loadu_ps(p)
#define block_store(p, v)		_mm512_storeu_ps(p, v)
#define block_fma(a, b, c)		_mm512_fmadd_ps(a, b, c)
#define block_add(a, b)		_mm512_add_ps(a, b)
#define block_sub(a, b)		_mm512_sub_ps(a, b)
#define block_mul(a, b)		_mm512_mul_ps(a, b)
#define block_min(a, b)		_mm512_min_ps(a, b)
#define block_max(a, b)		_mm512_max_ps(a, b)
#define block_sqrt(v)			_mm512_sqrt_ps(v)
#define block_abs(v)			_mm512_abs_ps(v)
#define block_reaches(a, b)		_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ)
#define PRODUCT_LANES	8
#define PRODUCT_ROWS	6
#define PRODUCT_TALL	8
#define PRODUCT_PACKS	4
#define PRODUCT_VECTORS	4
typedef __m512d ProductVector;
#define product_set(x)			_mm512_set1_pd(x)
#define product_load(p)			_mm512_loadu_pd(p)
#define product_store(p, v)		_mm512_storeu_pd(p, v)
#define product_sub(a, b)		_mm512_sub_pd(a, b)
#define product_mul(a, b)		_mm512_mul_pd(a, b)
#define product_min(a, b)		_mm512_min_pd(a, b)
#define product_max(a, b)		_mm512_max_pd(a, b)
#define product_fma(a, b, c)	_mm512_fmadd_pd(a, b, c)

/*
 * The root by two steps of Newton's method from an estimate of 14 bits: one of the
 * divider keeps a port busy for as long as all other operations of a correlation.
 * Zero gives 2^-450, a number that is none gives one that is none.
 */
CT_INLINE BLOCK_TARGET ProductVector
product_root(ProductVector square)
{
	ProductVector half = _mm512_set1_pd(0.5);
	ProductVector root;
	ProductVector inverse;		/* half of it */
	ProductVector rest;

	square = _mm512_max_pd(_mm512_set1_pd(0x1p-900), square);
	inverse = _mm512_rsqrt14_pd(square);
	root = _mm512_mul_pd(square, inverse);
	inverse = _mm512_mul_pd(half, inverse);
	rest = _mm512_fnmadd_pd(root, inverse, half);
	root = _mm512_fmadd_pd(root, rest, root);
	inverse = _mm512_fmadd_pd(inverse, rest, inverse);
	rest = _mm512_fnmadd_pd(root, root, square);
	return _mm512_fmadd_pd(rest, inverse, root);
}

#define CORRELATION_ROWS	4

#include "ct_kernel_block.h"
#include "ct_kernel_correlations.h"

#define KNOT_VECTORS	3
#define KNOT_TILE		8

#include "ct_kernel_knots.h"

#define lanes_add(a, b)			_mm512_add_ps(a, b)
#define lanes_sub(a, b)			_mm512_sub_ps(a, b)
#define lanes_mul(a, b)			_mm512_mul_ps(a, b)
#define lanes_max(a, b)			_mm512_max_ps(a, b)
#define lanes_store_words(p, w)	_mm512_storeu_si512(p, w)
#define lanes_store_rounded(p, v) \
	_mm512_storeu_si512(p, _mm512_cvtps_epi32(v))

CT_INLINE CT_TARGET __m512i
lanes_quad(__m512 a, __m512 b, __m512 c, __m512 d)
{
	__m512i		byte = _mm512_set1_epi32(255);
	__m512i		low = _mm512_and_si512(_mm512_castps_si512(a), byte);
	__m512i		next = _mm512_and_si512(_mm512_castps_si512(b), byte);
	__m512i		third = _mm512_and_si512(_mm512_castps_si512(c), byte);

	low = _mm512_or_si512(low, _mm512_slli_epi32(next, 8));
	third = _mm512_or_si512(_mm512_slli_epi32(third, 16),
							_mm512_slli_epi32(_mm512_castps_si512(d), 24));
	return _mm512_or_si512(low, third);
}

#define REACH_TARGET \
	__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx512vnni")))
#define REACH_ROWS		6
#define REACH_QUERIES	4
#define REACH_MANY		8
typedef __m512i ReachRows;
/* of words, as the products: of other numbers, compilers keep the sums twice */
typedef int32_t ReachSums __attribute__((vector_size(64)));
#define reach_zero()			((ReachSums) _mm512_setzero_si512())
#define reach_load(p)			_mm512_loadu_si512(p)

CT_INLINE REACH_TARGET ReachSums
reach_add(ReachSums sums, ReachRows rows, uint32_t query)
{
	return (ReachSums) _mm512_dpbusd_epi32((__m512i) sums, rows,
										   _mm512_set1_epi32((int) query));
}

CT_INLINE REACH_TARGET uint16_t
reach_finish(ReachSums sums, const float *squares, float factor, float least,
			 int32_t *products)
{
	__m512		needed = _mm512_mul_ps(_mm512_loadu_ps(squares),
									   _mm512_set1_ps(factor));

	needed = _mm512_add_ps(needed, _mm512_set1_ps(least));
	_mm512_storeu_si512(products, (__m512i) sums);
	return _mm512_cmp_ps_mask(_mm512_cvtepi32_ps((__m512i) sums), needed,
							  _CMP_GE_OQ);
}

#include "ct_kernel_reach.h"

/* AVX-512 is older than the instruction that multiplies bytes. */
static void
block_reach_avx512(const CtBlockReach *reach, const uint8_t *codes,
				   const float *squares, size_t n)
{
	if (ct_kernel_has_vnni())
		block_reach(reach, codes, squares, n);
	else
		ct_kernel_avx2.block_reach(reach, codes, squares, n);
}

/* add the squares of up to eight differences, from number j on */
CT_INLINE CT_TARGET Vector
add_squares_some(Vector sum, const double *q, const void *x,
				 size_t element_size, size_t j, size_t dim)
{
	const char *p;
	Mask		mask;

	if (j >= dim)
		return sum;
	p = (const char *) x + j * element_size;
	mask = mask_of(dim - j >= VECTOR_LANES ? VECTOR_LANES : dim - j);
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
	Vector		sum8 = vector_zero();
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
		ADD_SQUARES(sum8, j + 8);
	}

#undef ADD_SQUARES

	sum0 = add_squares_some(sum0, q, x, element_size, j, dim);
	sum8 = add_squares_some(sum8, q, x, element_size, j + 8, dim);

	sum0 = vector_add(sum0, sum8);
	sum = vector_halves(sum0);
	pair = _mm_set_sd(sum);
	*trusted = (sum >= CT_SUM_MIN && sum <= CT_SUM_MAX);
	return _mm_cvtsd_f64(_mm_sqrt_sd(pair, pair));
}

static CT_TARGET double
l2_f64_avx512(const double *q, const double *x, size_t dim)
{
	bool		trusted;
	double		root;

	if (dim <= CT_PLAIN_DIMS)
		return ct_l2_plain_f64(q, x, dim);
	root = root_of_squares(q, x, sizeof(double), dim, &trusted);
	return trusted ? root : ct_l2_rescaled_f64(q, 1, x, 1, dim);
}

static CT_TARGET double
l2_f32_avx512(const double *q, const float *x, size_t dim)
{
	bool		trusted;
	double		root;

	if (dim <= CT_PLAIN_DIMS)
		return ct_l2_plain_f32(q, x, dim);
	root = root_of_squares(q, x, sizeof(float), dim, &trusted);
	return trusted ? root : ct_l2_rescaled_f32(q, 1, x, 1, dim);
}

static CT_TARGET void
l2_columns_f64_avx512(const double *q, const double *cols, size_t stride,
					  size_t n, size_t dim, double *dist)
{
	l2_columns(q, cols, sizeof(double), stride, n, dim, dist);
}

static CT_TARGET void
l2_columns_f32_avx512(const double *q, const float *cols, size_t stride,
					  size_t n, size_t dim, double *dist)
{
	l2_columns(q, cols, sizeof(float), stride, n, dim, dist);
}

static CT_TARGET bool
squares_columns_f64_avx512(const double *q, const double *cols, size_t stride,
						   size_t n, size_t dim, double *sums)
{
	return columns(q, cols, sizeof(double), stride, n, dim, false, sums);
}

static CT_TARGET bool
squares_columns_f32_avx512(const double *q, const float *cols, size_t stride,
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
argmin_f64_avx512(const double *keys, size_t n)
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
	min0 = min1 = min2 = min3 = _mm512_loadu_pd(keys + last);
	for (i = 0; n - i >= 4 * VECTOR_LANES; i += 4 * VECTOR_LANES)
	{
		min0 = _mm512_min_pd(min0, _mm512_loadu_pd(keys + i));
		min1 = _mm512_min_pd(min1, _mm512_loadu_pd(keys + i + 8));
		min2 = _mm512_min_pd(min2, _mm512_loadu_pd(keys + i + 16));
		min3 = _mm512_min_pd(min3, _mm512_loadu_pd(keys + i + 24));
	}
	for (; i < last; i += VECTOR_LANES)
		min0 = _mm512_min_pd(min0, _mm512_loadu_pd(keys + i));
	min0 = _mm512_min_pd(_mm512_min_pd(min0, min1),
						 _mm512_min_pd(min2, min3));
	min0 = vector_set(vector_smallest(min0));

	for (i = 0;; i += VECTOR_LANES)
	{
		unsigned int equal;

		if (i > last)
			i = last;
		equal = _mm512_cmp_pd_mask(_mm512_loadu_pd(keys + i), min0,
								   _CMP_EQ_OQ);
		if (equal != 0)
			return i + __builtin_ctz(equal);
		if (i == last)
			return 0;			/* a key was NaN, against the rule */
	}
}

#define CODE_ROWS		16
#define CODE_VECTORS	4

typedef __m512i CodeVector;

CT_INLINE CT_TARGET CodeVector
code_zero(void)
{
	return _mm512_setzero_si512();
}

/* squared differences of a pair of codes of each row, and of the query */
CT_INLINE CT_TARGET CodeVector
code_pair(const uint8_t *codes, int32_t query)
{
	__m512i		difference =
		_mm512_sub_epi16(_mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *) codes)),
						 _mm512_set1_epi32(query));

	return _mm512_madd_epi16(difference, difference);
}

CT_INLINE CT_TARGET CodeVector
code_add(CodeVector a, CodeVector b)
{
	return _mm512_add_epi32(a, b);
}

CT_INLINE CT_TARGET void
code_store(int32_t *sums, CodeVector vector)
{
	_mm512_storeu_si512(sums, vector);
}

#include "ct_kernel_codes.h"
#include "ct_kernel_quantize.h"

const CtKernelTable ct_kernel_avx512 = {
	.level = CT_KERNEL_AVX512,
	.name = "avx512",
	.l2_f64 = l2_f64_avx512,
	.l2_f32 = l2_f32_avx512,
	.l2_columns_f64 = l2_columns_f64_avx512,
	.l2_columns_f32 = l2_columns_f32_avx512,
	.squares_columns_f64 = squares_columns_f64_avx512,
	.squares_columns_f32 = squares_columns_f32_avx512,
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
	.block_reach = block_reach_avx512,
	.argmin_f64 = argmin_f64_avx512,
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

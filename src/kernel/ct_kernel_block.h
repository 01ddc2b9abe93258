/*-------------------------------------------------------------------------
 *
 * ct_kernel_block.h
 *	  A block of queries at once: their shares in a leaf's basis, and which of
 *	  the leaf's rows these do not rule out.
 *
 * Only bounds come from here, so that products need not be rounded before they
 * are added: unlike all other kernels, these may give other bits on another
 * instruction set.
 *
 * Included once by the file of an instruction set, which defines before that
 *
 *	BLOCK_TARGET	attribute, with FMA where there is such
 *	BLOCK_LANES		floats in a vector, dividing CT_BLOCK
 *	BLOCK_VECTORS	vectors that are in work at a time
 *	BlockVector		such a vector
 *	block_set(), block_load(), block_store()
 *	block_add(), block_sub(), block_mul(), block_min(), block_max()
 *	block_sqrt(), block_abs()
 *	block_fma()		a b + c
 *	block_reaches()	a bit for each lane where a >= b
 *	share_vector()	as many shares as a BlockVector has lanes, widened
 *
 * BLOCK_ROWS x BLOCK_VECTORS sums, and as many vectors as there are columns of
 * these, stay in registers.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_block.h
 *
 *-------------------------------------------------------------------------
 */

#define BLOCK_ROWS		4
/* queries that are in work at a time */
#define BLOCK_STEP		(BLOCK_LANES * BLOCK_VECTORS)
/* those of a list that are in work at a time */
#define BLOCK_QUERIES	4
/* features of packs that stay in the first-level cache */
#define PRODUCT_CHUNK	128

/* Four rows of the triangle from number i on, for BLOCK_STEP queries. */
CT_INLINE BLOCK_TARGET void
block_share_rows(const float *group, size_t i, const float *const *rho,
				 size_t query, float *shares, BlockVector *squares)
{
	BlockVector sums[BLOCK_ROWS][BLOCK_VECTORS];

	UNROLL
	for (int r = 0; r < BLOCK_ROWS; r++)
		UNROLL
		for (int v = 0; v < BLOCK_VECTORS; v++)
			sums[r][v] = block_set(0.0f);
	for (size_t j = 0; j < i + BLOCK_ROWS; j++, group += 4)
	{
		BlockVector column[BLOCK_VECTORS];

		UNROLL
		for (int v = 0; v < BLOCK_VECTORS; v++)
			column[v] = block_load(rho[j] + query + v * BLOCK_LANES);
		UNROLL
		for (int r = 0; r < BLOCK_ROWS; r++)
			UNROLL
			for (int v = 0; v < BLOCK_VECTORS; v++)
				sums[r][v] = block_fma(block_set(group[r]), column[v],
									   sums[r][v]);
	}
	UNROLL
	for (int r = 0; r < BLOCK_ROWS; r++)
		UNROLL
		for (int v = 0; v < BLOCK_VECTORS; v++)
		{
			block_store(shares + (i + r) * CT_BLOCK + query + v * BLOCK_LANES,
						sums[r][v]);
			squares[v] = block_fma(sums[r][v], sums[r][v], squares[v]);
		}
}

static BLOCK_TARGET void
block_shares(const float *triangle, size_t n, const float *const *rho,
			 float *shares, float *squares)
{
	for (size_t query = 0; query < CT_BLOCK; query += BLOCK_STEP)
	{
		BlockVector sums[BLOCK_VECTORS];

		UNROLL
		for (int v = 0; v < BLOCK_VECTORS; v++)
			sums[v] = block_set(0.0f);
		for (size_t i = 0; i < n; i += 4)
			block_share_rows(triangle + CT_GROUPED_AT(i, 0), i, rho, query,
							 shares, sums);
		UNROLL
		for (int v = 0; v < BLOCK_VECTORS; v++)
			block_store(squares + query + v * BLOCK_LANES, sums[v]);
	}
}

static BLOCK_TARGET uint64_t
block_weigh(const CtBlockBasis *basis, CtBlockQueries *queries)
{
	BlockVector one = block_set(1.0f);
	uint64_t	bits = 0;

	for (size_t query = 0; query < CT_BLOCK; query += BLOCK_LANES)
	{
		BlockVector slack = block_load(queries->slack + query);
		BlockVector norm = block_sqrt(block_load(queries->squares + query));
		BlockVector error = block_fma(block_set(basis->share_error), slack,
									  block_set(basis->share_offset));
		BlockVector length = block_fma(norm, block_set(1.0f + basis->norm_error),
									   error);
		BlockVector least = block_sub(block_mul(norm, block_set(1.0f - basis->norm_error)),
									  error);
		BlockVector rest;
		BlockVector lack;
		BlockVector needed;

		least = block_min(block_max(least, block_set(0.0f)), one);
		rest = block_sqrt(block_add(block_sub(one, block_mul(least, least)),
									block_set(basis->square_error)));
		lack = block_fma(block_set(basis->reach_length), length,
						 block_set(basis->reach_offset));
		lack = block_fma(block_set(basis->reach_error), error, lack);
		lack = block_add(slack, lack);
		needed = block_sub(block_load(queries->cuts + query), lack);
		block_store(queries->rests + query, rest);
		block_store(queries->lacks + query, lack);
		block_store(queries->needed + query, needed);
		bits |= (uint64_t) block_reaches(block_fma(rest, block_set(basis->most_rest),
												   length), needed) << query;
	}
	return bits;
}

/*
 * The products of BLOCK_QUERIES queries and as many vectors of rows, a constant
 * here.  Returns a bit for each query that some row reaches.
 */
CT_INLINE BLOCK_TARGET unsigned int
block_tile(const CtBlockQueries *queries, const uint8_t *list, size_t nbasis,
		   const float (*wide)[CT_BLOCK_WIDE], const float *rests, int vectors,
		   float *estimates)
{
	BlockVector sums[BLOCK_QUERIES][BLOCK_VECTORS];
	const float *shares[BLOCK_QUERIES];
	unsigned int bits = 0;

	UNROLL
	for (int q = 0; q < BLOCK_QUERIES; q++)
	{
		shares[q] = queries->shares + list[q];
		UNROLL
		for (int v = 0; v < vectors; v++)
			sums[q][v] = block_set(0.0f);
	}
	for (size_t j = 0; j < nbasis; j++)
	{
		BlockVector column[BLOCK_VECTORS];

		UNROLL
		for (int v = 0; v < vectors; v++)
			column[v] = block_load(wide[j] + v * BLOCK_LANES);
		UNROLL
		for (int q = 0; q < BLOCK_QUERIES; q++)
			UNROLL
			for (int v = 0; v < vectors; v++)
				sums[q][v] = block_fma(block_set(shares[q][j * CT_BLOCK]),
									   column[v], sums[q][v]);
	}
	UNROLL
	for (int q = 0; q < BLOCK_QUERIES; q++)
	{
		BlockVector rest = block_set(queries->rests[list[q]]);
		BlockVector needed = block_set(queries->needed[list[q]]);
		unsigned int some = 0;

		UNROLL
		for (int v = 0; v < vectors; v++)
		{
			BlockVector estimate = block_abs(sums[q][v]);

			block_store(estimates + q * CT_BLOCK_WIDE + v * BLOCK_LANES,
						estimate);
			some |= block_reaches(block_fma(block_load(rests + v * BLOCK_LANES),
											rest, estimate), needed);
		}
		bits |= (unsigned int) (some != 0) << q;
	}
	return bits;
}

/* The same for n rows, or BLOCK_VECTORS full of them if that is less. */
CT_INLINE BLOCK_TARGET unsigned int
block_some_rows(const CtBlockQueries *queries, const uint8_t *list,
				size_t nbasis, const float (*wide)[CT_BLOCK_WIDE], size_t n,
				const float *rests, float *estimates)
{
	if (n <= BLOCK_LANES)
		return block_tile(queries, list, nbasis, wide, rests, 1, estimates);
#if BLOCK_VECTORS > 2
	if (n <= 2 * BLOCK_LANES)
		return block_tile(queries, list, nbasis, wide, rests, 2, estimates);
	if (n <= 3 * BLOCK_LANES)
		return block_tile(queries, list, nbasis, wide, rests, 3, estimates);
#endif
	return block_tile(queries, list, nbasis, wide, rests, BLOCK_VECTORS,
					  estimates);
}

/* The shares of n rows as numbers; zeroes behind, up to whole vectors. */
CT_INLINE BLOCK_TARGET void
block_widen(const int8_t *shares, size_t stride, const float *scales,
			size_t n, size_t nbasis, float (*wide)[CT_BLOCK_WIDE])
{
	for (size_t i = 0; i < n; i += BLOCK_LANES)
		for (size_t j = 0; j < nbasis; j++)
		{
			const int8_t *column = shares + j * stride + i;
			int8_t		last[BLOCK_LANES];

			if (n - i < BLOCK_LANES)
			{
				memset(last, 0, sizeof(last));
				memcpy(last, column, n - i);
				column = last;
			}
			block_store(wide[j] + i, block_mul(block_set(scales[j]),
											   share_vector(column)));
		}
}

static BLOCK_TARGET uint64_t
block_survivors(const CtBlockQueries *queries, uint8_t *list, size_t nlist,
				const int8_t *shares, size_t stride, const float *scales,
				size_t n, size_t nbasis, const float *rests, float *estimates)
{
	/* on cache lines: a vector across two of them is loaded twice */
	float		wide[CT_BLOCK_BASIS][CT_BLOCK_WIDE] __attribute__((aligned(64)));
	uint64_t	bits = 0;

	if (nlist == 0)
		return 0;
	for (size_t q = nlist; q % BLOCK_QUERIES != 0; q++)
		list[q] = list[nlist - 1];
	block_widen(shares, stride, scales, n, nbasis, wide);
	for (size_t q = 0; q < nlist; q += BLOCK_QUERIES)
		for (size_t i = 0; i < n; i += BLOCK_LANES * BLOCK_VECTORS)
			bits |= (uint64_t)
				block_some_rows(queries, list + q, nbasis,
								(const float (*)[CT_BLOCK_WIDE]) &wide[0][i],
								n - i, rests + i,
								estimates + q * CT_BLOCK_WIDE + i) << q;
	return nlist < CT_BLOCK ? bits & ((UINT64_C(1) << nlist) - 1) : bits;
}

/* Writes the lanes of bits, and counts them. */
CT_INLINE BLOCK_TARGET size_t
block_keep(unsigned int bits, BlockVector estimate, BlockVector reach,
		   uint32_t row, double *most, CtCandidate *items)
{
#if BLOCK_LANES == 16
	__m512i		lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
										  12, 13, 14, 15);
	__m512i		rows = _mm512_add_epi32(lanes, _mm512_set1_epi32((int) row));
	__m512i		low;

	reach = _mm512_maskz_compress_ps(bits, _mm512_sub_ps(_mm512_setzero_ps(),
														 reach));
	low = _mm512_maskz_compress_epi32(bits, _mm512_castps_si512(estimate));
	rows = _mm512_maskz_compress_epi32(bits, rows);
	_mm512_storeu_pd(most, _mm512_cvtps_pd(_mm512_castps512_ps256(reach)));
	_mm512_storeu_pd(most + 8,
					 _mm512_cvtps_pd(_mm512_extractf32x8_ps(reach, 1)));
	_mm512_storeu_si512(items,
						_mm512_or_si512(_mm512_cvtepu32_epi64(_mm512_castsi512_si256(low)),
										_mm512_slli_epi64(_mm512_cvtepu32_epi64(_mm512_castsi512_si256(rows)),
														  32)));
	_mm512_storeu_si512(items + 8,
						_mm512_or_si512(_mm512_cvtepu32_epi64(_mm512_extracti32x8_epi32(low, 1)),
										_mm512_slli_epi64(_mm512_cvtepu32_epi64(_mm512_extracti32x8_epi32(rows, 1)),
														  32)));
	return __builtin_popcount(bits);
#else
	float		estimates[BLOCK_LANES];
	float		reaches[BLOCK_LANES];
	size_t		kept = 0;

	block_store(estimates, estimate);
	block_store(reaches, reach);
	for (; bits != 0; bits &= bits - 1)
	{
		int			lane = __builtin_ctz(bits);

		most[kept] = -reaches[lane];
		items[kept++] = (CtCandidate) {estimates[lane], row + lane};
	}
	return kept;
#endif
}

static BLOCK_TARGET size_t
block_offer(const CtBlockOffer *offer, const float *estimates,
			const float *rests, double *most, CtCandidate *items,
			bool *left_out)
{
	size_t		kept = 0;
	unsigned int out = 0;

	for (size_t i = 0; i < CT_BLOCK_WIDE && offer->rows >> i != 0;
		 i += BLOCK_LANES)
	{
		BlockVector estimate = block_load(estimates + i);
		BlockVector reach = block_add(estimate,
									  block_fma(block_load(rests + i),
												block_set(offer->rest),
												block_set(offer->lack)));
		unsigned int bits = (unsigned int) (offer->rows >> i) &
			block_reaches(reach, block_set(offer->cut));
		unsigned int keep = bits &
			(block_reaches(estimate, block_set(offer->estimate)) |
			 block_reaches(reach, block_set(offer->wide)));

		out |= bits ^ keep;
		if (keep != 0)
			kept += block_keep(keep, estimate, reach,
							   offer->row + (uint32_t) i, most + kept,
							   items + kept);
	}
	*left_out = out != 0;
	return kept;
}

/*
 * Adds what features first .. last - 1 contribute to the products of `rows` rows
 * and `packs` packs of queries, both constants here.
 */
CT_INLINE BLOCK_TARGET void
product_tile(const double *const *x, int rows, const double *const *pack,
			 int packs, size_t first, size_t last, double *products,
			 size_t stride)
{
	ProductVector sums[PRODUCT_TALL][PRODUCT_VECTORS];
	int			vectors = packs * CT_PACK / PRODUCT_LANES;

	UNROLL
	for (int r = 0; r < rows; r++)
		UNROLL
		for (int v = 0; v < vectors; v++)
			sums[r][v] = product_load(products + r * stride +
									  v * PRODUCT_LANES);
	for (size_t j = first; j < last; j++)
	{
		ProductVector column[PRODUCT_VECTORS];

		UNROLL
		for (int v = 0; v < vectors; v++)
			column[v] = product_load(pack[v * PRODUCT_LANES / CT_PACK] +
									 j * CT_PACK +
									 v * PRODUCT_LANES % CT_PACK);
		UNROLL
		for (int r = 0; r < rows; r++)
			UNROLL
			for (int v = 0; v < vectors; v++)
				sums[r][v] = product_fma(product_set(x[r][j]), column[v],
										 sums[r][v]);
	}
	UNROLL
	for (int r = 0; r < rows; r++)
		UNROLL
		for (int v = 0; v < vectors; v++)
			product_store(products + r * stride + v * PRODUCT_LANES,
						  sums[r][v]);
}

/* The same for n rows, by tiles of `rows`. */
CT_INLINE BLOCK_TARGET void
product_rows(const double *const *x, size_t n, const double *const *pack,
			 int rows, int packs, size_t first, size_t last, double *products,
			 size_t stride)
{
	size_t		i = 0;

	for (; n - i >= (size_t) rows; i += rows)
		product_tile(x + i, rows, pack, packs, first, last,
					 products + i * stride, stride);
	for (; n - i >= 2; i += 2)
		product_tile(x + i, 2, pack, packs, first, last,
					 products + i * stride, stride);
	if (i < n)
		product_tile(x + i, 1, pack, packs, first, last,
					 products + i * stride, stride);
}

static BLOCK_TARGET void
block_products(const double *const *x, size_t n, const double *const *packs,
			   size_t npacks, size_t dim, double *products)
{
	size_t		stride = npacks * CT_PACK;

	memset(products, 0, sizeof(double) * n * stride);
	for (size_t first = 0; first < dim; first += PRODUCT_CHUNK)
	{
		size_t		last = dim - first < PRODUCT_CHUNK ? dim :
			first + PRODUCT_CHUNK;
		size_t		p = 0;

		for (; npacks - p >= PRODUCT_PACKS; p += PRODUCT_PACKS)
			product_rows(x, n, packs + p, PRODUCT_ROWS, PRODUCT_PACKS, first,
						 last, products + p * CT_PACK, stride);
		for (; p < npacks; p++)
			product_rows(x, n, packs + p, PRODUCT_TALL, 1, first, last,
						 products + p * CT_PACK, stride);
	}
}

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
 *	block_fma()		a b + c
 *	block_abs()
 *	block_reaches()	a bit for each lane where a >= b
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
/* rows whose shares are widened together */
#define BLOCK_WIDE		16
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

/*
 * Bits of BLOCK_STEP queries for BLOCK_ROWS rows, whose shares are widened, and
 * the estimates of n of these.
 */
CT_INLINE BLOCK_TARGET void
block_tile(const CtBlockQueries *queries, size_t query, size_t nbasis,
		   const float (*wide)[BLOCK_WIDE], size_t n, const float *rests,
		   uint64_t *bits, float *estimates)
{
	BlockVector sums[BLOCK_ROWS][BLOCK_VECTORS];

	UNROLL
	for (int r = 0; r < BLOCK_ROWS; r++)
		UNROLL
		for (int v = 0; v < BLOCK_VECTORS; v++)
			sums[r][v] = block_set(0.0f);
	for (size_t j = 0; j < nbasis; j++)
	{
		BlockVector column[BLOCK_VECTORS];

		UNROLL
		for (int v = 0; v < BLOCK_VECTORS; v++)
			column[v] = block_load(queries->shares + j * CT_BLOCK + query +
								   v * BLOCK_LANES);
		UNROLL
		for (int r = 0; r < BLOCK_ROWS; r++)
			UNROLL
			for (int v = 0; v < BLOCK_VECTORS; v++)
				sums[r][v] = block_fma(block_set(wide[j][r]), column[v],
									   sums[r][v]);
	}
	UNROLL
	for (int r = 0; r < BLOCK_ROWS; r++)
		UNROLL
		for (int v = 0; v < BLOCK_VECTORS; v++)
		{
			size_t		lane = query + v * BLOCK_LANES;
			BlockVector estimate = block_abs(sums[r][v]);
			BlockVector reach = block_fma(block_set(rests[r]),
										  block_load(queries->rests + lane),
										  estimate);

			if ((size_t) r < n)
				block_store(estimates + r * CT_BLOCK + lane, estimate);
			bits[r] |= (uint64_t) block_reaches(reach,
												block_load(queries->needed + lane)) << lane;
		}
}

/* n <= BLOCK_WIDE rows */
CT_INLINE BLOCK_TARGET void
block_some_rows(const CtBlockQueries *queries, const int8_t *shares,
				size_t stride, const float *scales, size_t n, size_t nbasis,
				const float *rests, uint64_t *survivors, float *estimates)
{
	float		wide[CT_BLOCK_BASIS][BLOCK_WIDE];
	float		all_rests[BLOCK_WIDE] = {0};
	uint64_t	bits[BLOCK_WIDE] = {0};

	for (size_t j = 0; j < nbasis; j++)
	{
		int8_t		column[BLOCK_WIDE] = {0};

		if (n == BLOCK_WIDE)
			memcpy(column, shares + j * stride, BLOCK_WIDE);
		else
			memcpy(column, shares + j * stride, n);
		for (int i = 0; i < BLOCK_WIDE; i++)
			wide[j][i] = scales[j] * (float) column[i];
	}
	memcpy(all_rests, rests, n * sizeof(float));
	for (size_t query = 0; query < CT_BLOCK; query += BLOCK_STEP)
		for (size_t i = 0; i < n; i += BLOCK_ROWS)
			block_tile(queries, query, nbasis,
					   (const float (*)[BLOCK_WIDE]) &wide[0][i], n - i,
					   all_rests + i, bits + i, estimates + i * CT_BLOCK);
	memcpy(survivors, bits, n * sizeof(uint64_t));
}

static BLOCK_TARGET void
block_survivors(const CtBlockQueries *queries, const int8_t *shares,
				size_t stride, const float *scales, size_t n, size_t nbasis,
				const float *rests, uint64_t *survivors, float *estimates)
{
	for (size_t i = 0; i < n; i += BLOCK_WIDE)
		block_some_rows(queries, shares + i, stride, scales,
						n - i < BLOCK_WIDE ? n - i : BLOCK_WIDE, nbasis,
						rests + i, survivors + i, estimates + i * CT_BLOCK);
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

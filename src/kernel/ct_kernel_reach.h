/*-------------------------------------------------------------------------
 *
 * ct_kernel_reach.h
 *	  A block of queries at once: their distances to a box, their codes, and
 *	  which rows of a leaf these do not rule out.
 *
 * Included once by the file of an instruction set, behind ct_kernel_block.h, of
 * which it uses vectors and target.  The file defines before that
 *
 *	lanes_add(), lanes_sub(), lanes_mul(), lanes_max()
 *	lanes_quad()	lowest bytes of four vectors' lanes, side by side
 *	lanes_store_words(), lanes_store_rounded()
 *					words as they are, and numbers rounded to words
 *
 *	REACH_TARGET	attribute of what follows
 *	ReachRows		a quad of codes of CT_CODE_LANES rows
 *	ReachSums		sums of as many rows
 *	reach_zero(), reach_load()
 *	reach_add()		adds the products of four codes, of rows and a query
 *	reach_finish()	stores the sums, and says which of them reach
 *	REACH_ROWS		ReachRows, and
 *	REACH_QUERIES	queries, whose sums stay in registers
 *	REACH_MANY		queries likewise, of one ReachRows
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_reach.h
 *
 *-------------------------------------------------------------------------
 */

/* added to a small number, leaves it rounded in the lowest bits */
#define LANES_ROUND		0x1.8p23f

/* so that the largest coordinate has a code of 127 for sure */
#define LANES_UNIT		((1.0f + 0x1p-20f) / 127.0f)

/* no scale is smaller, so that its inverse is finite */
#define LANES_LEAST		0x1p-100f

static BLOCK_TARGET uint64_t
block_boxes(const float *places, const float *box, size_t dims,
			const float *reach, float *squares)
{
	uint64_t	reached = 0;

	for (int lane = 0; lane < CT_BLOCK; lane += BLOCK_LANES)
	{
		BlockVector sum = block_set(0.0f);

		for (size_t j = 0; j < dims; j++)
		{
			BlockVector at = block_load(places + j * CT_BLOCK + lane);
			BlockVector leg = lanes_max(lanes_sub(block_set(box[j]), at),
										lanes_sub(at, block_set(box[dims + j])));

			leg = lanes_max(leg, block_set(0.0f));
			sum = lanes_add(sum, lanes_mul(leg, leg));
		}
		block_store(squares + lane, sum);
		reached |= (uint64_t) block_reaches(block_load(reach + lane), sum) << lane;
	}
	return reached;
}

/* The largest distances of coordinates from the middle. */
CT_INLINE BLOCK_TARGET BlockVector
lanes_most(const float *points, const float *middle, size_t nquads)
{
	BlockVector most[4];

	UNROLL
	for (int c = 0; c < 4; c++)
		most[c] = block_set(0.0f);
	for (size_t j = 0; j < 4 * nquads; j += 4)
		UNROLL
		for (int c = 0; c < 4; c++)
			most[c] = lanes_max(block_abs(lanes_sub(block_load(points + (j + c) * CT_BLOCK),
													block_set(middle[j + c]))),
								most[c]);
	return lanes_max(lanes_max(most[0], most[1]), lanes_max(most[2], most[3]));
}

CT_INLINE BLOCK_TARGET void
lanes_code(const float *points, const float *middle, size_t nquads,
		   size_t first, CtBlockCodes *codes)
{
	BlockVector scale = lanes_max(lanes_mul(lanes_most(points, middle, nquads),
											block_set(LANES_UNIT)),
								  block_set(LANES_LEAST));
	BlockVector inverse;
	BlockVector rests[4];
	BlockVector squares[4];
	BlockVector sums[4];
	float		inverses[BLOCK_LANES];
	uint32_t	words[4][BLOCK_LANES];

	block_store(codes->scale + first, scale);
	for (int lane = 0; lane < BLOCK_LANES; lane++)
		inverses[lane] = 1.0f / codes->scale[first + lane];
	inverse = block_load(inverses);
	UNROLL
	for (int c = 0; c < 4; c++)
		rests[c] = squares[c] = sums[c] = block_set(0.0f);
	for (size_t p = 0; p < nquads; p++)
	{
		BlockVector rounded[4];

		UNROLL
		for (int c = 0; c < 4; c++)
		{
			BlockVector t = lanes_sub(block_load(points + (4 * p + c) * CT_BLOCK),
									  block_set(middle[4 * p + c]));
			BlockVector code;

			rounded[c] = lanes_add(lanes_mul(t, inverse),
								   block_set(LANES_ROUND));
			code = lanes_sub(rounded[c], block_set(LANES_ROUND));
			t = lanes_sub(t, lanes_mul(code, scale));
			rests[c] = lanes_add(rests[c], lanes_mul(t, t));
			squares[c] = lanes_add(squares[c], lanes_mul(code, code));
			sums[c] = lanes_add(sums[c], code);
		}
		lanes_store_words(codes->quads + p * CT_BLOCK + first,
						  lanes_quad(rounded[0], rounded[1], rounded[2],
									 rounded[3]));
	}
	block_store(codes->rests + first,
				lanes_add(lanes_add(rests[0], rests[1]),
						  lanes_add(rests[2], rests[3])));
	lanes_store_rounded(codes->sums + first,
						lanes_add(lanes_add(sums[0], sums[1]),
								  lanes_add(sums[2], sums[3])));
	/* floats are exact for a quarter of the dimensions */
	UNROLL
	for (int c = 0; c < 4; c++)
		lanes_store_rounded(words[c], squares[c]);
	for (int lane = 0; lane < BLOCK_LANES; lane++)
		codes->squares[first + lane] = (int32_t) (words[0][lane] + words[1][lane] +
												  words[2][lane] + words[3][lane]);
}

static BLOCK_TARGET void
block_codes(const float *points, const float *middle, size_t nquads,
			size_t first, CtBlockCodes *codes)
{
	for (size_t lane = first; lane < first + CT_CODE_LANES; lane += BLOCK_LANES)
		lanes_code(points + lane, middle, nquads, lane, codes);
}

/*
 * A tile: rows from number i on, of `vectors` vectors, and queries from number b
 * on.  Both numbers are constants here.
 */
CT_INLINE REACH_TARGET void
reach_tile(const CtBlockReach *reach, const uint8_t *codes,
		   const float *squares, size_t n, size_t i, int vectors, size_t b,
		   int queries)
{
	ReachSums	sums[REACH_ROWS][REACH_MANY];
	size_t		p = 0;

	UNROLL
	for (int v = 0; v < vectors; v++)
		UNROLL
		for (int q = 0; q < queries; q++)
			sums[v][q] = reach_zero();
	/* there is a quad: did it ask first, gcc would spill the sums */
	do
	{
		const uint8_t *row = codes + 4 * (p * n + i);
		uint32_t	quads[REACH_MANY];

		UNROLL
		for (int q = 0; q < queries; q++)
			quads[q] = reach->quads[p * CT_BLOCK + reach->queries[b + q]];
		UNROLL
		for (int v = 0; v < vectors; v++)
		{
			ReachRows	rows = reach_load(row + v * 4 * CT_CODE_LANES);

			UNROLL
			for (int q = 0; q < queries; q++)
				sums[v][q] = reach_add(sums[v][q], rows, quads[q]);
		}
	} while (++p < reach->nquads);
	UNROLL
	for (int q = 0; q < queries; q++)
	{
		int			query = reach->queries[b + q];
		float		factor = reach->factors[query];
		float		least = reach->least[query];
		int32_t    *products = reach->products + (b + q) * n + i;
		uint16_t   *masks = reach->masks + ((b + q) * n + i) / CT_CODE_LANES;

		UNROLL
		for (int v = 0; v < vectors; v++)
			masks[v] = reach_finish(sums[v][q],
									squares + i + v * CT_CODE_LANES, factor,
									least, products + v * CT_CODE_LANES);
	}
}

/* The same for all queries. */
CT_INLINE REACH_TARGET void
reach_rows(const CtBlockReach *reach, const uint8_t *codes,
		   const float *squares, size_t n, size_t i, int vectors, int queries)
{
	size_t		b = 0;

	for (; b + queries <= reach->nqueries; b += queries)
		reach_tile(reach, codes, squares, n, i, vectors, b, queries);
	for (; b < reach->nqueries; b++)
		reach_tile(reach, codes, squares, n, i, vectors, b, 1);
}

static REACH_TARGET void
block_reach(const CtBlockReach *reach, const uint8_t *codes,
			const float *squares, size_t n)
{
	size_t		i = 0;

	for (; i + REACH_ROWS * CT_CODE_LANES <= n; i += REACH_ROWS * CT_CODE_LANES)
		reach_rows(reach, codes, squares, n, i, REACH_ROWS, REACH_QUERIES);
	for (; i < n; i += CT_CODE_LANES)
		reach_rows(reach, codes, squares, n, i, 1, REACH_MANY);
}

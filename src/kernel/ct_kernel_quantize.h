/*-------------------------------------------------------------------------
 *
 * ct_kernel_quantize.h
 *	  A query's place on the grid of a leaf's codes.
 *
 * Included once by the file of an instruction set, behind what
 * ct_kernel_features.h wants, and vector_store_words().  Sums are those of
 * QUANTIZE_LANES lanes everywhere.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_quantize.h
 *
 *-------------------------------------------------------------------------
 */

#define QUANTIZE_LANES		8
#define QUANTIZE_VECTORS	(QUANTIZE_LANES / VECTOR_LANES)

/* added and subtracted again, it leaves a double rounded to an integer */
#define QUANTIZE_ROUND		0x1.8p52

typedef struct QuantizeGrid
{
	Vector		step;
	Vector		inverse;
	Vector		most;
	Vector		least;
} QuantizeGrid;

/* Puts QUANTIZE_LANES coordinates on the grid; adds to the sums. */
CT_INLINE CT_TARGET void
quantize_lanes(const QuantizeGrid *grid, const double *q, const float *bases,
			   int16_t *codes, Vector *squares, Vector *offsets)
{
	UNROLL
	for (int v = 0; v < QUANTIZE_VECTORS; v++)
	{
		size_t		j = v * VECTOR_LANES;
		Vector		t = vector_sub(load_vector(q + j),
								   vector_load(bases + j, sizeof(float)));
		Vector		at = vector_mul(t, grid->inverse);
		Vector		rest;

		at = vector_min(at, grid->most);
		at = vector_max(at, grid->least);
		at = vector_sub(vector_add(at, vector_set(QUANTIZE_ROUND)),
						vector_set(QUANTIZE_ROUND));
		vector_store_words(codes + j, at);
		rest = vector_sub(t, vector_mul(at, grid->step));
		squares[v] = vector_add(squares[v], vector_mul(rest, rest));
		offsets[v] = vector_add(offsets[v], vector_mul(t, t));
	}
}

/* The same for the last n, of which there are fewer. */
CT_INLINE CT_TARGET void
quantize_last(const QuantizeGrid *grid, const double *q, const float *bases,
			  size_t n, int16_t *codes, Vector *squares, Vector *offsets)
{
	double		some[QUANTIZE_LANES] = {0};
	float		some_bases[QUANTIZE_LANES] = {0};
	int16_t		some_codes[QUANTIZE_LANES];

	memcpy(some, q, n * sizeof(double));
	memcpy(some_bases, bases, n * sizeof(float));
	quantize_lanes(grid, some, some_bases, some_codes, squares, offsets);
	memcpy(codes, some_codes, n * sizeof(int16_t));
}

/* The sum of all lanes, the first one first. */
CT_INLINE CT_TARGET double
quantize_sum(const Vector *sums)
{
	double		lanes[QUANTIZE_LANES];
	double		sum = 0.0;

	for (int v = 0; v < QUANTIZE_VECTORS; v++)
		vector_store(lanes + v * VECTOR_LANES, sums[v]);
	for (int lane = 0; lane < QUANTIZE_LANES; lane++)
		sum += lanes[lane];
	return sum;
}

static CT_TARGET void
quantize(const double *q, const float *bases, double step, double limit,
		 size_t dim, int16_t *codes, double *squares, double *offsets)
{
	QuantizeGrid grid = {vector_set(step), vector_set(1.0 / step),
	vector_set(limit), vector_set(-limit)};
	Vector		square_sums[QUANTIZE_VECTORS];
	Vector		offset_sums[QUANTIZE_VECTORS];
	size_t		j = 0;

	for (int v = 0; v < QUANTIZE_VECTORS; v++)
		square_sums[v] = offset_sums[v] = vector_zero();
	for (; dim - j >= QUANTIZE_LANES; j += QUANTIZE_LANES)
		quantize_lanes(&grid, q + j, bases + j, codes + j, square_sums,
					   offset_sums);
	if (j < dim)
		quantize_last(&grid, q + j, bases + j, dim - j, codes + j, square_sums,
					  offset_sums);
	*squares = quantize_sum(square_sums);
	*offsets = quantize_sum(offset_sums);
}

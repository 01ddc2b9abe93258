/*-------------------------------------------------------------------------
 *
 * ct_kernel_knots.h
 *	  The largest products of a triangular matrix and many vectors.
 *
 * Included by the file of an instruction set behind ct_kernel_block.h, whose vectors
 * it takes, and like that for bounds only.  KNOT_VECTORS vectors of rows times
 * KNOT_TILE columns of a tile are sums that stay in registers.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_knots.h
 *
 *-------------------------------------------------------------------------
 */

/* Raises each of KNOT_TILE results to the largest of its absolute sums. */
CT_INLINE BLOCK_TARGET void
knot_largest(BlockVector sums[KNOT_TILE][KNOT_VECTORS], int vectors, float *most)
{
	for (int c = 0; c < KNOT_TILE; c++)
	{
		BlockVector largest = block_abs(sums[c][0]);
		float		lanes[BLOCK_LANES];

		for (int v = 1; v < vectors; v++)
			largest = block_max(block_abs(sums[c][v]), largest);
		block_store(lanes, largest);
		for (int i = 0; i < BLOCK_LANES; i++)
			most[c] = lanes[i] > most[c] ? lanes[i] : most[c];
	}
}

/* n elements of KNOT_TILE columns, and of `vectors` vectors, a constant here */
CT_INLINE BLOCK_TARGET void
knot_tile(const float *tile, size_t n, const float *const *rows, int vectors,
		  float *most)
{
	BlockVector totals[KNOT_TILE][KNOT_VECTORS];

	for (int c = 0; c < KNOT_TILE; c++)
		for (int v = 0; v < vectors; v++)
			totals[c][v] = block_set(0.0f);
	for (size_t from = 0; from < n; from += CT_KNOT_CHUNK)
	{
		size_t		end = n - from < CT_KNOT_CHUNK ? n : from + CT_KNOT_CHUNK;
		BlockVector sums[KNOT_TILE][KNOT_VECTORS];

		UNROLL
		for (int c = 0; c < KNOT_TILE; c++)
			UNROLL
			for (int v = 0; v < vectors; v++)
				sums[c][v] = block_set(0.0f);
		for (size_t k = from; k < end; k++)
		{
			BlockVector row[KNOT_VECTORS];

			UNROLL
			for (int v = 0; v < vectors; v++)
				row[v] = block_load(rows[v] + k * CT_KNOT_PANEL);
			UNROLL
			for (int c = 0; c < KNOT_TILE; c++)
			{
				BlockVector column = block_set(tile[k * CT_KNOT_TILE + c]);

				UNROLL
				for (int v = 0; v < vectors; v++)
					sums[c][v] = block_fma(column, row[v], sums[c][v]);
			}
		}
		UNROLL
		for (int c = 0; c < KNOT_TILE; c++)
			UNROLL
			for (int v = 0; v < vectors; v++)
				totals[c][v] = block_add(totals[c][v], sums[c][v]);
	}
	knot_largest(totals, vectors, most);
}

/* The same for one tile of the matrix and all vectors, from element top on. */
static BLOCK_TARGET void
knot_tile_products(const float *tile, size_t n, const float *panels,
				   size_t panel, size_t npanels, size_t top, float *most)
{
	size_t		nvectors = npanels * CT_KNOT_PANEL / BLOCK_LANES;
	const float *rows[KNOT_VECTORS];

	for (int c = 0; c < CT_KNOT_TILE; c += KNOT_TILE)
		for (size_t from = 0; from < nvectors; from += KNOT_VECTORS)
		{
			size_t		vectors = nvectors - from < KNOT_VECTORS ?
				nvectors - from : KNOT_VECTORS;

			for (size_t v = 0; v < vectors; v++)
			{
				size_t		row = (from + v) * BLOCK_LANES;

				rows[v] = panels + row / CT_KNOT_PANEL * panel +
					top * CT_KNOT_PANEL + row % CT_KNOT_PANEL;
			}
			if (vectors == KNOT_VECTORS)
				knot_tile(tile + c, n, rows, KNOT_VECTORS, most + c);
			else
				for (size_t v = 0; v < vectors; v++)
					knot_tile(tile + c, n, rows + v, 1, most + c);
		}
}

static BLOCK_TARGET void
largest_products(const float *tiles, size_t m, const float *panels,
				 size_t npanels, float *most)
{
	for (size_t top = 0; top < m; top += CT_KNOT_TILE)
	{
		knot_tile_products(tiles, m - top, panels, m * CT_KNOT_PANEL, npanels,
						   top, most + top);
		tiles += CT_KNOT_TILE * (m - top);
	}
}

/*-------------------------------------------------------------------------
 *
 * ct_kernel_shares.h
 *	  A query's shares in a leaf's basis, and their products with those of the
 *	  rows, which are stored in single bytes.
 *
 * Included once by the file of an instruction set, which defines before that
 *
 *	SHARE_LANES		floats in a vector
 *	ShareVector		such a vector
 *	share_vector()	SHARE_LANES stored shares, widened
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_shares.h
 *
 *-------------------------------------------------------------------------
 */

typedef double GroupVector __attribute__((vector_size(32)));
typedef float GroupFloats __attribute__((vector_size(16)));

static CT_TARGET void
grouped_product(const float *triangle, size_t n, const double *x, double *y)
{
	for (size_t i = 0; i < n; i += 4)
	{
		GroupVector sums[4] = {0};

		for (size_t j = 0; j < i + 4; j += 4)
			for (int lane = 0; lane < 4; lane++, triangle += 4)
			{
				GroupFloats column;

				memcpy(&column, triangle, sizeof(column));
				sums[lane] += __builtin_convertvector(column, GroupVector) *
					x[j + lane];
			}
		sums[0] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
		memcpy(y + i, &sums[0], sizeof(sums[0]));
	}
}

/* products of the rows beginning at shares, as many as there are lanes */
CT_INLINE CT_TARGET ShareVector
share_block(const float *query, const int8_t *shares, size_t stride,
			size_t nbasis)
{
	ShareVector sum = share_vector(shares) * query[0];

	for (size_t j = 1; j < nbasis; j++)
		sum += share_vector(shares + j * stride) * query[j];
	return sum;
}

static CT_TARGET void
share_products(const float *query, const int8_t *shares, size_t stride,
			   size_t n, size_t nbasis, float *products)
{
	size_t		i = 0;
	ShareVector block;

	if (nbasis == 0)
		memset(products, 0, sizeof(float) * n);
	if (nbasis == 0)
		return;
	while (n - i >= SHARE_LANES)
	{
		block = share_block(query, shares + i, stride, nbasis);
		memcpy(products + i, &block, sizeof(block));
		i += SHARE_LANES;
		/* the last vector may overlap the one before it */
		if (i < n && n - i < SHARE_LANES)
			i = n - SHARE_LANES;
	}
	for (; i < n; i++)
	{
		float		sum = query[0] * (float) shares[i];

		for (size_t j = 1; j < nbasis; j++)
			sum += query[j] * (float) shares[j * stride + i];
		products[i] = sum;
	}
}

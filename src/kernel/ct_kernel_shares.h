/*-------------------------------------------------------------------------
 *
 * ct_kernel_shares.h
 *	  Products of a query's shares with those of many rows, which are stored
 *	  in single bytes.
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
	for (; n - i >= SHARE_LANES; i += SHARE_LANES)
	{
		block = share_block(query, shares + i, stride, nbasis);
		memcpy(products + i, &block, sizeof(block));
	}
	for (; i < n; i++)
	{
		float		sum = query[0] * (float) shares[i];

		for (size_t j = 1; j < nbasis; j++)
			sum += query[j] * (float) shares[j * stride + i];
		products[i] = sum;
	}
}

/*-------------------------------------------------------------------------
 *
 * ct_kernel_codes.h
 *	  Sums of squared differences between a query's codes and those of rows.
 *
 * Included once by the file of an instruction set, which defines before that
 *
 *	CODE_ROWS		rows in a vector; CODE_VECTORS of them make a group of rows
 *	CodeVector		a vector of words, one a row
 *	code_zero(), code_pair(), code_add(), code_store()
 *
 * Pairs of codes stand side by side, so that an instruction which multiplies
 * pairs of half words and adds them (PMADDWD) leaves one word a row.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_codes.h
 *
 *-------------------------------------------------------------------------
 */

/* rows that are summed up together; registers hold their sums */
#define CODE_GROUP		(CODE_ROWS * CODE_VECTORS)

CT_INLINE CT_TARGET void
code_group(const int16_t *query, const uint8_t *codes, size_t stride,
		   size_t npairs, int nvectors, int32_t *sums)
{
	CodeVector	sum[CODE_VECTORS];

	UNROLL
	for (int v = 0; v < nvectors; v++)
		sum[v] = code_zero();
	for (size_t p = 0; p < npairs; p++)
	{
		int32_t		pair;
		const uint8_t *column = codes + p * 2 * stride;

		memcpy(&pair, query + 2 * p, sizeof(pair));
		UNROLL
		for (int v = 0; v < nvectors; v++)
			sum[v] = code_add(sum[v],
							  code_pair(column + 2 * v * CODE_ROWS, pair));
	}
	UNROLL
	for (int v = 0; v < nvectors; v++)
		code_store(sums + v * CODE_ROWS, sum[v]);
}

static CT_TARGET void
code_sums(const int16_t *query, const uint8_t *codes, size_t stride,
		  size_t n, size_t npairs, int32_t *sums)
{
	size_t		i = 0;

	for (; i + CODE_GROUP <= n; i += CODE_GROUP)
		code_group(query, codes + 2 * i, stride, npairs, CODE_VECTORS, sums + i);
	for (; i < n; i += CODE_ROWS)
		code_group(query, codes + 2 * i, stride, npairs, 1, sums + i);
}

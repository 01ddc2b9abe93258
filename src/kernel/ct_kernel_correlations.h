/*-------------------------------------------------------------------------
 *
 * ct_kernel_correlations.h
 *	  Residual correlations of some locations and a block of queries.
 *
 * These serve bounds only, so that coordinates are multiplied by inverse
 * lengthscales, and there is FMA where the instruction set has it.  Each number is
 * the end of a chain of some thirty operations; several rows are in work at a time,
 * since one chain would leave the processor waiting.
 *
 * Errors in units of the last place: of e^x two (the roundings of its last two
 * additions, 0.75, of what is left of x, and of the polynomial), of a root three,
 * of a polynomial before e^x five.  See ct_block_pairs.c for what may be.
 *
 * Included once by the file of an instruction set, after ct_exp.h and the
 * definitions for ct_kernel_block.h, and of
 *
 *	CORRELATION_ROWS	rows that are in work at a time
 *	product_sub(), product_mul(), product_min(), product_max()
 *	product_root()
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_correlations.h
 *
 *-------------------------------------------------------------------------
 */

#define EACH_ROW \
	UNROLL \
	for (int i = 0; i < rows; i++)

/* Squared distances of locations and a vector of queries, in lengthscales. */
CT_INLINE BLOCK_TARGET void
correlation_squares(const CtCorrelations *queries, const double *const *x,
					int rows, size_t from, ProductVector *squares)
{
	EACH_ROW
		squares[i] = product_set(0.0);
	for (size_t j = 0; j < queries->function.dim; j++)
	{
		ProductVector place = product_load(queries->places + j * CT_BLOCK + from);
		ProductVector rate = product_set(queries->rates[j]);

		EACH_ROW
		{
			ProductVector diff = product_mul(product_sub(place, product_set(x[i][j])),
											 rate);

			squares[i] = product_fma(diff, diff, squares[i]);
		}
	}
	EACH_ROW
		squares[i] = product_min(product_set(CT_SQUARES_MAX), squares[i]);
}

/* e^x for x <= 0, as in ct_exp.h, but in fewer operations. */
CT_INLINE BLOCK_TARGET void
correlation_exp(int rows, ProductVector *x)
{
	ProductVector shifter = product_set(WHOLE_SHIFTER);
	ProductVector shifted[CORRELATION_ROWS];
	ProductVector r[CORRELATION_ROWS];
	ProductVector r2[CORRELATION_ROWS];
	ProductVector r4[CORRELATION_ROWS];
	ProductVector low[CORRELATION_ROWS];
	ProductVector high[CORRELATION_ROWS];

#define PAIR(a, b)	product_fma(product_set(b), r[i], product_set(a))

	EACH_ROW
		x[i] = product_max(product_set(CT_EXP_LEAST), x[i]);
	EACH_ROW
		shifted[i] = product_fma(x[i], product_set(INVERSE_LN2), shifter);
	EACH_ROW
		r2[i] = product_sub(shifter, shifted[i]);
	EACH_ROW
		r[i] = product_fma(r2[i], product_set(LN2_HIGH), x[i]);
	EACH_ROW
		r[i] = product_fma(r2[i], product_set(LN2_LOW), r[i]);
	EACH_ROW
		r2[i] = product_mul(r[i], r[i]);
	EACH_ROW
		high[i] = product_fma(r2[i], PAIR(CT_EXP_8, CT_EXP_9),
							  PAIR(CT_EXP_6, CT_EXP_7));
	EACH_ROW
		low[i] = product_fma(r2[i], PAIR(CT_EXP_2, CT_EXP_3),
							 PAIR(CT_EXP_0, CT_EXP_1));
	EACH_ROW
		r4[i] = product_mul(r2[i], r2[i]);
	EACH_ROW
		high[i] = product_fma(r2[i], high[i], PAIR(CT_EXP_4, CT_EXP_5));
	EACH_ROW
		low[i] = product_fma(r4[i], high[i], low[i]);
	EACH_ROW
		low[i] = product_fma(r[i], low[i], product_set(0.5));
	EACH_ROW
		low[i] = product_fma(r2[i], low[i], r[i]);
	EACH_ROW
		x[i] = vector_power(shifted[i]);
	EACH_ROW
		x[i] = product_fma(low[i], x[i], x[i]);
	EACH_ROW
		x[i] = product_mul(x[i], product_set(0x1p-128));

#undef PAIR
}

/* What squared distances become; kind is a constant here. */
CT_INLINE BLOCK_TARGET void
correlation_covariances(CtCovariance kind, int rows, ProductVector *squares)
{
	ProductVector root[CORRELATION_ROWS];
	ProductVector power[CORRELATION_ROWS];
	double		factor = kind == CT_COVARIANCE_MATERN12 ? 1.0 :
		kind == CT_COVARIANCE_MATERN32 ? CT_SQRT3 : CT_SQRT5;

	if (kind == CT_COVARIANCE_RBF)
	{
		EACH_ROW
			squares[i] = product_mul(product_set(-0.5), squares[i]);
		correlation_exp(rows, squares);
		return;
	}
	EACH_ROW
		root[i] = product_root(squares[i]);
	EACH_ROW
		power[i] = product_mul(product_set(-factor), root[i]);
	correlation_exp(rows, power);
	EACH_ROW
		root[i] = product_fma(product_set(factor), root[i], product_set(1.0));
	if (kind == CT_COVARIANCE_MATERN52)
		EACH_ROW
			root[i] = product_fma(product_set(CT_FIVE_THIRDS), squares[i], root[i]);
	EACH_ROW
		squares[i] = kind == CT_COVARIANCE_MATERN12 ? power[i] :
			product_mul(root[i], power[i]);
}

/* Correlations of `rows` locations and a vector of queries, from number from on. */
CT_INLINE BLOCK_TARGET void
correlation_tile(CtCovariance kind, const CtCorrelations *queries,
				 const double *const *x, const double *scales, int rows,
				 size_t from, const double *products, float *rho,
				 size_t stride)
{
	ProductVector value[CORRELATION_ROWS];
	ProductVector variance = product_set(queries->function.variance);
	ProductVector scale = product_load(queries->scales + from);

	correlation_squares(queries, x, rows, from, value);
	correlation_covariances(kind, rows, value);
	EACH_ROW
		value[i] = product_sub(product_mul(value[i], variance),
							   product_load(products + i * queries->n + from));
	EACH_ROW
		value[i] = product_mul(value[i], product_mul(product_set(scales[i]),
													 scale));
	/* which makes of no number a one */
	EACH_ROW
		value[i] = product_min(value[i], product_set(1.0));
	EACH_ROW
		vector_store_floats(rho + i * stride + from,
							product_max(value[i], product_set(-1.0)));
}

/* kind is a constant here */
CT_INLINE BLOCK_TARGET void
correlations_of_kind(CtCovariance kind, const CtCorrelations *queries,
					 const double *const *x, const double *scales, size_t n,
					 const double *products, float *rho, size_t stride)
{
	for (size_t from = 0; from < queries->n; from += PRODUCT_LANES)
	{
		size_t		i = 0;

		for (; n - i >= CORRELATION_ROWS; i += CORRELATION_ROWS)
			correlation_tile(kind, queries, x + i, scales + i,
							 CORRELATION_ROWS, from,
							 products + i * queries->n, rho + i * stride,
							 stride);
		for (; i < n; i++)
			correlation_tile(kind, queries, x + i, scales + i, 1, from,
							 products + i * queries->n, rho + i * stride,
							 stride);
	}
}

static BLOCK_TARGET void
block_correlations(const CtCorrelations *queries, const double *const *x,
				   const double *scales, size_t n, const double *products,
				   float *rho, size_t stride)
{
	CT_BY_COVARIANCE(queries->function.kind, correlations_of_kind, queries, x,
					 scales, n, products, rho, stride);
}

#undef EACH_ROW

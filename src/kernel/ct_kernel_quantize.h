/*-------------------------------------------------------------------------
 *
 * ct_kernel_quantize.h
 *	  A query's place on the grid of a leaf's codes.
 *
 * Included once by the file of an instruction set, which defines CT_TARGET
 * before that.  Written with vectors of eight doubles, which the compiler
 * divides where registers are smaller, so that sums are the same everywhere.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_quantize.h
 *
 *-------------------------------------------------------------------------
 */

#define QUANTIZE_LANES	8

typedef double QuantizeVector __attribute__((vector_size(8 * QUANTIZE_LANES)));
typedef int64_t QuantizeMask __attribute__((vector_size(8 * QUANTIZE_LANES)));
typedef float QuantizeFloats __attribute__((vector_size(4 * QUANTIZE_LANES)));
typedef int16_t QuantizeCodes __attribute__((vector_size(2 * QUANTIZE_LANES)));

/* added and subtracted again, it leaves a double rounded to an integer */
#define QUANTIZE_ROUND	0x1.8p52

/* a macro, for vectors in registers that not every machine has are no results */
#define QUANTIZE_CHOOSE(mask, yes, no) \
	((QuantizeVector) (((mask) & (QuantizeMask) (yes)) | \
					   (~(mask) & (QuantizeMask) (no))))

static CT_TARGET void
quantize(const double *q, const float *bases, double step, double limit,
		 size_t dim, int16_t *codes, double *squares, double *offsets)
{
	double		inverse = 1.0 / step;
	QuantizeVector most = {0};
	QuantizeVector sums[2] = {{0}, {0}};

	most += limit;
	for (size_t j = 0; j < dim; j += QUANTIZE_LANES)
	{
		size_t		n = dim - j < QUANTIZE_LANES ? dim - j : QUANTIZE_LANES;
		QuantizeVector t = {0};
		QuantizeFloats base = {0};
		QuantizeVector at;
		QuantizeCodes code;

		if (n == QUANTIZE_LANES)
		{
			memcpy(&t, q + j, sizeof(t));
			memcpy(&base, bases + j, sizeof(base));
		}
		else
			for (size_t lane = 0; lane < n; lane++)
			{
				t[lane] = q[j + lane];
				base[lane] = bases[j + lane];
			}
		t -= __builtin_convertvector(base, QuantizeVector);
		at = t * inverse;
		at = QUANTIZE_CHOOSE(at < most, at, most);
		at = QUANTIZE_CHOOSE(at > -most, at, -most);
		at = (at + QUANTIZE_ROUND) - QUANTIZE_ROUND;
		code = __builtin_convertvector(at, QuantizeCodes);
		at = t - at * step;
		sums[0] += at * at;
		sums[1] += t * t;
		if (n == QUANTIZE_LANES)
			memcpy(codes + j, &code, sizeof(code));
		else
			for (size_t lane = 0; lane < n; lane++)
				codes[j + lane] = code[lane];
	}
	*squares = *offsets = 0.0;
	for (int lane = 0; lane < QUANTIZE_LANES; lane++)
	{
		*squares += sums[0][lane];
		*offsets += sums[1][lane];
	}
}

/*-------------------------------------------------------------------------
 *
 * ct_kernel_select.h
 *	  Selecting and ordering keys without branches, for any width of vector.
 *
 * Included once by the file of an instruction set, after ct_kernel_choose.h and
 * what that needs.
 *
 * Where k of n keys are wanted, comparing all of them several times costs less
 * than the branches of a selection that compares each but a few times, for
 * which way they go is anybody's guess.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_select.h
 *
 *-------------------------------------------------------------------------
 */

/* bits of those of VECTOR_LANES keys that are at most limit */
CT_INLINE CT_TARGET unsigned int
lanes_at_most(const double *keys, double limit)
{
	return vector_at_most(vector_load(keys, sizeof(double)),
						  vector_set(limit));
}

/*
 * VECTOR_LANES keys and tags, those of the bits first.  Reads all before it
 * writes, and writes VECTOR_LANES of each.
 */
CT_INLINE CT_TARGET void
keep_lanes(const double *keys, const uint64_t *tags, unsigned int bits,
		   double *kept_keys, uint64_t *kept_tags)
{
#if VECTOR_LANES == 8
	__m512d		some_keys = _mm512_maskz_compress_pd(bits, _mm512_loadu_pd(keys));
	__m512i		some_tags = _mm512_maskz_compress_epi64(bits, _mm512_loadu_si512(tags));

	_mm512_storeu_pd(kept_keys, some_keys);
	_mm512_storeu_si512(kept_tags, some_tags);
#else
	for (; bits != 0; bits &= bits - 1)
	{
		int			lane = __builtin_ctz(bits);

		*kept_keys++ = load_f64(keys + lane);
		*kept_tags++ = tags[lane];
	}
#endif
}

static CT_TARGET size_t
keep_at_most(const double *keys, const uint64_t *tags, size_t n, double limit,
			 double *kept_keys, uint64_t *kept_tags)
{
	size_t		kept = 0;
	size_t		i = 0;

	for (; n - i >= VECTOR_LANES; i += VECTOR_LANES)
	{
		unsigned int bits = lanes_at_most(keys + i, limit);

		if (bits == 0)
			continue;
		keep_lanes(keys + i, tags + i, bits, kept_keys + kept,
				   kept_tags + kept);
		kept += __builtin_popcount(bits);
	}
	for (; i < n; i++)
		if (load_f64(keys + i) <= limit)
		{
			kept_keys[kept] = load_f64(keys + i);
			kept_tags[kept++] = tags[i];
		}
	return kept;
}

/*
 * Counts, for each of the VECTOR_LANES keys from number i on, those before it.
 * Of keys before number i equal ones count, of later ones they do not.
 */
CT_INLINE CT_TARGET void
ranks_of_lanes(const double *keys, size_t n, size_t i, uint32_t *ranks)
{
#if VECTOR_LANES == 8
	__m512d		own = _mm512_loadu_pd(keys + i);
	__m512i		one = _mm512_set1_epi64(1);
	__m512i		before = _mm512_setzero_si512();
	size_t		j = 0;

	for (; j < i; j++)
		before = _mm512_mask_add_epi64(before,
									   _mm512_cmp_pd_mask(_mm512_set1_pd(load_f64(keys + j)), own, _CMP_LE_OQ),
									   before, one);
	for (; j < i + VECTOR_LANES; j++)
	{
		__m512d		key = _mm512_set1_pd(load_f64(keys + j));
		__mmask8	equal = _mm512_cmp_pd_mask(key, own, _CMP_EQ_OQ) &
			(__mmask8) (0xFE << (j - i));

		before = _mm512_mask_add_epi64(before,
									   _mm512_cmp_pd_mask(key, own, _CMP_LT_OQ) | equal,
									   before, one);
	}
	for (; j < n; j++)
		before = _mm512_mask_add_epi64(before,
									   _mm512_cmp_pd_mask(_mm512_set1_pd(load_f64(keys + j)), own, _CMP_LT_OQ),
									   before, one);
	_mm256_storeu_si256((__m256i *) (ranks + i), _mm512_cvtepi64_epi32(before));
#else
	for (size_t lane = i; lane < i + VECTOR_LANES; lane++)
	{
		double		own = load_f64(keys + lane);
		uint32_t	before = 0;
		size_t		j = 0;

		for (; j < lane; j++)
			before += load_f64(keys + j) <= own;
		for (j++; j < n; j++)
			before += load_f64(keys + j) < own;
		ranks[lane] = before;
	}
#endif
}

static CT_TARGET void
ranks_f64(const double *keys, size_t n, uint32_t *ranks)
{
	size_t		i = 0;

	for (; n - i >= VECTOR_LANES; i += VECTOR_LANES)
		ranks_of_lanes(keys, n, i, ranks);
	for (; i < n; i++)
	{
		double		own = load_f64(keys + i);
		uint32_t	before = 0;

		for (size_t j = 0; j < n; j++)
			before += load_f64(keys + j) < own ||
				(load_f64(keys + j) == own && j < i);
		ranks[i] = before;
	}
}
